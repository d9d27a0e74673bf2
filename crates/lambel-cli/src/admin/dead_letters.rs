//! `lambel admin dlq`: what the queues gave up on.

use clap::ValueEnum;
use lambel_aws::{
    dead_letters::{DeadLetter, DeadLetterQueue},
    events,
};
use lambel_core::{TaskId, event::CloudEvent, webhook::Delivery};
use lambel_service::{
    dead_letters::{DeadLetters, Prospect},
    repair::Repairer,
};
use serde_json::{Value, json};

use super::stack::{Stack, StackArgs, failed};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::columns,
};

/// Dead letters that one command looks at.
const MOST: usize = 1_000;
/// Tasks of one page.
const TASKS: u32 = 100;

#[derive(clap::Subcommand)]
pub(crate) enum DlqCommand {
    /// How many dead letters each queue has, and what that means
    List {
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Show dead letters, and whether it is of use to send them back
    Show {
        /// Which queue
        queue: Queue,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 10)]
        limit: usize,
        #[command(flatten)]
        stack: StackArgs,
    },
    /// Send back what there is something left to do for, and take out what is done
    ///
    /// Nothing is ever counted twice. What nobody can read stays, unless --discard-unreadable is given. The dead
    /// letters of a stream say no more than a place in it: instead of sending them back, every decision of the tasks
    /// that are not over, and of those that are named, is published again with the same event ids.
    Redrive {
        /// Which queue
        queue: Queue,
        /// Only these messages
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<String>,
        /// Take out, for good, what nobody can read
        #[arg(long)]
        discard_unreadable: bool,
        /// For a stream: a task that may be over by now
        #[arg(long = "task", value_name = "TASK")]
        tasks: Vec<TaskId>,
        #[command(flatten)]
        stack: StackArgs,
    },
}

/// A queue of dead letters, by what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Queue {
    /// Uploads that image-validator gave up on
    Uploads,
    /// Accepted images that subtask-opener gave up on
    NewSubtasks,
    /// Decisions that task-progress gave up on
    TaskProgress,
    /// Events that webhook-sender could not hand on
    Webhooks,
    /// Deliveries that webhook-sender itself failed at
    WebhookDeliveries,
    /// Versions of data sets that dataset-committer gave up on
    Commits,
    /// Last batches that skill-estimator gave up on
    Estimates,
    /// Pieces of exports that dataset-exporter gave up on
    Exports,
    /// Decisions that event-publisher could not announce
    SubtasksStream,
    /// Ends of tasks that event-publisher could not announce
    TasksStream,
}

