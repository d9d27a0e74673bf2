//! Completion: a task is over when it is sealed, all its images have arrived, and all are decided.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use lambel_core::{
    Actor, AuditEntry, Deed, Task, TaskId,
    event::{CloudEvent, SubtaskEnded},
};

use crate::{
    error::{Comeback, Result},
    ports::{Clock, SharedClock, SharedStore, Store},
};

/// Tasks looked at at the same time.
const AT_ONCE: usize = 8;

/// Looks whether a task is done, and completes it if it is: then it is returned. One conditional update says
/// so, once, whoever looks.
pub(crate) async fn advance(store: &dyn Store, clock: &dyn Clock, id: TaskId) -> Result<Option<Task>> {
    loop {
        let Some(mut task) = store.task(id).await? else { return Ok(None) };
        if task.images.is_none() || task.state.is_final() {
            return Ok(None);
        }
        let counts = store.counts(&task).await?;
        if !task.complete(&counts, clock.now()) {
            return Ok(None);
        }
        let entry = AuditEntry { at: clock.now(), actor: Actor::lambel(), deed: Deed::TaskCompleted };
        if store.replace_task(&task, &entry).await? {
            tracing::info!(task = %id, accepted = counts.accepted, rejected = counts.rejected, "task complete");
            return Ok(Some(task));
        }
        // Its `rev` has moved: somebody else completed, cancelled or sealed it. Look again.
    }
}

/// The Task Manager's ear: it hears of decisions and refusals.
#[derive(Clone)]
pub struct Progress {
    store: SharedStore,
    clock: SharedClock,
}

impl Progress {
    /// Over these ports.
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock }
    }

    /// Takes a batch of events of the topic `subtask-completed`, raw, and answers with the places of those
    /// that must come back.
    ///
    /// Retry decision: each task is looked at once per batch. If that fails, all records of the task come
    /// back; after the last try they lie in the dead-letter queue, and the sweep looks at the task anyway. A
    /// body that is no such event can never be read; it is put aside in the same way, so that it is seen.
    pub async fn hear(&self, bodies: &[&str]) -> Vec<(usize, Comeback)> {
        let tasks: Vec<Option<TaskId>> = bodies
            .iter()
            .map(|body| match serde_json::from_str::<CloudEvent<SubtaskEnded>>(body) {
                Ok(event) => Some(event.data.task),
                Err(error) => {
                    tracing::error!(%error, "event cannot be read");
                    None
                }
            })
            .collect();
        let distinct: BTreeSet<TaskId> = tasks.iter().flatten().copied().collect();
        let failed: BTreeSet<TaskId> = stream::iter(distinct)
            .map(|task| async move {
                let outcome = advance(&*self.store, &*self.clock, task).await;
                outcome.err().map(|error| {
                    tracing::warn!(%task, %error, "progress not looked at");
                    task
                })
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |task| task)
            .collect()
            .await;
        let comeback = |task: &Option<TaskId>| match task {
            None => Some(Comeback::Never),
            Some(task) => failed.contains(task).then_some(Comeback::Later),
        };
        tasks.iter().enumerate().filter_map(|(place, task)| Some((place, comeback(task)?))).collect()
    }
}
