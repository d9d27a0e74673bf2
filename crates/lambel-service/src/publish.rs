//! The outbox: state changes that the streams of the tables carry become events on the topics.

use std::{collections::HashMap, sync::Mutex};

use lambel_core::{
    ClientId, LabelSet, Subtask, Task, TaskId, TaskState,
    event::{Event, Was},
};

use crate::ports::{SharedMessages, SharedStore, StoreError, StoreResult};

/// Tasks whose owner and labels are remembered: they never change.
const REMEMBERED: usize = 256;

/// One change of a record, as a stream carries it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Of a subtask.
    Subtask {
        /// What it was before; none if the record is new.
        before: Option<Was>,
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
            return Err(StoreError::Failed(format!("a subtask of task {id}, which does not exist")));
        };
        let mut known = lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(id, (task.owner.clone(), task.labels.clone()));
        Ok((task.owner, task.labels))
    }
}
