//! What must be so: written apart from the code under test, out of what callers were told and what the tables show.
//!
//! The model looks at every change of every record as it happens ([`Model::observe`]), at every answer that a caller
//! gets, and at everything together when all is quiet ([`Model::check_quiet`]).

mod batches;
mod reviews;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use lambel_core::{
    AuditEntry, Counts, Deed, ImageId, OperatorId, Subtask, SubtaskState, Task, TaskId, TaskState, Timestamp,
    api::{ClaimAnswer, VoteOutcome},
    subtask::{Answer, DecidedBy},
};
use lambel_service::publish::Change;

use self::rules::{Expected, expected};

/// Something that must not be.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// What a finding is about, as far as the figures tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A vote was acknowledged, and is not there.
    VoteLost,
    /// A vote was acknowledged twice as one that is new, or is there without having been given.
    VoteDoubled,
    /// The counters differ from the records.
    CountersOff,
    /// One thing was announced under two ids.
    AnnouncedTwice,
    /// All else.
    Other,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::VoteLost, Self::VoteDoubled, Self::CountersOff, Self::AnnouncedTwice, Self::Other];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VoteLost => "acknowledged votes lost",
            Self::VoteDoubled => "votes doubled",
            Self::CountersOff => "counters off",
            Self::AnnouncedTwice => "announced under two ids",
            Self::Other => "anything else",
        })
    }
}

impl From<String> for Finding {
    fn from(text: String) -> Self {
        Self { kind: Kind::Other, text }
    }
}

pub(crate) type Check<T = ()> = Result<T, Finding>;

/// One vote of one operator on one image, as somebody tried to give it.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    answer: Answer,
    /// The step at which it was sent.
    began: u64,
    /// The step at which its sender heard of it, or died.
    ended: u64,
    known: Known,
}

/// What is known of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Under way.
    Running,
    /// It was acknowledged as a vote that counts.
    Counts,
    /// It was acknowledged as one that came after the decision.
    Late,
    /// Nobody was told: it may be there, or not.
    Perhaps,
    /// It was refused: it is not there.
    Nothing,
}

/// A pause that somebody was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    /// The step at which the last call that said so began. What had been leased by then it has taken back.
    began: u64,
    /// The step at which the first such call was answered: from here on nothing more is handed out.
    answered: u64,
}

/// The key of a vote.
pub(crate) type VoteKey = (TaskId, ImageId, OperatorId);

/// What has become of a record and is to be announced, by the number of the change: its state, and its label.
type News = BTreeMap<u64, (SubtaskState, Option<String>)>;

#[derive(Default)]
pub(crate) struct Model {
    /// Steps of the scheduler so far.
    pub(crate) step: u64,
    /// Every task as the stream has it.
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    /// Every record as the stream has it.
    pub(crate) records: BTreeMap<(TaskId, ImageId), Subtask>,
    /// What the trail of each task must say, the oldest first.
    deeds: BTreeMap<TaskId, Vec<&'static str>>,
    /// Every lease that was ever written.
    granted: BTreeSet<(TaskId, ImageId, OperatorId, Timestamp)>,
    attempts: BTreeMap<VoteKey, Vec<Attempt>>,
    /// Votes of which somebody was told that they count as the operator's first.
    counted: BTreeSet<VoteKey>,
    /// Leases that operators were told of.
    told: BTreeMap<VoteKey, Timestamp>,
    /// Operators who are paused for certain, and since when.
    pub(crate) paused: BTreeMap<OperatorId, Pause>,
    /// The step at which a claim of an operator last failed, or died.
    failed_claims: BTreeMap<OperatorId, u64>,
    /// The ids under which something was announced, by what it is about.
    announced: BTreeMap<(TaskId, Option<ImageId>), BTreeSet<String>>,
    /// What is to be announced of each image.
    news: BTreeMap<(TaskId, ImageId), News>,
    /// Late votes that count since their image was opened again.
    moved: BTreeSet<VoteKey>,
    /// Images on which an operator has changed their vote.
    changed: BTreeSet<(TaskId, ImageId)>,
    /// What was uploaded, and so must be recorded.
    pub(crate) uploaded: BTreeSet<(TaskId, ImageId)>,
    /// Names that were granted.
    pub(crate) names: BTreeMap<(TaskId, String), ImageId>,
    /// Votes that somebody was told are there.
    pub(crate) acknowledged: u64,
    /// Comparisons of a vote that must be there with what is there.
    pub(crate) votes_checked: u64,
    /// Comparisons of a task's counters with its records.
    pub(crate) recounts: u64,
    /// Quiet moments.
    pub(crate) quiets: u64,
    /// Tasks that were completed.
    pub(crate) completed: u64,
    /// Subtasks that were decided.
    pub(crate) decided: u64,
    /// Subtasks that a batch has decided, or decided again.
    pub(crate) revised: u64,
    /// Subtasks that were opened again.
    pub(crate) reopened: u64,
    /// Disputed subtasks that a person has decided.
    pub(crate) reviewed: u64,
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Check {
    ensure_of(Kind::Other, holds, what)
}

fn ensure_of(kind: Kind, holds: bool, what: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(Finding { kind, text: what() }) }
}

