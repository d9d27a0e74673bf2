//! The samples in `events/` are what the functions take: each is read as its function reads it.

use std::{fs, path::Path};

use lambel_aws::{events, inbox};
use lambel_core::{
    event::{CloudEvent, CommitRequest, LastBatchWanted, NewSubtasks, SubtaskEnded, TaskChanged},
    webhook::{Delivery, DeliveryId},
};
use lambel_service::{ports::ExportStep, publish::Change};
use serde::de::DeserializeOwned;

fn sample<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bodies(name: &str) -> Vec<String> {
    inbox::messages(sample(name)).into_iter().map(|message| message.body).collect()
}

#[test]
fn uploads() {
    let uploads = |name: &str| -> usize {
        bodies(name).iter().map(|body| events::uploads(body).expect("an event of S3").len()).sum()
    };
    assert!(uploads("sqs-s3-object-created.json") > 0);
    assert_eq!(uploads("sqs-s3-test.json"), 0);
}

#[test]
fn new_subtasks() {
    for body in bodies("sqs-new-subtasks.json") {
        let message: NewSubtasks = serde_json::from_str(&body).expect("a message");
        assert!(!message.images.is_empty());
        assert_eq!(serde_json::to_value(&message).ok(), serde_json::from_str(&body).ok(), "and nothing else");
    }
}

#[test]
fn task_progress() {
    for body in bodies("sqs-task-progress.json") {
        let event: CloudEvent<SubtaskEnded> = serde_json::from_str(&body).expect("an event");
        assert_eq!(serde_json::to_value(&event).ok(), serde_json::from_str(&body).ok(), "and nothing else");
    }
}

#[test]
fn webhooks() {
    let messages = inbox::messages(sample("sqs-webhooks.json"));
    for message in &messages {
        let event: CloudEvent<serde_json::Value> = serde_json::from_str(&message.body).expect("an event");
        assert!(message.attributes.contains_key("owner"), "{}", event.id);
    }
    for body in bodies("sqs-webhook-deliveries.json") {
        let delivery: Delivery = serde_json::from_str(&body).expect("a delivery");
        assert_eq!(serde_json::to_value(&delivery).ok(), serde_json::from_str(&body).ok(), "and nothing else");
        let event: CloudEvent<serde_json::Value> = serde_json::from_str(&delivery.body).expect("an event");
        assert_eq!(delivery.id, DeliveryId::of(delivery.webhook, &event.id, event.time));
    }
}

#[test]
fn exports() {
    for body in bodies("sqs-exports.json") {
        let step: ExportStep = serde_json::from_str(&body).expect("a step");
        assert_eq!(serde_json::to_value(&step).ok(), serde_json::from_str(&body).ok(), "and nothing else");
    }
}

#[test]
fn commits() {
    let bodies = bodies("sqs-commits.json");
    let ended: CloudEvent<TaskChanged> = serde_json::from_str(&bodies[0]).expect("an event");
    assert_eq!(serde_json::to_value(&ended).ok(), serde_json::from_str(&bodies[0]).ok(), "and nothing else");
    let request: CommitRequest = serde_json::from_str(&bodies[1]).expect("a request");
    assert_eq!(serde_json::to_value(&request).ok(), serde_json::from_str(&bodies[1]).ok(), "and nothing else");
}

#[test]
fn moves_of_branches() {
    let changes = events::changes(sample("stream-refs.json")).expect("changes");
    let [Change::Branch { branch, moved, .. }] = &changes[..] else { panic!("one move: {changes:?}") };
    assert_eq!((branch.as_str(), moved.seq, moved.from), ("live", 1, None));
}

#[test]
fn estimates() {
    for body in bodies("sqs-estimates.json") {
        let wanted: LastBatchWanted = serde_json::from_str(&body).expect("a message");
        assert_eq!(serde_json::to_value(wanted).ok(), serde_json::from_str(&body).ok(), "and nothing else");
    }
}

#[test]
fn streams() {
    for (name, tasks) in [("stream-subtasks.json", false), ("stream-tasks.json", true)] {
        let changes = events::changes(sample(name)).expect("changes");
        assert!(!changes.is_empty(), "{name}");
        assert!(changes.iter().all(|change| matches!(change, Change::Task { .. }) == tasks), "{name}");
    }
}
