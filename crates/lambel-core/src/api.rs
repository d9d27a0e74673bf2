//! The shapes of the HTTP interface: what a request may say, and what an answer says.
//!
//! Requests refuse fields that they do not know. Fields that have nothing to say are left out of answers.

mod quality;

pub mod dataset;
pub mod exports;
pub mod notes;

mod gold;

use serde::{Deserialize, Serialize};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{Array, ArrayBuilder, Ref},
};

use crate::{
    AccountName, AuditEntry, ClientId, ImageId, ImportName, Label, OnDispute, OperatorId, TaskId, TeamName, Timestamp,
    consensus::{Confidence, Dispute, Phase},
    limits,
    subtask::{Abstention, DecidedBy, Refusal, SubtaskState},
    task::TaskState,
};

mod imports;

pub use imports::{BeginImport, BringAnswer, BringVotes, OutsideReceipt, OutsideVote};

pub use quality::{
    Agreement, CalibrationView, ConfusionCount, Explained, FlagView, Interval, LabelShare, OperatorPage,
    OperatorQualityView, OperatorReport, PauseInTaskView,
};

mod reviews;

pub use reviews::{ReviewFields, ReviewImages, ReviewOutcome, ReviewReceipt, ReviewReceipts};

pub use gold::{AddGold, GoldFields, GoldOutcome, GoldPage, GoldReceipt, GoldReceipts, GoldRemoval, GoldView};

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

/// Which page of a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Where the page begins: the `next` of the page before. The first page, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// How many rows at most: 1 to 1,000, 100 by default. A page may have fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Files that the client is about to upload.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnounceFiles {
    /// The files: 1 to 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    pub files: Vec<FileAnnouncement>,
}

/// A file that the client is about to upload.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileAnnouncement {
    /// Its name: a relative path of at most 900 bytes, unique in the task.
    #[schema(example = "cats/0001.jpg")]
    pub name: String,
    /// Its length in bytes: at most 40,000,000.
    pub bytes: u64,
    /// Its media type: `image/jpeg`, `image/png` or `image/webp`. What counts in the end is what the bytes are.
    #[schema(example = "image/jpeg")]
    pub media_type: String,
    /// The SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    #[schema(example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub sha256: String,
}

/// What to do with each file that was announced, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// One for each file.
    pub files: Vec<FileGrant>,
}

/// What to do with one file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileGrant {
    /// The name of the request.
    pub name: String,
    /// What to do.
    #[serde(flatten)]
    pub grant: Grant,
}

/// What to do with a file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Grant {
    /// Upload it: `PUT` exactly these bytes to `url`, with these headers.
    Upload {
        /// Where to.
        url: String,
        /// The headers that the request must have; the signature covers them.
        headers: Vec<Header>,
        /// Until when the upload can be begun. After that, announce the file again.
        expires_at: Timestamp,
    },
    /// These bytes are in the task already. There is nothing to do.
    AlreadyPresent {
        /// Where the image stands.
        state: SubtaskState,
    },
    /// This file is not taken.
    Refused {
        /// A name for the reason that programs can rely on.
        code: String,
        /// The reason, and what to do about it.
        detail: String,
    },
}

/// A header of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The end of uploading.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealTask {
    /// How many distinct images the client has uploaded, refused ones among them.
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub images: u64,
}

/// A page of the trail of who did what, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Why an operator is paused.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseOperator {
    /// In a few words, for the trail: 500 characters at most. The operator does not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
}

/// An operator, as admins see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// Who.
    pub operator: OperatorId,
    /// Whether they are paused.
    pub paused: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// Leases that were given back by this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<u32>,
}

/// Which images of a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImagesQuery {
    /// Only images in this state; all, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub state: Option<ImageState>,
    /// Where the page begins: the `next` of the page before. The first page, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(min_length = 1)]
    pub cursor: Option<String>,
    /// How many rows at most: 1 to 1,000, 100 by default. A page may have fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// Where an image stands, seen from the client: as its subtask, or announced and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ImageState {
    /// Announced, but not uploaded or not validated yet.
    Announced,
    /// A good picture that is not in the pool yet.
    Preparing,
    /// In the pool.
    Open,
    /// Decided: it has its label.
    Complete,
    /// Decided: it ran out of votes without an answer.
    Disputed,
    /// Not a picture that can be labelled.
    Rejected,
}

