//! The notes of versions in memory.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use lambel_core::{NoteKey, TaskId};
use lambel_dataset::CommitId;
use lambel_service::ports::{Note, NoteStore, StoreResult};

use crate::{lock, turn};

/// The notes of all versions, in memory.
#[derive(Debug, Default)]
pub struct MemoryNotes {
    notes: Mutex<BTreeMap<(TaskId, CommitId), BTreeMap<NoteKey, Note>>>,
}

#[async_trait]
impl NoteStore for MemoryNotes {
    async fn note_of(&self, task: TaskId, commit: CommitId, key: &NoteKey) -> StoreResult<Option<Note>> {
        turn().await;
        Ok(lock(&self.notes).get(&(task, commit)).and_then(|notes| notes.get(key)).cloned())
    }

    async fn notes_of(&self, task: TaskId, commit: CommitId, limit: u32) -> StoreResult<Vec<Note>> {
        turn().await;
        let all = lock(&self.notes);
        let own = all.get(&(task, commit)).into_iter().flat_map(BTreeMap::values);
        Ok(own.take(limit as usize).cloned().collect())
    }

    async fn put_note(&self, task: TaskId, commit: CommitId, note: &Note) -> StoreResult<()> {
        turn().await;
        lock(&self.notes).entry((task, commit)).or_default().insert(note.key.clone(), note.clone());
        Ok(())
    }
}
