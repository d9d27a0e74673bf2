//! Reviews: a person decides images whose votes have found no answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ImageId, Label};

/// Disputed images, and what they are decided for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewImages {
    /// The images: 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub reviews: Vec<ReviewFields>,
}

/// A disputed image: named by its id or by the name of a file, and not by both. It gets a label, or keeps the best
/// there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewFields {
    /// The id of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// The name of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "cats/0001.jpg")]
    pub name: Option<String>,
    /// The label, out of those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Instead of a label: the one that it has, which is the best there is, becomes its answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
}

/// What became of each image, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReviewReceipts {
    /// One for each image.
    pub reviews: Vec<ReviewReceipt>,
}

/// What became of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReviewReceipt {
    /// The image, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// The name of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub outcome: ReviewOutcome,
    /// The label that it has now, unless it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// If it was refused: a name for the reason that programs can rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// If it was refused: the reason, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of an image that was to be reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReviewOutcome {
    /// It is complete now.
    Reviewed,
    /// It was reviewed before, and has this label already.
    Unchanged,
    /// It stays as it was.
    Refused,
}
