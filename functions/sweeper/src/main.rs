//! `sweeper`: takes the schedule of the sweep.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{Addresses, Aws, AwsMessages, DynamoStore, S3Objects, deadline, setting, start_logging};
use lambel_service::{ports::SystemClock, sweep::Sweeper};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, "");
    let addresses = Addresses {
        uploads_queue: setting("UPLOADS_QUEUE_URL")?,
        new_subtasks_queue: setting("NEW_SUBTASKS_QUEUE_URL")?,
        ..Addresses::default()
    };
    let messages = AwsMessages::new(&aws, addresses);
    let sweeper = Sweeper::new(Arc::new(store), Arc::new(objects), Arc::new(messages), Arc::new(SystemClock));
    run(service_fn(|event: LambdaEvent<Value>| handle(&sweeper, event.context.deadline))).await
}

/// Whatever the event says: there is one thing to do. Half of the time is for walks; a page of one takes seconds.
async fn handle(sweeper: &Sweeper, end: u64) -> Result<Value, Error> {
    let left = deadline::left(end);
    let swept = deadline::in_time(end, sweeper.sweep(std::time::Instant::now() + left / 2)).await;
    Ok(serde_json::to_value(swept.ok_or("the sweep is not through in its time")??)?)
}
