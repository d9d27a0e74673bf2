//! The Lambda function: takes messages of a queue of its own, which hears of the moves of data sets, one at a time.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use dataset_report::Reporter;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, AwsDatasets, DynamoStore, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, ports::SystemClock};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    // Of the tables nothing but notes is read or written.
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, "");
    let datasets = AwsDatasets::new(&aws, store.clone(), setting("DATASET_BUCKET")?);
    let inbox = Inbox::new(&aws, setting("QUEUE_URL")?);
    let key = setting("NOTE_KEY")?.parse()?;
    let reporter = Reporter::new(Arc::new(datasets), Arc::new(store), Arc::new(SystemClock), key);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&reporter, &inbox, event))).await
}

async fn handle(
    reporter: &Reporter,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let mut failed = Vec::new();
    for message in inbox::messages(payload) {
        let heard = deadline::in_time(context.deadline, reporter.hear(&message.body)).await;
        if let Err(comeback) = heard.unwrap_or(Err(Comeback::Later)) {
            failed.push((message, comeback));
        }
    }
    Ok(inbox.come_back(failed).await)
}
