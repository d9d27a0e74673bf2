//! `event-publisher`: takes batches of the streams of both tables. A batch succeeds or fails as a whole.

use std::sync::Arc;

use aws_lambda_events::dynamodb;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{Addresses, Aws, AwsMessages, DynamoStore, deadline, events, setting, start_logging};
use lambel_service::publish::Publisher;

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, "");
    let addresses = Addresses {
        subtask_topic: setting("SUBTASK_TOPIC_ARN")?,
        task_topic: setting("TASK_TOPIC_ARN")?,
        dataset_topic: setting("DATASET_TOPIC_ARN")?,
        ..Addresses::default()
    };
    let publisher = Publisher::new(Arc::new(store), Arc::new(AwsMessages::new(&aws, addresses)));
    run(service_fn(|event: LambdaEvent<dynamodb::Event>| handle(&publisher, event))).await
}

async fn handle(
    publisher: &Publisher,
    LambdaEvent { payload, context }: LambdaEvent<dynamodb::Event>,
) -> Result<(), Error> {
    let changes = events::changes(payload)?;
    let published = deadline::in_time(context.deadline, publisher.publish(&changes)).await;
    Ok(published.ok_or("the batch is not published in time")??)
}
