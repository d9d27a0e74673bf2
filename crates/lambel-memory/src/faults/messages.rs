//! Queues and topics that fail, deliver twice, and deliver late.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lambel_core::{
    TaskId,
    event::{Event, NewSubtasks},
};
use lambel_service::ports::{Estimates, Messages, ObjectKey, SharedEstimates, SharedMessages, StoreError, StoreResult};

use super::{Deed, Fault, Faults};
use crate::lock;

/// Queues and topics in front of others, with faults.
pub struct FaultyMessages {
    inner: SharedMessages,
    estimates: SharedEstimates,
    faults: Arc<Faults>,
    /// What was taken and is on its way: it is not lost, it is late.
    held: Mutex<Vec<Held>>,
}

enum Held {
    Estimate(TaskId),
    NewSubtasks(NewSubtasks),
    Uploads(Vec<ObjectKey>),
    Events(Vec<Event>),
}

impl FaultyMessages {
    /// In front of these.
    pub fn new(inner: SharedMessages, estimates: SharedEstimates, faults: Arc<Faults>) -> Self {
        Self { inner, estimates, faults, held: Mutex::default() }
    }

    /// Lets arrive what was held back.
    ///
    /// # Errors
    /// What the ports behind fail with.
    pub async fn release(&self) -> StoreResult<()> {
        let held = std::mem::take(&mut *lock(&self.held));
        for held in held.into_iter().rev() {
            match held {
                Held::Estimate(task) => self.estimates.ask(task).await?,
                Held::NewSubtasks(body) => self.inner.send_new_subtasks(&body).await?,
                Held::Uploads(keys) => self.inner.send_uploads(&keys).await?,
                Held::Events(events) => self.inner.publish(&events).await?,
            }
        }
        Ok(())
    }

    /// How often a message that is let through is sent: not now, once, or twice.
    fn copies(&self, hold: impl FnOnce() -> Held) -> usize {
        if self.faults.strikes(Fault::HeldBack) {
            lock(&self.held).push(hold());
            return 0;
        }
        1 + usize::from(self.faults.strikes(Fault::Duplicated))
    }
}

#[async_trait]
impl Messages for FaultyMessages {
    async fn send_new_subtasks(&self, body: &NewSubtasks) -> StoreResult<()> {
        let copies = self.copies(|| Held::NewSubtasks(body.clone()));
        self.faults
            .call(Deed::Write, || async move {
                for _ in 0..copies {
                    self.inner.send_new_subtasks(body).await?;
                }
                Ok(())
            })
            .await
    }

    async fn send_uploads(&self, keys: &[ObjectKey]) -> StoreResult<()> {
        if keys.len() > 1 && self.faults.strikes(Fault::PartlySent) {
            let some = 1 + self.faults.below(keys.len() - 1);
            self.inner.send_uploads(&keys[..some]).await?;
            return Err(StoreError::Busy("partly sent, as the plan of faults says".to_owned()));
        }
        let copies = self.copies(|| Held::Uploads(keys.to_vec()));
        self.faults
            .call(Deed::Write, || async move {
                for _ in 0..copies {
                    self.inner.send_uploads(keys).await?;
                }
                Ok(())
            })
            .await
    }

    async fn publish(&self, events: &[Event]) -> StoreResult<()> {
        if events.len() > 1 && self.faults.strikes(Fault::PartlySent) {
            let some = 1 + self.faults.below(events.len() - 1);
            self.inner.publish(&events[..some]).await?;
            return Err(StoreError::Busy("partly sent, as the plan of faults says".to_owned()));
        }
        let copies = self.copies(|| Held::Events(events.to_vec()));
        self.faults
            .call(Deed::Write, || async move {
                for _ in 0..copies {
                    self.inner.publish(events).await?;
                }
                Ok(())
            })
            .await
    }
}

#[async_trait]
impl Estimates for FaultyMessages {
    async fn ask(&self, task: TaskId) -> StoreResult<()> {
        let copies = self.copies(|| Held::Estimate(task));
        self.faults
            .call(Deed::Write, || async move {
                for _ in 0..copies {
                    self.estimates.ask(task).await?;
                }
                Ok(())
            })
            .await
    }
}
