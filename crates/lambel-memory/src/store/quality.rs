//! Operators' quality in memory.

use std::ops::Bound;

use async_trait::async_trait;
use lambel_core::{AuditEntry, OperatorId, Task, TaskId};
use lambel_service::ports::{OperatorQuality, Paused, QualityStore, StoreResult, TaskQuality, Trail};

use super::{MemoryStore, lock, turn};

#[async_trait]
impl QualityStore for MemoryStore {
    async fn task_quality(&self, task: TaskId) -> StoreResult<Option<TaskQuality>> {
        turn().await;
        Ok(lock(&self.tables).task_qualities.get(&task).cloned())
    }

    async fn put_task_quality(&self, task: TaskId, quality: &TaskQuality) -> StoreResult<()> {
        turn().await;
        lock(&self.tables).task_qualities.insert(task, quality.clone());
        Ok(())
    }

    async fn operator_qualities(
        &self,
        task: TaskId,
        after: Option<&OperatorId>,
        limit: u32,
    ) -> StoreResult<Vec<OperatorQuality>> {
        turn().await;
        let tables = lock(&self.tables);
        let own = tables.qualities.iter().filter(|((id, _), _)| *id == task).map(|(_, record)| record);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = own.filter(|record| std::ops::RangeBounds::contains(&(from, Bound::Unbounded), &record.operator));
        Ok(behind.take(limit as usize).cloned().collect())
    }

    async fn operator_quality(&self, task: TaskId, operator: &OperatorId) -> StoreResult<OperatorQuality> {
        turn().await;
        let stored = lock(&self.tables).qualities.get(&(task, operator.clone())).cloned();
        Ok(stored.unwrap_or_else(|| OperatorQuality::new(operator.clone())))
    }

    async fn put_operator_quality(&self, task: TaskId, quality: &OperatorQuality) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let key = (task, quality.operator.clone());
        let won = tables.qualities.get(&key).map_or(0, |stored| stored.rev) + 1 == quality.rev;
        if won {
            tables.qualities.insert(key, quality.clone());
        }
        Ok(won)
    }

    async fn put_pause(&self, seen: &Task, quality: &OperatorQuality, entry: &AuditEntry) -> StoreResult<Paused> {
        turn().await;
        let mut tables = lock(&self.tables);
        let key = (seen.id, quality.operator.clone());
        let is_next = tables.qualities.get(&key).map_or(0, |stored| stored.rev) + 1 == quality.rev;
        let task = tables.tasks.get(&seen.id).filter(|now| now.rev == seen.rev).cloned();
        let Some(desk) = tables.desks.get_mut(&key) else { return Ok(Paused::NoDesk) };
        let Some(task) = task.filter(|_| is_next) else { return Ok(Paused::Changed) };
        desk.paused_at = quality.paused_at;
        desk.rev += 1;
        let task = Task { rev: task.rev + 1, ..task };
        tables.trails.insert((Trail::Task(task.id), task.rev), entry.clone());
        tables.put_task(task);
        tables.qualities.insert(key, quality.clone());
        Ok(Paused::Done)
    }
}
