//! What an operator does: claim, vote, give back, see what work there is.

mod give_back;
pub(crate) mod gold;
mod receipt;
mod work;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    ImageId, OperatorId, Standing, Subtask, SubtaskState, Task, TaskId, TaskState, Timestamp, Vote,
    api::{Claim, ClaimAnswer, SubmitVotes, VoteAnswer},
    consensus::Verdict,
    limits,
    subtask::DecidedBy,
};

use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{
        CLOSED_AT_ONCE, CastError, Closing, Desk, Desks, NoGold, SharedClock, SharedGold, SharedObjects, SharedStore,
        StoreResult,
    },
    walk::Walk,
};
use gold::{Mixer, Received, is_gold};
use receipt::{Rejected, read_answer, receipt};
use work::work_task;

/// Requests to the tables that one call has under way at the same time.
const AT_ONCE: usize = 20;
/// How often a decision is made anew when further votes come in between.
const CLOSE_TRIES: usize = 5;
/// How often a claim tries to store the operator's record when another claim of theirs came in between.
const DESK_TRIES: usize = 3;
/// Subtasks read by one batch.
const READ_AT_ONCE: usize = 100;
/// How long a shard that was seen empty is not looked into.
const EMPTY_FOR: Duration = Duration::from_secs(4);
/// How long an expired lease stays on the operator's record, so that a late vote can be honoured.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);
/// Tasks that a claim without a task looks at, and tasks of a list of work.
const ACTIVE_TASKS: u32 = 40;
/// Operators of whom it is remembered where in the list of tasks their last claim ended.
const REMEMBERED_OPERATORS: usize = 10_000;
/// What is said to an operator for whom there is nothing, in seconds.
const RETRY_AFTER: u32 = 3;
/// The same, where the walk has not come round yet.
const RETRY_SOON: u32 = 1;

/// The Subtask Manager's side towards operators.
#[derive(Clone)]
pub struct Operators {
    store: SharedStore,
    objects: SharedObjects,
    clock: SharedClock,
    gold: Mixer,
    /// Shards whose pool was seen empty, and until when that is believed.
    empty: Arc<Mutex<HashMap<(TaskId, u16), Timestamp>>>,
    /// The last task that the last claim of an operator looked at without finding enough, where there were more
    /// behind it: the next one goes on there, so that tasks without work do not hide those behind them.
    looked: Arc<Mutex<HashMap<OperatorId, TaskId>>>,
}

/// What a claim got in one task.
struct Handed {
    task: Task,
    subtasks: Vec<(Subtask, Timestamp)>,
    /// Whether there are new leases among them that a pause at the same time may have missed.
    missed: bool,
    /// Whether the walk has passed the whole ring.
    came_round: bool,
}

/// How an operator's record was stored.
struct Kept {
    /// Leases that are too many.
    surplus: Vec<ImageId>,
    /// Whether nobody had changed the record since it was read.
    first_try: bool,
}

fn unpaused(standing: &Standing) -> Result<()> {
    if standing.is_paused() { Err(Error::Paused) } else { Ok(()) }
}

