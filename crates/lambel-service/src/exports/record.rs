//! What is known of an export, and what there is still to do.

use std::collections::BTreeSet;

use lambel_core::{
    Actor, TaskId, Timestamp,
    api::exports::{ExportFile, ExportFormat, ExportId, ExportOptions, ExportState, ExportView},
    consensus::Confidence,
};
use lambel_dataset::{
    CommitId, ContentId,
    export::{Format, Options},
};
use serde::{Deserialize, Serialize};

use super::FILES_KEPT;
use crate::ports::{ExportKey, PieceNote, Work};

/// The name of the label attribute of a manifest where nothing else is said.
const ATTRIBUTE: &str = "label";

/// An export.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// The task.
    pub task: TaskId,
    /// Its id.
    pub id: ExportId,
    /// The version.
    pub commit: CommitId,
    /// The format.
    pub format: ExportFormat,
    /// The options, with what is taken for granted.
    pub options: ExportOptions,
    /// How far it is. Never `expired`: that is a matter of time.
    pub state: ExportState,
    /// The attempt: 1 for the first.
    pub run: u32,
    /// Images of the version.
    pub rows: u64,
    /// Its pieces; 0 before it has begun.
    pub pieces: u32,
    /// Pieces that were counted.
    pub counted: u32,
    /// Pieces that were written.
    pub written: u32,
    /// The rows of these.
    pub rows_done: u64,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// By whom.
    pub requested_by: Actor,
    /// When something was last done for it.
    pub moved_at: Timestamp,
    /// When it was complete, or failed.
    pub ended_at: Option<Timestamp>,
    /// Why it has failed.
    pub reason: Option<String>,
    /// Its files.
    pub files: Vec<ExportFile>,
    /// The number of changes so far.
    pub rev: u64,
}

/// What the id of an export is made of. Whoever changes what comes out of the same words counts up `v`, so that nobody
/// gets a file of the older kind.
#[derive(Serialize)]
struct Identity<'a> {
    v: u32,
    commit: CommitId,
    format: ExportFormat,
    options: &'a ExportOptions,
}

impl Export {
    /// Options with what is taken for granted.
    pub(super) fn tidy(format: ExportFormat, mut options: ExportOptions) -> ExportOptions {
        if format == ExportFormat::Manifest {
            options.attribute.get_or_insert_with(|| ATTRIBUTE.to_owned());
        }
        options
    }

    /// The id of the export of this version, with tidy options.
    pub(super) fn id_of(
        commit: CommitId,
        format: ExportFormat,
        options: &ExportOptions,
    ) -> Result<ExportId, serde_json::Error> {
        let identity = serde_json::to_vec(&Identity { v: 1, commit, format, options })?;
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(ContentId::of(&identity).digest()).for_each(|(byte, digest)| *byte = *digest);
        Ok(ExportId::from_bytes(bytes))
    }

    /// The format, with what of the options belongs to it.
    pub fn dataset_format(&self) -> Format {
        dataset_format(self.format, &self.options)
    }

    /// The options as the data set takes them.
    pub fn dataset_options(&self) -> Options {
        dataset_options(&self.options)
    }

    /// Whether there is nothing more to be done.
    pub fn is_over(&self) -> bool {
        matches!(self.state, ExportState::Complete | ExportState::Failed | ExportState::Expired)
    }

    /// Until when its files are there.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.ended_at.filter(|_| self.state == ExportState::Complete).map(|ended| ended.plus(FILES_KEPT))
    }

    /// Whether its files are there no more.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|end| end <= now)
    }

    /// Whether every segment is a file as it is: one piece in one pass, or a format whose pieces are files.
    pub fn is_written_at_once(&self) -> bool {
        let format = self.dataset_format();
        !format.is_joined() || (self.pieces == 1 && format.passes() == 1)
    }

    /// The name of the file that a piece is, where it is one, or that all are together.
    pub fn file_name(&self, piece: u32) -> String {
        let name = self.dataset_format().file_name();
        match name.rsplit_once('.') {
            Some((stem, ending)) if !self.dataset_format().is_joined() && self.pieces > 1 => {
                format!("{stem}-{:05}-of-{:05}.{ending}", piece + 1, self.pieces)
            }
            _ => name.to_owned(),
        }
    }

    /// Where the bytes of a pass of a piece go.
    pub fn segment_key(&self, pass: u32, piece: u32) -> ExportKey {
        let Self { task, id: export, run, .. } = *self;
        match self.is_written_at_once() {
            true => self.file_key(self.file_name(piece)),
            false => ExportKey::Segment { task, export, run, pass, piece },
        }
    }

    /// Where a file lies.
    pub fn file_key(&self, name: String) -> ExportKey {
        ExportKey::File { task: self.task, export: self.id, name }
    }

    /// What there is to do, by what was noted.
    pub fn missing(&self, notes: &[PieceNote]) -> Vec<Work> {
        let noted = |written: bool| -> BTreeSet<u32> {
            notes.iter().filter(|note| note.is_written() == written).map(PieceNote::piece).collect()
        };
        let (counted, written) = (noted(false), noted(true));
        let left = |done: &BTreeSet<u32>| (0..self.pieces).filter(|piece| !done.contains(piece)).collect::<Vec<_>>();
        let to_count = if self.dataset_format().is_numbered() { left(&counted) } else { Vec::new() };
        if !to_count.is_empty() {
            return to_count.into_iter().map(Work::Count).collect();
        }
        let to_write = left(&written);
        if to_write.is_empty() { vec![Work::Join] } else { to_write.into_iter().map(Work::Write).collect() }
    }

    /// The export as the interface shows it, without addresses.
    pub fn view(&self, now: Timestamp) -> ExportView {
        let expired = self.is_expired(now);
        ExportView {
            export: self.id,
            task: self.task,
            commit: self.commit.to_string(),
            format: self.format,
            options: self.options.clone(),
            state: if expired { ExportState::Expired } else { self.state },
            rows: self.rows,
            rows_done: self.rows_done,
            pieces: self.pieces,
            pieces_done: self.written,
            requested_at: self.requested_at,
            requested_by: self.requested_by.clone(),
            ended_at: self.ended_at,
            expires_at: self.expires_at(),
            reason: self.reason.clone(),
            files: if expired { Vec::new() } else { self.files.clone() },
        }
    }
}

/// A format, with what of the options belongs to it.
pub(super) fn dataset_format(format: ExportFormat, options: &ExportOptions) -> Format {
    match format {
        ExportFormat::Jsonl => Format::JsonLines,
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Manifest => {
            Format::Manifest { attribute: options.attribute.clone().unwrap_or_else(|| ATTRIBUTE.to_owned()) }
        }
        ExportFormat::LabelStudio => Format::LabelStudio,
        ExportFormat::Coco => Format::Coco,
        ExportFormat::Imagefolder => Format::ImageFolder,
        ExportFormat::Folders => Format::ClassFolders,
    }
}

/// Options as the data set takes them.
pub(super) fn dataset_options(options: &ExportOptions) -> Options {
    Options {
        only_labelled: options.only_labelled,
        min_confidence: options.min_confidence.map(Confidence::new),
        each_name: options.each_name,
        address_prefix: options.address_prefix.clone(),
        ..Options::default()
    }
}
