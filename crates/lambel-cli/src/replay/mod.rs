//! `lambel replay`: operators played with the votes of a file, each with an account of its own.
//!
//! `votes` reads the file, `accounts` signs annotators in, `plan` decides who goes next, `play` does what the
//! plan says, `report` keeps count.
//!
//! The service hands out what *it* thinks best, and most of that an annotator of real data has never voted on.
//! It is given back at once, so that it does not wait for somebody who will not come back.

mod accounts;
mod plan;
mod play;
mod report;
pub(crate) mod votes;

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_client::SignIn;
use lambel_core::{ImageId, LabelIndex, Policy, TaskId, api::TaskView};

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    replay::{
        accounts::Accounts,
        plan::Plan,
        play::{Options, Stage},
        report::{LeftOut, Report, Stop},
        votes::{FileVote, read_votes},
    },
    upload::{HASHED_AT_ONCE, hash_file, scan},
};

/// What is said when the command is interrupted.
pub(crate) const INTERRUPTED: &str =
    "interrupted; what annotators still hold is free again when their leases end. Run the same command again to go on";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task. The account that is signed in must be allowed to see it
    task: TaskId,
    /// CSV file with the columns item, annotator and label. An item is the name of a file
    #[arg(long, value_name = "FILE")]
    votes: PathBuf,
    /// The folder that was uploaded
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// How many annotators play at the same time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
    /// How many images an annotator asks for; more where they have votes for few
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    batch: u32,
    /// How many annotators play in all
    #[arg(long, value_name = "N")]
    limit_operators: Option<usize>,
    /// CSV file with the columns annotator, username and password. Who is not in it does not play [default:
    /// accounts named replay-ANNOTATOR are made in the user pool, which needs AWS credentials]
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Stop when nothing has gone on for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let task = client.task(args.task).await?;
    if task.state.is_final() {
        return Err(Failure::new(Exit::Conflict, format!("the task is {} already", task.state.as_str())));
    }
    let votes = open_votes(&args.votes, &task)?;
    let config = client.config().await?;
    let accounts = match &args.accounts {
        Some(file) => Accounts::listed(file)?,
        None => Accounts::made(&config).await,
    };
    let mut left_out = LeftOut::default();
    let images = images_of(&args.images, &votes).await?;
    let mut rows = Vec::with_capacity(votes.len());
    for vote in votes {
        let label = label_index(&task, &vote.label);
        match (images.get(&vote.item), label) {
            _ if !accounts.has(&vote.annotator) => left_out.no_account += 1,
            (Some(image), Some(label)) => rows.push((vote.annotator, *image, label)),
            _ => left_out.no_such_file += 1,
        }
    }
    if rows.is_empty() {
        return Err(Failure::usage(format!(
            "no vote of {} can be played: {} are for files that are not in {}, {} of annotators without an account",
            args.votes.display(),
            left_out.no_such_file,
            args.images.display(),
            left_out.no_account
        )));
    }
    let policy = Policy::parse(&task.policy).map_err(|error| {
        Failure::new(Exit::Failed, format!("the policy of the task is one that this version does not know: {error}"))
    })?;
    let (plan, same_image) = Plan::new(policy, task.labels.len(), rows, args.limit_operators, args.batch);
    left_out.same_image = same_image;

    let report = {
        let progress = Progress::new(context.out, plan.closed_of_all().1 as u64);
        let options = Options { batch: args.batch, patience: Duration::from_secs(args.patience.max(1)) };
        let stage = Stage::new(client, SignIn::new(&config)?, accounts, task, plan, options, &progress);
        let played = stage.play(args.concurrency).await?;
        Report::new(&played.task, played.stop, played.seconds, left_out, played.violations, played.annotators)
    };
    report.show(context.out)?;
    if let Some(first) = report.violations.first() {
        let message = format!(
            "the service has handed {} images to annotators who had voted on them, the first of them {} to `{}`",
            report.violations.len(),
            first.image,
            first.annotator
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    match report.stop {
        Stop::Stalled => {
            let message = format!("nothing has gone on for {} seconds; are all images uploaded?", args.patience);
            Err(Failure::new(Exit::TryAgain, message))
        }
        Stop::TaskOver | Stop::VotesUsedUp => Ok(()),
    }
}

fn label_index(task: &TaskView, text: &str) -> Option<LabelIndex> {
    let place = task.labels.iter().position(|label| label.as_str() == text)?;
    u16::try_from(place).ok().map(LabelIndex)
}

/// The votes of the file, all with labels that the task has.
fn open_votes(path: &Path, task: &TaskView) -> Outcome<Vec<FileVote>> {
    let file =
        File::open(path).map_err(|error| Failure { exit: Exit::Usage, ..Failure::io(path.display(), &error) })?;
    let votes = read_votes(file).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    match votes.iter().find(|vote| label_index(task, &vote.label).is_none()) {
        Some(FileVote { line, label, .. }) => {
            let reason = format!("the label `{label}` is not one of the task's labels");
            Err(Failure::usage(format!("{}: line {line}: {reason}", path.display())))
        }
        None => Ok(votes),
    }
}

/// The images behind the items: the hashes of the files of these names.
async fn images_of(dir: &Path, votes: &[FileVote]) -> Outcome<HashMap<String, ImageId>> {
    let items: HashSet<&str> = votes.iter().map(|vote| vote.item.as_str()).collect();
    let files = scan(dir)?.files.into_iter().filter(|file| items.contains(file.name.as_str()));
    stream::iter(files)
        .map(|file| async move {
            let hash = hash_file(file.path.clone()).await;
            let hash = hash.map_err(|error| Failure::io(file.path.display(), &error))?;
            Ok((file.name.to_string(), hash.image))
        })
        .buffer_unordered(HASHED_AT_ONCE)
        .try_collect()
        .await
}
