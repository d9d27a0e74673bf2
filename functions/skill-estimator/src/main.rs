//! `skill-estimator`: takes its schedule, and messages of the queue `estimates`.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, DynamoStore, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, ports::SystemClock, skills::Estimator};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let store = Arc::new(store);
    let estimator = Estimator::new(store.clone(), store.clone(), Arc::new(SystemClock)).with_gold(store);
    let inbox = Inbox::new(&aws, setting("ESTIMATES_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<Value>| handle(&estimator, &inbox, event))).await
}

/// What has records comes from the queue; anything else is the schedule, for which there is one thing to do.
async fn handle(
    estimator: &Estimator,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<Value>,
) -> Result<Value, Error> {
    match payload.get("Records") {
        Some(_) => finish(estimator, inbox, serde_json::from_value(payload)?, context.deadline).await,
        None => look(estimator, context.deadline).await,
    }
}

/// A task is begun in the first half of the time only, since a large one takes minutes.
async fn look(estimator: &Estimator, end: u64) -> Result<Value, Error> {
    let left = deadline::left(end);
    let looks = deadline::in_time(end, estimator.run(std::time::Instant::now() + left / 2)).await;
    Ok(serde_json::to_value(looks.ok_or("the operators are not measured in time")??)?)
}

async fn finish(estimator: &Estimator, inbox: &Inbox, event: SqsEvent, end: u64) -> Result<Value, Error> {
    let mut messages: Vec<_> = inbox::messages(event).into_iter().map(Some).collect();
    let bodies: Vec<&str> = messages.iter().flatten().map(|message| message.body.as_str()).collect();
    let heard = deadline::in_time(end, estimator.hear(&bodies)).await;
    let failed = heard.unwrap_or_else(|| (0..messages.len()).map(|place| (place, Comeback::Later)).collect());
    let failed = failed.into_iter().filter_map(|(place, comeback)| Some((messages[place].take()?, comeback)));
    Ok(serde_json::to_value(inbox.come_back(failed).await)?)
}
