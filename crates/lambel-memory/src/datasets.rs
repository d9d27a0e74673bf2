//! Data sets in memory, and the queue `commits`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use lambel_core::{TaskId, event::CommitRequest};
use lambel_dataset::{Dataset, MemoryObjectStore, MemoryRefs};
use lambel_service::{
    ports::{Answered, CommitQueue, Datasets, StoreResult},
    publish::Change,
};

use crate::{lock, turn};

type Parts = (Arc<MemoryObjectStore>, Arc<MemoryRefs>);

/// The data sets of all tasks in memory, and the queue `commits`: what was asked for lies there until it is taken.
#[derive(Default)]
pub struct MemoryDatasets {
    sets: Mutex<HashMap<TaskId, Parts>>,
    answered: Mutex<HashMap<TaskId, Answered>>,
    requests: Mutex<Vec<CommitRequest>>,
    /// Moves that were told of, by task and branch.
    told: Mutex<HashMap<(TaskId, String), u64>>,
}

impl MemoryDatasets {
    /// The objects of a task.
    pub fn objects(&self, task: TaskId) -> Arc<MemoryObjectStore> {
        lock(&self.sets).entry(task).or_default().0.clone()
    }

    /// Takes what was asked for.
    pub fn take_requests(&self) -> Vec<CommitRequest> {
        std::mem::take(&mut lock(&self.requests))
    }

    /// Takes what the stream carries: the moves of branches since the last time.
    pub async fn take_stream(&self) -> Vec<Change> {
        let tasks: Vec<TaskId> = lock(&self.sets).keys().copied().collect();
        let mut changes = Vec::new();
        for task in tasks {
            let refs = self.of(task).refs;
            for (branch, last) in refs.branches().await.unwrap_or_default() {
                let before = lock(&self.told).insert((task, branch.to_string()), last.seq).unwrap_or(0);
                let moves = refs.moves(&branch, None, usize::MAX).await.unwrap_or_default();
                let new = moves.into_iter().filter(|entry| entry.seq > before).rev();
                changes.extend(new.map(|moved| Change::Branch {
                    task,
                    branch: branch.clone(),
                    moved: Box::new(moved),
                }));
            }
        }
        changes
    }
}

#[async_trait]
impl Datasets for MemoryDatasets {
    fn of(&self, task: TaskId) -> Dataset {
        let (objects, refs) = lock(&self.sets).entry(task).or_default().clone();
        Dataset { objects, refs }
    }

    async fn answered(&self, task: TaskId) -> StoreResult<Option<Answered>> {
        turn().await;
        Ok(lock(&self.answered).get(&task).cloned())
    }

    async fn answer(&self, task: TaskId, answered: &Answered) -> StoreResult<()> {
        turn().await;
        let mut known = lock(&self.answered);
        if known.get(&task).is_none_or(|known| known.asked_at <= answered.asked_at) {
            known.insert(task, answered.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl CommitQueue for MemoryDatasets {
    async fn ask(&self, request: &CommitRequest) -> StoreResult<()> {
        turn().await;
        lock(&self.requests).push(request.clone());
        Ok(())
    }
}
