//! Completion: a task is over when it is sealed, all its images have arrived, and all are decided.

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use lambel_core::{
    Actor, AuditEntry, Deed, Task, TaskId,
    event::{CloudEvent, SubtaskEnded},
};

use crate::{
    error::{Comeback, Result},
    ports::{Clock, SharedClock, SharedEstimates, SharedStore, Store},
};

/// Tasks looked at at the same time.
const AT_ONCE: usize = 8;

/// How far a task is.
#[derive(Clone, Debug)]
pub(crate) enum Advance {
    /// It goes on, or it is over.
    Nothing,
    /// It was completed now.
    Completed(Box<Task>),
    /// Everything is decided, and it completes when its last batch has opened nothing again: [`crate::skills`].
    WantsBatch,
}

/// Looks whether a task is done, and completes it if it is. One conditional update says so, once, whoever looks. A task
/// whose rule weighs votes is completed by its last batch alone.
pub(crate) async fn advance(store: &dyn Store, clock: &dyn Clock, id: TaskId) -> Result<Advance> {
    loop {
        let Some(mut task) = store.task(id).await? else { return Ok(Advance::Nothing) };
        if task.images.is_none() || task.state.is_final() {
            return Ok(Advance::Nothing);
        }
        let counts = store.counts(&task).await?;
        if !task.complete(&counts, clock.now()) {
            return Ok(Advance::Nothing);
        }
        if task.policy.rule.weighs() {
            return Ok(Advance::WantsBatch);
        }
        if store.replace_task(&task, &completed(clock)).await? {
            tracing::info!(task = %id, accepted = counts.accepted, rejected = counts.rejected, "task complete");
            return Ok(Advance::Completed(Box::new(task)));
        }
        // Its `rev` has moved: somebody else completed, cancelled or sealed it. Look again.
    }
}

/// What the trail says of a task that is complete.
pub(crate) fn completed(clock: &dyn Clock) -> AuditEntry {
    AuditEntry { at: clock.now(), actor: Actor::lambel(), deed: Deed::TaskCompleted }
}

/// The Task Manager's ear: it hears of decisions and refusals.
#[derive(Clone)]
pub struct Progress {
    store: SharedStore,
    clock: SharedClock,
    estimates: SharedEstimates,
}

impl Progress {
    /// Over these ports.
    pub fn new(store: SharedStore, clock: SharedClock, estimates: SharedEstimates) -> Self {
        Self { store, clock, estimates }
    }

    /// Takes a batch of events of the topic `subtask-completed`, raw, and answers with the places of those
    /// that must come back.
    ///
    /// Retry decision: each task is looked at once per batch. If that fails, all records of the task come
    /// back; after the last try they lie in the dead-letter queue, and the sweep, or the schedule of
    /// [`crate::skills`], looks at the task anyway. A body that is no such event can never be read; it is put aside in
    /// the same way, so that it is seen.
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
                let outcome = self.look(task).await;
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

    async fn look(&self, task: TaskId) -> Result<()> {
        match advance(&*self.store, &*self.clock, task).await? {
            Advance::Nothing => {}
            // Of a task that was completed the last report on its operators is wanted.
            Advance::WantsBatch | Advance::Completed(_) => self.estimates.ask(task).await?,
        }
        Ok(())
    }
}
