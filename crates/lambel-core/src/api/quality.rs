//! What the client of a task is told of its operators, and of why an image was decided as it was.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::RuleName;
use crate::{
    Label, OperatorId, Timestamp,
    consensus::{Alarm, Confidence, FlagKind, Part, Phase},
};

/// The interval that holds a number in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How far the operators of a task agree beyond chance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agreement {
    /// Krippendorff's alpha for nominal data: 1 is full agreement, 0 is chance, below it is systematic disagreement.
    pub alpha: f64,
    /// Its interval.
    pub interval: Interval,
    /// Images with two votes or more: the others say nothing of agreement.
    pub images: u64,
}

/// A reason to look at what an operator does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlagView {
    /// Which kind it is.
    pub flag: FlagKind,
    /// The reason, with its numbers, in a sentence.
    pub reason: String,
}

/// An operator in one task, as the last look at the votes on decided images has found them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorReport {
    /// Who.
    pub operator: OperatorId,
    /// Votes with a label.
    pub votes: u32,
    /// Votes without one.
    pub abstentions: u32,
    /// Votes for the label that was decided, of those on images that are complete and have two votes or more. Left out
    /// where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Part>,
    /// Right votes on images whose label is known. Left out where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<Part>,
    /// How often they are right, as the votes of all tell it. Left out before the first look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The interval of the accuracy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Only with `adaptive`: what their next vote weighs, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Only with `adaptive`: whether weights decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The median time of a vote, in milliseconds, where times are known; up to 2 % too low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<u32>,
    /// Reasons to look at what they do.
    pub flags: Vec<FlagView>,
    /// Whether they are paused in this task. What an admin has paused everywhere is not told here.
    pub paused: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// Flags for which the policy does not pause them any more, since somebody has let them go on with these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerated: Vec<FlagKind>,
}

/// How the confidences of a task are calibrated: by images whose label is known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CalibrationView {
    /// Images of gold that were answered until the task's rule would have stopped on them. A calibration takes 50.
    pub gold: u32,
    /// *T*, by which scores are divided. Left out, with `epsilon`, where confidences are posteriors as they are: there is
    /// too little gold, or it does not show that anything else is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// ε, the share of images on which the votes say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
}

/// A page of the operators of a task, sorted by id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorPage {
    /// When the votes were looked at last; null before the first look.
    pub measured_at: Option<Timestamp>,
    /// Before the first look: when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<String>,
    /// Decided images at the last look.
    pub images: u64,
    /// Votes with a label on them.
    pub votes: u64,
    /// How far the operators agree. Left out where it cannot be told: no image has two votes, or all of them are for
    /// one label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Agreement>,
    /// Only with `adaptive`, in a task with gold: how its confidences are calibrated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationView>,
    /// Plain majority does better on gold than the model, by more than chance: an error that many share may have made it
    /// sure of what is wrong. Left out where there is no such sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
    /// The operators.
    pub operators: Vec<OperatorReport>,
    /// The `cursor` of the next page, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How often an operator said one label where another, or the same, was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfusionCount {
    /// The label that was decided.
    pub decided: Label,
    /// The label that they said.
    pub said: Label,
    /// How often.
    pub times: u32,
}

/// An operator in one task, with their confusions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperatorQualityView {
    /// When the votes were looked at last; null before the first look.
    pub measured_at: Option<Timestamp>,
    /// What was found.
    #[serde(flatten)]
    pub report: OperatorReport,
    /// What they said where each label was decided: only what happened, in the order of the task's labels.
    pub confusions: Vec<ConfusionCount>,
    /// Whether labels were left out of `confusions`: of a task with more than 16 labels it has the 16 that they mixed
    /// up most.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confusions_cut: bool,
}

/// Whether an operator may work in a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseInTaskView {
    /// Who.
    pub operator: OperatorId,
    /// Whether they are paused in this task.
    pub paused: bool,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// Leases that were given back by this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned: Option<u32>,
}

/// What the votes on an image say of one label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LabelShare {
    /// The label.
    pub label: Label,
    /// Votes for it.
    pub votes: u32,
    /// Only with `adaptive`: the sum of their weights, in nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// How likely it is: its posterior with `adaptive`, else its share of the votes.
    pub confidence: Confidence,
}

/// Why an image was decided as it was: what the rule sees in its votes. Late votes are not in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The rule of the task.
    pub rule: RuleName,
    /// Only with `adaptive`: how sure a label had to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence_wanted: Option<f64>,
    /// Only with `adaptive`: whether weights decided (`warm`), or two votes ahead while nobody was known (`cold`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The labels that were voted for, the likeliest first.
    pub labels: Vec<LabelShare>,
    /// Only with `adaptive`: how likely it is that none of them is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Confidence>,
    /// Only with `adaptive`, and not where the label is known from elsewhere: the posterior of the label when it was
    /// decided. The `confidence` of the image is this, or follows from the same votes by `calibration`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posterior: Option<Confidence>,
    /// How `confidence` was calibrated. Left out where it is the posterior as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<CalibrationView>,
    /// Whether the votes, judged again, come to the decision that is recorded. Left out where nothing was decided, and
    /// where the votes of the image alone have not done it: by a batch, gold or a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agrees: Option<bool>,
}
