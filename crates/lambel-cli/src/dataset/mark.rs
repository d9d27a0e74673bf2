//! `lambel dataset rollback`, `release`, `tag` and `refs`.

use lambel_core::api::dataset::{BranchMoved, BranchView, RefsView, TagView};
use lambel_dataset::{
    RefName,
    store::{Moved, Reason, Tag, Tagged},
};
use lambel_service::ports::{Clock, SystemClock};
use serde_json::json;

use super::{
    BRANCH, PROGRAM, author, called,
    commit::counts,
    folder::{Names, Source},
    history, short, short_text,
};
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
    source: Source,
}

pub(super) async fn rollback(context: &Context, args: RollbackArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.rollback(args.which, args.branch.to_string(), args.message).await;
    }
    let folder = args.source.open()?;
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
    source: Source,
}

pub(super) async fn tag(context: &Context, args: TagArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return match args.name {
            Some(name) => service.tag(name.to_string(), args.which).await,
            None => service.tags().await,
        };
    }
    let folder = args.source.open()?;
    let names = folder.names().await?;
    let Some(name) = args.name else { return list(context, &tag_views(&names)) };
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

fn tag_views(names: &Names) -> Vec<TagView> {
    let view = |tag: &Tag| {
        let (name, commit) = (tag.name.to_string(), tag.commit.to_string());
        TagView { tag: name, commit, by: tag.by.clone(), at: tag.at }
    };
    names.tags.iter().map(view).collect()
}

pub(super) fn list(context: &Context, tags: &[TagView]) -> Outcome {
    if context.out.json {
        return tags.iter().try_for_each(|tag| context.out.json(tag));
    }
    if tags.is_empty() {
        context.out.note("there are no tags");
        return Ok(());
    }
    let row =
        |tag: &TagView| vec![tag.tag.clone(), short_text(&tag.commit), tag.at.to_string(), called(&tag.by).to_owned()];
    context.out.line(&columns(&tags.iter().map(row).collect::<Vec<_>>()))
}

#[derive(clap::Args)]
pub(crate) struct ReleaseArgs {
    /// The version
    #[arg(value_name = "VERSION", default_value = BRANCH)]
    which: String,
    /// Why
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn release(context: &Context, args: ReleaseArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.release(args.which, args.message).await;
    }
    let folder = args.source.open()?;
    let to = folder.version(&args.which).await?;
    let commit = folder.commit(to).await?;
    let released = RefName::released();
    let from = folder.dataset.head(&released).await?;
    if from != Some(to) {
        let why = args.message.unwrap_or_else(|| "release".to_owned());
        let reason = Reason { by: author(context)?, at: SystemClock.now(), why };
        if let Moved::Lost { stands } = folder.refs().advance(&released, from, to, &reason).await? {
            return Err(lambel_dataset::Error::Moved { branch: released, stands }.into());
        }
    }
    let version = folder.names().await?.view(to, &commit);
    show_move(context, &BranchMoved { branch: released.to_string(), new: from != Some(to), version })
}

/// Where a branch stands now.
pub(super) fn show_move(context: &Context, moved: &BranchMoved) -> Outcome {
    let BranchMoved { branch, new, version } = moved;
    let shown = json!({
        "commit": version.commit, "new": new, "branch": branch, "parents": version.parents,
        "statistics": version.statistics,
    });
    context.out.show(&shown, |_| {
        let (id, counts) = (&version.commit, history::counts(&version.statistics));
        match new {
            true => format!("{id}\n{branch} is at {} now: {counts}", short_text(id)),
            false => format!("{id}\nnothing has changed: {branch} has these rows already: {counts}"),
        }
    })
}

#[derive(clap::Args)]
pub(crate) struct RefsArgs {
    #[command(flatten)]
    source: Source,
}

pub(super) async fn refs(context: &Context, args: RefsArgs) -> Outcome {
    if let Some(service) = args.source.service(context)? {
        return service.refs().await;
    }
    let names = args.source.open()?.names().await?;
    let branches = names.branches.iter().map(|(name, last)| BranchView {
        branch: name.to_string(),
        commit: last.to.to_string(),
        seq: last.seq,
        from: last.from.map(|id| id.to_string()),
        by: last.by.clone(),
        at: last.at,
        message: last.why.clone(),
    });
    let refs = RefsView { branches: branches.collect(), tags: tag_views(&names), answered: None };
    show_refs(context, &refs)
}

/// Where the branches stand, and what the tags stand for.
pub(super) fn show_refs(context: &Context, refs: &RefsView) -> Outcome {
    context.out.show(refs, |refs| {
        let branches = refs.branches.iter().map(|branch| {
            let (by, message) = (called(&branch.by).to_owned(), branch.message.clone());
            vec![branch.branch.clone(), short_text(&branch.commit), branch.at.to_string(), by, message]
        });
        let tags = refs.tags.iter().map(|tag| {
            let by = called(&tag.by).to_owned();
            vec![tag.tag.clone(), short_text(&tag.commit), tag.at.to_string(), by, "a tag".to_owned()]
        });
        columns(&branches.chain(tags).collect::<Vec<_>>())
    })
}
