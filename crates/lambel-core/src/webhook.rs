//! Webhooks: addresses of others that are told of events by HTTP, as Standard Webhooks says
//! (<https://www.standardwebhooks.com>).
//!
//! | module | what |
//! |---|---|
//! | `address` | which addresses of the network are public |
//! | `target` | which URLs can be told |
//! | `signature` | secrets and signatures |
//! | `schedule` | when what failed is tried again |
//! | `api` | the shapes of the HTTP interface |

pub mod address;
pub mod api;
pub mod schedule;
pub mod signature;
pub mod target;

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{ClientId, TaskId, Timestamp, event::CloudEvent, id::text_serde};
use signature::Secret;

/// A text that is not an id of the kind that was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not the id of a webhook.
    #[error("the id of a webhook is a UUID in lower case with hyphens")]
    Webhook,
    /// Not the id of a delivery.
    #[error("the id of a delivery is `msg_` and 36 lower-case hexadecimal digits")]
    Delivery,
    /// Not a kind of event.
    #[error("there is no such kind of event; there are {}", EventKind::ALL.map(EventKind::as_str).join(", "))]
    Kind,
}

/// A webhook: a UUIDv7, so that ids sort by the time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    example = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a12")]
pub struct WebhookId(Uuid);

impl WebhookId {
    /// A new id, made of the clock and of chance.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for WebhookId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let uuid = Uuid::try_parse(text).map_err(|_| ParseError::Webhook)?;
        // One way to write an id: it is part of keys and paths.
        match uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text {
            true => Ok(Self(uuid)),
            false => Err(ParseError::Webhook),
        }
    }
}

impl fmt::Display for WebhookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// One event on its way to one webhook: what the header `webhook-id` says. It begins with the time of the event, so
/// that a log sorts by it, and goes on with a hash of webhook and event, so that it is the same however often the
/// event comes and however often it is sent.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^msg_[0-9a-f]{36}$",
    example = "msg_019aa5a05c1e80be2ca64eef1f7aa759f498")]
pub struct DeliveryId(String);

impl DeliveryId {
    /// The delivery of an event, by its id and time, to a webhook.
    pub fn of(webhook: WebhookId, event: &str, time: Timestamp) -> Self {
        let digest = Sha256::digest(format!("{webhook}\n{event}"));
        // Twelve digits hold every moment that a timestamp can be.
        Self(format!("msg_{:012x}{}", time.millis(), hex::encode(&digest[..12])))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let digits = text.strip_prefix("msg_").ok_or(ParseError::Delivery)?;
        let good = digits.len() == 36 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(Self(text.to_owned())) } else { Err(ParseError::Delivery) }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kinds of events that a webhook can ask for.
// Written out, since what reads these names for the OpenAPI document does not see through a macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
pub enum EventKind {
    /// An image has its label.
    #[serde(rename = "subtask.complete")]
    SubtaskComplete,
    /// An image has run out of votes.
    #[serde(rename = "subtask.disputed")]
    SubtaskDisputed,
    /// A file is no picture that can be labelled.
    #[serde(rename = "subtask.rejected")]
    SubtaskRejected,
    /// A decided image gets further votes.
    #[serde(rename = "subtask.reopened")]
    SubtaskReopened,
    /// All images of a task are decided.
    #[serde(rename = "task.complete")]
    TaskComplete,
    /// A task was called off.
    #[serde(rename = "task.cancelled")]
    TaskCancelled,
    /// A branch of a data set has another version.
    #[serde(rename = "dataset.moved")]
    DatasetMoved,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SubtaskComplete,
        Self::SubtaskDisputed,
        Self::SubtaskRejected,
        Self::SubtaskReopened,
        Self::TaskComplete,
        Self::TaskCancelled,
        Self::DatasetMoved,
    ];

    /// What it is called: the type of the event without `lambel.`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SubtaskComplete => "subtask.complete",
            Self::SubtaskDisputed => "subtask.disputed",
            Self::SubtaskRejected => "subtask.rejected",
            Self::SubtaskReopened => "subtask.reopened",
            Self::TaskComplete => "task.complete",
            Self::TaskCancelled => "task.cancelled",
            Self::DatasetMoved => "dataset.moved",
        }
    }
}

