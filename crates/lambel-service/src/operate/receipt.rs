//! What becomes of a vote, in the words of the interface.

use lambel_core::{
    Task,
    api::{SubmittedVote, VoteOutcome, VoteReceipt},
    subtask::{Answer, Cast},
};

/// Why a vote is not kept.
pub(super) struct Rejected {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Rejected {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(super) fn not_leased() -> Self {
        Self::new("not-leased", "the image is not leased to you, or the lease has ended and others took it over")
    }

    pub(super) fn not_stored() -> Self {
        Self::new("try-again", "the vote could not be stored now; send it again")
    }
}

/// What a vote says.
pub(super) fn read_answer(task: &Task, vote: &SubmittedVote) -> Result<Answer, Rejected> {
    match (&vote.label, vote.abstain) {
        (Some(label), None) => task
            .labels
            .index_of(label)
            .map(Answer::Label)
            .ok_or_else(|| Rejected::new("unknown-label", "the label is not one of the task's labels")),
        (None, Some(reason)) => Ok(Answer::Abstain(reason)),
        _ => Err(Rejected::new("no-answer", "a vote has either a label or a reason to abstain")),
    }
}

/// The receipt of a vote.
pub(super) fn receipt(vote: &SubmittedVote, outcome: Result<Cast, Rejected>) -> VoteReceipt {
    let (outcome, code, detail) = match outcome {
        Ok(Cast::Counted) => (VoteOutcome::Counted, None, None),
        Ok(Cast::Replaced) => (VoteOutcome::Replaced, None, None),
        Ok(Cast::Unchanged) => (VoteOutcome::Unchanged, None, None),
        Ok(Cast::Late) => (VoteOutcome::Late, None, None),
        Err(Rejected { code, detail }) => (VoteOutcome::Refused, Some(code.to_owned()), Some(detail)),
    };
    VoteReceipt { task: vote.task, image: vote.image, outcome, code, detail }
}
