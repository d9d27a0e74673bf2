//! Exports of data sets.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `EXPORTS#{task}` | `{export}` | `run`, `state`, `counted`, `written`, `rows_done`, `moved`, `rev`; `body`: all there is to know, as JSON; `v` |
//! | `EXPORTS#{task}#{export}` | `{run}#{counted or written}#{piece}` | `body`: what has come of a piece, as JSON; `v` |
//!
//! What a piece changes in the record are attributes of their own, and stand for what `body` says of them.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use lambel_core::{
    TaskId, Timestamp,
    api::exports::{ExportId, ExportState},
};
use lambel_service::{
    exports::Export,
    ports::{Exports, PieceNote, StoreError, StoreResult},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    DynamoStore,
    client::{Item, number, string},
    keys::Key,
    tasks::build,
};

/// The version of the shapes that this program writes.
const VERSION: u32 = 1;
/// Notes of one run: two for each piece of ten million images, and more.
const NOTES: u32 = 10_000;

fn partition(task: TaskId) -> String {
    format!("EXPORTS#{task}")
}

fn record(task: TaskId, id: ExportId) -> Key {
    (partition(task), id.to_string())
}

fn notes_partition(export: &Export) -> String {
    format!("EXPORTS#{}#{}", export.task, export.id)
}

/// How the sort keys of the notes of a run begin.
fn notes_of_run(export: &Export) -> String {
    format!("{:06}#", export.run)
}

fn note_key(export: &Export, note: &PieceNote) -> Key {
    let what = if note.is_written() { "written" } else { "counted" };
    (notes_partition(export), format!("{}{what}#{:05}", notes_of_run(export), note.piece()))
}

/// A state as it is stored.
fn state(state: ExportState) -> &'static str {
    match state {
        ExportState::Waiting => "waiting",
        ExportState::Running => "running",
        ExportState::Complete => "complete",
        ExportState::Failed => "failed",
        ExportState::Expired => "expired",
    }
}

fn json(value: &impl Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed(error.to_string()))
}

fn unreadable(detail: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("an export cannot be read: {detail}"))
}

fn attribute<T: std::str::FromStr>(item: &Item, name: &str) -> StoreResult<T> {
    let value = item.get(name).and_then(|value| value.as_n().ok()?.parse().ok());
    value.ok_or_else(|| unreadable(format!("attribute `{name}` is missing or of another type")))
}

fn body<T: DeserializeOwned>(item: &Item) -> StoreResult<T> {
    let version: u32 = attribute(item, "v")?;
    if version != VERSION {
        return Err(unreadable(format!("its shape has version {version}, this program knows {VERSION}")));
    }
    let body = item.get("body").and_then(|value| value.as_s().ok());
    let body = body.ok_or_else(|| unreadable("attribute `body` is missing or of another type"))?;
    serde_json::from_str(body).map_err(unreadable)
}

fn export_of(item: &Item) -> StoreResult<Export> {
    Ok(Export {
        counted: attribute(item, "counted")?,
        written: attribute(item, "written")?,
        rows_done: attribute(item, "rows_done")?,
        moved_at: Timestamp::from_millis(attribute(item, "moved")?),
        rev: attribute(item, "rev")?,
        ..body(item)?
    })
}

fn item_of(export: &Export) -> StoreResult<Item> {
    Ok(Item::from(
        [
            ("v", number(VERSION)),
            ("run", number(export.run)),
            ("state", string(state(export.state))),
            ("counted", number(export.counted)),
            ("written", number(export.written)),
            ("rows_done", number(export.rows_done)),
            ("moved", number(export.moved_at.millis())),
            ("rev", number(export.rev)),
            ("body", string(json(export)?)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    ))
}

impl DynamoStore {
    /// The note itself, once.
    fn note_action(&self, export: &Export, note: &PieceNote) -> StoreResult<TransactWriteItem> {
        let (pk, sk) = note_key(export, note);
        let update = Update::builder()
            .table_name(&self.tasks)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("SET v = :v, body = :body")
            .condition_expression("attribute_not_exists(pk)")
            .expression_attribute_values(":v", number(VERSION))
            .expression_attribute_values(":body", string(json(note)?));
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    /// What a note changes in the record, while its run is on.
    fn counting_action(&self, export: &Export, note: &PieceNote, now: Timestamp) -> StoreResult<TransactWriteItem> {
        let (pk, sk) = record(export.task, export.id);
        let (changed, rows) = match note {
            PieceNote::Counted { .. } => ("counted", 0),
            PieceNote::Written { rows, .. } => ("written", *rows),
        };
        let update = Update::builder()
            .table_name(&self.tasks)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("ADD #changed :one, rows_done :rows, rev :one SET moved = :now")
            .condition_expression("run = :run AND #state = :running")
            .expression_attribute_names("#changed", changed)
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":rows", number(rows))
            .expression_attribute_values(":now", number(now.millis()))
            .expression_attribute_values(":run", number(export.run))
            .expression_attribute_values(":running", string(state(ExportState::Running)));
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }
}

#[async_trait]
impl Exports for DynamoStore {
    async fn export(&self, task: TaskId, id: ExportId) -> StoreResult<Option<Export>> {
        let item = self.client.get(&self.tasks, record(task, id)).await?;
        item.as_ref().map(export_of).transpose()
    }

    async fn exports(&self, task: TaskId, limit: u32) -> StoreResult<Vec<Export>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query.key_condition_expression("pk = :pk");
        let query = query.expression_attribute_values(":pk", string(partition(task)));
        self.client.query(query, limit).await?.iter().map(export_of).collect()
    }

    async fn put_export(&self, export: &Export) -> StoreResult<bool> {
        self.put_if(&self.tasks, record(export.task, export.id), item_of(export)?, export.rev).await
    }

    async fn note(&self, export: &Export, note: &PieceNote, now: Timestamp) -> StoreResult<()> {
        let actions = || Ok(vec![self.note_action(export, note)?, self.counting_action(export, note, now)?]);
        // Refused: it was noted before, or nobody waits for it any more. Either way there is nothing to do.
        self.client.transact(actions).await.map(drop)
    }

    async fn notes(&self, export: &Export) -> StoreResult<Vec<PieceNote>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :run)")
            .expression_attribute_values(":pk", string(notes_partition(export)))
            .expression_attribute_values(":run", string(notes_of_run(export)));
        self.client.query(query, NOTES).await?.iter().map(body).collect()
    }
}
