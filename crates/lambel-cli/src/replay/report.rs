//! The count of a replay, and what is said of it in the end.

use lambel_core::{
    ImageId, OperatorId, TaskId, TaskState,
    api::{Progress, TaskView, VoteOutcome},
};
use serde::Serialize;

use crate::{exit::Outcome, output::Output};

/// Why a replay has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stop {
    /// The task is complete or cancelled.
    TaskOver,
    /// There is no vote left that the task wants.
    VotesUsedUp,
    /// Nothing has gone on for too long.
    Stalled,
}

/// What became of votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) cast: u64,
    pub(crate) counted: u64,
    pub(crate) replaced: u64,
    pub(crate) unchanged: u64,
    pub(crate) late: u64,
    pub(crate) refused: u64,
    /// Claims made, subtasks handed out, and those of them that were given back.
    pub(crate) claims: u64,
    pub(crate) handed_out: u64,
    pub(crate) returned: u64,
}

impl Tally {
    pub(crate) fn vote(&mut self, outcome: VoteOutcome) {
        self.cast += 1;
        match outcome {
            VoteOutcome::Counted => self.counted += 1,
            VoteOutcome::Replaced => self.replaced += 1,
            VoteOutcome::Unchanged => self.unchanged += 1,
            VoteOutcome::Late => self.late += 1,
            VoteOutcome::Refused => self.refused += 1,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.cast += other.cast;
        self.counted += other.counted;
        self.replaced += other.replaced;
        self.unchanged += other.unchanged;
        self.late += other.late;
        self.refused += other.refused;
        self.claims += other.claims;
        self.handed_out += other.handed_out;
        self.returned += other.returned;
    }
}

/// An annotator who has played.
#[derive(Debug, Serialize)]
pub(crate) struct AnnotatorReport {
    pub(crate) annotator: String,
    pub(crate) username: String,
    pub(crate) operator: OperatorId,
    #[serde(flatten)]
    pub(crate) tally: Tally,
}

/// An image that was handed to an annotator who had voted on it: a fault of the service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Violation {
    pub(crate) annotator: String,
    pub(crate) image: ImageId,
}

/// The report of a replay.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) task: TaskId,
    pub(crate) stop: Stop,
    pub(crate) state: TaskState,
    pub(crate) progress: Option<Progress>,
    /// From the first claim to the end.
    pub(crate) seconds: f64,
    /// Votes that the service took, for each of these seconds.
    pub(crate) images_per_second: f64,
    pub(crate) votes: Tally,
    /// Votes of the file that were left out: for files that are not in the folder, for a second name of an
    /// image, for annotators without an account.
    pub(crate) left_out: LeftOut,
    pub(crate) violations: Vec<Violation>,
    pub(crate) annotators: Vec<AnnotatorReport>,
}

/// Votes of the file that take no part.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) no_such_file: u64,
    pub(crate) same_image: u64,
    pub(crate) no_account: u64,
}

impl Report {
    /// Of a replay that has ended.
    pub(crate) fn new(
        task: &TaskView,
        stop: Stop,
        seconds: f64,
        left_out: LeftOut,
        violations: Vec<Violation>,
        annotators: Vec<AnnotatorReport>,
    ) -> Self {
        let mut votes = Tally::default();
        annotators.iter().for_each(|annotator| votes.add(&annotator.tally));
        let taken = votes.cast - votes.refused;
        let images_per_second = if seconds > 0.0 { taken as f64 / seconds } else { 0.0 };
        let (state, progress) = (task.state, task.progress);
        Self {
            task: task.task,
            stop,
            state,
            progress,
            seconds,
            images_per_second,
            votes,
            left_out,
            violations,
            annotators,
        }
    }

    pub(crate) fn show(&self, out: Output) -> Outcome {
        out.show(self, |report| {
            let votes = &report.votes;
            let why = match report.stop {
                Stop::TaskOver => "",
                Stop::VotesUsedUp => "; there are no more votes that it wants",
                Stop::Stalled => "; nothing went on any more",
            };
            format!(
                "the task is {}{why}\n{} votes of {} annotators: {} counted, {} replaced, {} unchanged, {} late, {} refused\n\
                 {} claims, {} images handed out, {} given back\n{:.1} images a second in {:.1} seconds",
                report.state.as_str(),
                votes.cast,
                report.annotators.len(),
                votes.counted,
                votes.replaced,
                votes.unchanged,
                votes.late,
                votes.refused,
                votes.claims,
                votes.handed_out,
                votes.returned,
                report.images_per_second,
                report.seconds
            )
        })
    }
}
