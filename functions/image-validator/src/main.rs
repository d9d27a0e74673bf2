//! `image-validator`: takes messages of the queue `uploads`.
//!
//! Each message is judged alone: those that cannot be dealt with now are named in the answer and come back.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Addresses, Aws, AwsMessages, DynamoStore, S3Objects, deadline, events,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, ports::SystemClock, validate::Validator};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, "");
    let addresses = Addresses { new_subtasks_queue: setting("NEW_SUBTASKS_QUEUE_URL")?, ..Addresses::default() };
    let messages = AwsMessages::new(&aws, addresses);
    let validator = Validator::new(Arc::new(store), Arc::new(objects), Arc::new(messages), Arc::new(SystemClock));
    let inbox = Inbox::new(&aws, setting("UPLOADS_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&validator, &inbox, event))).await
}

async fn handle(
    validator: &Validator,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let messages = inbox::messages(payload);
    let read: Vec<_> = messages.iter().map(|message| events::uploads(&message.body)).collect();
    let uploads: Vec<_> = read.iter().flatten().flatten().copied().collect();
    let failed = deadline::in_time(context.deadline, validator.validate(&uploads)).await.unwrap_or(uploads);
    let undone = messages.into_iter().zip(read).filter_map(|(message, read)| match read {
        Err(error) => {
            tracing::error!(message.id, %error, "message cannot be read");
            Some((message, Comeback::Never))
        }
        Ok(uploads) => uploads.iter().any(|key| failed.contains(key)).then_some((message, Comeback::Later)),
    });
    Ok(inbox.come_back(undone).await)
}