impl Model {
    /// One change of the tables. `claiming_since` says since which step the operator's oldest claim is under way.
    pub(crate) fn observe(
        &mut self,
        change: &Change,
        now: Timestamp,
        claiming_since: impl Fn(&OperatorId) -> Option<u64>,
    ) -> Check {
        match change {
            Change::Task { before, after } => self.observe_task(*before, after),
            Change::Subtask { after, .. } => self.observe_subtask(after, now, claiming_since),
            Change::Branch { .. } => Ok(()),
        }
    }

    fn observe_task(&mut self, before: Option<TaskState>, after: &Task) -> Check {
        let id = after.id;
        let known = self.tasks.insert(id, after.clone());
        ensure(known.as_ref().map(|task| task.state) == before, || {
            format!("task {id}: the stream has skipped a state")
        })?;
        let deed = match &known {
            None => {
                ensure(after.rev == 0 && after.state == TaskState::Open, || format!("task {id}: born as {after:?}"))?;
                "task-created"
            }
            Some(known) => {
                ensure(after.rev == known.rev + 1, || format!("task {id}: rev {} after {}", after.rev, known.rev))?;
                ensure(!known.state.is_final(), || {
                    format!("task {id}: changed from {:?} to {:?}, though it was over", known.state, after.state)
                })?;
                match after.state {
                    TaskState::Complete => {
                        self.completed += 1;
                        self.check_completion(after)?;
                        "task-completed"
                    }
                    TaskState::Cancelled => "task-cancelled",
                    _ if after.images != known.images => "task-sealed",
                    _ if after.audience != known.audience => "audience-changed",
                    // The entry is there before anything is decided.
                    _ if *after == known.noted() => "disputes-reviewed",
                    _ => return Err(format!("task {id}: changed in nothing").into()),
                }
            }
        };
        self.deeds.entry(id).or_default().push(deed);
        Ok(())
    }

    /// A task may be complete only if as many images as its seal says are decided or refused. Others, recorded while it
    /// was being completed, may be undecided: that is known, and they are never labelled.
    fn check_completion(&self, task: &Task) -> Check {
        let done = self.records_of(task.id).filter(|record| reviews::is_done(task, record)).count() as u64;
        let sealed = task.images.unwrap_or(u64::MAX);
        ensure(done >= sealed, || format!("task {}: complete with {done} images done of {sealed}", task.id))
    }

    fn records_of(&self, task: TaskId) -> impl Iterator<Item = &Subtask> {
        self.records.range((task, ImageId::MIN)..=(task, ImageId::MAX)).map(|(_, record)| record)
    }

