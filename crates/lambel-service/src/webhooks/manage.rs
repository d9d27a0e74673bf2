//! What clients do with webhooks.

use std::collections::BTreeSet;

use lambel_core::{
    ClientId, TaskId,
    api::PageQuery,
    event::CloudEvent,
    limits,
    webhook::{
        AttemptPlace, Delivery, DeliveryId, EventKind, Outcome, Scope, TEST, Webhook, WebhookId,
        api::{
            AttemptPage, ChangeWebhook, CreateWebhook, Redeliver, Redelivered, TestSent, WebhookList, WebhookView,
            WebhookWithSecret,
        },
        signature::Secret,
        target::TargetRules,
    },
};
use rand::RngExt;

use crate::{
    caller::{Caller, Role},
    error::{Error, Result},
    ports::{SharedClock, SharedStore, SharedWebhookQueue, SharedWebhooks},
    results::page_limit,
    tasks::owned_task,
};

/// How often a change is tried again when somebody else changed the same webhook in between.
const CHANGE_TRIES: usize = 5;

/// Webhooks, towards clients. A client's are theirs and the admins'; for others they do not exist.
#[derive(Clone)]
pub struct Webhooks {
    tasks: SharedStore,
    store: SharedWebhooks,
    queue: SharedWebhookQueue,
    clock: SharedClock,
    rules: TargetRules,
}

impl Webhooks {
    /// Over these ports, for targets by these rules.
    pub fn new(
        tasks: SharedStore,
        store: SharedWebhooks,
        queue: SharedWebhookQueue,
        clock: SharedClock,
        rules: TargetRules,
    ) -> Self {
        Self { tasks, store, queue, clock, rules }
    }

    /// Makes a webhook for the events of one task, or of all tasks of the caller.
    pub async fn create(
        &self,
        caller: &Caller,
        task: Option<TaskId>,
        request: &CreateWebhook,
    ) -> Result<WebhookWithSecret> {
        let (scope, owner) = self.scope(caller, task).await?;
        self.rules.parse(&request.url).map_err(|error| Error::invalid("url", error))?;
        let secret = new_secret();
        let now = self.clock.now();
        let webhook = Webhook {
            id: WebhookId::random(),
            scope,
            owner,
            url: request.url.clone(),
            kinds: parse_kinds(&request.kinds)?,
            secret: secret.clone(),
            previous: None,
            disabled: None,
            failing_since: None,
            created_at: now,
            rev: 1,
        };
        if !self.store.create_webhook(&webhook).await? {
            return Err(Error::TooManyWebhooks);
        }
        tracing::info!(webhook = %webhook.id, caller = caller.subject(), "webhook made");
        Ok(WebhookWithSecret { webhook: WebhookView::of(&webhook, now), secret: secret.reveal() })
    }

    /// The webhooks of one task, or those for all tasks of the caller.
    pub async fn list(&self, caller: &Caller, task: Option<TaskId>) -> Result<WebhookList> {
        let (scope, _) = self.scope(caller, task).await?;
        let now = self.clock.now();
        let found = self.store.webhooks_of(&scope).await?;
        Ok(WebhookList { webhooks: found.iter().map(|webhook| WebhookView::of(webhook, now)).collect() })
    }

    /// One webhook.
    pub async fn show(&self, caller: &Caller, id: WebhookId) -> Result<WebhookView> {
        Ok(WebhookView::of(&self.owned(caller, id).await?, self.clock.now()))
    }

    /// Changes a webhook. One that is enabled begins anew: it has not failed yet.
    pub async fn change(&self, caller: &Caller, id: WebhookId, request: &ChangeWebhook) -> Result<WebhookView> {
        let mut webhook = self.owned(caller, id).await?;
        if let Some(url) = &request.url {
            self.rules.parse(url).map_err(|error| Error::invalid("url", error))?;
        }
        let kinds = request.kinds.as_deref().map(parse_kinds).transpose()?;
        for _ in 0..CHANGE_TRIES {
            let now = self.clock.now();
            let before = webhook.clone();
            if let Some(url) = &request.url {
                webhook.url.clone_from(url);
            }
            if let Some(kinds) = &kinds {
                webhook.kinds.clone_from(kinds);
            }
            match request.enabled {
                Some(true) if webhook.disabled.is_some() => (webhook.disabled, webhook.failing_since) = (None, None),
                Some(false) if webhook.disabled.is_none() => webhook.disabled = Some((now, "by hand".to_owned())),
                _ => {}
            }
            if webhook == before {
                return Ok(WebhookView::of(&webhook, now));
            }
            webhook.rev += 1;
            if self.store.replace_webhook(&webhook).await? {
                tracing::info!(webhook = %id, caller = caller.subject(), "webhook changed");
                return Ok(WebhookView::of(&webhook, now));
            }
            webhook = self.owned(caller, id).await?;
        }
        Err(Error::Contended)
    }

    /// Deletes a webhook. What is on its way to it is dropped.
    pub async fn delete(&self, caller: &Caller, id: WebhookId) -> Result<WebhookView> {
        let webhook = self.owned(caller, id).await?;
        if !self.store.delete_webhook(&webhook).await? {
            return Err(Error::WebhookNotFound);
        }
        tracing::info!(webhook = %id, caller = caller.subject(), "webhook deleted");
        Ok(WebhookView::of(&webhook, self.clock.now()))
    }

    /// Gives a webhook another secret. The one before signs too for a day.
    pub async fn rotate(&self, caller: &Caller, id: WebhookId) -> Result<WebhookWithSecret> {
        for _ in 0..CHANGE_TRIES {
            let mut webhook = self.owned(caller, id).await?;
            let (secret, now) = (new_secret(), self.clock.now());
            webhook.rotate(secret.clone(), now);
            webhook.rev += 1;
            if self.store.replace_webhook(&webhook).await? {
                tracing::info!(webhook = %id, caller = caller.subject(), "secret of a webhook replaced");
                return Ok(WebhookWithSecret { webhook: WebhookView::of(&webhook, now), secret: secret.reveal() });
            }
        }
        Err(Error::Contended)
    }

