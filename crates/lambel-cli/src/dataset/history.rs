//! `lambel dataset log`, `show` and `blame`.

use futures::TryStreamExt;
use lambel_core::{
    ImageId,
    api::dataset::{CommitView, StatisticsView},
};
use lambel_dataset::CommitId;

use super::{
    BRANCH, called,
    folder::{Folder, Source},
    short, short_text,
};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::{columns, printable},
};

#[derive(clap::Args)]
pub(crate) struct LogArgs {
    /// Where to begin
    #[arg(value_name = "VERSION", default_value = BRANCH)]
    which: String,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn log(context: &Context, args: LogArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.log(args.which, args.limit).await;
    }
    let folder = args.source.open()?;
    let from = folder.version(&args.which).await?;
    let names = folder.names().await?;
    let entries = lambel_dataset::log(folder.objects(), from, args.limit).await?;
    let versions: Vec<_> = entries.iter().map(|entry| names.view(entry.id, &entry.commit)).collect();
    list(context, &versions)
}

/// Versions, the newest first: each on a line.
pub(super) fn list(context: &Context, versions: &[CommitView]) -> Outcome {
    if context.out.json {
        return versions.iter().try_for_each(|version| context.out.json(version));
    }
    let line = |version: &CommitView| {
        vec![
            short_text(&version.commit),
            version.at.to_string(),
            called(&version.author).to_owned(),
            format!("{}/{}", version.statistics.complete, version.statistics.images),
            names_of(version),
            version.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let mut rows = vec![["commit", "content of", "by", "complete", "names", "message"].map(str::to_owned).to_vec()];
    rows.extend(versions.iter().map(line));
    context.out.line(&columns(&rows))
}

/// All names of a version, for people.
fn names_of(version: &CommitView) -> String {
    [&version.branches[..], &version.tags[..]].concat().join(", ")
}

/// What a version has, for people.
pub(super) fn counts(statistics: &StatisticsView) -> String {
    let StatisticsView { images, complete, disputed, unlabelled, rejected, .. } = statistics;
    format!("{images} images: {complete} complete, {disputed} disputed, {unlabelled} unlabelled, {rejected} rejected")
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// Which one
    #[arg(value_name = "VERSION", default_value = BRANCH)]
    which: String,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn show(context: &Context, args: ShowArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.show(&args.which).await;
    }
    let folder = args.source.open()?;
    let id = folder.version(&args.which).await?;
    let commit = folder.commit(id).await?;
    let names = folder.names().await?;
    context.out.show(&names.view(id, &commit), describe)
}

/// A version with all that is known of it, for people.
pub(super) fn describe(version: &CommitView) -> String {
    let statistics = &version.statistics;
    let labels = version.labels.iter().map(|label| {
        let images = statistics.labels.get(label).copied().unwrap_or(0);
        format!("{label} {images}")
    });
    let models: Vec<_> = version.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    let votes = format!("{}, {} abstentions, {} late", statistics.votes, statistics.abstentions, statistics.late);
    let parameters = serde_json::Value::Object(version.consensus.parameters.clone());
    let rows = [
        ("commit", version.commit.clone()),
        ("names", names_of(version)),
        ("task", version.task.to_string()),
        ("content of", version.at.to_string()),
        ("by", called(&version.author).to_owned()),
        ("message", version.message.clone()),
        ("follows", version.parents.join(", ")),
        (
            "images",
            counts(statistics).split_once(": ").map_or_else(String::new, |(_, each)| {
                format!("{} with {} names: {each}", statistics.images, statistics.names)
            }),
        ),
        ("labels", labels.collect::<Vec<_>>().join(", ")),
        ("votes", votes),
        ("consensus", format!("{} {parameters}", version.consensus.method)),
        ("models", models.join(", ")),
        ("program", version.program.clone()),
    ];
    let shown = rows.into_iter().filter(|(_, value)| !value.is_empty());
    columns(&shown.map(|(name, value)| vec![name.to_owned(), value]).collect::<Vec<_>>())
}

#[derive(clap::Args)]
pub(crate) struct BlameArgs {
    /// The image: its id, or the name of its file
    #[arg(value_name = "IMAGE")]
    image: String,
    /// In which version it has the label that is asked about
    #[arg(long, value_name = "VERSION", default_value = BRANCH)]
    at: String,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn blame(context: &Context, args: BlameArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.blame(args.image, args.at).await;
    }
    let folder = args.source.open()?;
    let from = folder.version(&args.at).await?;
    let image = match args.image.parse() {
        Ok(image) => image,
        Err(_) => image_called(&folder, from, &args.image).await?,
    };
    let blame = lambel_dataset::blame(folder.objects(), from, &image).await?;
    context.out.show(&blame, |blame| {
        let what = blame.label.as_ref().map_or_else(String::new, |label| format!(" {label}"));
        let (status, commit, by) = (blame.status.as_str(), short(blame.commit), called(&blame.by));
        printable(&format!("{status}{what}, since {commit} ({}, by {by}): {}", blame.at, blame.message))
    })
}

/// The image that has a file of this name. All rows are read: the ring is in the order of ids.
async fn image_called(folder: &Folder, version: CommitId, name: &str) -> Outcome<ImageId> {
    let tree = folder.commit(version).await?.tree(folder.objects()).await?;
    let mut chunks = tree.rows(folder.objects());
    while let Some(rows) = chunks.try_next().await? {
        let has_it = |row: &&lambel_dataset::Row| row.names.iter().any(|known| known.as_str() == name);
        if let Some(row) = rows.iter().find(has_it) {
            return Ok(row.image);
        }
    }
    Err(Failure::new(Exit::NotFound, format!("no image of this version is called {name:?}")))
}
