//! The queues on SQS, the topics on SNS.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::event::{CommitRequest, Event, NewSubtasks};
use lambel_service::ports::{CommitQueue, Messages, ObjectKey, StoreError, StoreResult};

use crate::{errors::sort, settings::Aws};

/// Events of one request.
const BATCH: usize = 10;
/// Bytes of one request: 256 KiB are the most, attributes and all.
const BATCH_BYTES: usize = 200_000;
/// Requests under way at the same time.
const AT_ONCE: usize = 4;

/// The queues on SQS, the topics on SNS.
#[derive(Clone, Debug)]
pub struct AwsMessages {
    sqs: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
    addresses: Addresses,
}

/// Where messages go. A function that does not send to one of them leaves it empty.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// The address of the queue `uploads`.
    pub uploads_queue: String,
    /// The address of the queue `new-subtasks`.
    pub new_subtasks_queue: String,
    /// The ARN of the topic `subtask-completed`.
    pub subtask_topic: String,
    /// The ARN of the topic `task-completed`.
    pub task_topic: String,
    /// The ARN of the topic `dataset-moved`.
    pub dataset_topic: String,
    /// The address of the queue `commits`.
    pub commits_queue: String,
}

impl AwsMessages {
    /// The queues and topics at these addresses.
    pub fn new(aws: &Aws, addresses: Addresses) -> Self {
        Self { sqs: aws_sdk_sqs::Client::new(aws.config()), sns: aws_sdk_sns::Client::new(aws.config()), addresses }
    }

    async fn publish_batch(&self, topic: &str, batch: Vec<PublishBatchRequestEntry>) -> StoreResult<()> {
        let request = self.sns.publish_batch().topic_arn(topic).set_publish_batch_request_entries(Some(batch));
        let output = request.send().await.map_err(|error| sort("PublishBatch", error))?;
        match output.failed().first() {
            None => Ok(()),
            Some(failed) => Err(StoreError::Busy(format!("PublishBatch: {}", failed.code()))),
        }
    }
}

/// What S3 says of an upload, as far as anybody here reads it.
fn upload_notice(key: ObjectKey) -> String {
    serde_json::json!({"Records": [{"eventName": "ObjectCreated:Again", "s3": {"object": {"key": key.to_string()}}}]})
        .to_string()
}

fn entry(place: usize, event: &Event) -> StoreResult<(usize, PublishBatchRequestEntry)> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Failed(format!("event cannot be written: {error}"));
    let text = |value: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(value).build().map_err(|error| failed(&error))
    };
    let attributes = event.attributes();
    let body = event.body().map_err(|error| failed(&error))?;
    let length = body.len() + 256;
    let entry = PublishBatchRequestEntry::builder()
        .id(place.to_string())
        .message(body)
        .message_attributes("task", text(&attributes.task.to_string())?)
        .message_attributes("owner", text(attributes.owner.as_str())?)
        .message_attributes("kind", text(attributes.kind)?)
        .build()
        .map_err(|error| failed(&error))?;
    Ok((length, entry))
}

#[async_trait]
impl Messages for AwsMessages {
    async fn send_new_subtasks(&self, body: &NewSubtasks) -> StoreResult<()> {
        let body = serde_json::to_string(body).map_err(|error| StoreError::Failed(error.to_string()))?;
        let request = self.sqs.send_message().queue_url(&self.addresses.new_subtasks_queue).message_body(body);
        request.send().await.map_err(|error| sort("SendMessage", error))?;
        Ok(())
    }

    async fn send_uploads(&self, keys: &[ObjectKey]) -> StoreResult<()> {
        for chunk in keys.chunks(BATCH) {
            let entries: Result<Vec<_>, _> = chunk
                .iter()
                .enumerate()
                .map(|(place, key)| {
                    let entry = SendMessageBatchRequestEntry::builder().id(place.to_string());
                    entry.message_body(upload_notice(*key)).build()
                })
                .collect();
            let entries = entries.map_err(|error| StoreError::Failed(error.to_string()))?;
            let request = self.sqs.send_message_batch().queue_url(&self.addresses.uploads_queue);
            let sent = request.set_entries(Some(entries)).send().await;
            let sent = sent.map_err(|error| sort("SendMessageBatch", error))?;
            if let Some(failed) = sent.failed().first() {
                return Err(StoreError::Busy(format!("SendMessageBatch: {}", failed.code())));
            }
        }
        Ok(())
    }

    async fn publish(&self, events: &[Event]) -> StoreResult<()> {
        let mut by_topic: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let topic = match event {
                Event::Subtask(..) => &self.addresses.subtask_topic,
                Event::Task(..) => &self.addresses.task_topic,
                Event::Dataset(..) => &self.addresses.dataset_topic,
            };
            by_topic.entry(topic).or_default().push(event);
        }
        let mut batches = Vec::new();
        for (topic, events) in by_topic {
            let mut batch = Vec::new();
            let mut bytes = 0;
            for (place, event) in events.into_iter().enumerate() {
                let (length, entry) = entry(place, event)?;
                if batch.len() == BATCH || (bytes + length > BATCH_BYTES && !batch.is_empty()) {
                    batches.push((topic, std::mem::take(&mut batch)));
                    bytes = 0;
                }
                bytes += length;
                batch.push(entry);
            }
            batches.push((topic, batch));
        }
        let sends: Vec<_> = batches.into_iter().map(|(topic, batch)| self.publish_batch(topic, batch)).collect();
        stream::iter(sends).buffer_unordered(AT_ONCE).try_collect().await
    }
}

#[async_trait]
impl CommitQueue for AwsMessages {
    async fn ask(&self, request: &CommitRequest) -> StoreResult<()> {
        let body = serde_json::to_string(request).map_err(|error| StoreError::Failed(error.to_string()))?;
        let message = self.sqs.send_message().queue_url(&self.addresses.commits_queue).message_body(body);
        message.send().await.map_err(|error| sort("SendMessage", error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_that_we_send_reads_like_one_of_s3() {
        let key = ObjectKey { task: lambel_core::TaskId::random(), image: lambel_core::ImageId::of(b"x") };
        assert_eq!(crate::events::uploads(&upload_notice(key)).unwrap(), [key]);
    }
}
