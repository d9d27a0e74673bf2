//! `skill-estimator`: takes its schedule.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{Aws, DynamoStore, deadline, setting, start_logging};
use lambel_service::{ports::SystemClock, skills::Estimator};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let store = Arc::new(store);
    let estimator = Estimator::new(store.clone(), Arc::new(SystemClock)).with_gold(store);
    run(service_fn(|event: LambdaEvent<Value>| handle(&estimator, event.context.deadline))).await
}

/// Whatever the event says: there is one thing to do. A task is begun in the first half of the time only, since a large
/// one takes minutes.
async fn handle(estimator: &Estimator, end: u64) -> Result<Value, Error> {
    let left = deadline::left(end);
    let looks = deadline::in_time(end, estimator.run(std::time::Instant::now() + left / 2)).await;
    Ok(serde_json::to_value(looks.ok_or("the operators are not measured in time")??)?)
}
