//! What a batch does with images that were decided, or could be.

use super::{Adaptive, Decision, Evidence, Verdict};
use crate::LabelIndex;

/// An image is looked at again each time so many of the task's images were decided, as a share of all.
pub const BATCH_SHARE: f64 = 0.05;

/// Where an image stands before a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes votes.
    Open,
    /// It was decided for this label.
    Decided(Option<LabelIndex>),
}

/// What a batch says of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Review {
    /// It stays as it is.
    Keep,
    /// It is decided, for the first time or for another label than before.
    Decide(Decision),
    /// It has fallen below the confidence and takes votes again, at least one.
    Reopen,
}

/// Reviews one image by the posterior that all votes of the task give it. `can_take` says whether anybody is
/// left who could vote on it.
pub fn review(rule: &Adaptive, standing: Standing, evidence: &Evidence, can_take: bool) -> Review {
    match (standing, rule.judge_evidence(evidence)) {
        (Standing::Open, Verdict::Undecided { .. }) => Review::Keep,
        (Standing::Open, Verdict::Decided(decision)) => Review::Decide(decision),
        (Standing::Decided(_), Verdict::Undecided { .. }) if can_take => Review::Reopen,
        (Standing::Decided(label), Verdict::Decided(decision)) if decision.label != label => Review::Decide(decision),
        (Standing::Decided(_), _) => Review::Keep,
    }
}
