//! Where data sets lie, and who is told that a version is wanted.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{TaskId, Timestamp, event::CommitRequest};
use lambel_dataset::{CommitId, Dataset};
use serde::{Deserialize, Serialize};

use super::{StoreError, StoreResult};

/// What became of the latest request for a version of a data set. Of requests that were made before it the same is
/// true: what it has found is newer than they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// When the request was made.
    pub asked_at: Timestamp,
    /// When it was answered.
    pub at: Timestamp,
    /// The version that has what there was.
    pub commit: CommitId,
    /// Whether it is a new one. If nothing had changed there is none.
    pub new: bool,
}

/// The data sets of all tasks.
#[async_trait]
pub trait Datasets: Send + Sync {
    /// The data set of a task. That of a task without any version is there too, and empty.
    fn of(&self, task: TaskId) -> Dataset;

    /// What became of the latest request that was answered, if there was one.
    async fn answered(&self, task: TaskId) -> StoreResult<Option<Answered>>;

    /// Notes what became of a request. What became of a later one stays.
    async fn answer(&self, task: TaskId, answered: &Answered) -> StoreResult<()>;
}

/// The queue `commits`.
#[async_trait]
pub trait CommitQueue: Send + Sync {
    /// Asks for a version of a task's data set.
    async fn ask(&self, request: &CommitRequest) -> StoreResult<()>;
}

/// The data sets, shared.
pub type SharedDatasets = Arc<dyn Datasets>;
/// The queue `commits`, shared.
pub type SharedCommitQueue = Arc<dyn CommitQueue>;

impl From<lambel_dataset::StoreError> for StoreError {
    fn from(error: lambel_dataset::StoreError) -> Self {
        match error {
            lambel_dataset::StoreError::Busy(what) => Self::Busy(what),
            lambel_dataset::StoreError::Failed(what) => Self::Failed(what),
        }
    }
}

impl From<StoreError> for lambel_dataset::StoreError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy(what) => Self::Busy(what),
            StoreError::Failed(what) => Self::Failed(what),
        }
    }
}
