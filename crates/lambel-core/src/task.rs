//! The task: a block of images to be tagged with one set of labels, and every change that can happen to it.
//!
//! ```text
//! open ──▶ sealed ──▶ complete
//!   └─────────┴─────▶ cancelled
//! ```

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Audience, ClientId, ImportName, LabelSet, OnDispute, Policy, Shards, Subtask, SubtaskState, TaskId, Timestamp,
    limits,
};

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Images may still be announced. Labelling goes on already.
    Open,
    /// The client has said how many images there are.
    Sealed,
    /// Every image has its answer, or was refused.
    Complete,
    /// The client has called it off.
    Cancelled,
}

impl TaskState {
    /// Whether the task is over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled)
    }

    /// The state as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "sealed",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The sums of a task's counter slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Distinct images that are good pictures.
    pub accepted: u64,
    /// Distinct images that were refused.
    pub rejected: u64,
    /// Subtasks that have their label.
    pub complete: u64,
    /// Subtasks that ran out of votes.
    pub disputed: u64,
    /// Votes in the subtasks that are decided, abstentions among them.
    pub votes: u64,
}

impl Counts {
    /// Images whose validation is over.
    pub fn checked(&self) -> u64 {
        self.accepted + self.rejected
    }

    /// Subtasks that are not decided.
    pub fn undecided(&self) -> u64 {
        self.accepted.saturating_sub(self.complete + self.disputed)
    }
}

impl Counts {
    /// The sums after a change. What would fall below zero is zero: then the sums were wrong before.
    #[must_use]
    pub fn changed_by(self, change: &CountsChange) -> Self {
        Self {
            accepted: self.accepted.saturating_add_signed(change.accepted),
            rejected: self.rejected.saturating_add_signed(change.rejected),
            complete: self.complete.saturating_add_signed(change.complete),
            disputed: self.disputed.saturating_add_signed(change.disputed),
            votes: self.votes.saturating_add_signed(change.votes),
        }
    }

    /// What has to be added to get to `other`.
    pub fn change_to(&self, other: &Self) -> CountsChange {
        let change = |from: u64, to: u64| to.cast_signed().wrapping_sub(from.cast_signed());
        CountsChange {
            accepted: change(self.accepted, other.accepted),
            rejected: change(self.rejected, other.rejected),
            complete: change(self.complete, other.complete),
            disputed: change(self.disputed, other.disputed),
            votes: change(self.votes, other.votes),
        }
    }
}

/// What one transaction adds to the counters of a task; less than zero where it takes something back. Of single
/// slots too only the sum means anything: one of them may stand below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CountsChange {
    /// See [`Counts::accepted`].
    pub accepted: i64,
    /// See [`Counts::rejected`].
    pub rejected: i64,
    /// See [`Counts::complete`].
    pub complete: i64,
    /// See [`Counts::disputed`].
    pub disputed: i64,
    /// See [`Counts::votes`].
    pub votes: i64,
}

impl CountsChange {
    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Counts a new record.
    pub fn record(&mut self, state: SubtaskState) {
        match state {
            SubtaskState::Rejected => self.rejected += 1,
            _ => self.accepted += 1,
        }
    }

    /// Counts a subtask that was closed.
    pub fn close(&mut self, closed: &Subtask) {
        match closed.state {
            SubtaskState::Disputed => self.disputed += 1,
            _ => self.complete += 1,
        }
        self.votes += i64::try_from(closed.votes.len()).unwrap_or(i64::MAX);
    }

    /// Counts what a batch or a person has made of a subtask: what it was counts no more.
    pub fn revise(&mut self, before: &Subtask, after: &Subtask) {
        for (subtask, sign) in [(before, -1), (after, 1)] {
            match subtask.state {
                SubtaskState::Complete => self.complete += sign,
                SubtaskState::Disputed => self.disputed += sign,
                _ => continue,
            }
            self.votes += sign * i64::try_from(subtask.votes.len()).unwrap_or(i64::MAX);
        }
    }

    /// What an accepted image counts that is refused after all.
    pub fn refusal() -> Self {
        Self { accepted: -1, rejected: 1, ..Self::default() }
    }
}

/// The counters of a task at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Their sums.
    pub counts: Counts,
    /// How often they were changed. If it is the same at two moments nothing was counted in between.
    pub changes: u64,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Who made it.
    pub owner: ClientId,
    /// What it is called.
    pub name: String,
    /// The labels an image can get.
    pub labels: LabelSet,
    /// What operators should know, as plain text.
    #[serde(default)]
    pub instructions: String,
    /// How it comes to its labels.
    pub policy: Policy,
    /// Who may label it.
    #[serde(default)]
    pub audience: Audience,
    /// How many shards it has, and as many counter slots.
    pub shards: Shards,
    /// Where it stands.
    pub state: TaskState,
    /// How many distinct images there are, as the client said when sealing.
    #[serde(default)]
    pub images: Option<u64>,
    /// Imports that it was told of: votes from outside come under one of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub imports: BTreeSet<ImportName>,
    /// When it was made, in milliseconds.
    #[serde(with = "millis")]
    pub created_at: Timestamp,
    /// When it was first sealed.
    #[serde(default, with = "maybe_millis")]
    pub sealed_at: Option<Timestamp>,
    /// When it became complete or was cancelled.
    #[serde(default, with = "maybe_millis")]
    pub ended_at: Option<Timestamp>,
    /// The number of changes so far.
    pub rev: u64,
}