    fn observe_subtask(
        &mut self,
        after: &Subtask,
        now: Timestamp,
        claiming_since: impl Fn(&OperatorId) -> Option<u64>,
    ) -> Check {
        let key = (after.task, after.image);
        let name = format!("{}/{}", after.task, &after.image.to_string()[..8]);
        let task = self.tasks.get(&after.task).ok_or_else(|| format!("{name}: of a task that is not there"))?;
        let Some(before) = self.records.get(&key) else {
            let born = matches!(after.state, SubtaskState::Preparing | SubtaskState::Rejected) && after.rev == 0;
            ensure(born, || format!("{name}: born as {after:?}"))?;
            self.records.insert(key, after.clone());
            if after.state.is_final() {
                self.will_announce(after);
            }
            return Ok(());
        };
        ensure(after.rev == before.rev + 1, || format!("{name}: rev {} after {}", after.rev, before.rev))?;
        let step = (before.state, after.state);
        let is_review = after.decided_by == DecidedBy::Review && before.decided_by != DecidedBy::Review;
        let is_batch = !is_review && before.state.is_final() && after.decided_rev != before.decided_rev
            || after.state.is_final() && after.decided_by == DecidedBy::Batch && before.decided_rev.is_none();
        let is_again = is_batch || is_review;
        let allowed = match step {
            (SubtaskState::Preparing, SubtaskState::Open) => true,
            (SubtaskState::Open, SubtaskState::Complete | SubtaskState::Disputed) => true,
            _ => before.state == after.state,
        };
        ensure(allowed || is_again, || format!("{name}: {step:?}, decided more than once or out of order"))?;
        let news = after.state.is_final() && !before.state.is_final() || is_again;
        if is_review {
            let (before, after) = (before.clone(), after.clone());
            self.observe_review(&name, &before, &after)?;
        } else if is_batch {
            let (before, after) = (before.clone(), after.clone());
            self.observe_batch(&name, &before, &after)?;
        } else if before.state.is_final() {
            let same = before.decision == after.decision && before.votes == after.votes;
            ensure(same, || format!("{name}: changed after its decision"))?;
        } else if after.state.is_final() {
            self.decided += 1;
            ensure(before.votes == after.votes, || format!("{name}: votes changed by its closing"))?;
            let decision = after.decision.map(|decision| (decision.label.map(|label| label.0), decision.dispute));
            match expected(task, after) {
                Expected::Decided(label, dispute)
                    if decision == Some((label, dispute)) && after.state == reviews::state(task, label, dispute) => {}
                _ => return Err(format!("{name}: decision {decision:?} does not follow from {:?}", after.votes).into()),
            }
        }
        if news {
            self.will_announce(after);
        }
        let (Some(task), Some(before)) = (self.tasks.get(&after.task), self.records.get(&key)) else {
            return Err(format!("{name}: gone").into());
        };
        ensure_of(Kind::VoteLost, before.votes.keys().all(|who| after.votes.contains_key(who)), || {
            format!("{name}: a vote is gone")
        })?;
        ensure_of(Kind::VoteLost, before.late.keys().all(|who| after.has_vote_of(who)), || {
            format!("{name}: a late vote is gone")
        })?;
        if after.state == SubtaskState::Open
            && let Expected::Open { wanted } = expected(task, after)
        {
            // A vote that is changed can make fewer votes wanted than there are leases out. Those stay; none is added.
            if before.votes.iter().any(|(who, vote)| after.votes.get(who).is_some_and(|now| now.answer != vote.answer))
            {
                self.changed.insert(key);
            }
            let live = |record: &Subtask| record.leases.values().filter(|until| **until > now).count();
            let most = if self.changed.contains(&key) { wanted.max(live(before)) } else { wanted };
            let live = live(after);
            ensure(live <= most, || format!("{name}: {live} live leases, and only {wanted} votes wanted"))?;
        }
        for (who, _) in before.leases.iter().filter(|(who, until)| after.leases.get(who) != Some(until)) {
            self.told.remove(&(after.task, after.image, who.clone()));
        }
        for (who, until) in &after.leases {
            if before.leases.get(who) == Some(until) {
                continue;
            }
            ensure(after.state == SubtaskState::Open, || format!("{name}: leased to {who} while {:?}", after.state))?;
            ensure(!before.votes.contains_key(who), || format!("{name}: leased to {who}, who has voted on it"))?;
            if let Some(paused) = self.paused.get(who) {
                let in_flight = claiming_since(who).is_some_and(|began| began <= paused.answered);
                ensure(in_flight, || format!("{name}: leased to {who}, who is paused"))?;
            }
            self.granted.insert((after.task, after.image, who.clone(), *until));
        }
        self.records.insert(key, after.clone());
        Ok(())
    }

