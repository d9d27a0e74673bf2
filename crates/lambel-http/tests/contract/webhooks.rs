//! Webhooks as clients see them.

use axum::http::{Method, StatusCode};
use lambel_core::webhook::{Attempt, EventKind, Outcome, seconds, signature::Secret};
use lambel_http::Caller;
use lambel_service::{
    Role,
    ports::{Clock, WebhookStore},
};
use serde_json::{Value, json};

use crate::support::{Answer, World, admin, alice, operator};

fn mallory() -> Option<Caller> {
    Some(Caller::new("mallory", [Role::Client]))
}

fn body() -> Value {
    json!({"url": "https://hooks.example.org/lambel", "kinds": ["task.complete"]})
}

#[test]
fn the_document_has_the_kinds_of_events() {
    let document = serde_json::to_value(lambel_http::openapi()).unwrap();
    let kinds = &document["components"]["schemas"]["EventKind"]["enum"];
    assert_eq!(kinds, &json!(EventKind::ALL.map(EventKind::as_str)));
}

#[tokio::test]
async fn the_secret_is_shown_once_and_signs() {
    let world = World::new();
    let (id, secret) = world.webhook().await;
    let path = format!("/api/webhooks/{id}");
    for path in [&path, "/api/webhooks"] {
        let shown = world.send(alice(), Method::GET, path, None).await;
        assert_eq!(shown.status, StatusCode::OK);
        assert!(shown.text.contains(&id) && !shown.text.contains("whsec_"), "{}", shown.text);
    }
    let sent = world.send(alice(), Method::POST, &format!("{path}/test"), None).await;
    assert_eq!(sent.status, StatusCode::ACCEPTED, "{}", sent.text);
    let [delivery] = &world.deliveries.take()[..] else { panic!("one delivery") };
    assert_eq!(sent.json()["delivery"], delivery.id.as_str());
    let event: Value = serde_json::from_str(&delivery.body).unwrap();
    assert_eq!((&event["type"], &event["data"]["webhook"]), (&json!("lambel.webhook.test"), &json!(id)));

    // Rotated, the first secret signs for a day more, and neither is shown again.
    let rotated = world.send(alice(), Method::POST, &format!("{path}/secret"), None).await.json();
    let second = rotated["secret"].as_str().unwrap();
    assert_ne!(second, secret);
    assert!(rotated["previous_secret_until"].is_string());
    let webhook = world.webhooks.webhook(id.parse().unwrap()).await.unwrap().unwrap();
    let now = world.clock.now();
    let signatures = webhook.signatures(&delivery.id, now, &delivery.body);
    for text in [second, &secret] {
        let secret: Secret = text.parse().unwrap();
        let signature = secret.sign(delivery.id.as_str(), seconds(now), &delivery.body);
        assert!(signatures.split(' ').any(|one| one == signature));
    }
    let shown = world.send(alice(), Method::GET, &path, None).await;
    assert!(!shown.text.contains("whsec_"));
    assert!(!world.stored().contains(second), "not even where everything is printed");
}

#[tokio::test]
async fn a_webhook_is_its_owners_and_for_others_there_is_none() {
    let world = World::new();
    let task = world.task().await;
    let (id, _) = world.webhook().await;
    let of_task = format!("/api/tasks/{task}/webhooks");
    let made = world.send(alice(), Method::POST, &of_task, Some(body())).await;
    assert_eq!((made.status, &made.json()["task"]), (StatusCode::CREATED, &json!(task)));
    let listed = |answer: Answer| answer.json()["webhooks"].as_array().unwrap().len();
    assert_eq!(listed(world.send(alice(), Method::GET, &of_task, None).await), 1);
    assert_eq!(listed(world.send(alice(), Method::GET, "/api/webhooks", None).await), 1);
    assert_eq!(listed(world.send(mallory(), Method::GET, "/api/webhooks", None).await), 0);

    let nobodys = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";
    for (method, rest, body) in [
        (Method::GET, "", None),
        (Method::PATCH, "", Some(json!({"url": "https://mallory.example.org/"}))),
        (Method::DELETE, "", None),
        (Method::POST, "/secret", None),
        (Method::POST, "/test", None),
        (Method::GET, "/deliveries", None),
        (Method::POST, "/redeliveries", Some(json!({}))),
    ] {
        let ask = async |who: Option<Caller>, id: &str| {
            let path = format!("/api/webhooks/{id}{rest}");
            let answer = world.send(who, method.clone(), &path, body.clone()).await;
            (answer.status.as_u16(), answer.problem(), answer.text)
        };
        let theirs = ask(mallory(), &id).await;
        assert_eq!((theirs.0, theirs.1.as_str()), (404, "webhook-not-found"), "{method} {rest}");
        assert_eq!(theirs, ask(mallory(), nobodys).await, "it answers as one that does not exist");
        assert_eq!(ask(operator(1), &id).await.0, 403);
    }
    for method in [Method::GET, Method::POST] {
        let answer = world.send(mallory(), method, &of_task, Some(body())).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "task-not-found"));
    }
    assert!(world.deliveries.take().is_empty());
    let seen = world.send(admin(), Method::GET, &format!("/api/webhooks/{id}"), None).await;
    assert_eq!(seen.status, StatusCode::OK, "an admin sees it");
    let gone = world.send(alice(), Method::DELETE, &format!("/api/webhooks/{id}"), None).await;
    assert_eq!(gone.status, StatusCode::OK);
    let again = world.send(alice(), Method::DELETE, &format!("/api/webhooks/{id}"), None).await;
    assert_eq!(again.problem(), "webhook-not-found");
}

