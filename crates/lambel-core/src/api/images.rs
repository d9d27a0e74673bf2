//! Images and results: what is known of each picture.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Explained;
use crate::{
    ClientId, ImageId, Label, OperatorId, Timestamp,
    consensus::{Confidence, Dispute, Phase},
    subtask::{Abstention, DecidedBy, Refusal, SubtaskState},
};

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