    /// A vote was sent.
    pub(crate) fn sent(&mut self, key: VoteKey, answer: Answer) {
        let attempt = Attempt { answer, began: self.step, ended: u64::MAX, known: Known::Running };
        self.attempts.entry(key).or_default().push(attempt);
    }

    /// The sender of votes, sent at `began`, has heard of one, or died.
    pub(crate) fn heard(
        &mut self,
        key: &VoteKey,
        answer: Answer,
        began: u64,
        outcome: Option<(VoteOutcome, Option<&str>)>,
    ) -> Check {
        let step = self.step;
        let known = match outcome {
            Some((VoteOutcome::Counted | VoteOutcome::Replaced | VoteOutcome::Unchanged, _)) => Known::Counts,
            Some((VoteOutcome::Late, _)) => Known::Late,
            Some((VoteOutcome::Refused, Some("try-again"))) | None => Known::Perhaps,
            Some((VoteOutcome::Refused, _)) => Known::Nothing,
        };
        self.acknowledged += u64::from(matches!(known, Known::Counts | Known::Late));
        let attempts = self.attempts.entry(key.clone()).or_default();
        let running = |attempt: &&mut Attempt| {
            attempt.known == Known::Running && attempt.began == began && attempt.answer == answer
        };
        if let Some(attempt) = attempts.iter_mut().find(running) {
            (attempt.known, attempt.ended) = (known, step);
        }
        if known != Known::Nothing && known != Known::Perhaps {
            self.told.remove(key);
        }
        let first = !matches!(outcome, Some((VoteOutcome::Counted, _))) || self.counted.insert(key.clone());
        ensure_of(Kind::VoteDoubled, first, || {
            format!("{}/{}: two votes of {} were acknowledged as their first", key.0, key.1, key.2)
        })
    }

    /// An operator was handed work by a claim that began at `began`.
    pub(crate) fn handed(&mut self, who: &OperatorId, answer: &ClaimAnswer, began: u64, now: Timestamp) -> Check {
        // Where there is no task to look at, a claim is answered with nothing, whoever asks.
        if let Some(paused) = self.paused.get(who).filter(|_| !answer.subtasks.is_empty()) {
            ensure(began <= paused.answered, || format!("{who} is paused, and a claim of theirs was answered"))?;
        }
        for handed in &answer.subtasks {
            let key = (handed.task, handed.image, who.clone());
            let voted = self
                .attempts
                .get(&key)
                .into_iter()
                .flatten()
                .find(|attempt| matches!(attempt.known, Known::Counts | Known::Late) && attempt.ended < began);
            ensure(voted.is_none(), || format!("{who} was handed {}, on which they had voted", handed.image))?;
            let lease = (handed.task, handed.image, who.clone(), handed.lease_until);
            ensure(self.granted.contains(&lease), || format!("{who} was handed {} without a lease", handed.image))?;
            // What a claim at the same time has given back, or a pause has taken back, is no lease any more.
            let record = self.records.get(&(handed.task, handed.image));
            if record.and_then(|record| record.live_lease(who, now)) == Some(handed.lease_until) {
                self.told.insert(key, handed.lease_until);
            }
        }
        Ok(())
    }

    /// A claim has failed, or died.
    pub(crate) fn claim_failed(&mut self, who: &OperatorId) {
        self.failed_claims.insert(who.clone(), self.step);
    }

    /// An operator was paused by a call that began at `began`, and whoever did it was told so. `doubt` says that
    /// somebody else was letting them work again at the same time.
    pub(crate) fn pause_acknowledged(&mut self, who: &OperatorId, began: u64, doubt: bool) {
        if !doubt {
            let answered = self.paused.get(who).map_or(self.step, |earlier| earlier.answered);
            self.paused.insert(who.clone(), Pause { began, answered });
        }
    }

    /// Whether an operator was paused for certain when a call began.
    pub(crate) fn paused_before(&self, who: &OperatorId, began: u64) -> bool {
        self.paused.get(who).is_some_and(|pause| pause.answered < began)
    }

    /// Whether an operator holds a lease by which they keep others from something. What is decided, or of a task that
    /// is over, is of no concern to anybody.
    pub(crate) fn holds(&self, who: &OperatorId, task: TaskId, image: ImageId, now: Timestamp) -> bool {
        let over = self.tasks.get(&task).is_none_or(|task| task.state.is_final());
        let record = self.records.get(&(task, image)).filter(|record| !over && !record.state.is_final());
        record.is_some_and(|record| record.live_lease(who, now).is_some())
    }

