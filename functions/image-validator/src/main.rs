//! `image-validator`: takes messages of the queue `uploads`.
//!
//! Each message is judged alone: those that cannot be dealt with now are named in the answer and come back.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{Addresses, Aws, AwsMessages, DynamoStore, S3Objects, events, setting, start_logging};
use lambel_service::{
    ports::{ObjectKey, SystemClock},
    validate::Validator,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, "");
    let addresses = Addresses { new_subtasks_queue: setting("NEW_SUBTASKS_QUEUE_URL")?, ..Addresses::default() };
    let messages = AwsMessages::new(&aws, addresses);
    let validator = Validator::new(Arc::new(store), Arc::new(objects), Arc::new(messages), Arc::new(SystemClock));
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&validator, event.payload))).await
}

async fn handle(validator: &Validator, event: SqsEvent) -> Result<SqsBatchResponse, Error> {
    let messages = events::messages(event);
    let read: Vec<_> = messages.iter().map(|(_, body)| events::uploads(body)).collect();
    let uploads: Vec<_> = read.iter().flatten().flatten().copied().collect();
    let failed = validator.validate(&uploads).await;
    // A body that cannot be read comes back too, until it lies in the dead-letter queue, where it is seen.
    let done = |read: &Result<Vec<ObjectKey>, _>| {
        read.as_ref().is_ok_and(|uploads| uploads.iter().all(|key| !failed.contains(key)))
    };
    let undone = messages.into_iter().zip(&read).filter(|(_, read)| !done(read));
    Ok(events::come_back(undone.map(|((id, _), _)| id)))
}
