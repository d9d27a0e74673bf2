//! Subtasks, votes, leases and operators' records.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    operation::update_item::builders::UpdateItemFluentBuilder,
    types::{Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use lambel_core::{
    CountsChange, ImageId, OperatorId, Standing, Subtask, SubtaskState, Task, TaskId, Timestamp, Vote,
    consensus::Measured,
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_service::ports::{CastError, Closing, Desk, Desks, StoreError, StoreResult};

use super::{
    DynamoStore,
    client::{Transacted, Written, number, string},
    items,
    keys::{self, Key},
    tasks::build,
};

/// The sparse index of what is open.
const POOL: &str = "open";
/// How often a vote that needs a second look is tried when the record keeps changing.
const CAST_TRIES: u32 = 10;

impl DynamoStore {
    pub(super) fn subtask_update(&self, task: &Task, image: ImageId) -> UpdateItemFluentBuilder {
        let (pk, sk) = keys::subtask(task, image);
        self.client.sdk.update_item().table_name(&self.subtasks).key("pk", string(pk)).key("sk", string(sk))
    }

    pub(super) async fn record_subtasks(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>> {
        let mut left: Vec<&Subtask> = subtasks.iter().collect();
        while !left.is_empty() {
            let transacted = self
                .client
                .transact(|| {
                    let mut more = CountsChange::default();
                    let mut actions = Vec::with_capacity(left.len() + 1);
                    for subtask in &left {
                        more.record(subtask.state);
                        let (pk, sk) = keys::subtask(task, subtask.image);
                        let mut item = items::subtask(subtask, &pk);
                        item.extend([("pk".to_owned(), string(pk)), ("sk".to_owned(), string(sk))]);
                        let put = Put::builder().table_name(&self.subtasks).set_item(Some(item));
                        let put = put.condition_expression("attribute_not_exists(pk)");
                        actions.push(TransactWriteItem::builder().put(build(put.build())?).build());
                    }
                    actions.push(self.add_counts(task, &more)?);
                    Ok(actions)
                })
                .await?;
            let Transacted::Refused(verdicts) = transacted else { break };
            left = left.into_iter().zip(verdicts).filter(|(_, refused)| refused.is_none()).map(|(s, _)| s).collect();
        }
        Ok(left.into_iter().map(|subtask| subtask.image).collect())
    }

    pub(super) async fn read_subtasks(
        &self,
        task: &Task,
        images: &[ImageId],
        consistent: bool,
    ) -> StoreResult<Vec<Subtask>> {
        let mut keys: Vec<Key> = images.iter().map(|image| keys::subtask(task, *image)).collect();
        // A batch must not name an item twice.
        keys.sort_unstable();
        keys.dedup();
        let keys: Vec<_> = keys.into_iter().map(|key| (self.subtasks.as_str(), key)).collect();
        let found = self.client.batch_get(&keys, consistent).await?;
        found.into_iter().map(|(_, item)| items::read_subtask(item)).collect()
    }

    pub(super) async fn list_subtasks(
        &self,
        task: &Task,
        shard: u16,
        from: ImageId,
        limit: u32,
    ) -> StoreResult<Vec<Subtask>> {
        let query = self.client.sdk.query().table_name(&self.subtasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk >= :from")
            .expression_attribute_values(":pk", string(keys::subtasks_partition(task.id, shard)))
            .expression_attribute_values(":from", string(from.to_string()));
        self.client.query(query, limit).await?.into_iter().map(items::read_subtask).collect()
    }

    pub(super) async fn query_pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>> {
        let last = match stretch.before {
            Some(before) if before <= stretch.from => return Ok(Vec::new()),
            Some(before) => before,
            None => ImageId::MAX,
        };
        let query = self.client.sdk.query().table_name(&self.subtasks).index_name(POOL);
        let query = query
            .key_condition_expression("open_shard = :shard AND sk BETWEEN :from AND :last")
            .expression_attribute_values(":shard", string(keys::subtasks_partition(task.id, stretch.shard)))
            .expression_attribute_values(":from", string(stretch.from.to_string()))
            .expression_attribute_values(":last", string(last.to_string()));
        let rows = self.client.query(query, limit).await?;
        let image = |row: &HashMap<String, _>| {
            let sort: &aws_sdk_dynamodb::types::AttributeValue = row.get("sk")?;
            sort.as_s().ok()?.parse().ok()
        };
        // BETWEEN takes its end in; a stretch does not.
        Ok(rows.iter().filter_map(image).filter(|image| stretch.before.is_none_or(|before| *image < before)).collect())
    }

    pub(super) async fn open_subtask(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool> {
        let (pool, _) = keys::subtask(task, image);
        let mut set = "SET #state = :open, open_shard = :pool, rev = rev + :one".to_owned();
        let mut update = self
            .subtask_update(task, image)
            .condition_expression("#state = :preparing")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":preparing", items::state(SubtaskState::Preparing))
            .expression_attribute_values(":open", items::state(SubtaskState::Open))
            .expression_attribute_values(":pool", string(pool))
            .expression_attribute_values(":one", number(1));
        if let Some(media_type) = preview {
            set.push_str(", preview = :preview");
            update = update.expression_attribute_values(":preview", string(media_type));
        }
        Ok(matches!(self.client.update(update.update_expression(set)).await?, Written::Done(_)))
    }

    pub(super) async fn refuse_subtask(
        &self,
        task: &Task,
        image: ImageId,
        refusal: &Refusal,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let transacted = self
            .client
            .transact(|| {
                let (pk, sk) = keys::subtask(task, image);
                let update = Update::builder()
                    .table_name(&self.subtasks)
                    .key("pk", string(pk))
                    .key("sk", string(sk))
                    .update_expression(
                        "SET #state = :rejected, refusal = :code, refusal_detail = :detail, decided = :now, \
                         rev = rev + :one",
                    )
                    .condition_expression("#state = :preparing")
                    .expression_attribute_names("#state", "state")
                    .expression_attribute_values(":preparing", items::state(SubtaskState::Preparing))
                    .expression_attribute_values(":rejected", items::state(SubtaskState::Rejected))
                    .expression_attribute_values(":code", string(&refusal.code))
                    .expression_attribute_values(":detail", string(&refusal.detail))
                    .expression_attribute_values(":now", number(now.millis()))
                    .expression_attribute_values(":one", number(1));
                let refused = TransactWriteItem::builder().update(build(update.build())?).build();
                Ok(vec![refused, self.add_counts(task, &CountsChange::refusal())?])
            })
            .await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    pub(super) async fn lease_subtask(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let mut expression = "SET leases.#me = :until, rev = rev + :one".to_owned();
        let mut update = self
            .subtask_update(task, seen.image)
            .condition_expression("rev = :rev")
            .expression_attribute_names("#me", operator.as_str())
            .expression_attribute_values(":until", number(until.millis()))
            .expression_attribute_values(":rev", number(seen.rev))
            .expression_attribute_values(":one", number(1))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let expired = seen.leases.iter().filter(|(who, until)| **until <= now && *who != operator);
        for (place, (who, _)) in expired.enumerate() {
            expression.push_str(if place == 0 { " REMOVE " } else { ", " });
            expression.push_str(&format!("leases.#x{place}"));
            update = update.expression_attribute_names(format!("#x{place}"), who.as_str());
        }
        match self.client.update(update.update_expression(expression)).await? {
            Written::Done(_) => Ok(true),
            // An answer that got lost makes the SDK send again: then the lease that is there is this one.
            Written::Refused(Some(item)) => {
                let found = items::read_subtask(item)?;
                Ok(found.rev == seen.rev + 1 && found.leases.get(operator) == Some(&until))
            }
            Written::Refused(None) => Ok(false),
        }
    }

    pub(super) async fn give_back_subtask(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
    ) -> StoreResult<bool> {
        let update = self
            .subtask_update(task, image)
            .update_expression("SET rev = rev + :one REMOVE leases.#me")
            .condition_expression("attribute_exists(leases.#me)")
            .expression_attribute_names("#me", operator.as_str())
            .expression_attribute_values(":one", number(1));
        Ok(matches!(self.client.update(update).await?, Written::Done(_)))
    }

    /// The plain case (open, leased, not voted on) is one conditional update, and no read. Whatever else the
    /// record is like comes back with the refusal; then `lambel-core` says what the vote comes to, and the
    /// change is written on the condition that the record is still the one it was judged by.
    pub(super) async fn cast_vote(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError> {
        let update = self
            .subtask_update(task, image)
            .update_expression("SET votes.#me = :vote, rev = rev + :one REMOVE leases.#me")
            .condition_expression("#state = :open AND attribute_exists(leases.#me) AND attribute_not_exists(votes.#me)")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#me", operator.as_str())
            .expression_attribute_values(":open", items::state(SubtaskState::Open))
            .expression_attribute_values(":vote", items::vote(&vote))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let mut found = match self.client.update(update).await? {
            Written::Done(item) => return Ok((Cast::Counted, items::read_subtask(item.unwrap_or_default())?)),
            Written::Refused(None) => return Err(CastError::NoSubtask),
            Written::Refused(Some(item)) => items::read_subtask(item)?,
        };
        for _ in 0..CAST_TRIES {
            let mut after = found.clone();
            let cast = after.cast(operator, vote, held, &task.policy, task.labels.len())?;
            if after.rev == found.rev {
                return Ok((cast, found));
            }
            let votes = if cast == Cast::Late { "late" } else { "votes" };
            let update = self
                .subtask_update(task, image)
                .update_expression(format!("SET {votes}.#me = :vote, rev = rev + :one REMOVE leases.#me"))
                .condition_expression("rev = :rev")
                .expression_attribute_names("#me", operator.as_str())
                .expression_attribute_values(":vote", items::vote(&vote))
                .expression_attribute_values(":rev", number(found.rev))
                .expression_attribute_values(":one", number(1))
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            match self.client.update(update).await? {
                Written::Done(_) => return Ok((cast, after)),
                Written::Refused(None) => return Err(CastError::NoSubtask),
                Written::Refused(Some(item)) => found = items::read_subtask(item)?,
            }
        }
        Err(StoreError::Busy("the subtask keeps changing".to_owned()).into())
    }

    pub(super) async fn close_subtasks(
        &self,
        task: &Task,
        closings: &[Closing],
        now: Timestamp,
    ) -> StoreResult<Vec<bool>> {
        let mut closed = vec![true; closings.len()];
        let mut left: Vec<usize> = (0..closings.len()).collect();
        while !left.is_empty() {
            let transacted = self
                .client
                .transact(|| {
                    let mut more = CountsChange::default();
                    let mut actions = Vec::with_capacity(left.len() + 1);
                    for Closing { seen, decision, by } in left.iter().map(|place| &closings[*place]) {
                        let mut after = seen.clone();
                        after.close_by(*decision, *by, task.policy.disputed, now);
                        more.close(&after);
                        actions.push(self.close_action(task, &after)?);
                    }
                    actions.push(self.add_counts(task, &more)?);
                    Ok(actions)
                })
                .await?;
            let Transacted::Refused(verdicts) = transacted else { break };
            let (lost, rest): (Vec<_>, Vec<_>) =
                left.into_iter().zip(verdicts).partition(|(_, refused)| refused.is_some());
            for (place, _) in lost {
                closed[place] = false;
            }
            left = rest.into_iter().map(|(place, _)| place).collect();
        }
        Ok(closed)
    }

    fn close_action(&self, task: &Task, after: &Subtask) -> StoreResult<TransactWriteItem> {
        let (pk, sk) = keys::subtask(task, after.image);
        let mut set = "SET #state = :state, rev = :rev, decided_rev = :rev, decided = :decided".to_owned();
        let mut update = Update::builder()
            .table_name(&self.subtasks)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .condition_expression("rev = :seen AND #state = :open")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":open", items::state(SubtaskState::Open))
            .expression_attribute_values(":state", items::state(after.state))
            .expression_attribute_values(":seen", number(after.rev.saturating_sub(1)))
            .expression_attribute_values(":rev", number(after.rev))
            .expression_attribute_values(":decided", number(after.decided_at.unwrap_or_default().millis()));
        for (name, value) in after.decision.iter().flat_map(items::decision).chain(items::decided_by(after)) {
            set.push_str(&format!(", #{name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), value);
            update = update.expression_attribute_names(format!("#{name}"), name);
        }
        let update = update.update_expression(format!("{set} REMOVE open_shard"));
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    pub(super) async fn read_desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks> {
        let pair =
            |id: &TaskId| [(self.tasks.as_str(), keys::task(*id)), (self.subtasks.as_str(), keys::desk(*id, operator))];
        let mut keys: Vec<_> = tasks.iter().flat_map(pair).collect();
        let standing_key = keys::standing(operator);
        keys.push((self.subtasks.as_str(), standing_key.clone()));
        let mut standing = None;
        let mut found_tasks = HashMap::new();
        let mut found_desks = HashMap::new();
        for (table, item) in self.client.batch_get(&keys, true).await? {
            if table == self.tasks {
                let task = items::read_task(item)?;
                found_tasks.insert(task.id, task);
            } else if item.get("pk").and_then(|pk| pk.as_s().ok()) == Some(&standing_key.0) {
                standing = Some(items::read_standing(item)?);
            } else {
                let desk = items::read_desk(item)?;
                found_desks.insert(desk.task, desk);
            }
        }
        let pair = |id: &TaskId| {
            let desk = found_desks.remove(id).unwrap_or_else(|| Desk::new(*id, operator.clone()));
            (found_tasks.remove(id), desk)
        };
        let standing = standing.unwrap_or_else(|| Standing::new(operator.clone()));
        Ok(Desks { standing, desks: tasks.iter().map(pair).collect() })
    }

    /// One update, and no read. It raises `rev`, so that a claim which stores the record that it has read before does
    /// not write over it.
    pub(super) async fn measure_operator(
        &self,
        task: TaskId,
        operator: &OperatorId,
        measured: &Measured,
    ) -> StoreResult<bool> {
        let (pk, sk) = keys::desk(task, operator);
        let update = self.client.sdk.update_item().table_name(&self.subtasks);
        let update = update
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("SET measured = :measured, rev = rev + :one")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":measured", items::measured(measured))
            .expression_attribute_values(":one", number(1));
        Ok(matches!(self.client.update(update).await?, Written::Done(_)))
    }

    pub(super) async fn put_desk_item(&self, desk: &Desk) -> StoreResult<bool> {
        self.put_if(&self.subtasks, keys::desk(desk.task, &desk.operator), items::desk(desk), desk.rev).await
    }
}