    /// Sends a test, once, also to a webhook that is disabled. The log says what came of it.
    pub async fn test(&self, caller: &Caller, id: WebhookId) -> Result<TestSent> {
        let webhook = self.owned(caller, id).await?;
        let now = self.clock.now();
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            kind: format!("lambel.{TEST}"),
            source: format!("/webhooks/{id}"),
            id: format!("{id}/{}", WebhookId::random()),
            time: now,
            subject: None,
            datacontenttype: "application/json".to_owned(),
            data: serde_json::json!({ "webhook": id }),
        };
        let body = serde_json::to_string(&event).map_err(|error| {
            Error::Store(crate::ports::StoreError::Failed(format!("event cannot be written: {error}")))
        })?;
        let delivery = Delivery::new(&webhook, &event, body, now);
        self.queue.send_deliveries(std::slice::from_ref(&delivery), now).await?;
        Ok(TestSent { delivery: delivery.id })
    }

    /// A page of the log.
    pub async fn deliveries(&self, caller: &Caller, id: WebhookId, query: &PageQuery) -> Result<AttemptPage> {
        self.owned(caller, id).await?;
        let limit = page_limit(query.limit)?;
        let before = parse_cursor(query.cursor.as_deref())?;
        let found = self.store.attempts(id, before.as_ref(), limit).await?;
        let next = found.last().filter(|_| found.len() == limit as usize).map(|last| last.place().to_string());
        Ok(AttemptPage { attempts: found.iter().map(Into::into).collect(), next })
    }

    /// Sends again: one delivery, or those that are dead, a hundred at most by one call. Each begins anew, with the
    /// same id. What was just sent again is still dead in the log until its next attempt, so calling twice sends
    /// twice.
    pub async fn redeliver(&self, caller: &Caller, id: WebhookId, request: &Redeliver) -> Result<Redelivered> {
        let webhook = self.owned(caller, id).await?;
        let wanted: Option<DeliveryId> = match &request.delivery {
            Some(text) => Some(text.parse().map_err(|error| Error::invalid("delivery", error))?),
            None => None,
        };
        let before = parse_cursor(request.cursor.as_deref())?;
        if webhook.disabled.is_some() {
            return Err(Error::Conflict("the webhook is disabled; enable it first".to_owned()));
        }
        let now = self.clock.now();
        let anew = |delivery: Delivery| Delivery { tried: 0, begun: now, due: now, ..delivery };
        if let Some(wanted) = wanted {
            let last = self.store.last_attempt(id, &wanted).await?.ok_or(Error::DeliveryNotFound)?;
            self.queue.send_deliveries(&[anew(last.delivery)], now).await?;
            return Ok(Redelivered { sent: 1, next: None });
        }
        let found = self.store.attempts(id, before.as_ref(), limits::PAGE_ROWS).await?;
        let full = found.len() == limits::PAGE_ROWS as usize;
        // Of each delivery the last attempt says how it stands, and that comes first.
        let mut seen = before.map(|place| place.delivery);
        let mut again = Vec::new();
        let mut next = None;
        for attempt in found {
            if again.len() == limits::REDELIVERIES_PER_REQUEST {
                return self.send_again(again, next, now).await;
            }
            next = Some(attempt.place().to_string());
            if seen.as_ref() == Some(&attempt.delivery.id) {
                continue;
            }
            seen = Some(attempt.delivery.id.clone());
            if attempt.outcome == Outcome::Dead && attempt.delivery.kind != TEST {
                again.push(anew(attempt.delivery));
            }
        }
        self.send_again(again, next.filter(|_| full), now).await
    }

    async fn send_again(
        &self,
        again: Vec<Delivery>,
        next: Option<String>,
        now: lambel_core::Timestamp,
    ) -> Result<Redelivered> {
        if !again.is_empty() {
            self.queue.send_deliveries(&again, now).await?;
        }
        Ok(Redelivered { sent: u32::try_from(again.len()).unwrap_or(u32::MAX), next })
    }

    async fn scope(&self, caller: &Caller, task: Option<TaskId>) -> Result<(Scope, ClientId)> {
        match task {
            None => caller.client().map(|owner| (Scope::Owner(owner.clone()), owner)),
            Some(task) => {
                let owner = owned_task(&*self.tasks, caller, task).await?.owner;
                Ok((Scope::Task(task), owner))
            }
        }
    }

    async fn owned(&self, caller: &Caller, id: WebhookId) -> Result<Webhook> {
        let client = caller.client()?;
        let webhook = self.store.webhook(id).await?.ok_or(Error::WebhookNotFound)?;
        if webhook.owner == client || caller.is(Role::Admin) { Ok(webhook) } else { Err(Error::WebhookNotFound) }
    }
}

fn new_secret() -> Secret {
    Secret::of(rand::rng().random())
}

fn parse_kinds(kinds: &[EventKind]) -> Result<BTreeSet<EventKind>> {
    if !(1..=EventKind::ALL.len()).contains(&kinds.len()) {
        return Err(Error::invalid("kinds", format!("1 to {} kinds of events", EventKind::ALL.len())));
    }
    Ok(kinds.iter().copied().collect())
}

fn parse_cursor(cursor: Option<&str>) -> Result<Option<AttemptPlace>> {
    let parse = |text: &str| text.parse().map_err(|_| Error::invalid("cursor", "this is not a cursor"));
    cursor.map(parse).transpose()
}
