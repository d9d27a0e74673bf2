//! Exports of data sets: files that are made in the cloud.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Actor, TaskId, Timestamp, id::text_serde};

/// An export of a data set. The same version in the same format with the same options has the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{32}$", example = "5c1e7e3b9d7c1f7d3b0c2a11019aa5a0")]
pub struct ExportId([u8; 16]);

impl ExportId {
    /// The id that these bytes are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

/// A text that is not the id of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of an export has 32 lower-case hexadecimal digits")]
pub struct NotAnExportId;

impl FromStr for ExportId {
    type Err = NotAnExportId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(NotAnExportId);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnExportId)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for ExportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

text_serde!(ExportId);

/// The formats of exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportFormat {
    /// A row on each line, with all that is known.
    Jsonl,
    /// A table with a line for each image.
    Csv,
    /// A table with votes; several files where there are many images.
    Parquet,
    /// The augmented manifest of SageMaker Ground Truth.
    Manifest,
    /// Tasks with annotations and predictions for Label Studio.
    LabelStudio,
    /// COCO, with a category for each image.
    Coco,
    /// `metadata.jsonl` of Hugging Face's ImageFolder.
    Imagefolder,
    /// The list of where each image goes in folders by label.
    Folders,
}

impl ExportFormat {
    /// The name as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
            Self::Manifest => "manifest",
            Self::LabelStudio => "label-studio",
            Self::Coco => "coco",
            Self::Imagefolder => "imagefolder",
            Self::Folders => "folders",
        }
    }
}

/// Which rows are exported, and how. An option that a format does not have is refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportOptions {
    /// Only images that have their label.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_labelled: bool,
    /// Only images that have their label and are at least so sure: 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub min_confidence: Option<f64>,
    /// Of `csv` and `coco`: a line for each name of an image, not only for its first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub each_name: bool,
    /// Of `manifest`: the name of the label attribute, 1 to 127 letters, digits and hyphens; `label` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 127, pattern = "^[A-Za-z0-9-]+$")]
    pub attribute: Option<String>,
    /// Of `manifest` and `label-studio`: what comes before the first name of an image that has no address of its
    /// own; 1 to 1,000 characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1000, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]+$")]
    pub address_prefix: Option<String>,
}

/// An export that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateExport {
    /// Which version of the data set: a branch, a tag, or the id of a commit; `live` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "live")]
    pub version: Option<String>,
    /// In which format.
    pub format: ExportFormat,
    /// Which rows, and how; by default all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<ExportOptions>,
}

/// How far an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExportState {
    /// It has not begun.
    Waiting,
    /// It is being written.
    Running,
    /// Its files are there.
    Complete,
    /// It cannot be made; `reason` says why. Asking for it again makes another attempt.
    Failed,
    /// Its files were there and are not any more. Asking for it again makes them again.
    Expired,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExportFile {
    /// What it is called.
    #[schema(example = "rows.csv")]
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// How many images are in it.
    pub images: u64,
    /// The SHA-256 of its bytes.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
    /// Where to get it, for 15 minutes. Look at the export again for another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// An export.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportView {
    /// Its id.
    pub export: ExportId,
    /// The task whose data set it is of.
    pub task: TaskId,
    /// The version.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub commit: String,
    /// Its format.
    pub format: ExportFormat,
    /// Its options.
    pub options: ExportOptions,
    /// How far it is.
    pub state: ExportState,
    /// Images of the version, whether the export takes them or not.
    pub rows: u64,
    /// Of how many of these it is written.
    pub rows_done: u64,
    /// In how many pieces it is written; 0 before it has begun.
    pub pieces: u32,
    /// How many of these are written. The export is complete a moment after the last one.
    pub pieces_done: u32,
    /// When it was asked for, for the last time that it was begun.
    pub requested_at: Timestamp,
    /// Who asked.
    pub requested_by: Actor,
    /// When it was complete, or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Until when its files are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why it has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its files, if it is complete. Not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ExportFile>,
}

/// The exports of a data set.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportList {
    /// The latest first.
    pub exports: Vec<ExportView>,
}