/// Why a task cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is over.
    #[error("the task is {}", .0.as_str())]
    Ended(TaskState),
    /// A task of nothing.
    #[error("a task has 1 to {} images", limits::IMAGES_PER_TASK)]
    Number,
    /// There are more images than the client says.
    #[error("{checked} images have arrived already, more than the {images} of the seal")]
    TooFew {
        /// What the client said.
        images: u64,
        /// What has arrived.
        checked: u64,
    },
}

impl Task {
    /// Seals the task: the client says how many distinct images there are. Saying the same again changes
    /// nothing (false); saying another number corrects the first.
    pub fn seal(&mut self, images: u64, counts: &Counts, now: Timestamp) -> Result<bool, SealError> {
        if self.images == Some(images) && self.state != TaskState::Cancelled {
            return Ok(false);
        }
        if self.state.is_final() {
            return Err(SealError::Ended(self.state));
        }
        if !(1..=limits::IMAGES_PER_TASK).contains(&images) {
            return Err(SealError::Number);
        }
        if counts.checked() > images {
            return Err(SealError::TooFew { images, checked: counts.checked() });
        }
        self.state = TaskState::Sealed;
        self.images = Some(images);
        self.sealed_at = self.sealed_at.or(Some(now));
        self.rev += 1;
        Ok(true)
    }

    /// Calls the task off. False, and no change, if it was called off before.
    pub fn cancel(&mut self, now: Timestamp) -> Result<bool, SealError> {
        match self.state {
            TaskState::Cancelled => Ok(false),
            TaskState::Complete => Err(SealError::Ended(self.state)),
            TaskState::Open | TaskState::Sealed => {
                self.end(TaskState::Cancelled, now);
                Ok(true)
            }
        }
    }

    /// Opens the task to other operators. False, and no change, if these are the ones. What was leased to others
    /// stays theirs until the lease ends.
    pub fn open_to(&mut self, audience: Audience) -> Result<bool, SealError> {
        if self.audience == audience {
            return Ok(false);
        }
        if self.state.is_final() {
            return Err(SealError::Ended(self.state));
        }
        self.audience = audience;
        self.rev += 1;
        Ok(true)
    }

    /// How many images nothing is awaited of any more: refused ones and those that are decided. Where disputes are
    /// reviewed, what is disputed waits for that.
    pub fn done(&self, counts: &Counts) -> u64 {
        let disputed = if self.policy.disputed == OnDispute::Review { 0 } else { counts.disputed };
        counts.rejected + counts.complete + disputed
    }

    /// Completes the task if it is sealed, all its images have arrived, and all are [done](Self::done). False, and no
    /// change, if not.
    ///
    /// More images than the seal says are no reason to wait for ever: an upload that was under way when the
    /// client sealed may still arrive, and is labelled like any other.
    pub fn complete(&mut self, counts: &Counts, now: Timestamp) -> bool {
        let arrived = self.images.is_some_and(|images| counts.checked() >= images);
        let done = self.state == TaskState::Sealed && arrived && self.done(counts) >= counts.checked();
        if done {
            self.end(TaskState::Complete, now);
        }
        done
    }

    /// The task, with the number of changes that an entry of its trail takes which is about its images alone.
    #[must_use]
    pub fn noted(&self) -> Self {
        Self { rev: self.rev + 1, ..self.clone() }
    }

    fn end(&mut self, state: TaskState, now: Timestamp) {
        self.state = state;
        self.ended_at = Some(now);
        self.rev += 1;
    }
}

mod millis {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.millis())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_millis)
    }
}

