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
    /// It was decided.
    Decided {
        /// For this label.
        label: Option<LabelIndex>,
        /// Without an answer: the label is merely the best there was.
        disputed: bool,
    },
}

/// What a batch says of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Review {
    /// It stays as it is.
    Keep,
    /// It is decided: for the first time, for another label than before, or with an answer where there was none.
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
        (Standing::Decided { .. }, Verdict::Undecided { .. }) if can_take => Review::Reopen,
        (Standing::Decided { label, disputed }, Verdict::Decided(decision))
            if decision.label != label || (disputed && decision.dispute.is_none()) =>
        {
            Review::Decide(decision)
        }
        (Standing::Decided { .. }, _) => Review::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::Confidence;

    const RULE: Adaptive = Adaptive { confidence: Confidence(0.99), min_labels: 2, max_labels: 5 };

    fn evidence(cast: u32, label: u16, confidence: f64) -> Evidence {
        Evidence { cast, leader: Some(LabelIndex(label)), confidence: Confidence::new(confidence) }
    }

    #[test]
    fn a_batch_keeps_corrects_decides_and_reopens() {
        let decided = Standing::Decided { label: Some(LabelIndex(1)), disputed: false };
        assert_eq!(review(&RULE, decided, &evidence(3, 1, 0.995), true), Review::Keep);
        assert_eq!(review(&RULE, decided, &evidence(3, 1, 0.9), true), Review::Reopen);
        assert_eq!(review(&RULE, decided, &evidence(3, 1, 0.9), false), Review::Keep, "nobody is left");
        let Review::Decide(decision) = review(&RULE, decided, &evidence(3, 0, 0.995), true) else {
            panic!("another label is sure now");
        };
        assert_eq!((decision.label, decision.dispute), (Some(LabelIndex(0)), None));
        assert_eq!(review(&RULE, Standing::Open, &evidence(3, 1, 0.9), true), Review::Keep);
        assert_eq!(review(&RULE, Standing::Open, &evidence(1, 1, 0.999), true), Review::Keep, "two votes at least");
        assert!(matches!(review(&RULE, Standing::Open, &evidence(2, 1, 0.999), true), Review::Decide(_)));
        // A dispute that is none any more.
        let disputed = Standing::Decided { label: Some(LabelIndex(1)), disputed: true };
        assert!(matches!(review(&RULE, disputed, &evidence(5, 1, 0.995), false), Review::Decide(_)));
        assert_eq!(review(&RULE, disputed, &evidence(5, 1, 0.9), false), Review::Keep);
        // With all its votes it does not open again.
        assert_eq!(review(&RULE, decided, &evidence(5, 1, 0.9), true), Review::Keep);
    }
}
