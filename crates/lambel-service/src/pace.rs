//! How often somebody may ask.
//!
//! The gate bounds the requests of everybody together. This bounds those of each caller, so that one who asks
//! without end neither takes the service from the others nor makes it expensive.
//!
//! Counting in a table costs a write for each request, as much as a vote. So each running copy of a function lets
//! the first few requests of a caller in a window through uncounted: people at work, and programs that ask for
//! large pages, are never counted. What goes beyond is counted where all copies see it. Together a caller gets
//! [`limits::REQUESTS_PER_WINDOW`] counted requests, and [`limits::REQUESTS_UNCOUNTED`] more of each running copy.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lambel_core::limits;

use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{SharedClock, SharedStore},
};

/// Callers that one running copy remembers; with more, it forgets those of windows that are over.
const REMEMBERED: usize = 10_000;

/// What one running copy knows of a caller.
#[derive(Clone, Copy, Debug)]
struct Seen {
    window: u64,
    requests: u32,
    /// Whether the table has said that they are over the limit: then it need not be asked again.
    over: bool,
}

/// The pace that callers must keep.
#[derive(Clone)]
pub struct Pace {
    store: SharedStore,
    clock: SharedClock,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
}

impl Pace {
    /// Over these ports.
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock, seen: Arc::default() }
    }

    /// Lets a request through, or says when the caller may go on.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`]. A table that cannot be asked lets everybody through: this guards against waste,
    /// not against intruders, and must not be what stops the work.
    pub async fn admit(&self, caller: &Caller) -> Result<()> {
        let window_ms = u64::from(limits::REQUEST_WINDOW_SECONDS) * 1_000;
        let now = u64::try_from(self.clock.now().millis()).unwrap_or_default();
        let window = now / window_ms;
        let left = window_ms - now % window_ms;
        let refusal = Error::TooManyRequests { retry_after: u32::try_from(left.div_ceil(1_000)).unwrap_or(1) };

        let seen = self.note(caller.subject(), window);
        if seen.over {
            return Err(refusal);
        }
        if seen.requests <= limits::REQUESTS_UNCOUNTED {
            return Ok(());
        }
        match self.store.count_request(caller.subject(), window).await {
            Ok(counted) if counted <= limits::REQUESTS_PER_WINDOW => Ok(()),
            Ok(_) => {
                tracing::warn!(caller = caller.subject(), "caller over the limit of requests");
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(seen) = seen.get_mut(caller.subject()) {
                    seen.over = seen.window == window;
                }
                Err(refusal)
            }
            Err(error) => {
                tracing::warn!(%error, "request not counted");
                Ok(())
            }
        }
    }

    fn note(&self, caller: &str, window: u64) -> Seen {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, seen| seen.window == window);
        }
        let fresh = Seen { window, requests: 0, over: false };
        let seen = all.entry(caller.to_owned()).or_insert(fresh);
        if seen.window != window {
            *seen = fresh;
        }
        seen.requests = seen.requests.saturating_add(1);
        *seen
    }
}
