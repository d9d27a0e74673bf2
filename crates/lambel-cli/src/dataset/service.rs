//! The same questions and commands to the service, which keeps versions of its own.

use std::time::{Duration, Instant};

use lambel_client::Client;
use lambel_core::{
    NoteKey, TaskId,
    api::{
        dataset::{BlameQuery, CommitFields, DiffQuery, LogQuery, ReleaseFields, RollbackFields, TagFields},
        notes::NoteFields,
    },
};
use lambel_dataset::{Change, DiffSummary};
use serde_json::{Map, Value, json};

use super::{called, diff, history, mark, note, short_text};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::{columns, printable},
    progress::Progress,
};

/// Differences of one page.
const PAGE: u32 = 1_000;
/// How long a version is waited for. The service has a quarter of an hour for one, and others may come first.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Between two looks whether it is there: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// The data set of one task, where the service keeps it.
pub(super) struct Service<'a> {
    context: &'a Context,
    client: Client,
    task: TaskId,
}

impl<'a> Service<'a> {
    pub(super) fn new(context: &'a Context, task: TaskId) -> Outcome<Self> {
        Ok(Self { context, client: context.client()?, task })
    }

    /// Asks for a version, and waits until it is there.
    pub(super) async fn commit(&self, message: Option<String>, wait: bool) -> Outcome {
        let out = self.context.out;
        let asked = self.client.ask_for_version(self.task, &CommitFields { message }).await?;
        if !wait {
            return out.show(&asked, |asked| format!("asked for at {}", asked.asked_at));
        }
        let (begun, mut pause) = (Instant::now(), FIRST_LOOK);
        let progress = Progress::new(out, 0);
        let answered = loop {
            let refs = self.client.refs(self.task).await?;
            if let Some(answered) = refs.answered.filter(|answered| answered.asked_at >= asked.asked_at) {
                break answered;
            }
            if begun.elapsed() > PATIENCE {
                let message = "the version is not there yet; it is made all the same, or its owner finds out why not";
                return Err(Failure::new(Exit::TryAgain, message));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        };
        drop(progress);
        let version = self.client.version(self.task, &answered.commit).await?;
        let shown = json!({
            "commit": version.commit, "new": answered.new, "branch": "live", "task": self.task, "tree": version.tree,
            "parents": version.parents, "at": version.at, "message": version.message, "statistics": version.statistics,
        });
        out.show(&shown, |_| {
            let (id, counts) = (&version.commit, history::counts(&version.statistics));
            match answered.new {
                true => format!("{id}\nlive is at {} now: {counts}", short_text(id)),
                false => format!("{id}\nnothing has changed: live stays at {}: {counts}", short_text(id)),
            }
        })
    }

    pub(super) async fn log(&self, which: String, limit: usize) -> Outcome {
        let mut versions = Vec::new();
        let mut from = Some(which);
        while from.is_some() && versions.len() < limit {
            let page = self.client.version_log(self.task, &LogQuery { from, limit: None }).await?;
            versions.extend(page.commits);
            from = page.next;
        }
        versions.truncate(limit);
        history::list(self.context, &versions)
    }

    pub(super) async fn show(&self, which: &str) -> Outcome {
        let version = self.client.version(self.task, which).await?;
        let notes = self.client.notes(self.task, &version.commit).await?.notes;
        let mut shown = serde_json::to_value(&version)
            .map_err(|error| Failure::new(Exit::Failed, format!("the version cannot be written: {error}")))?;
        shown["notes"] = json!(notes);
        self.context.out.show(&shown, |_| {
            let text = history::describe(&version);
            match notes.is_empty() {
                true => text,
                false => format!("{text}\n\n{}", columns(&notes.iter().map(note::row).collect::<Vec<_>>())),
            }
        })
    }

    /// The notes of a version, each on a line.
    pub(super) async fn notes(&self, which: &str) -> Outcome {
        let (out, found) = (self.context.out, self.client.notes(self.task, which).await?.notes);
        if out.json {
            return found.iter().try_for_each(|note| out.json(note));
        }
        if found.is_empty() {
            out.note("there are no notes");
            return Ok(());
        }
        out.line(&columns(&found.iter().map(note::row).collect::<Vec<_>>()))
    }

    /// One note of a version, all of it.
    pub(super) async fn note(&self, which: &str, key: &NoteKey) -> Outcome {
        self.context.out.show(&self.client.note(self.task, which, key).await?, note::whole)
    }

    pub(super) async fn put_note(&self, which: &str, key: &NoteKey, fields: &NoteFields) -> Outcome {
        let written = self.client.put_note(self.task, which, key, fields).await?;
        self.context.out.show(&written, |written| format!("{} is a note of {} now", written.note.key, written.commit))
    }

    pub(super) async fn diff(&self, a: String, b: String, only_counts: bool) -> Outcome {
        let mut query = DiffQuery { a, b, cursor: None, limit: Some(PAGE) };
        let mut summary = DiffSummary::default();
        loop {
            let page = self.client.version_diff(self.task, &query).await?;
            for change in page.changes {
                let row = |row: Option<Map<String, Value>>| {
                    let row = row.map(|fields| serde_json::from_value(Value::Object(fields))).transpose();
                    row.map_err(|error| {
                        Failure::new(Exit::Failed, format!("the service answers what is no row: {error}"))
                    })
                };
                let change = Change { image: change.image, before: row(change.before)?, after: row(change.after)? };
                summary.add(&change);
                if !only_counts {
                    diff::show(self.context, &change)?;
                }
            }
            // What the names stand for may change meanwhile.
            (query.a, query.b, query.cursor) = (page.a, page.b, page.next);
            if query.cursor.is_none() {
                return diff::end(self.context, &query.a, &query.b, &summary, only_counts);
            }
        }
    }

    pub(super) async fn blame(&self, image: String, at: String) -> Outcome {
        let blame = self.client.blame(self.task, &BlameQuery { image, at: Some(at) }).await?;
        self.context.out.show(&blame, |blame| {
            let what = blame.label.as_ref().map_or_else(String::new, |label| format!(" {label}"));
            let (status, commit, by) = (&blame.status, short_text(&blame.commit), called(&blame.by));
            printable(&format!("{status}{what}, since {commit} ({}, by {by}): {}", blame.at, blame.message))
        })
    }

    pub(super) async fn rollback(&self, version: String, branch: String, message: Option<String>) -> Outcome {
        let fields = RollbackFields { version, branch: Some(branch), message };
        let moved = self.client.rollback(self.task, &fields).await?;
        mark::show_move(self.context, &moved)
    }

    pub(super) async fn release(&self, version: String, message: Option<String>) -> Outcome {
        let moved = self.client.release(self.task, &ReleaseFields { version, message }).await?;
        mark::show_move(self.context, &moved)
    }

    pub(super) async fn tag(&self, tag: String, version: String) -> Outcome {
        let set = self.client.tag(self.task, &TagFields { tag, version: Some(version) }).await?;
        self.context.out.show(&set, |set| format!("{} stands for {}", set.tag, set.commit))
    }

    pub(super) async fn tags(&self) -> Outcome {
        mark::list(self.context, &self.client.refs(self.task).await?.tags)
    }

    /// Where the branches stand, and what the tags stand for.
    pub(super) async fn refs(&self) -> Outcome {
        mark::show_refs(self.context, &self.client.refs(self.task).await?)
    }
}
