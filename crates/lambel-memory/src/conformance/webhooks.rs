//! What every [`WebhookStore`] must do.

use std::time::Duration;

use lambel_core::{
    ClientId, TaskId, Timestamp, limits,
    webhook::{Attempt, Delivery, DeliveryId, EventKind, Outcome, Scope, Webhook, WebhookId, signature::Secret},
};
use lambel_service::ports::WebhookStore;

/// Runs every case of webhooks.
pub async fn run_webhooks(store: &dyn WebhookStore) {
    a_webhook_is_kept_as_it_was_made(store).await;
    a_scope_has_so_many_webhooks(store).await;
    a_webhook_changes_only_from_what_it_was(store).await;
    a_mark_leaves_the_rest_alone(store).await;
    a_deleted_webhook_is_gone(store).await;
    a_log_is_kept_and_paged(store).await;
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_250_820_000)
}

fn webhook(scope: Scope) -> Webhook {
    let id = WebhookId::random();
    Webhook {
        id,
        scope,
        owner: owner(),
        url: "https://hooks.example.org/a?b=ü".to_owned(),
        kinds: [EventKind::TaskComplete, EventKind::SubtaskDisputed].into(),
        secret: Secret::of([3; 32]),
        previous: None,
        disabled: None,
        failing_since: None,
        created_at: now(),
        rev: 1,
    }
}

/// Somebody of their own for each case.
fn owner() -> ClientId {
    format!("client-{}", WebhookId::random()).parse().expect("a good id")
}

async fn made(store: &dyn WebhookStore) -> Webhook {
    let webhook = webhook(Scope::Task(TaskId::random()));
    assert_eq!(store.create_webhook(&webhook).await, Ok(true));
    webhook
}

async fn a_webhook_is_kept_as_it_was_made(store: &dyn WebhookStore) {
    let owner = owner();
    let plain = webhook(Scope::Owner(owner.clone()));
    let full = Webhook {
        previous: Some((Secret::of([4; 32]), now().plus(Duration::from_secs(60)))),
        disabled: Some((now(), "by hand".to_owned())),
        failing_since: Some(now()),
        ..webhook(Scope::Owner(owner.clone()))
    };
    let other = webhook(Scope::Task(TaskId::random()));
    assert_eq!(store.webhooks_of(&plain.scope).await, Ok(Vec::new()));
    for webhook in [&plain, &full, &other] {
        assert_eq!(store.create_webhook(webhook).await, Ok(true));
        assert_eq!(store.webhook(webhook.id).await, Ok(Some(webhook.clone())));
    }
    assert_eq!(store.webhooks_of(&plain.scope).await, Ok(vec![plain, full]));
    assert_eq!(store.webhooks_of(&other.scope).await, Ok(vec![other]));
    assert_eq!(store.webhook(WebhookId::random()).await, Ok(None));
}

async fn a_scope_has_so_many_webhooks(store: &dyn WebhookStore) {
    let scope = Scope::Task(TaskId::random());
    let mut all = Vec::new();
    for _ in 0..limits::WEBHOOKS_PER_SCOPE {
        let webhook = webhook(scope.clone());
        assert_eq!(store.create_webhook(&webhook).await, Ok(true));
        all.push(webhook);
    }
    let more = webhook(scope.clone());
    assert_eq!(store.create_webhook(&more).await, Ok(false));
    assert_eq!(store.webhook(more.id).await, Ok(None));
    assert_eq!(store.delete_webhook(&all[3]).await, Ok(true));
    assert_eq!(store.create_webhook(&more).await, Ok(true), "there is room again");
    assert_eq!(store.create_webhook(&webhook(scope.clone())).await, Ok(false));
    assert_eq!(store.create_webhook(&webhook(Scope::Owner(owner()))).await, Ok(true), "others have room");
}

async fn a_webhook_changes_only_from_what_it_was(store: &dyn WebhookStore) {
    let first = made(store).await;
    let mut changed = Webhook { url: "https://hooks.example.org/b".to_owned(), rev: 2, ..first.clone() };
    changed.kinds = [EventKind::TaskCancelled].into();
    changed.rotate(Secret::of([5; 32]), now());
    assert_eq!(store.replace_webhook(&changed).await, Ok(true));
    assert_eq!(store.webhook(first.id).await, Ok(Some(changed.clone())));
    assert_eq!(store.replace_webhook(&Webhook { rev: 2, ..first.clone() }).await, Ok(false), "somebody else has");
    assert_eq!(store.replace_webhook(&Webhook { rev: 9, ..first.clone() }).await, Ok(false));
    assert_eq!(store.webhooks_of(&first.scope).await, Ok(vec![changed.clone()]));
    // What is not there any more leaves nothing behind.
    let bare = Webhook { previous: None, rev: 3, ..changed };
    assert_eq!(store.replace_webhook(&bare).await, Ok(true));
    assert_eq!(store.webhook(first.id).await, Ok(Some(bare)));
    assert_eq!(store.replace_webhook(&webhook(first.scope.clone())).await, Ok(false), "there is none");
}

