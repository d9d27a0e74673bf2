//! `task-progress`: takes messages of the queue `task-progress`.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Addresses, Aws, AwsMessages, DynamoStore, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, ports::SystemClock, progress::Progress};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, "");
    let addresses = Addresses { estimates_queue: setting("ESTIMATES_QUEUE_URL")?, ..Addresses::default() };
    let messages = AwsMessages::new(&aws, addresses);
    let progress = Progress::new(Arc::new(store), Arc::new(SystemClock), Arc::new(messages));
    let inbox = Inbox::new(&aws, setting("TASK_PROGRESS_QUEUE_URL")?);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&progress, &inbox, event))).await
}

async fn handle(
    progress: &Progress,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let mut messages: Vec<_> = inbox::messages(payload).into_iter().map(Some).collect();
    let bodies: Vec<&str> = messages.iter().flatten().map(|message| message.body.as_str()).collect();
    let heard = deadline::in_time(context.deadline, progress.hear(&bodies)).await;
    let failed = heard.unwrap_or_else(|| (0..messages.len()).map(|place| (place, Comeback::Later)).collect());
    let failed = failed.into_iter().filter_map(|(place, comeback)| Some((messages[place].take()?, comeback)));
    Ok(inbox.come_back(failed).await)
}
