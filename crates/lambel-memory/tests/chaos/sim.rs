//! A world of clients, operators, admins and deliveries, on one thread, driven by one seed.
//!
//! Every call of a use case is a future. The scheduler begins one, or polls one of those under way, as chance says; a
//! call may be struck dead after any poll. Nothing here looks at a clock, at real chance, or at the order of a hash
//! map, so a seed plays the same run each time.

mod answers;
mod calls;
mod deliveries;
mod people;
mod pictures;
mod quiet;
mod reviews;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    sync::{Arc, mpsc},
    task::{Context, Poll, Waker},
    time::Duration,
};

use lambel_core::{
    OperatorId, Task,
    api::AudienceFields,
    event::{Event, LastBatchWanted, NewSubtasks},
};
use lambel_memory::{
    ManualClock, MemoryMessages, MemoryObjects, MemoryStore,
    faults::{Chance, Fault, Faults, FaultyMessages, FaultyObjects, FaultyStore, Rates},
};
use lambel_service::{
    operate::Operators,
    ports::{Clock, ObjectKey, SharedMessages, SharedObjects, SharedStore},
    progress::Progress,
    publish::{Change, Publisher},
    skills::Estimator,
    supervise::Supervisors,
    tasks::Tasks,
};
use tokio::runtime::Runtime;

use self::{
    calls::{Call, Done, Running, WISHES, Wish},
    people::{Operator, everyone, operator_id, operator_name},
};
use crate::{
    flaws::{Flawed, FlawedMessages},
    model::{Check, Model},
    run::{Options, Tally},
};

/// Calls under way at the same time, at most.
const AT_ONCE: usize = 24;
/// Lines of the log that are kept.
const LOG: usize = 40;
/// Calls between two quiet moments.
const QUIET_EVERY: u32 = 130;
/// Operators who come in the end, when the faults are over, and label what is left.
const WILLING: usize = 12;

/// Pictures are decoded on another thread. How fast it is must not decide anything: it does nothing while a call is
/// polled, and has done everything before the next step.
struct Decoders {
    go: mpsc::Sender<()>,
}

impl Decoders {
    /// Keeps the thread busy with waiting.
    fn hold(runtime: &Runtime) -> Self {
        let (go, wait) = mpsc::channel();
        drop(runtime.spawn_blocking(move || wait.recv()));
        Self { go }
    }

    /// Lets the thread do what it was given. It takes its work in order, so an empty piece of work is done last.
    fn run(self, runtime: &Runtime) {
        let (done, wait) = mpsc::channel();
        drop(runtime.spawn_blocking(move || done.send(())));
        drop(self.go);
        let _ = wait.recv();
    }
}

pub(crate) struct Sim {
    options: Options,
    chance: Chance,
    faults: Arc<Faults>,
    weights: Vec<u32>,
    at_once: usize,
    /// Calls in a thousand that are struck dead.
    deadly: u32,
    memory: Arc<MemoryStore>,
    /// The tables without faults, but with their flaw if there is one: what the checks look at.
    plain: SharedStore,
    store: SharedStore,
    uploads: Arc<MemoryObjects>,
    objects: SharedObjects,
    outbox: Arc<MemoryMessages>,
    late: Arc<FaultyMessages>,
    clock: Arc<ManualClock>,
    tasks: Tasks,
    supervisors: Supervisors,
    /// Running copies of the operators' function: each has its own memory of empty shards.
    copies: Vec<Operators>,
    publisher: Arc<Publisher>,
    progress: Progress,
    estimator: Estimator,
    runtime: Runtime,
    people: Vec<Operator>,
    /// When a resumption of an operator was last under way.
    resumed: BTreeMap<OperatorId, u64>,
    model: Model,
    running: Vec<Running>,
    /// Deliveries that wait.
    to_validate: Vec<ObjectKey>,
    to_open: Vec<NewSubtasks>,
    to_publish: Vec<Change>,
    to_hear: Vec<String>,
    to_finish: Vec<String>,
    pub(crate) ops: u32,
    calls: BTreeMap<&'static str, u64>,
    crashes: u64,
    fingerprint: u64,
    pub(crate) log: VecDeque<String>,
}

