//! Exports: the rows of a commit in the shapes that other tools read.
//!
//! An encoder turns rows into bytes as they come. It holds no more than one chunk of rows (Parquet: one row
//! group), so what an export needs of memory does not grow with the set. Formats that list the same images twice,
//! as COCO does, see the rows twice: a commit does not change in between.
//!
//! [`export`] writes all at once. [`Exporting`] writes the same bytes in pieces, which may be written by different
//! machines, in any order, and again.

mod coco;
mod csv;
mod folders;
mod image_folder;
mod json_lines;
mod label_studio;
mod manifest;
mod parquet;
mod path;
mod pieces;

use std::{
    collections::{BTreeMap, HashSet},
    io,
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{ImageId, Label, TaskId, Timestamp, consensus::Confidence};

pub(crate) use self::label_studio::DECISION;
pub use self::{
    folders::{DirectoryOutput, FolderOutput, ImageSource, Placed, copy_images},
    manifest::BadAttribute,
    path::Layout,
    pieces::{Exporting, Numbers, Piece, PieceSize},
};
use crate::{
    Commit, CommitId, ObjectStore, StoreError,
    error::Result,
    row::{Outcome, Row, RowVote, VoteAnswer},
};

/// Bytes that are collected before they go on.
const BLOCK: usize = 256 << 10;

/// Why an export could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The format names images by their address, and one has none.
    #[error("the image {0} has no address, and no prefix was given to make one of its name")]
    NoAddress(ImageId),
    /// A label that the commit does not list.
    #[error("the image {image} has the label {label:?}, which the commit does not list")]
    UnknownLabel {
        /// The image.
        image: ImageId,
        /// The label.
        label: String,
    },
    /// A name for the label attribute of a manifest that its readers refuse.
    #[error(transparent)]
    Attribute(#[from] BadAttribute),
    /// A value that cannot be written as JSON.
    #[error("failed to write JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A line that cannot be written as CSV.
    #[error("failed to write CSV: {0}")]
    Csv(#[from] ::csv::Error),
    /// Columns that cannot be written as Parquet.
    #[error("failed to write Parquet: {0}")]
    Parquet(String),
    /// The place where the bytes go failed.
    #[error("failed to write: {0}")]
    Output(#[from] io::Error),
}

/// A format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// The rows themselves, a line each.
    JsonLines,
    /// A table for people: a line for each image, or each name.
    Csv,
    /// The augmented manifest of SageMaker Ground Truth, for a single label.
    Manifest {
        /// The name of the label attribute, such as `label`.
        attribute: String,
    },
    /// Tasks with annotations and predictions for Label Studio.
    LabelStudio,
    /// COCO with a category for each image.
    Coco,
    /// The table of Parquet, votes included.
    Parquet,
    /// `metadata.jsonl` of Hugging Face's ImageFolder.
    ImageFolder,
    /// Where each image goes: a folder for each label.
    ClassFolders,
}

impl Format {
    /// The media type of what comes out.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::JsonLines | Self::Manifest { .. } | Self::ImageFolder | Self::ClassFolders => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8",
            Self::LabelStudio | Self::Coco => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// A good name for the file.
    pub fn file_name(&self) -> &'static str {
        match self {
            Self::JsonLines => "rows.jsonl",
            Self::Csv => "rows.csv",
            Self::Manifest { .. } => "output.manifest",
            Self::LabelStudio => "label-studio.json",
            Self::Coco => "coco.json",
            Self::Parquet => "rows.parquet",
            Self::ImageFolder => "metadata.jsonl",
            Self::ClassFolders => "places.jsonl",
        }
    }

    /// How often the rows are gone through.
    pub fn passes(&self) -> usize {
        if *self == Self::Coco { 2 } else { 1 }
    }

    /// Whether images get numbers, so that who writes a piece has to know how many there were before it.
    pub fn is_numbered(&self) -> bool {
        matches!(self, Self::LabelStudio | Self::Coco)
    }

    /// Whether pieces, one after the other, are one file. Otherwise each is a file of its own: Parquet ends with a
    /// list of all that is in the file.
    pub fn is_joined(&self) -> bool {
        *self != Self::Parquet
    }

    /// Whether images are named by their address.
    pub fn needs_address(&self) -> bool {
        matches!(self, Self::Manifest { .. } | Self::LabelStudio)
    }

    /// Whether a row can be said in the format. Files that are no pictures are left out where the tools that read it
    /// would stumble over them.
    fn has_place_for(&self, row: &Row) -> bool {
        match self {
            Self::JsonLines | Self::Csv | Self::Parquet => true,
            Self::ClassFolders => row.decided_label().is_some(),
            Self::Manifest { .. } | Self::LabelStudio | Self::Coco | Self::ImageFolder => {
                !matches!(row.outcome, Outcome::Rejected { .. })
            }
        }
    }

    /// Whether an image with several names can have a line for each.
    pub fn by_name(&self) -> bool {
        matches!(self, Self::Csv | Self::Coco)
    }
}

/// Which rows are exported, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Only images that are `complete`.
    pub only_labelled: bool,
    /// Only images that are `complete` and at least so sure.
    pub min_confidence: Option<Confidence>,
    /// Other names for labels. Two labels may get the same one, and are one class then.
    pub label_names: BTreeMap<Label, Label>,
    /// In CSV and COCO, a line for each name of an image instead of one for its first.
    pub each_name: bool,
    /// For images that have no address of their own: what comes before their first name.
    pub address_prefix: Option<String>,
}

