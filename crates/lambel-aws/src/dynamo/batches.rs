//! What batches and reviews write: decisions made again, images opened again, and the end of a task.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{ConditionCheck, TransactWriteItem, Update, builders::ConditionCheckBuilder};
use lambel_core::{AuditEntry, CountsChange, Task, TaskState};
use lambel_service::ports::{Batches, Revised, Revision, SkillMark, StoreResult};

use super::{
    DynamoStore,
    client::{Transacted, number, string},
    items,
    keys::{self, Key},
    tasks::build,
};

#[async_trait]
impl Batches for DynamoStore {
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised> {
        let mut done = vec![true; revisions.len()];
        let mut left: Vec<usize> = (0..revisions.len()).collect();
        while !left.is_empty() {
            let transacted = self
                .client
                .transact(|| {
                    let mut change = CountsChange::default();
                    let mut actions = Vec::with_capacity(left.len() + 3);
                    for revision in left.iter().map(|place| &revisions[*place]) {
                        change.revise(&revision.seen, &revision.after);
                        actions.push(self.revise_action(task, revision)?);
                    }
                    actions.push(self.add_counts(task, &change)?);
                    actions.push(self.goes_on(task)?);
                    if let Some(mark) = mark {
                        actions.push(self.is_held(task, mark)?);
                    }
                    Ok(actions)
                })
                .await?;
            let Transacted::Refused(verdicts) = transacted else { break };
            if verdicts.iter().skip(left.len()).any(Option::is_some) {
                return Ok(Revised::Stopped);
            }
            let (lost, rest): (Vec<_>, Vec<_>) =
                left.into_iter().zip(verdicts).partition(|(_, refused)| refused.is_some());
            for (place, _) in lost {
                done[place] = false;
            }
            left = rest.into_iter().map(|(place, _)| place).collect();
        }
        Ok(Revised::Done(done))
    }

    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool> {
        self.replace_task_item(task, entry, Some(&self.is_held(task, mark.rev)?)).await
    }
}

impl DynamoStore {
    /// Writes what differs between the record that was seen and what becomes of it.
    fn revise_action(&self, task: &Task, Revision { seen, after }: &Revision) -> StoreResult<TransactWriteItem> {
        let (pk, sk) = keys::subtask(task, after.image);
        let (before, item) = (items::subtask(seen, &pk), items::subtask(after, &pk));
        let mut update = Update::builder()
            .table_name(&self.subtasks)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .condition_expression("rev = :seen")
            .expression_attribute_values(":seen", number(seen.rev));
        let mut set = Vec::new();
        let mut removed = Vec::new();
        for (place, name) in before.keys().filter(|name| !item.contains_key(*name)).enumerate() {
            removed.push(format!("#r{place}"));
            update = update.expression_attribute_names(format!("#r{place}"), name);
        }
        let changed = item.into_iter().filter(|(name, value)| before.get(name) != Some(value));
        for (place, (name, value)) in changed.enumerate() {
            set.push(format!("#n{place} = :n{place}"));
            update = update.expression_attribute_names(format!("#n{place}"), name);
            update = update.expression_attribute_values(format!(":n{place}"), value);
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !removed.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removed.join(", ")));
        }
        let update = update.update_expression(expression);
        Ok(TransactWriteItem::builder().update(build(update.build())?).build())
    }

    /// The task is not over.
    fn goes_on(&self, task: &Task) -> StoreResult<TransactWriteItem> {
        let check = self.check(keys::task(task.id)).condition_expression("#state IN (:open, :sealed)");
        let check = check
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":open", string(TaskState::Open.as_str()))
            .expression_attribute_values(":sealed", string(TaskState::Sealed.as_str()));
        Ok(TransactWriteItem::builder().condition_check(build(check.build())?).build())
    }

    /// The batch of this number has the task's mark.
    fn is_held(&self, task: &Task, mark: u64) -> StoreResult<TransactWriteItem> {
        let check = self.check(keys::skill_mark(task.id)).condition_expression("rev = :mark");
        let check = check.expression_attribute_values(":mark", number(mark));
        Ok(TransactWriteItem::builder().condition_check(build(check.build())?).build())
    }

    fn check(&self, (pk, sk): Key) -> ConditionCheckBuilder {
        ConditionCheck::builder().table_name(&self.tasks).key("pk", string(pk)).key("sk", string(sk))
    }
}
