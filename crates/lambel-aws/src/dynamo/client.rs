//! Requests to DynamoDB: paging, batches, transactions, conflicts, and what they cost.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_sdk_dynamodb::{
    operation::{query::builders::QueryFluentBuilder, update_item::builders::UpdateItemFluentBuilder},
    types::{
        AttributeValue, CancellationReason, ConsumedCapacity, KeysAndAttributes, ReturnConsumedCapacity,
        TransactWriteItem,
    },
};
use futures::{StreamExt, TryStreamExt, stream};
use lambel_service::ports::{StoreError, StoreResult};
use rand::RngExt;

use super::keys::Key;
use crate::errors::{Cancelled, Retry, sort};

/// An item as the SDK has it.
pub(super) type Item = HashMap<String, AttributeValue>;

/// How often a write is tried when transactions of others are in the way.
const CONFLICT_TRIES: u32 = 10;
/// How often what a batch has left undone is asked for again.
const BATCH_TRIES: u32 = 8;
/// Items of one batch read.
const BATCH_ITEMS: usize = 100;
/// Batches under way at the same time.
const BATCHES_AT_ONCE: usize = 8;

/// What requests have cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// How many requests of each operation have succeeded.
    pub requests: HashMap<&'static str, u64>,
    /// Write units, where DynamoDB told them.
    pub write_units: f64,
    /// Read units, where DynamoDB told them.
    pub read_units: f64,
}

impl Usage {
    /// All requests.
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// Counts what the requests of one store cost.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Usage>>);

impl Meter {
    /// Takes the count so far, and begins anew.
    pub fn take(&self) -> Usage {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note<'a>(&self, call: &'static str, capacity: impl IntoIterator<Item = &'a ConsumedCapacity>) {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *usage.requests.entry(call).or_default() += 1;
        let is_write = matches!(call, "UpdateItem" | "PutItem" | "DeleteItem" | "TransactWriteItems");
        for units in capacity.into_iter().filter_map(ConsumedCapacity::capacity_units) {
            match is_write {
                true => usage.write_units += units,
                false => usage.read_units += units,
            }
        }
    }
}

/// The SDK's client with the habits that every request here has.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) sdk: aws_sdk_dynamodb::Client,
    pub(super) meter: Meter,
}

/// What became of a write with a condition.
pub(super) enum Written {
    /// Done; the item as it is now, where it was asked for.
    Done(Option<Item>),
    /// The condition did not hold; the item as it is, if there is one.
    Refused(Option<Item>),
}

/// What became of a transaction.
pub(super) enum Transacted {
    /// Done, all of it.
    Done,
    /// Nothing was done, since conditions did not hold: for each action, whether its own did not, and the
    /// item it found.
    Refused(Vec<Option<Option<Item>>>),
}

impl Client {
    pub(super) fn new(sdk: aws_sdk_dynamodb::Client) -> Self {
        Self { sdk, meter: Meter::default() }
    }

    pub(super) async fn get(&self, table: &str, (pk, sk): Key) -> StoreResult<Option<Item>> {
        let request = self.sdk.get_item().table_name(table).key("pk", string(pk)).key("sk", string(sk));
        let request = request.consistent_read(true).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = request.send().await.map_err(|error| sort("GetItem", error))?;
        self.meter.note("GetItem", output.consumed_capacity());
        Ok(output.item)
    }

    /// An update or a put by way of one: with a condition, and the item it refused to change.
    pub(super) async fn update(&self, request: UpdateItemFluentBuilder) -> StoreResult<Written> {
        let mut tries = 0;
        loop {
            let request = request.clone().return_consumed_capacity(ReturnConsumedCapacity::Total);
            let error = match request.send().await {
                Ok(output) => {
                    self.meter.note("UpdateItem", output.consumed_capacity());
                    return Ok(Written::Done(output.attributes));
                }
                Err(error) => error,
            };
            match error.as_service_error() {
                Some(service) if service.is_conditional_check_failed_exception() => {
                    use aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException as Refused;
                    self.meter.note("UpdateItem", None);
                    let item = match error.into_service_error() {
                        Refused(refused) => refused.item,
                        _ => None,
                    };
                    return Ok(Written::Refused(item));
                }
                _ if Retry::of(&error) == Retry::Now && tries < CONFLICT_TRIES => {
                    tries += 1;
                    pause(tries).await;
                }
                _ => return Err(sort("UpdateItem", error)),
            }
        }
    }

