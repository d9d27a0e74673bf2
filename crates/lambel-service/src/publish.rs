//! The outbox: state changes that the streams of the tables carry become events on the topics.

use std::{collections::HashMap, sync::Mutex};

use lambel_core::{
    ClientId, LabelSet, Subtask, SubtaskState, Task, TaskId, TaskState,
    event::{DatasetMoved, Event},
};
use lambel_dataset::{RefName, store::RefMove};

use crate::ports::{SharedMessages, SharedStore, StoreError, StoreResult};

/// Tasks whose owner and labels are remembered: they never change.
const REMEMBERED: usize = 256;

/// One change of a record, as a stream carries it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Of a subtask.
    Subtask {
        /// Its state before; none if the record is new.
        before: Option<SubtaskState>,
        /// What it has become.
        after: Box<Subtask>,
    },
    /// Of a task.
    Task {
        /// Its state before; none if the record is new.
        before: Option<TaskState>,
        /// What it has become.
        after: Box<Task>,
    },
    /// A branch of a data set has moved: the entry of its log is new.
    Branch {
        /// The task.
        task: TaskId,
        /// The branch.
        branch: RefName,
        /// The move.
        moved: Box<RefMove>,
    },
}

/// Turns changes into events.
pub struct Publisher {
    store: SharedStore,
    messages: SharedMessages,
    known: Mutex<HashMap<TaskId, (ClientId, LabelSet)>>,
}

impl Publisher {
    /// Over these ports.
    pub fn new(store: SharedStore, messages: SharedMessages) -> Self {
        Self { store, messages, known: Mutex::new(HashMap::new()) }
    }

    /// Publishes what is to be announced of a batch of changes.
    ///
    /// Retry decision: a batch of a stream succeeds or fails as a whole. If it fails it comes again; what was
    /// published already is published again with the same id. On AWS a batch that goes on failing is bisected
    /// until the record that cannot pass lies alone in the dead-letter queue.
    pub async fn publish(&self, changes: &[Change]) -> StoreResult<()> {
        let mut events = Vec::with_capacity(changes.len());
        for change in changes {
            match change {
                Change::Task { before, after } => events.extend(Event::of_task(*before, after)),
                Change::Branch { task, branch, moved } => {
                    let (owner, _) = self.task(*task).await?;
                    events.push(Event::of_move(told(*task, branch, moved), moved.at, &owner));
                }
                Change::Subtask { before, after } => {
                    let (owner, labels) = self.task(after.task).await?;
                    events.extend(Event::of_subtask(*before, after, &owner, &labels));
                }
            }
        }
        if events.is_empty() {
            return Ok(());
        }
        self.messages.publish(&events).await?;
        tracing::info!(events = events.len(), "events published");
        Ok(())
    }

    async fn task(&self, id: TaskId) -> StoreResult<(ClientId, LabelSet)> {
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().get(&id) {
            return Ok(known.clone());
        }
        let Some(task) = self.store.task(id).await? else {
            return Err(StoreError::Failed(format!("something of task {id}, which does not exist")));
        };
        let mut known = lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id, (task.owner.clone(), task.labels.clone()));
        Ok((task.owner, task.labels))
    }
}

/// A move as it is told.
fn told(task: TaskId, branch: &RefName, moved: &RefMove) -> DatasetMoved {
    DatasetMoved {
        task,
        branch: branch.to_string(),
        from: moved.from.map(|commit| commit.to_string()),
        to: moved.to.to_string(),
        seq: moved.seq,
        author: moved.by.clone(),
        message: moved.why.clone(),
    }
}