    /// Whether an operator must hold nothing: they are paused, and no claim of theirs has failed or died since the
    /// pause began. What such a claim had leased by then stays leased until the lease ends, or until they are paused
    /// again: nobody was told of it, and nobody else could take it back.
    pub(crate) fn must_hold_nothing(&self, who: &OperatorId) -> bool {
        let failed = self.failed_claims.get(who).copied();
        self.paused.get(who).is_some_and(|pause| failed.is_none_or(|failed| failed < pause.began))
    }

    /// Whether a client's change that was acknowledged is in what the trail must say.
    pub(crate) fn has_deed(&self, task: TaskId, deed: &str) -> bool {
        self.deeds.get(&task).is_some_and(|deeds| deeds.contains(&deed))
    }

    /// The counters of a task against its records.
    pub(crate) fn check_counts(&mut self, task: TaskId, counts: &Counts) -> Check {
        self.recounts += 1;
        let mut recount = Counts::default();
        for record in self.records_of(task) {
            match record.state {
                SubtaskState::Rejected => recount.rejected += 1,
                _ => recount.accepted += 1,
            }
            match record.state {
                SubtaskState::Complete => recount.complete += 1,
                SubtaskState::Disputed => recount.disputed += 1,
                _ => continue,
            }
            recount.votes += record.votes.len() as u64;
        }
        ensure_of(Kind::CountersOff, recount == *counts, || {
            format!("task {task}: counted {counts:?}, there are {recount:?}")
        })
    }

    /// The trail of a task against the changes that were seen.
    pub(crate) fn check_trail(&self, task: TaskId, newest_first: &[AuditEntry]) -> Check {
        let found: Vec<&str> = newest_first.iter().rev().map(|entry| entry.deed.name()).collect();
        let wanted = self.deeds.get(&task).cloned().unwrap_or_default();
        ensure(found == wanted, || format!("task {task}: the trail says {found:?}, but it was {wanted:?}"))
    }

    /// The trail of an operator: paused and resumed take turns, and the last entry says how they stand.
    pub(crate) fn check_standing(&self, who: &OperatorId, paused: bool, newest_first: &[AuditEntry]) -> Check {
        ensure(paused || !self.paused.contains_key(who), || format!("{who} was paused, and is not"))?;
        let pauses: Vec<bool> =
            newest_first.iter().rev().map(|entry| matches!(entry.deed, Deed::OperatorPaused { .. })).collect();
        let turns = pauses.iter().enumerate().all(|(place, pause)| *pause == (place % 2 == 0));
        ensure(turns, || format!("{who}: pauses and resumptions do not take turns"))?;
        ensure(pauses.last().copied().unwrap_or(false) == paused, || format!("{who}: the trail has another end"))
    }

