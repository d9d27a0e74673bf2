//! Consensus: has an image enough votes, and what is its label?
//!
//! A [`Rule`] looks at the votes of one subtask and gives a [`Verdict`]. It is a pure function of its
//! arguments, does not depend on the order of the votes, and is the only place where labels are decided.

mod adaptive;
mod alpha;
mod calibration;
mod counts;
mod dawid_skene;
mod explain;
mod lead;
mod majority;
mod map_em;
mod matrix;
mod matrix_picture;
mod quality;
mod replay;
mod review;
mod scores;
mod skill;
mod table;
mod tally;
mod weight;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use adaptive::{Adaptive, COLD_LEAD, Phase, WARM_ANSWERS, WARM_IMAGES};
pub use alpha::{Alpha, krippendorff_alpha, unanimous_share};
pub use calibration::{Alarm, Calibration, alarm, calibration_error};
pub use dawid_skene::{DawidSkene, ITERATIONS as DAWID_SKENE_ITERATIONS};
pub use explain::{Explanation, Share};
pub use lead::Lead;
pub use majority::Majority;
pub use map_em::{CONFUSION_LABELS, ITERATIONS_FINAL, ITERATIONS_RUNNING, MapEm};
pub use matrix::{Cell, Matrix};
pub use quality::{Answered, Answers, Flag, FlagKind, OperatorRecord, Part, TaskRecord};
pub use replay::{CALIBRATED_FROM, Calibrated, Replay, replay};
pub use review::{BATCH_SHARE, Review, Standing, review};
pub use scores::{Estimate, Scores};
pub use skill::Skill;
pub use table::{Ballot, TableError, VoteTable};
pub use tally::{Evidence, Plurality};
pub use weight::{Earned, Measured, Weight};

use crate::{
    LabelIndex,
    subtask::{Vote, Votes},
};

/// How sure a decision is: from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schema(value_type = f64, minimum = 0, maximum = 1, example = 0.67)]
pub struct Confidence(f64);

impl Confidence {
    /// A confidence, held between 0 and 1; what is no number is no confidence at all.
    pub fn new(share: f64) -> Self {
        if share.is_nan() { Self(0.0) } else { Self(share.clamp(0.0, 1.0)) }
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

// It is a number, always: see `Confidence::new`.
impl Eq for Confidence {}

impl TryFrom<f64> for Confidence {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(format!("{value} is not from 0 to 1")) }
    }
}

impl From<Confidence> for f64 {
    fn from(confidence: Confidence) -> Self {
        confidence.0
    }
}

/// What a rule says of the votes there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// Not enough yet.
    Undecided {
        /// How many further votes with a label are wanted now: at least 1.
        wanted: u32,
    },
    /// Enough.
    Decided(Decision),
}

/// The end of a subtask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Its label. None only in a dispute in which nobody gave one.
    pub label: Option<LabelIndex>,
    /// How sure the rule is of the label.
    pub confidence: Confidence,
    /// Why no answer was found, if none was: then the label is merely the best there is.
    pub dispute: Option<Dispute>,
}

impl Decision {
    /// How likely a vote for `label` was right, by this decision: what it [feeds](Skill::feed) into the record of
    /// who cast it. What the confidence leaves is spread evenly over the other of the task's `labels`.
    pub fn probability(&self, label: LabelIndex, labels: usize) -> f64 {
        let confidence = self.confidence.get();
        if self.label == Some(label) { confidence } else { (1.0 - confidence) / labels.saturating_sub(1).max(1) as f64 }
    }
}

/// Why a subtask ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dispute {
    /// It took all the votes that its policy allows, and the rule found no answer in them.
    NoAnswer,
    /// Too many operators abstained.
    Abstentions,
}

/// A rule that a task can choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// A fixed quorum, plurality.
    Majority(Majority),
    /// Some votes ahead.
    Lead(Lead),
    /// A posterior, out of votes that weigh what their operators have earned.
    Adaptive(Adaptive),
}

impl Rule {
    /// Judges the votes of one subtask. `labels` is the number of labels that the task has.
    pub fn judge(&self, labels: usize, votes: &Votes) -> Verdict {
        match self {
            Self::Majority(rule) => rule.judge(&plurality(labels, votes)),
            Self::Lead(rule) => rule.judge(&plurality(labels, votes)),
            Self::Adaptive(rule) => rule.judge(labels, phase(labels, votes), weighed(labels, votes)),
        }
    }

    /// The best there is of votes that nothing can be added to: a label, if anybody gave one, and how sure it is.
    pub fn best(&self, labels: usize, votes: &Votes) -> (Option<LabelIndex>, Confidence) {
        match self {
            Self::Majority(_) | Self::Lead(_) => {
                let plurality = plurality(labels, votes);
                (plurality.leader, plurality.share())
            }
            Self::Adaptive(_) => {
                let evidence = Evidence::weigh(labels, weighed(labels, votes));
                (evidence.leader, evidence.confidence)
            }
        }
    }

    /// The scores of the labels by the votes of one subtask: what [`Rule::judge`] takes the posterior of. None by a rule
    /// that does not weigh, and where nobody gave a label.
    pub fn scores(&self, labels: usize, votes: &Votes) -> Option<Scores> {
        if self.weighs() { Scores::of_weights(labels, weighed(labels, votes)) } else { None }
    }

    /// Whether votes count by what their operators have earned.
    pub fn weighs(&self) -> bool {
        matches!(self, Self::Adaptive(_))
    }

    /// What a vote weighs; none by a rule that does not weigh, and for an abstention.
    pub fn weight(&self, labels: usize, vote: &Vote) -> Option<Weight> {
        (self.weighs() && vote.answer.label().is_some()).then(|| weight(labels, vote))
    }

    /// The most votes with a label that a subtask takes.
    pub fn max_labels(&self) -> u32 {
        match self {
            Self::Majority(rule) => rule.max_labels,
            Self::Lead(rule) => rule.max_labels,
            Self::Adaptive(rule) => rule.max_labels,
        }
    }
}

/// The votes of a subtask for labels that the task has.
fn given(labels: usize, votes: &Votes) -> impl Iterator<Item = (LabelIndex, &Vote)> + Clone {
    let labelled = votes.values().filter_map(|vote| Some((vote.answer.label()?, vote)));
    labelled.filter(move |(label, _)| usize::from(label.0) < labels)
}

fn plurality(labels: usize, votes: &Votes) -> Plurality {
    Plurality::count(given(labels, votes).map(|(label, _)| label))
}

fn weighed(labels: usize, votes: &Votes) -> impl Iterator<Item = (LabelIndex, f64)> + Clone {
    given(labels, votes).map(move |(label, vote)| (label, weight(labels, vote).nats()))
}

fn weight(labels: usize, vote: &Vote) -> Weight {
    vote.earned.map_or_else(|| Weight::of_unknown(labels), |earned| earned.weight)
}

/// The phase that a record says: warm as soon as one of its votes came when the operators were known. Without any
/// vote it says nothing. Then as few are asked for as may be enough, which is what the warm phase does.
fn phase(labels: usize, votes: &Votes) -> Phase {
    let mut none = true;
    for (_, vote) in given(labels, votes) {
        if vote.earned.is_some_and(|earned| earned.phase == Phase::Warm) {
            return Phase::Warm;
        }
        none = false;
    }
    if none { Phase::Warm } else { Phase::Cold }
}
