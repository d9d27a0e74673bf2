//! A queue of dead letters: looked into without taking anything out, and emptied message by message.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use lambel_core::Timestamp;
use lambel_service::ports::StoreResult;

use crate::{errors::sort, settings::Aws};

/// How long a message that was looked at is hidden from other readers, in seconds: as long as somebody may need to
/// decide about it.
const HIDDEN: i32 = 30;
/// Messages of one request.
const BATCH: i32 = 10;
/// Requests that may find nothing, one after the other: a queue is spread over machines, and one request asks some.
const EMPTY_ANSWERS: u32 = 3;

/// A dead letter.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The id of the message.
    pub id: String,
    /// When it was first sent.
    pub sent: Option<Timestamp>,
    /// How often it was received, in its own queue and here.
    pub receives: u32,
    /// Its body.
    pub body: String,
    attributes: HashMap<String, MessageAttributeValue>,
    receipt: String,
}

/// A queue of dead letters.
#[derive(Clone, Debug)]
pub struct DeadLetterQueue {
    client: aws_sdk_sqs::Client,
    /// Its address.
    url: String,
    /// The address of the queue that its messages come from, if they come from one.
    source: Option<String>,
}

impl DeadLetterQueue {
    /// The queue at this address, with the queue that its messages come from.
    pub fn new(aws: &Aws, url: impl Into<String>, source: Option<String>) -> Self {
        Self { client: aws_sdk_sqs::Client::new(aws.config()), url: url.into(), source }
    }

    /// How many messages there are, about: those that somebody looks at just now among them.
    pub async fn count(&self) -> StoreResult<u64> {
        use QueueAttributeName::{ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible};
        let request = self.client.get_queue_attributes().queue_url(&self.url);
        let request =
            request.attribute_names(ApproximateNumberOfMessages).attribute_names(ApproximateNumberOfMessagesNotVisible);
        let answer = request.send().await.map_err(|error| sort("GetQueueAttributes", error))?;
        let numbers = answer.attributes.unwrap_or_default();
        Ok(numbers.values().filter_map(|number| number.parse::<u64>().ok()).sum())
    }

    /// So many messages at most. They stay where they are, hidden from other readers for half a minute.
    pub async fn look(&self, most: usize) -> StoreResult<Vec<DeadLetter>> {
        let mut found: BTreeMap<String, DeadLetter> = BTreeMap::new();
        let mut empty = 0;
        while found.len() < most && empty < EMPTY_ANSWERS {
            let wanted = i32::try_from(most - found.len()).unwrap_or(BATCH).min(BATCH);
            let request = self.client.receive_message().queue_url(&self.url).max_number_of_messages(wanted);
            let request =
                request.visibility_timeout(HIDDEN).message_system_attribute_names(MessageSystemAttributeName::All);
            let request = request.message_attribute_names("All");
            let answer = request.send().await.map_err(|error| sort("ReceiveMessage", error))?;
            let before = found.len();
            for message in answer.messages.unwrap_or_default() {
                let attributes = message.attributes.unwrap_or_default();
                let number = |name: MessageSystemAttributeName| attributes.get(&name)?.parse::<i64>().ok();
                let id = message.message_id.unwrap_or_default();
                let letter = DeadLetter {
                    sent: number(MessageSystemAttributeName::SentTimestamp).map(Timestamp::from_millis),
                    receives: number(MessageSystemAttributeName::ApproximateReceiveCount)
                        .and_then(|receives| u32::try_from(receives).ok())
                        .unwrap_or(1),
                    attributes: message.message_attributes.unwrap_or_default(),
                    body: message.body.unwrap_or_default(),
                    receipt: message.receipt_handle.unwrap_or_default(),
                    id: id.clone(),
                };
                found.insert(id, letter);
            }
            empty = if found.len() == before { empty + 1 } else { 0 };
        }
        Ok(found.into_values().collect())
    }

    /// Sends a message back to where it came from, with its attributes, and takes it out here. Stopped in between, it is in both: then it
    /// is dealt with twice, which changes nothing. False, and nothing done, if it came from no queue.
    pub async fn send_back(&self, letter: &DeadLetter) -> StoreResult<bool> {
        let Some(source) = &self.source else { return Ok(false) };
        let request = self.client.send_message().queue_url(source).message_body(&letter.body);
        let attributes = Some(letter.attributes.clone()).filter(|attributes| !attributes.is_empty());
        let request = request.set_message_attributes(attributes);
        request.send().await.map_err(|error| sort("SendMessage", error))?;
        self.discard(letter).await?;
        Ok(true)
    }

    /// Takes a message out, for good.
    pub async fn discard(&self, letter: &DeadLetter) -> StoreResult<()> {
        let request = self.client.delete_message().queue_url(&self.url).receipt_handle(&letter.receipt);
        request.send().await.map_err(|error| sort("DeleteMessage", error))?;
        Ok(())
    }
}
