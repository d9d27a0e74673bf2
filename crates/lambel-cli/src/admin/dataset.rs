//! `lambel admin dataset`: a task's data set, straight on the bucket and the tables.

use std::time::Duration;

use lambel_core::TaskId;
use lambel_service::dataset::{Checked, Checker};
use serde_json::json;

use super::stack::{StackArgs, failed};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::printable,
    progress::megabytes,
};

#[derive(clap::Subcommand)]
pub(crate) enum DatasetCommand {
    /// Read every version of a task's data set and check it, and hold the newest against the tables
    Verify(VerifyArgs),
    /// Show what no branch and no tag of a task's data set reaches; with --apply, remove it
    Gc(GcArgs),
}

#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    /// The id of the task
    task: TaskId,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(clap::Args)]
pub(crate) struct GcArgs {
    /// The id of the task
    task: TaskId,
    /// Remove it
    #[arg(long)]
    apply: bool,
    /// Leave alone what is younger
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..))]
    grace_hours: u32,
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn run(context: &Context, command: DatasetCommand) -> Outcome {
    match command {
        DatasetCommand::Verify(args) => verify(context, args).await,
        DatasetCommand::Gc(args) => gc(context, args).await,
    }
}

async fn verify(context: &Context, args: VerifyArgs) -> Outcome {
    let stack = args.stack.open().await?;
    let checker = Checker::new(stack.store()?, stack.datasets()?, stack.clock());
    let checked = checker.verify(args.task).await.map_err(failed)?;
    context.out.show(&checked, describe)?;
    // A task that goes on has news that no version has yet.
    let disagreements = if checked.in_motion { 0 } else { checked.disagreements.len() };
    match checked.versions.problems.len() + disagreements {
        0 => Ok(()),
        found => Err(Failure::new(Exit::Conflict, format!("{found} things are not as they should be"))),
    }
}

fn describe(checked: &Checked) -> String {
    let versions = &checked.versions;
    let problems =
        versions.problems.iter().map(|problem| printable(&format!("{}: {}", problem.object, problem.problem)));
    let differ = checked.disagreements.iter().map(|one| {
        let why = if checked.in_motion { "the task goes on" } else { "a rollback does that, or something is wrong" };
        format!("{}: {} where `live` stands, {} in the tables ({why})", one.what, one.version, one.tables)
    });
    let end = format!("{} commits, {} chunks, {} rows checked", versions.commits, versions.chunks, versions.rows);
    problems.chain(differ).chain([end]).collect::<Vec<_>>().join("\n")
}

async fn gc(context: &Context, args: GcArgs) -> Outcome {
    let stack = args.stack.open().await?;
    let checker = Checker::new(stack.store()?, stack.datasets()?, stack.clock());
    let grace = Duration::from_secs(u64::from(args.grace_hours) * 3_600);
    let garbage = checker.collect(args.task, grace, args.apply).await.map_err(failed)?;
    let paths: Vec<_> = garbage.objects.iter().map(|object| object.key.to_string()).collect();
    let shown = json!({
        "applied": args.apply, "objects": paths.len(), "bytes": garbage.bytes(), "young": garbage.young,
        "reached": garbage.reached, "paths": paths,
    });
    context.out.show(&shown, |_| {
        let what = format!("{} objects, {}", paths.len(), megabytes(garbage.bytes()));
        let done = match (args.apply, paths.is_empty()) {
            (_, true) => "there is nothing to remove".to_owned(),
            (true, false) => format!("removed {what}"),
            (false, false) => format!("{what} could be removed; --apply does it"),
        };
        format!(
            "{done}; {} are needed, {} more are younger than {} hours",
            garbage.reached, garbage.young, args.grace_hours
        )
    })
}