impl Options {
    fn takes(&self, row: &Row) -> bool {
        match row.decided_label() {
            Some((_, confidence)) => self.min_confidence.is_none_or(|least| confidence >= least),
            None => !self.only_labelled && self.min_confidence.is_none(),
        }
    }

    /// The label as it is called in the export.
    fn name_of(&self, label: &Label) -> Label {
        self.label_names.get(label).unwrap_or(label).clone()
    }

    /// A row with its labels called as they are in the export.
    fn renamed(&self, mut row: Row) -> Row {
        if self.label_names.is_empty() {
            return row;
        }
        let rename = |label: &mut Label| *label = self.name_of(label);
        match &mut row.outcome {
            Outcome::Complete { label, .. } | Outcome::Disputed { label: Some(label), .. } => rename(label),
            _ => {}
        }
        for RowVote { answer, .. } in &mut row.votes {
            if let VoteAnswer::Label(label) = answer {
                rename(label);
            }
        }
        row
    }
}

/// What encoders know of the set besides its rows.
#[derive(Clone, Debug)]
struct About {
    task: TaskId,
    commit: CommitId,
    at: Timestamp,
    message: String,
    program: String,
    method: String,
    /// The labels as they are called in the export, each once, in the order of the task.
    labels: Vec<Label>,
    address_prefix: Option<String>,
}

impl About {
    fn index_of(&self, row: &Row, label: &Label) -> Result<usize, ExportError> {
        let place = self.labels.iter().position(|known| known == label);
        place.ok_or_else(|| ExportError::UnknownLabel { image: row.image, label: label.to_string() })
    }

    /// Where the file of an image is.
    fn address(&self, row: &Row) -> Result<String, ExportError> {
        if let Some(uri) = &row.uri {
            return Ok(uri.clone());
        }
        match &self.address_prefix {
            Some(prefix) => Ok(format!("{prefix}{}", default_name(row))),
            None => Err(ExportError::NoAddress(row.image)),
        }
    }
}

/// The first name of an image; where it has none, its id with the ending of its type.
fn default_name(row: &Row) -> String {
    match row.name() {
        Some(name) => name.to_string(),
        None => format!("{}{}", row.image, path::ending(row).unwrap_or_default()),
    }
}

