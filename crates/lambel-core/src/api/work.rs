//! Operators' work: what they are handed, and what they say of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ImageId, Label, TaskId, Timestamp, subtask::Abstention};

/// An operator asks for work.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// From this task only; if left out, from whatever the operator may work on, the oldest task first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// How many subtasks at most, those that the operator holds already among them: 1 to 100.
    #[schema(minimum = 1, maximum = 100)]
    pub count: u32,
}

/// The work that was handed out.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClaimAnswer {
    /// What to label.
    pub subtasks: Vec<LeasedSubtask>,
    /// The tasks that the subtasks belong to.
    pub tasks: Vec<WorkTask>,
    /// There is nothing to hand out now; ask again after this many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
}

/// One image to label.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeasedSubtask {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// Where the picture can be read. If it answers 403 before the lease ends, claim again: the same subtasks come
    /// with new addresses.
    pub url: String,
    /// The media type of what is there.
    pub media_type: String,
    /// Width of the image in pixels, as shown; what is at `url` may be smaller.
    pub width: u32,
    /// Height of the image in pixels, as shown.
    pub height: u32,
    /// Until when the subtask is kept for this operator.
    pub lease_until: Timestamp,
}

/// A task, as operators see it: without its client.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkTask {
    /// Its id.
    pub task: TaskId,
    /// What it is called.
    pub name: String,
    /// The labels to choose from, in order.
    pub labels: Vec<Label>,
    /// What operators should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
}

/// What an operator may work on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkAnswer {
    /// The tasks, the oldest first.
    pub tasks: Vec<WorkSummary>,
}

/// A task that has work. Its labels and instructions come with what is claimed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkSummary {
    /// Its id.
    pub task: TaskId,
    /// What it is called.
    pub name: String,
    /// How many labels there are to choose from.
    pub labels: u32,
    /// Images that are not decided. The operator may have voted on some of them already.
    pub undecided: u64,
}

/// Votes of one operator.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitVotes {
    /// The votes: 1 to 100, each for another subtask.
    #[schema(min_items = 1, max_items = 100)]
    pub votes: Vec<SubmittedVote>,
}

/// One vote: a label, or an abstention with its reason.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmittedVote {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// The label, out of those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why there is no label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstain: Option<Abstention>,
    /// How long the operator looked, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u32>,
}

/// What became of each vote, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VoteAnswer {
    /// One for each vote.
    pub votes: Vec<VoteReceipt>,
}

/// What became of one vote.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct VoteReceipt {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// What became of it.
    pub outcome: VoteOutcome,
    /// If it was refused: a name for the reason that programs can rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// If it was refused: the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum VoteOutcome {
    /// It is the operator's vote now.
    Counted,
    /// It took the place of another vote of the same operator.
    Replaced,
    /// The operator had said the same before.
    Unchanged,
    /// The image was decided before it came. It is kept, without effect.
    Late,
    /// It is not kept.
    Refused,
}

/// Leases to give back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReturnLeases {
    /// The leases: 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub subtasks: Vec<LeaseRef>,
}

/// One subtask that an operator holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaseRef {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
}

/// What became of the leases.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReturnAnswer {
    /// How many were given back. The others had ended before.
    pub returned: u32,
}
