//! Webhooks that are remembered for some seconds, so that a million events of a task are not a million reads.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lambel_core::{
    Timestamp,
    webhook::{Scope, Webhook},
};

use crate::ports::{SharedClock, SharedWebhooks, StoreResult};

/// How long what was read is taken to be so: a webhook that was changed is used as it was for as long at most.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Scopes that are remembered.
const SCOPES: usize = 1_000;

type Remembered = HashMap<Scope, (Timestamp, Arc<Vec<Webhook>>)>;

/// The webhooks of each scope, as they were some seconds ago.
#[derive(Clone)]
pub struct Known {
    store: SharedWebhooks,
    clock: SharedClock,
    remembered: Arc<Mutex<Remembered>>,
}

impl Known {
    /// Over these ports.
    pub fn new(store: SharedWebhooks, clock: SharedClock) -> Self {
        Self { store, clock, remembered: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn of(&self, scope: &Scope) -> StoreResult<Arc<Vec<Webhook>>> {
        let now = self.clock.now();
        if let Some((at, webhooks)) = self.lock().get(scope)
            && at.until(now) < REMEMBERED
        {
            return Ok(webhooks.clone());
        }
        let webhooks = Arc::new(self.store.webhooks_of(scope).await?);
        let mut remembered = self.lock();
        if remembered.len() >= SCOPES {
            remembered.clear();
        }
        remembered.insert(scope.clone(), (now, webhooks.clone()));
        Ok(webhooks)
    }

    pub(super) fn forget(&self, scope: &Scope) {
        self.lock().remove(scope);
    }
}
