//! `task-progress`: takes messages of the queue `task-progress`, and the schedule of the sweep.

use std::sync::Arc;

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, DynamoStore,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{ports::SystemClock, progress::Progress};
use serde::Deserialize;
use serde_json::{Value, json};

/// What the schedule sends.
#[derive(Deserialize)]
struct Sweep {
    sweep: bool,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let progress = Progress::new(Arc::new(store), Arc::new(SystemClock));
    let inbox = Inbox::new(&aws, setting("TASK_PROGRESS_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<Value>| handle(&progress, &inbox, event.payload))).await
}

async fn handle(progress: &Progress, inbox: &Inbox, event: Value) -> Result<Value, Error> {
    if Sweep::deserialize(&event).is_ok_and(|asked| asked.sweep) {
        let completed = progress.sweep().await?;
        return Ok(json!({ "completed": completed }));
    }
    let mut messages: Vec<_> = inbox::messages(SqsEvent::deserialize(event)?).into_iter().map(Some).collect();
    let bodies: Vec<&str> = messages.iter().flatten().map(|message| message.body.as_str()).collect();
    let failed = progress.hear(&bodies).await;
    let failed = failed.into_iter().filter_map(|(place, comeback)| Some((messages[place].take()?, comeback)));
    Ok(serde_json::to_value(inbox.come_back(failed).await)?)
}
