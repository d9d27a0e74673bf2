//! What AWS's events look like, read into what the use cases take.

use aws_lambda_events::{
    dynamodb,
    s3::S3Event,
    sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage},
};
use lambel_core::{SubtaskState, TaskState};
use lambel_service::{
    ports::{ObjectKey, StoreError, StoreResult},
    publish::Change,
};
use percent_encoding::percent_decode_str;

use crate::dynamo::items;

/// The messages of a batch: id and body.
pub fn messages(event: SqsEvent) -> Vec<(String, String)> {
    let message = |record: SqsMessage| (record.message_id.unwrap_or_default(), record.body.unwrap_or_default());
    event.records.into_iter().map(message).collect()
}

/// The answer that names the messages that must come back.
pub fn come_back(ids: impl IntoIterator<Item = String>) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    response.batch_item_failures.extend(ids.into_iter().map(|id| {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id;
        failure
    }));
    response
}

/// Says that a message could not be dealt with.
pub fn log_failure(id: &str, error: &dyn std::fmt::Display) {
    tracing::warn!(message.id = id, %error, "message comes back");
}

/// The uploads that the body of a message of the queue `uploads` names. S3 also sends a test event when the
/// notification is set up; it names none.
pub fn uploads(body: &str) -> Result<Vec<ObjectKey>, serde_json::Error> {
    #[derive(serde::Deserialize)]
    struct TestEvent {
        #[serde(rename = "Event")]
        event: String,
    }
    if serde_json::from_str::<TestEvent>(body).is_ok_and(|test| test.event == "s3:TestEvent") {
        return Ok(Vec::new());
    }
    let event: S3Event = serde_json::from_str(body)?;
    let keys = event.records.into_iter().filter_map(|record| record.s3.object.key);
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
        assert!(uploads("not json").is_err());
    }
}
