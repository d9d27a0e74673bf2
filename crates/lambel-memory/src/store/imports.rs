//! Votes from outside.

use async_trait::async_trait;
use lambel_core::{Subtask, Task};
use lambel_service::ports::{Imports, StoreResult};

use super::MemoryStore;
use crate::{lock, turn};

#[async_trait]
impl Imports for MemoryStore {
    async fn bring_in(&self, task: &Task, seen: &Subtask, after: &Subtask) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let unchanged = tables.subtasks.get(&(task.id, seen.image)).is_some_and(|now| now.rev == seen.rev);
        if unchanged {
            tables.put_subtask(after.clone());
        }
        Ok(unchanged)
    }
}
