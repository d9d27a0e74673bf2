//! What AWS's events look like, read into what the use cases take.

use aws_lambda_events::dynamodb;
use lambel_core::{SubtaskState, TaskState};
use lambel_service::{
    ports::{ObjectKey, StoreError, StoreResult},
    publish::Change,
};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::dynamo::items;

/// What S3 writes to the queue: of its many fields those that are needed.
#[derive(Deserialize)]
#[serde(untagged)]
enum Notification {
    Uploads {
        #[serde(rename = "Records")]
        records: Vec<Record>,
    },
    Test {
        #[serde(rename = "Event")]
        event: String,
    },
}

#[derive(Deserialize)]
struct Record {
    s3: Entity,
}

#[derive(Deserialize)]
struct Entity {
    object: Object,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

/// The uploads that the body of a message of the queue `uploads` names. S3 also sends a test event when the
/// notification is set up; it names none.
pub fn uploads(body: &str) -> Result<Vec<ObjectKey>, serde_json::Error> {
    let records = match serde_json::from_str(body)? {
        Notification::Uploads { records } => records,
        Notification::Test { event } if event == "s3:TestEvent" => Vec::new(),
        Notification::Test { event } => return Err(serde::de::Error::custom(format!("unknown event {event}"))),
    };
    let keys = records.into_iter().map(|record| record.s3.object.key);
    let parsed = keys.filter_map(|encoded| {
        // S3 writes keys as forms do: `+` is a space, and `%` begins a byte.
        let plain = encoded.replace('+', " ");
        let key = ObjectKey::parse(&percent_decode_str(&plain).decode_utf8_lossy());
        if key.is_none() {
            tracing::warn!(object.key = encoded, "object left alone: its key is not `task/image`");
        }
        key
    });
    Ok(parsed.collect())
}

/// The changes that a batch of a stream carries. Removals are none.
pub fn changes(event: dynamodb::Event) -> StoreResult<Vec<Change>> {
    let changes = event.records.into_iter().map(|record| change(record.change));
    changes.filter_map(Result::transpose).collect()
}

fn change(record: dynamodb::StreamRecord) -> StoreResult<Option<Change>> {
    if record.new_image.is_empty() {
        return Ok(None);
    }
    let after: std::collections::HashMap<_, _> = record.new_image.into();
    let text = |item: &std::collections::HashMap<String, aws_sdk_dynamodb::types::AttributeValue>, name: &str| {
        Some(item.get(name)?.as_s().ok()?.clone())
    };
    let before: std::collections::HashMap<_, _> = record.old_image.into();
    let before = text(&before, "state");
    let named = |name: &str| serde_json::Value::String(name.to_owned());
    let unreadable = |error: serde_json::Error| StoreError::Failed(format!("stream record cannot be read: {error}"));
    if text(&after, "sk").is_some_and(|sk| sk.starts_with("LOG#")) {
        let (task, branch, moved) = items::read_logged(after)?;
        return Ok(Some(Change::Branch { task, branch, moved: Box::new(moved) }));
    }
    match (text(&after, "sk").as_deref(), text(&after, "state").is_some()) {
        (Some("META"), _) => {
            let before: Option<TaskState> =
                before.map(|name| serde_json::from_value(named(&name))).transpose().map_err(unreadable)?;
            Ok(Some(Change::Task { before, after: Box::new(items::read_task(after)?) }))
        }
        (_, true) => {
            let before: Option<SubtaskState> =
                before.map(|name| serde_json::from_value(named(&name))).transpose().map_err(unreadable)?;
            Ok(Some(Change::Subtask { before, after: Box::new(items::read_subtask(after)?) }))
        }
        // Counters, lists, files, operators' records: no news in them.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_event_names_no_upload() {
        let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-21T08:00:00.000Z","Bucket":"b"}"#;
        assert_eq!(uploads(body).unwrap(), []);
    }

    #[test]
    fn keys_are_decoded_and_strange_ones_left_alone() {
        let image = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let task = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";
        let record = |key: &str| {
            format!(
                r#"{{"eventName":"ObjectCreated:Put","s3":{{"bucket":{{"name":"b"}},"object":{{"key":"{key}","size":1}}}}}}"#
            )
        };
        let records = [format!("{task}/{image}"), format!("{task}%2F{image}"), "other+file.png".to_owned()];
        let body = format!(r#"{{"Records":[{}]}}"#, records.map(|key| record(&key)).join(","));
        let expected = ObjectKey { task: task.parse().unwrap(), image: image.parse().unwrap() };
        assert_eq!(uploads(&body).unwrap(), [expected, expected]);
        for poison in ["not json", "{}", r#"{"Records":[{}]}"#, r#"{"Event":"s3:Other"}"#] {
            assert!(uploads(poison).is_err(), "{poison}");
        }
    }
}
