//! The shapes of the HTTP interface to webhooks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Attempt, DeliveryId, EventKind, Outcome, Scope, Webhook, WebhookId};
use crate::{TaskId, Timestamp};

/// A webhook to be made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWebhook {
    /// Where to: `https`, port 443 or 8443, a host of the internet, 2,048 characters at most; without user name,
    /// password and fragment.
    #[schema(max_length = 2048, pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", example = "https://hooks.example.org/lambel")]
    pub url: String,
    /// Which events: at least one kind.
    #[schema(min_items = 1, max_items = 7)]
    pub kinds: Vec<EventKind>,
}

/// What is to change of a webhook. What is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeWebhook {
    /// Another address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2048, pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", example = "https://hooks.example.org/lambel")]
    pub url: Option<String>,
    /// Other kinds of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_items = 1, max_items = 7)]
    pub kinds: Option<Vec<EventKind>>,
    /// Whether it is told of events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// A webhook, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebhookView {
    /// Its id.
    pub webhook: WebhookId,
    /// The task whose events it is told of; all tasks of its owner, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Where to.
    pub url: String,
    /// Which events.
    pub kinds: Vec<EventKind>,
    /// Whether it is told of them.
    pub enabled: bool,
    /// Since when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Timestamp>,
    /// Why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled_because: Option<String>,
    /// Since when nothing but failures has come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Timestamp>,
    /// Until when the secret before signs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl WebhookView {
    /// What is shown of a webhook at this moment.
    pub fn of(webhook: &Webhook, now: Timestamp) -> Self {
        let disabled = webhook.disabled.clone();
        Self {
            webhook: webhook.id,
            task: match &webhook.scope {
                Scope::Task(task) => Some(*task),
                Scope::Owner(_) => None,
            },
            url: webhook.url.clone(),
            kinds: webhook.kinds.iter().copied().collect(),
            enabled: disabled.is_none(),
            disabled_at: disabled.as_ref().map(|(at, _)| *at),
            disabled_because: disabled.map(|(_, because)| because),
            failing_since: webhook.failing_since,
            previous_secret_until: webhook.previous.as_ref().map(|(_, until)| *until).filter(|until| *until > now),
            created_at: webhook.created_at,
        }
    }
}

/// A webhook, with a secret that was just made. It is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookWithSecret {
    /// The webhook.
    #[serde(flatten)]
    pub webhook: WebhookView,
    /// What the receiver checks signatures with, as Standard Webhooks writes it.
    #[schema(pattern = "^whsec_[A-Za-z0-9+/]+=*$", example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]
    pub secret: String,
}

/// The webhooks of a client, or of a task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WebhookList {
    /// The oldest first; 10 at most.
    pub webhooks: Vec<WebhookView>,
}

/// A test that is on its way.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TestSent {
    /// What the receiver and the log know it by.
    pub delivery: DeliveryId,
}

/// One attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// The delivery: the header `webhook-id`.
    pub delivery: DeliveryId,
    /// The id of the event.
    pub event: String,
    /// The kind of the event; `webhook.test` for a test.
    pub kind: String,
    /// How often it was tried by then, this time among them, since it was sent or sent again.
    pub attempt: u32,
    /// When.
    pub at: Timestamp,
    /// What came of it.
    pub outcome: Outcome,
    /// The status that the target answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why there was no answer, or why none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The beginning of what it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let delivery = &attempt.delivery;
        Self {
            delivery: delivery.id.clone(),
            event: delivery.event.clone(),
            kind: delivery.kind.clone(),
            attempt: delivery.tried,
            at: attempt.at,
            outcome: attempt.outcome,
            status: attempt.status,
            error: attempt.error.clone(),
            answer: attempt.answer.clone(),
            took_ms: attempt.took_ms,
            next_at: attempt.next_at,
        }
    }
}

/// A page of a webhook's log, the newest event first, and of each event the newest attempt first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptPage {
    /// The attempts.
    pub attempts: Vec<AttemptView>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What is to be sent again: one delivery, or all that were given up.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redeliver {
    /// This one, whatever came of it; all that are dead, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DeliveryId>)]
    pub delivery: Option<String>,
    /// Where to go on: `next` of the answer before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What was sent again.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Redelivered {
    /// How many deliveries.
    pub sent: u32,
    /// Where to go on, if the log has more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
