//! The shapes of the HTTP interface: what a request may say, and what an answer says.
//!
//! Requests refuse fields that they do not know. Fields that have nothing to say are left out of answers.

pub mod dataset;
pub mod exports;
mod gold;
mod images;
mod imports;
pub mod notes;
mod quality;
mod reviews;
mod tasks;
mod uploads;
mod work;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{AuditEntry, OperatorId, Timestamp};

pub use gold::{AddGold, GoldFields, GoldOutcome, GoldPage, GoldReceipt, GoldReceipts, GoldRemoval, GoldView};
pub use images::{ImagePage, ImageState, ImageStatus, ImageView, ImagesQuery, ResultPage, ResultRow, VoteView};
pub use imports::{BeginImport, BringAnswer, BringVotes, OutsideReceipt, OutsideVote};
pub use quality::{
    Agreement, CalibrationView, ConfusionCount, Explained, FlagView, Interval, LabelShare, OperatorPage,
    OperatorQualityView, OperatorReport, PauseInTaskView,
};
pub use reviews::{ReviewFields, ReviewImages, ReviewOutcome, ReviewReceipt, ReviewReceipts};
pub use tasks::{AudienceFields, CreateTask, PolicyFields, Progress, ReleaseWhen, RuleName, TaskPage, TaskView};
pub use uploads::{AnnounceFiles, FileAnnouncement, FileGrant, Grant, Grants, Header, SealTask};
pub use work::{
    Claim, ClaimAnswer, LeaseRef, LeasedSubtask, ReturnAnswer, ReturnLeases, SubmitVotes, SubmittedVote, VoteAnswer,
    VoteOutcome, VoteReceipt, WorkAnswer, WorkSummary, WorkTask,
};

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
