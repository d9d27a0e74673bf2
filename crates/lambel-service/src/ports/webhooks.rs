//! What webhooks need from the world.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{
    Timestamp,
    webhook::{Attempt, AttemptPlace, Delivery, DeliveryId, Scope, Webhook, WebhookId},
};

use super::StoreResult;

/// The table of webhooks and their logs. Reads are consistent unless the method says otherwise.
#[async_trait]
pub trait WebhookStore: Send + Sync {
    /// Writes a new webhook. False if its scope has as many as it may have.
    async fn create_webhook(&self, webhook: &Webhook) -> StoreResult<bool>;

    /// Reads a webhook.
    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>>;

    /// The webhooks of a scope, the oldest first.
    async fn webhooks_of(&self, scope: &Scope) -> StoreResult<Vec<Webhook>>;

    /// Replaces a webhook, if its `rev` is still the one before. False if it is not, or if there is none any more.
    async fn replace_webhook(&self, webhook: &Webhook) -> StoreResult<bool>;

    /// Writes of a webhook whether it is disabled and since when it fails, and nothing else, on the same condition.
    async fn mark_webhook(&self, webhook: &Webhook) -> StoreResult<bool>;

    /// Deletes a webhook. False if there was none. Its log ends by itself.
    async fn delete_webhook(&self, webhook: &Webhook) -> StoreResult<bool>;

    /// Writes an entry of a webhook's log. It is kept for
    /// [`WEBHOOK_LOG_SECONDS`](lambel_core::limits::WEBHOOK_LOG_SECONDS).
    async fn log_attempt(&self, attempt: &Attempt) -> StoreResult<()>;

    /// Entries of a webhook's log, the last one first, from before a place. May lag behind by a moment.
    async fn attempts(
        &self,
        webhook: WebhookId,
        before: Option<&AttemptPlace>,
        limit: u32,
    ) -> StoreResult<Vec<Attempt>>;

    /// The last entry of one delivery. May lag behind by a moment.
    async fn last_attempt(&self, webhook: WebhookId, delivery: &DeliveryId) -> StoreResult<Option<Attempt>>;
}

/// The queue of deliveries.
#[async_trait]
pub trait WebhookQueue: Send + Sync {
    /// Sends deliveries, each to be received when it is due, or earlier where that is long. All, or the call fails;
    /// sending one again does no harm.
    async fn send_deliveries(&self, deliveries: &[Delivery], now: Timestamp) -> StoreResult<()>;
}

/// What is posted to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The URL.
    pub url: String,
    /// The header `webhook-id`.
    pub id: DeliveryId,
    /// The header `webhook-timestamp`, in seconds since 1970.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: String,
    /// The body, a CloudEvent.
    pub body: String,
}

/// What came back from a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It answered: the status, and the beginning of the body, harmless to show.
    Answered(u16, String),
    /// It answered nothing: why, in words for its owner.
    Silent(String),
    /// It was not called, since it must not be: why.
    Forbidden(String),
}

/// The targets.
#[async_trait]
pub trait Targets: Send + Sync {
    /// Posts, once, to whatever public address the URL stands for at this moment.
    async fn post(&self, post: Post) -> Reply;
}

/// The table of webhooks, shared.
pub type SharedWebhooks = Arc<dyn WebhookStore>;
/// The queue of deliveries, shared.
pub type SharedWebhookQueue = Arc<dyn WebhookQueue>;
/// The targets, shared.
pub type SharedTargets = Arc<dyn Targets>;
