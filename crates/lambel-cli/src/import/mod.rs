//! `lambel task import`: a task out of what another tool has, with its pictures, labels and votes.
//!
//! First everything is read and looked for, and nothing is done if a single line is broken or a picture is missing.
//! Then the task is made, the pictures go up as with `lambel upload`, and once they are validated the votes come in.
//!
//! The import has an id, made of what is imported. The task knows it, so the same command finds the task again and
//! goes on, or finds that there is nothing left to do. Nothing is kept on this machine.
//!
//! | module | what |
//! |---|---|
//! | `read` | the file, as a plan |
//! | `config` | labelling configurations of Label Studio |
//! | `pictures` | which file each image is |
//! | `votes` | who said what of which image |
//! | `place` | the task that all goes to |
//! | `bring` | votes on their way |
//! | `report` | what is said in the end |

mod bring;
mod config;
mod pictures;
mod place;
mod read;
mod report;
mod votes;

use std::{path::PathBuf, time::Duration};

use clap::ValueEnum;
use lambel_client::Client;
use lambel_core::{
    TaskId, TaskState,
    api::{BeginImport, SealTask, TaskView},
    limits,
};
use lambel_dataset::import::ImportProblem;
use serde_json::json;

use self::{pictures::Placed, place::Wish, read::Input, report::Summary, votes::Votes};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    task::{AudienceArgs, PolicyArgs},
    upload::{Report, Scan, Sender, scan},
};

/// What is said when the command is interrupted.
pub(crate) const INTERRUPTED: &str = "interrupted; run the same command again to go on where it stopped";

/// How often the task is looked at while pictures are validated.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long nothing may happen to what is awaited.
const PATIENCE: Duration = Duration::from_secs(120);
/// Problems that are listed; the others are counted.
const LISTED: usize = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file: a JSON export of Label Studio, or a manifest of Ground Truth
    file: PathBuf,
    /// What wrote the file
    #[arg(long, value_enum)]
    format: Format,
    /// The folder with the pictures. They are found by the ends of their addresses
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// What the new task is called [default: as the file]
    #[arg(long, conflicts_with = "task")]
    name: Option<String>,
    /// Import into this task instead of a new one
    #[arg(long, value_name = "TASK")]
    task: Option<TaskId>,
    /// A label that images can get though the file has none with it; once for each. In a manifest without names of
    /// classes, these are the classes, in order
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// ground-truth: the label attribute, where lines have several
    #[arg(long, value_name = "NAME")]
    attribute: Option<String>,
    /// label-studio: the labelling configuration of the project, which has the labels and what they are called
    #[arg(long, value_name = "FILE", conflicts_with = "image_key")]
    label_config: Option<PathBuf>,
    /// label-studio: the control that has the labels, where there are several
    #[arg(long, value_name = "NAME")]
    from_name: Option<String>,
    /// label-studio: which field of `data` has the address of the image [default: image]
    #[arg(long, value_name = "NAME")]
    image_key: Option<String>,
    /// Whether what models have said counts as their votes
    #[arg(long, value_enum, default_value_t = Predictions::Votes)]
    predictions: Predictions,
    /// What operators should know: plain text, or @FILE for the text of a file
    #[arg(long, value_name = "TEXT|@FILE")]
    instructions: Option<String>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    audience: AudienceArgs,
    /// Say afterwards that these are all the images of the task
    #[arg(long, conflicts_with = "task")]
    seal: bool,
    /// Read the file and look for the pictures, and say what would be done
    #[arg(long)]
    dry_run: bool,
    /// How many files go up at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON of Label Studio: a list of tasks with annotations and predictions
    LabelStudio,
    /// A manifest of SageMaker Ground Truth, input or output
    GroundTruth,
}

impl Format {
    fn as_str(self) -> &'static str {
        match self {
            Self::LabelStudio => "label-studio",
            Self::GroundTruth => "ground-truth",
        }
    }
}

/// What becomes of what models have said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Predictions {
    /// They are votes, as those of people
    Votes,
    /// They are counted, and left out
    LeaveOut,
}

/// What is known before anything is done.
struct Prepared {
    input: Input,
    placed: Placed,
    votes: Votes,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let prepared = prepare(context, &args).await?;
    let summary = Summary::of(&prepared);
    let (format, dry_run, task) = (args.format, args.dry_run, args.task);
    let wish = Wish::of(args, &prepared.input, prepared.placed.distinct)?;
    if !dry_run {
        return carry_out(context, format, wish, prepared, summary).await;
    }
    if let Some(task) = task {
        place::takes_labels(&context.client()?.task(task).await?, &prepared.input.labels)?;
    }
    summary.show(context.out)
}

/// Reads everything and looks for everything. What is wrong is shown, all of it, and then nothing is done.
async fn prepare(context: &Context, args: &Args) -> Outcome<Prepared> {
    let input = match read::read(args)? {
        Ok(input) => input,
        Err((problems, broken)) => return Err(refused(context, &problems, broken, "")?),
    };
    let scan = scan(&args.images)?;
    let placed = match pictures::place(&input.images, scan, &args.images).await? {
        Ok(placed) => placed,
        Err((problems, advice)) => {
            let broken = problems.len() as u64;
            return Err(refused(context, &problems, broken, &advice)?);
        }
    };
    let votes = Votes::of(&input.images, &placed.images, args.predictions == Predictions::Votes)?;
    Ok(Prepared { input, placed, votes })
}

