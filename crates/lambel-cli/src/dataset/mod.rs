//! `lambel dataset`: versions of a task's labelled data set in a local folder.
//!
//! `commit` asks the service for results; everything else works on the folder alone. `folder` opens it and finds
//! versions by their names, `rows` makes rows of results; the commands are in the modules that are called like them.
//! With `--task` the same words go to the versions that the service keeps: `service`.

mod commit;
mod diff;
mod export;
mod fetch;
mod folder;
mod history;
mod keep;
mod mark;
mod note;
mod originals;
mod rows;
mod service;

use std::env;

use lambel_core::Actor;
use lambel_dataset::{CommitId, Error, StoreError, export::ExportError};
use lambel_service::dataset::PROGRAM;

use crate::{
    context::Context,
    exit::{self, Exit, Failure, Outcome},
};

/// The branch where nothing else is said.
const BRANCH: &str = "live";

#[derive(clap::Subcommand)]
#[command(
    after_help = "Where a command takes a VERSION, it takes the name of a branch or a tag, or the id of a commit; \
the first digits of it, four at least, are enough. `live~1` is the commit before `live`.\n\nWith `--task TASK` a command \
goes to the versions that the service keeps, and needs no folder."
)]
pub(crate) enum DatasetCommand {
    /// Fetch the results of a task as a new version; if nothing has changed there is none
    Commit(commit::Args),
    /// List a version and what came before it, the newest first
    Log(history::LogArgs),
    /// Show a version: counts, labels, policy, author
    Show(history::ShowArgs),
    /// List the images that are not the same in two versions
    Diff(diff::Args),
    /// Say which version gave an image the label that it has
    Blame(history::BlameArgs),
    /// Make the rows of an old version those of the newest; nothing is lost
    Rollback(mark::RollbackArgs),
    /// Make `released` stand at a version
    Release(mark::ReleaseArgs),
    /// Give a version a name for good, or list these names
    Tag(mark::TagArgs),
    /// Say something of a version that the service keeps, or read what was said
    Note(note::Args),
    /// List branches and tags, and what they stand for
    Refs(mark::RefsArgs),
    /// Read everything and check it: every hash, order and count; exit code 6 if something is wrong
    Verify(keep::VerifyArgs),
    /// Show what no branch and no tag reaches; with --apply, remove it
    Gc(keep::GcArgs),
    /// Write a version in the format of another tool
    Export(export::Args),
}

pub(crate) async fn run(context: &Context, command: DatasetCommand) -> Outcome {
    match command {
        DatasetCommand::Commit(args) => exit::interruptible(commit::run(context, args), commit::INTERRUPTED).await,
        DatasetCommand::Log(args) => history::log(context, args).await,
        DatasetCommand::Show(args) => history::show(context, args).await,
        DatasetCommand::Diff(args) => diff::run(context, args).await,
        DatasetCommand::Blame(args) => history::blame(context, args).await,
        DatasetCommand::Rollback(args) => mark::rollback(context, args).await,
        DatasetCommand::Release(args) => mark::release(context, args).await,
        DatasetCommand::Tag(args) => mark::tag(context, args).await,
        DatasetCommand::Note(args) => note::run(context, args).await,
        DatasetCommand::Refs(args) => mark::refs(context, args).await,
        DatasetCommand::Verify(args) => keep::verify(context, args).await,
        DatasetCommand::Gc(args) => keep::gc(context, args).await,
        DatasetCommand::Export(args) => exit::interruptible(export::run(context, args), export::INTERRUPTED).await,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, advice) = match &error {
            Error::Store(StoreError::Busy(_)) => (Exit::TryAgain, ""),
            Error::NoBranch(_) | Error::NoImage => (Exit::NotFound, ""),
            Error::Moved { .. } => (Exit::Conflict, "; run the command again to build on what is there now"),
            Error::OtherTask(_) => (Exit::Conflict, "; a folder has the data set of one task"),
            Error::Export(ExportError::NoAddress(_)) => {
                (Exit::Usage, "; give one with `--address-prefix`, such as `s3://bucket/folder/`")
            }
            Error::Export(ExportError::Attribute(_)) => (Exit::Usage, ""),
            Error::Missing(_) | Error::Damaged { .. } => {
                (Exit::Failed, "; `lambel dataset verify` looks at everything")
            }
            _ => (Exit::Failed, ""),
        };
        Self::new(exit, format!("{error}{advice}"))
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Error::from(error).into()
    }
}

/// Who works here: the account that the profile has signed in, or who this machine says it is. It is written down,
/// not proved.
fn author(context: &Context) -> Outcome<Actor> {
    if let Some(profile) = context.profiles.load(&context.name)? {
        let id = profile.session.subject().map_or_else(|| profile.username.clone(), |subject| subject.to_string());
        return Ok(Actor { id, name: Some(profile.username) });
    }
    let name = ["USER", "USERNAME"].iter().filter_map(|name| env::var(name).ok()).find(|name| !name.is_empty());
    Ok(Actor { id: "local".to_owned(), name })
}

/// A person for people.
fn called(actor: &Actor) -> &str {
    actor.name.as_deref().unwrap_or(&actor.id)
}

/// The digits of an id that people read.
fn short(id: CommitId) -> String {
    short_text(&id.to_string())
}

/// The same of an id that is a text.
fn short_text(id: &str) -> String {
    id.chars().take(12).collect()
}
