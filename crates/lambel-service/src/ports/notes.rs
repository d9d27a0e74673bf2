//! Where the notes of versions lie: beside the versions, which never change.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{Actor, NoteKey, TaskId, Timestamp};
use lambel_dataset::CommitId;
use serde_json::Value;

use super::StoreResult;

/// What somebody, or a pipeline, has to say of a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// What it is found by.
    pub key: NoteKey,
    /// What it says.
    pub value: Value,
    /// Who wrote it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// The notes of all versions. Reads are consistent. Whether there is such a version is for others to know.
#[async_trait]
pub trait NoteStore: Send + Sync {
    /// The note of a version that has this key.
    async fn note_of(&self, task: TaskId, commit: CommitId, key: &NoteKey) -> StoreResult<Option<Note>>;

    /// The notes of a version, sorted by key: so many at most.
    async fn notes_of(&self, task: TaskId, commit: CommitId, limit: u32) -> StoreResult<Vec<Note>>;

    /// Writes a note, also over one that has this key. Of two who do so at the same time one comes last, and wins.
    async fn put_note(&self, task: TaskId, commit: CommitId, note: &Note) -> StoreResult<()>;
}

/// The notes, shared.
pub type SharedNotes = Arc<dyn NoteStore>;
