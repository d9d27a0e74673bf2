//! Operators' standing, the trail of who did what, how often somebody asks, and what schedules remember.

use aws_sdk_dynamodb::types::{ReturnValue, TransactWriteItem, Update};
use lambel_core::{AuditEntry, OperatorId, Standing, TaskId};
use lambel_service::ports::{SkillMark, StoreError, StoreResult, SweepMark, Trail};

use super::{
    DynamoStore,
    client::{Item, Transacted, Written, number, string},
    items, keys,
    tasks::build,
};

/// How often a request is counted anew when the window changes at that moment.
const COUNT_TRIES: usize = 3;

impl DynamoStore {
    pub(super) async fn read_standing(&self, operator: &OperatorId) -> StoreResult<Standing> {
        let item = self.client.get(&self.subtasks, keys::standing(operator)).await?;
        Ok(item.map(items::read_standing).transpose()?.unwrap_or_else(|| Standing::new(operator.clone())))
    }

    pub(super) async fn read_sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark> {
        let item = self.client.get(&self.tasks, keys::sweep_mark(task)).await?;
        Ok(item.map(items::read_sweep_mark).transpose()?.unwrap_or_default())
    }

    pub(super) async fn put_sweep_mark_item(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool> {
        self.put_if(&self.tasks, keys::sweep_mark(task), items::sweep_mark(mark), mark.rev).await
    }

    pub(super) async fn read_skill_mark(&self, task: TaskId) -> StoreResult<SkillMark> {
        let item = self.client.get(&self.tasks, keys::skill_mark(task)).await?;
        Ok(item.map(items::read_skill_mark).transpose()?.unwrap_or_default())
    }

    pub(super) async fn put_skill_mark_item(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool> {
        self.put_if(&self.tasks, keys::skill_mark(task), items::skill_mark(mark), mark.rev).await
    }

    pub(super) async fn put_standing_item(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool> {
        let (pk, sk) = keys::standing(&standing.operator);
        let trail = Trail::Operator(standing.operator.clone());
        let transacted = self
            .client
            .transact(|| {
                let mut update = Update::builder()
                    .table_name(&self.subtasks)
                    .key("pk", string(&pk))
                    .key("sk", string(&sk))
                    .condition_expression("attribute_not_exists(rev) OR rev = :before")
                    .expression_attribute_values(":before", number(standing.rev.saturating_sub(1)));
                // An update, since a role that can put could put votes in the place of others.
                let item = items::standing(standing);
                let removed = if item.contains_key("paused") { "" } else { " REMOVE paused" };
                let mut terms = Vec::new();
                for (name, value) in item {
                    terms.push(format!("{name} = :{name}"));
                    update = update.expression_attribute_values(format!(":{name}"), value);
                }
                let update = update.update_expression(format!("SET {}{removed}", terms.join(", ")));
                Ok(vec![
                    TransactWriteItem::builder().update(build(update.build())?).build(),
                    self.audit_action(&self.subtasks, &trail, standing.rev, entry)?,
                ])
            })
            .await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    /// Writes an entry of a trail, as a part of the transaction of which it speaks.
    pub(super) fn audit_action(
        &self,
        table: &str,
        trail: &Trail,
        place: u64,
        entry: &AuditEntry,
    ) -> StoreResult<TransactWriteItem> {
        let (pk, sk) = keys::audit(trail, place);
        let mut update = Update::builder().table_name(table).key("pk", string(pk)).key("sk", string(sk));
        let mut terms = Vec::new();
        for (place, (name, value)) in items::audit(entry)?.into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update.update_expression(format!("SET {}", terms.join(", ")));
        // What is on the trail stays there.
        let update = update.condition_expression("attribute_not_exists(pk)");
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    pub(super) async fn read_trail(
        &self,
        trail: &Trail,
        before: Option<u64>,
        limit: u32,
    ) -> StoreResult<Vec<(u64, AuditEntry)>> {
        let table = match trail {
            Trail::Task(_) => &self.tasks,
            Trail::Operator(_) => &self.subtasks,
        };
        // `$` is the character behind `#`.
        let end = before.map_or_else(|| "AUDIT$".to_owned(), |before| keys::audit(trail, before).1);
        let query = self.client.sdk.query().table_name(table).scan_index_forward(false);
        // BETWEEN takes its end in; a row more than wanted makes up for it.
        let query = query
            .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :end")
            .expression_attribute_values(":pk", string(keys::trail_partition(trail)))
            .expression_attribute_values(":first", string(keys::AUDIT))
            .expression_attribute_values(":end", string(end));
        let found: Vec<Item> = self.client.query(query, limit.saturating_add(1)).await?;
        let entries = found.into_iter().map(items::read_audit).collect::<StoreResult<Vec<_>>>()?;
        let earlier = entries.into_iter().filter(|(number, _)| before.is_none_or(|before| *number < before));
        Ok(earlier.take(limit as usize).collect())
    }

    /// One row for each caller: the window, and the requests in it.
    pub(super) async fn add_request(&self, caller: &str, window: u64) -> StoreResult<u32> {
        let (pk, sk) = keys::pace(caller);
        let row = || {
            let update = self.client.sdk.update_item().table_name(&self.tasks).key("pk", string(&pk));
            let update = update.key("sk", string(&sk)).expression_attribute_names("#window", "window");
            update.expression_attribute_values(":window", number(window)).return_values(ReturnValue::AllNew)
        };
        for _ in 0..COUNT_TRIES {
            let more = row().update_expression("ADD requests :one").condition_expression("#window = :window");
            let more = more.expression_attribute_values(":one", number(1));
            if let Written::Done(item) = self.client.update(more).await? {
                return counted(item);
            }
            let first = row()
                .update_expression("SET #window = :window, requests = :one")
                .condition_expression("attribute_not_exists(#window) OR #window < :window")
                .expression_attribute_values(":one", number(1));
            if let Written::Done(item) = self.client.update(first).await? {
                return counted(item);
            }
        }
        Err(StoreError::Busy("the requests of a caller cannot be counted".to_owned()))
    }
}

fn counted(item: Option<Item>) -> StoreResult<u32> {
    let read = |item: Item| item.get("requests")?.as_n().ok()?.parse().ok();
    item.and_then(read).ok_or_else(|| StoreError::Failed("the count of requests cannot be read".to_owned()))
}