/// The faults of a day. Each seed leaves some of them out, so that those which are left meet in other ways.
fn rates(trouble: u32, chance: &mut Chance) -> Rates {
    let usual = match trouble {
        0 => 0,
        1 => 8,
        2 => 25,
        _ => 70,
    };
    Rates::ALL.into_iter().fold(Rates::none(), |rates, fault| {
        let rate = match fault {
            Fault::Throttled => usual / 6,
            Fault::Delayed | Fault::AnswerDelayed | Fault::StaleIndex | Fault::StaleRecord => usual * 4,
            Fault::Duplicated | Fault::HeldBack | Fault::PartlySent => usual * 3,
            _ => usual,
        };
        if chance.below(5) == 0 { rates } else { rates.with(fault, rate) }
    })
}

impl Sim {
    pub(crate) fn new(options: Options) -> Self {
        let mut chance = Chance::new(options.seed);
        let faults = Faults::new(chance.draw(), rates(options.trouble, &mut chance));
        let weights = WISHES.iter().map(|(_, usual)| usual * [2, 5, 5, 5, 12][chance.below(5)]).collect();
        let at_once = 1 + chance.below(AT_ONCE);
        let deadly = [0, 10, 40, 120][options.trouble.min(3) as usize];
        let memory = Arc::new(MemoryStore::default());
        let plain: SharedStore = match options.flaw {
            None => memory.clone(),
            Some(flaw) => Arc::new(Flawed::new(memory.clone(), flaw, options.seed)),
        };
        let store: SharedStore = Arc::new(FaultyStore::new(plain.clone(), faults.clone()));
        let uploads = Arc::new(MemoryObjects::default());
        let objects: SharedObjects = Arc::new(FaultyObjects::new(uploads.clone(), faults.clone()));
        let outbox = Arc::new(MemoryMessages::default());
        let queues: SharedMessages = match options.flaw {
            None => outbox.clone(),
            Some(flaw) => Arc::new(FlawedMessages::new(outbox.clone(), flaw, options.seed)),
        };
        let late = Arc::new(FaultyMessages::new(queues, outbox.clone(), faults.clone()));
        let clock = Arc::new(ManualClock::new());
        let copies = (0..2).map(|_| Operators::new(store.clone(), objects.clone(), clock.clone())).collect::<Vec<_>>();
        let born = AtomicU64::new(0);
        let seed = options.seed;
        let ids = move || {
            let number = born.fetch_add(1, Ordering::Relaxed);
            format!("019aa5a0-{number:04x}-7000-8000-{:012x}", seed & 0xffff_ffff_ffff).parse().unwrap()
        };
        // One thread decodes, so that pictures are done in the order in which they were begun.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let messages: SharedMessages = late.clone();
        Self {
            tasks: Tasks::new(store.clone(), objects.clone(), clock.clone()).with_ids(ids).with_estimates(late.clone()),
            supervisors: Supervisors::new(store.clone(), clock.clone()),
            publisher: Arc::new(Publisher::new(store.clone(), messages)),
            progress: Progress::new(store.clone(), clock.clone(), late.clone()),
            estimator: Estimator::new(store.clone(), memory.clone(), clock.clone()),
            people: (0..options.operators + WILLING).map(|_| Operator::default()).collect(),
            options,
            chance,
            faults,
            weights,
            at_once,
            deadly,
            memory,
            plain,
            store,
            uploads,
            objects,
            outbox,
            late,
            clock,
            copies,
            runtime,
            resumed: BTreeMap::new(),
            model: Model::default(),
            running: Vec::new(),
            to_validate: Vec::new(),
            to_open: Vec::new(),
            to_publish: Vec::new(),
            to_hear: Vec::new(),
            to_finish: Vec::new(),
            ops: 0,
            calls: BTreeMap::new(),
            crashes: 0,
            fingerprint: 0,
            log: VecDeque::new(),
        }
    }