impl Operators {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, clock: SharedClock) -> Self {
        let gold = Mixer::new(store.clone(), Arc::new(NoGold));
        Self { store, objects, clock, gold, empty: Arc::default(), looked: Arc::default() }
    }

    /// The same, with gold among the work of tasks that want it.
    #[must_use]
    pub fn with_gold(self, gold: SharedGold) -> Self {
        Self { gold: Mixer::new(self.store.clone(), gold), ..self }
    }

    /// Hands out work: first what the operator holds and has not voted on, then new leases.
    pub async fn claim(&self, caller: &Caller, request: &Claim) -> Result<ClaimAnswer> {
        let operator = caller.operator()?;
        if !(1..=limits::CLAIM_COUNT).contains(&request.count) {
            return Err(Error::invalid("count", format!("1 to {}", limits::CLAIM_COUNT)));
        }
        let wanted = request.count as usize;
        let mut handed: Vec<Handed> = Vec::new();
        let mut all_round = true;
        let mut paused = false;
        match request.task {
            Some(id) => {
                let (standing, task, desk) = self.desk(id, &operator).await?;
                unpaused(&standing)?;
                // A task that is kept for others is not there for this one.
                let task = task.filter(|task| caller.belongs_to(&task.audience)).ok_or(Error::TaskNotFound)?;
                if task.state.is_final() {
                    return Err(Error::TaskEnded(task.state));
                }
                if desk.paused_at.is_some() {
                    return Err(Error::PausedInTask);
                }
                handed.push(self.claim_in(task, desk, &operator, wanted).await?);
            }
            None => {
                let after = lock(&self.looked).remove(&operator);
                let (tasks, more) = self.store.active_tasks(after, ACTIVE_TASKS).await?;
                let missing = |handed: &[Handed]| wanted - handed.iter().map(|h| h.subtasks.len()).sum::<usize>();
                for task in tasks.into_iter().filter(|task| caller.belongs_to(&task.audience)) {
                    let missing = missing(&handed);
                    if missing == 0 {
                        break;
                    }
                    let (standing, task, desk) = self.desk(task.id, &operator).await?;
                    // What was leased before this in other tasks may be too late for the pause to find it.
                    paused = standing.is_paused();
                    if paused {
                        break;
                    }
                    let free = desk.paused_at.is_none();
                    let fits = |task: &Task| free && !task.state.is_final() && caller.belongs_to(&task.audience);
                    if let Some(task) = task.filter(fits) {
                        match self.claim_in(task, desk, &operator, missing).await {
                            Err(Error::PausedInTask) => {}
                            here => handed.push(here?),
                        }
                    }
                }
                if let Some(last) = more.filter(|_| !paused && missing(&handed) > 0) {
                    all_round = false;
                    let mut looked = lock(&self.looked);
                    if looked.len() >= REMEMBERED_OPERATORS {
                        looked.clear();
                    }
                    looked.insert(operator.clone(), last);
                }
            }
        }

        // Whoever pauses an operator writes the standing first, and then changes each of their records and takes
        // back what is on it. A claim that stores the record which it has read with the standing was before that:
        // its leases are taken back. Any other looks at the standing again.
        if !paused && handed.iter().any(|handed| handed.missed) {
            paused = self.store.standing(&operator).await?.is_paused();
        }
        if paused {
            for Handed { task, subtasks, .. } in &handed {
                let images: Vec<ImageId> = subtasks.iter().map(|(subtask, _)| subtask.image).collect();
                let (_, _, desk) = self.desk(task.id, &operator).await?;
                self.hand_back(task, desk, &images).await?;
            }
            return Err(Error::Paused);
        }

        let now = self.clock.now();
        let mut subtasks = Vec::new();
        for Handed { subtasks: leased, .. } in &handed {
            for (subtask, until) in leased {
                subtasks.push(self.leased(subtask, *until, now).await?);
            }
        }
        let retry_after = match (subtasks.is_empty(), all_round && handed.iter().all(|h| h.came_round)) {
            (false, _) => None,
            (true, true) => Some(RETRY_AFTER),
            (true, false) => Some(RETRY_SOON),
        };
        let tasks = handed.iter().filter(|h| !h.subtasks.is_empty()).map(|h| work_task(&h.task)).collect();
        Ok(ClaimAnswer { subtasks, tasks, retry_after })
    }

    async fn desk(&self, task: TaskId, operator: &OperatorId) -> Result<(Standing, Option<Task>, Desk)> {
        let Desks { standing, mut desks } = self.store.desks(&[task], operator).await?;
        let (task, desk) = desks.pop().ok_or(Error::TaskNotFound)?;
        Ok((standing, task, desk))
    }

    async fn claim_in(&self, task: Task, mut desk: Desk, operator: &OperatorId, wanted: usize) -> Result<Handed> {
        let now = self.clock.now();
        let mut gold = self.gold.share(&task, &desk, wanted, now).await?;
        let live_gold = gold.as_ref().map_or(0, |gold| gold.live);
        // What they hold of gold is handed out again, as work is.
        let mut wanted = wanted - gold.as_ref().map_or(0, |gold| gold.held.len());
        let until = now.plus(task.policy.lease());
        let labels = task.labels.len();
        let held: Vec<ImageId> =
            desk.leases.iter().filter(|(_, until)| **until > now).map(|(image, _)| *image).collect();
        let mut walk = Walk::new(&task, desk.place);
        let mut handed: BTreeMap<ImageId, (Subtask, Timestamp)> = BTreeMap::new();
        let mut gone = HashSet::new();
        let mut stale = Vec::new();
        let mut unread_held = held.clone();
        let mut first = true;

        loop {
            let missing = wanted.saturating_sub(handed.len());
            // Room for the candidates, beside the leases that have to be read anyway.
            let own = std::mem::take(&mut unread_held);
            let room = READ_AT_ONCE.saturating_sub(own.len());
            // A few more than wanted, since some may be taken; many more where the first have not sufficed.
            let limit = if first { missing + missing / 2 } else { room };
            let candidates = match missing {
                0 => Vec::new(),
                _ => self.candidates(&mut walk, &task, now, limit.min(room)).await?,
            };
            first = false;
            let mut reading: Vec<ImageId> = own.clone();
            reading.extend(candidates.iter().filter(|image| !own.contains(image)));
            if reading.is_empty() {
                break;
            }
            // What the operator holds must be read as it is now: they may have voted on it a moment ago.
            let read = self.store.subtasks(&task, &reading, !own.is_empty()).await?;
            let mut known: HashMap<ImageId, Subtask> = read.into_iter().map(|s| (s.image, s)).collect();

            for image in &own {
                let Some(subtask) = known.get(image) else { continue };
                match subtask.live_lease(operator, now) {
                    Some(until) if subtask.state == SubtaskState::Open => {
                        if handed.len() < wanted {
                            handed.insert(*image, (subtask.clone(), until));
                        }
                    }
                    _ => {
                        gone.insert(*image);
                    }
                }
            }

            let mut free = Vec::new();
            for image in candidates.iter().filter(|image| !held.contains(image)) {
                let Some(subtask) = known.remove(image) else { continue };
                if subtask.state != SubtaskState::Open {
                    continue;
                }
                if let Verdict::Decided(decision) = subtask.judge(&task.policy, labels) {
                    // Decided, but whoever decided it was stopped before closing it.
                    stale.push(Closing { seen: subtask, decision, by: DecidedBy::Votes });
                } else if subtask.availability(operator, &task.policy, labels, now).is_ok() {
                    free.push(subtask);
                }
            }
            // What was voted on, or has gone to others, is no live lease any more.
            let room = limits::LIVE_LEASES.saturating_sub(held.len() - gone.len() + live_gold);
            // Where there is no work for them, gold would be labelled for nothing.
            if let Some(gold) = gold.as_mut().filter(|gold| gold.drawn.is_none() && !free.is_empty()) {
                wanted -= gold.draw(&task, (wanted - handed.len()).min(room), now);
            }
            let room = room.saturating_sub(gold.as_ref().and_then(|gold| gold.drawn).unwrap_or(0));
            let fresh = |handed: &BTreeMap<ImageId, _>| handed.keys().filter(|i| !held.contains(i)).count();
            let mut free = free.into_iter();
            while handed.len() < wanted && fresh(&handed) < room {
                let take = (wanted - handed.len()).min(room - fresh(&handed));
                let batch: Vec<_> = free.by_ref().take(take).collect();
                let Some(last) = batch.last() else { break };
                walk.pass(&last.image);
                let leased = self.lease(&task, batch, operator, until, now).await?;
                handed.extend(leased.into_iter().map(|(subtask, until)| (subtask.image, (subtask, until))));
            }
            if free.next().is_none() {
                walk.pass_all();
            }
            if handed.len() >= wanted || fresh(&handed) >= room || walk.ended() {
                break;
            }
        }
        self.close(&task, stale).await;

        let came_round = walk.came_round;
        let place = walk.place;
        let is_new = desk.rev == 0;
        let Kept { surplus, first_try } = self.keep(&mut desk, place, &gone, &mut handed, now).await?;
        // Another claim of theirs has leased at the same time; this one gives back what is too much.
        let returns: Vec<_> = surplus.iter().map(|image| self.store.give_back(&task, *image, operator)).collect();
        stream::iter(returns).buffered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        if desk.paused_at.is_some() {
            // They were paused in this task while this went on. Whoever did so has not seen these leases.
            let returns: Vec<_> = handed.keys().map(|image| self.store.give_back(&task, *image, operator)).collect();
            stream::iter(returns).buffered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
            return Err(Error::PausedInTask);
        }
        let mut missed = (is_new || !first_try) && handed.keys().any(|image| !held.contains(image));
        if let Some(mut gold) = gold {
            handed.extend(std::mem::take(&mut gold.held).into_iter().map(|held| (held.0.image, held)));
            let leased = self.gold.lease(gold, until, now).await?;
            // Gold has a record of its own, and a pause may have come between the two.
            missed |= !leased.is_empty();
            if desk.rev == 0 && !leased.is_empty() {
                // From now on the task is there for them, as it is for who has leased work.
                desk.rev = 1;
                self.store.put_desk(&desk).await?;
            }
            handed.extend(leased.into_iter().map(|leased| (leased.0.image, leased)));
        }
        // In the order of their ids, where gold is like any other.
        Ok(Handed { task, subtasks: handed.into_values().collect(), missed, came_round })
    }

    /// The next images of the walk, `limit` at most.
    async fn candidates(&self, walk: &mut Walk, task: &Task, now: Timestamp, limit: usize) -> Result<Vec<ImageId>> {
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(stretch) = walk.next() else { break };
            let missing = (limit - found.len()) as u32;
            if self.believed_empty(task.id, stretch.shard, now) {
                walk.skipped();
                continue;
            }
            let images = self.store.pool(task, stretch, missing).await?;
            let whole = stretch.from == ImageId::MIN && stretch.before.is_none();
            if images.is_empty() && whole {
                self.remember_empty(task.id, stretch.shard, now);
            }
            match images.last() {
                Some(last) if images.len() == missing as usize => walk.looked_up_to(last),
                _ => walk.exhausted(),
            }
            found.extend(images);
        }
        Ok(found)
    }

    /// Leases subtasks, at the same time. A race that is lost is skipped.
    async fn lease(
        &self,
        task: &Task,
        free: Vec<Subtask>,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Subtask, Timestamp)>> {
        let leases = free.into_iter().map(|subtask| async move {
            // Also where the record shows a live lease of theirs, left over from a claim that was stopped: it may
            // have been read late, and they may have voted since.
            let won = self.store.lease(task, &subtask, operator, until, now).await?;
            Ok::<_, Error>(won.then_some((subtask, until)))
        });
        let outcomes: Vec<_> = stream::iter(leases).buffered(AT_ONCE).try_collect().await?;
        Ok(outcomes.into_iter().flatten().collect())
    }

    /// Stores the operator's record after a claim. If a claim at the same time has made the live leases too many,
    /// the surplus is taken out of `handed`: it is to be given back. What is `gone` is taken off as it was read: a
    /// claim at the same time may have leased it again.
    async fn keep(
        &self,
        desk: &mut Desk,
        place: ImageId,
        gone: &HashSet<ImageId>,
        handed: &mut BTreeMap<ImageId, (Subtask, Timestamp)>,
        now: Timestamp,
    ) -> Result<Kept> {
        let mut kept = Kept { surplus: Vec::new(), first_try: true };
        let read = desk.leases.clone();
        for _ in 0..DESK_TRIES {
            let before = desk.clone();
            desk.place = place;
            let is_gone = |image: &ImageId, until: &Timestamp| gone.contains(image) && read.get(image) == Some(until);
            desk.leases.retain(|image, until| !is_gone(image, until) && until.plus(REMEMBERED_FOR) > now);
            let live = desk.leases.iter().filter(|(image, until)| **until > now && !handed.contains_key(image)).count();
            let fresh = |image: &&ImageId| !before.leases.contains_key(image);
            while live + handed.len() > limits::LIVE_LEASES
                && let Some(image) = handed.keys().rev().find(fresh).copied()
            {
                handed.remove(&image);
                desk.leases.remove(&image);
                kept.surplus.push(image);
            }
            desk.leases.extend(handed.iter().map(|(image, (_, until))| (*image, *until)));
            // Expired ones are a courtesy: only where there is room.
            let mut surplus = desk.leases.len().saturating_sub(limits::LIVE_LEASES);
            desk.leases.retain(|_, until| {
                let drop = surplus > 0 && *until <= now;
                surplus -= usize::from(drop);
                !drop
            });
            if *desk == before {
                return Ok(kept);
            }
            desk.rev += 1;
            if self.store.put_desk(desk).await? {
                return Ok(kept);
            }
            kept.first_try = false;
            (_, _, *desk) = self.desk(desk.task, &desk.operator).await?;
        }
        // The leases are on the subtasks: the next walk finds them there.
        tracing::warn!(task = %desk.task, operator = %desk.operator, "operator's record not stored");
        Ok(kept)
    }

    /// Takes votes, judges each alone, and closes what they decide.
    pub async fn vote(&self, caller: &Caller, request: &SubmitVotes) -> Result<VoteAnswer> {
        let operator = caller.operator()?;
        if !(1..=limits::VOTES_PER_REQUEST).contains(&request.votes.len()) {
            let detail = format!("1 to {} votes in one request", limits::VOTES_PER_REQUEST);
            return Err(Error::invalid("votes", detail));
        }
        let now = self.clock.now();
        let mut ids: Vec<TaskId> = request.votes.iter().map(|vote| vote.task).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() > ACTIVE_TASKS as usize {
            return Err(Error::invalid("votes", format!("votes of {ACTIVE_TASKS} tasks at most in one request")));
        }
        let Desks { standing, desks } = self.store.desks(&ids, &operator).await?;
        unpaused(&standing)?;
        let desks: HashMap<TaskId, (Option<Task>, Desk)> = ids.into_iter().zip(desks).collect();
        let there = desks.values().filter_map(|(task, desk)| task.as_ref().filter(|task| is_there(caller, task, desk)));
        let of_gold = self.gold.desks(there, &operator).await?;

        let mut seen = HashSet::new();
        let casts: Vec<_> = request
            .votes
            .iter()
            .map(|vote| {
                let repeated = !seen.insert((vote.task, vote.image));
                let desk = &desks[&vote.task];
                let (operator, of_gold) = (&operator, &of_gold);
                async move {
                    if repeated {
                        return Err(Rejected::new("duplicate", "the request has another vote for this image"));
                    }
                    let (task, desk) = desk;
                    let there = |task: &&Task| is_there(caller, task, desk);
                    let Some(task) = task.as_ref().filter(there) else {
                        return Err(Rejected::new("task-not-found", "there is no task with this id"));
                    };
                    let answer = read_answer(task, vote)?;
                    if task.state == TaskState::Cancelled {
                        return Err(Rejected::new("task-ended", "the task was cancelled"));
                    }
                    if desk.paused_at.is_some() {
                        return Err(Rejected::new("paused-in-task", Error::PausedInTask.to_string()));
                    }
                    let earned = desk.measured.filter(|_| task.policy.rule.weighs()).map(|measured| measured.earned);
                    let cast = Vote { answer, at: now, elapsed_ms: vote.elapsed_ms, earned };
                    if of_gold.get(&task.id).is_some_and(|of_gold| is_gold(of_gold, desk, &vote.image)) {
                        return Ok(Received::Gold(cast));
                    }
                    let held = desk.leases.contains_key(&vote.image);
                    let cast = self.store.cast(task, vote.image, operator, cast, held).await;
                    cast.map(|(cast, subtask)| Received::Work(cast, Box::new(subtask))).map_err(|error| match error {
                        CastError::NotLeased(_) => Rejected::not_leased(),
                        CastError::NoSubtask => Rejected::new("image-not-found", error.to_string()),
                        CastError::Store(error) => {
                            tracing::warn!(task = %vote.task, image = %vote.image, %error, "vote not stored");
                            Rejected::not_stored()
                        }
                    })
                }
            })
            .collect();
        let received: Vec<Result<Received, Rejected>> = stream::iter(casts).buffered(AT_ONCE).collect().await;

        // What is decided now, by task. `unchanged` counts too: perhaps the first time was cut off in between.
        let mut decided: BTreeMap<TaskId, Vec<Closing>> = BTreeMap::new();
        for subtask in received.iter().flatten().filter_map(Received::subtask) {
            let Some(task) = &desks[&subtask.task].0 else { continue };
            if let Some(closing) = Closing::of(task, subtask.clone()) {
                decided.entry(task.id).or_default().push(closing);
            }
        }
        for (id, closings) in decided {
            let Some(task) = &desks[&id].0 else { continue };
            if !self.close(task, closings).await {
                // The votes are stored. Sent again they are unchanged, and the decision is closed.
                return Err(Error::Contended);
            }
        }

        let outcomes = self.settle_gold(request, received, &desks, &of_gold).await;
        Ok(VoteAnswer { votes: request.votes.iter().zip(outcomes).map(|(vote, cast)| receipt(vote, cast)).collect() })
    }

    /// Closes decided subtasks of one task, and says whether that worked out. If not, the same votes sent again,
    /// the next claim that meets the subtasks, or the sweep closes them.
    pub(crate) async fn close(&self, task: &Task, mut closings: Vec<Closing>) -> bool {
        for _ in 0..CLOSE_TRIES {
            if closings.is_empty() {
                return true;
            }
            match self.close_once(task, &closings).await {
                Ok(again) => closings = again,
                Err(error) => {
                    tracing::warn!(task = %task.id, %error, subtasks = closings.len(), "decided subtasks not closed");
                    return false;
                }
            }
        }
        closings.is_empty()
    }

    /// One try. What has changed in between is read and decided again; what is decided still is returned.
    async fn close_once(&self, task: &Task, closings: &[Closing]) -> StoreResult<Vec<Closing>> {
        let mut lost = Vec::new();
        for chunk in closings.chunks(CLOSED_AT_ONCE) {
            let closed = self.store.close(task, chunk, self.clock.now()).await?;
            lost.extend(chunk.iter().zip(closed).filter(|(_, closed)| !closed).map(|(closing, _)| closing.seen.image));
        }
        if lost.is_empty() {
            return Ok(Vec::new());
        }
        let read = self.store.subtasks(task, &lost, true).await?;
        Ok(read.into_iter().filter_map(|seen| Closing::of(task, seen)).collect())
    }

    fn believed_empty(&self, task: TaskId, shard: u16, now: Timestamp) -> bool {
        let empty = lock(&self.empty);
        empty.get(&(task, shard)).is_some_and(|until| *until > now)
    }

    fn remember_empty(&self, task: TaskId, shard: u16, now: Timestamp) {
        let mut empty = lock(&self.empty);
        empty.retain(|_, until| *until > now);
        empty.insert((task, shard), now.plus(EMPTY_FOR));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a task is there for an operator: it is open to them, or was when they took something from it.
fn is_there(caller: &Caller, task: &Task, desk: &Desk) -> bool {
    desk.rev > 0 || caller.belongs_to(&task.audience)
}