async fn a_mark_leaves_the_rest_alone(store: &dyn WebhookStore) {
    let first = made(store).await;
    let mut mark = Webhook { failing_since: Some(now()), rev: 2, ..first.clone() };
    mark.disabled = Some((now(), "it failed".to_owned()));
    mark.url = "https://elsewhere.example.org/".to_owned();
    mark.secret = Secret::of([9; 32]);
    assert_eq!(store.mark_webhook(&mark).await, Ok(true));
    let expected = Webhook { url: first.url.clone(), secret: first.secret.clone(), ..mark.clone() };
    assert_eq!(store.webhook(first.id).await, Ok(Some(expected.clone())));
    assert_eq!(store.mark_webhook(&mark).await, Ok(false), "somebody else has changed it");
    let well = Webhook { failing_since: None, disabled: None, rev: 3, ..expected };
    assert_eq!(store.mark_webhook(&well).await, Ok(true));
    assert_eq!(store.webhook(first.id).await, Ok(Some(well)));
    assert_eq!(store.mark_webhook(&Webhook { rev: 2, ..webhook(first.scope) }).await, Ok(false), "there is none");
}

async fn a_deleted_webhook_is_gone(store: &dyn WebhookStore) {
    let webhook = made(store).await;
    assert_eq!(store.delete_webhook(&webhook).await, Ok(true));
    assert_eq!(store.delete_webhook(&webhook).await, Ok(false));
    assert_eq!(store.webhook(webhook.id).await, Ok(None));
    assert_eq!(store.webhooks_of(&webhook.scope).await, Ok(Vec::new()));
    let again = Webhook { rev: 2, ..webhook.clone() };
    assert_eq!(store.replace_webhook(&again).await, Ok(false));
    assert_eq!(store.mark_webhook(&again).await, Ok(false), "a mark makes none");
    assert_eq!(store.webhook(webhook.id).await, Ok(None));
}

async fn a_log_is_kept_and_paged(store: &dyn WebhookStore) {
    let webhook = made(store).await;
    let at = |seconds: u64| now().plus(Duration::from_secs(seconds));
    let attempt = |event: u64, tried: u32, seconds: u64, outcome| Attempt {
        at: at(seconds),
        delivery: Delivery {
            webhook: webhook.id,
            scope: webhook.scope.clone(),
            id: DeliveryId::of(webhook.id, &format!("t/{event}"), at(event)),
            event: format!("t/{event}"),
            kind: "task.complete".to_owned(),
            body: "{\"ü\": 1}".to_owned(),
            tried,
            begun: at(event),
            due: at(seconds),
        },
        outcome,
        status: Some(200),
        error: Some("none".to_owned()),
        answer: Some("thanks".to_owned()),
        took_ms: 17,
        next_at: Some(at(seconds + 5)),
    };
    let bare = Attempt { status: None, error: None, answer: None, next_at: None, ..attempt(2, 1, 20, Outcome::Dead) };
    let log = [
        attempt(3, 1, 7, Outcome::Delivered),
        bare,
        attempt(1, 2, 8, Outcome::Delivered),
        attempt(1, 1, 2, Outcome::Failed),
    ];
    for attempt in [&log[2], &log[0], &log[3], &log[1], &log[1]] {
        assert_eq!(store.log_attempt(attempt).await, Ok(()));
    }
    assert_eq!(store.attempts(webhook.id, None, 10).await, Ok(log.to_vec()), "the newest event first");
    assert_eq!(store.attempts(webhook.id, None, 2).await, Ok(log[..2].to_vec()));
    assert_eq!(store.attempts(webhook.id, Some(&log[1].place()), 2).await, Ok(log[2..].to_vec()));
    assert_eq!(store.attempts(webhook.id, Some(&log[2].place()), 2).await, Ok(log[3..].to_vec()));
    assert_eq!(store.attempts(webhook.id, Some(&log[3].place()), 2).await, Ok(Vec::new()));
    assert_eq!(store.attempts(WebhookId::random(), None, 10).await, Ok(Vec::new()));
    let last = async |attempt: &Attempt| store.last_attempt(webhook.id, &attempt.delivery.id).await;
    assert_eq!(last(&log[3]).await, Ok(Some(log[2].clone())));
    assert_eq!(last(&log[0]).await, Ok(Some(log[0].clone())));
    let nothing = DeliveryId::of(webhook.id, "t/9", now());
    assert_eq!(store.last_attempt(webhook.id, &nothing).await, Ok(None));
}