    pub(crate) fn tally(&self) -> Tally {
        Tally {
            runs: 1,
            calls: self.calls.clone(),
            faults: self.faults.tally(),
            crashes: self.crashes,
            acknowledged: self.model.acknowledged,
            votes_checked: self.model.votes_checked,
            recounts: self.model.recounts,
            findings: BTreeMap::new(),
            quiets: self.model.quiets,
            decided: self.model.decided,
            revised: self.model.revised,
            reopened: self.model.reopened,
            reviewed: self.model.reviewed,
            completed: self.model.completed,
            polls: self.model.step,
            fingerprint: self.fingerprint,
        }
    }

    fn note(&mut self, line: fmt::Arguments<'_>) {
        if self.log.len() == LOG {
            self.log.pop_front();
        }
        let text = format!("{:>6} {line}", self.model.step);
        for byte in text.bytes() {
            self.fingerprint = (self.fingerprint ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.log.push_back(text);
    }

    pub(crate) fn play(&mut self) -> Check {
        let mut next_quiet = QUIET_EVERY;
        while self.ops < self.options.ops {
            let room = self.running.len() < self.at_once;
            if self.running.is_empty() || (room && self.chance.below(4) == 0) {
                self.begin_something();
            } else {
                self.poll_something()?;
            }
            if self.ops >= next_quiet {
                self.quiet()?;
                next_quiet = self.ops + QUIET_EVERY;
            }
        }
        self.quiet()?;
        self.finish()
    }

    // Beginning.

    fn begin(&mut self, call: Call, job: impl Future<Output = Done> + 'static, what: fmt::Arguments<'_>) {
        self.ops += 1;
        *self.calls.entry(call.name()).or_default() += 1;
        let fuse = self.chance.happens(self.deadly).then(|| self.chance.below(40) as u32);
        let number = self.ops;
        self.note(format_args!("#{number} {}: {what}", call.name()));
        self.running.push(Running { number: self.ops, call, job: Box::pin(job), fuse, began: self.model.step });
    }

    fn begin_something(&mut self) {
        // Not every wish can be fulfilled; then the next one is tried.
        for _ in 0..20 {
            let mut left = self.chance.below(self.weights.iter().sum::<u32>() as usize) as u32;
            let mut chosen = Wish::Tick;
            for ((wish, _), weight) in WISHES.iter().zip(&self.weights) {
                if left < *weight {
                    chosen = *wish;
                    break;
                }
                left -= weight;
            }
            if self.fulfil(chosen).is_some() {
                return;
            }
        }
    }

    fn fulfil(&mut self, wish: Wish) -> Option<()> {
        match wish {
            Wish::Create => self.create(),
            Wish::Announce => self.announce(),
            Wish::Seal => self.seal(),
            Wish::Cancel => {
                // Few, or nothing would ever be labelled.
                let task = self.any_task().filter(|_| self.chance.below(6) == 0)?;
                self.cancel(&task)
            }
            Wish::OpenTo => {
                let task = self.any_task()?;
                let audience = match self.chance.below(3) {
                    0 => everyone(),
                    1 => AudienceFields { teams: vec!["even".to_owned()], ..AudienceFields::default() },
                    _ => AudienceFields { operators: vec!["somebody".to_owned()], ..AudienceFields::default() },
                };
                self.open_to(&task, audience)
            }
            Wish::Read => self.read(),
            Wish::Claim => {
                let operator = self.chance.below(self.options.operators);
                let task = self.any_task().filter(|_| self.chance.below(10) < 7).map(|task| task.id);
                let most = if self.options.images > 100 { 100 } else { 8 };
                let count = 1 + self.chance.below(most) as u32;
                self.claim(operator, task, count)
            }
            Wish::Vote => self.vote(),
            Wish::GiveBack => self.give_back(),
            Wish::Review => self.review(),
            Wish::Forget => {
                let operator = self.chance.below(self.options.operators);
                self.people[operator].hand.clear();
                self.note(format_args!("{} walks away", operator_name(operator)));
                Some(())
            }
            Wish::Pause => self.pause(),
            Wish::Resume => {
                let operator = self.chance.below(self.options.operators);
                self.resume(operator)
            }
            Wish::Validate => self.deliver_uploads(),
            Wish::Open => self.deliver_new_subtasks(),
            Wish::Publish => self.deliver_changes(),
            Wish::Hear => self.deliver_events(),
            Wish::Sweep => self.sweep(),
            Wish::Finish => self.deliver_estimates(),
            Wish::Look => self.look(),
            Wish::Tick => {
                let millis = match self.chance.below(60) {
                    0 => 3_700_000,
                    1..=6 => 20_000,
                    7..=20 => 5_000,
                    _ => 50 + self.chance.below(2_000),
                };
                self.clock.pass(Duration::from_millis(millis as u64));
                self.note(format_args!("{millis} ms pass"));
                Some(())
            }
            Wish::Release => {
                self.release();
                Some(())
            }
        }
    }

    fn any_task(&mut self) -> Option<Task> {
        let all: Vec<&Task> = self.model.tasks.values().collect();
        // Mostly one that goes on, sometimes one that is over.
        let active: Vec<&Task> = all.iter().filter(|task| !task.state.is_final()).copied().collect();
        let of = if active.is_empty() || self.chance.below(20) == 0 { all } else { active };
        self.chance.pick(&of).map(|task| (*task).clone())
    }

    // Going on.

    /// Does something at once that is no call of a use case.
    fn now<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = Box::pin(future);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
        }
    }

