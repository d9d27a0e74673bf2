//! Why a subtask was decided as it was: what its rule saw in its votes.

use std::collections::BTreeMap;

use super::{Confidence, Phase, Rule, given, phase, weight};
use crate::{LabelIndex, subtask::Votes};

/// What the votes of a subtask say of one label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The label.
    pub label: LabelIndex,
    /// Votes for it.
    pub votes: u32,
    /// The sum of their weights, in nats. Only with a rule that weighs.
    pub score: Option<f64>,
    /// How likely it is: its posterior, or with a rule that does not weigh its share of the votes.
    pub confidence: Confidence,
}

/// What a rule saw in the votes of a subtask.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The labels that were voted for, the likeliest first; of those that are as likely, the first of the task's set.
    pub labels: Vec<Share>,
    /// How likely it is that none of them is right. 0 with a rule that does not weigh.
    pub others: Confidence,
    /// Whether weights decided, or the lead while nobody was known. Only with a rule that weighs.
    pub phase: Option<Phase>,
}

impl Rule {
    /// What the rule sees in the votes of a subtask of a task with so many labels. Takes the numbers that
    /// [`Rule::judge`] takes, so the first label has the confidence that the decision has.
    pub fn explain(&self, labels: usize, votes: &Votes) -> Explanation {
        let mut weights: BTreeMap<LabelIndex, Vec<f64>> = BTreeMap::new();
        for (label, vote) in given(labels, votes) {
            weights.entry(label).or_default().push(weight(labels, vote).nats());
        }
        if weights.is_empty() {
            return Explanation::default();
        }
        let cast: usize = weights.values().map(Vec::len).sum();
        // As likely as the votes make them, before they are made to sum to 1.
        let score = |weights: &[f64]| self.weighs().then(|| weights.iter().sum::<f64>());
        let scores: Vec<_> = weights.iter().map(|(label, all)| (*label, all.len() as u32, score(all))).collect();
        let most = scores.iter().filter_map(|(.., score)| *score).fold(f64::NEG_INFINITY, f64::max);
        let likely = |votes: u32, score: Option<f64>| match score {
            Some(score) => (score - most).exp(),
            None => f64::from(votes) / cast as f64,
        };
        let voted: f64 = scores.iter().map(|(_, votes, score)| likely(*votes, *score)).sum();
        let unvoted = match self.weighs() {
            true => labels.saturating_sub(scores.len()) as f64 * (-most).exp(),
            false => 0.0,
        };
        let all = voted + unvoted;
        let share = |(label, votes, score): (LabelIndex, u32, Option<f64>)| {
            let confidence = Confidence::new(likely(votes, score) / all);
            Share { label, votes, score, confidence }
        };
        let mut labels_of: Vec<Share> = scores.into_iter().map(share).collect();
        labels_of.sort_by(|a, b| b.confidence.get().total_cmp(&a.confidence.get()).then(a.label.cmp(&b.label)));
        Explanation {
            labels: labels_of,
            others: Confidence::new(unvoted / all),
            phase: self.weighs().then(|| phase(labels, votes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Timestamp, Vote,
        consensus::{Adaptive, Earned, Majority, Weight},
        subtask::Answer,
    };

    /// A vote for a label, with the weight in thousandths of a nat and the phase that its operator had.
    type Weighed = (u16, Option<(i32, Phase)>);

    fn votes(votes: &[Weighed]) -> Votes {
        let vote = |(n, (label, earned)): (usize, &Weighed)| {
            let earned = earned.map(|(weight, phase)| Earned { weight: Weight::from_thousandths(weight), phase });
            let answer = Answer::Label(LabelIndex(*label));
            let vote = Vote { answer, at: Timestamp::default(), elapsed_ms: None, earned };
            (format!("op-{n}").parse().unwrap(), vote)
        };
        votes.iter().enumerate().map(vote).collect()
    }

    fn adaptive() -> Rule {
        Rule::Adaptive(Adaptive { confidence: Confidence::new(0.95), min_labels: 1, max_labels: 9 })
    }

    #[test]
    fn a_majority_is_explained_by_its_counts() {
        let rule = Rule::Majority(Majority { quorum: 3, max_labels: 7 });
        let seen = rule.explain(4, &votes(&[(2, None), (0, None), (2, None)]));
        let told: Vec<_> = seen.labels.iter().map(|share| (share.label.0, share.votes, share.score)).collect();
        assert_eq!(told, [(2, 2, None), (0, 1, None)]);
        assert!((seen.labels[0].confidence.get() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!((seen.others, seen.phase), (Confidence::default(), None));
        assert_eq!(rule.explain(4, &votes(&[])), Explanation::default());
    }

    #[test]
    fn posteriors_and_what_is_left_sum_to_one() {
        let seen = adaptive().explain(4, &votes(&[(1, Some((2_000, Phase::Warm))), (3, Some((500, Phase::Cold)))]));
        assert_eq!((seen.labels[0].label, seen.labels[0].score), (LabelIndex(1), Some(2.0)));
        let sum: f64 = seen.labels.iter().map(|share| share.confidence.get()).sum();
        assert!((sum + seen.others.get() - 1.0).abs() < 1e-12);
        assert!((seen.others.get() - 2.0 / (2.0_f64.exp() + 0.5_f64.exp() + 2.0)).abs() < 1e-12);
        assert_eq!(seen.phase, Some(Phase::Warm));
    }

    proptest! {
        #[test]
        fn the_first_label_has_the_confidence_of_the_decision(
            cast in prop::collection::vec((0_u16..3, prop::option::of((-3_000_i32..6_000, prop::bool::ANY))), 1..9),
        ) {
            let phase = |warm| if warm { Phase::Warm } else { Phase::Cold };
            let cast: Vec<_> = cast.iter().map(|(label, of)| (*label, of.map(|(w, warm)| (w, phase(warm))))).collect();
            let cast = votes(&cast);
            let (label, confidence) = adaptive().best(3, &cast);
            let seen = adaptive().explain(3, &cast);
            prop_assert!((seen.labels[0].confidence.get() - confidence.get()).abs() < 1e-9);
            // Where two are as likely to the last bit, either may lead.
            let second = seen.labels.get(1).map_or(0.0, |share| share.confidence.get());
            prop_assert!(Some(seen.labels[0].label) == label || (confidence.get() - second).abs() < 1e-9);
        }
    }
}
