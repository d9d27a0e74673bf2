//! Votes from outside.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::VoteOutcome;
use crate::{ImageId, ImportName, OperatorId, Timestamp, subtask::Abstention};

/// Votes from outside that are going to be brought into a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginImport {
    /// Its id; the votes name it.
    pub import: ImportName,
    /// What it comes from.
    pub source: ImportName,
    /// On how many images there are votes, for the trail.
    #[schema(maximum = 100_000_000)]
    pub images: u64,
    /// How many votes there are, for the trail.
    #[schema(maximum = 1_000_000_000)]
    pub votes: u64,
}

/// Votes from outside.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BringVotes {
    /// The import that they belong to.
    pub import: ImportName,
    /// The votes: 1 to 100, each of another operator or for another image.
    #[schema(min_items = 1, max_items = 100)]
    pub votes: Vec<OutsideVote>,
}

/// One vote from outside: a label, or an abstention with its reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OutsideVote {
    /// The image.
    pub image: ImageId,
    /// Whose it is: `import:TOOL:NAME` for a person of another tool, `model:NAME@VERSION` for a model.
    pub operator: OperatorId,
    /// The label, out of those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why there is no label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstain: Option<Abstention>,
    /// When it was given; now, if left out or ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// How long the operator looked, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u32>,
}

/// What became of each vote from outside, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct BringAnswer {
    /// One for each vote.
    pub votes: Vec<OutsideReceipt>,
}

/// What became of one vote from outside.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OutsideReceipt {
    /// The image.
    pub image: ImageId,
    /// Whose it is.
    pub operator: OperatorId,
    /// What became of it.
    pub outcome: VoteOutcome,
    /// If it was refused: a name for the reason that programs can rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// If it was refused: the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