    /// The items of a query, over its pages, `limit` at most.
    pub(super) async fn query(&self, request: QueryFluentBuilder, limit: u32) -> StoreResult<Vec<Item>> {
        let mut items: Vec<Item> = Vec::new();
        let mut start = None;
        loop {
            let missing = i32::try_from(limit as usize - items.len()).unwrap_or(i32::MAX);
            if missing == 0 {
                return Ok(items);
            }
            let request = request.clone().limit(missing).set_exclusive_start_key(start.take());
            let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = request.send().await.map_err(|error| sort("Query", error))?;
            self.meter.note("Query", output.consumed_capacity());
            items.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(items);
            }
        }
    }

    /// The items of these keys, out of one or more tables, in no order: those that exist.
    pub(super) async fn batch_get(&self, keys: &[(&str, Key)], consistent: bool) -> StoreResult<Vec<(String, Item)>> {
        let batches: Vec<_> = keys.chunks(BATCH_ITEMS).map(|chunk| self.get_batch(chunk, consistent)).collect();
        let found: Vec<_> = stream::iter(batches).buffer_unordered(BATCHES_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn get_batch(&self, keys: &[(&str, Key)], consistent: bool) -> StoreResult<Vec<(String, Item)>> {
        let mut wanted: HashMap<String, Vec<Item>> = HashMap::new();
        for (table, (pk, sk)) in keys {
            let key = Item::from([("pk".to_owned(), string(pk)), ("sk".to_owned(), string(sk))]);
            wanted.entry((*table).to_owned()).or_default().push(key);
        }
        let mut request: HashMap<String, KeysAndAttributes> = HashMap::new();
        for (table, keys) in wanted {
            let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(consistent).build();
            request.insert(table, keys.map_err(|error| StoreError::Failed(error.to_string()))?);
        }
        let mut found = Vec::with_capacity(keys.len());
        let mut tries = 0;
        while !request.is_empty() {
            let call = self.sdk.batch_get_item().set_request_items(Some(request));
            let call = call.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let output = call.send().await.map_err(|error| sort("BatchGetItem", error))?;
            self.meter.note("BatchGetItem", output.consumed_capacity());
            for (table, items) in output.responses.unwrap_or_default() {
                found.extend(items.into_iter().map(|item| (table.clone(), item)));
            }
            request = output.unprocessed_keys.unwrap_or_default();
            if !request.is_empty() {
                tries += 1;
                if tries > BATCH_TRIES {
                    return Err(StoreError::Busy("BatchGetItem: keys stay unprocessed".to_owned()));
                }
                pause(tries).await;
            }
        }
        Ok(found)
    }

    /// Carries out a transaction. The actions are made anew for each try, so that they can draw another
    /// counter slot when one is in conflict.
    pub(super) async fn transact(
        &self,
        actions: impl Fn() -> StoreResult<Vec<TransactWriteItem>> + Send + Sync,
    ) -> StoreResult<Transacted> {
        let mut tries = 0;
        loop {
            let request = self.sdk.transact_write_items().set_transact_items(Some(actions()?));
            let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
            let error = match request.send().await {
                Ok(output) => {
                    self.meter.note("TransactWriteItems", output.consumed_capacity());
                    return Ok(Transacted::Done);
                }
                Err(error) => error,
            };
            use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError as Error;
            match error.as_service_error() {
                Some(Error::TransactionCanceledException(cancelled)) => {
                    self.meter.note("TransactWriteItems", None);
                    let reasons = cancelled.cancellation_reasons.clone().unwrap_or_default();
                    let refused = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
                    match Retry::of_cancelled(&reasons) {
                        Cancelled::Refused => {
                            let verdicts = reasons.into_iter().map(|reason| refused(&reason).then_some(reason.item));
                            return Ok(Transacted::Refused(verdicts.collect()));
                        }
                        Cancelled::Again(Retry::Now) if tries < CONFLICT_TRIES => {}
                        Cancelled::Again(retry) => {
                            return Err(retry.error(format!("TransactWriteItems: {}", told(&reasons))));
                        }
                    }
                }
                _ if Retry::of(&error) == Retry::Now && tries < CONFLICT_TRIES => {}
                _ => return Err(sort("TransactWriteItems", error)),
            }
            tries += 1;
            pause(tries).await;
        }
    }
}

/// Why a transaction was cancelled, in words.
fn told(reasons: &[CancellationReason]) -> String {
    let codes = reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None");
    format!("cancelled: {}", codes.collect::<Vec<_>>().join(", "))
}

/// Waits before the next try: longer each time, and never as long as others do.
async fn pause(tries: u32) {
    let most = 10 * 2_u64.pow(tries.min(6));
    let millis = rand::rng().random_range(most / 2..=most);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// A string attribute.
pub(super) fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub(super) fn number(number: impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}
