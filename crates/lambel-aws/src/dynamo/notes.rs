//! The notes of versions of data sets, in a partition for each version: no other kind of item is in it, so a role can be
//! allowed to write notes and nothing else.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use lambel_core::{Actor, NoteKey, TaskId};
use lambel_dataset::CommitId;
use lambel_service::ports::{Note, NoteStore, StoreError, StoreResult};

use super::{
    DynamoStore,
    client::{Item, number, string},
    items,
    keys::Key,
    tasks::keyed,
};
use crate::errors::sort;

fn partition(task: TaskId, commit: CommitId) -> String {
    format!("NOTES#{task}#{commit}")
}

fn key_of(task: TaskId, commit: CommitId, key: &NoteKey) -> Key {
    (partition(task, commit), key.to_string())
}

/// A note as it is stored, but for its key. What it says is JSON in one text: nobody looks into it here.
fn item(note: &Note) -> Item {
    let name = note.by.name.as_ref().map(|name| ("name".to_owned(), string(name)));
    let item = [
        items::versioned(),
        ("at".to_owned(), number(note.at.millis())),
        ("by".to_owned(), string(&note.by.id)),
        ("body".to_owned(), string(note.value.to_string())),
    ];
    item.into_iter().chain(name).collect()
}

fn read(item: Item) -> StoreResult<Note> {
    let reader = items::Reader::new("note of a version", item)?;
    let name = reader.item.get("name").and_then(|name| name.as_s().ok()).cloned();
    let unreadable = |error| StoreError::Failed(format!("note of a version cannot be read: {error}"));
    Ok(Note {
        key: reader.parsed("sk")?,
        value: serde_json::from_str(reader.text("body")?).map_err(unreadable)?,
        by: Actor { id: reader.text("by")?.to_owned(), name },
        at: reader.moment("at")?,
    })
}

#[async_trait]
impl NoteStore for DynamoStore {
    async fn note_of(&self, task: TaskId, commit: CommitId, key: &NoteKey) -> StoreResult<Option<Note>> {
        let item = self.client.get(&self.tasks, key_of(task, commit, key)).await?;
        item.map(read).transpose()
    }

    async fn notes_of(&self, task: TaskId, commit: CommitId, limit: u32) -> StoreResult<Vec<Note>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", string(partition(task, commit)));
        self.client.query(query, limit).await?.into_iter().map(read).collect()
    }

    async fn put_note(&self, task: TaskId, commit: CommitId, note: &Note) -> StoreResult<()> {
        let item = keyed(key_of(task, commit, &note.key), item(note));
        let put = self.client.sdk.put_item().table_name(&self.tasks).set_item(Some(item));
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let output = put.map_err(|error| sort("PutItem", error))?;
        self.client.meter.note("PutItem", output.consumed_capacity());
        Ok(())
    }
}
