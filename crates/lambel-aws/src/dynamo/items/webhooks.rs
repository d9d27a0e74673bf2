//! The attributes of webhooks and of the entries of their logs.

use std::time::Duration;

use lambel_core::{
    Timestamp, limits,
    webhook::{Attempt, AttemptPlace, Delivery, EventKind, Scope, Webhook, signature::Secret},
};
use lambel_service::ports::StoreResult;

use super::{Item, Reader, name_of, number, of_name, string, unreadable, versioned};
use crate::dynamo::keys;

/// A webhook as it is stored, but for its key.
pub(in crate::dynamo) fn webhook(webhook: &Webhook) -> Item {
    let kinds = webhook.kinds.iter().map(|kind| string(kind.as_str())).collect();
    let mut item = Item::from([
        versioned(),
        ("id".to_owned(), string(webhook.id.to_string())),
        ("scope".to_owned(), string(keys::webhook_scope(&webhook.scope))),
        ("owner".to_owned(), string(webhook.owner.as_str())),
        ("url".to_owned(), string(&webhook.url)),
        ("kinds".to_owned(), aws_sdk_dynamodb::types::AttributeValue::L(kinds)),
        ("secret".to_owned(), string(webhook.secret.reveal())),
        ("created".to_owned(), number(webhook.created_at.millis())),
        ("rev".to_owned(), number(webhook.rev)),
    ]);
    if let Some((secret, until)) = &webhook.previous {
        item.insert("previous".to_owned(), string(secret.reveal()));
        item.insert("previous_until".to_owned(), number(until.millis()));
    }
    item.extend(health(webhook));
    item
}

/// What a mark writes, where there is something to say.
pub(in crate::dynamo) fn health(webhook: &Webhook) -> Item {
    let mut item = Item::new();
    if let Some((at, because)) = &webhook.disabled {
        item.insert("disabled".to_owned(), number(at.millis()));
        item.insert("disabled_because".to_owned(), string(because));
    }
    if let Some(since) = webhook.failing_since {
        item.insert("failing_since".to_owned(), number(since.millis()));
    }
    item
}

/// The attributes that a mark writes or takes away.
pub(in crate::dynamo) const HEALTH: [&str; 3] = ["disabled", "disabled_because", "failing_since"];

pub(in crate::dynamo) fn read_webhook(item: Item) -> StoreResult<Webhook> {
    let reader = Reader::new("webhook", item)?;
    let missing = |name: &str| reader.missing(name);
    let kinds = reader.item.get("kinds").and_then(|kinds| kinds.as_l().ok()).ok_or_else(|| missing("kinds"))?;
    let kind = |value: &aws_sdk_dynamodb::types::AttributeValue| value.as_s().ok()?.parse::<EventKind>().ok();
    let moment =
        |name: &str| Ok::<_, lambel_service::ports::StoreError>(reader.maybe_number(name)?.map(Timestamp::from_millis));
    let previous = reader.maybe_text("previous").map(str::parse::<Secret>).transpose();
    let previous = previous.map_err(|error| unreadable("webhook", error))?;
    Ok(Webhook {
        id: reader.parsed("id")?,
        scope: read_scope(&reader)?,
        owner: reader.parsed("owner")?,
        url: reader.text("url")?.to_owned(),
        kinds: kinds.iter().map(|value| kind(value).ok_or_else(|| missing("kinds"))).collect::<StoreResult<_>>()?,
        secret: reader.parsed("secret")?,
        previous: previous.zip(moment("previous_until")?),
        disabled: moment("disabled")?.zip(reader.maybe_text("disabled_because").map(ToOwned::to_owned)),
        failing_since: moment("failing_since")?,
        created_at: reader.moment("created")?,
        rev: reader.number("rev")?,
    })
}

fn read_scope(reader: &Reader) -> StoreResult<Scope> {
    keys::of_webhook_scope(reader.text("scope")?).ok_or_else(|| reader.missing("scope"))
}

/// An entry of a log as it is stored, but for its key.
pub(in crate::dynamo) fn attempt(attempt: &Attempt) -> Item {
    let delivery = &attempt.delivery;
    let end = attempt.at.plus(Duration::from_secs(limits::WEBHOOK_LOG_SECONDS));
    let mut item = Item::from([
        versioned(),
        ("webhook".to_owned(), string(delivery.webhook.to_string())),
        ("scope".to_owned(), string(keys::webhook_scope(&delivery.scope))),
        ("event".to_owned(), string(&delivery.event)),
        ("kind".to_owned(), string(&delivery.kind)),
        ("body".to_owned(), string(&delivery.body)),
        ("tried".to_owned(), number(delivery.tried)),
        ("begun".to_owned(), number(delivery.begun.millis())),
        ("due".to_owned(), number(delivery.due.millis())),
        ("outcome".to_owned(), string(name_of(attempt.outcome))),
        ("took_ms".to_owned(), number(attempt.took_ms)),
        // In seconds, as DynamoDB wants the time at which it deletes an item.
        ("expires".to_owned(), number(end.millis() / 1_000)),
    ]);
    let maybe = [
        ("status", attempt.status.map(number)),
        ("error", attempt.error.as_deref().map(string)),
        ("answer", attempt.answer.as_deref().map(string)),
        ("next", attempt.next_at.map(|at| number(at.millis()))),
    ];
    item.extend(maybe.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    item
}

pub(in crate::dynamo) fn read_attempt(item: Item) -> StoreResult<Attempt> {
    let reader = Reader::new("entry of a webhook's log", item)?;
    let AttemptPlace { delivery, at } = reader.parsed("sk")?;
    let text = |name: &str| reader.text(name).map(ToOwned::to_owned);
    Ok(Attempt {
        at,
        delivery: Delivery {
            webhook: reader.parsed("webhook")?,
            scope: read_scope(&reader)?,
            id: delivery,
            event: text("event")?,
            kind: text("kind")?,
            body: text("body")?,
            tried: reader.number("tried")?,
            begun: reader.moment("begun")?,
            due: reader.moment("due")?,
        },
        outcome: of_name(reader.text("outcome")?).ok_or_else(|| reader.missing("outcome"))?,
        status: reader.maybe_number("status")?,
        error: reader.maybe_text("error").map(ToOwned::to_owned),
        answer: reader.maybe_text("answer").map(ToOwned::to_owned),
        took_ms: reader.number("took_ms")?,
        next_at: reader.maybe_number("next")?.map(Timestamp::from_millis),
    })
}
