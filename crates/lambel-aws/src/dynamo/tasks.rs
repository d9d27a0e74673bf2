//! Tasks, counters, names and files.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
    builders::{PutBuilder, UpdateBuilder},
};
use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, Counts, CountsChange, FileName, ImageId, Tally, Task, TaskId, limits,
};
use lambel_service::ports::{Announcement, FilePlace, StoreError, StoreResult, Trail};
use rand::RngExt;

use super::{
    DynamoStore,
    client::{Item, Transacted, Written, number, string},
    items,
    keys::{self, Key},
};

/// Files announced by one transaction: each is two items, a hundred items are the most.
const ANNOUNCED_AT_ONCE: usize = 50;
/// Transactions of one request under way at the same time.
const AT_ONCE: usize = 8;

/// An item with its key.
pub(super) fn keyed((pk, sk): Key, mut item: Item) -> Item {
    item.extend([("pk".to_owned(), string(pk)), ("sk".to_owned(), string(sk))]);
    item
}

/// The task of a row of a list.
fn listed_task(row: &Item) -> Option<TaskId> {
    keys::of_listed(row.get("sk")?.as_s().ok()?)
}

/// A part of a request that could not be built: a mistake of ours, that no retry mends.
pub(super) fn build<T, E: std::fmt::Display>(built: Result<T, E>) -> StoreResult<T> {
    built.map_err(|error| StoreError::Failed(error.to_string()))
}

impl DynamoStore {
    fn put(&self, key: Key, item: Item) -> PutBuilder {
        Put::builder().table_name(&self.tasks).set_item(Some(keyed(key, item)))
    }

    /// The place of each action is known below: the fourth refuses when the owner has too many tasks.
    pub(super) async fn create_task_items(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        let listed = |partition: String| (partition, keys::listed(task.id));
        let transacted = self
            .client
            .transact(|| {
                let meta =
                    self.put(keys::task(task.id), items::task(task)?).condition_expression("attribute_not_exists(pk)");
                let owned = self.put(listed(keys::owner_partition(&task.owner)), Item::new());
                let active = self.put(listed(keys::ACTIVE.to_owned()), Item::new());
                let put = |put: PutBuilder| Ok(TransactWriteItem::builder().put(build(put.build())?).build());
                let mut actions: Vec<_> = [meta, owned, active].into_iter().map(put).collect::<StoreResult<_>>()?;
                let counted = self
                    .add_active(&task.owner, 1)
                    .condition_expression("attribute_not_exists(active) OR active < :most")
                    .expression_attribute_values(":most", number(limits::ACTIVE_TASKS_PER_CLIENT));
                actions.push(TransactWriteItem::builder().update(build(counted.build())?).build());
                actions.push(self.audit_action(&self.tasks, &Trail::Task(task.id), task.rev, entry)?);
                Ok(actions)
            })
            .await?;
        match transacted {
            Transacted::Done => Ok(true),
            Transacted::Refused(verdicts) if verdicts.first().is_some_and(Option::is_some) => {
                // An answer that got lost makes us try again: then what is there is this task.
                match self.read_task(task.id).await? {
                    Some(there) if there == *task => Ok(true),
                    _ => Err(StoreError::Failed("this task exists already".to_owned())),
                }
            }
            Transacted::Refused(_) => Ok(false),
        }
    }

    /// Adds to the number of a client's active tasks.
    fn add_active(&self, owner: &ClientId, more: i8) -> UpdateBuilder {
        let (pk, sk) = keys::totals(owner);
        Update::builder()
            .table_name(&self.tasks)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("ADD active :more")
            .expression_attribute_values(":more", number(more))
    }