mod maybe_millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Timestamp;

    pub(super) fn serialize<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::millis).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<i64>::deserialize(deserializer)?.map(Timestamp::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task {
            id: TaskId::random(),
            owner: "client".parse().unwrap(),
            name: "cats".into(),
            labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
            instructions: String::new(),
            policy: Policy::default(),
            audience: Audience::Everyone,
            shards: Shards::for_images(None),
            state: TaskState::Open,
            images: None,
            imports: Default::default(),
            created_at: Timestamp::from_millis(1),
            sealed_at: None,
            ended_at: None,
            rev: 0,
        }
    }

    const NOW: fn() -> Timestamp = || Timestamp::from_millis(5);

    fn counts(accepted: u64, rejected: u64, complete: u64, disputed: u64) -> Counts {
        Counts { accepted, rejected, complete, disputed, votes: 0 }
    }

    #[test]
    fn completes_once_when_sealed_arrived_and_decided() {
        let mut t = task();
        assert!(!t.complete(&counts(2, 0, 2, 0), NOW()), "not sealed");
        assert_eq!(t.seal(4, &counts(2, 0, 2, 0), NOW()), Ok(true));
        assert!(!t.complete(&counts(3, 0, 3, 0), NOW()), "one has not arrived");
        assert!(!t.complete(&counts(3, 1, 2, 0), NOW()), "one is not decided");
        assert!(t.complete(&counts(3, 1, 2, 1), NOW()));
        assert_eq!((t.state, t.ended_at), (TaskState::Complete, Some(NOW())));
        assert!(!t.complete(&counts(3, 1, 2, 1), NOW()), "only once");
    }

    #[test]
    fn where_disputes_are_reviewed_the_task_waits_for_that() {
        for (on, waits) in [(OnDispute::Marked, false), (OnDispute::Best, false), (OnDispute::Review, true)] {
            let mut t = Task { policy: Policy { disputed: on, ..Policy::default() }, ..task() };
            t.seal(4, &counts(3, 1, 2, 1), NOW()).unwrap();
            assert_eq!(t.done(&counts(3, 1, 2, 1)), if waits { 3 } else { 4 });
            assert_eq!(t.complete(&counts(3, 1, 2, 1), NOW()), !waits, "{on:?}");
            assert_eq!(t.complete(&counts(3, 1, 3, 0), NOW()), waits, "{on:?}: it was reviewed");
        }
    }

    #[test]
    fn a_change_leads_from_one_count_to_the_other() {
        let (from, to) = (counts(5, 1, 3, 0), Counts { votes: 9, ..counts(4, 2, 3, 1) });
        let change = from.change_to(&to);
        assert_eq!(change, CountsChange { accepted: -1, rejected: 1, disputed: 1, votes: 9, complete: 0 });
        assert_eq!(from.changed_by(&change), to);
        assert!(from.change_to(&from).is_none());
    }

    #[test]
    fn a_task_of_refused_images_completes() {
        let mut t = task();
        t.seal(2, &counts(0, 2, 0, 0), NOW()).unwrap();
        assert!(t.complete(&counts(0, 2, 0, 0), NOW()));
    }

    #[test]
    fn the_seal_can_be_corrected_but_not_below_what_is_there() {
        let mut t = task();
        assert_eq!(t.seal(0, &Counts::default(), NOW()), Err(SealError::Number));
        assert_eq!(t.seal(limits::IMAGES_PER_TASK + 1, &Counts::default(), NOW()), Err(SealError::Number));
        assert_eq!(t.seal(5, &counts(2, 0, 0, 0), NOW()), Ok(true));
        assert_eq!(t.seal(5, &counts(2, 0, 0, 0), NOW()), Ok(false));
        assert_eq!(t.seal(3, &counts(2, 2, 0, 0), NOW()), Err(SealError::TooFew { images: 3, checked: 4 }));
        assert_eq!(t.seal(4, &counts(2, 2, 0, 0), NOW()), Ok(true));
        assert_eq!(t.images, Some(4));
    }

    #[test]
    fn cancelled_is_final() {
        let mut t = task();
        assert_eq!(t.cancel(NOW()), Ok(true));
        assert_eq!(t.cancel(NOW()), Ok(false));
        assert_eq!(t.seal(5, &Counts::default(), NOW()), Err(SealError::Ended(TaskState::Cancelled)));
        assert!(!t.complete(&Counts::default(), NOW()));
        let mut t = task();
        t.seal(1, &Counts::default(), NOW()).unwrap();
        assert!(t.complete(&counts(1, 0, 1, 0), NOW()));
        assert_eq!(t.cancel(NOW()), Err(SealError::Ended(TaskState::Complete)));
        assert_eq!(t.seal(1, &Counts::default(), NOW()), Ok(false), "the same seal again is no news");
    }

    #[test]
    fn the_audience_changes_while_the_task_goes_on() {
        let mut t = task();
        let birds = Audience::Only { operators: [].into(), teams: ["birds".parse().unwrap()].into() };
        assert_eq!(t.open_to(Audience::Everyone), Ok(false));
        assert_eq!(t.open_to(birds.clone()), Ok(true));
        assert_eq!((t.open_to(birds), t.rev), (Ok(false), 1));
        t.cancel(NOW()).unwrap();
        assert_eq!(t.open_to(Audience::Everyone), Err(SealError::Ended(TaskState::Cancelled)));
    }

    #[test]
    fn what_is_stored_is_read_again() {
        let mut t = task();
        t.seal(9, &Counts::default(), NOW()).unwrap();
        let json = serde_json::to_value(&t).unwrap();
        assert_eq!(json["created_at"], 1);
        assert_eq!(serde_json::from_value::<Task>(json).unwrap(), t);
    }
}
