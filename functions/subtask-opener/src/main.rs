//! `subtask-opener`: takes messages of the queue `new-subtasks`, each alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, DynamoStore, S3Objects,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::open::Opener;

/// How long one batch may take: what has not been begun by then comes back. The function has 120 seconds.
const BUDGET: Duration = Duration::from_secs(75);

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, setting("PREVIEWS_BUCKET")?);
    let opener = Opener::new(Arc::new(store), Arc::new(objects));
    let inbox = Inbox::new(&aws, setting("NEW_SUBTASKS_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&opener, &inbox, event.payload))).await
}

async fn handle(opener: &Opener, inbox: &Inbox, event: SqsEvent) -> Result<SqsBatchResponse, Error> {
    let deadline = Instant::now() + BUDGET;
    let mut failed = Vec::new();
    for message in inbox::messages(event) {
        if let Err(error) = opener.open(&message.body, deadline).await {
            tracing::warn!(message.id, %error, "message not dealt with");
            failed.push((message, error.comeback()));
        }
    }
    Ok(inbox.come_back(failed).await)
}
