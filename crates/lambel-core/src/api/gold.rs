//! Gold: images whose true label the client knows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ImageId, Label, Timestamp};

/// Images that are to be gold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddGold {
    /// The images: 1 to 100.
    #[schema(min_items = 1, max_items = 100)]
    pub gold: Vec<GoldFields>,
}

/// An image that is to be gold: named by the name of a file, or by its id, and not by both.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GoldFields {
    /// The name of a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "cats/0001.jpg")]
    pub name: Option<String>,
    /// The id of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// The true label, out of those of the task.
    pub label: String,
}

/// What became of each image, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoldReceipts {
    /// One for each image.
    pub gold: Vec<GoldReceipt>,
}

/// What became of one image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoldReceipt {
    /// The name of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The image, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// What became of it.
    pub outcome: GoldOutcome,
    /// The label that the image has in the results, if votes have decided it before for another one. That one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Label>,
    /// If it was refused: a name for the reason that programs can rely on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// If it was refused: the reason, and what to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What became of an image that is to be gold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GoldOutcome {
    /// It is gold now.
    Added,
    /// It was gold, and has another label now.
    Replaced,
    /// It was gold with this label.
    Unchanged,
    /// It is not taken.
    Refused,
}

/// A page of a task's gold, sorted by image.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct GoldPage {
    /// The images.
    pub gold: Vec<GoldView>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An image of gold, and what operators said of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GoldView {
    /// The image.
    pub image: ImageId,
    /// The first of its names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its true label.
    pub label: Label,
    /// When it became gold, or got this label.
    pub added_at: Timestamp,
    /// How many operators gave it a label, when it was handed out as gold.
    pub answered: u64,
    /// How many of them were right.
    pub right: u64,
    /// How many abstained.
    pub abstained: u64,
}

/// Whether an image is gold no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GoldRemoval {
    /// Whether it was gold until now.
    pub removed: bool,
}
