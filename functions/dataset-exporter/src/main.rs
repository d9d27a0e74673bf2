//! `dataset-exporter`: takes messages of the queue `exports`, one at a time.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, AwsDatasets, DynamoStore, S3ExportFiles, SqsExportQueue, deadline,
    inbox::{self, Inbox},
    setting, start_logging,
};
use lambel_service::{error::Comeback, exports::Exporter, ports::SystemClock};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, "");
    let (bucket, queue) = (setting("DATASET_BUCKET")?, setting("EXPORTS_QUEUE_URL")?);
    let datasets = AwsDatasets::new(&aws, store.clone(), &bucket);
    let exporter = Exporter::new(
        Arc::new(store),
        Arc::new(S3ExportFiles::new(&aws, &bucket)),
        Arc::new(SqsExportQueue::new(&aws, &queue)),
        Arc::new(datasets),
        Arc::new(SystemClock),
    );
    let inbox = Inbox::new(&aws, queue);
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&exporter, &inbox, event))).await
}

async fn handle(
    exporter: &Exporter,
    inbox: &Inbox,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let mut failed = Vec::new();
    for message in inbox::messages(payload) {
        let heard = deadline::in_time(context.deadline, exporter.hear(&message.body)).await;
        if let Err(comeback) = heard.unwrap_or(Err(Comeback::Later)) {
            failed.push((message, comeback));
        }
    }
    Ok(inbox.come_back(failed).await)
}
