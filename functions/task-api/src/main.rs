//! `task-api`: the Task Manager towards clients, and the pages that are open to everybody.

use std::sync::Arc;

use lambda_http::{Error, Request, service_fn, tower::ServiceExt};
use lambel_aws::{
    Addresses, Aws, AwsDatasets, AwsMessages, DynamoStore, DynamoWebhooks, S3ExportFiles, S3Objects, SqsExportQueue,
    SqsWebhookQueue, gateway, setting, start_logging, target_rules,
};
use lambel_core::api::PublicConfig;
use lambel_http::TaskManager;
use lambel_service::{
    dataset::{DatasetNotes, Versions},
    exports::DatasetExports,
    pace::Pace,
    ports::SystemClock,
    quality::Quality,
    tasks::Tasks,
    webhooks::Webhooks,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    // No previews: they are shown to operators only.
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, "");
    let datasets = AwsDatasets::new(&aws, store.clone(), setting("DATASET_BUCKET")?);
    let addresses = Addresses {
        commits_queue: setting("COMMITS_QUEUE_URL")?,
        estimates_queue: setting("ESTIMATES_QUEUE_URL")?,
        ..Addresses::default()
    };
    let queues = Arc::new(AwsMessages::new(&aws, addresses));
    let export_files = Arc::new(S3ExportFiles::new(&aws, setting("DATASET_BUCKET")?));
    let export_queue = Arc::new(SqsExportQueue::new(&aws, setting("EXPORTS_QUEUE_URL")?));
    store.warm_up().await;
    let config = PublicConfig {
        region: aws.region(),
        user_pool_id: setting("USER_POOL_ID")?,
        user_pool_client_id: setting("USER_POOL_CLIENT_ID")?,
        sign_in_endpoint: aws.sign_in_endpoint(),
        token_endpoint: setting("MACHINE_SIGN_IN_ENDPOINT").ok().map(|address| aws.token_endpoint(address)),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
    let pace = Pace::new(store.clone(), clock.clone());
    let webhooks = Webhooks::new(
        store.clone(),
        Arc::new(DynamoWebhooks::new(&aws, setting("WEBHOOKS_TABLE")?)),
        Arc::new(SqsWebhookQueue::new(&aws, setting("WEBHOOK_DELIVERIES_QUEUE_URL")?)),
        clock.clone(),
        target_rules(),
    );
    let tasks = Tasks::new(store.clone(), Arc::new(objects), clock);
    let tasks = tasks.with_estimates(queues.clone()).with_gold(store.clone()).with_calibrations(store.clone());
    let datasets = Arc::new(datasets);
    let versions = Versions::new(tasks.clone(), datasets.clone(), queues);
    let notes = DatasetNotes::new(tasks.clone(), datasets.clone(), store.clone());
    let quality = Quality::new(tasks.clone(), store.clone());
    let exports = DatasetExports::new(tasks.clone(), store, export_files, export_queue, datasets);
    let app = lambel_http::tasks_app(TaskManager { tasks, quality, versions, notes, exports, webhooks }, pace, config);
    lambda_http::run(service_fn(move |mut request: Request| {
        if let Some(caller) = gateway::caller(&request) {
            request.extensions_mut().insert(caller);
        }
        app.clone().oneshot(request)
    }))
    .await
}
