//! A world of clients, operators, admins and deliveries, on one thread, driven by one seed.
//!
//! Every call of a use case is a future. The scheduler begins one, or polls one of those under way, as chance says; a
//! call may be struck dead after any poll. Nothing here looks at a clock, at real chance, or at the order of a hash
//! map, so a seed plays the same run each time.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::{self, Write as _},
    future::Future,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use lambel_core::{
    AuditEntry, ImageId, LabelIndex, OperatorId, Task, TaskId, TaskState,
    api::{
        AnnounceFiles, AudienceFields, Claim, ClaimAnswer, CreateTask, FileAnnouncement, Grant, Grants, ImagesQuery,
        LeaseRef, PageQuery, PauseOperator, PolicyFields, ReturnLeases, SealTask, SubmitVotes, SubmittedVote, TaskView,
        VoteAnswer,
    },
    event::{Event, NewSubtasks},
    subtask::{Abstention, Answer},
};
use lambel_memory::{
    ManualClock, MemoryMessages, MemoryObjects, MemoryStore,
    faults::{Chance, Fault, Faults, FaultyMessages, FaultyObjects, FaultyStore, Rates},
};
use lambel_service::{
    Caller, Error, Role,
    error::Comeback,
    open::Opener,
    operate::Operators,
    ports::{Clock, Desks, ObjectKey, SharedMessages, SharedObjects, SharedStore, Store, Trail},
    progress::Progress,
    publish::{Change, Publisher},
    supervise::Supervisors,
    tasks::Tasks,
    validate::Validator,
};

use tokio::runtime::Runtime;

use crate::{
    flaws::{Flaw, Flawed, FlawedMessages},
    model::{Check, Finding, Kind, Model, VoteKey},
};

/// One run. The same options play the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Everything by chance follows from this.
    pub(crate) seed: u64,
    /// Calls of use cases that are begun by chance. Some more bring the tasks to their end.
    pub(crate) ops: u32,
    /// Operators.
    pub(crate) operators: usize,
    /// Clients.
    pub(crate) clients: usize,
    /// Tasks, at most.
    pub(crate) tasks: usize,
    /// Images of one task, at most.
    pub(crate) images: usize,
    /// How bad the day is: 0 (no faults) to 3.
    pub(crate) trouble: u32,
    /// What is wrong with the tables on purpose.
    pub(crate) flaw: Option<Flaw>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, ops: 400, operators: 6, clients: 2, tasks: 3, images: 12, trouble: 2, flaw: None }
    }
}

impl Options {
    /// The world of a seed: small ones, in which everybody meets at a few images, and now and then a large one, in
    /// which somebody comes to the limit of leases.
    pub(crate) fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5eed);
        let large = chance.below(20) == 0;
        Self {
            seed,
            ops: 400,
            operators: 2 + chance.below(8),
            clients: 1 + chance.below(3),
            tasks: if large { 1 } else { 1 + chance.below(4) },
            images: if large { 140 } else { 2 + chance.below(16) },
            trouble: chance.below(4) as u32,
            flaw: None,
        }
    }
}

/// What a run has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    /// Calls of use cases, by name.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) faults: BTreeMap<Fault, u64>,
    pub(crate) crashes: u64,
    pub(crate) acknowledged: u64,
    pub(crate) votes_checked: u64,
    pub(crate) recounts: u64,
    pub(crate) quiets: u64,
    pub(crate) decided: u64,
    pub(crate) completed: u64,
    /// Runs that have found something, by what it was.
    pub(crate) findings: BTreeMap<Kind, u64>,
    pub(crate) polls: u64,
    /// A number that two runs share only if they went the same way.
    pub(crate) fingerprint: u64,
}

impl Tally {
    /// Calls of use cases.
    pub(crate) fn operations(&self) -> u64 {
        self.calls.values().sum()
    }

    /// Adds another run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        for (name, calls) in &other.calls {
            *self.calls.entry(name).or_default() += calls;
        }
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
        self.votes_checked += other.votes_checked;
        self.recounts += other.recounts;
        for (kind, count) in &other.findings {
            *self.findings.entry(*kind).or_default() += count;
        }
        self.quiets += other.quiets;
        self.decided += other.decided;
        self.completed += other.completed;
        self.polls += other.polls;
        self.fingerprint ^= other.fingerprint;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} operations, {} steps", self.runs, self.operations(), self.polls)?;
        for (name, calls) in &self.calls {
            writeln!(f, "    {name:<24}{calls:>10}")?;
        }
        writeln!(f, "faults: {}, and {} crashes", self.faults.values().sum::<u64>(), self.crashes)?;
        for (fault, count) in &self.faults {
            writeln!(f, "    {:<24}{count:>10}", fault.to_string())?;
        }
        writeln!(f, "votes acknowledged: {}, each looked for again, {} times", self.acknowledged, self.votes_checked)?;
        writeln!(f, "counters compared with the records: {} times", self.recounts)?;
        writeln!(f, "quiet moments: {}", self.quiets)?;
        writeln!(f, "decisions: {}, tasks completed: {}", self.decided, self.completed)?;
        write!(f, "found:")?;
        for kind in Kind::ALL {
            let count = self.findings.get(&kind).copied().unwrap_or_default();
            write!(f, "\n    {:<28}{count:>6}", kind.to_string())?;
        }
        Ok(())
    }
}

