//! Tasks: what a client says of them, and what is told.

use serde::{Deserialize, Serialize};
use utoipa::{
    ToSchema,
    openapi::{Array, ArrayBuilder, Ref},
};

use crate::{AccountName, ImportName, Label, OnDispute, TaskId, TeamName, Timestamp, limits, task::TaskState};

/// A task to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTask {
    /// What the task is called: 1 to 200 characters, none of them a control character, and not just space.
    #[schema(
        max_length = 200,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$",
        example = "cats and dogs"
    )]
    pub name: String,
    /// The labels an image can get: 2 to 1,000, all different, each 1 to 256 characters.
    #[schema(schema_with = different_labels)]
    pub labels: Vec<String>,
    /// What operators should know: plain text, 20,000 characters at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 20000)]
    pub instructions: Option<String>,
    /// How the task comes to its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyFields>,
    /// Who may label it; every operator, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<AudienceFields>,
    /// About how many images will come. The number of shards is chosen from it; it binds to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub expected_images: Option<u64>,
}

/// The labels of a new task, for the OpenAPI document: the derive has no word for "all different".
fn different_labels() -> Array {
    ArrayBuilder::new()
        .description(Some("The labels an image can get: 2 to 1,000, all different, each 1 to 256 characters."))
        .items(Ref::from_schema_name("Label"))
        .min_items(Some(2))
        .max_items(Some(limits::LABELS_PER_TASK))
        .unique_items(true)
        .examples([serde_json::json!(["cat", "dog"])])
        .build()
}

/// Who may label a task: either `everyone` is true, or at least one operator or team is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceFields {
    /// Every operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub everyone: bool,
    /// Operators, by the names that they sign in with (for a machine: its client id); 200 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 200, value_type = Vec<AccountName>)]
    pub operators: Vec<String>,
    /// Teams: the groups of the user pool that are called `team:` and the name; 50 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50, value_type = Vec<TeamName>)]
    pub teams: Vec<String>,
}

/// The names of the rules of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleName {
    /// A fixed quorum; the plurality wins; a tie takes further votes up to `max_labels`.
    Majority,
    /// Enough when the leading label is `lead` votes ahead of all others.
    Lead,
    /// Enough when the leading label is as sure as `confidence`, by what is known of those who voted.
    Adaptive,
}

impl RuleName {
    /// The name as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Majority => "majority",
            Self::Lead => "lead",
            Self::Adaptive => "adaptive",
        }
    }
}

/// How a task comes to its labels. What is left out takes its default; a number that does not belong to the rule is
/// refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFields {
    /// The rule of consensus; `majority` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleName>,
    /// Of `majority`: votes with a label that are always asked for: 1 to 100, 3 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub quorum: Option<u32>,
    /// Of `lead`: how many votes the leading label has to be ahead: 1 to 100, 2 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub lead: Option<u32>,
    /// Of `adaptive`: how sure the leading label has to be: 0.5 to 0.999, 0.95 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.5, maximum = 0.999)]
    pub confidence: Option<f64>,
    /// Of `lead` and `adaptive`: votes with a label that are always asked for: 1 to 100, 1 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub min_labels: Option<u32>,
    /// Votes with a label after which an image without an answer is a dispute: 100 at most. Of `majority`: at least
    /// `quorum`; twice the quorum and one by default. Of `lead`: at least `lead` and `min_labels`; twice the larger of
    /// them and three by default. Of `adaptive`: at least 2 and `min_labels`; 9 or `min_labels` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_labels: Option<u32>,
    /// Abstentions after which an image is a dispute: 1 to 100, 3 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_abstentions: Option<u32>,
    /// How long an operator has for what they have claimed: 1 to 43,200 seconds, 900 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 43200)]
    pub lease_seconds: Option<u32>,
    /// Whether operators are paused in this task when they are flagged as `guessing`, `same-answer` or `too-fast`; false
    /// by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_flagged: Option<bool>,
    /// The data set gets a version each time so many images more are decided: 1 to 100,000,000. Looked at every five
    /// minutes. Without it, and without `commit_every_minutes`, there is one when the task is complete, and on demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100000000)]
    pub commit_every_decisions: Option<u32>,
    /// The data set gets a version when the last one is so many minutes old and images are decided since: 5 to 44,640.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5, maximum = 44640)]
    pub commit_every_minutes: Option<u32>,
    /// When a version is released by itself. By default never: `released` is moved by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_when: Option<ReleaseWhen>,
    /// Of `release_when`: the least mean confidence of all decided images, 0 to 1. A dispute counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub release_min_confidence: Option<f64>,
    /// How much of what operators get is gold, as a share: 0 to 0.5, 0 by default. Gold are images whose true label the
    /// client knows; they measure operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 0.5)]
    pub gold_rate: Option<f64>,
    /// What becomes of images whose votes have found no answer; `marked` by default. With `marked` they are `disputed`
    /// and keep the best label there is. With `best` they are `complete` with that label. With `review` they are
    /// `disputed`, and the task does not complete before each was reviewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed: Option<OnDispute>,
}

/// When a version of the data set is released by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseWhen {
    /// When the task is complete: the version of that moment.
    Complete,
}

/// A task, as its client sees it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    /// Its id.
    pub task: TaskId,
    /// What it is called.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// The labels an image can get.
    pub labels: Vec<Label>,
    /// What operators should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// How it comes to its labels, with every default filled in.
    pub policy: PolicyFields,
    /// Who may label it.
    pub audience: AudienceFields,
    /// How many distinct images there are, as said when sealing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
    /// The imports that it was told of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<ImportName>,
    /// How far it is: exact. Left out of lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was sealed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_at: Option<Timestamp>,
    /// When it was completed or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

/// How far a task is, in distinct images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// Good pictures.
    pub accepted: u64,
    /// Refused files.
    pub rejected: u64,
    /// Good pictures that have their label.
    pub complete: u64,
    /// Good pictures that ran out of votes without an answer.
    pub disputed: u64,
    /// Good pictures that wait for votes.
    pub open: u64,
    /// Votes on the pictures that are complete or disputed.
    pub votes: u64,
}

/// A page of a client's tasks, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskPage {
    /// The tasks, without their progress.
    pub tasks: Vec<TaskView>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
