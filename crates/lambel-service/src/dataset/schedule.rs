//! Which tasks are due for a version by their policy.

use std::time::Instant;

use lambel_core::{Actor, Task, Timestamp, event::CommitRequest};
use lambel_dataset::{Commit, RefName};

use super::commit::{Committer, REGULAR};
use crate::{
    error::Result,
    ports::{Datasets, Store, StoreError},
};

/// Tasks of one page.
const TASKS: u32 = 100;

impl Committer {
    /// Asks for a version of each active task that is due for one, and says of how many. A task that cannot be looked
    /// at does not stand in the way of the others. What is not looked at by `deadline` waits for the next call.
    pub async fn look(&self, deadline: Instant) -> Result<u64> {
        let mut asked = 0;
        let mut after = None;
        loop {
            let (tasks, more) = self.store.active_tasks(after, TASKS).await?;
            for task in tasks.iter().filter(|task| task.policy.versions.are_regular()) {
                if Instant::now() >= deadline {
                    return Ok(asked);
                }
                match self.ask_if_due(task).await {
                    Ok(due) => asked += u64::from(due),
                    Err(error) => tracing::error!(task = %task.id, %error, "not looked whether a version is due"),
                }
            }
            after = more;
            if after.is_none() {
                return Ok(asked);
            }
        }
    }

    async fn ask_if_due(&self, task: &Task) -> Result<bool> {
        let now = self.clock.now();
        let due = is_due(&*self.store, &*self.datasets, task, now).await?;
        if due {
            let (author, message) = (Actor::lambel(), REGULAR.to_owned());
            let request = CommitRequest { task: task.id, author, message, asked_at: now, if_due: true };
            self.queue.ask(&request).await?;
        }
        Ok(due)
    }
}

/// Whether a task is due for a version: what its counters say against what the last version has.
pub(super) async fn is_due(store: &dyn Store, datasets: &dyn Datasets, task: &Task, now: Timestamp) -> Result<bool> {
    let dataset = datasets.of(task.id);
    let last = dataset.refs.branch(&RefName::live()).await.map_err(StoreError::from)?;
    let (in_last, since) = match last {
        Some(last) => {
            let statistics = Commit::read(&*dataset.objects, last.to).await?.statistics;
            (statistics.complete + statistics.disputed, last.at)
        }
        None => (0, task.created_at),
    };
    let counts = store.counts(task).await?;
    let new = (counts.complete + counts.disputed).saturating_sub(in_last);
    Ok(task.policy.versions.are_due(new, since.until(now).as_secs() / 60))
}