/// A run that has found something.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) options: Options,
    /// Calls begun until then.
    pub(crate) ops: u32,
    pub(crate) what: Finding,
    /// What happened last.
    pub(crate) log: Vec<String>,
    /// What the run had counted until then.
    pub(crate) tally: Tally,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what.text)?;
        writeln!(f, "The last steps, of {} calls:", self.ops)?;
        for line in &self.log {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "The same as a test:\n")?;
        let Options { seed, ops, operators, clients, tasks, images, trouble, flaw } = &self.options;
        writeln!(f, "#[test]\nfn seed_{seed}() {{")?;
        write!(f, "    run(Options {{ seed: {seed}, ops: {ops}, operators: {operators}, clients: {clients}, ")?;
        write!(f, "tasks: {tasks}, images: {images}, trouble: {trouble}")?;
        match flaw {
            None => writeln!(f, ", ..Options::default() }});\n}}"),
            Some(flaw) => writeln!(f, ", flaw: Some(Flaw::{flaw:?}) }});\n}}"),
        }
    }
}

/// Plays a run, and panics with what it has found, made as small as a few more runs can make it.
pub(crate) fn run(options: Options) -> Tally {
    match try_run(&options) {
        Ok(tally) => tally,
        Err(failure) => panic!("{}", shrink(failure)),
    }
}

/// Plays a run.
pub(crate) fn try_run(options: &Options) -> Result<Tally, Box<Failure>> {
    let mut sim = Sim::new(options.clone());
    let outcome = sim.play();
    outcome.map_err(|what| {
        let options = options.clone();
        let log = sim.log.iter().cloned().collect();
        let mut tally = sim.tally();
        tally.findings.insert(what.kind, 1);
        Box::new(Failure { options, ops: sim.ops, what, log, tally })
    })?;
    Ok(sim.tally())
}

/// Looks for a smaller run that fails too.
pub(crate) fn shrink(mut failure: Box<Failure>) -> Box<Failure> {
    let mut tries = 60;
    loop {
        let now = failure.options.clone();
        let mut smaller = Vec::new();
        for ops in [now.ops / 4, now.ops / 2, now.ops * 3 / 4, now.ops.saturating_sub(10), now.ops.saturating_sub(1)] {
            smaller.push(Options { ops, ..now.clone() });
        }
        smaller.push(Options { operators: now.operators.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { clients: now.clients.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { tasks: now.tasks.saturating_sub(1).max(1), ..now.clone() });
        smaller.push(Options { images: (now.images / 2).max(1), ..now.clone() });
        smaller.push(Options { trouble: now.trouble.saturating_sub(1), ..now.clone() });
        let found = smaller.into_iter().filter(|options| *options != now).find_map(|options| {
            tries -= 1;
            if tries < 0 { None } else { try_run(&options).err() }
        });
        match found {
            Some(found) => failure = found,
            None => return failure,
        }
    }
}

/// Calls under way at the same time, at most.
const AT_ONCE: usize = 24;
/// Lines of the log that are kept.
const LOG: usize = 40;
/// Calls between two quiet moments.
const QUIET_EVERY: u32 = 130;
/// Operators who come in the end, when the faults are over, and label what is left.
const WILLING: usize = 12;

/// The pictures of all runs: some that are good, some that need a preview, some that are none.
static PICTURES: LazyLock<Vec<(ImageId, Vec<u8>)>> = LazyLock::new(|| {
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for (number, (_, bytes)) in lambel_samples::numbered(150, 3).enumerate() {
        pictures.push(match number % 16 {
            5 => turned(&bytes),
            9 => bytes[..bytes.len() / 2].to_vec(),
            13 => format!("this is no picture, but text of the number {number}").into_bytes(),
            _ => bytes,
        });
    }
    pictures.into_iter().map(|bytes| (ImageId::of(&bytes), bytes)).collect()
});

/// A PNG that says it lies on its side, so that operators need a preview of it.
fn turned(png: &[u8]) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let mut chunk = b"eXIf".to_vec();
    chunk.append(&mut exif);
    let crc = !chunk.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    // Behind the signature (8 bytes) and the header (25).
    let mut turned = png[..33].to_vec();
    turned.extend((chunk.len() as u32 - 4).to_be_bytes());
    turned.extend(chunk);
    turned.extend(crc.to_be_bytes());
    turned.extend(&png[33..]);
    turned
}

type Outcome<T> = Result<T, Error>;
type Job = Pin<Box<dyn Future<Output = Done>>>;

/// A call of a use case, and what is needed to make sense of its answer.
#[derive(Clone)]
enum Call {
    Create,
    Announce { task: TaskId, files: Vec<(String, usize)> },
    Seal { task: TaskId, images: u64 },
    Cancel { task: TaskId },
    OpenTo,
    Read,
    Claim { operator: usize, copy: usize },
    Vote { operator: usize, copy: usize, votes: Vec<(VoteKey, Option<Answer>)> },
    GiveBack { operator: usize, leases: Vec<LeaseRef> },
    Pause { operator: usize },
    Resume { operator: usize },
    Validate { keys: Vec<ObjectKey> },
    Open { message: NewSubtasks },
    Publish { changes: Vec<Change> },
    Hear { bodies: Vec<String> },
    Sweep,
}

impl Call {
    fn name(&self) -> &'static str {
        match self {
            Self::Create => "create task",
            Self::Announce { .. } => "announce files",
            Self::Seal { .. } => "seal",
            Self::Cancel { .. } => "cancel",
            Self::OpenTo => "open to others",
            Self::Read => "read",
            Self::Claim { .. } => "claim",
            Self::Vote { .. } => "vote",
            Self::GiveBack { .. } => "give back",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Validate { .. } => "validate uploads",
            Self::Open { .. } => "open subtasks",
            Self::Publish { .. } => "publish changes",
            Self::Hear { .. } => "hear events",
            Self::Sweep => "sweep",
        }
    }

    /// Whether it may change the counters.
    fn counts(&self) -> bool {
        matches!(self, Self::Validate { .. } | Self::Claim { .. } | Self::Vote { .. } | Self::Sweep)
    }

    /// Whether it may decode pictures, on another thread.
    fn decodes(&self) -> bool {
        matches!(self, Self::Validate { .. } | Self::Open { .. })
    }
}