impl Queue {
    const ALL: [Self; 10] = [
        Self::Uploads,
        Self::NewSubtasks,
        Self::TaskProgress,
        Self::Estimates,
        Self::Commits,
        Self::Exports,
        Self::Webhooks,
        Self::WebhookDeliveries,
        Self::SubtasksStream,
        Self::TasksStream,
    ];

    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Uploads => "files are in the bucket and not in their tasks, which wait for them",
            Self::NewSubtasks => "images are `preparing`, and nobody can claim them",
            Self::TaskProgress => "nothing is stuck: the next decision or the sweep looks at the task",
            Self::Webhooks | Self::WebhookDeliveries => "webhooks were not told of events; the records are right",
            Self::Commits => "data sets lack a version; labels and votes are right",
            Self::Estimates => "nothing is stuck: the schedule of skill-estimator looks at the task",
            Self::Exports => "exports do not get on; nothing else is touched",
            Self::SubtasksStream => "subscribers were not told of decisions; the records are right",
            Self::TasksStream => "subscribers were not told of the end of tasks; the records are right",
        }
    }

    fn open(self, stack: &Stack) -> Outcome<DeadLetterQueue> {
        match self {
            Self::Uploads => stack.dead_letters("UploadsDeadLettersUrl", Some("UploadsQueueUrl")),
            Self::NewSubtasks => stack.dead_letters("NewSubtasksDeadLettersUrl", Some("NewSubtasksQueueUrl")),
            Self::TaskProgress => stack.dead_letters("TaskProgressDeadLettersUrl", Some("TaskProgressQueueUrl")),
            Self::Webhooks => stack.dead_letters("WebhooksDeadLettersUrl", Some("WebhooksQueueUrl")),
            Self::WebhookDeliveries => {
                stack.dead_letters("WebhookDeliveriesDeadLettersUrl", Some("WebhookDeliveriesQueueUrl"))
            }
            Self::Commits => stack.dead_letters("CommitsDeadLettersUrl", Some("CommitsQueueUrl")),
            Self::Estimates => stack.dead_letters("EstimatesDeadLettersUrl", Some("EstimatesQueueUrl")),
            Self::Exports => stack.dead_letters("ExportsDeadLettersUrl", Some("ExportsQueueUrl")),
            Self::SubtasksStream => stack.dead_letters("SubtasksStreamDeadLettersUrl", None),
            Self::TasksStream => stack.dead_letters("TasksStreamDeadLettersUrl", None),
        }
    }

    /// What is to be expected of sending a message back.
    async fn prospect(self, dead: &DeadLetters, letter: &DeadLetter) -> Outcome<Prospect> {
        let prospect = match self {
            Self::Uploads => match events::uploads(&letter.body) {
                Ok(keys) => dead.uploads(&keys).await,
                Err(error) => Ok(Prospect::Unreadable(error.to_string())),
            },
            Self::NewSubtasks => dead.new_subtasks(&letter.body).await,
            Self::TaskProgress => dead.task_progress(&letter.body).await,
            Self::Webhooks => Ok(told_to_webhooks(&letter.body)),
            Self::WebhookDeliveries => Ok(delivered_to_webhook(&letter.body)),
            Self::Commits => dead.commits(&letter.body).await,
            Self::Estimates => dead.estimates(&letter.body).await,
            Self::Exports => dead.exports(&letter.body).await,
            Self::SubtasksStream | Self::TasksStream => {
                Ok(Prospect::Worthwhile("its records can be published again".to_owned()))
            }
        };
        prospect.map_err(failed)
    }
}

/// An event that webhooks should have been told of.
fn told_to_webhooks(body: &str) -> Prospect {
    match serde_json::from_str::<CloudEvent<Value>>(body) {
        Ok(event) => Prospect::Worthwhile(format!("webhooks may want to know of {}", event.kind)),
        Err(error) => Prospect::Unreadable(error.to_string()),
    }
}

/// An event on its way to one webhook.
fn delivered_to_webhook(body: &str) -> Prospect {
    match serde_json::from_str::<Delivery>(body) {
        Ok(delivery) => Prospect::Worthwhile(format!("webhook {} waits for {}", delivery.webhook, delivery.id)),
        Err(error) => Prospect::Unreadable(error.to_string()),
    }
}

pub(super) async fn run(context: &Context, command: DlqCommand) -> Outcome {
    match command {
        DlqCommand::List { stack } => list(context, &stack.open().await?).await,
        DlqCommand::Show { queue, limit, stack } => show(context, &stack.open().await?, queue, limit).await,
        DlqCommand::Redrive { queue, ids, discard_unreadable, tasks, stack } => {
            let stack = stack.open().await?;
            let letters = queue.open(&stack)?.look(MOST).await.map_err(failed)?;
            if let Some(unknown) = ids.iter().find(|id| letters.iter().all(|letter| letter.id != **id)) {
                return Err(Failure::new(Exit::NotFound, format!("there is no message {unknown} to be seen now")));
            }
            let letters: Vec<_> =
                letters.into_iter().filter(|letter| ids.is_empty() || ids.contains(&letter.id)).collect();
            match queue {
                Queue::SubtasksStream | Queue::TasksStream => publish(context, &stack, queue, &letters, tasks).await,
                _ => redrive(context, &stack, queue, &letters, discard_unreadable).await,
            }
        }
    }
}

async fn list(context: &Context, stack: &Stack) -> Outcome {
    let mut rows = Vec::new();
    for queue in Queue::ALL {
        let messages = queue.open(stack)?.count().await.map_err(failed)?;
        if context.out.json {
            context.out.json(&json!({"queue": queue.name(), "messages": messages, "meaning": queue.meaning()}))?;
        }
        let meaning = if messages > 0 { queue.meaning() } else { "" };
        rows.push(vec![queue.name(), messages.to_string(), meaning.to_owned()]);
    }
    if context.out.json { Ok(()) } else { context.out.line(&columns(&rows)) }
}

