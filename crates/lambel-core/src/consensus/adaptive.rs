//! `adaptive`: enough when the posterior of the leading label has reached a confidence.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Confidence, Decision, Dispute, Evidence, Lead, Plurality, Verdict};
use crate::LabelIndex;

/// How many votes a label has to be ahead while nothing is known of the operators.
pub const COLD_LEAD: u32 = 2;
/// How many images have to be decided before the operators' records are believed.
pub const WARM_IMAGES: u64 = 200;
/// How many answers on decided images the operators have to have, in the mean over the votes, before their
/// records are believed.
pub const WARM_ANSWERS: f64 = 20.0;

/// Whether a task's record of its operators can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing is known yet: a lead decides.
    #[default]
    Cold,
    /// The operators are measured: the posterior decides.
    Warm,
}

impl Phase {
    /// The phase after `decided` images, with so many answers of each operator on them. Gold that measures the
    /// operators counts as decided images do.
    pub fn after(decided: u64, answers: impl IntoIterator<Item = f64>) -> Self {
        // A vote drawn at random comes from an operator with Σ n² / Σ n answers in the mean.
        let (sum, squares) = answers.into_iter().fold((0.0, 0.0), |(sum, squares), n| (sum + n, squares + n * n));
        let warm = decided >= WARM_IMAGES && sum > 0.0 && squares / sum >= WARM_ANSWERS;
        if warm { Self::Warm } else { Self::Cold }
    }

    /// The phase that gold alone has brought about: of each operator, their answers in all and those on gold. Enough
    /// when a vote drawn at random comes from an operator with [`WARM_ANSWERS`] on gold. It takes no number of images
    /// then: that is there so that errors which operators share are not taken for the truth, which gold cannot be.
    pub fn by_gold(operators: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let sum = |(all, sum): (f64, f64), (answers, gold): (f64, f64)| (all + answers, sum + answers * gold);
        let (all, sum) = operators.into_iter().fold((0.0, 0.0), sum);
        if all > 0.0 && sum / all >= WARM_ANSWERS { Self::Warm } else { Self::Cold }
    }
}

/// Stop when the posterior of the leading label reaches `confidence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adaptive {
    /// The posterior that is enough.
    pub confidence: Confidence,
    /// Votes with a label that are always asked for.
    pub min_labels: u32,
    /// Votes with a label after which it is a dispute.
    pub max_labels: u32,
}

impl Adaptive {
    /// Judges the votes of one subtask of a task with so many labels. Each vote comes with the
    /// [weight](super::Skill::weight) that its operator had earned when it was cast. The confidence is the
    /// posterior of the label.
    pub fn judge<V>(&self, labels: usize, phase: Phase, votes: V) -> Verdict
    where
        V: IntoIterator<Item = (LabelIndex, f64)> + Clone,
    {
        let evidence = Evidence::weigh(labels, votes.clone());
        match phase {
            Phase::Warm => self.judge_evidence(&evidence),
            Phase::Cold => {
                let rule = Lead { lead: COLD_LEAD, min_labels: self.min_labels, max_labels: self.max_labels };
                let plurality = Plurality::count(votes.into_iter().map(|(label, _)| label));
                match rule.judge(&plurality) {
                    Verdict::Decided(decision) if decision.label == evidence.leader => {
                        Verdict::Decided(Decision { confidence: evidence.confidence, ..decision })
                    }
                    verdict => verdict,
                }
            }
        }
    }

    /// The same by a posterior that is known, for instance of a [batch](super::MapEm).
    pub fn judge_evidence(&self, evidence: &Evidence) -> Verdict {
        let Evidence { cast, leader, confidence } = *evidence;
        let sure = leader.is_some() && confidence >= self.confidence;
        let missing = self.min_labels.saturating_sub(cast).max(u32::from(!sure));
        let room = self.max_labels.saturating_sub(cast);
        if missing > 0 && room > 0 {
            return Verdict::Undecided { wanted: missing.min(room) };
        }
        Verdict::Decided(Decision { label: leader, confidence, dispute: (!sure).then_some(Dispute::NoAnswer) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: Adaptive = Adaptive { confidence: NINETY_NINE, min_labels: 1, max_labels: 4 };
    const NINETY_NINE: Confidence = Confidence(0.99);

    fn judge(phase: Phase, votes: &[(u16, f64)]) -> Verdict {
        RULE.judge(2, phase, votes.iter().map(|(label, weight)| (LabelIndex(*label), *weight)))
    }

    fn label(verdict: Verdict) -> Option<u16> {
        match verdict {
            Verdict::Decided(Decision { label: Some(label), dispute: None, .. }) => Some(label.0),
            _ => None,
        }
    }

    #[test]
    fn one_very_good_vote_is_enough_once_the_operators_are_known() {
        let good = (0.995_f64 / 0.005).ln();
        assert_eq!(label(judge(Phase::Warm, &[(1, good)])), Some(1));
        assert_eq!(judge(Phase::Cold, &[(1, good)]), Verdict::Undecided { wanted: 1 });
        assert_eq!(label(judge(Phase::Cold, &[(1, good), (1, good)])), Some(1));
    }

    #[test]
    fn a_good_vote_outweighs_two_bad_ones() {
        let verdict = judge(Phase::Warm, &[(1, 5.3), (0, 0.3), (0, 0.3)]);
        assert_eq!(label(verdict), Some(1));
        // Before anything is known of them they are three votes.
        assert_eq!(judge(Phase::Cold, &[(1, 5.3), (0, 0.3), (0, 0.3)]), Verdict::Undecided { wanted: 1 });
    }

    #[test]
    fn without_an_answer_it_ends_in_dispute_with_the_best_there_is() {
        let Verdict::Decided(decision) = judge(Phase::Warm, &[(1, 1.0), (0, 0.3), (0, 0.3), (1, 0.1)]) else {
            panic!("four votes are all it takes");
        };
        assert_eq!((decision.label, decision.dispute), (Some(LabelIndex(1)), Some(Dispute::NoAnswer)));
        assert!((decision.confidence.get() - 1.0 / (1.0 + (-0.5_f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn the_operators_are_known_after_enough_images_and_answers() {
        assert_eq!(Phase::after(199, [1_000.0]), Phase::Cold);
        assert_eq!(Phase::after(200, [20.0, 20.0]), Phase::Warm);
        assert_eq!(Phase::after(200, [5.0; 300]), Phase::Cold);
        assert_eq!(Phase::after(u64::MAX, []), Phase::Cold);
    }

    #[test]
    fn or_after_enough_gold_of_those_who_vote() {
        assert_eq!(Phase::by_gold([]), Phase::Cold);
        assert_eq!(Phase::by_gold([(20.0, 20.0), (25.0, 20.0)]), Phase::Warm);
        assert_eq!(Phase::by_gold([(20.0, 20.0), (1_000.0, 5.0)]), Phase::Cold, "who votes most is not known");
        assert_eq!(Phase::by_gold([(1_000.0, 25.0), (10.0, 5.0)]), Phase::Warm, "who is not known hardly votes");
    }

    proptest! {
        #[test]
        fn it_ends_within_the_limit(votes in prop::collection::vec((0_u16..2, -3.0_f64..6.0), 4..9), warm: bool) {
            let phase = if warm { Phase::Warm } else { Phase::Cold };
            prop_assert!(matches!(judge(phase, &votes), Verdict::Decided(_)));
        }
    }
}
