//! The subtask: the duty of labelling one image of one task, and every change that can happen to it.
//!
//! ```text
//! preparing ──▶ open ◀──▶ complete
//!     │            ◀──▶ disputed
//!     └───▶ rejected    (no picture, mostly from the start: decided before anybody saw it)
//! ```
//!
//! Votes lead from open to a decision. A [batch] over all votes of a task may decide too, decide again, and
//! lead back. A person may [review](crate::disputes) what is disputed: then it is complete, for good.
//!
//! Each change raises `rev` by one. Adapters apply a change with a condition on the `rev` they saw, or on a
//! condition that implies the same outcome; these functions say what the outcome is.

pub mod batch;
mod reported;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ClientId, ImageId, LabelIndex, OnDispute, OperatorId, Policy, TaskId, Timestamp,
    consensus::{Decision, Dispute, Earned, Verdict},
};

/// The votes of a subtask: one for each operator.
pub type Votes = BTreeMap<OperatorId, Vote>;

/// Where a subtask stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubtaskState {
    /// A good picture that is not in the pool yet.
    Preparing,
    /// In the pool.
    Open,
    /// Decided: it has its label.
    Complete,
    /// Decided: it ran out of votes without an answer. What becomes of it the task's policy says: [`OnDispute`].
    Disputed,
    /// Not a picture that can be labelled.
    Rejected,
}

impl SubtaskState {
    /// The state as it is written in JSON and in keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Disputed => "disputed",
            Self::Rejected => "rejected",
        }
    }

    /// Whether nothing more is to be done.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Disputed | Self::Rejected)
    }
}

/// Why an operator gave no label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Abstention {
    /// It cannot be told.
    Unclear,
    /// None of the labels fits.
    NoneFits,
    /// The picture does not show, or shows broken.
    Broken,
    /// The operator does not want to look at it.
    Unsuitable,
}

impl Abstention {
    /// The reason as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unclear => "unclear",
            Self::NoneFits => "none-fits",
            Self::Broken => "broken",
            Self::Unsuitable => "unsuitable",
        }
    }
}

/// What an operator said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A label.
    Label(LabelIndex),
    /// None, and why.
    Abstain(Abstention),
}

impl Answer {
    /// The label, if one was given.
    pub fn label(self) -> Option<LabelIndex> {
        match self {
            Self::Label(label) => Some(label),
            Self::Abstain(_) => None,
        }
    }
}

/// One operator's answer for one subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What was said.
    pub answer: Answer,
    /// When it arrived; if it was brought in from outside, when it was given.
    pub at: Timestamp,
    /// How long the operator looked, in milliseconds, as their page says.
    pub elapsed_ms: Option<u32>,
    /// What was known of the operator then: only of a task whose rule weighs votes, and only if something was.
    pub earned: Option<Earned>,
}

/// What is known of a picture once it was decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The media type, from the bytes themselves.
    pub media_type: String,
    /// Width in pixels, as shown: after the orientation it carries is applied.
    pub width: u32,
    /// Height in pixels, as shown.
    pub height: u32,
}

/// What operators are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    /// The file itself.
    NotNeeded,
    /// A preview, which has to be made before the subtask can open.
    Wanted,
    /// A preview that was made.
    Made {
        /// Its media type.
        media_type: String,
    },
}

/// Why an image was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// A name for the reason that programs can rely on.
    #[schema(example = "truncated")]
    pub code: String,
    /// The reason for people, with what to do about it.
    #[schema(example = "the file ends in the middle of the picture; upload it again")]
    pub detail: String,
}

/// Who made a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedBy {
    /// The votes of the image, by the task's rule: the decision follows from the record alone.
    #[default]
    Votes,
    /// A batch over all votes of the task: it follows from these together.
    Batch,
    /// The client, who knows the true label: the image is gold. Votes that it had stay, without effect.
    Gold,
    /// A person who has reviewed it: its votes had found no answer.
    Review,
}

impl DecidedBy {
    /// The name as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Votes => "votes",
            Self::Batch => "batch",
            Self::Gold => "gold",
            Self::Review => "review",
        }
    }

    /// Whether it is a person's word, which nothing that is found out of votes changes.
    pub fn is_person(self) -> bool {
        matches!(self, Self::Gold | Self::Review)
    }
}

