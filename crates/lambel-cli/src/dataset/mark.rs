//! `lambel dataset rollback` and `tag`.

use lambel_dataset::{
    RefName,
    store::{Tag, Tagged},
};
use lambel_service::ports::{Clock, SystemClock};
use serde_json::json;

use super::{BRANCH, PROGRAM, author, called, commit::counts, folder::Place, short};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::columns,
};

#[derive(clap::Args)]
pub(crate) struct RollbackArgs {
    /// The version whose rows come back
    #[arg(value_name = "VERSION")]
    which: String,
    /// The branch that gets a new commit with these rows
    #[arg(long, value_name = "NAME", default_value = BRANCH)]
    branch: RefName,
    /// Why
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn rollback(context: &Context, args: RollbackArgs) -> Outcome {
    let folder = args.place.open()?;
    let to = folder.version(&args.which).await?;
    let at = SystemClock.now();
    let message = args.message.unwrap_or_else(|| format!("rollback to {}", short(to)));
    let (author, program) = (author(context)?, PROGRAM.to_owned());
    let done = folder.dataset.rollback(&args.branch, to, author, at, program, message).await?;
    let is_new = done.moved.is_some();
    let shown = json!({
        "commit": done.id, "new": is_new, "branch": args.branch, "rows_of": to, "parents": done.commit.parents,
        "statistics": done.commit.statistics,
    });
    context.out.show(&shown, |_| {
        let (id, branch, counts) = (done.id, &args.branch, counts(&done.commit.statistics));
        match is_new {
            true => format!("{id}\n{branch} is at {} now, with the rows of {}: {counts}", short(id), short(to)),
            false => format!("{id}\nnothing has changed: {branch} has these rows already: {counts}"),
        }
    })
}

#[derive(clap::Args)]
pub(crate) struct TagArgs {
    /// The name [default: list all tags]
    name: Option<RefName>,
    /// The version that it stands for from now on
    #[arg(value_name = "VERSION", default_value = BRANCH)]
    which: String,
    #[command(flatten)]
    place: Place,
}

pub(super) async fn tag(context: &Context, args: TagArgs) -> Outcome {
    let folder = args.place.open()?;
    let names = folder.names().await?;
    let Some(name) = args.name else { return list(context, &names.tags) };
    if names.is_branch(&name) {
        return Err(Failure::new(Exit::Conflict, format!("{name} is the name of a branch")));
    }
    let commit = folder.version(&args.which).await?;
    let tag = Tag { name, commit, by: author(context)?, at: SystemClock.now() };
    let is_new = match folder.refs().tag(&tag).await? {
        Tagged::Set => true,
        Tagged::Known => false,
        Tagged::Taken(other) => {
            let message = format!("{} stands for {} already, and a tag never moves", tag.name, short(other));
            return Err(Failure::new(Exit::Conflict, message));
        }
    };
    let shown = json!({"tag": tag.name, "commit": commit, "new": is_new});
    context.out.show(&shown, |_| format!("{} stands for {commit}", tag.name))
}

fn list(context: &Context, tags: &[Tag]) -> Outcome {
    if context.out.json {
        let json = |tag: &Tag| json!({"tag": tag.name, "commit": tag.commit, "by": tag.by, "at": tag.at});
        return tags.iter().try_for_each(|tag| context.out.json(&json(tag)));
    }
    if tags.is_empty() {
        context.out.note("there are no tags");
        return Ok(());
    }
    let row = |tag: &Tag| vec![tag.name.to_string(), short(tag.commit), tag.at.to_string(), called(&tag.by).to_owned()];
    context.out.line(&columns(&tags.iter().map(row).collect::<Vec<_>>()))
}