impl FromStr for EventKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(ParseError::Kind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a test delivery is called, in place of a kind of event.
pub const TEST: &str = "webhook.test";

/// Whose events a webhook is told of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those of all tasks of a client.
    Owner(ClientId),
    /// Those of one task.
    Task(TaskId),
}

/// An address that is told of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Whose events.
    pub scope: Scope,
    /// The client that it belongs to: of one task, the task's.
    pub owner: ClientId,
    /// Where to; checked again before each sending.
    pub url: String,
    /// Which events.
    pub kinds: BTreeSet<EventKind>,
    /// What is signed with.
    pub secret: Secret,
    /// The secret before, which signs too until then.
    pub previous: Option<(Secret, Timestamp)>,
    /// Since when it is told nothing, and why; none if it is told.
    pub disabled: Option<(Timestamp, String)>,
    /// Since when nothing but failures came back; none if the last answer was good.
    pub failing_since: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The number of changes so far, from 1 on.
    pub rev: u64,
}

impl Webhook {
    /// Whether it is to be told of an event of this kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.disabled.is_none() && self.kinds.iter().any(|wanted| wanted.as_str() == kind)
    }

    /// The header `webhook-signature` of a body that is sent now: a signature for each secret that is valid.
    pub fn signatures(&self, delivery: &DeliveryId, now: Timestamp, body: &str) -> String {
        let previous = self.previous.as_ref().filter(|(_, until)| now < *until).map(|(secret, _)| secret);
        let secrets = std::iter::once(&self.secret).chain(previous);
        let signed: Vec<_> = secrets.map(|secret| secret.sign(delivery.as_str(), seconds(now), body)).collect();
        signed.join(" ")
    }

    /// Takes another secret; the one before signs too for [`crate::limits::PREVIOUS_SECRET_SECONDS`].
    pub fn rotate(&mut self, secret: Secret, now: Timestamp) {
        let life = std::time::Duration::from_secs(crate::limits::PREVIOUS_SECRET_SECONDS);
        let before = std::mem::replace(&mut self.secret, secret);
        self.previous = Some((before, now.plus(life)));
    }
}

/// A moment as the header `webhook-timestamp` has it: whole seconds since 1970.
pub fn seconds(at: Timestamp) -> i64 {
    at.millis().div_euclid(1_000)
}

/// The body of a message on the queue `webhook-deliveries`: one event on its way to one webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The webhook.
    pub webhook: WebhookId,
    /// Where it is found.
    pub scope: Scope,
    /// What the receiver knows it by.
    pub id: DeliveryId,
    /// The id of the event.
    pub event: String,
    /// Its kind.
    pub kind: String,
    /// The event, as it is sent.
    pub body: String,
    /// How often it was tried since `begun`.
    pub tried: u32,
    /// When it was first to be sent.
    pub begun: Timestamp,
    /// When it is to be sent next.
    pub due: Timestamp,
}

impl Delivery {
    /// An event's delivery to a webhook, to be sent now.
    pub fn new<T>(webhook: &Webhook, event: &CloudEvent<T>, body: impl Into<String>, now: Timestamp) -> Self {
        Self {
            webhook: webhook.id,
            scope: webhook.scope.clone(),
            id: DeliveryId::of(webhook.id, &event.id, event.time),
            event: event.id.clone(),
            kind: event.kind.strip_prefix("lambel.").unwrap_or(&event.kind).to_owned(),
            body: body.into(),
            tried: 0,
            begun: now,
            due: now,
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target has taken it.
    Delivered,
    /// It has not, and is asked again.
    Failed,
    /// It is not asked again, unless somebody wants it.
    Dead,
}

/// An entry of a webhook's log: one attempt to deliver one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// The delivery as it was then, this attempt counted: with the body, so that it can be sent again.
    pub delivery: Delivery,
    /// What came of it.
    pub outcome: Outcome,
    /// What the target answered.
    pub status: Option<u16>,
    /// Why there was no answer, or why none was asked for.
    pub error: Option<String>,
    /// The beginning of the answer's body, harmless to show.
    pub answer: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// When it is tried next.
    pub next_at: Option<Timestamp>,
}

/// The place of an entry in a log: sorted by delivery, which begins with the time of the event, then by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AttemptPlace {
    /// The delivery.
    pub delivery: DeliveryId,
    /// When.
    pub at: Timestamp,
}

