//! What a client reads and writes in the notes of a version.

use lambel_core::{
    NoteKey, TaskId,
    api::notes::{NoteFields, NoteList, NoteView, NoteWritten},
    limits, note,
};
use lambel_dataset::CommitId;

use super::name::{Names, find};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{Note, SharedDatasets, SharedNotes},
    tasks::Tasks,
};

/// Notes that are asked for at once: more than there can be, but for those that came at the same moment as the last.
const ALL: u32 = 2 * limits::NOTES_PER_VERSION as u32;

/// The notes of the versions of data sets, towards their clients.
#[derive(Clone)]
pub struct DatasetNotes {
    tasks: Tasks,
    datasets: SharedDatasets,
    notes: SharedNotes,
}

impl DatasetNotes {
    /// Over these ports.
    pub fn new(tasks: Tasks, datasets: SharedDatasets, notes: SharedNotes) -> Self {
        Self { tasks, datasets, notes }
    }

    /// The version that a text stands for, in the data set of a task that the caller may see.
    async fn version(&self, caller: &Caller, task: TaskId, version: &str) -> Result<CommitId> {
        self.tasks.owned(caller, task).await?;
        let dataset = self.datasets.of(task);
        find(&dataset, &Names::read(&dataset).await?, "version", version).await
    }

    /// The notes of a version.
    pub async fn list(&self, caller: &Caller, task: TaskId, version: &str) -> Result<NoteList> {
        let commit = self.version(caller, task, version).await?;
        let notes = self.notes.notes_of(task, commit, ALL).await?;
        Ok(NoteList { commit: commit.to_string(), notes: notes.into_iter().map(view).collect() })
    }

    /// One note of a version.
    pub async fn show(&self, caller: &Caller, task: TaskId, version: &str, key: &str) -> Result<NoteView> {
        let commit = self.version(caller, task, version).await?;
        let key: NoteKey = key.parse().map_err(|_| Error::NoteNotFound)?;
        self.notes.note_of(task, commit, &key).await?.map(view).ok_or(Error::NoteNotFound)
    }

    /// Writes a note of a version, also over one that has this key: whoever comes last wins, and is named in it.
    pub async fn put(
        &self,
        caller: &Caller,
        task: TaskId,
        version: &str,
        key: &str,
        fields: NoteFields,
    ) -> Result<NoteWritten> {
        let commit = self.version(caller, task, version).await?;
        let key: NoteKey = key.parse().map_err(|error| Error::invalid("key", error))?;
        let bytes = note::bytes(&fields.value);
        if bytes > limits::NOTE_BYTES {
            let detail = format!("a note has {} bytes of JSON at most, not {bytes}", limits::NOTE_BYTES);
            return Err(Error::invalid("value", detail));
        }
        if self.notes.note_of(task, commit, &key).await?.is_none()
            && self.notes.notes_of(task, commit, ALL).await?.len() >= limits::NOTES_PER_VERSION
        {
            let detail = format!("a version has {} notes at most; write over one of them", limits::NOTES_PER_VERSION);
            return Err(Error::Conflict(detail));
        }
        let note = Note { key, value: fields.value, by: caller.actor(), at: self.tasks.clock.now() };
        self.notes.put_note(task, commit, &note).await?;
        tracing::info!(%task, %commit, "note written");
        Ok(NoteWritten { commit: commit.to_string(), note: view(note) })
    }
}

fn view(note: Note) -> NoteView {
    let Note { key, value, by, at } = note;
    NoteView { key, value, by, at }
}
