//! Repair: does what a survey has proved, and says what it did.
//!
//! Every step is one that the running system takes too, or that a recount without any motion has proved. So it does
//! no harm twice, or beside operators at work, or when it is stopped in the middle.

use std::sync::Arc;

use lambel_core::{CountsChange, ImageId, Task, TaskId, event::Event, event::NewSubtasks};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    ports::{
        CLOSED_AT_ONCE, Clock, Closing, Messages, NoGold, ObjectKey, SharedClock, SharedGold, SharedMessages,
        SharedObjects, SharedQualityStore, SharedStore, Store,
    },
    progress::{Advance, advance},
    skills::{Estimator, Finished},
    survey::{Finding, Report, Walk},
};

/// Images of one message to the opener.
const OPENED_AT_ONCE: usize = 99;

/// A step of a repair.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// Files were sent to the validator again.
    SentToValidator {
        /// How many.
        images: u64,
    },
    /// Records were sent to the opener again.
    SentToOpener {
        /// How many.
        images: u64,
    },
    /// Images were closed with the decision that follows from their votes.
    Closed {
        /// How many.
        images: u64,
    },
    /// The counters were corrected.
    Corrected {
        /// What was added.
        change: CountsChange,
    },
    /// The task was completed.
    Completed,
}

/// Repairs tasks.
#[derive(Clone)]
pub struct Repairer {
    store: SharedStore,
    quality: SharedQualityStore,
    gold: SharedGold,
    objects: SharedObjects,
    messages: SharedMessages,
    clock: SharedClock,
}

impl Repairer {
    /// Over these ports.
    pub fn new(
        store: SharedStore,
        quality: SharedQualityStore,
        objects: SharedObjects,
        messages: SharedMessages,
        clock: SharedClock,
    ) -> Self {
        Self { store, quality, gold: Arc::new(NoGold), objects, messages, clock }
    }

    /// The same, for tasks with gold: without it a last batch would be made as if nobody had answered any.
    #[must_use]
    pub fn with_gold(self, gold: SharedGold) -> Self {
        Self { gold, ..self }
    }

    /// Does what follows from a survey that was just made. Of more than [`crate::survey::FINDINGS_NAMED`] findings
    /// it mends those that are named; another survey names the next.
    pub async fn repair(&self, report: &Report) -> Result<Vec<Step>> {
        let task = self.store.task(report.task).await?.ok_or(Error::TaskNotFound)?;
        let mut steps = mend(&*self.store, &*self.messages, &*self.clock, &task, &report.findings).await?;
        if let Some(change) = report.correction() {
            self.store.correct(&task, &change).await?;
            steps.push(Step::Corrected { change });
        }
        // Also where the survey did not say so: what was mended may have been what was missing.
        let completed = match advance(&*self.store, &*self.clock, task.id).await? {
            Advance::Nothing => false,
            Advance::Completed(_) => true,
            Advance::WantsBatch => {
                let estimator = Estimator::new(self.store.clone(), self.quality.clone(), self.clock.clone());
                let estimator = estimator.with_gold(self.gold.clone());
                estimator.finish(task.id).await? == Finished::Completed
            }
        };
        if completed {
            steps.push(Step::Completed);
        }
        Ok(steps)
    }

    /// Publishes again every decision and refusal of a task, and its end if it has ended, with the ids that they had
    /// the first time: subscribers that keep to the rule drop what they know. Says how many events those were.
    pub async fn announce(&self, id: TaskId) -> Result<u64> {
        let task = self.store.task(id).await?.ok_or(Error::TaskNotFound)?;
        let mut walk = Walk::new(&*self.store, &*self.objects, &task, None);
        let mut sent = 0;
        while let Some(places) = walk.next().await? {
            let records = places.into_values().filter_map(|place| place.record);
            let events: Vec<_> =
                records.filter_map(|record| Event::of_subtask(None, &record, &task.owner, &task.labels)).collect();
            if !events.is_empty() {
                self.messages.publish(&events).await?;
            }
            sent += events.len() as u64;
        }
        let end: Vec<_> = Event::of_task(None, &task).into_iter().collect();
        if !end.is_empty() {
            self.messages.publish(&end).await?;
        }
        Ok(sent + end.len() as u64)
    }
}

/// Mends what was found of single images.
pub(crate) async fn mend(
    store: &dyn Store,
    messages: &dyn Messages,
    clock: &dyn Clock,
    task: &Task,
    findings: &[Finding],
) -> Result<Vec<Step>> {
    let images = |wanted: fn(&Finding) -> Option<ImageId>| findings.iter().filter_map(wanted).collect::<Vec<_>>();
    let unrecorded = images(|finding| match finding {
        Finding::NotRecorded { image, .. } => Some(*image),
        _ => None,
    });
    let unopened = images(|finding| match finding {
        Finding::NotOpened { image, .. } => Some(*image),
        _ => None,
    });
    let unclosed = images(|finding| match finding {
        Finding::NotClosed { image } => Some(*image),
        _ => None,
    });
    let mut steps = Vec::new();
    if !unrecorded.is_empty() {
        let keys: Vec<_> = unrecorded.iter().map(|image| ObjectKey { task: task.id, image: *image }).collect();
        messages.send_uploads(&keys).await?;
        steps.push(Step::SentToValidator { images: keys.len() as u64 });
    }
    if !unopened.is_empty() {
        for chunk in unopened.chunks(OPENED_AT_ONCE) {
            messages.send_new_subtasks(&NewSubtasks { task: task.id, images: chunk.to_vec() }).await?;
        }
        steps.push(Step::SentToOpener { images: unopened.len() as u64 });
    }
    let closed = close_decided(store, clock, task, &unclosed).await?;
    if closed > 0 {
        steps.push(Step::Closed { images: closed });
    }
    Ok(steps)
}

/// Closes those of some images that are open and decided by their votes, and says how many those were: whoever took
/// the last vote was stopped.
pub(crate) async fn close_decided(
    store: &dyn Store,
    clock: &dyn Clock,
    task: &Task,
    images: &[ImageId],
) -> Result<u64> {
    let mut all = 0;
    for page in images.chunks(1_000) {
        let subtasks = store.subtasks(task, page, true).await?;
        let decided: Vec<_> = subtasks.into_iter().filter_map(|seen| Closing::of(task, seen)).collect();
        for chunk in decided.chunks(CLOSED_AT_ONCE) {
            let closed = store.close(task, chunk, clock.now()).await?;
            all += closed.iter().filter(|closed| **closed).count() as u64;
        }
    }
    Ok(all)
}