impl From<SubtaskState> for ImageState {
    fn from(state: SubtaskState) -> Self {
        match state {
            SubtaskState::Preparing => Self::Preparing,
            SubtaskState::Open => Self::Open,
            SubtaskState::Complete => Self::Complete,
            SubtaskState::Disputed => Self::Disputed,
            SubtaskState::Rejected => Self::Rejected,
        }
    }
}

/// A page of images, sorted by id.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImagePage {
    /// The images.
    pub images: Vec<ImageView>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One image of a task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageView {
    /// Its id.
    pub image: ImageId,
    /// The names of its files, sorted: the first 100.
    pub names: Vec<String>,
    /// What is known of it.
    #[serde(flatten)]
    pub status: ImageStatus,
    /// When its upload was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Why it was decided as it was. Left out of lists, and as long as votes are not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<Explained>,
}

/// What is known of an image: common to lists and results.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageStatus {
    /// Where it stands.
    pub state: ImageState,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its media type, from its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Width in pixels, as shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height in pixels, as shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Its label: the answer if it is complete, the best there is if it is disputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// How sure the label is. With `majority` and `lead`, the share of the votes; with `adaptive`, the posterior.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Why its votes have found no answer. An image that is `complete` in spite of that has the best label there is,
    /// since the policy of its task says `best`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<Dispute>,
    /// Who decided it. With `votes` the label and how sure it is follow from the votes that are shown. With `batch`
    /// they follow from all votes of the task together, looked at by an `adaptive` task from time to time and at its
    /// end. With `gold` the client knows the label. With `review` somebody has decided what the votes could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<DecidedBy>,
    /// Who has reviewed it, if somebody has: the `sub` of their token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewed_by: Option<ClientId>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// The votes on it, abstentions and late ones among them, in the order in which they came. They are not shown
    /// as long as others can still vote.
    pub votes: Vec<VoteView>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}

/// One vote, as the client sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VoteView {
    /// Whose.
    pub operator: OperatorId,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// Why there is no label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abstain: Option<Abstention>,
    /// When it arrived; if it was brought in from outside, when it was given.
    pub at: Timestamp,
    /// How long the operator looked, in milliseconds, as their page says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_ms: Option<u32>,
    /// Only with `adaptive`: what the vote weighs, in nats. It adds so much to the score of its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Only with `adaptive`, and only if something was known of the operator when they voted: whether the task's
    /// operators were known well enough for weights to decide. If no vote says `warm`, two votes ahead decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Whether it came after the decision and is without effect.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// A page of results, sorted by image and name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ResultPage {
    /// One row for each file name.
    pub rows: Vec<ResultRow>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The result for one file name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ResultRow {
    /// The name.
    pub name: String,
    /// The image behind it.
    pub image: ImageId,
    /// What is known of the image.
    #[serde(flatten)]
    pub status: ImageStatus,
}

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

/// An error, as RFC 9457 shapes it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Which problem it is: an address relative to the interface, where it is explained.
    #[serde(rename = "type")]
    #[schema(example = "/problems/task-not-found")]
    pub kind: String,
    /// The problem in a few words: the same for every occurrence.
    #[schema(example = "Task not found")]
    pub title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    pub status: u16,
    /// This occurrence, and what to do about it.
    pub detail: String,
}

/// Where and how to sign in: what a program needs to know besides the address of the interface.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PublicConfig {
    /// The AWS region.
    pub region: String,
    /// The Cognito user pool.
    pub user_pool_id: String,
    /// The app client of people and programs.
    pub user_pool_client_id: String,
    /// Where the pool answers.
    pub sign_in_endpoint: String,
    /// Where machines get their tokens, if this service has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// The version of the program that answers.
    pub version: String,
}
