//! `lambel dataset commit`: the results of a task as a version.
//!
//! The time of a commit is the latest that its rows know of (a vote, a decision), or else when the task was made:
//! so it follows from the content. The same results, committed by the same account with the same message after
//! the same commit, have the same id in any folder. When the branch was moved is in the log of the branch.

use std::path::PathBuf;

use futures::TryStreamExt;
use lambel_core::TaskId;
use lambel_dataset::{Committed, Draft, RefName, Statistics};
use lambel_service::{
    dataset::{consensus, policy_of},
    ports::{Clock, SystemClock},
};
use serde_json::json;

use super::{
    BRANCH, PROGRAM, author,
    folder::Folder,
    rows::{Watch, rows},
    service::Service,
    short,
};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    results::Pages,
};

pub(super) const INTERRUPTED: &str = "interrupted; in a folder the branch stands where it stood, and what was written is used by the next commit or is \
     for `gc`. A version that the service was asked for is made all the same";

/// The message of a commit where none is given. It has no time in it, so that equal content has an equal id.
const MESSAGE: &str = "results";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task whose results come into a folder
    #[arg(value_name = "TASK", requires = "into", required_unless_present = "kept")]
    task: Option<TaskId>,
    /// The folder of the data set; it is made if it is not there
    #[arg(long, value_name = "DIR", requires = "task")]
    into: Option<PathBuf>,
    /// What to say about this version [default: results]
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// The branch that this version is the newest of
    #[arg(long, value_name = "NAME", default_value = BRANCH)]
    branch: RefName,
    /// The task whose data set the service keeps: ask for a version there, and wait for it
    #[arg(long = "task", id = "kept", value_name = "TASK", conflicts_with_all = ["task", "into", "branch"])]
    kept: Option<TaskId>,
    /// Do not wait until the service has made it
    #[arg(long, requires = "kept")]
    no_wait: bool,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    if let Some(task) = args.kept {
        return Service::new(context, task)?.commit(args.message, !args.no_wait).await;
    }
    let (Some(task), Some(into)) = (args.task, args.into) else {
        return Err(Failure::usage("which task, and into which folder? `TASK --into DIR`, or `--task TASK`"));
    };
    let message = args.message.unwrap_or_else(|| MESSAGE.to_owned());
    let into = Into { task, into, message, branch: args.branch };
    into_folder(context, into).await
}

/// What is to come into a folder.
struct Into {
    task: TaskId,
    into: PathBuf,
    message: String,
    branch: RefName,
}

async fn into_folder(context: &Context, args: Into) -> Outcome {
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
            policy: policy_of(&view.policy),
            consensus: consensus(&view.policy),
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

fn show(context: &Context, args: &Into, committed: &Committed, announced: u64) -> Outcome {
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
