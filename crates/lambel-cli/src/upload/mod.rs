//! `lambel upload`: the pictures of a folder, many at a time.
//!
//! `scan` finds the files, `hash` reads what they are, `send` announces and uploads them, `report` keeps count.
//! Nothing is kept on this machine: the service knows what it has, so a second run goes on where the first
//! stopped.

mod hash;
mod report;
mod scan;
mod send;

use std::path::PathBuf;

use lambel_core::{TaskId, api::SealTask};

pub(crate) use hash::{HASHED_AT_ONCE, hash_file};
pub(crate) use report::Report;
pub(crate) use scan::{Found, Scan, scan};
pub(crate) use send::Sender;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::Progress,
};

/// What is said when the command is interrupted.
pub(crate) const INTERRUPTED: &str = "interrupted; run the same command again to go on where it stopped";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// The folder. Hidden files are skipped, symbolic links are not followed
    dir: PathBuf,
    /// Say afterwards that these are all the images of the task
    #[arg(long)]
    seal: bool,
    /// How many files go up at the same time
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let found = scan(&args.dir)?;
    let report = Report::new(args.task, &found);
    if found.files.is_empty() {
        let reason = format!("there is no picture to upload in {}", args.dir.display());
        report.show(context.out)?;
        return Err(Failure::new(Exit::SomeFiles, reason));
    }
    let sent = {
        let progress = Progress::new(context.out, found.files.len() as u64);
        let sender = Sender { client: &client, task: args.task, report: &report, progress: &progress };
        sender.send(found.files, usize::from(args.concurrency)).await
    };
    if let Err(failure) = sent {
        report.show(context.out)?;
        return Err(failure);
    }
    let mut report = report;
    let mut unsealed = None;
    if args.seal {
        match report.number_to_seal() {
            Ok(images) => {
                let sealed = client.seal_task(args.task, &SealTask { images }).await;
                report.sealed = Some(sealed.map_err(|error| {
                    Failure::from(error).about("everything is uploaded, but the task cannot be sealed")
                })?);
            }
            Err(reason) => unsealed = Some(reason),
        }
    }
    report.show(context.out)?;
    match (report.all_taken(), unsealed) {
        (_, Some(reason)) => Err(Failure::new(Exit::SomeFiles, format!("the task is not sealed: {reason}"))),
        (false, None) => Err(Failure::new(Exit::SomeFiles, "some files were refused or have failed; see above")),
        (true, None) => Ok(()),
    }
}
