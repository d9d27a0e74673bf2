//! From an event to a target on this machine: what is sent, what is tried again, and what is said of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use lambel_core::{
    TaskId, TaskState,
    event::CloudEvent,
    webhook::{
        Delivery, Outcome, Scope, TEST, Webhook,
        schedule::{ATTEMPTS, LIFE, PATIENCE},
        target::TargetRules,
    },
};
use lambel_service::ports::{Clock, WebhookStore};
use support::{FakeTarget, LOCAL, World, all_tasks, answer, complete, event};

#[tokio::test]
async fn what_fails_twice_arrives_the_third_time_with_the_same_id() {
    let target = FakeTarget::answering(&[&answer(500, "oh \u{1b}[2Jno"), "", &answer(204, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    let (task, at) = (TaskId::random(), world.clock.now());
    let body = complete(task, 5);
    world.hear(std::slice::from_ref(&body)).await;
    for _ in 0..3 {
        world.send_next().await;
    }
    assert!(world.queue.take().is_empty(), "nothing is left to do");

    let got = target.got();
    assert_eq!(got.len(), 3);
    let mut moments = Vec::new();
    for request in &got {
        assert_eq!((request.path.as_str(), &request.body), ("/hook", &body));
        assert_eq!(request.headers["content-type"], "application/cloudevents+json; charset=utf-8");
        let (id, timestamp) = (&request.headers["webhook-id"], &request.headers["webhook-timestamp"]);
        assert_eq!(id, &got[0].headers["webhook-id"]);
        let timestamp: i64 = timestamp.parse().unwrap();
        assert_eq!(request.headers["webhook-signature"], webhook.secret.sign(id, timestamp, &body));
        moments.push(timestamp);
    }
    let waits = [moments[1] - moments[0], moments[2] - moments[1]];
    assert!((4..=6).contains(&waits[0]) && (27..=34).contains(&waits[1]), "{waits:?}");
    assert!(moments[0] >= at.millis() / 1_000);

    let log = world.log(&webhook).await;
    let said: Vec<_> = log.iter().map(|entry| (entry.delivery.tried, entry.outcome, entry.status)).collect();
    let expected = [(3, Outcome::Delivered, Some(204)), (2, Outcome::Failed, None), (1, Outcome::Failed, Some(500))];
    assert_eq!(said, expected);
    assert_eq!(log[2].answer.as_deref(), Some("oh [2Jno"));
    assert_eq!(log[1].error.as_deref(), Some("no answer in time"));
    assert!(log.iter().all(|entry| entry.delivery.id.as_str() == got[0].headers["webhook-id"]));
    assert_eq!(world.stored(&webhook).await.failing_since, None, "it does not fail any more");
}

#[tokio::test]
async fn each_webhook_hears_what_it_asked_for_and_no_more() {
    let target = FakeTarget::answering(&[&answer(200, "")]).await;
    let world = World::new(LOCAL);
    let (task, other) = (TaskId::random(), TaskId::random());
    let of_all = world.webhook(all_tasks(), &target.url).await;
    let of_task = world.webhook(Scope::Task(task), &target.url).await;
    let of_somebody = world.webhook(Scope::Owner("somebody".parse().unwrap()), &target.url).await;
    world
        .hear(&[
            complete(task, 1),
            event("task.cancelled", TaskState::Cancelled, other, 2),
            event("subtask.complete", TaskState::Open, task, 3),
            event("nothing.known", TaskState::Open, task, 4),
        ])
        .await;
    world.send(&world.queue.take()).await;
    assert_eq!(world.log(&of_all).await.len(), 2);
    assert_eq!(world.log(&of_task).await.len(), 1);
    assert_eq!(world.log(&of_somebody).await.len(), 0);
    assert_eq!(target.got().len(), 3);
}

#[tokio::test]
async fn events_out_of_order_and_twice_are_told_apart_by_their_ids() {
    let target = FakeTarget::answering(&[&answer(200, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    let (task, other) = (TaskId::random(), TaskId::random());
    let (early, late) = (complete(task, 10), complete(other, 20));
    // The later one comes first; SNS hands one over twice, and SQS a delivery.
    world.hear(&[late.clone(), early.clone(), late.clone()]).await;
    let deliveries = world.queue.take();
    world.send(&deliveries).await;
    world.send(&deliveries[..1]).await;
    let mut ids: Vec<_> =
        target.got().iter().map(|got| (got.headers["webhook-id"].clone(), got.body.clone())).collect();
    assert_eq!(ids.len(), 4);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.iter().map(|(_, body)| body).collect::<Vec<_>>(), [&early, &late], "by id they are in order");
    let log = world.log(&webhook).await;
    assert!(log.first().unwrap().delivery.body == late && log.last().unwrap().delivery.body == early);
}

#[tokio::test]
async fn after_a_day_it_is_given_up_and_stays_in_the_log() {
    let target = FakeTarget::answering(&[&answer(503, "later")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    world.hear(&[complete(TaskId::random(), 1)]).await;
    let begun = world.clock.now();
    for _ in 0..ATTEMPTS {
        world.send_next().await;
    }
    assert!(world.queue.take().is_empty());
    let log = world.log(&webhook).await;
    assert_eq!(log.len() as u32, ATTEMPTS);
    assert_eq!((log[0].outcome, log[0].next_at), (Outcome::Dead, None));
    assert!(log[1..].iter().all(|entry| entry.outcome == Outcome::Failed && entry.next_at.is_some()));
    let took = begun.until(world.clock.now());
    assert!(took > LIFE.mul_f64(0.85) && took < LIFE.mul_f64(1.15), "{took:?}");
    assert_eq!(world.stored(&webhook).await.failing_since, Some(begun));
}

#[tokio::test]
async fn who_is_gone_or_fails_for_days_is_told_nothing_more() {
    let gone = FakeTarget::answering(&[&answer(410, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &gone.url).await;
    world.hear(&[complete(TaskId::random(), 1), complete(TaskId::random(), 2)]).await;
    let deliveries = world.queue.take();
    world.send(&deliveries[..1]).await;
    let stored = world.stored(&webhook).await;
    assert!(stored.disabled.is_some_and(|(_, why)| why.contains("410")));
    // What is on its way already is not sent, and kept.
    world.send(&deliveries[1..]).await;
    assert_eq!(gone.got().len(), 1);
    let log = world.log(&webhook).await;
    assert_eq!(log.iter().map(|entry| entry.outcome).collect::<Vec<_>>(), [Outcome::Dead; 2]);
    assert!(log[0].error.as_deref().is_some_and(|error| error.contains("disabled")));
    world.hear(&[complete(TaskId::random(), 3)]).await;
    assert!(world.queue.take().is_empty());

    let failing = FakeTarget::answering(&[&answer(500, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &failing.url).await;
    for days in 0..=5 {
        assert_eq!(world.stored(&webhook).await.disabled, None, "after {days} days");
        world.hear(&[complete(TaskId::random(), days)]).await;
        world.send(&world.queue.take()).await;
        world.queue.take();
        world.clock.pass(PATIENCE / 5);
    }
    assert!(world.stored(&webhook).await.disabled.is_some_and(|(_, why)| why.contains("nothing but failures")));
}

#[tokio::test]
async fn redirects_are_not_followed_and_answers_are_cut() {
    let elsewhere = FakeTarget::answering(&[&answer(200, "")]).await;
    let redirect =
        format!("HTTP/1.1 307 X\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", elsewhere.url);
    let long = answer(400, &"ha ".repeat(1_000_000));
    let target = FakeTarget::answering(&[&redirect, &long]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    world.hear(&[complete(TaskId::random(), 1)]).await;
    world.send_next().await;
    world.send_next().await;
    assert!(elsewhere.got().is_empty());
    let log = world.log(&webhook).await;
    assert_eq!(log[1].status, Some(307));
    assert!(log[1].error.as_deref().is_some_and(|error| error.contains("redirects")));
    assert_eq!(log[0].status, Some(400));
    assert_eq!(log[0].answer.as_ref().map(String::len), Some(200));
}

#[tokio::test]
async fn private_addresses_are_not_called() {
    let target = FakeTarget::answering(&[&answer(200, "")]).await;
    let strict = World::new(TargetRules::default());
    let port = target.url.split([':', '/']).nth(4).unwrap();
    // As if they had been let in some other way than by the interface, which refuses all but the last.
    let urls = [
        target.url.clone(),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://2130706433:{port}/"),
        "https://127.0.0.1/".to_owned(),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://localhost/".to_owned(),
    ];
    for url in &urls {
        let webhook = strict.webhook(Scope::Task(TaskId::random()), url).await;
        let Scope::Task(task) = webhook.scope else { panic!("of a task") };
        strict.hear(&[complete(task, 1)]).await;
        strict.send_next().await;
        let log = strict.log(&webhook).await;
        assert_eq!((log[0].status, log[0].outcome), (None, Outcome::Failed), "{url}");
        strict.queue.take();
    }
    assert!(target.got().is_empty());
}

#[tokio::test]
async fn a_target_that_does_not_answer_holds_nobody_up() {
    let (silent, quick) = (FakeTarget::answering(&[""]).await, FakeTarget::answering(&[&answer(200, "")]).await);
    let world = World::new(LOCAL);
    let dead = world.webhook(all_tasks(), &silent.url).await;
    let task = TaskId::random();
    let alive = world.webhook(Scope::Task(task), &quick.url).await;
    let events: Vec<_> = (0..3).map(|n| complete(TaskId::random(), n)).collect();
    world.hear(&events).await;
    world.send(&world.queue.take()).await;
    assert_eq!(silent.got().len(), 3);
    world.queue.take();

    let begun = world.clock.now();
    world.hear(&(10..60).map(|n| complete(task, n)).collect::<Vec<_>>()).await;
    world.send(&world.queue.take()).await;
    assert_eq!((silent.got().len(), quick.got().len()), (3, 50), "the one that is silent was not asked again");
    let held = world.queue.take();
    assert_eq!(held.len(), 50);
    assert!(held.iter().all(|delivery| delivery.webhook == dead.id && delivery.tried == 0 && delivery.due > begun));
    assert_eq!(world.log(&alive).await.len(), 50);
    // A day later what was held back is given up. A pause is over by then; the first few are tried, then no more.
    world.clock.pass(LIFE + Duration::from_secs(1));
    for delivery in &held[..4] {
        world.send(std::slice::from_ref(delivery)).await;
    }
    let last = world.store.last_attempt(dead.id, &held[3].id).await.unwrap().unwrap();
    assert_eq!(last.outcome, Outcome::Dead);
    assert!(last.error.is_some_and(|error| error.contains("not tried")));
}

#[tokio::test]
async fn a_change_of_a_webhook_counts_after_ten_seconds_at_the_latest() {
    let target = FakeTarget::answering(&[&answer(200, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    world.hear(&[complete(TaskId::random(), 1)]).await;
    assert_eq!(world.queue.take().len(), 1);
    let off = Webhook { disabled: Some((world.clock.now(), "by hand".to_owned())), rev: 2, ..webhook };
    assert!(world.store.replace_webhook(&off).await.unwrap());
    world.clock.pass(Duration::from_secs(10));
    world.hear(&[complete(TaskId::random(), 2)]).await;
    assert!(world.queue.take().is_empty());
}

#[tokio::test]
async fn a_test_is_sent_once_also_to_a_webhook_that_is_disabled() {
    let target = FakeTarget::answering(&[&answer(500, "")]).await;
    let world = World::new(LOCAL);
    let webhook = world.webhook(all_tasks(), &target.url).await;
    let off = Webhook { disabled: Some((world.clock.now(), "by hand".to_owned())), rev: 2, ..webhook };
    assert!(world.store.replace_webhook(&off).await.unwrap());
    let event: CloudEvent<serde_json::Value> =
        serde_json::from_str(&event(TEST, TaskState::Open, TaskId::random(), 1)).unwrap();
    world.send(&[Delivery::new(&off, &event, "{}", world.clock.now())]).await;
    assert_eq!(target.got().len(), 1);
    assert!(world.queue.take().is_empty(), "it is not tried again");
    assert_eq!(world.log(&off).await[0].outcome, Outcome::Dead);
    assert_eq!(world.stored(&off).await, off, "and says nothing of how the target does");
}

#[tokio::test]
async fn a_queue_that_fails_brings_the_message_back() {
    let target = FakeTarget::answering(&[&answer(500, "")]).await;
    let world = World::new(LOCAL);
    world.webhook(all_tasks(), &target.url).await;
    world.hear(&[complete(TaskId::random(), 1)]).await;
    let deliveries = world.queue.take();
    world.queue.fail_next(1);
    let body = serde_json::to_string(&deliveries[0]).unwrap();
    let back = world.sender().deliver(&[&body, "{}"]).await;
    let mut places: Vec<_> = back.iter().map(|(place, _)| *place).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1]);
    world.send(&deliveries).await;
    let ids: Vec<_> = target.got().iter().map(|got| got.headers["webhook-id"].clone()).collect();
    assert_eq!(ids, [deliveries[0].id.as_str(); 2]);
}