    /// Everything, while nothing is under way. `stored` are the records as the tables have them.
    pub(crate) fn check_quiet(&mut self, stored: &BTreeMap<(TaskId, ImageId), Subtask>, now: Timestamp) -> Check {
        self.quiets += 1;
        ensure(*stored == self.records, || "the tables differ from what their streams said".to_owned())?;
        self.check_votes()?;
        for ((task, image), record) in &self.records {
            let name = format!("{task}/{}", &image.to_string()[..8]);
            let task = &self.tasks[task];
            let ids = self.announced.get(&(task.id, Some(*image))).map_or(0, BTreeSet::len);
            let news = self.news.get(&(task.id, *image)).map_or(0, BTreeMap::len);
            ensure(ids == news, || {
                format!("{name}: {:?}, and announced under {ids} ids for {news} changes", record.state)
            })?;
            if !record.state.is_final() && !task.state.is_final() {
                ensure(record.state == SubtaskState::Open, || format!("{name}: never opened"))?;
                // The sweep looks at tasks that are sealed; in others the next claim closes what it meets.
                let open = task.state == TaskState::Open || matches!(expected(task, record), Expected::Open { .. });
                ensure(open, || format!("{name}: decided by its votes, and nobody has closed it"))?;
            }
        }
        for (task, image) in &self.uploaded {
            let over = self.tasks[task].state.is_final();
            let recorded = self.records.contains_key(&(*task, *image));
            ensure(over || recorded, || format!("{task}/{image}: uploaded, and never recorded"))?;
        }
        for task in self.tasks.values() {
            let ids = self.announced.get(&(task.id, None)).map_or(0, BTreeSet::len);
            let wanted = usize::from(task.state.is_final());
            ensure(ids == wanted, || format!("task {}: {:?}, and announced under {ids} ids", task.id, task.state))?;
            if task.state == TaskState::Sealed {
                let records = self.records_of(task.id).count() as u64;
                let undecided = self.records_of(task.id).filter(|record| !reviews::is_done(task, record)).count();
                let done = undecided == 0 && task.images.is_some_and(|images| records >= images);
                ensure(!done, || format!("task {}: done, and never completed", task.id))?;
            }
        }
        for (task, image, who) in self.told.keys().filter(|(_, _, who)| self.must_hold_nothing(who)) {
            let held = self.holds(who, *task, *image, now);
            ensure(!held, || format!("{who} is paused, and holds {task}/{image}"))?;
        }
        self.told.retain(|_, until| *until > now);
        let told_by_task = self.told.keys().fold(BTreeMap::<_, usize>::new(), |mut counts, (task, image, who)| {
            let live = self.records.get(&(*task, *image)).is_some_and(|record| record.live_lease(who, now).is_some());
            *counts.entry((task, who)).or_default() += usize::from(live);
            counts
        });
        let most = told_by_task.values().max().copied().unwrap_or_default();
        ensure(most <= 100, || format!("somebody was handed {most} live leases in one task"))
    }

    /// Every acknowledged vote is there, once, with the answer that was acknowledged; and no other is.
    fn check_votes(&mut self) -> Check {
        for ((task, image), record) in &self.records {
            for who in record.votes.keys().chain(record.late.keys()) {
                let asked = self.attempts.contains_key(&(*task, *image, who.clone()));
                ensure_of(Kind::VoteDoubled, asked, || format!("{task}/{image}: a vote of {who}, who never gave one"))?;
            }
        }
        let step = self.step;
        for ((task, image, who), attempts) in &mut self.attempts {
            let moved = self.moved.contains(&(*task, *image, who.clone()));
            let record = self.records.get(&(*task, *image));
            let vote = record.and_then(|record| record.votes.get(who)).map(|vote| vote.answer);
            let late = record.and_then(|record| record.late.get(who)).map(|vote| vote.answer);
            let registers = [(Known::Counts, vote, "vote"), (Known::Late, late, "late vote")];
            if moved {
                batches::check_moved(attempts, vote, late).map_err(|what| Finding {
                    kind: Kind::VoteLost,
                    text: format!("{task}/{image}: {what} of {who}"),
                })?;
            }
            for (register, found, kind) in registers.into_iter().filter(|_| !moved) {
                let acknowledged: Vec<_> = attempts.iter().filter(|attempt| attempt.known == register).collect();
                let last = acknowledged.iter().map(|attempt| attempt.began).max();
                self.votes_checked += u64::from(last.is_some());
                let Some(found) = found else {
                    ensure_of(Kind::VoteLost, last.is_none(), || {
                        format!("{task}/{image}: LOST an acknowledged {kind} of {who}")
                    })?;
                    continue;
                };
                // What is there was given by an attempt that no acknowledged one came after.
                let explained = attempts.iter().any(|attempt| {
                    (attempt.known == register || attempt.known == Known::Perhaps)
                        && attempt.answer == found
                        && last.is_none_or(|last| attempt.ended >= last)
                });
                ensure_of(Kind::VoteLost, explained, || {
                    format!("{task}/{image}: the {kind} of {who} is {found:?}, out of {attempts:?}")
                })?;
            }
            // From here on what is there is known, so that the list of attempts does not grow.
            let settled = |answer, known| Attempt { answer, began: step, ended: step, known };
            *attempts = vote
                .map(|answer| settled(answer, Known::Counts))
                .into_iter()
                .chain(late.map(|answer| settled(answer, Known::Late)))
                .collect();
        }
        Ok(())
    }
}
