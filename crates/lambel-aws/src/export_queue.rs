//! The queue `exports` on SQS.

use async_trait::async_trait;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use lambel_service::ports::{ExportQueue, ExportStep, StoreError, StoreResult};

use crate::{errors::sort, settings::Aws};

/// Messages of one request.
const BATCH: usize = 10;

/// The queue `exports` on SQS.
#[derive(Clone, Debug)]
pub struct SqsExportQueue {
    client: aws_sdk_sqs::Client,
    queue: String,
}

impl SqsExportQueue {
    /// The queue at this address.
    pub fn new(aws: &Aws, queue: impl Into<String>) -> Self {
        Self { client: aws_sdk_sqs::Client::new(aws.config()), queue: queue.into() }
    }
}

#[async_trait]
impl ExportQueue for SqsExportQueue {
    async fn send(&self, steps: &[ExportStep]) -> StoreResult<()> {
        let failed = |error: &dyn std::fmt::Display| StoreError::Failed(format!("step cannot be sent: {error}"));
        for batch in steps.chunks(BATCH) {
            let mut entries = Vec::with_capacity(batch.len());
            for (place, step) in batch.iter().enumerate() {
                let body = serde_json::to_string(step).map_err(|error| failed(&error))?;
                let entry = SendMessageBatchRequestEntry::builder().id(place.to_string()).message_body(body);
                entries.push(entry.build().map_err(|error| failed(&error))?);
            }
            let request = self.client.send_message_batch().queue_url(&self.queue).set_entries(Some(entries));
            let sent = request.send().await.map_err(|error| sort("SendMessageBatch", error))?;
            if let Some(failed) = sent.failed().first() {
                return Err(StoreError::Busy(format!("SendMessageBatch: {}", failed.code())));
            }
        }
        Ok(())
    }
}
