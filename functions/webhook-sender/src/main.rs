//! `webhook-sender`: takes messages of the queues `webhooks`, which are events, and `webhook-deliveries`.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use lambel_aws::{
    Aws, DynamoWebhooks, SqsWebhookQueue, deadline,
    inbox::{self, Inbox},
    setting, start_logging, target_rules,
};
use lambel_service::{
    error::Comeback,
    ports::SystemClock,
    webhooks::{Announced, Known, Router, Sender},
};
use lambel_webhook::HttpTargets;

/// What a batch can be for. A batch comes from one queue.
struct Worker {
    router: Router,
    events: Inbox,
    sender: Sender,
    deliveries: Inbox,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    start_logging();
    let aws = Aws::from_env().await;
    let deliveries = setting("WEBHOOK_DELIVERIES_QUEUE_URL")?;
    let store = Arc::new(DynamoWebhooks::new(&aws, setting("WEBHOOKS_TABLE")?));
    let queue = Arc::new(SqsWebhookQueue::new(&aws, deliveries.clone()));
    let clock = Arc::new(SystemClock);
    let known = Known::new(store.clone(), clock.clone());
    let targets = Arc::new(HttpTargets::new(target_rules())?);
    let worker = Worker {
        router: Router::new(known.clone(), queue.clone(), clock.clone()),
        events: Inbox::new(&aws, setting("WEBHOOKS_QUEUE_URL")?),
        sender: Sender::new(known, store, queue, targets, clock),
        deliveries: Inbox::new(&aws, deliveries),
    };
    run(service_fn(|event: LambdaEvent<SqsEvent>| handle(&worker, event))).await
}

async fn handle(
    worker: &Worker,
    LambdaEvent { payload, context }: LambdaEvent<SqsEvent>,
) -> Result<SqsBatchResponse, Error> {
    let mut messages: Vec<_> = inbox::messages(payload).into_iter().map(Some).collect();
    let are_deliveries = messages.iter().flatten().all(|message| worker.deliveries.has_sent(message));
    let done = if are_deliveries {
        let bodies: Vec<&str> = messages.iter().flatten().map(|message| message.body.as_str()).collect();
        deadline::in_time(context.deadline, worker.sender.deliver(&bodies)).await
    } else {
        let events: Vec<Announced<'_>> = messages
            .iter()
            .flatten()
            .map(|message| Announced {
                body: &message.body,
                owner: message.attributes.get("owner").map(String::as_str),
                task: message.attributes.get("task").map(String::as_str),
            })
            .collect();
        deadline::in_time(context.deadline, worker.router.hear(&events)).await
    };
    let failed = done.unwrap_or_else(|| (0..messages.len()).map(|place| (place, Comeback::Later)).collect());
    let failed = failed.into_iter().filter_map(|(place, comeback)| Some((messages[place].take()?, comeback)));
    let inbox = if are_deliveries { &worker.deliveries } else { &worker.events };
    Ok(inbox.come_back(failed).await)
}
