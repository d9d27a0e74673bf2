//! `lambel dataset verify` and `gc`: is everything there, and is there more than is needed?

use std::time::Duration;

use lambel_dataset::{Depth, find_garbage, remove_garbage, roots};
use lambel_service::ports::{Clock, SystemClock};
use serde_json::json;

use super::folder::Place;
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::printable,
    progress::megabytes,
};

#[derive(clap::Args)]
pub(crate) struct VerifyArgs {
    /// Only this one and what came before it [default: every branch and tag]
    #[arg(value_name = "VERSION")]
    which: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn verify(context: &Context, args: VerifyArgs) -> Outcome {
    let folder = args.place.open()?;
    let from = match &args.which {
        Some(version) => vec![folder.version(version).await?],
        None => roots(folder.refs()).await?,
    };
    let found = lambel_dataset::verify(folder.objects(), &from, Depth::Ancestors).await?;
    context.out.show(&found, |found| {
        let lines = found.problems.iter().map(|problem| printable(&format!("{}: {}", problem.object, problem.problem)));
        let (commits, chunks, rows) = (found.commits, found.chunks, found.rows);
        let end = format!("{commits} commits, {chunks} chunks, {rows} rows checked");
        lines.chain([end]).collect::<Vec<_>>().join("\n")
    })?;
    match found.problems.len() {
        0 => Ok(()),
        problems => Err(Failure::new(Exit::Conflict, format!("{problems} things are not as they should be"))),
    }
}

#[derive(clap::Args)]
pub(crate) struct GcArgs {
    /// Remove it
    #[arg(long)]
    apply: bool,
    /// Leave alone what is younger; must be longer than any commit takes
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    grace_hours: u32,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn gc(context: &Context, args: GcArgs) -> Outcome {
    let folder = args.place.open()?;
    let grace = Duration::from_secs(u64::from(args.grace_hours) * 3_600);
    let now = SystemClock.now();
    let mut garbage = find_garbage(folder.objects(), folder.refs(), now, grace).await?;
    if args.apply {
        garbage = remove_garbage(folder.objects(), folder.refs(), &garbage, now, grace).await?;
    }
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
        match garbage.young {
            0 => done,
            young => format!("{done}; {young} more are younger than {} hours and stay", args.grace_hours),
        }
    })
}