/// The answer of a call.
enum Done {
    Create(Outcome<TaskView>),
    Announce(Outcome<Grants>),
    Change(Outcome<TaskView>),
    Read,
    Claim(Outcome<ClaimAnswer>),
    Vote(Outcome<VoteAnswer>),
    GiveBack(bool),
    Pause(Outcome<()>),
    /// The places of what must come back.
    Deliver(Vec<ObjectKey>, bool),
    Hear(Vec<(usize, Comeback)>),
}

struct Running {
    number: u32,
    call: Call,
    job: Job,
    /// Polls until it is struck dead.
    fuse: Option<u32>,
    began: u64,
}

/// What somebody may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Create,
    Announce,
    Seal,
    Cancel,
    OpenTo,
    Read,
    Claim,
    Vote,
    GiveBack,
    Forget,
    Pause,
    Resume,
    Validate,
    Open,
    Publish,
    Hear,
    Sweep,
    Tick,
    Release,
}

const WISHES: [(Wish, u32); 19] = [
    (Wish::Create, 4),
    (Wish::Announce, 8),
    (Wish::Seal, 3),
    (Wish::Cancel, 1),
    (Wish::OpenTo, 2),
    (Wish::Read, 4),
    (Wish::Claim, 30),
    (Wish::Vote, 45),
    (Wish::GiveBack, 6),
    (Wish::Forget, 2),
    (Wish::Pause, 3),
    (Wish::Resume, 6),
    (Wish::Validate, 10),
    (Wish::Open, 10),
    (Wish::Publish, 12),
    (Wish::Hear, 8),
    (Wish::Sweep, 2),
    (Wish::Tick, 10),
    (Wish::Release, 2),
];

/// What one operator knows.
#[derive(Default)]
struct Operator {
    /// What they were handed and have not voted on.
    hand: Vec<(TaskId, ImageId)>,
    /// What they have voted on, or tried to.
    voted: Vec<(TaskId, ImageId)>,
    last: Option<Vec<SubmittedVote>>,
    /// The step at which a claim of theirs last ended.
    claim_ended: Option<u64>,
}

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

struct Sim {
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
    ops: u32,
    calls: BTreeMap<&'static str, u64>,
    crashes: u64,
    fingerprint: u64,
    log: VecDeque<String>,
}

fn operator_name(number: usize) -> String {
    format!("op-{number}")
}

fn operator_id(number: usize) -> OperatorId {
    operator_name(number).parse().unwrap()
}

fn operator_caller(number: usize) -> Caller {
    let team = if number.is_multiple_of(2) { "even" } else { "odd" };
    Caller::new(operator_name(number), [Role::Operator]).in_teams([team.parse().unwrap()])
}

fn admin() -> Caller {
    Caller::new("root", [Role::Admin])
}

fn short(image: &ImageId) -> String {
    image.to_string()[..8].to_owned()
}

