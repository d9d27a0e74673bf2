//! `lambel dataset log`, `show` and `blame`.

use futures::TryStreamExt;
use lambel_core::ImageId;
use lambel_dataset::{Commit, CommitId, LogEntry};
use serde_json::{Value, json};

use super::{
    BRANCH, called,
    commit::counts,
    folder::{Folder, Names, Place},
    short,
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
    place: Place,
}

pub(super) async fn log(context: &Context, args: LogArgs) -> Outcome {
    let folder = args.place.open()?;
    let from = folder.version(&args.which).await?;
    let names = folder.names().await?;
    let entries = lambel_dataset::log(folder.objects(), from, args.limit).await?;
    if context.out.json {
        return entries.iter().try_for_each(|entry| context.out.json(&json_of(entry.id, &entry.commit, &names)?));
    }
    let line = |LogEntry { id, commit }: &LogEntry| {
        let statistics = &commit.statistics;
        vec![
            short(*id),
            commit.at.to_string(),
            called(&commit.author).to_owned(),
            format!("{}/{}", statistics.complete, statistics.images),
            names.of(*id),
            commit.message.lines().next().unwrap_or_default().to_owned(),
        ]
    };
    let mut rows = vec![["commit", "content of", "by", "complete", "names", "message"].map(str::to_owned).to_vec()];
    rows.extend(entries.iter().map(line));
    context.out.line(&columns(&rows))
}

/// A commit as it is stored, with its id and names.
fn json_of(id: CommitId, commit: &Commit, names: &Names) -> Outcome<Value> {
    let (_, bytes) = commit.encode()?;
    let mut json: Value = serde_json::from_slice(&bytes).map_err(lambel_dataset::Error::from)?;
    if let Some(fields) = json.as_object_mut() {
        // They say how it is stored.
        fields.remove("v");
        fields.remove("kind");
        fields.insert("commit".to_owned(), json!(id));
        fields.insert("branches".to_owned(), json!(names.branches_of(id)));
        fields.insert("tags".to_owned(), json!(names.tags_of(id)));
    }
    Ok(json)
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// Which one
    #[arg(value_name = "VERSION", default_value = BRANCH)]
    which: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn show(context: &Context, args: ShowArgs) -> Outcome {
    let folder = args.place.open()?;
    let id = folder.version(&args.which).await?;
    let commit = folder.commit(id).await?;
    let names = folder.names().await?;
    context.out.show(&json_of(id, &commit, &names)?, |json| describe(id, &commit, &names, json))
}

fn describe(id: CommitId, commit: &Commit, names: &Names, json: &Value) -> String {
    let statistics = &commit.statistics;
    let labels = commit.labels.iter().map(|label| {
        let images = statistics.labels.get(label).copied().unwrap_or(0);
        format!("{label} {images}")
    });
    let models: Vec<_> = commit.models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    let parents: Vec<_> = commit.parents.iter().map(ToString::to_string).collect();
    let votes = format!("{}, {} abstentions, {} late", statistics.votes, statistics.abstentions, statistics.late);
    let rows = [
        ("commit", id.to_string()),
        ("names", names.of(id)),
        ("task", commit.task.to_string()),
        ("content of", commit.at.to_string()),
        ("by", called(&commit.author).to_owned()),
        ("message", commit.message.clone()),
        ("follows", parents.join(", ")),
        (
            "images",
            counts(statistics).split_once(": ").map_or_else(String::new, |(_, each)| {
                format!("{} with {} names: {each}", statistics.images, statistics.names)
            }),
        ),
        ("labels", labels.collect::<Vec<_>>().join(", ")),
        ("votes", votes),
        ("consensus", format!("{} {}", commit.consensus.method, json["consensus"]["parameters"])),
        ("models", models.join(", ")),
        ("program", commit.program.clone()),
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
    place: Place,
}

pub(super) async fn blame(context: &Context, args: BlameArgs) -> Outcome {
    let folder = args.place.open()?;
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
