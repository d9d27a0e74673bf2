//! Messages of a queue, and what becomes of those that could not be dealt with.
//!
//! A function that names a message in its answer gets it again when its visibility ends. That is long, since
//! it has to cover the function's whole time-out, so the end is brought forward: at once for what can never be
//! dealt with, so that it lies in the dead-letter queue within seconds, and after a wait that doubles for what
//! may go better next time.

use std::collections::BTreeMap;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use aws_sdk_sqs::types::ChangeMessageVisibilityBatchRequestEntry;
use lambel_service::error::Comeback;

use crate::settings::Aws;

/// The first wait, in seconds.
const FIRST_WAIT: u32 = 2;
/// The longest wait, in seconds.
const LONGEST_WAIT: u32 = 600;
/// Messages of one request.
const BATCH: usize = 10;

/// A message as the function got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its attributes, as far as they are text.
    pub attributes: BTreeMap<String, String>,
    /// The name of the queue that it came from.
    queue: String,
    receipt: String,
    /// How often it was received, this time among them.
    receives: u32,
}

/// The messages of a batch.
pub fn messages(event: SqsEvent) -> Vec<Message> {
    let message = |record: SqsMessage| Message {
        receives: record.attributes.get("ApproximateReceiveCount").and_then(|n| n.parse().ok()).unwrap_or(1),
        queue: record.event_source_arn.as_deref().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default().to_owned(),
        attributes: record
            .message_attributes
            .into_iter()
            .filter_map(|(name, attribute)| Some((name, attribute.string_value?)))
            .collect(),
        id: record.message_id.unwrap_or_default(),
        body: record.body.unwrap_or_default(),
        receipt: record.receipt_handle.unwrap_or_default(),
    };
    event.records.into_iter().map(message).collect()
}

/// The queue that a function takes its messages from.
#[derive(Clone, Debug)]
pub struct Inbox {
    client: aws_sdk_sqs::Client,
    queue: String,
}

impl Inbox {
    /// The queue at this address.
    pub fn new(aws: &Aws, queue: impl Into<String>) -> Self {
        Self { client: aws_sdk_sqs::Client::new(aws.config()), queue: queue.into() }
    }

    /// Whether a message came from this queue.
    pub fn has_sent(&self, message: &Message) -> bool {
        self.queue.rsplit('/').next() == Some(message.queue.as_str())
    }

    /// The answer that names the messages that must come back. If the wait cannot be set they come back all
    /// the same, later.
    pub async fn come_back(&self, failed: impl IntoIterator<Item = (Message, Comeback)>) -> SqsBatchResponse {
        let failed: Vec<_> = failed.into_iter().collect();
        for chunk in failed.chunks(BATCH) {
            let entries: Result<Vec<_>, _> = chunk
                .iter()
                .enumerate()
                .map(|(place, (message, comeback))| {
                    ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(place.to_string())
                        .receipt_handle(&message.receipt)
                        .visibility_timeout(wait(*comeback, message.receives).cast_signed())
                        .build()
                })
                .collect();
            let Ok(entries) = entries else { continue };
            let request = self.client.change_message_visibility_batch().queue_url(&self.queue);
            if let Err(error) = request.set_entries(Some(entries)).send().await {
                tracing::warn!(error = %aws_sdk_sqs::error::DisplayErrorContext(error), "wait not set");
            }
        }
        let mut response = SqsBatchResponse::default();
        response.batch_item_failures.extend(failed.into_iter().map(|(message, comeback)| {
            tracing::warn!(message.id, message.receives, ?comeback, "message comes back");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = message.id;
            failure
        }));
        response
    }
}

/// How long a message stays away, in seconds.
fn wait(comeback: Comeback, receives: u32) -> u32 {
    match comeback {
        Comeback::Never => 0,
        Comeback::Later => FIRST_WAIT.saturating_mul(1 << receives.saturating_sub(1).min(16)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let waits = [1, 2, 3, 4, 10, 4_000_000_000].map(|receives| wait(Comeback::Later, receives));
        assert_eq!(waits, [2, 4, 8, 16, 600, 600]);
        assert_eq!(wait(Comeback::Never, 3), 0);
    }

    #[test]
    fn messages_are_read_with_what_their_answer_needs() {
        let event = serde_json::json!({"Records": [{
            "messageId": "m-1", "receiptHandle": "r-1", "body": "{}",
            "attributes": {"ApproximateReceiveCount": "3"},
            "messageAttributes": {"owner": {"dataType": "String", "stringValue": "anna"}},
            "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:webhooks",
        }]});
        let [message] = &messages(serde_json::from_value(event).unwrap())[..] else { panic!("one") };
        assert_eq!((message.id.as_str(), message.receives, message.receipt.as_str()), ("m-1", 3, "r-1"));
        assert_eq!((message.attributes["owner"].as_str(), message.queue.as_str()), ("anna", "webhooks"));
    }
}
