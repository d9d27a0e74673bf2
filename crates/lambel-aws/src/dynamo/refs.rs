//! The branches and tags of data sets.
//!
//! They have a partition for each task, and no other kind of item is in it: so a role can be allowed to write these
//! and nothing else. A branch moves in one transaction with the entry of its log.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update};
use lambel_core::TaskId;
use lambel_dataset::{
    CommitId, RefName, Refs, StoreError,
    store::{Moved, Reason, RefMove, StoreResult, Tag, Tagged},
};
use lambel_service::ports::{Answered, StoreResult as PortResult};

use super::{
    DynamoStore,
    client::{Item, Transacted, Written, number, string},
    items::{read_answered, read_move, read_tag, stored_answered, stored_move, stored_tag},
    keys::{self, Key},
    tasks::build,
};

/// How often a move is tried again when the branch went away and came back meanwhile.
const TRIES: usize = 5;
/// Branches of a data set, and tags, at most.
const NAMES: u32 = 10_000;

/// The branches and tags of one task's data set.
#[derive(Clone, Debug)]
pub(crate) struct DynamoRefs {
    store: DynamoStore,
    task: TaskId,
}

/// Whether an update may go ahead.
enum If {
    /// There is no such item yet.
    New,
    /// It was changed so many times.
    Seq(u64),
}

impl DynamoRefs {
    pub(crate) fn new(store: DynamoStore, task: TaskId) -> Self {
        Self { store, task }
    }

    async fn move_of(&self, key: Key) -> StoreResult<Option<RefMove>> {
        let item = self.store.client.get(&self.store.tasks, key).await?;
        Ok(item.map(read_move).transpose()?)
    }

    /// The items whose sort keys begin so, from the last one if `backwards`, before a given key.
    async fn items(&self, from: String, to: String, backwards: bool, limit: u32) -> StoreResult<Vec<Item>> {
        let query = self.store.client.sdk.query().table_name(&self.store.tasks).consistent_read(true);
        let query = query
            .scan_index_forward(!backwards)
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :to")
            .expression_attribute_values(":pk", string(keys::refs_partition(self.task)))
            .expression_attribute_values(":from", string(from))
            .expression_attribute_values(":to", string(to));
        Ok(self.store.client.query(query, limit).await?)
    }
}

/// A put by way of an update, so that a role can be held to some attributes.
fn put(table: &str, (pk, sk): Key, item: Item, condition: &If) -> PortResult<Update> {
    let mut update = Update::builder().table_name(table).key("pk", string(pk)).key("sk", string(sk));
    let mut terms = Vec::new();
    // Who moved it last may have had a name, and who moves it now has none.
    let unnamed = !item.contains_key("name");
    for (place, (name, value)) in item.into_iter().enumerate() {
        terms.push(format!("#n{place} = :n{place}"));
        update = update.expression_attribute_names(format!("#n{place}"), name);
        update = update.expression_attribute_values(format!(":n{place}"), value);
    }
    let mut expression = format!("SET {}", terms.join(", "));
    update = match condition {
        If::New => update.condition_expression("attribute_not_exists(pk)"),
        If::Seq(seq) => {
            if unnamed {
                expression.push_str(" REMOVE #name");
                update = update.expression_attribute_names("#name", "name");
            }
            update.condition_expression("seq = :seq").expression_attribute_values(":seq", number(seq))
        }
    };
    build(update.update_expression(expression).build())
}

#[async_trait]
impl Refs for DynamoRefs {
    async fn branch(&self, name: &RefName) -> StoreResult<Option<RefMove>> {
        self.move_of(keys::branch(self.task, name)).await
    }

    async fn branches(&self) -> StoreResult<Vec<(RefName, RefMove)>> {
        let (from, to) = keys::span(keys::BRANCH);
        let items = self.items(from, to, false, NAMES).await?;
        let branch = |item: Item| {
            let name = keys::branch_of(&item).ok_or_else(|| StoreError::Failed("a branch has no name".to_owned()))?;
            Ok((name, read_move(item)?))
        };
        items.into_iter().map(branch).collect()
    }