fn everyone() -> AudienceFields {
    AudienceFields { everyone: true, ..AudienceFields::default() }
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
    fn new(options: Options) -> Self {
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
        let late = Arc::new(FaultyMessages::new(queues, faults.clone()));
        let clock = Arc::new(ManualClock::new());
        let copies =
            (0..2).map(|_| Operators::new(store.clone(), objects.clone(), clock.clone())).collect::<Vec<_>>();
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
            tasks: Tasks::new(store.clone(), objects.clone(), clock.clone()).with_ids(ids),
            supervisors: Supervisors::new(store.clone(), clock.clone()),
            publisher: Arc::new(Publisher::new(store.clone(), messages)),
            progress: Progress::new(store.clone(), clock.clone()),
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
            ops: 0,
            calls: BTreeMap::new(),
            crashes: 0,
            fingerprint: 0,
            log: VecDeque::new(),
        }
    }

    fn tally(&self) -> Tally {
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

    fn play(&mut self) -> Check {
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

    fn owner(task: &Task) -> Caller {
        Caller::new(task.owner.to_string(), [Role::Client])
    }

    fn create(&mut self) -> Option<()> {
        let active = self.model.tasks.values().filter(|task| !task.state.is_final()).count();
        if active >= self.options.tasks {
            return None;
        }
        let client = self.chance.below(self.options.clients);
        let quorum = 1 + self.chance.below(3) as u32;
        let labels = 2 + self.chance.below(2);
        let request = CreateTask {
            name: "things".to_owned(),
            labels: ["cat", "dog", "cow"][..labels].iter().map(|label| (*label).to_owned()).collect(),
            instructions: None,
            policy: Some(PolicyFields {
                rule: None,
                quorum: Some(quorum),
                max_labels: Some(quorum + self.chance.below(4) as u32),
                max_abstentions: Some(1 + self.chance.below(3) as u32),
                lease_seconds: Some([2, 20, 900][self.chance.below(3)]),
            }),
            audience: None,
            expected_images: [Some(100), None][self.chance.below(2)],
        };
        let caller = Caller::new(format!("client-{client}"), [Role::Client]);
        let tasks = self.tasks.clone();
        let job = async move { Done::Create(tasks.create(&caller, &request).await) };
        self.begin(Call::Create, job, format_args!("client-{client}, quorum {quorum}"));
        Some(())
    }

    fn announce(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let mut files = Vec::new();
        for _ in 0..=self.chance.below(if self.options.images > 100 { 60 } else { 5 }) {
            let picture = self.chance.below(self.options.images.min(PICTURES.len()));
            // Sometimes a second name for the same picture, sometimes a name that another picture has.
            let name = match self.chance.below(20) {
                0 => format!("again/{picture}.png"),
                1 => format!("{}.png", picture / 2),
                _ => format!("{picture}.png"),
            };
            files.push((name, picture));
        }
        let announcements = files.iter().map(|(name, picture)| FileAnnouncement {
            name: name.clone(),
            bytes: PICTURES[*picture].1.len() as u64,
            media_type: "image/png".to_owned(),
            sha256: PICTURES[*picture].0.to_string(),
        });
        let request = AnnounceFiles { files: announcements.collect() };
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(&task), task.id);
        let job = async move { Done::Announce(tasks.announce(&caller, id, &request).await) };
        let what = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
        self.begin(Call::Announce { task: id, files }, job, format_args!("{id} {what}"));
        Some(())
    }

    fn uploaded(&self, task: TaskId) -> u64 {
        self.model.uploaded.iter().filter(|(of, _)| *of == task).count() as u64
    }

    fn seal(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let right = self.uploaded(task.id);
        // Not before most is there, or tasks would end before they begin.
        if right == 0 || ((right as usize) < self.options.images / 2 && self.chance.below(8) > 0) {
            return None;
        }
        // Sometimes the client has miscounted.
        let images = match self.chance.below(8) {
            0 => right + 1 + self.chance.below(3) as u64,
            1 => right.saturating_sub(1),
            _ => right,
        };
        self.seal_with(&task, images)
    }

    fn seal_with(&mut self, task: &Task, images: u64) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let job = async move { Done::Change(tasks.seal(&caller, id, &SealTask { images }).await) };
        self.begin(Call::Seal { task: id, images }, job, format_args!("{id} with {images}"));
        Some(())
    }

    fn cancel(&mut self, task: &Task) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let job = async move { Done::Change(tasks.cancel(&caller, id).await) };
        self.begin(Call::Cancel { task: id }, job, format_args!("{id}"));
        Some(())
    }

    fn open_to(&mut self, task: &Task, audience: AudienceFields) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let what = format!("{audience:?}");
        let job = async move { Done::Change(tasks.open_to(&caller, id, &audience).await) };
        self.begin(Call::OpenTo, job, format_args!("{id} {what}"));
        Some(())
    }

    fn read(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(&task), task.id);
        let operators = self.copies[0].clone();
        let what = self.chance.below(6);
        let worker = operator_caller(self.chance.below(self.options.operators));
        let job = async move {
            let page = PageQuery::default();
            // What they say is checked at the end; under way they are there to be in each other's way.
            match what {
                0 => drop(tasks.list(&caller, &page).await),
                1 => drop(tasks.show(&caller, id).await),
                2 => drop(tasks.results(&caller, id, &page).await),
                3 => drop(tasks.images(&caller, id, &ImagesQuery::default()).await),
                4 => drop(tasks.audit(&caller, id, &page).await),
                _ => drop(operators.work(&worker).await),
            }
            Done::Read
        };
        self.begin(Call::Read, job, format_args!("{id} {what}"));
        Some(())
    }

    fn claim(&mut self, operator: usize, task: Option<TaskId>, count: u32) -> Option<()> {
        let copy = self.chance.below(self.copies.len());
        let (operators, caller) = (self.copies[copy].clone(), operator_caller(operator));
        let job = async move { Done::Claim(operators.claim(&caller, &Claim { task, count }).await) };
        let of = task.map_or_else(|| "any task".to_owned(), |task| task.to_string());
        self.begin(Call::Claim { operator, copy }, job, format_args!("{} {count} of {of}", operator_name(operator)));
        Some(())
    }

    /// The label that most would give.
    fn truth(image: &ImageId, labels: usize) -> u16 {
        u16::from(image.digest()[31]) % labels as u16
    }

    fn vote(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        if self.chance.below(20) == 0
            && let Some(votes) = self.people[operator].last.clone()
        {
            // The same request again, as a program does that has got no answer.
            return self.send_votes(operator, votes);
        }
        let mut images = Vec::new();
        for _ in 0..=self.chance.below(6) {
            let person = &self.people[operator];
            let image = match self.chance.below(20) {
                0 => self.chance.pick(&person.voted).copied(),
                1 if !self.model.records.is_empty() => {
                    let place = self.chance.below(self.model.records.len());
                    self.model.records.keys().nth(place).copied()
                }
                _ => self.chance.pick(&person.hand).copied(),
            };
            images.extend(image);
        }
        if self.chance.below(10) > 0 {
            images.sort_unstable();
            images.dedup();
        }
        let votes: Vec<_> = images.into_iter().map(|(task, image)| self.submitted(task, image)).collect();
        (!votes.is_empty()).then_some(())?;
        self.send_votes(operator, votes)
    }

    fn submitted(&mut self, task: TaskId, image: ImageId) -> SubmittedVote {
        let labels = &self.model.tasks[&task].labels;
        let abstains = self.chance.below(12) == 0;
        let place = match self.chance.below(4) {
            0 => self.chance.below(labels.len()) as u16,
            _ => Self::truth(&image, labels.len()),
        };
        let label = labels.get(LabelIndex(place)).map(|label| label.as_str().to_owned());
        SubmittedVote {
            task,
            image,
            label: label.filter(|_| !abstains),
            abstain: abstains.then_some(Abstention::Unclear),
            elapsed_ms: Some(900),
        }
    }

    fn send_votes(&mut self, operator: usize, votes: Vec<SubmittedVote>) -> Option<()> {
        let who = operator_id(operator);
        let mut expected: Vec<(VoteKey, Option<Answer>)> = Vec::new();
        for vote in &votes {
            let key = (vote.task, vote.image, who.clone());
            let label = vote.label.as_ref().and_then(|label| self.model.tasks[&vote.task].labels.index_of(label));
            let answer = label.map(Answer::Label).or(vote.abstain.map(Answer::Abstain));
            // The second vote of a request for the same image is refused.
            let answer = answer.filter(|_| expected.iter().all(|(other, _)| *other != key));
            if let Some(answer) = answer {
                self.model.sent(key.clone(), answer);
            }
            expected.push((key, answer));
            self.people[operator].voted.push((vote.task, vote.image));
        }
        self.people[operator].last = Some(votes.clone());
        let copy = self.chance.below(self.copies.len());
        let (operators, caller) = (self.copies[copy].clone(), operator_caller(operator));
        let what: Vec<_> = votes
            .iter()
            .map(|vote| format!("{}={}", short(&vote.image), vote.label.as_deref().unwrap_or("abstains")))
            .collect();
        let job = async move { Done::Vote(operators.vote(&caller, &SubmitVotes { votes }).await) };
        let call = Call::Vote { operator, copy, votes: expected };
        self.begin(call, job, format_args!("{} {}", operator_name(operator), what.join(" ")));
        Some(())
    }

    fn give_back(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        let hand = &self.people[operator].hand;
        let first = self.chance.pick(hand).copied()?;
        let some = 1 + self.chance.below(4);
        let mut subtasks: Vec<_> = hand.iter().take(some).copied().chain([first]).collect();
        subtasks.sort_unstable();
        subtasks.dedup();
        let leases: Vec<_> = subtasks.into_iter().map(|(task, image)| LeaseRef { task, image }).collect();
        let request = ReturnLeases { subtasks: leases.clone() };
        let (operators, caller) = (self.copies[0].clone(), operator_caller(operator));
        let job = async move { Done::GiveBack(operators.give_back(&caller, &request).await.is_ok()) };
        let count = leases.len();
        self.begin(
            Call::GiveBack { operator, leases },
            job,
            format_args!("{} {count} leases", operator_name(operator)),
        );
        Some(())
    }

    fn pause(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        let supervisors = self.supervisors.clone();
        let job = async move {
            let reason = PauseOperator { reason: None };
            Done::Pause(supervisors.pause(&admin(), &operator_id(operator), &reason).await.map(drop))
        };
        self.begin(Call::Pause { operator }, job, format_args!("{}", operator_name(operator)));
        Some(())
    }

    fn resume(&mut self, operator: usize) -> Option<()> {
        let who = operator_id(operator);
        // From here on nobody can be sure.
        self.model.paused.remove(&who);
        let supervisors = self.supervisors.clone();
        let job = async move { Done::Pause(supervisors.resume(&admin(), &operator_id(operator)).await.map(drop)) };
        self.resumed.insert(who.clone(), self.model.step);
        self.begin(Call::Resume { operator }, job, format_args!("{who}"));
        Some(())
    }

    /// Takes some of what waits, in any order. What was taken may stay there too: it is delivered again.
    fn take<T: Clone>(chance: &mut Chance, bag: &mut Vec<T>, most: usize, again: u32) -> Vec<T> {
        let mut taken = Vec::new();
        for _ in 0..=chance.below(most) {
            if bag.is_empty() {
                break;
            }
            let place = chance.below(bag.len());
            taken.push(if chance.happens(again) { bag[place].clone() } else { bag.swap_remove(place) });
        }
        taken
    }

    fn again(&self) -> u32 {
        [0, 20, 60, 150][self.options.trouble.min(3) as usize] * u32::from(self.deadly > 0)
    }

    fn deliver_uploads(&mut self) -> Option<()> {
        let again = self.again();
        let most = if self.options.images > 100 { 100 } else { 10 };
        let keys = Self::take(&mut self.chance, &mut self.to_validate, most, again);
        (!keys.is_empty()).then_some(())?;
        let messages: SharedMessages = self.late.clone();
        let validator = Validator::new(self.store.clone(), self.objects.clone(), messages, self.clock.clone());
        let given = keys.clone();
        let job = async move { Done::Deliver(validator.validate(&given).await, true) };
        let what = keys.iter().map(|key| short(&key.image)).collect::<Vec<_>>().join(" ");
        self.begin(Call::Validate { keys }, job, format_args!("{what}"));
        Some(())
    }

    fn deliver_new_subtasks(&mut self) -> Option<()> {
        let again = self.again();
        let message = Self::take(&mut self.chance, &mut self.to_open, 1, again).pop()?;
        let body = serde_json::to_string(&message).unwrap();
        let opener = Opener::new(self.store.clone(), self.objects.clone());
        let job = async move {
            let deadline = Instant::now() + Duration::from_secs(3_600);
            Done::Deliver(Vec::new(), opener.open(&body, deadline).await.is_ok())
        };
        let what = message.images.iter().map(short).collect::<Vec<_>>().join(" ");
        self.begin(Call::Open { message }, job, format_args!("{what}"));
        Some(())
    }

    fn deliver_changes(&mut self) -> Option<()> {
        let again = self.again();
        let changes = Self::take(&mut self.chance, &mut self.to_publish, 12, again);
        (!changes.is_empty()).then_some(())?;
        let (publisher, given) = (self.publisher.clone(), changes.clone());
        let job = async move { Done::Deliver(Vec::new(), publisher.publish(&given).await.is_ok()) };
        let count = changes.len();
        self.begin(Call::Publish { changes }, job, format_args!("{count} changes"));
        Some(())
    }

    fn deliver_events(&mut self) -> Option<()> {
        let again = self.again();
        let bodies = Self::take(&mut self.chance, &mut self.to_hear, 12, again);
        (!bodies.is_empty()).then_some(())?;
        let (progress, given) = (self.progress.clone(), bodies.clone());
        let job = async move {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            Done::Hear(progress.hear(&given).await)
        };
        let count = bodies.len();
        self.begin(Call::Hear { bodies }, job, format_args!("{count} events"));
        Some(())
    }

    fn sweep(&mut self) -> Option<()> {
        let progress = self.progress.clone();
        let job = async move { Done::Deliver(Vec::new(), progress.sweep().await.is_ok()) };
        self.begin(Call::Sweep, job, format_args!(""));
        Some(())
    }

    fn release(&mut self) {
        let late = self.late.clone();
        self.now(async move { late.release().await.is_ok() });
        self.note(format_args!("what was held back arrives"));
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
                Change::Subtask { after, .. } => after.state.is_final(),
            };
            // The filter of the stream lets little more through than what is announced.
            if news || self.chance.below(16) == 0 {
                self.to_publish.push(change);
            }
        }
        self.to_open.extend(self.outbox.take_new_subtasks());
        for event in self.outbox.take_events() {
            self.model.published(&event)?;
            if matches!(event, Event::Subtask(..)) {
                self.to_hear.push(event.body().unwrap());
            }
        }
        Ok(())
    }

    /// A call has ended, by an answer or by its death.
    fn ended(&mut self, running: Running, done: Option<Done>) -> Check {
        if let Call::Claim { operator, .. } = running.call {
            self.people[operator].claim_ended = Some(self.model.step);
        }
        if running.call.counts() {
            self.check_counts()?;
        }
        let Running { number, call, began, .. } = running;
        let now = self.clock.now();
        match (call, done) {
            (Call::Create, Some(Done::Create(Ok(view)))) => {
                let there = self.model.tasks.contains_key(&view.task);
                self.ensure(there, number, "a task was made that is not there")
            }
            (Call::Announce { task, files }, Some(Done::Announce(Ok(grants)))) => {
                for ((name, picture), file) in files.into_iter().zip(grants.files) {
                    let (image, bytes) = &PICTURES[picture];
                    if matches!(file.grant, Grant::Refused { .. }) {
                        continue;
                    }
                    let granted = *self.model.names.entry((task, name)).or_insert(*image);
                    self.ensure(granted == *image, number, "a name was granted for two images")?;
                    if matches!(file.grant, Grant::Upload { .. }) && self.chance.below(10) > 0 {
                        let key = ObjectKey { task, image: *image };
                        self.uploads.upload(key, bytes.clone());
                        self.model.uploaded.insert((task, *image));
                        for _ in 0..=usize::from(self.chance.below(8) == 0) {
                            self.to_validate.push(key);
                        }
                    }
                }
                Ok(())
            }
            (Call::Seal { task, images }, Some(Done::Change(Ok(view)))) => {
                let sealed = self.model.has_deed(task, "task-sealed");
                self.note(format_args!("#{number} sealed: {:?}", view.state));
                self.ensure(sealed, number, "a seal was acknowledged that is not there")?;
                self.ensure(images > 0, number, "a task was sealed with nothing")
            }
            (Call::Cancel { task }, Some(Done::Change(Ok(_)))) => {
                let state = self.model.tasks[&task].state;
                self.ensure(state == TaskState::Cancelled, number, "a cancellation was acknowledged that is not there")
            }
            (Call::Claim { operator, .. }, Some(Done::Claim(Ok(answer)))) => {
                let who = operator_id(operator);
                for handed in &answer.subtasks {
                    let place = (handed.task, handed.image);
                    if !self.people[operator].hand.contains(&place) {
                        self.people[operator].hand.push(place);
                    }
                }
                let what = answer.subtasks.iter().map(|handed| short(&handed.image)).collect::<Vec<_>>().join(" ");
                self.note(format_args!("#{number} {who} is handed {what}"));
                self.model.handed(&who, &answer, began, now)
            }
            (Call::Claim { operator, copy }, failed) => {
                // Who is told that they are paused has given back what they had.
                if !matches!(failed, Some(Done::Claim(Err(Error::Paused)))) {
                    self.model.claim_failed(&operator_id(operator));
                }
                if let Some(Done::Claim(Err(error))) = &failed {
                    self.note(format_args!("#{number} {}: {error}", operator_name(operator)));
                } else {
                    self.copies[copy] = Operators::new(self.store.clone(), self.objects.clone(), self.clock.clone());
                }
                Ok(())
            }
            (Call::Vote { operator, votes, .. }, Some(Done::Vote(Ok(answer)))) => {
                let who = operator_id(operator);
                let paused = self.model.paused_before(&who, began);
                self.ensure(!paused, number, "votes of somebody who is paused were taken")?;
                let mut what = String::new();
                for ((key, given), receipt) in votes.into_iter().zip(&answer.votes) {
                    let _ = write!(what, " {}={:?}", short(&key.1), receipt.outcome);
                    let Some(given) = given else { continue };
                    self.model.heard(&key, given, began, Some((receipt.outcome, receipt.code.as_deref())))?;
                    self.people[operator].hand.retain(|place| *place != (key.0, key.1));
                }
                self.note(format_args!("#{number} {who} hears{what}"));
                Ok(())
            }
            (Call::Vote { operator, copy, votes }, failed) => {
                let refused = matches!(&failed, Some(Done::Vote(Err(Error::Paused))));
                if let Some(Done::Vote(Err(error))) = &failed {
                    self.note(format_args!("#{number} {}: {error}", operator_name(operator)));
                } else {
                    self.copies[copy] = Operators::new(self.store.clone(), self.objects.clone(), self.clock.clone());
                }
                for (key, given) in votes {
                    let Some(given) = given else { continue };
                    let outcome = refused.then_some((lambel_core::api::VoteOutcome::Refused, None));
                    self.model.heard(&key, given, began, outcome)?;
                }
                Ok(())
            }
            (Call::GiveBack { operator, leases }, Some(Done::GiveBack(true))) => {
                let given = |place: &(TaskId, ImageId)| leases.iter().any(|l| (l.task, l.image) == *place);
                self.people[operator].hand.retain(|place| !given(place));
                // A claim at the same time may have taken it again.
                let who = operator_id(operator);
                let claims = |running: &Running| matches!(running.call, Call::Claim { operator: of, .. } if of == operator);
                let claimed = self.people[operator].claim_ended.is_some_and(|ended| ended >= began)
                    || self.running.iter().any(claims);
                let held = |lease: &LeaseRef| {
                    let record = self.model.records.get(&(lease.task, lease.image));
                    record.is_some_and(|record| record.leases.contains_key(&who))
                };
                let gone = claimed || !leases.iter().any(held);
                self.ensure(gone, number, "a lease was given back, and is still there")
            }
            (Call::Pause { operator }, Some(Done::Pause(Ok(())))) => {
                let who = operator_id(operator);
                // A resumption that ran beside it has begun after `began`, or is still under way.
                let doubt = self.resumed_since(began, &who);
                self.model.pause_acknowledged(&who, began, doubt);
                self.note(format_args!("#{number} {who} is paused{}", if doubt { ", perhaps" } else { "" }));
                Ok(())
            }
            (Call::Resume { operator }, _) => {
                self.resumed.insert(operator_id(operator), self.model.step);
                Ok(())
            }
            (Call::Validate { keys }, done) => {
                match done {
                    Some(Done::Deliver(failed, _)) => {
                        let known = failed.iter().all(|key| keys.contains(key));
                        self.to_validate.extend(failed);
                        self.ensure(known, number, "an upload comes back that was not delivered")?;
                    }
                    _ => self.to_validate.extend(keys),
                }
                Ok(())
            }
            (Call::Open { message }, done) => {
                if !matches!(done, Some(Done::Deliver(_, true))) {
                    self.to_open.push(message);
                }
                Ok(())
            }
            (Call::Publish { changes }, done) => {
                if !matches!(done, Some(Done::Deliver(_, true))) {
                    self.to_publish.extend(changes);
                }
                Ok(())
            }
            (Call::Hear { bodies }, done) => {
                match done {
                    Some(Done::Hear(back)) => {
                        for (place, comeback) in back {
                            self.ensure(comeback == Comeback::Later, number, "an event could not be read")?;
                            self.to_hear.push(bodies[place].clone());
                        }
                    }
                    _ => self.to_hear.extend(bodies),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody was letting an operator work again at some time since a step.
    fn resumed_since(&self, step: u64, who: &OperatorId) -> bool {
        self.resumed.get(who).is_some_and(|resumed| *resumed >= step)
            || self.running.iter().any(
                |running| matches!(&running.call, Call::Resume { operator } if operator_id(*operator) == *who),
            )
    }

    fn ensure(&self, holds: bool, number: u32, what: &str) -> Check {
        if holds { Ok(()) } else { Err(format!("#{number}: {what}").into()) }
    }

    // Quiet moments, and the end.

    fn finish_running(&mut self) -> Check {
        while !self.running.is_empty() {
            self.poll_something()?;
        }
        Ok(())
    }

    /// Lets everything arrive that waits. Faults go on for a while, then they stop.
    fn settle(&mut self) -> Check {
        self.finish_running()?;
        let mut rounds = 0;
        let mut swept = false;
        loop {
            if rounds == 60 {
                self.faults.set(false);
                self.deadly = 0;
            }
            rounds += 1;
            if rounds > 2_000 {
                return Err("deliveries never come to an end".to_owned().into());
            }
            if rounds % 8 == 0 {
                self.release();
                self.drain()?;
            }
            let begun = [
                self.deliver_uploads(),
                self.deliver_new_subtasks(),
                self.deliver_changes(),
                self.deliver_events(),
            ];
            self.finish_running()?;
            if begun.iter().any(Option::is_some) {
                continue;
            }
            self.faults.set(false);
            self.deadly = 0;
            self.release();
            self.drain()?;
            let waiting =
                self.to_validate.len() + self.to_open.len() + self.to_publish.len() + self.to_hear.len();
            if waiting == 0 && swept {
                return Ok(());
            }
            if waiting == 0 {
                // Closes and completes what was stopped in the middle; once, and what follows from it.
                self.sweep();
                self.finish_running()?;
                swept = true;
            }
        }
    }

    fn quiet(&mut self) -> Check {
        let deadly = self.deadly;
        self.settle()?;
        self.check()?;
        self.faults.set(true);
        self.deadly = deadly;
        Ok(())
    }

    fn check(&mut self) -> Check {
        let now = self.clock.now();
        let tasks: Vec<Task> = self.model.tasks.values().cloned().collect();
        let mut stored = BTreeMap::new();
        for task in &tasks {
            stored.extend(self.memory.all_subtasks(task.id).into_iter().map(|s| ((s.task, s.image), s)));
            let trail = self.trail(&Trail::Task(task.id));
            self.model.check_trail(task.id, &trail)?;
        }
        self.check_counts()?;
        self.model.check_quiet(&stored, now)?;
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        for operator in 0..self.options.operators {
            let who = operator_id(operator);
            let Desks { standing, desks } = self.now(self.memory.desks(&ids, &who)).unwrap();
            let trail = self.trail(&Trail::Operator(who.clone()));
            self.model.check_standing(&who, standing.is_paused(), &trail)?;
            for (_, desk) in desks {
                let live = desk.leases.values().filter(|until| **until > now).count();
                if live > 100 {
                    return Err(format!("{who} has {live} live leases in one task").into());
                }
                // The record may list what was taken back in the meantime, by a claim that had read it before. What is
                // held is what the subtask says.
                let held = desk.leases.keys().filter(|image| self.model.holds(&who, desk.task, **image, now)).count();
                if held > 0 && self.model.must_hold_nothing(&who) {
                    return Err(format!("{who} is paused, and holds {held} leases").into());
                }
            }
        }
        Ok(())
    }

    /// Transactions happen at once here, so there is none in flight between two steps.
    fn check_counts(&mut self) -> Check {
        let tasks: Vec<Task> = self.model.tasks.values().cloned().collect();
        for task in tasks {
            let counts = self.now(self.plain.counts(&task)).unwrap();
            self.model.check_counts(task.id, &counts)?;
        }
        Ok(())
    }

    fn trail(&self, trail: &Trail) -> Vec<AuditEntry> {
        let rows = self.now(self.memory.audit(trail, None, 10_000)).unwrap();
        rows.into_iter().map(|(_, entry)| entry).collect()
    }

    /// No more faults: whatever goes on must come to its end by willing operators.
    fn finish(&mut self) -> Check {
        self.faults.set(false);
        self.deadly = 0;
        let goes_on = |sim: &Self| -> Vec<Task> {
            sim.model.tasks.values().filter(|task| !task.state.is_final()).cloned().collect()
        };
        for task in goes_on(self) {
            self.open_to(&task, everyone());
            self.finish_running()?;
            let records = self.model.records.keys().filter(|(of, _)| *of == task.id).count() as u64;
            match records {
                0 => self.cancel(&task),
                records => self.seal_with(&task, records),
            };
            self.finish_running()?;
        }
        // Leases that were forgotten end.
        self.clock.pass(Duration::from_secs(4_000));
        for _ in 0..40 {
            self.settle()?;
            let tasks = goes_on(self);
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                for willing in self.options.operators..self.options.operators + WILLING {
                    if self.model.tasks[&task.id].state.is_final() {
                        break;
                    }
                    self.claim(willing, Some(task.id), 100);
                    self.finish_running()?;
                    let hand = std::mem::take(&mut self.people[willing].hand);
                    let votes: Vec<_> = hand
                        .into_iter()
                        .map(|(task, image)| {
                            let labels = &self.model.tasks[&task].labels;
                            let label = labels.get(LabelIndex(Self::truth(&image, labels.len())));
                            let label = label.map(|label| label.as_str().to_owned());
                            SubmittedVote { task, image, label, abstain: None, elapsed_ms: None }
                        })
                        .collect();
                    for some in votes.chunks(100) {
                        self.send_votes(willing, some.to_vec());
                        self.finish_running()?;
                    }
                }
            }
            self.clock.pass(Duration::from_secs(5));
        }
        self.check()?;
        match goes_on(self).first() {
            Some(task) => Err(format!("task {} never came to its end: {:?}", task.id, task.state).into()),
            None => self.check_results(),
        }
    }

    /// What the clients read in the end: each name that was granted, with the image that it was granted for.
    fn check_results(&mut self) -> Check {
        for task in self.model.tasks.values() {
            let mut rows = BTreeMap::new();
            let mut query = PageQuery { cursor: None, limit: Some(7) };
            loop {
                let page = self.now(self.tasks.results(&Self::owner(task), task.id, &query)).map_err(|e| e.to_string());
                let page = page?;
                for row in page.rows {
                    if rows.insert(row.name.clone(), row.image).is_some() {
                        return Err(format!("{}: `{}` is twice in the results", task.id, row.name).into());
                    }
                }
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
            let granted = self.model.names.iter().filter(|((of, _), _)| *of == task.id);
            for ((_, name), image) in granted {
                if rows.get(name) != Some(image) {
                    return Err(format!("{}: `{name}` is not in the results as it was granted", task.id).into());
                }
            }
        }
        Ok(())
    }
}
