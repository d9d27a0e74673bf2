//! Targets that do not answer are left alone for a while.
//!
//! An attempt at such a target takes ten seconds. A copy of the sender that has waited for one of them some times on
//! end holds back what else goes there, so that it has time for the others.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lambel_core::{Timestamp, webhook::WebhookId};

/// Attempts without an answer, one after the other, until a target is left alone.
const SILENCES: u32 = 3;
/// For how long.
const PAUSE: Duration = Duration::from_secs(60);
/// Targets that are remembered.
const TARGETS: usize = 1_000;

/// What one copy of the sender knows of targets that do not answer.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<HashMap<WebhookId, (u32, Timestamp)>>);

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, HashMap<WebhookId, (u32, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a target is left alone, if it is. When that is over one attempt decides whether it goes on.
    pub(super) fn paused(&self, target: WebhookId, now: Timestamp) -> Option<Timestamp> {
        let known = self.lock();
        let (silences, until) = known.get(&target)?;
        (*silences >= SILENCES && now < *until).then_some(*until)
    }

    pub(super) fn note(&self, target: WebhookId, answered: bool, now: Timestamp) {
        let mut known = self.lock();
        if answered {
            known.remove(&target);
            return;
        }
        if known.len() >= TARGETS {
            known.clear();
        }
        let (silences, until) = known.entry(target).or_default();
        *silences = silences.saturating_add(1);
        *until = now.plus(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_that_does_not_answer_is_left_alone_and_asked_again() {
        let (breaker, target, now) = (Breaker::default(), WebhookId::random(), Timestamp::from_millis(1_000));
        breaker.note(target, false, now);
        breaker.note(target, false, now);
        assert_eq!(breaker.paused(target, now), None, "two may be chance");
        breaker.note(target, false, now);
        assert_eq!(breaker.paused(target, now), Some(now.plus(PAUSE)));
        assert_eq!(breaker.paused(WebhookId::random(), now), None, "others are not");
        let later = now.plus(PAUSE);
        assert_eq!(breaker.paused(target, later), None, "one more is tried");
        breaker.note(target, false, later);
        assert_eq!(breaker.paused(target, later), Some(later.plus(PAUSE)), "and that one is enough");
        breaker.note(target, true, later);
        assert_eq!(breaker.paused(target, later), None);
        breaker.note(target, false, later);
        assert_eq!(breaker.paused(target, later), None, "it begins anew");
    }
}
