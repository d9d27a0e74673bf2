//! The routes of the notes of versions.

use lambel_core::{
    NoteKey, TaskId,
    api::notes::{NoteFields, NoteList, NoteView, NoteWritten},
};
use reqwest::Method;

use crate::{
    client::{Call, Client},
    error::Result,
    versions::version_path,
};

/// For clients: what there is to say of the versions of a task's data set.
impl Client {
    /// The notes of a version, by a branch, a tag, an id or the first digits of one.
    pub async fn notes(&self, task: TaskId, version: &str) -> Result<NoteList> {
        self.call("NoteList", Call::get(format!("{}/notes", version_path(task, version)))).await
    }

    /// One note of a version.
    pub async fn note(&self, task: TaskId, version: &str, key: &NoteKey) -> Result<NoteView> {
        self.call("NoteView", Call::get(format!("{}/notes/{key}", version_path(task, version)))).await
    }

    /// Writes a note of a version, also over one that has this key. Done twice it comes to the same.
    pub async fn put_note(
        &self,
        task: TaskId,
        version: &str,
        key: &NoteKey,
        fields: &NoteFields,
    ) -> Result<NoteWritten> {
        let path = format!("{}/notes/{key}", version_path(task, version));
        self.call("NoteWritten", Call::new(Method::PUT, path).with(fields)?).await
    }
}
