//! `dataset-committer`: takes messages of the queue `commits`, one at a time, and its schedule.

use std::{sync::Arc, time::Instant};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Addresses, Aws, AwsDatasets, AwsMessages, DynamoStore, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{
    dataset::{Committer, Place},
    error::Comeback,
    ports::SystemClock,
};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let datasets = AwsDatasets::new(&aws, store.clone(), setting("DATASET_BUCKET")?);
    let queue = setting("COMMITS_QUEUE_URL")?;
    let inbox = Inbox::new(&aws, &queue);
    let messages = AwsMessages::new(&aws, Addresses { commits_queue: queue, ..Addresses::default() });
    let place = Place { bucket: setting("UPLOADS_BUCKET")? };
    let store = Arc::new(store);
    let committer = Committer::new(store.clone(), Arc::new(datasets), Arc::new(messages), Arc::new(SystemClock), place);
    let committer = committer.with_calibrations(store);
    run(service_fn(|event: LambdaEvent<Value>| handle(&committer, &inbox, event))).await
}

/// A batch of the queue has records; everything else is the schedule.
async fn handle(
    committer: &Committer,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<Value>,
) -> Result<Value, Error> {
    if payload.get("Records").is_some() {
        let answer = hear(committer, inbox, serde_json::from_value(payload)?, context.deadline).await;
        return Ok(serde_json::to_value(answer)?);
    }
    let until = Instant::now() + deadline::left(context.deadline);
    let asked = deadline::in_time(context.deadline, committer.look(until)).await;
    Ok(json!({"asked": asked.ok_or("not looked in time")??}))
}

async fn hear(committer: &Committer, inbox: &Inbox, event: SqsEvent, end: u64) -> SqsBatchResponse {
    let mut failed = Vec::new();
    for message in inbox::messages(event) {
        let heard = deadline::in_time(end, committer.hear(&message.body)).await;
        if let Err(comeback) = heard.unwrap_or(Err(Comeback::Later)) {
            failed.push((message, comeback));
        }
    }
    inbox.come_back(failed).await
}
