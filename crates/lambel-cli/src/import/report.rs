//! What is said of an import: what it would do, or what it has done.

use lambel_core::{ImportName, TaskId, TaskState};
use serde::Serialize;
use serde_json::Value;

use super::{Prepared, bring::Brought};
use crate::{
    exit::Outcome,
    output::{Output, columns},
};

/// What there is to say.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task: Option<TaskId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) import: Option<ImportName>,
    /// Whether the task was there before.
    pub(super) found: bool,
    /// Where the task stands, if it was sealed, or is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<TaskState>,
    /// Whether everything was there before, or nothing is left to decide.
    pub(super) nothing_new: bool,
    elements: u64,
    repeated: u64,
    distinct_images: u64,
    labels: Vec<String>,
    votes: u64,
    votes_by_models: u64,
    images_with_votes: u64,
    predictions_left_out: u64,
    said_twice: u64,
    results_without_votes: u64,
    truths: u64,
    /// What became of the pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<Value>,
    /// What became of the votes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) brought: Option<Brought>,
}

impl Summary {
    /// Of what was read.
    pub(super) fn of(Prepared { input, placed, votes }: &Prepared) -> Self {
        Self {
            task: None,
            import: None,
            found: false,
            state: None,
            nothing_new: false,
            elements: input.images.len() as u64 + input.repeated,
            repeated: input.repeated,
            distinct_images: placed.distinct,
            labels: input.labels.clone(),
            votes: votes.votes.len() as u64,
            votes_by_models: votes.by_models,
            images_with_votes: votes.images,
            predictions_left_out: votes.predictions_left_out,
            said_twice: votes.said_twice,
            results_without_votes: votes.results_without_votes,
            truths: votes.truths,
            upload: None,
            brought: None,
        }
    }

    pub(super) fn show(&self, out: Output) -> Outcome {
        out.show(self, Self::text)
    }

    fn text(&self) -> String {
        let mut rows = Vec::new();
        let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
        match self.task {
            Some(task) if self.found => row("task", format!("{task}, which was there before")),
            Some(task) => row("task", task.to_string()),
            None => row("task", "none yet: this is what would be imported".to_owned()),
        }
        if let Some(state) = self.state {
            row("state", state.as_str().to_owned());
        }
        row("elements", format!("{}: {} different images", self.elements, self.distinct_images));
        let shown: Vec<_> = self.labels.iter().take(12).map(String::as_str).collect();
        let more = self.labels.len().saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        row("labels", format!("{}{more}", shown.join(", ")));
        let of_models = match self.votes_by_models {
            0 => String::new(),
            n => format!(", {n} of them by models"),
        };
        row("votes", format!("{} on {} images{of_models}", self.votes, self.images_with_votes));
        if let Some(uploaded) = self.upload.as_ref().and_then(|upload| upload["uploaded"].as_u64()) {
            row("pictures", format!("{uploaded} uploaded; the others were there"));
        }
        if let Some(brought) = &self.brought {
            let Brought { counted, replaced, unchanged, late, .. } = brought;
            let done =
                format!("{counted} counted, {replaced} replaced, {unchanged} there before, {late} after the decision");
            row("brought in", done);
            for (count, why) in [
                (
                    brought.of_refused_images,
                    "on files that were refused; `lambel images TASK --state rejected` says why",
                ),
                (brought.no_slot, "on images that operators look at now; run the same command again later"),
                (brought.refused, brought.first_refusal.as_deref().unwrap_or("refused")),
            ] {
                if count > 0 {
                    row("left out", format!("{count} votes: {why}"));
                }
            }
        }
        for (count, what) in [
            (self.predictions_left_out, "predictions are left out"),
            (self.said_twice, "votes: the same operator has said something later of the same bytes"),
            (self.results_without_votes, "results without votes: they are nobody's, and are left out"),
            (self.truths, "labels are called the truth: they came in as votes"),
        ] {
            if count > 0 {
                row("note", format!("{count} {what}"));
            }
        }
        match self.brought {
            Some(_) if self.nothing_new => row("so", "everything was there before".to_owned()),
            None if self.state.is_some_and(TaskState::is_final) => {
                row("so", "the task is over: nothing is left to decide".to_owned());
            }
            _ => {}
        }
        columns(&rows)
    }
}
