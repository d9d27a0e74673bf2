//! The ear of webhooks: an event of a topic becomes a delivery for each webhook that wants it.

use lambel_core::{
    ClientId, TaskId,
    event::CloudEvent,
    webhook::{Delivery, Scope},
};

use super::Known;
use crate::{
    error::Comeback,
    ports::{SharedClock, SharedWebhookQueue, StoreResult},
};

/// An event as a topic hands it over: the body, and what its attributes say.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// A CloudEvent.
    pub body: &'a str,
    /// The attribute `owner`.
    pub owner: Option<&'a str>,
    /// The attribute `task`.
    pub task: Option<&'a str>,
}

/// What a body says that matters here. Whatever else is in it goes on unread.
type AnyEvent = CloudEvent<serde_json::Value>;

/// Finds the webhooks of events.
#[derive(Clone)]
pub struct Router {
    known: Known,
    queue: SharedWebhookQueue,
    clock: SharedClock,
}

impl Router {
    /// Over these ports.
    pub fn new(known: Known, queue: SharedWebhookQueue, clock: SharedClock) -> Self {
        Self { known, queue, clock }
    }

    /// Takes a batch of events, and answers with the places of those that must come back.
    ///
    /// Retry decision: each event alone where its webhooks cannot be read, all that have webhooks where the deliveries
    /// cannot be sent. Those that come back may be sent a second time, with the same ids. What is no event, or does
    /// not say whose, can never be dealt with and is put aside.
    pub async fn hear(&self, events: &[Announced<'_>]) -> Vec<(usize, Comeback)> {
        let mut back = Vec::new();
        let mut sent = Vec::new();
        let mut deliveries = Vec::new();
        for (place, announced) in events.iter().enumerate() {
            let Some((event, owner, task)) = read(announced) else {
                back.push((place, Comeback::Never));
                continue;
            };
            match self.deliveries(announced.body, &event, owner, task).await {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    sent.push(place);
                    deliveries.extend(found);
                }
                Err(error) => {
                    tracing::warn!(%error, "webhooks not read");
                    back.push((place, Comeback::Later));
                }
            }
        }
        if deliveries.is_empty() {
            return back;
        }
        match self.queue.send_deliveries(&deliveries, self.clock.now()).await {
            Ok(()) => tracing::info!(deliveries = deliveries.len(), "deliveries sent"),
            Err(error) => {
                tracing::warn!(%error, "deliveries not sent");
                back.extend(sent.into_iter().map(|place| (place, Comeback::Later)));
            }
        }
        back
    }

    async fn deliveries(
        &self,
        body: &str,
        event: &AnyEvent,
        owner: ClientId,
        task: Option<TaskId>,
    ) -> StoreResult<Vec<Delivery>> {
        let kind = event.kind.strip_prefix("lambel.").unwrap_or(&event.kind);
        let now = self.clock.now();
        let mut found = Vec::new();
        for scope in task.map(Scope::Task).into_iter().chain([Scope::Owner(owner)]) {
            let webhooks = self.known.of(&scope).await?;
            let wanting = webhooks.iter().filter(|webhook| webhook.wants(kind));
            found.extend(wanting.map(|webhook| Delivery::new(webhook, event, body, now)));
        }
        Ok(found)
    }
}

fn read(announced: &Announced<'_>) -> Option<(AnyEvent, ClientId, Option<TaskId>)> {
    let event: AnyEvent = match serde_json::from_str(announced.body) {
        Ok(event) => event,
        Err(error) => {
            tracing::error!(%error, "event cannot be read");
            return None;
        }
    };
    let Some(owner) = announced.owner.and_then(|owner| owner.parse().ok()) else {
        tracing::error!("event does not say whose it is");
        return None;
    };
    let task = announced.task.or_else(|| event.data.get("task")?.as_str()).and_then(|task| task.parse().ok());
    Some((event, owner, task))
}