/// Shows what is wrong, and how the command ends for it.
fn refused(context: &Context, problems: &[ImportProblem], broken: u64, advice: &str) -> Outcome<Failure> {
    let listed = &problems[..problems.len().min(LISTED)];
    if context.out.json {
        context.out.json(&json!({ "problems": listed, "broken": broken }))?;
    } else {
        listed.iter().for_each(|problem| context.out.note(&format!("element {problem}")));
        let more = broken.saturating_sub(listed.len() as u64);
        if more > 0 {
            context.out.note(&format!("and {more} more"));
        }
    }
    let message = format!("{broken} elements cannot be imported, so nothing was done{advice}");
    Ok(Failure::usage(message))
}

async fn carry_out(context: &Context, format: Format, wish: Wish, prepared: Prepared, mut summary: Summary) -> Outcome {
    let Prepared { placed, votes, .. } = prepared;
    let client = context.client()?;
    let (concurrency, seal, import) = (wish.concurrency, wish.seal, wish.import.clone());
    let (task, found) = place::find_or_make(&client, wish).await?;
    (summary.task, summary.import, summary.found) = (Some(task.task), Some(import.clone()), found);
    if task.state.is_final() {
        if task.state == TaskState::Cancelled || !task.imports.contains(&import) {
            let reason = format!("the task is {} and takes no votes any more", task.state.as_str());
            return Err(Failure::new(Exit::Conflict, reason));
        }
        // The import was done, or has completed the task on its way: there is nothing left to decide.
        (summary.state, summary.nothing_new) = (Some(task.state), true);
        return summary.show(context.out);
    }
    let begin = BeginImport {
        import: import.clone(),
        source: format.as_str().parse().map_err(|error| Failure::usage(format!("{error}")))?,
        images: votes.images,
        votes: votes.votes.len() as u64,
    };
    client.begin_import(task.task, &begin).await?;
    context.out.note(&format!("task {}", task.task));

    let report = upload(context, &client, task.task, placed, concurrency).await?;
    let there = report.images();
    validated(context, &client, task.task, there.len() as u64).await?;
    let (votes, homeless): (Vec<_>, Vec<_>) = votes.votes.into_iter().partition(|vote| there.contains(&vote.image));
    let mut brought = bring::bring(context, &client, task.task, &import, votes).await?;
    brought.of_refused_images += homeless.len() as u64;
    if seal {
        let images = report.number_to_seal().map_err(|reason| {
            Failure::new(Exit::SomeFiles, format!("everything is imported, but the task is not sealed: {reason}"))
        })?;
        let sealed = client.seal_task(task.task, &SealTask { images }).await;
        summary.state = Some(
            sealed
                .map_err(|error| Failure::from(error).about("everything is imported, but the task cannot be sealed"))?
                .state,
        );
    }
    let complete = report.all_taken() && brought.left_out() == 0;
    summary.nothing_new = report.uploaded_and_failed().0 == 0 && brought.counted + brought.replaced == 0;
    (summary.upload, summary.brought) = (Some(report.counts_json()), Some(brought));
    summary.show(context.out)?;
    match complete {
        true => Ok(()),
        false => Err(Failure::new(Exit::SomeFiles, "some pictures or votes were left out; see above")),
    }
}

/// Sends the pictures up, those that the task has already left alone.
async fn upload(context: &Context, client: &Client, task: TaskId, placed: Placed, concurrency: u16) -> Outcome<Report> {
    let scan = Scan { files: placed.files, refused: Vec::new() };
    let report = Report::new(task, &scan);
    {
        let progress = Progress::new(context.out, scan.files.len() as u64);
        let sender = Sender { client, task, report: &report, progress: &progress };
        sender.send(scan.files, usize::from(concurrency)).await?;
    }
    match report.uploaded_and_failed() {
        (_, Some(reason)) => {
            let message = format!("some pictures are not uploaded ({reason}); run the same command again");
            Err(Failure::new(Exit::TryAgain, message))
        }
        _ => Ok(report),
    }
}

/// Waits until so many images were looked at.
async fn validated(context: &Context, client: &Client, task: TaskId, images: u64) -> Outcome<TaskView> {
    let progress = Progress::new(context.out, images);
    let mut last = (0, tokio::time::Instant::now());
    loop {
        let view = client.task(task).await?;
        let checked = view.progress.map_or(0, |counts| counts.accepted + counts.rejected);
        progress.set(checked, || "pictures validated".to_owned());
        if checked >= images || view.state == TaskState::Cancelled {
            return Ok(view);
        }
        if checked > last.0 {
            last = (checked, tokio::time::Instant::now());
        }
        if last.1.elapsed() > PATIENCE {
            let message = format!(
                "{checked} of {images} pictures are validated and nothing has moved for {} s; run the same command \
                 again later",
                PATIENCE.as_secs()
            );
            return Err(Failure::new(Exit::TryAgain, message));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The most labels that a task can have, said where there are more.
fn too_many(labels: usize) -> Option<String> {
    let most = limits::LABELS_PER_TASK;
    (labels > most).then(|| format!("the file has {labels} different labels; a task has {most} at most"))
}
