//! Sending: a delivery becomes a call, an entry of the log, and another delivery where it has failed.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use lambel_core::{
    Timestamp,
    webhook::{
        Attempt, Delivery, Outcome, TEST, Webhook,
        schedule::{LIFE, PATIENCE, wait},
        seconds,
    },
};
use rand::RngExt;

use super::{Known, breaker::Breaker};
use crate::{
    error::Comeback,
    ports::{Post, Reply, SharedClock, SharedTargets, SharedWebhookQueue, SharedWebhooks, StoreResult},
};

/// Deliveries under way at the same time.
const AT_ONCE: usize = 10;
/// How often a mark on a webhook is tried again when somebody else has changed it in between.
const MARK_TRIES: usize = 3;
/// How much earlier than it is due a delivery may be sent.
const EARLY: Duration = Duration::from_secs(1);
/// The status by which a target says that it is gone for good.
const GONE: u16 = 410;

/// Sends deliveries.
#[derive(Clone)]
pub struct Sender {
    known: Known,
    store: SharedWebhooks,
    queue: SharedWebhookQueue,
    targets: SharedTargets,
    clock: SharedClock,
    breaker: Arc<Breaker>,
}

/// What an attempt came to.
struct Judged {
    outcome: Outcome,
    status: Option<u16>,
    error: Option<String>,
    answer: Option<String>,
}

impl Sender {
    /// Over these ports.
    pub fn new(
        known: Known,
        store: SharedWebhooks,
        queue: SharedWebhookQueue,
        targets: SharedTargets,
        clock: SharedClock,
    ) -> Self {
        Self { known, store, queue, targets, clock, breaker: Arc::default() }
    }

    /// Takes a batch of deliveries, and answers with the places of those that must come back.
    ///
    /// Retry decision: what a target does not take goes into the queue again, as a message of its own that knows how
    /// often it was tried. A message comes back itself only where our own storage or queue has failed; then the target
    /// may hear of the same thing twice, by the same id. A body that is no delivery can never be read and is put
    /// aside. A delivery that is given up is not put aside: the log keeps it, from where its owner can send it again.
    pub async fn deliver(&self, bodies: &[&str]) -> Vec<(usize, Comeback)> {
        stream::iter(bodies.iter().enumerate())
            .map(|(place, body)| async move {
                let delivery: Delivery = match serde_json::from_str(body) {
                    Ok(delivery) => delivery,
                    Err(error) => {
                        tracing::error!(%error, "delivery cannot be read");
                        return Some((place, Comeback::Never));
                    }
                };
                let webhook = delivery.webhook;
                let error = self.one(delivery).await.err()?;
                tracing::warn!(%webhook, %error, "delivery not dealt with");
                Some((place, Comeback::Later))
            })
            .buffer_unordered(AT_ONCE)
            .filter_map(async |back| back)
            .collect()
            .await
    }

    async fn one(&self, delivery: Delivery) -> StoreResult<()> {
        let now = self.clock.now();
        // Its wait was longer than a queue can keep it back.
        if now.until(delivery.due) > EARLY {
            return self.queue.send_deliveries(&[delivery], now).await;
        }
        let webhooks = self.known.of(&delivery.scope).await?;
        let Some(webhook) = webhooks.iter().find(|webhook| webhook.id == delivery.webhook) else {
            tracing::info!(webhook = %delivery.webhook, "delivery dropped: its webhook is gone");
            return Ok(());
        };
        let is_test = delivery.kind == TEST;
        if webhook.disabled.is_some() && !is_test {
            return self.give_up(delivery, "not tried: the webhook is disabled").await;
        }
        if let Some(until) = self.breaker.paused(webhook.id, now).filter(|_| !is_test) {
            if delivery.begun.until(now) > LIFE {
                return self.give_up(delivery, "not tried: the target has not answered for a day").await;
            }
            let due = until.plus(Duration::from_secs(rand::rng().random_range(0..=60)));
            return self.queue.send_deliveries(&[Delivery { due, ..delivery }], now).await;
        }
        self.attempt(webhook, delivery).await
    }

