//! `lambel dataset diff`: what is not the same in two versions.

use futures::TryStreamExt;
use lambel_dataset::{Change, ChangeKind, DiffSummary, Row};
use serde_json::{Value, json};

use super::folder::Source;
use crate::{context::Context, exit::Outcome, output::printable};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The older version
    #[arg(value_name = "VERSION")]
    a: String,
    /// The newer version
    #[arg(value_name = "VERSION")]
    b: String,
    /// Only the counts
    #[arg(long)]
    summary: bool,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.diff(args.a, args.b, args.summary).await;
    }
    let folder = args.source.open()?;
    let objects = folder.objects();
    let (a, b) = (folder.version(&args.a).await?, folder.version(&args.b).await?);
    let (before, after) = (folder.commit(a).await?.tree(objects).await?, folder.commit(b).await?.tree(objects).await?);
    let mut summary = DiffSummary::default();
    let mut changes = lambel_dataset::diff(objects, &before, &after);
    while let Some(change) = changes.try_next().await? {
        summary.add(&change);
        if !args.summary {
            show(context, &change)?;
        }
    }
    end(context, &a.to_string(), &b.to_string(), &summary, args.summary)
}

/// One image that is not the same.
pub(super) fn show(context: &Context, change: &Change) -> Outcome {
    let Change { image, before, after } = change;
    let shown = json!({"image": image, "kinds": change.kinds(), "before": before, "after": after});
    context.out.show(&shown, |_| describe(change))
}

/// The counts: all that is asked for, or what people are told at the end.
pub(super) fn end(context: &Context, a: &str, b: &str, summary: &DiffSummary, only: bool) -> Outcome {
    if only {
        let shown = json!({"a": a, "b": b, "images": summary.images, "kinds": summary.kinds});
        return context.out.show(&shown, |_| counts(summary));
    }
    context.out.note(&counts(summary));
    Ok(())
}

fn counts(summary: &DiffSummary) -> String {
    if summary.images == 0 {
        return "the two versions have the same rows".to_owned();
    }
    let kinds: Vec<_> = summary.kinds.iter().map(|(kind, images)| format!("{images} {}", word(*kind))).collect();
    format!("{} images are not the same: {}", summary.images, kinds.join(", "))
}

/// How a kind is written, in JSON too.
fn word(kind: ChangeKind) -> String {
    match serde_json::to_value(kind) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// A change on one line: how, which image, and what came out before and after.
fn describe(change: &Change) -> String {
    let kinds: Vec<_> = change.kinds().into_iter().map(word).collect();
    let name = [&change.after, &change.before].into_iter().flatten().find_map(Row::name);
    let name = name.map_or_else(|| change.image.to_string(), ToString::to_string);
    let side = |row: &Option<Row>| match row {
        None => "nothing".to_owned(),
        Some(row) => match (row.outcome.label(), row.outcome.confidence()) {
            (Some(label), Some(confidence)) => {
                format!("{} {label} ({:.0} %)", row.outcome.status().as_str(), 100.0 * confidence.get())
            }
            _ => row.outcome.status().as_str().to_owned(),
        },
    };
    printable(&format!("{}  {name}: {} -> {}", kinds.join(","), side(&change.before), side(&change.after)))
}
