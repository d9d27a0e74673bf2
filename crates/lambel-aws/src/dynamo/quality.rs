//! Operators' quality on DynamoDB: items of the table `Subtasks`, in a partition of their own for each task.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use lambel_core::{AuditEntry, OperatorId, Task, TaskId, Timestamp, consensus::FlagKind};
use lambel_service::ports::{
    OperatorFound, OperatorQuality, Paused, QualityStore, StoreError, StoreResult, TaskQuality, Trail,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    DynamoStore,
    client::{Item, Transacted, Written, number, string},
    items::{self, Reader},
    keys,
    tasks::build,
};

/// What a pause is written by, in this order.
const ACTIONS: usize = 4;

/// What an operator's quality record is stored as, but for its key and its `rev`.
#[derive(Serialize, serde::Deserialize)]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<OperatorFound>,
    #[serde(default)]
    tolerated: Vec<FlagKind>,
}

fn written(value: &impl Serialize) -> StoreResult<Item> {
    serde_dynamo::to_item(value).map_err(|error| StoreError::Failed(error.to_string()))
}

fn read<T: DeserializeOwned>(what: &'static str, reader: Reader) -> StoreResult<T> {
    serde_dynamo::from_item(reader.item).map_err(|error| items::unreadable(what, error))
}

fn record_item(quality: &OperatorQuality) -> StoreResult<Item> {
    let stored = Stored { found: quality.found.clone(), tolerated: quality.tolerated.clone() };
    let mut item = written(&stored)?;
    item.extend([items::versioned(), ("rev".to_owned(), number(quality.rev))]);
    item.extend(quality.paused_at.map(|at| ("paused".to_owned(), number(at.millis()))));
    Ok(item)
}

fn read_record(item: Item) -> StoreResult<OperatorQuality> {
    const WHAT: &str = "operator's quality";
    let reader = Reader::new(WHAT, item)?;
    let (operator, rev) = (reader.parsed("sk")?, reader.number("rev")?);
    let paused_at = reader.maybe_number("paused")?.map(Timestamp::from_millis);
    let Stored { found, tolerated } = read(WHAT, reader)?;
    Ok(OperatorQuality { operator, found, paused_at, tolerated, rev })
}