    async fn advance(
        &self,
        name: &RefName,
        from: Option<CommitId>,
        to: CommitId,
        reason: &Reason,
    ) -> StoreResult<Moved> {
        for _ in 0..TRIES {
            let last = self.branch(name).await?;
            let stands = last.as_ref().map(|last| last.to);
            if stands != from {
                return Ok(Moved::Lost { stands });
            }
            let seq = last.as_ref().map_or(0, |last| last.seq);
            let entry =
                RefMove { seq: seq + 1, from, to, by: reason.by.clone(), at: reason.at, why: reason.why.clone() };
            let condition = if last.is_some() { If::Seq(seq) } else { If::New };
            let table = &self.store.tasks;
            let transacted = self.store.client.transact(|| {
                let branch = put(table, keys::branch(self.task, name), stored_move(&entry, None), &condition)?;
                let logged = stored_move(&entry, Some(name));
                let log = put(table, keys::log(self.task, name, entry.seq), logged, &If::New)?;
                let action = |update| TransactWriteItem::builder().update(update).build();
                Ok(vec![action(branch), action(log)])
            });
            if let Transacted::Done = transacted.await? {
                return Ok(Moved::Done(entry));
            }
            // Somebody was faster. Where it stands decides.
        }
        Err(StoreError::Busy(format!("the branch {name} moves all the time")))
    }

    async fn moves(&self, name: &RefName, before: Option<u64>, limit: usize) -> StoreResult<Vec<RefMove>> {
        let last = match before {
            None => u64::MAX,
            Some(0 | 1) => return Ok(Vec::new()),
            Some(before) => before - 1,
        };
        let (from, to) = (keys::log(self.task, name, 0).1, keys::log(self.task, name, last).1);
        let items = self.items(from, to, true, u32::try_from(limit).unwrap_or(u32::MAX)).await?;
        Ok(items.into_iter().map(read_move).collect::<PortResult<_>>()?)
    }

    async fn tag(&self, tag: &Tag) -> StoreResult<Tagged> {
        let (pk, sk) = keys::tag(self.task, &tag.name);
        let update = self.store.client.sdk.update_item().table_name(&self.store.tasks);
        let mut update = update.key("pk", string(pk)).key("sk", string(sk));
        let mut terms = Vec::new();
        for (place, (name, value)) in stored_tag(tag).into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update
            .update_expression(format!("SET {}", terms.join(", ")))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let known = match self.store.client.update(update).await? {
            Written::Done(_) => return Ok(Tagged::Set),
            Written::Refused(Some(item)) => item,
            Written::Refused(None) => return Err(StoreError::Failed("a tag is there and not there".to_owned())),
        };
        let known = read_tag(known)?;
        Ok(if known.commit == tag.commit { Tagged::Known } else { Tagged::Taken(known.commit) })
    }

    async fn tags(&self) -> StoreResult<Vec<Tag>> {
        let (from, to) = keys::span(keys::TAG);
        let items = self.items(from, to, false, NAMES).await?;
        Ok(items.into_iter().map(read_tag).collect::<PortResult<_>>()?)
    }
}

impl DynamoStore {
    pub(crate) async fn read_answered(&self, task: TaskId) -> PortResult<Option<Answered>> {
        let item = self.client.get(&self.tasks, keys::answered(task)).await?;
        item.map(read_answered).transpose()
    }

    pub(crate) async fn put_answered(&self, task: TaskId, answered: &Answered) -> PortResult<()> {
        let (pk, sk) = keys::answered(task);
        let update = self.client.sdk.update_item().table_name(&self.tasks);
        let mut update = update.key("pk", string(pk)).key("sk", string(sk));
        let mut terms = Vec::new();
        for (place, (name, value)) in stored_answered(answered).into_iter().enumerate() {
            terms.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let update = update
            .update_expression(format!("SET {}", terms.join(", ")))
            .condition_expression("attribute_not_exists(pk) OR asked <= :asked")
            .expression_attribute_values(":asked", number(answered.asked_at.millis()));
        // What became of a later request says more.
        self.client.update(update).await.map(drop)
    }
}
