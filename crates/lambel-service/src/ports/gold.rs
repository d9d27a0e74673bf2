//! Where gold is kept: which images of a task are gold, and what each operator has of it.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{Gold, GoldDesk, ImageId, OperatorId, TaskId};

use super::{StoreError, StoreResult};

/// The gold of tasks, beside the tables of [`Store`](super::Store). Reads are consistent.
#[async_trait]
pub trait GoldStore: Send + Sync {
    /// The gold of a task, sorted by image, from behind `after`.
    async fn gold(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Gold>>;

    /// Writes an image of gold, also over what was there of it.
    async fn put_gold(&self, task: TaskId, gold: &Gold) -> StoreResult<()>;

    /// Takes an image off the gold of a task. False if it was not there.
    async fn remove_gold(&self, task: TaskId, image: ImageId) -> StoreResult<bool>;

    /// What an operator has of the gold of these tasks, in that order (a new record where there is none), by one
    /// request. At most 40 tasks.
    async fn gold_desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Vec<GoldDesk>>;

    /// Stores what an operator has of a task's gold, if its `rev` is still the one before. False if it is not.
    async fn put_gold_desk(&self, desk: &GoldDesk) -> StoreResult<bool>;

    /// What all operators have of a task's gold, sorted by operator, from behind `after`.
    /// [`GoldDesk::record`] and [`GoldDesk::judged`] make of it what they have right.
    async fn gold_records(&self, task: TaskId, after: Option<&OperatorId>, limit: u32) -> StoreResult<Vec<GoldDesk>>;
}

/// Gold, shared.
pub type SharedGold = Arc<dyn GoldStore>;

/// No gold at all: for programs that have nothing to do with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGold;

#[async_trait]
impl GoldStore for NoGold {
    async fn gold(&self, _task: TaskId, _after: Option<ImageId>, _limit: u32) -> StoreResult<Vec<Gold>> {
        Ok(Vec::new())
    }

    async fn put_gold(&self, _task: TaskId, _gold: &Gold) -> StoreResult<()> {
        Err(StoreError::Failed("this program keeps no gold".to_owned()))
    }

    async fn remove_gold(&self, _task: TaskId, _image: ImageId) -> StoreResult<bool> {
        Ok(false)
    }

    async fn gold_desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Vec<GoldDesk>> {
        Ok(tasks.iter().map(|task| GoldDesk::new(*task, operator.clone())).collect())
    }

    async fn put_gold_desk(&self, _desk: &GoldDesk) -> StoreResult<bool> {
        Err(StoreError::Failed("this program keeps no gold".to_owned()))
    }

    async fn gold_records(
        &self,
        _task: TaskId,
        _after: Option<&OperatorId>,
        _limit: u32,
    ) -> StoreResult<Vec<GoldDesk>> {
        Ok(Vec::new())
    }
}