/// Turns rows into the bytes of a format.
trait Encoder: Send {
    /// Goes on behind so many images and annotations, which somebody else writes. Told before each pass.
    fn go_on(&mut self, _before: Numbers) {}

    /// How many images and annotations there were, with those before the piece, at the end of the last pass.
    fn numbers(&self) -> Numbers {
        Numbers::default()
    }

    /// What comes before the rows of a pass.
    fn begin(&mut self, _pass: usize, _out: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }

    /// A row, under one of its names.
    fn row(&mut self, pass: usize, row: &Row, name: &str, out: &mut Vec<u8>) -> Result<(), ExportError>;

    /// What comes after the rows of a pass.
    fn end(&mut self, _pass: usize, _out: &mut Vec<u8>) -> Result<(), ExportError> {
        Ok(())
    }
}

/// Where the bytes of an export go, in their order.
#[async_trait]
pub trait Output: Send {
    /// Takes the next bytes: blocks of some hundred kilobytes.
    async fn write(&mut self, bytes: Bytes) -> Result<(), ExportError>;
}

#[async_trait]
impl Output for Vec<u8> {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ExportError> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}

/// An output for anything that can be written to.
#[derive(Debug)]
pub struct WriteOutput<W>(pub W);

#[async_trait]
impl<W: io::Write + Send> Output for WriteOutput<W> {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ExportError> {
        Ok(self.0.write_all(&bytes)?)
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Images.
    pub images: u64,
    /// Bytes.
    pub bytes: u64,
}

fn encoder(format: &Format, about: About) -> Result<Box<dyn Encoder>, ExportError> {
    Ok(match format {
        Format::JsonLines => Box::new(json_lines::JsonLines),
        Format::Csv => Box::new(csv::Csv),
        Format::Manifest { attribute } => Box::new(manifest::Manifest::new(attribute, about)?),
        Format::LabelStudio => Box::new(label_studio::LabelStudio::new(about)),
        Format::Coco => Box::new(coco::Coco::new(about)),
        Format::Parquet => Box::new(parquet::Parquet::new(&about)?),
        Format::ImageFolder => Box::new(image_folder::ImageFolder::default()),
        Format::ClassFolders => Box::new(folders::ClassFolders::new(&about.labels)),
    })
}

/// Writes the rows of a commit in a format.
pub async fn export(
    objects: &dyn ObjectStore,
    id: CommitId,
    format: &Format,
    options: &Options,
    output: &mut dyn Output,
) -> Result<Exported> {
    let exporting = Exporting::open(objects, id, format, options).await?;
    let whole = exporting.whole();
    let mut exported = Exported::default();
    for pass in 0..format.passes() {
        let done = exporting.write(&whole, pass, Numbers::default(), output).await?;
        exported = Exported { images: done.images, bytes: exported.bytes + done.bytes };
    }
    Ok(exported)
}

async fn hand_on(out: &mut Vec<u8>, output: &mut dyn Output, exported: &mut Exported) -> Result<()> {
    if !out.is_empty() {
        exported.bytes += out.len() as u64;
        let block = std::mem::replace(out, Vec::with_capacity(BLOCK * 2));
        output.write(block.into()).await?;
    }
    Ok(())
}

fn about(id: CommitId, commit: Commit, options: &Options) -> About {
    let mut seen = HashSet::new();
    let mut labels: Vec<Label> = commit.labels.iter().map(|label| options.name_of(label)).collect();
    labels.retain(|label| seen.insert(label.clone()));
    About {
        task: commit.task,
        commit: id,
        at: commit.at,
        message: commit.message,
        program: commit.program,
        method: commit.consensus.method,
        labels,
        address_prefix: options.address_prefix.clone(),
    }
}

impl From<StoreError> for ExportError {
    fn from(error: StoreError) -> Self {
        Self::Output(io::Error::other(error))
    }
}

/// Writes a line of JSON.
fn json_line(out: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), ExportError> {
    serde_json::to_writer(&mut *out, value)?;
    out.push(b'\n');
    Ok(())
}