async fn show(context: &Context, stack: &Stack, queue: Queue, limit: usize) -> Outcome {
    let letters = queue.open(stack)?.look(limit.min(MOST)).await.map_err(failed)?;
    let dead = DeadLetters::new(stack.store()?, stack.objects()?);
    for letter in &letters {
        let prospect = queue.prospect(&dead, letter).await?;
        let body: Value = serde_json::from_str(&letter.body).unwrap_or_else(|_| json!(letter.body));
        let view = json!({
            "id": letter.id,
            "sent": letter.sent,
            "receives": letter.receives,
            "body": body,
            "again": prospect,
        });
        context.out.show(&view, |_| {
            let sent = letter.sent.map_or_else(|| "at an unknown time".to_owned(), |at| at.to_string());
            let rows = [
                vec![letter.id.clone(), format!("sent {sent}, received {} times", letter.receives)],
                vec![String::new(), told(&prospect)],
                vec![String::new(), letter.body.clone()],
            ];
            columns(&rows)
        })?;
    }
    if letters.is_empty() {
        context.out.note("There are no dead letters to be seen; one that somebody has looked at is hidden for 30 s.");
    } else {
        context.out.note("The log of the function names the message ids, with the errors.");
    }
    Ok(())
}

fn told(prospect: &Prospect) -> String {
    match prospect {
        Prospect::Worthwhile(why) => format!("worth sending back: {why}"),
        Prospect::Spent(why) => format!("nothing left to do: {why}"),
        Prospect::Unreadable(why) => format!("nobody can read it: {why}"),
    }
}

async fn redrive(
    context: &Context,
    stack: &Stack,
    queue: Queue,
    letters: &[DeadLetter],
    discard_unreadable: bool,
) -> Outcome {
    let (source, dead) = (queue.open(stack)?, DeadLetters::new(stack.store()?, stack.objects()?));
    let (mut sent, mut spent, mut discarded, mut kept) = (0_u64, 0_u64, 0_u64, 0_u64);
    for letter in letters {
        match queue.prospect(&dead, letter).await? {
            Prospect::Worthwhile(_) => {
                source.send_back(letter).await.map_err(failed)?;
                sent += 1;
            }
            Prospect::Spent(_) => {
                source.discard(letter).await.map_err(failed)?;
                spent += 1;
            }
            Prospect::Unreadable(_) if discard_unreadable => {
                source.discard(letter).await.map_err(failed)?;
                discarded += 1;
            }
            Prospect::Unreadable(_) => kept += 1,
        }
    }
    let answer =
        json!({"queue": queue.name(), "sent_back": sent, "spent": spent, "discarded": discarded, "kept": kept});
    context.out.show(&answer, |_| {
        format!(
            "{sent} sent back, {spent} taken out with nothing left to do, {discarded} discarded, {kept} kept that nobody can read"
        )
    })
}

/// Publishes again instead of sending back, then takes the letters out.
async fn publish(
    context: &Context,
    stack: &Stack,
    queue: Queue,
    letters: &[DeadLetter],
    mut tasks: Vec<TaskId>,
) -> Outcome {
    let store = stack.store()?;
    let repairer = Repairer::new(store.clone(), stack.quality()?, stack.objects()?, stack.messages()?, stack.clock());
    let repairer = repairer.with_gold(stack.gold()?);
    let mut after = None;
    loop {
        let (page, more) = store.active_tasks(after, TASKS).await.map_err(failed)?;
        tasks.extend(page.iter().map(|task| task.id));
        after = more;
        if after.is_none() {
            break;
        }
    }
    tasks.sort_unstable();
    tasks.dedup();
    let mut events = 0;
    for task in if letters.is_empty() { &[][..] } else { &tasks } {
        events += repairer.announce(*task).await.map_err(failed)?;
    }
    let source = queue.open(stack)?;
    for letter in letters {
        source.discard(letter).await.map_err(failed)?;
    }
    let answer = json!({"queue": queue.name(), "events": events, "tasks": tasks.len(), "taken_out": letters.len()});
    context.out.show(&answer, |_| {
        format!("{events} events of {} tasks published again, {} dead letters taken out", tasks.len(), letters.len())
    })
}
