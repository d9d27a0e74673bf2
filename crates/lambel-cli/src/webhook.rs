//! `lambel webhook`: addresses that are told of events.

use std::time::{Duration, Instant};

use lambel_client::Client;
use lambel_core::{
    TaskId,
    api::PageQuery,
    limits,
    webhook::{
        DeliveryId, EventKind, Outcome, WebhookId,
        api::{AttemptView, ChangeWebhook, CreateWebhook, Redeliver, WebhookView, WebhookWithSecret},
    },
};
use serde_json::json;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome as Ending},
    output::{columns, printable},
};

/// How long a test is waited for: the way through the queue, and ten seconds for the target.
const TEST_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(clap::Subcommand)]
pub(crate) enum WebhookCommand {
    /// Make a webhook; its secret is shown this once
    Add {
        /// Where to: an https address that answers POST
        url: String,
        /// Which events; once for each kind [default: task.complete and task.cancelled]
        #[arg(long = "event", value_name = "KIND")]
        events: Vec<EventKind>,
        /// Only those of this task [default: those of all your tasks]
        #[arg(long, value_name = "TASK")]
        task: Option<TaskId>,
    },
    /// List your webhooks
    List {
        /// Those of this task [default: those for all your tasks]
        #[arg(long, value_name = "TASK")]
        task: Option<TaskId>,
    },
    /// Show a webhook
    Show {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Tell a webhook of events again
    Enable {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Tell a webhook of nothing for now
    Disable {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Delete a webhook
    Remove {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Make another secret, and show it this once; the one before signs too for a day
    Rotate {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Send a test, and say what came of it; exit code 7 if the target did not take it
    Test {
        /// The id of the webhook
        webhook: WebhookId,
    },
    /// Show what was sent and what came of it, the newest event first
    Deliveries {
        /// The id of the webhook
        webhook: WebhookId,
        /// How many attempts at most
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
    },
    /// Send again what did not arrive: one delivery, or all that were given up
    Redeliver {
        /// The id of the webhook
        webhook: WebhookId,
        /// The id of one delivery
        delivery: Option<DeliveryId>,
    },
}

pub(crate) async fn run(context: &Context, command: WebhookCommand) -> Ending {
    let client = context.client()?;
    let enable = |enabled| ChangeWebhook { enabled: Some(enabled), ..ChangeWebhook::default() };
    match command {
        WebhookCommand::Add { url, mut events, task } => {
            if events.is_empty() {
                events = vec![EventKind::TaskComplete, EventKind::TaskCancelled];
            }
            let made = client.create_webhook(task, &CreateWebhook { url, kinds: events }).await?;
            with_secret(context, &made)
        }
        WebhookCommand::List { task } => list(context, &client, task).await,
        WebhookCommand::Show { webhook } => context.out.show(&client.webhook(webhook).await?, describe),
        WebhookCommand::Enable { webhook } => {
            context.out.show(&client.change_webhook(webhook, &enable(true)).await?, describe)
        }
        WebhookCommand::Disable { webhook } => {
            context.out.show(&client.change_webhook(webhook, &enable(false)).await?, describe)
        }
        WebhookCommand::Remove { webhook } => {
            let gone = client.delete_webhook(webhook).await?;
            context.out.show(&gone, |gone| format!("deleted {}", gone.webhook))
        }
        WebhookCommand::Rotate { webhook } => with_secret(context, &client.rotate_webhook(webhook).await?),
        WebhookCommand::Test { webhook } => test(context, &client, webhook).await,
        WebhookCommand::Deliveries { webhook, limit } => deliveries(context, &client, webhook, limit).await,
        WebhookCommand::Redeliver { webhook, delivery } => redeliver(context, &client, webhook, delivery).await,
    }
}

fn with_secret(context: &Context, made: &WebhookWithSecret) -> Ending {
    context.out.show(made, |made| {
        let secret = columns(&[vec!["secret".to_owned(), made.secret.clone()]]);
        format!("{}\n{secret}", describe(&made.webhook))
    })?;
    context.out.note("The receiver checks signatures with the secret. It is shown this once.");
    Ok(())
}

async fn list(context: &Context, client: &Client, task: Option<TaskId>) -> Ending {
    let found = client.webhooks(task).await?.webhooks;
    let mut rows = Vec::new();
    for webhook in &found {
        match context.out.json {
            true => context.out.json(webhook)?,
            false => rows.push(vec![
                webhook.webhook.to_string(),
                state(webhook).to_owned(),
                webhook.url.clone(),
                kinds(&webhook.kinds),
            ]),
        }
    }
    match (context.out.json, rows.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => {
            context.out.note("there are no webhooks here");
            Ok(())
        }
        (false, false) => context.out.line(&columns(&rows)),
    }
}

async fn test(context: &Context, client: &Client, webhook: WebhookId) -> Ending {
    let sent = client.test_webhook(webhook).await?.delivery;
    let deadline = Instant::now() + TEST_PATIENCE;
    while Instant::now() < deadline {
        let log = client.webhook_deliveries(webhook, &PageQuery { cursor: None, limit: Some(100) }).await?;
        if let Some(attempt) = log.attempts.iter().find(|attempt| attempt.delivery == sent) {
            context.out.show(attempt, |attempt| columns(&[row(attempt)]))?;
            return match attempt.outcome {
                Outcome::Delivered => Ok(()),
                _ => Err(Failure::new(Exit::TryAgain, "the target did not take the test")),
            };
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let patience = TEST_PATIENCE.as_secs();
    Err(Failure::new(
        Exit::TryAgain,
        format!(
            "the test {sent} is on its way for {patience} seconds; `lambel webhook deliveries {webhook}` will show it"
        ),
    ))
}

async fn deliveries(context: &Context, client: &Client, webhook: WebhookId, limit: u32) -> Ending {
    let mut rows = Vec::new();
    let mut left = limit;
    let mut page = PageQuery::default();
    while left > 0 {
        page.limit = Some(left.min(limits::PAGE_ROWS));
        let answer = client.webhook_deliveries(webhook, &page).await?;
        left = left.saturating_sub(u32::try_from(answer.attempts.len()).unwrap_or(u32::MAX));
        for attempt in &answer.attempts {
            match context.out.json {
                true => context.out.json(attempt)?,
                false => rows.push(row(attempt)),
            }
        }
        page.cursor = answer.next;
        if page.cursor.is_none() {
            break;
        }
    }
    match (context.out.json, rows.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => {
            context.out.note("nothing was sent yet");
            Ok(())
        }
        (false, false) => context.out.line(&columns(&rows)),
    }
}

async fn redeliver(context: &Context, client: &Client, webhook: WebhookId, delivery: Option<DeliveryId>) -> Ending {
    let mut request = Redeliver { delivery: delivery.map(|delivery| delivery.to_string()), cursor: None };
    let mut sent = 0;
    loop {
        let answer = client.redeliver(webhook, &request).await?;
        sent += answer.sent;
        request.cursor = answer.next;
        if request.cursor.is_none() {
            break;
        }
    }
    context.out.show(&json!({ "sent": sent }), |_| match sent {
        1 => "1 delivery is on its way again".to_owned(),
        sent => format!("{sent} deliveries are on their way again"),
    })
}

fn row(attempt: &AttemptView) -> Vec<String> {
    let outcome = match attempt.outcome {
        Outcome::Delivered => "delivered",
        Outcome::Failed => "failed",
        Outcome::Dead => "dead",
    };
    let status = attempt.status.map_or_else(String::new, |status| status.to_string());
    let said = [attempt.error.as_deref(), attempt.answer.as_deref()].into_iter().flatten().collect::<Vec<_>>();
    let next = attempt.next_at.map(|at| format!("again at {at}"));
    vec![
        attempt.at.to_string(),
        attempt.delivery.to_string(),
        attempt.kind.clone(),
        format!("{}.", attempt.attempt),
        outcome.to_owned(),
        status,
        format!("{} ms", attempt.took_ms),
        printable(&said.into_iter().map(ToOwned::to_owned).chain(next).collect::<Vec<_>>().join("; ")),
    ]
}

fn state(webhook: &WebhookView) -> &'static str {
    match (webhook.enabled, webhook.failing_since) {
        (false, _) => "disabled",
        (true, Some(_)) => "failing",
        (true, None) => "enabled",
    }
}

fn kinds(kinds: &[EventKind]) -> String {
    kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(" ")
}

fn describe(webhook: &WebhookView) -> String {
    let because = webhook.disabled_because.as_deref().map(|because| format!(": {because}")).unwrap_or_default();
    let since = webhook.disabled_at.or(webhook.failing_since);
    let since = since.map(|at| format!(" since {at}")).unwrap_or_default();
    let of = webhook.task.map_or_else(|| "all tasks".to_owned(), |task| format!("task {task}"));
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("webhook", webhook.webhook.to_string()),
        row("events", format!("{} of {of}", kinds(&webhook.kinds))),
        row("to", webhook.url.clone()),
        row("state", format!("{}{since}{because}", state(webhook))),
    ];
    rows.extend(webhook.previous_secret_until.map(|at| row("old secret", format!("signs too until {at}"))));
    columns(&rows)
}
