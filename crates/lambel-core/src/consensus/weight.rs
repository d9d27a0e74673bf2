//! What a vote weighs, and what was known of its operator when it was cast.

use serde::{Deserialize, Serialize};

use super::{Phase, Skill};

/// What a vote adds to the score of its label, in thousandths of a nat.
///
/// Rounded, so that what is stored is what was reckoned with, and short. That moves a posterior by 0.000125 at most
/// for each vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(i32);

impl Weight {
    /// A weight in nats, rounded. What is no number weighs nothing.
    pub fn from_nats(nats: f64) -> Self {
        // A cast of a float to an integer saturates, and of what is no number gives 0.
        Self((nats * 1_000.0).round() as i32)
    }

    /// A weight in thousandths of a nat.
    pub fn from_thousandths(thousandths: i32) -> Self {
        Self(thousandths)
    }

    /// The weight in nats.
    pub fn nats(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }

    /// The weight in thousandths of a nat.
    pub fn thousandths(self) -> i32 {
        self.0
    }

    /// The weight of a vote by somebody of whom nothing is known, in a task with so many labels: that of an
    /// operator who is right in 16 of 20 cases.
    pub fn of_unknown(labels: usize) -> Self {
        let nobody = Skill::default();
        Self::from_nats(nobody.weight(nobody.mean_accuracy(), labels))
    }
}

/// What was known of an operator when they cast a vote. It is kept with the vote, so that a decision can be explained
/// and computed again from its record alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earned {
    /// What the vote weighs.
    pub weight: Weight,
    /// Whether the task's record of its operators could be believed then.
    pub phase: Phase,
}

/// What a batch has found of an operator in a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Their answers, and how many of them were right.
    pub skill: Skill,
    /// What their next vote weighs.
    pub earned: Earned,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_thousandths_of_a_nat() {
        assert_eq!(Weight::from_nats(1.386_294).thousandths(), 1_386);
        assert_eq!(Weight::from_nats(-0.000_6).nats(), -0.001);
        assert_eq!(Weight::from_nats(f64::NAN), Weight::from_thousandths(0));
        assert_eq!(Weight::from_nats(f64::INFINITY).thousandths(), i32::MAX);
        // Four in five, of two labels and of ten.
        assert_eq!(Weight::of_unknown(2).thousandths(), 1_386);
        assert_eq!(Weight::of_unknown(10).thousandths(), 3_584);
    }
}
