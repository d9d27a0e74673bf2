//! Gold in memory.

use std::ops::Bound;

use async_trait::async_trait;
use lambel_core::{Gold, GoldDesk, ImageId, OperatorId, TaskId};
use lambel_service::ports::{GoldStore, StoreResult};

use crate::{MemoryStore, Table, lock, turn};

/// The gold of all tasks, and what operators have of it.
#[derive(Debug, Default)]
pub(crate) struct GoldTables {
    gold: Table<(TaskId, ImageId), Gold>,
    desks: Table<(TaskId, OperatorId), GoldDesk>,
}

#[async_trait]
impl GoldStore for MemoryStore {
    async fn gold(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Gold>> {
        turn().await;
        let tables = lock(&self.gold);
        let from = after.map_or(Bound::Included((task, ImageId::MIN)), |after| Bound::Excluded((task, after)));
        let rows = tables.gold.range((from, Bound::Included((task, ImageId::MAX))));
        Ok(rows.take(limit as usize).map(|(_, gold)| *gold).collect())
    }

    async fn put_gold(&self, task: TaskId, gold: &Gold) -> StoreResult<()> {
        turn().await;
        lock(&self.gold).gold.insert((task, gold.image), *gold);
        Ok(())
    }

    async fn remove_gold(&self, task: TaskId, image: ImageId) -> StoreResult<bool> {
        turn().await;
        Ok(lock(&self.gold).gold.remove(&(task, image)).is_some())
    }

    async fn gold_desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Vec<GoldDesk>> {
        turn().await;
        let tables = lock(&self.gold);
        let desk = |task: &TaskId| {
            let stored = tables.desks.get(&(*task, operator.clone())).cloned();
            stored.unwrap_or_else(|| GoldDesk::new(*task, operator.clone()))
        };
        Ok(tasks.iter().map(desk).collect())
    }

    async fn put_gold_desk(&self, desk: &GoldDesk) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.gold);
        let key = (desk.task, desk.operator.clone());
        let won = tables.desks.get(&key).map_or(0, |stored| stored.rev) + 1 == desk.rev;
        if won {
            tables.desks.insert(key, desk.clone());
        }
        Ok(won)
    }

    async fn gold_records(&self, task: TaskId, after: Option<&OperatorId>, limit: u32) -> StoreResult<Vec<GoldDesk>> {
        turn().await;
        let tables = lock(&self.gold);
        let own = tables.desks.values().filter(|desk| desk.task == task);
        let behind = own.filter(|desk| after.is_none_or(|after| desk.operator > *after));
        Ok(behind.take(limit as usize).cloned().collect())
    }
}