/// The record of one image of one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Subtask {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// Where it stands.
    pub state: SubtaskState,
    /// The number of changes so far.
    pub rev: u64,
    /// The length of the file in bytes.
    pub bytes: u64,
    /// Which version of the object was looked at; none where the bucket keeps no versions.
    pub object_version: Option<String>,
    /// The picture; none if it was rejected.
    pub picture: Option<Picture>,
    /// Whether operators are shown a preview instead of the file itself.
    pub preview: Preview,
    /// The votes that count.
    pub votes: Votes,
    /// Votes that came after the decision: evidence, without effect.
    pub late: Votes,
    /// Who holds a lease, and until when. An expired one stays until somebody else takes a lease.
    pub leases: BTreeMap<OperatorId, Timestamp>,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
    /// Who made it, if there is one.
    pub decided_by: DecidedBy,
    /// Who has reviewed it, if somebody has.
    pub reviewed_by: Option<ClientId>,
    /// Why the image was rejected, if it was.
    pub refusal: Option<Refusal>,
    /// When the record was made.
    pub created_at: Timestamp,
    /// When it reached its final state.
    pub decided_at: Option<Timestamp>,
    /// What `rev` was when it was decided: late votes raise `rev` further, and the news of the decision goes by this.
    /// None while it is not decided, and where nobody can vote.
    pub decided_rev: Option<u64>,
    /// How often a batch has opened it again.
    pub reopenings: u32,
    /// When a batch has last opened it again.
    pub reopened_at: Option<Timestamp>,
    /// Votes with a label under which its votes do not decide it, since it was opened again; 0 if it never was.
    pub floor: u32,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// It is the operator's vote now.
    Counted,
    /// It took the place of another vote of the same operator.
    Replaced,
    /// The operator had said the same before.
    Unchanged,
    /// The subtask was decided before it came. It is kept, without effect.
    Late,
}

/// The operator holds no lease on this subtask, and held none that could still be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this operator holds no lease on this subtask")]
pub struct NotLeased;

/// Why a subtask cannot be leased to an operator now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// It is not in the pool.
    NotOpen,
    /// The operator has voted on it already.
    Voted,
    /// Votes and live leases take all its slots.
    Full,
}

impl Subtask {
    /// A good picture that waits to be opened.
    pub fn preparing(
        task: TaskId,
        image: ImageId,
        bytes: u64,
        picture: Picture,
        preview: Preview,
        now: Timestamp,
    ) -> Self {
        Self {
            task,
            image,
            state: SubtaskState::Preparing,
            rev: 0,
            bytes,
            object_version: None,
            picture: Some(picture),
            preview,
            votes: Votes::new(),
            late: Votes::new(),
            leases: BTreeMap::new(),
            decision: None,
            decided_by: DecidedBy::Votes,
            reviewed_by: None,
            refusal: None,
            created_at: now,
            decided_at: None,
            decided_rev: None,
            reopenings: 0,
            reopened_at: None,
            floor: 0,
        }
    }

    /// A file that is no picture.
    pub fn rejected(task: TaskId, image: ImageId, bytes: u64, refusal: Refusal, now: Timestamp) -> Self {
        Self {
            state: SubtaskState::Rejected,
            picture: None,
            refusal: Some(refusal),
            decided_at: Some(now),
            ..Self::preparing(
                task,
                image,
                bytes,
                Picture { media_type: String::new(), width: 0, height: 0 },
                Preview::NotNeeded,
                now,
            )
        }
    }

    /// The same, with the version of the object that was looked at.
    #[must_use]
    pub fn in_version(self, object_version: Option<String>) -> Self {
        Self { object_version, ..self }
    }

    /// Puts it into the pool, with the media type of its preview if one was made. False, and no change, unless
    /// it was waiting for that.
    pub fn open(&mut self, preview: Option<&str>) -> bool {
        if self.state != SubtaskState::Preparing {
            return false;
        }
        if let Some(media_type) = preview {
            self.preview = Preview::Made { media_type: media_type.to_owned() };
        }
        self.state = SubtaskState::Open;
        self.rev += 1;
        true
    }

    /// Refuses it after all, since it cannot be shown. False, and no change, unless it was waiting to be opened.
    pub fn refuse(&mut self, refusal: Refusal, now: Timestamp) -> bool {
        if self.state != SubtaskState::Preparing {
            return false;
        }
        self.state = SubtaskState::Rejected;
        self.refusal = Some(refusal);
        self.decided_at = Some(now);
        self.rev += 1;
        true
    }

    /// What the policy says of its votes. Opened again, it asks for more of them until it has its floor; abstentions
    /// end it all the same.
    pub fn judge(&self, policy: &Policy, labels: usize) -> Verdict {
        let verdict = policy.judge(labels, &self.votes);
        let missing = self.floor.saturating_sub(self.labelled());
        match verdict {
            _ if missing == 0 => verdict,
            Verdict::Undecided { wanted } => Verdict::Undecided { wanted: wanted.max(missing) },
            Verdict::Decided(decision) if self.abstained() >= policy.max_abstentions => {
                Verdict::Decided(Decision { dispute: Some(Dispute::Abstentions), ..decision })
            }
            Verdict::Decided(_) => Verdict::Undecided { wanted: missing },
        }
    }

    /// Votes with a label that count.
    pub fn labelled(&self) -> u32 {
        let labelled = self.votes.values().filter(|vote| vote.answer.label().is_some()).count();
        u32::try_from(labelled).unwrap_or(u32::MAX)
    }

