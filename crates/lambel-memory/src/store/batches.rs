//! What batches and reviews write, in memory.

use async_trait::async_trait;
use lambel_core::{AuditEntry, CountsChange, Tally, Task, TaskId};
use lambel_service::ports::{Batches, Revised, Revision, SkillMark, StoreResult, Trail};

use super::{MemoryStore, Tables};
use crate::{lock, turn};

impl Tables {
    /// Whether a batch of this number holds the mark of a task.
    fn is_held(&self, task: TaskId, mark: u64) -> bool {
        self.skill_marks.get(&task).map_or(0, |stored| stored.rev) == mark
    }

    fn revise(&mut self, task: TaskId, revisions: &[Revision]) -> Vec<bool> {
        let mut done = Vec::with_capacity(revisions.len());
        let mut change = CountsChange::default();
        for Revision { seen, after } in revisions {
            let current = self.subtasks.get(&(task, seen.image));
            let is_same = current.is_some_and(|current| current.rev == seen.rev);
            done.push(is_same);
            if is_same {
                change.revise(seen, after);
                self.put_subtask(after.clone());
            }
        }
        if done.contains(&true) {
            let tally = self.tallies.entry(task).or_default();
            *tally = Tally { counts: tally.counts.changed_by(&change), changes: tally.changes + 1 };
        }
        done
    }
}

#[async_trait]
impl Batches for MemoryStore {
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised> {
        turn().await;
        let mut tables = lock(&self.tables);
        let goes_on = tables.tasks.get(&task.id).is_some_and(|task| !task.state.is_final());
        if !goes_on || mark.is_some_and(|mark| !tables.is_held(task.id, mark)) {
            return Ok(Revised::Stopped);
        }
        Ok(Revised::Done(tables.revise(task.id, revisions)))
    }

    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let won =
            tables.tasks.get(&task.id).is_some_and(|now| now.rev + 1 == task.rev) && tables.is_held(task.id, mark.rev);
        if won {
            tables.put_task(task.clone());
            tables.trails.insert((Trail::Task(task.id), task.rev), entry.clone());
        }
        Ok(won)
    }
}
