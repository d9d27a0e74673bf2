//! Shapes of the questions to the versions of a data set.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::{Actor, ImageId, Label, TaskId, Timestamp};

/// Ask for a version of what there is now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitFields {
    /// What to say about it, up to 1,000 characters; `on demand` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub message: Option<String>,
}

/// A version was asked for. It is there when `answered.asked_at` of `/api/tasks/{task}/dataset/refs` is this time or a
/// later one: `answered.commit` has what there was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CommitAsked {
    /// The task.
    pub task: TaskId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where to look.
    #[schema(example = "/api/tasks/019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11/dataset/refs")]
    pub look_at: String,
}

/// The branches and tags of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefsView {
    /// The branches that there are: `live` follows the labels, `released` is moved by hand or by the task's policy.
    pub branches: Vec<BranchView>,
    /// Names for versions, for good.
    pub tags: Vec<TagView>,
    /// What became of the latest version that somebody asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<AnsweredView>,
}

/// A branch, and its last move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BranchView {
    /// Its name.
    #[schema(example = "live")]
    pub branch: String,
    /// The version that it stands at.
    pub commit: String,
    /// How often it has moved.
    pub seq: u64,
    /// Where it stood before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who has moved it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub message: String,
}

/// A name for a version, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagView {
    /// The name.
    #[schema(example = "paper-v1")]
    pub tag: String,
    /// The version.
    pub commit: String,
    /// Who has set it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// What became of a version that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnsweredView {
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it was there.
    pub at: Timestamp,
    /// The version.
    pub commit: String,
    /// Whether it is a new one: false if nothing had changed.
    pub new: bool,
}

/// A version of a data set: a commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CommitView {
    /// Its id: 64 hexadecimal digits.
    pub commit: String,
    /// The branches that stand at it.
    pub branches: Vec<String>,
    /// The tags that stand for it.
    pub tags: Vec<String>,
    /// The task.
    pub task: TaskId,
    /// The id of its rows.
    pub tree: String,
    /// The versions that it follows.
    pub parents: Vec<String>,
    /// Who made it.
    pub author: Actor,
    /// The latest time that its rows know of: a vote or a decision.
    pub at: Timestamp,
    /// Why it was made.
    pub message: String,
    /// The labels of the task.
    pub labels: Vec<Label>,
    /// The policy of the task.
    #[schema(value_type = Object)]
    pub policy: Map<String, Value>,
    /// How votes became labels.
    pub consensus: ConsensusView,
    /// Models that took part.
    pub models: Vec<ModelView>,
    /// The program that made it.
    pub program: String,
    /// What there is to count in its rows.
    pub statistics: StatisticsView,
}

/// How votes became labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsensusView {
    /// The rule.
    #[schema(example = "majority")]
    pub method: String,
    /// Its numbers.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}

/// A model that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What there is to count in the rows of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatisticsView {
    /// Images, whatever became of them.
    pub images: u64,
    /// Their file names.
    pub names: u64,
    /// The bytes of their files.
    pub image_bytes: u64,
    /// Images that have their label.
    pub complete: u64,
    /// Images that ran out of votes without an answer.
    pub disputed: u64,
    /// Images of which nothing is decided.
    pub unlabelled: u64,
    /// Files that were no pictures.
    pub rejected: u64,
    /// Votes with a label that came in time.
    pub votes: u64,
    /// Abstentions that came in time.
    pub abstentions: u64,
    /// Votes and abstentions that came after the decision.
    pub late: u64,
    /// How many images have which label.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub labels: BTreeMap<Label, u64>,
}

/// Which versions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// The version to begin with; `live` by default. The `next` of a page goes here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Versions on a page: 1 to 100, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
}

/// A page of a history, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// The versions.
    pub commits: Vec<CommitView>,
    /// The version that the next page begins with, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which versions to compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// The older version: a branch, a tag, an id or the first digits of one; `live~1` is the one before `live`.
    pub a: String,
    /// The newer version.
    pub b: String,
    /// The `next` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Images on a page: 1 to 1,000, 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// A page of what is not the same in two versions, in the order of the images' ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DiffPage {
    /// The id of the older version. To read on, name the versions by their ids: a branch may move meanwhile.
    pub a: String,
    /// The id of the newer version.
    pub b: String,
    /// The images that are not the same.
    pub changes: Vec<ChangeView>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An image that is not the same in two versions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// The image.
    pub image: ImageId,
    /// In what way: `added`, `removed`, `relabelled`, `status-changed`, `confidence-moved`, `votes-changed`,
    /// `file-changed`.
    pub kinds: Vec<String>,
    /// Its row in the older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub before: Option<Map<String, Value>>,
    /// Its row in the newer version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub after: Option<Map<String, Value>>,
}

/// Of which image to say where its label comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BlameQuery {
    /// The image: its id, or the name of its file.
    pub image: String,
    /// In which version; `live` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// Which version gave an image what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlameView {
    /// The image.
    pub image: ImageId,
    /// What it is: `complete`, `disputed`, `unlabelled` or `rejected`.
    pub status: String,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The first version in which it was so.
    pub commit: String,
    /// The time of that version.
    pub at: Timestamp,
    /// Who made it.
    pub by: Actor,
    /// Why.
    pub message: String,
    /// Versions that were looked at.
    pub commits_read: u64,
}

/// Make the rows of an old version those of the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackFields {
    /// The version whose rows come back.
    pub version: String,
    /// The branch that gets a version with these rows: `live`, by default, or `released`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^(live|released)$")]
    pub branch: Option<String>,
    /// Why, up to 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub message: Option<String>,
}

/// Release a version: `released` stands at it from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFields {
    /// The version.
    pub version: String,
    /// Why, up to 1,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000)]
    pub message: Option<String>,
}

/// Give a version a name for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TagFields {
    /// The name: 1 to 100 characters out of `A-Z a-z 0-9 . _ -`, the first a letter or a digit.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    pub tag: String,
    /// The version that it stands for from now on; `live` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Where a branch stands now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BranchMoved {
    /// The branch.
    pub branch: String,
    /// Whether it has moved: false if it stood there already, or had these rows.
    pub new: bool,
    /// The version that it stands at.
    pub version: CommitView,
}

/// A name that stands for a version now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TagSet {
    /// The name.
    pub tag: String,
    /// The version.
    pub commit: String,
    /// Whether it was set just now: false if it stood for this version already.
    pub new: bool,
}
