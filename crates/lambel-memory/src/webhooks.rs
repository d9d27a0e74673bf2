//! Webhooks in memory: the table, the queue of deliveries.

use std::sync::Mutex;

use async_trait::async_trait;
use lambel_core::{
    Timestamp, limits,
    webhook::{Attempt, AttemptPlace, Delivery, DeliveryId, Scope, Webhook, WebhookId},
};
use lambel_service::ports::{StoreError, StoreResult, WebhookQueue, WebhookStore};

use crate::{Table, lock};

/// The table of webhooks in memory.
#[derive(Debug, Default)]
pub struct MemoryWebhooks {
    webhooks: Mutex<Table<WebhookId, Webhook>>,
    log: Mutex<Table<(WebhookId, AttemptPlace), Attempt>>,
}

impl MemoryWebhooks {
    fn replace(&self, webhook: &Webhook, put: impl FnOnce(&mut Webhook)) -> bool {
        let mut webhooks = lock(&self.webhooks);
        match webhooks.get_mut(&webhook.id) {
            Some(stored) if stored.rev + 1 == webhook.rev => {
                put(stored);
                true
            }
            _ => false,
        }
    }
}

#[async_trait]
impl WebhookStore for MemoryWebhooks {
    async fn create_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let mut webhooks = lock(&self.webhooks);
        let there = webhooks.values().filter(|other| other.scope == webhook.scope).count();
        if there >= limits::WEBHOOKS_PER_SCOPE as usize {
            return Ok(false);
        }
        webhooks.insert(webhook.id, webhook.clone());
        Ok(true)
    }

    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        Ok(lock(&self.webhooks).get(&id).cloned())
    }

    async fn webhooks_of(&self, scope: &Scope) -> StoreResult<Vec<Webhook>> {
        Ok(lock(&self.webhooks).values().filter(|webhook| webhook.scope == *scope).cloned().collect())
    }

    async fn replace_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        Ok(self.replace(webhook, |stored| *stored = webhook.clone()))
    }

    async fn mark_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        Ok(self.replace(webhook, |stored| {
            stored.disabled.clone_from(&webhook.disabled);
            stored.failing_since = webhook.failing_since;
            stored.rev = webhook.rev;
        }))
    }

    async fn delete_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        Ok(lock(&self.webhooks).remove(&webhook.id).is_some())
    }

    async fn log_attempt(&self, attempt: &Attempt) -> StoreResult<()> {
        lock(&self.log).insert((attempt.delivery.webhook, attempt.place()), attempt.clone());
        Ok(())
    }

    async fn attempts(
        &self,
        webhook: WebhookId,
        before: Option<&AttemptPlace>,
        limit: u32,
    ) -> StoreResult<Vec<Attempt>> {
        let log = lock(&self.log);
        let of_webhook = log.iter().rev().filter(|((of, _), _)| *of == webhook);
        let earlier = of_webhook.filter(|((_, place), _)| before.is_none_or(|before| place < before));
        Ok(earlier.map(|(_, attempt)| attempt.clone()).take(limit as usize).collect())
    }

    async fn last_attempt(&self, webhook: WebhookId, delivery: &DeliveryId) -> StoreResult<Option<Attempt>> {
        let log = lock(&self.log);
        let of_delivery = log.iter().rev().find(|((of, place), _)| *of == webhook && place.delivery == *delivery);
        Ok(of_delivery.map(|(_, attempt)| attempt.clone()))
    }
}

/// The queue of deliveries in memory: what was sent lies there until it is taken.
#[derive(Debug, Default)]
pub struct MemoryWebhookQueue {
    deliveries: Mutex<Vec<Delivery>>,
    failing: Mutex<u32>,
}

impl MemoryWebhookQueue {
    /// Takes what was sent.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut lock(&self.deliveries))
    }

    /// Makes the next so many calls fail, before anything is sent.
    pub fn fail_next(&self, calls: u32) {
        *lock(&self.failing) = calls;
    }
}

#[async_trait]
impl WebhookQueue for MemoryWebhookQueue {
    async fn send_deliveries(&self, deliveries: &[Delivery], _now: Timestamp) -> StoreResult<()> {
        let mut failing = lock(&self.failing);
        if *failing > 0 {
            *failing -= 1;
            return Err(StoreError::Busy("made to fail".to_owned()));
        }
        lock(&self.deliveries).extend_from_slice(deliveries);
        Ok(())
    }
}
