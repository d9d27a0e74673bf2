//! `subtask-opener`: takes messages of the queue `new-subtasks`, each alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, DynamoStore, S3Objects, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, open::Opener, ports::SystemClock};

/// How long one batch may take: what has not been begun by then comes back. The function has 120 seconds.
const BUDGET: Duration = Duration::from_secs(75);

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, setting("PREVIEWS_BUCKET")?);
    let opener = Opener::new(Arc::new(store), Arc::new(objects), Arc::new(SystemClock));
    let inbox = Inbox::new(&aws, setting("NEW_SUBTASKS_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&opener, &inbox, event))).await
}

async fn handle(
    opener: &Opener,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let last_begin = Instant::now() + BUDGET;
    let mut failed = Vec::new();
    for message in inbox::messages(payload) {
        match deadline::in_time(context.deadline, opener.open(&message.body, last_begin)).await {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::warn!(message.id, %error, "message not dealt with");
                failed.push((message, error.comeback()));
            }
            None => failed.push((message, Comeback::Later)),
        }
    }
    Ok(inbox.come_back(failed).await)
}
