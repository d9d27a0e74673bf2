//! The votes of one subtask, counted and weighed: what the rules look at.
//!
//! Both functions take time by the number of votes, not by the number of labels, and give the same answer for
//! the same votes in any order.

use super::Confidence;
use crate::LabelIndex;

/// The votes of one subtask, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plurality {
    /// Votes with a label.
    pub cast: u32,
    /// The label with the most votes; of several, the first of the task's set. None where nobody voted.
    pub leader: Option<LabelIndex>,
    /// Votes for the leader.
    pub most: u32,
    /// Votes for the runner-up; as many as for the leader in a tie.
    pub second: u32,
}

impl Plurality {
    /// Counts votes.
    pub fn count(votes: impl IntoIterator<Item = LabelIndex>) -> Self {
        let mut labels: Vec<LabelIndex> = votes.into_iter().collect();
        labels.sort_unstable();
        let mut plurality = Self { cast: u32::try_from(labels.len()).unwrap_or(u32::MAX), ..Self::default() };
        for group in labels.chunk_by(PartialEq::eq) {
            let count = u32::try_from(group.len()).unwrap_or(u32::MAX);
            if count > plurality.most {
                plurality.second = plurality.most;
                plurality.most = count;
                plurality.leader = group.first().copied();
            } else {
                plurality.second = plurality.second.max(count);
            }
        }
        plurality
    }

    /// How many votes the leader is ahead of the runner-up.
    pub fn lead(&self) -> u32 {
        self.most - self.second
    }

    /// The share of the votes that the leader has; none where nobody voted.
    pub fn share(&self) -> Confidence {
        Confidence::new(f64::from(self.most) / f64::from(self.cast.max(1)))
    }
}

/// The votes of one subtask, weighed by what is known of those who cast them.
///
/// It is the *one-coin* model with a uniform prior: an operator is right with a probability *a*, and where they
/// are wrong, each of the other *K* − 1 labels is as likely. Then a vote adds its [weight](super::Skill::weight)
/// to the score of its own label alone, and the posterior of the leading label is
/// `e^{s_max} / (Σ_voted e^s + K − |voted|)`: each label that nobody voted for has the score 0. See Zhang, Chen,
/// Zhou, Jordan, "Spectral Methods Meet EM" (JMLR 2016, section 2) for the model and its name.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Votes with a label.
    pub cast: u32,
    /// The label with the highest score; of several, the first of the task's set. None where nobody voted.
    pub leader: Option<LabelIndex>,
    /// The posterior of the leader.
    pub confidence: Confidence,
}

impl Evidence {
    /// Weighs votes. `labels` is the number of labels of the task, *K*. A weight that is no number counts
    /// nothing.
    pub fn weigh(labels: usize, votes: impl IntoIterator<Item = (LabelIndex, f64)>) -> Self {
        let mut votes: Vec<(LabelIndex, f64)> = votes.into_iter().collect();
        let cast = u32::try_from(votes.len()).unwrap_or(u32::MAX);
        let scores = summed(&mut votes);
        let Some(&first) = scores.first() else { return Self { cast, ..Self::default() } };
        let (leader, most) = scores.iter().copied().fold(first, |best, next| if next.1 > best.1 { next } else { best });
        let voted: f64 = scores.iter().map(|(_, score)| (score - most).exp()).sum();
        let others = labels.saturating_sub(scores.len()) as f64;
        let unvoted = if others > 0.0 { others * (-most).exp() } else { 0.0 };
        Self { cast, leader: Some(leader), confidence: Confidence::new(1.0 / (voted + unvoted)) }
    }
}

/// The labels that were voted for, in order, each with the sum of the weights of its votes: the same whatever the order
/// of the votes. A weight that is no number counts nothing.
pub(super) fn summed(votes: &mut [(LabelIndex, f64)]) -> Vec<(LabelIndex, f64)> {
    // By weight too: sums of floating-point numbers depend on the order.
    votes.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let sums = votes.chunk_by(|a, b| a.0 == b.0).filter_map(|group| {
        let weights = group.iter().map(|(_, weight)| weight).filter(|weight| weight.is_finite());
        Some((group.first()?.0, weights.sum::<f64>()))
    });
    sums.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn votes_are_counted() {
        let count = |labels: &[u16]| Plurality::count(labels.iter().copied().map(LabelIndex));
        assert_eq!(count(&[]), Plurality::default());
        let plurality = count(&[7, 3, 7, 7, 3, 999]);
        assert_eq!((plurality.leader, plurality.most, plurality.second), (Some(LabelIndex(7)), 3, 2));
        assert_eq!((plurality.lead(), plurality.cast, plurality.share().get()), (1, 6, 0.5));
        let tie = count(&[5, 2, 5, 2]);
        assert_eq!((tie.leader, tie.lead()), (Some(LabelIndex(2)), 0));
    }

    #[test]
    fn two_good_votes_of_ten_labels_are_enough_and_one_is_not() {
        // a = 0.95, K = 10: one vote has the odds 171 : 9.
        let weight = (0.95_f64 * 9.0 / 0.05).ln();
        let one = Evidence::weigh(10, [(LabelIndex(3), weight)]);
        assert!((one.confidence.get() - 0.95).abs() < 1e-12);
        let two = Evidence::weigh(10, [(LabelIndex(3), weight), (LabelIndex(3), weight)]);
        assert!((two.confidence.get() - 171.0_f64.powi(2) / (171.0_f64.powi(2) + 9.0)).abs() < 1e-12);
        let split = Evidence::weigh(2, [(LabelIndex(0), 1.5), (LabelIndex(1), 1.5)]);
        assert_eq!((split.leader, split.confidence.get()), (Some(LabelIndex(0)), 0.5));
    }

    proptest! {
        #[test]
        fn any_votes_have_a_posterior_whatever_their_order(
            mut votes in prop::collection::vec((0_u16..1_000, prop::num::f64::ANY), 0..60),
            labels in 0_usize..1_001,
        ) {
            let weigh = |votes: &[(u16, f64)]| Evidence::weigh(labels, votes.iter().map(|(l, w)| (LabelIndex(*l), *w)));
            let before = weigh(&votes);
            prop_assert!(before.confidence.get().is_finite());
            prop_assert_eq!(before.leader.is_some(), !votes.is_empty());
            votes.reverse();
            let after = weigh(&votes);
            prop_assert_eq!((before.leader, before.confidence.get().to_bits()), (after.leader, after.confidence.get().to_bits()));
        }

        #[test]
        fn the_sum_of_all_posteriors_is_one(weights in prop::collection::vec(-4.0_f64..8.0, 1..9)) {
            // Each label once: the posterior of label n is the confidence with its weight.
            let labels = 9;
            let total: f64 = weights.iter().map(|w| w.exp()).sum::<f64>() + (labels - weights.len()) as f64;
            let votes = weights.iter().zip(0..).map(|(weight, label)| (LabelIndex(label), *weight));
            let evidence = Evidence::weigh(labels, votes);
            let best = weights.iter().copied().fold(f64::MIN, f64::max);
            prop_assert!((evidence.confidence.get() - best.exp() / total).abs() < 1e-12);
        }
    }
}
