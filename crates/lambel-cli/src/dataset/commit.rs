//! `lambel dataset commit`: the results of a task as a version.
//!
//! The time of a commit is the latest that its rows know of (a vote, a decision), or else when the task was made:
//! so it follows from the content. The same results, committed by the same account with the same message after
//! the same commit, have the same id in any folder. When the branch was moved is in the log of the branch.

use std::path::PathBuf;

use futures::TryStreamExt;
use lambel_core::{
    TaskId,
    api::{PolicyFields, TaskView},
};
use lambel_dataset::{Committed, Consensus, Draft, RefName, Statistics};
use lambel_service::ports::{Clock, SystemClock};
use serde_json::{Map, Value, json};

use super::{
    BRANCH, PROGRAM, author,
    folder::Folder,
    rows::{Watch, rows},
    short,
};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    results::Pages,
};

pub(super) const INTERRUPTED: &str =
    "interrupted; the branch stands where it stood. What was written is used by the next commit, or is for `gc`";

/// The message of a commit where none is given. It has no time in it, so that equal content has an equal id.
const MESSAGE: &str = "results";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// The folder of the data set; it is made if it is not there
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// What to say about this version
    #[arg(long, short, value_name = "TEXT", default_value = MESSAGE)]
    message: String,
    /// The branch that this version is the newest of
    #[arg(long, value_name = "NAME", default_value = BRANCH)]
    branch: RefName,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let author = author(context)?;
    let view = client.task(args.task).await?;
    let folder = Folder::open_or_make(&args.into)?;
    if let Some(task) = folder.task().await?.filter(|task| *task != args.task) {
        let message = format!("{} has the data set of the task {task}; name another folder", args.into.display());
        return Err(Failure::new(Exit::Conflict, message));
    }
    if folder.names().await?.is_tag(&args.branch) {
        return Err(Failure::new(Exit::Conflict, format!("{} is the name of a tag", args.branch)));
    }
    let total = view.progress.map_or(0, |progress| progress.accepted + progress.rejected);
    let progress = Progress::new(context.out, total);
    let watch = Watch::default();
    let rows = rows(Pages::new(client, args.task), watch.clone())
        .inspect_ok(|_| progress.set(watch.seen().images, || "images".to_owned()));
    let draft = || {
        let seen = watch.seen();
        let draft = Draft {
            task: args.task,
            author,
            at: seen.latest.unwrap_or(view.created_at),
            message: args.message.clone(),
            labels: view.labels.clone(),
            policy: object(&view.policy),
            consensus: consensus(&view),
            models: seen.models.iter().cloned().collect(),
            program: PROGRAM.to_owned(),
        };
        (draft, SystemClock.now())
    };
    let committed = folder.dataset.commit_rows_then(&args.branch, rows, draft).await;
    drop(progress);
    let committed = match (committed, watch.seen().failure.take()) {
        (_, Some(failure)) => return Err(failure),
        (committed, None) => committed?,
    };
    let announced = watch.seen().announced;
    if announced > 0 {
        context.out.note(&format!("{announced} files were announced and have not come; they are left out"));
    }
    show(context, &args, &committed, announced)
}

fn show(context: &Context, args: &Args, committed: &Committed, announced: u64) -> Outcome {
    let Committed { id, commit, moved, written } = committed;
    let shown = json!({
        "commit": id, "new": moved.is_some(), "branch": args.branch, "task": args.task, "tree": commit.tree,
        "parents": commit.parents, "at": commit.at, "message": commit.message, "statistics": commit.statistics,
        "written": {"objects": written.objects, "bytes": written.bytes}, "announced": announced,
    });
    context.out.show(&shown, |_| {
        let counts = counts(&commit.statistics);
        match moved {
            Some(_) => format!("{id}\n{} is at {} now: {counts}", args.branch, short(*id)),
            None => format!("{id}\nnothing has changed: {} stays at {}: {counts}", args.branch, short(*id)),
        }
    })
}

/// What a version has, for people.
pub(super) fn counts(statistics: &Statistics) -> String {
    let Statistics { images, complete, disputed, unlabelled, rejected, .. } = statistics;
    format!("{images} images: {complete} complete, {disputed} disputed, {unlabelled} unlabelled, {rejected} rejected")
}

fn object(policy: &PolicyFields) -> Map<String, Value> {
    match serde_json::to_value(policy) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// How votes became labels: what of the policy decides that.
fn consensus(view: &TaskView) -> Consensus {
    let mut parameters = object(&view.policy);
    let method = parameters.remove("rule").and_then(|rule| rule.as_str().map(str::to_owned));
    // How long somebody may look at an image, and how they are measured, changes no label.
    parameters.remove("lease_seconds");
    parameters.remove("gold_rate");
    Consensus { method: method.unwrap_or_else(|| "majority".to_owned()), parameters }
}
