//! `operator-api`: the Subtask Manager towards operators, towards admins where it is about operators, and towards
//! clients who bring in votes from outside.

use std::sync::Arc;

use lambda_http::{Error, Request, service_fn, tower::ServiceExt};
use lambel_aws::{Aws, DynamoStore, S3Objects, gateway, setting, start_logging};
use lambel_service::{import::VoteImports, operate::Operators, pace::Pace, ports::SystemClock, supervise::Supervisors};

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let store = DynamoStore::new(&aws, setting("TASKS_TABLE")?, setting("SUBTASKS_TABLE")?);
    let objects = S3Objects::new(&aws, setting("UPLOADS_BUCKET")?, setting("PREVIEWS_BUCKET")?);
    store.warm_up().await;
    let (store, clock) = (Arc::new(store), Arc::new(SystemClock));
    let pace = Pace::new(store.clone(), clock.clone());
    let supervisors = Supervisors::new(store.clone(), clock.clone()).with_gold(store.clone());
    let operators = Operators::new(store.clone(), Arc::new(objects), clock.clone()).with_gold(store.clone());
    let imports = VoteImports::new(store.clone(), store, clock, operators.clone());
    let app = lambel_http::operators_app(operators, supervisors, imports, pace);
    lambda_http::run(service_fn(move |mut request: Request| {
        if let Some(caller) = gateway::caller(&request) {
            request.extensions_mut().insert(caller);
        }
        app.clone().oneshot(request)
    }))
    .await
}