#[async_trait]
impl QualityStore for DynamoStore {
    async fn task_quality(&self, task: TaskId) -> StoreResult<Option<TaskQuality>> {
        const WHAT: &str = "task's quality";
        let (pk, sk) = keys::task_quality(task);
        // A query for one item: whoever makes versions of data sets may query this table, and nothing else.
        let query = self.client.sdk.query().table_name(&self.subtasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk = :sk")
            .expression_attribute_values(":pk", string(pk))
            .expression_attribute_values(":sk", string(sk));
        let found = self.client.query(query, 1).await?.pop();
        found.map(|item| read(WHAT, Reader::new(WHAT, item)?)).transpose()
    }

    async fn put_task_quality(&self, task: TaskId, quality: &TaskQuality) -> StoreResult<()> {
        let (pk, sk) = keys::task_quality(task);
        let mut item = written(quality)?;
        item.extend([items::versioned()]);
        let absent: Vec<_> = ["agreement", "calibrated"].into_iter().filter(|name| !item.contains_key(*name)).collect();
        let removed = if absent.is_empty() { String::new() } else { format!(" REMOVE {}", absent.join(", ")) };
        let mut update = self.client.sdk.update_item().table_name(&self.subtasks);
        let mut terms = Vec::new();
        for (place, (name, value)) in item.into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update.update_expression(format!("SET {}{removed}", terms.join(", ")));
        match self.client.update(update.key("pk", string(pk)).key("sk", string(sk))).await? {
            Written::Done(_) => Ok(()),
            Written::Refused(_) => Err(StoreError::Failed("a write without a condition was refused".to_owned())),
        }
    }

    async fn operator_qualities(
        &self,
        task: TaskId,
        after: Option<&OperatorId>,
        limit: u32,
    ) -> StoreResult<Vec<OperatorQuality>> {
        let query = self.client.sdk.query().table_name(&self.subtasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk > :after")
            .expression_attribute_values(":pk", string(keys::quality_partition(task)))
            .expression_attribute_values(":after", string(after.map_or(keys::COMMON, OperatorId::as_str)));
        self.client.query(query, limit).await?.into_iter().map(read_record).collect()
    }

    async fn operator_quality(&self, task: TaskId, operator: &OperatorId) -> StoreResult<OperatorQuality> {
        let keys = [(self.subtasks.as_str(), keys::operator_quality(task, operator))];
        let found = self.client.batch_get(&keys, true).await?.pop();
        found.map_or_else(|| Ok(OperatorQuality::new(operator.clone())), |(_, item)| read_record(item))
    }

    async fn put_operator_quality(&self, task: TaskId, quality: &OperatorQuality) -> StoreResult<bool> {
        let key = keys::operator_quality(task, &quality.operator);
        self.put_if(&self.subtasks, key, record_item(quality)?, quality.rev).await
    }

    async fn put_pause(&self, seen: &Task, quality: &OperatorQuality, entry: &AuditEntry) -> StoreResult<Paused> {
        let transacted = self
            .client
            .transact(|| {
                let actions: [_; ACTIONS] = [
                    self.pause_desk(seen.id, quality)?,
                    self.pause_record(seen.id, quality)?,
                    self.raise_task(seen)?,
                    self.audit_action(&self.tasks, &Trail::Task(seen.id), seen.rev + 1, entry)?,
                ];
                Ok(actions.into())
            })
            .await?;
        Ok(match transacted {
            Transacted::Done => Paused::Done,
            Transacted::Refused(verdicts) if verdicts.first().is_some_and(Option::is_some) => Paused::NoDesk,
            Transacted::Refused(_) => Paused::Changed,
        })
    }
}

impl DynamoStore {
    /// An update of one item, as a part of a transaction.
    fn pause_part(&self, table: &str, (pk, sk): keys::Key) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder().table_name(table).key("pk", string(pk)).key("sk", string(sk))
    }

    fn pause_desk(&self, task: TaskId, quality: &OperatorQuality) -> StoreResult<TransactWriteItem> {
        let update = self.pause_part(&self.subtasks, keys::desk(task, &quality.operator));
        let update = update.condition_expression("attribute_exists(pk)").expression_attribute_values(":one", number(1));
        let update = match quality.paused_at {
            Some(at) => update
                .update_expression("SET paused = :at, rev = rev + :one")
                .expression_attribute_values(":at", number(at.millis())),
            None => update.update_expression("SET rev = rev + :one REMOVE paused"),
        };
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    fn pause_record(&self, task: TaskId, quality: &OperatorQuality) -> StoreResult<TransactWriteItem> {
        let mut update = self.pause_part(&self.subtasks, keys::operator_quality(task, &quality.operator));
        let removed = if quality.paused_at.is_some() { "" } else { " REMOVE paused" };
        let mut terms = Vec::new();
        for (place, (name, value)) in record_item(quality)?.into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update.update_expression(format!("SET {}{removed}", terms.join(", ")));
        let update = match quality.rev {
            1 => update.condition_expression("attribute_not_exists(rev)"),
            rev => update.condition_expression("rev = :before").expression_attribute_values(":before", number(rev - 1)),
        };
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    /// The trail of a task is numbered by its `rev`.
    fn raise_task(&self, seen: &Task) -> StoreResult<TransactWriteItem> {
        let update = self
            .pause_part(&self.tasks, keys::task(seen.id))
            .update_expression("SET rev = :after")
            .condition_expression("rev = :before")
            .expression_attribute_values(":before", number(seen.rev))
            .expression_attribute_values(":after", number(seen.rev + 1));
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }
}
