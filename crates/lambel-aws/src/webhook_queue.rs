//! The queue of deliveries on SQS.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use lambel_core::{Timestamp, webhook::Delivery};
use lambel_service::ports::{StoreError, StoreResult, WebhookQueue};

use crate::{errors::sort, settings::Aws};

/// Messages of one request.
const BATCH: usize = 10;
/// Bytes of one request: 256 KiB are the most.
const BATCH_BYTES: usize = 200_000;
/// As long as SQS can keep a message back. What is due later comes before, and is sent once more.
const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// The queue of deliveries on SQS.
#[derive(Clone, Debug)]
pub struct SqsWebhookQueue {
    client: aws_sdk_sqs::Client,
    queue: String,
}

impl SqsWebhookQueue {
    /// The queue at this address.
    pub fn new(aws: &Aws, queue: impl Into<String>) -> Self {
        Self { client: aws_sdk_sqs::Client::new(aws.config()), queue: queue.into() }
    }

    async fn send(&self, entries: Vec<SendMessageBatchRequestEntry>) -> StoreResult<()> {
        let request = self.client.send_message_batch().queue_url(&self.queue).set_entries(Some(entries));
        let sent = request.send().await.map_err(|error| sort("SendMessageBatch", error))?;
        match sent.failed().first() {
            Some(failed) => Err(StoreError::Busy(format!("SendMessageBatch: {}", failed.code()))),
            None => Ok(()),
        }
    }
}

/// How long SQS is to keep a message back, in whole seconds.
fn delay(due: Timestamp, now: Timestamp) -> i32 {
    let wait = now.until(due).min(LONGEST_DELAY);
    i32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or_default()
}

#[async_trait]
impl WebhookQueue for SqsWebhookQueue {
    async fn send_deliveries(&self, deliveries: &[Delivery], now: Timestamp) -> StoreResult<()> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(format!("delivery cannot be written: {error}"));
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (place, delivery) in deliveries.iter().enumerate() {
            let body = serde_json::to_string(delivery).map_err(|error| failed(&error))?;
            if entries.len() == BATCH || (bytes + body.len() > BATCH_BYTES && !entries.is_empty()) {
                self.send(std::mem::take(&mut entries)).await?;
                bytes = 0;
            }
            bytes += body.len();
            let entry = SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(body)
                .delay_seconds(delay(delivery.due, now))
                // In a standard queue it makes for fairness between groups: a target with many messages does not
                // keep others waiting.
                .message_group_id(delivery.webhook.to_string());
            entries.push(entry.build().map_err(|error| failed(&error))?);
        }
        match entries.is_empty() {
            true => Ok(()),
            false => self.send(entries).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_kept_back_as_long_as_the_queue_can() {
        let now = Timestamp::from_millis(1_000_000);
        let after = |millis: u64| delay(now.plus(Duration::from_millis(millis)), now);
        assert_eq!([0, 1, 5_000, 5_001, 900_000, 3_600_000].map(after), [0, 1, 5, 6, 900, 900]);
        assert_eq!(delay(Timestamp::from_millis(5), now), 0, "what is late goes at once");
    }
}
