//! Exports of data sets: their records, their files, and the queue of those who write them.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{TaskId, Timestamp, api::exports::ExportId};
use lambel_dataset::export::Numbers;
use serde::{Deserialize, Serialize};

use super::StoreResult;
use crate::exports::Export;

/// Something to be done for an export: the body of a message of the queue `exports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportStep {
    /// The task.
    pub task: TaskId,
    /// The export.
    pub export: ExportId,
    /// Which attempt: what was sent for an earlier one has nothing to say any more.
    pub run: u32,
    /// What.
    pub work: Work,
}

/// What can be done for an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Plan it and send for its pieces.
    Begin,
    /// Count the images and annotations of a piece.
    Count(u32),
    /// Write a piece.
    Write(u32),
    /// Make one file of the pieces.
    Join,
}

/// A stretch of bytes that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// What has come of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PieceNote {
    /// It was counted.
    Counted {
        /// Which.
        piece: u32,
        /// What was found.
        numbers: Numbers,
    },
    /// It was written.
    Written {
        /// Which.
        piece: u32,
        /// Its rows, whether the export takes them or not.
        rows: u64,
        /// The images that it has.
        images: u64,
        /// A segment for each pass.
        segments: Vec<Segment>,
    },
}

impl PieceNote {
    /// The piece.
    pub fn piece(&self) -> u32 {
        match self {
            Self::Counted { piece, .. } | Self::Written { piece, .. } => *piece,
        }
    }

    /// Whether the piece was written.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written { .. })
    }
}

/// The records of exports. Reads are consistent.
#[async_trait]
pub trait Exports: Send + Sync {
    /// Reads an export.
    async fn export(&self, task: TaskId, id: ExportId) -> StoreResult<Option<Export>>;

    /// The exports of a task, in the order of their ids, `limit` at most.
    async fn exports(&self, task: TaskId, limit: u32) -> StoreResult<Vec<Export>>;

    /// Stores an export, if its `rev` is still the one before; 1 is a new one. False if it is not.
    async fn put_export(&self, export: &Export) -> StoreResult<bool>;

    /// Notes what has come of a piece, once, and counts it in the record of the export with a `rev` of its own, in
    /// the same step. Nothing is done if it was noted before, or if the export is not running, or in another run.
    async fn note(&self, export: &Export, note: &PieceNote, now: Timestamp) -> StoreResult<()>;

    /// What was noted in the run of an export, what was counted first, each in the order of the pieces.
    async fn notes(&self, export: &Export) -> StoreResult<Vec<PieceNote>>;
}

/// Where bytes of an export lie.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExportKey {
    /// A file that is handed out.
    File {
        /// The task.
        task: TaskId,
        /// The export.
        export: ExportId,
        /// Its name.
        name: String,
    },
    /// A segment of a file that is not there yet.
    Segment {
        /// The task.
        task: TaskId,
        /// The export.
        export: ExportId,
        /// The attempt.
        run: u32,
        /// The pass.
        pass: u32,
        /// The piece.
        piece: u32,
    },
}

impl fmt::Display for ExportKey {
    /// The key of the object in the bucket of data sets, where everything else begins with the id of a task. Files
    /// and segments lie apart, since they are removed after different times.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { task, export, name } => write!(f, "exports/files/{task}/{export}/{name}"),
            Self::Segment { task, export, run, pass, piece } => {
                write!(f, "exports/pieces/{task}/{export}/{run}/{pass}-{piece:05}")
            }
        }
    }
}

/// An object that is being written.
#[async_trait]
pub trait ExportWriter: Send {
    /// Takes the next bytes.
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()>;

    /// Ends it. Only now the object is there, as a whole, in the place of what was there before.
    async fn finish(self: Box<Self>) -> StoreResult<()>;
}

/// The files of exports, in the bucket of data sets.
#[async_trait]
pub trait ExportFiles: Send + Sync {
    /// Begins an object. One that is not finished was never there.
    async fn create(&self, key: &ExportKey, media_type: &str) -> StoreResult<Box<dyn ExportWriter>>;

    /// Makes one object of others, which follow each other, of these lengths. None of them has to be held in memory.
    async fn join(&self, parts: &[(ExportKey, u64)], to: &ExportKey, media_type: &str) -> StoreResult<()>;

    /// Reads a stretch of an object, which must be there and have it.
    async fn read(&self, key: &ExportKey, bytes: Range<u64>) -> StoreResult<Bytes>;

    /// An address at which a file can be read and is saved under its name.
    async fn presign(&self, key: &ExportKey, name: &str, life: Duration) -> StoreResult<String>;
}

/// The queue `exports`.
#[async_trait]
pub trait ExportQueue: Send + Sync {
    /// Sends steps. If it fails, some of them may have been sent.
    async fn send(&self, steps: &[ExportStep]) -> StoreResult<()>;
}

/// The records of exports, shared.
pub type SharedExports = Arc<dyn Exports>;
/// The files of exports, shared.
pub type SharedExportFiles = Arc<dyn ExportFiles>;
/// The queue `exports`, shared.
pub type SharedExportQueue = Arc<dyn ExportQueue>;