#[tokio::test]
async fn there_are_ten_and_no_more() {
    let world = World::new();
    for _ in 0..10 {
        world.webhook().await;
    }
    let answer = world.send(alice(), Method::POST, "/api/webhooks", Some(body())).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (409, "too-many-webhooks"));
    let task = world.task().await;
    let answer = world.send(alice(), Method::POST, &format!("/api/tasks/{task}/webhooks"), Some(body())).await;
    assert_eq!(answer.status, StatusCode::CREATED, "a task has ten of its own");
}

#[tokio::test]
async fn a_webhook_is_changed_and_switched_off_and_on() {
    let world = World::new();
    let (id, _) = world.webhook().await;
    let path = format!("/api/webhooks/{id}");
    let change = async |body: Value| world.send(alice(), Method::PATCH, &path, Some(body)).await.json();
    let off = change(json!({"enabled": false})).await;
    assert_eq!((&off["enabled"], &off["disabled_because"]), (&json!(false), &json!("by hand")));
    let answer = world.send(alice(), Method::POST, &format!("{path}/redeliveries"), Some(json!({}))).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (409, "conflict"));
    let on = change(json!({"enabled": true, "url": "https://hooks.example.org/b", "kinds": ["task.cancelled"]})).await;
    assert_eq!((&on["enabled"], &on["url"]), (&json!(true), &json!("https://hooks.example.org/b")));
    assert_eq!(on["kinds"], json!(["task.cancelled"]));
    let before = world.stored();
    assert_eq!(change(json!({})).await, on);
    assert_eq!(world.stored(), before, "nothing to change is no change");
}

#[tokio::test]
async fn what_is_dead_is_sent_again_by_hand() {
    let world = World::new();
    let path = world.deliveries_of_some_events().await;
    let log = world.send(alice(), Method::GET, &path, None).await.json();
    let attempts = log["attempts"].as_array().unwrap();
    let of = |outcome: &str| attempts.iter().filter(|one| one["outcome"] == outcome).count();
    assert_eq!((of("dead"), of("failed"), of("delivered")), (2, 1, 1));
    let again = path.replace("/deliveries", "/redeliveries");
    let answer = world.send(alice(), Method::POST, &again, Some(json!({}))).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({"sent": 1})));
    let [delivery] = &world.deliveries.take()[..] else { panic!("one delivery") };
    assert_eq!((delivery.tried, delivery.due, delivery.event.as_str()), (0, world.clock.now(), "t/3"));

    // A test that failed is not sent again by itself, and whatever has a name is.
    for id in [attempts[0]["delivery"].as_str().unwrap(), attempts[3]["delivery"].as_str().unwrap()] {
        let answer = world.send(alice(), Method::POST, &again, Some(json!({"delivery": id}))).await;
        assert_eq!(answer.json(), json!({"sent": 1}));
        assert_eq!(world.deliveries.take()[0].id.as_str(), id);
    }
    let unknown = json!({"delivery": format!("msg_{}", "0".repeat(36))});
    let answer = world.send(alice(), Method::POST, &again, Some(unknown)).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "delivery-not-found"));
    assert_eq!(world.send(alice(), Method::POST, &again, Some(json!({"delivery": "x"}))).await.problem(), "invalid");
}

#[tokio::test]
async fn many_dead_ones_are_sent_again_page_by_page_each_once() {
    let world = World::new();
    let path = world.deliveries_of_some_events().await;
    let id = path.split('/').nth(3).unwrap().parse().unwrap();
    let one: Attempt = world.webhooks.attempts(id, None, 1_000).await.unwrap().remove(0);
    for n in 10..260 {
        // Each was tried twice: the last attempt says how it stands.
        for outcome in [Outcome::Failed, Outcome::Dead] {
            let attempt = world.attempt(&one.delivery.webhook.to_string(), n, "task.complete", outcome);
            world.webhooks.log_attempt(&attempt).await.unwrap();
        }
    }
    let again = path.replace("/deliveries", "/redeliveries");
    let (mut sent, mut cursor, mut calls) = (Vec::new(), Value::Null, 0);
    loop {
        let body = if cursor.is_null() { json!({}) } else { json!({ "cursor": cursor }) };
        let answer = world.send(alice(), Method::POST, &again, Some(body)).await.json();
        sent.extend(world.deliveries.take().into_iter().map(|delivery| delivery.event));
        calls += 1;
        cursor = answer["next"].clone();
        if cursor.is_null() {
            break;
        }
    }
    sent.sort();
    sent.dedup();
    assert_eq!((sent.len(), calls), (251, 3));
}