    pub(super) async fn read_task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        self.client.get(&self.tasks, keys::task(id)).await?.map(items::read_task).transpose()
    }

    pub(super) async fn read_tasks_of(
        &self,
        owner: &ClientId,
        before: Option<TaskId>,
        limit: u32,
    ) -> StoreResult<Vec<Task>> {
        // `TASK$` is behind every key that begins with `TASK#`.
        let before = before.map_or_else(|| "TASK$".to_owned(), keys::listed);
        let query = self.client.sdk.query().table_name(&self.tasks).scan_index_forward(false);
        let query = query
            .key_condition_expression("pk = :pk AND sk < :before")
            .expression_attribute_values(":pk", string(keys::owner_partition(owner)))
            .expression_attribute_values(":before", string(before));
        self.read_listed(self.client.query(query, limit).await?).await
    }

    pub(super) async fn read_active_tasks(
        &self,
        after: Option<TaskId>,
        limit: u32,
    ) -> StoreResult<(Vec<Task>, Option<TaskId>)> {
        // Every row is behind `TASK#`.
        let after = after.map_or_else(|| "TASK#".to_owned(), keys::listed);
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND sk > :after")
            .expression_attribute_values(":pk", string(keys::ACTIVE))
            .expression_attribute_values(":after", string(after));
        let rows = self.client.query(query, limit).await?;
        let more = rows.last().filter(|_| rows.len() == limit as usize).and_then(listed_task);
        let tasks = self.read_listed(rows).await?;
        Ok((tasks.into_iter().filter(|task| !task.state.is_final()).collect(), more))
    }

    /// The tasks of a list, in its order.
    async fn read_listed(&self, rows: Vec<Item>) -> StoreResult<Vec<Task>> {
        let ids: Vec<TaskId> = rows.iter().filter_map(listed_task).collect();
        let keys: Vec<_> = ids.iter().map(|id| (self.tasks.as_str(), keys::task(*id))).collect();
        let mut tasks = HashMap::new();
        for (_, item) in self.client.batch_get(&keys, true).await? {
            match items::read_task(item) {
                Ok(task) => drop(tasks.insert(task.id, task)),
                // One task that this program cannot read must not hide all the others.
                Err(error) => tracing::error!(%error, "task left out of a list"),
            }
        }
        Ok(ids.iter().filter_map(|id| tasks.remove(id)).collect())
    }

    pub(super) async fn replace_task_item(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        let before = number(task.rev.saturating_sub(1));
        let transacted = self
            .client
            .transact(|| {
                let put = self
                    .put(keys::task(task.id), items::task(task)?)
                    .condition_expression("rev = :before")
                    .expression_attribute_values(":before", before.clone());
                let mut actions = vec![TransactWriteItem::builder().put(build(put.build())?).build()];
                if task.state.is_final() {
                    let delete = Delete::builder()
                        .table_name(&self.tasks)
                        .key("pk", string(keys::ACTIVE))
                        .key("sk", string(keys::listed(task.id)));
                    actions.push(TransactWriteItem::builder().delete(build(delete.build())?).build());
                    let counted = self.add_active(&task.owner, -1);
                    actions.push(TransactWriteItem::builder().update(build(counted.build())?).build());
                }
                actions.push(self.audit_action(&self.tasks, &Trail::Task(task.id), task.rev, entry)?);
                Ok(actions)
            })
            .await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    pub(super) async fn sum_counts(&self, task: &Task) -> StoreResult<Tally> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", string(keys::counts_partition(task.id)));
        let slots = self.client.query(query, u32::from(task.shards.count())).await?;
        // The sum first: what is taken back may come out of another slot than it went into.
        let sum = |name: &str| -> i64 {
            slots.iter().filter_map(|slot| slot.get(name)?.as_n().ok()?.parse::<i64>().ok()).sum()
        };
        let more = CountsChange {
            accepted: sum("accepted"),
            rejected: sum("rejected"),
            complete: sum("complete"),
            disputed: sum("disputed"),
            votes: sum("votes"),
        };
        Ok(Tally { counts: Counts::default().changed_by(&more), changes: u64::try_from(sum("changes")).unwrap_or(0) })
    }

    pub(super) async fn correct_counts(&self, task: &Task, change: &CountsChange) -> StoreResult<()> {
        if !change.is_none() {
            self.client.transact(|| Ok(vec![self.add_counts(task, change)?])).await?;
        }
        Ok(())
    }

    /// Adds to one counter slot, drawn at random so that writers seldom meet.
    pub(super) fn add_counts(&self, task: &Task, more: &CountsChange) -> StoreResult<TransactWriteItem> {
        let slot = rand::rng().random_range(0..task.shards.count());
        let (pk, sk) = keys::count(task.id, slot);
        let added = [
            ("accepted", more.accepted),
            ("rejected", more.rejected),
            ("complete", more.complete),
            ("disputed", more.disputed),
            ("votes", more.votes),
            ("changes", 1),
        ];
        let mut update = Update::builder().table_name(&self.tasks).key("pk", string(pk)).key("sk", string(sk));
        let mut terms = Vec::new();
        for (name, count) in added.into_iter().filter(|(_, count)| *count != 0) {
            terms.push(format!("{name} :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), number(count));
        }
        let update = update.update_expression(format!("ADD {}", terms.join(", ")));
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    pub(super) async fn read_names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>> {
        let keys: Vec<_> = names.iter().map(|name| (self.tasks.as_str(), keys::name(task, name))).collect();
        let found = self.client.batch_get(&keys, true).await?;
        let read = found.into_iter().map(|(_, item)| items::read_name(item));
        let known: HashMap<String, ImageId> = read.collect::<StoreResult<_>>()?;
        Ok(names.iter().map(|name| known.get(name.as_str()).copied()).collect())
    }

    pub(super) async fn announce_files(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        let chunks: Vec<_> = files.chunks(ANNOUNCED_AT_ONCE).map(|chunk| self.announce_some(task, chunk)).collect();
        let announced: Vec<_> = stream::iter(chunks).buffered(AT_ONCE).try_collect().await?;
        Ok(announced.concat())
    }

    /// Each file by two items in one transaction: what its name stands for, and its row. Files whose name is
    /// there already are left out in the next try.
    async fn announce_some(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        let mut outcomes = vec![Announcement::New; files.len()];
        let mut left: Vec<usize> = (0..files.len()).collect();
        while !left.is_empty() {
            let transacted = self
                .client
                .transact(|| {
                    let mut actions = Vec::with_capacity(left.len() * 2);
                    for file in left.iter().map(|place| &files[*place]) {
                        let name = self
                            .put(keys::name(task, &file.name), items::name(file.image))
                            .condition_expression("attribute_not_exists(pk)")
                            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
                        let row = self.put(keys::file(task, file), items::file(file));
                        actions.push(TransactWriteItem::builder().put(build(name.build())?).build());
                        actions.push(TransactWriteItem::builder().put(build(row.build())?).build());
                    }
                    Ok(actions)
                })
                .await?;
            let Transacted::Refused(verdicts) = transacted else { break };
            let mut rest = Vec::new();
            for (place, verdict) in left.iter().zip(verdicts.into_iter().step_by(2)) {
                let Some(found) = verdict else {
                    rest.push(*place);
                    continue;
                };
                let there = items::read_name(found.unwrap_or_default())?.1;
                outcomes[*place] =
                    if there == files[*place].image { Announcement::Known } else { Announcement::NameTaken(there) };
            }
            left = rest;
        }
        Ok(outcomes)
    }

    pub(super) async fn read_files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query.expression_attribute_values(":pk", string(keys::files_partition(task.id, shard)));
        let query = match after {
            Some(place) => query
                .key_condition_expression("pk = :pk AND sk > :after")
                .expression_attribute_values(":after", string(keys::file_place(place))),
            None => query.key_condition_expression("pk = :pk"),
        };
        self.client.query(query, limit).await?.into_iter().map(items::read_file).collect()
    }

    pub(super) async fn read_files_of(
        &self,
        task: &Task,
        image: ImageId,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :image)")
            .expression_attribute_values(":pk", string(keys::files_partition(task.id, task.shards.of(&image))))
            .expression_attribute_values(":image", string(keys::files_of(image)));
        self.client.query(query, limit).await?.into_iter().map(items::read_file).collect()
    }

    /// Stores a record under its key if its `rev` is still the one before.
    pub(super) async fn put_if(&self, table: &str, (pk, sk): Key, item: Item, rev: u64) -> StoreResult<bool> {
        // A put whose condition fails costs as much as an update, and this one can say so.
        let mut update = self.client.sdk.update_item().table_name(table).key("pk", string(pk)).key("sk", string(sk));
        let mut terms = Vec::new();
        for (place, (name, value)) in item.into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update.update_expression(format!("SET {}", terms.join(", ")));
        let update = match rev {
            1 => update.condition_expression("attribute_not_exists(rev)"),
            _ => update.condition_expression("rev = :before").expression_attribute_values(":before", number(rev - 1)),
        };
        Ok(matches!(self.client.update(update).await?, Written::Done(_)))
    }
}