    /// Abstentions that count.
    fn abstained(&self) -> u32 {
        u32::try_from(self.votes.len()).unwrap_or(u32::MAX).saturating_sub(self.labelled())
    }

    /// Whether an operator has voted on it, in time or late.
    pub fn has_vote_of(&self, operator: &OperatorId) -> bool {
        self.votes.contains_key(operator) || self.late.contains_key(operator)
    }

    /// How many more leases it can take: what the rule wants, less the leases that are live.
    pub fn free_slots(&self, policy: &Policy, labels: usize, now: Timestamp) -> u32 {
        let Verdict::Undecided { wanted } = self.judge(policy, labels) else { return 0 };
        let live = self.leases.values().filter(|until| **until > now).count();
        wanted.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX))
    }

    /// Whether it can be leased to this operator now. A live lease that they hold already is not in the way:
    /// it can be handed to them again.
    pub fn availability(
        &self,
        operator: &OperatorId,
        policy: &Policy,
        labels: usize,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        if self.state != SubtaskState::Open {
            return Err(Unavailable::NotOpen);
        }
        if self.has_vote_of(operator) {
            return Err(Unavailable::Voted);
        }
        if self.live_lease(operator, now).is_none() && self.free_slots(policy, labels, now) == 0 {
            return Err(Unavailable::Full);
        }
        Ok(())
    }

    /// The end of the lease that this operator holds, if it is live.
    pub fn live_lease(&self, operator: &OperatorId, now: Timestamp) -> Option<Timestamp> {
        self.leases.get(operator).copied().filter(|until| *until > now)
    }

    /// Leases it to an operator. Leases that have expired are dropped: their slots are free.
    pub fn lease(&mut self, operator: &OperatorId, until: Timestamp, now: Timestamp) {
        self.leases.retain(|_, until| *until > now);
        self.leases.insert(operator.clone(), until);
        self.rev += 1;
    }

    /// Gives a lease back. False, and no change, where there was none.
    pub fn give_back(&mut self, operator: &OperatorId) -> bool {
        let held = self.leases.remove(operator).is_some();
        self.rev += u64::from(held);
        held
    }

    /// Casts a vote.
    ///
    /// A lease that has expired is as good as a live one until somebody has taken its slot. `held` says that
    /// the operator's own record shows a lease here; it serves where the lease was dropped but a slot is
    /// free, and after the decision.
    pub fn cast(
        &mut self,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
        policy: &Policy,
        labels: usize,
    ) -> Result<Cast, NotLeased> {
        let leased = self.leases.contains_key(operator);
        let earlier = self.votes.get(operator).map(|earlier| earlier.answer);
        match self.state {
            SubtaskState::Open => {
                if earlier == Some(vote.answer) {
                    return Ok(Cast::Unchanged);
                }
                // What needs a slot that was not kept for it: a first vote without a lease, and a label in the
                // place of an abstention, which takes no slot. No lease counts as expired here: a slot that is
                // promised to somebody is not free.
                let first = earlier.is_none();
                let takes_slot = vote.answer.label().is_some() && earlier.is_none_or(|answer| answer.label().is_none());
                if !leased
                    && (first || takes_slot)
                    && !((held || !first) && self.free_slots(policy, labels, Timestamp::default()) > 0)
                {
                    return Err(NotLeased);
                }
                self.leases.remove(operator);
                self.votes.insert(operator.clone(), vote);
                self.rev += 1;
                Ok(if earlier.is_some() { Cast::Replaced } else { Cast::Counted })
            }
            SubtaskState::Complete | SubtaskState::Disputed => {
                if earlier == Some(vote.answer) {
                    return Ok(Cast::Unchanged);
                }
                if self.late.get(operator).is_some_and(|late| late.answer == vote.answer) {
                    return Ok(Cast::Late);
                }
                if earlier.is_none() && !leased && !held && !self.late.contains_key(operator) {
                    return Err(NotLeased);
                }
                self.leases.remove(operator);
                self.late.insert(operator.clone(), vote);
                self.rev += 1;
                Ok(Cast::Late)
            }
            SubtaskState::Preparing | SubtaskState::Rejected => Err(NotLeased),
        }
    }

    /// Closes it with a decision. `on_dispute` is what its task does where there is no answer.
    pub fn close(&mut self, decision: Decision, on_dispute: OnDispute, now: Timestamp) {
        self.state = on_dispute.state_of(&decision);
        self.decision = Some(decision);
        self.decided_by = DecidedBy::Votes;
        self.decided_at = Some(now);
        self.rev += 1;
        self.decided_rev = Some(self.rev);
    }

    /// Closes it with a decision that somebody else than its votes has made.
    pub fn close_by(&mut self, decision: Decision, by: DecidedBy, on_dispute: OnDispute, now: Timestamp) {
        self.close(decision, on_dispute, now);
        self.decided_by = by;
    }
}

#[cfg(test)]
#[path = "subtask_tests.rs"]
mod tests;