    fn poll_something(&mut self) -> Check {
        let place = self.chance.below(self.running.len());
        self.model.step += 1;
        let running = &mut self.running[place];
        let decoders = running.call.decodes().then(|| Decoders::hold(&self.runtime));
        let polled = {
            let _runtime = self.runtime.enter();
            running.job.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        if let Some(decoders) = decoders {
            decoders.run(&self.runtime);
        }
        self.drain()?;
        match polled {
            Poll::Ready(done) => {
                let running = self.running.swap_remove(place);
                self.ended(running, Some(done))
            }
            Poll::Pending => {
                let running = &mut self.running[place];
                match &mut running.fuse {
                    Some(0) => {
                        let running = self.running.swap_remove(place);
                        self.crashes += 1;
                        self.note(format_args!("#{} {} DIES", running.number, running.call.name()));
                        self.ended(running, None)
                    }
                    Some(left) => {
                        *left -= 1;
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// Takes up what the last step has written and sent.
    fn drain(&mut self) -> Check {
        let now = self.clock.now();
        for change in self.memory.take_stream() {
            let running = &self.running;
            let claiming = |who: &OperatorId| {
                let theirs = running.iter().filter(
                    |running| matches!(&running.call, Call::Claim { operator, .. } if operator_id(*operator) == *who),
                );
                theirs.map(|running| running.began).min()
            };
            self.model.observe(&change, now, claiming)?;
            let news = match &change {
                Change::Task { before, after } => after.state.is_final() || before.is_none(),
                Change::Subtask { before, after } => {
                    after.state.is_final() || before.is_some_and(|before| before.state.is_final())
                }
                Change::Branch { .. } => true,
            };
            // The filter of the stream lets little more through than what is announced.
            if news || self.chance.below(16) == 0 {
                self.to_publish.push(change);
            }
        }
        self.to_validate.extend(self.outbox.take_uploads());
        self.to_open.extend(self.outbox.take_new_subtasks());
        let wanted = self.outbox.take_estimates().into_iter().map(|task| LastBatchWanted { task });
        self.to_finish.extend(wanted.map(|wanted| serde_json::to_string(&wanted).unwrap()));
        for event in self.outbox.take_events() {
            self.model.published(&event)?;
            if matches!(event, Event::Subtask(..)) {
                self.to_hear.push(event.body().unwrap());
            }
        }
        Ok(())
    }
}