    async fn attempt(&self, webhook: &Webhook, mut delivery: Delivery) -> StoreResult<()> {
        let at = self.clock.now();
        let post = Post {
            url: webhook.url.clone(),
            id: delivery.id.clone(),
            timestamp: seconds(at),
            signature: webhook.signatures(&delivery.id, at, &delivery.body),
            body: delivery.body.clone(),
        };
        let reply = self.targets.post(post).await;
        let done = self.clock.now();
        delivery.tried += 1;
        self.breaker.note(webhook.id, !matches!(reply, Reply::Silent(_)), done);
        let next = wait(delivery.tried).filter(|_| delivery.kind != TEST);
        let next = next.map(|wait| done.plus(wait.mul_f64(rand::rng().random_range(0.9..=1.1))));
        let Judged { outcome, status, error, answer } = judge(reply, next.is_some());
        let next_at = next.filter(|_| outcome == Outcome::Failed);
        if delivery.kind != TEST || outcome == Outcome::Delivered {
            self.mark(webhook, outcome, status, done).await;
        }
        let took_ms = u32::try_from(at.until(done).as_millis()).unwrap_or(u32::MAX);
        let entry = Attempt { at, delivery: delivery.clone(), outcome, status, error, answer, took_ms, next_at };
        tracing::info!(webhook = %webhook.id, tries = delivery.tried, status, ?outcome, "delivery tried");
        self.log(&entry).await?;
        match next_at {
            Some(due) => self.queue.send_deliveries(&[Delivery { due, ..delivery }], done).await,
            None => Ok(()),
        }
    }

    async fn give_up(&self, delivery: Delivery, why: &str) -> StoreResult<()> {
        let entry = Attempt {
            at: self.clock.now(),
            delivery,
            outcome: Outcome::Dead,
            status: None,
            error: Some(why.to_owned()),
            answer: None,
            took_ms: 0,
            next_at: None,
        };
        self.log(&entry).await
    }

    /// Writes an entry of the log. What is dead lives in the log alone, so there it must get; otherwise a log that
    /// lacks an entry is better than a target that hears everything twice.
    async fn log(&self, entry: &Attempt) -> StoreResult<()> {
        match self.store.log_attempt(entry).await {
            Err(error) if entry.outcome != Outcome::Dead => {
                tracing::warn!(webhook = %entry.delivery.webhook, %error, "attempt not logged");
                Ok(())
            }
            result => result,
        }
    }

    /// Remembers that a target has begun to fail, or does not any more, and disables it when it is gone or has failed
    /// for long. Nothing depends on it so much that a delivery should fail with it.
    async fn mark(&self, webhook: &Webhook, outcome: Outcome, status: Option<u16>, now: Timestamp) {
        let change = |webhook: &mut Webhook| -> bool {
            let before = (webhook.failing_since, webhook.disabled.is_some());
            if outcome == Outcome::Delivered {
                webhook.failing_since = None;
            } else {
                let since = *webhook.failing_since.get_or_insert(now);
                let why = match status {
                    Some(GONE) => Some("the target answers that it is gone (410)".to_owned()),
                    _ if since.until(now) >= PATIENCE => Some(format!("nothing but failures since {since}")),
                    _ => None,
                };
                if let Some(why) = why.filter(|_| webhook.disabled.is_none()) {
                    webhook.disabled = Some((now, why));
                }
            }
            webhook.rev += 1;
            before != (webhook.failing_since, webhook.disabled.is_some())
        };
        let mut current = webhook.clone();
        for _ in 0..MARK_TRIES {
            if !change(&mut current) {
                return;
            }
            let marked = self.store.mark_webhook(&current).await;
            self.known.forget(&webhook.scope);
            match marked {
                Ok(true) => {
                    if let Some((_, because)) = &current.disabled {
                        tracing::warn!(webhook = %webhook.id, because, "webhook disabled");
                    }
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(webhook = %webhook.id, %error, "webhook not marked");
                    return;
                }
            }
            // Somebody else has changed it: look again.
            let found = self.known.of(&webhook.scope).await;
            let Some(found) = found.ok().and_then(|all| all.iter().find(|one| one.id == webhook.id).cloned()) else {
                return;
            };
            current = found;
        }
    }
}

/// What a reply comes to, where there is another try or is none.
fn judge(reply: Reply, again: bool) -> Judged {
    let failed = if again { Outcome::Failed } else { Outcome::Dead };
    match reply {
        Reply::Answered(status, answer) => {
            let outcome = match status {
                200..=299 => Outcome::Delivered,
                GONE => Outcome::Dead,
                _ => failed,
            };
            let error = (300..=399).contains(&status).then(|| "redirects are not followed".to_owned());
            Judged { outcome, status: Some(status), error, answer: Some(answer).filter(|text| !text.is_empty()) }
        }
        Reply::Silent(why) | Reply::Forbidden(why) => {
            Judged { outcome: failed, status: None, error: Some(why), answer: None }
        }
    }
}