impl Attempt {
    /// Its place in the log.
    pub fn place(&self) -> AttemptPlace {
        AttemptPlace { delivery: self.delivery.id.clone(), at: self.at }
    }
}

impl fmt::Display for AttemptPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Fifteen digits hold every moment that a timestamp can be.
        write!(f, "{}.{:015}", self.delivery, self.at.millis())
    }
}

impl FromStr for AttemptPlace {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (delivery, at) = text.split_once('.').ok_or(ParseError::Delivery)?;
        let digits = at.len() == 15 && at.bytes().all(|b| b.is_ascii_digit());
        let at = at.parse().ok().filter(|_| digits).ok_or(ParseError::Delivery)?;
        Ok(Self { delivery: delivery.parse()?, at: Timestamp::from_millis(at) })
    }
}

text_serde!(WebhookId, DeliveryId);

#[cfg(test)]
mod tests {
    use super::*;

    fn webhook() -> Webhook {
        let owner: ClientId = "client".parse().unwrap();
        Webhook {
            id: "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a12".parse().unwrap(),
            scope: Scope::Owner(owner.clone()),
            owner,
            url: "https://example.org/".into(),
            kinds: [EventKind::TaskComplete].into(),
            secret: Secret::of([1; 32]),
            previous: None,
            disabled: None,
            failing_since: None,
            created_at: Timestamp::from_millis(0),
            rev: 1,
        }
    }

    #[test]
    fn a_delivery_has_one_id_and_sorts_by_the_time_of_its_event() {
        let (hook, other) = (webhook().id, WebhookId::random());
        let at = |millis| Timestamp::from_millis(millis);
        let id = DeliveryId::of(hook, "t/1", at(5));
        assert_eq!(DeliveryId::of(hook, "t/1", at(5)), id);
        assert_ne!(DeliveryId::of(other, "t/1", at(5)), id);
        assert_ne!(DeliveryId::of(hook, "t/2", at(5)), id);
        assert!(DeliveryId::of(hook, "t/2", at(6)) > id && DeliveryId::of(hook, "t/2", Timestamp::MAX) > id);
        assert_eq!(id.to_string().parse::<DeliveryId>(), Ok(id.clone()));
        for bad in ["", "msg_", &id.as_str().to_uppercase(), &format!("{id}0"), &id.as_str().replace("msg_", "")] {
            assert_eq!(bad.parse::<DeliveryId>(), Err(ParseError::Delivery), "{bad}");
        }
        let place = AttemptPlace { delivery: id, at: at(1_795_250_820_000) };
        assert_eq!(place.to_string().parse::<AttemptPlace>(), Ok(place));
    }

    #[test]
    fn kinds_are_those_that_events_have() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse::<EventKind>(), Ok(kind));
        }
        assert!("task".parse::<EventKind>().is_err());
        let mut hook = webhook();
        assert!(hook.wants("task.complete") && !hook.wants("task.cancelled"));
        hook.disabled = Some((Timestamp::from_millis(1), "by hand".into()));
        assert!(!hook.wants("task.complete"));
    }

    #[test]
    fn a_secret_that_was_replaced_signs_for_a_day_more() {
        let mut hook = webhook();
        let now = Timestamp::from_millis(1_000_000);
        let id = DeliveryId::of(hook.id, "e", now);
        let first = hook.signatures(&id, now, "{}");
        hook.rotate(Secret::of([2; 32]), now);
        let both = hook.signatures(&id, now, "{}");
        assert_eq!(both.split(' ').nth(1), Some(first.as_str()));
        let day = std::time::Duration::from_secs(crate::limits::PREVIOUS_SECRET_SECONDS);
        assert_eq!(hook.signatures(&id, now.plus(day), "{}").split(' ').count(), 1);
    }
}
