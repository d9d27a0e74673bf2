//! `lambel admin check` and `lambel admin repair`: a task counted again, and mended.

use lambel_core::{Counts, TaskId};
use lambel_service::{
    repair::{Repairer, Step},
    survey::{Finding, Report, Surveyor},
};
use serde_json::json;

use super::stack::{Stack, StackArgs, failed};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::columns,
};

#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The id of the task
    task: TaskId,
    #[command(flatten)]
    stack: StackArgs,
}

#[derive(clap::Args)]
pub(crate) struct RepairArgs {
    /// The id of the task
    task: TaskId,
    /// Do it; without this it is only said
    #[arg(long)]
    apply: bool,
    /// Publish every decision of the task again, with the same event ids, for those who have not heard of them
    #[arg(long)]
    announce: bool,
    #[command(flatten)]
    stack: StackArgs,
}

pub(super) async fn check(context: &Context, args: CheckArgs) -> Outcome {
    let stack = args.stack.open().await?;
    let report = survey(&stack, args.task).await?;
    context.out.show(&report, describe)?;
    match report.found {
        0 => Ok(()),
        found => Err(Failure::new(Exit::Conflict, format!("{found} findings; `lambel admin repair` says what to do"))),
    }
}

pub(super) async fn repair(context: &Context, args: RepairArgs) -> Outcome {
    let stack = args.stack.open().await?;
    let report = survey(&stack, args.task).await?;
    let repairer = Repairer::new(stack.store()?, stack.quality()?, stack.objects()?, stack.messages()?, stack.clock());
    let repairer = repairer.with_gold(stack.gold()?);
    let (steps, announced) = if args.apply {
        let steps = repairer.repair(&report).await.map_err(failed)?;
        let announced = if args.announce { repairer.announce(args.task).await.map_err(failed)? } else { 0 };
        (steps, announced)
    } else {
        (Vec::new(), 0)
    };
    let answer = json!({
        "task": args.task,
        "applied": args.apply,
        "findings": report.findings,
        "found": report.found,
        "steps": steps,
        "announced": announced,
    });
    context.out.show(&answer, |_| {
        let mut lines: Vec<String> = report.findings.iter().map(told).collect();
        if report.findings.is_empty() {
            lines.push("nothing is amiss".to_owned());
        }
        lines.extend(more(&report));
        lines.extend(steps.iter().map(done));
        if announced > 0 {
            lines.push(format!("published {announced} events again"));
        }
        lines.join("\n")
    })?;
    if !args.apply && (report.findings.iter().any(|finding| finding.remedy().is_some()) || args.announce) {
        context.out.note("Nothing was changed. Run it again with --apply to do it.");
    }
    let left = report.findings.iter().filter(|finding| finding.remedy().is_none()).count();
    match left {
        0 => Ok(()),
        left => Err(Failure::new(Exit::Conflict, format!("{left} findings are for a person to judge"))),
    }
}

async fn survey(stack: &Stack, task: TaskId) -> Outcome<Report> {
    let surveyor = Surveyor::new(stack.store()?, stack.objects()?, stack.clock());
    surveyor.survey(task).await.map_err(failed)
}

fn describe(report: &Report) -> String {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let records = report.records.iter().map(|(state, n)| format!("{n} {state}")).collect::<Vec<_>>().join(", ");
    let images = report.images.map_or_else(|| "not sealed".to_owned(), |n| format!("sealed with {n} images"));
    let mut rows = vec![
        row("task", format!("{}, {}, {images}", report.task, report.state.as_str())),
        row("files", format!("{} in the bucket, {} announced and not there", report.uploads, report.awaited)),
        row("records", if records.is_empty() { "none".to_owned() } else { records }),
        row("votes", format!("{}, and {} that came late", report.votes, report.late_votes)),
        row("counters", counts(&report.counted)),
        row("recounted", counts(&report.recounted)),
    ];
    if report.settling > 0 {
        rows.push(row("under way", format!("{} files have come too recently to be missed", report.settling)));
    }
    if report.left_alone > 0 {
        rows.push(row(
            "left alone",
            format!("{} images came when the task was over, beyond its seal", report.left_alone),
        ));
    }
    if report.in_motion {
        rows.push(row("note", "something was counted meanwhile: counters are held against bounds".to_owned()));
    }
    let mut lines = vec![columns(&rows)];
    lines.extend(report.findings.iter().map(told));
    lines.extend(more(report));
    if report.found == 0 {
        lines.push("nothing is amiss".to_owned());
    }
    lines.join("\n")
}

fn more(report: &Report) -> Option<String> {
    let unnamed = report.found.saturating_sub(report.findings.len() as u64);
    (unnamed > 0).then(|| format!("… and {unnamed} more"))
}

fn counts(counts: &Counts) -> String {
    let Counts { accepted, rejected, complete, disputed, votes } = counts;
    format!("{accepted} accepted, {rejected} rejected, {complete} complete, {disputed} disputed, {votes} votes in them")
}

/// A finding, and what to do about it.
fn told(finding: &Finding) -> String {
    let what = match finding {
        Finding::NotRecorded { image, since } => format!("{image}: uploaded at {since}, and there is no record"),
        Finding::NotOpened { image, since } => format!("{image}: recorded at {since}, and nobody can claim it"),
        Finding::NotClosed { image } => format!("{image}: decided by its votes, and open"),
        Finding::DecisionDiffers { image, written, follows } => {
            let written = serde_json::to_string(written).unwrap_or_default();
            let follows = serde_json::to_string(follows).unwrap_or_default();
            format!("{image}: the decision is {written}; from its votes follows {follows}")
        }
        Finding::TooManyVotes { image, votes, most } => format!("{image}: {votes} votes, and {most} are the most"),
        Finding::FileGone { image } => format!("{image}: its file is gone"),
        Finding::FileDiffers { image, bytes, recorded } => {
            format!("{image}: its file has {bytes} bytes, its record says {recorded}")
        }
        Finding::NameMissing { image } => format!("{image}: no name leads to it, so it is not in the results"),
        Finding::CountersDiffer { counted, recounted } => {
            format!("the counters say {}; a recount says {}", counts(counted), counts(recounted))
        }
        Finding::NotCompleted => "the task is done, and not complete".to_owned(),
        Finding::CompletedTooEarly { undecided } => {
            format!("the task is complete, and {undecided} images of those that were sealed are not done")
        }
    };
    format!("{what} [{}]", finding.remedy().unwrap_or("nothing that could be done by itself"))
}

fn done(step: &Step) -> String {
    match step {
        Step::SentToValidator { images } => format!("sent {images} files to the validator"),
        Step::SentToOpener { images } => format!("sent {images} records to the opener"),
        Step::Closed { images } => format!("closed {images} images"),
        Step::Corrected { change } => {
            format!("added to the counters: {}", serde_json::to_string(change).unwrap_or_default())
        }
        Step::Completed => "completed the task".to_owned(),
    }
}
