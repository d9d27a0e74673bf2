//! `task-api`: the Task Manager towards clients, and the pages that are open to everybody.

use std::sync::Arc;

use lambda_http::{Error, Request, service_fn, tower::ServiceExt};
use lambel_aws::{
    Addresses, Aws, AwsDatasets, AwsMessages, DynamoStore, S3ExportFiles, S3Objects, SqsExportQueue, gateway, setting,
    start_logging,
};
use lambel_core::api::PublicConfig;
use lambel_service::{dataset::Versions, exports::DatasetExports, pace::Pace, ports::SystemClock, tasks::Tasks};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    // No previews: they are shown to operators only.
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, "");
    let datasets = AwsDatasets::new(&aws, store.clone(), setting("DATASET_BUCKET")?);
    let addresses = Addresses { commits_queue: setting("COMMITS_QUEUE_URL")?, ..Addresses::default() };
    let queue = AwsMessages::new(&aws, addresses);
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
    let tasks = Tasks::new(store.clone(), Arc::new(objects), clock);
    let datasets = Arc::new(datasets);
    let versions = Versions::new(tasks.clone(), datasets.clone(), Arc::new(queue));
    let exports = DatasetExports::new(tasks.clone(), store, export_files, export_queue, datasets);
    let app = lambel_http::tasks_app(tasks, versions, exports, pace, config);
    lambda_http::run(service_fn(move |mut request: Request| {
        if let Some(caller) = gateway::caller(&request) {
            request.extensions_mut().insert(caller);
        }
        app.clone().oneshot(request)
    }))
    .await
}
