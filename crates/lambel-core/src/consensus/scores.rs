//! The scores of one image's labels, and the posterior that follows from them.

use super::{Ballot, Confidence, counts::by_labels, tally::summed};
use crate::LabelIndex;

/// Unnormalised log posteriors of the labels of one image.
///
/// Where a task has few labels each is listed. Where it has many only those are that somebody voted for, and the
/// others share one score: most of a thousand labels differ in nothing.
#[derive(Clone, Debug, Default)]
pub struct Scores {
    /// The labels with a score of their own, in order.
    pub(super) listed: Vec<LabelIndex>,
    /// Their scores.
    pub(super) scores: Vec<f64>,
    /// How many labels are not listed.
    pub(super) others: usize,
    /// The score of each of these.
    pub(super) other: f64,
}

impl Scores {
    /// Those of votes that weigh what their operators have earned, in a task with so many labels: each label that nobody
    /// voted for has the score 0. Their [best](Self::best) label is what [`Evidence::weigh`](super::Evidence::weigh)
    /// finds. None without a vote.
    pub fn of_weights(labels: usize, votes: impl IntoIterator<Item = (LabelIndex, f64)>) -> Option<Self> {
        let mut votes: Vec<(LabelIndex, f64)> = votes.into_iter().collect();
        let (listed, scores): (Vec<_>, Vec<_>) = summed(&mut votes).into_iter().unzip();
        let others = labels.saturating_sub(listed.len());
        (!listed.is_empty()).then_some(Self { listed, scores, others, other: 0.0 })
    }

    /// Those that say no more than how likely one label is: what its posterior leaves is spread evenly over the other
    /// labels of the task.
    pub fn of_posterior(labels: usize, label: LabelIndex, posterior: Confidence) -> Self {
        let others = labels.saturating_sub(1);
        let ln = |share: f64| share.max(f64::MIN_POSITIVE).ln();
        let rest = (1.0 - posterior.get()) / others.max(1) as f64;
        Self { listed: vec![label], scores: vec![ln(posterior.get())], others, other: ln(rest) }
    }

    /// The label with the highest score of those that are listed, and its posterior; of several, the first of
    /// the task's set. None without a label.
    pub fn best(&self) -> Option<Estimate> {
        let label = self.leader()?;
        Some(Estimate { label, confidence: Confidence::new(self.posterior(label, 1.0)) })
    }

    /// The posterior of a label at a temperature, `softmax(s / T)`: from 0 to 1 whatever the scores.
    pub fn posterior(&self, label: LabelIndex, temperature: f64) -> f64 {
        let place = self.listed.iter().position(|one| *one == label);
        let score = place.map_or(self.other, |place| self.scores[place]);
        (score / temperature - self.log_sum(temperature)).exp().clamp(0.0, 1.0)
    }

    /// The number of labels.
    pub fn labels(&self) -> usize {
        self.listed.len() + self.others
    }

    /// The label with the highest score, the first of several.
    pub fn leader(&self) -> Option<LabelIndex> {
        let mut places = 0..self.scores.len();
        let first = places.next()?;
        let best = places.fold(first, |best, next| if self.scores[next] > self.scores[best] { next } else { best });
        Some(self.listed[best])
    }

    /// All labels, with these scores to start from.
    pub(super) fn list_all(&mut self, ln_priors: &[f64]) {
        if self.listed.len() != ln_priors.len() || self.others > 0 {
            self.listed.clear();
            self.listed.extend((0..=u16::MAX).map(LabelIndex).take(ln_priors.len()));
        }
        self.scores.clear();
        self.scores.extend_from_slice(ln_priors);
        (self.others, self.other) = (0, f64::NEG_INFINITY);
    }

    /// Those of `labels` labels that somebody voted for.
    pub(super) fn list_voted(&mut self, labels: usize, votes: &[Ballot], ln_priors: &[f64]) {
        self.listed.clear();
        self.listed.extend(votes.iter().map(|vote| vote.label));
        self.listed.sort_unstable();
        self.listed.dedup();
        self.scores.clear();
        self.scores.extend(self.listed.iter().map(|label| ln_priors[usize::from(label.0)]));
        self.others = labels.saturating_sub(self.listed.len());
        let listed: f64 = self.scores.iter().map(|ln_prior| ln_prior.exp()).sum();
        self.other = ((1.0 - listed).max(f64::MIN_POSITIVE) / self.others.max(1) as f64).ln();
    }

    /// The shares of the votes in the place of posteriors, of all labels or of those that were voted for.
    pub(super) fn list_shares(&mut self, labels: usize, votes: &[Ballot], all: bool) {
        self.listed.clear();
        if all {
            self.listed.extend((0..=u16::MAX).map(LabelIndex).take(labels));
        } else {
            self.listed.extend(votes.iter().map(|vote| vote.label));
            self.listed.sort_unstable();
            self.listed.dedup();
        }
        let share = 1.0 / votes.len().max(1) as f64;
        let of = |label: &LabelIndex| votes.iter().filter(|vote| vote.label == *label).count() as f64 * share;
        self.scores.clear();
        self.scores.extend(self.listed.iter().map(of));
        self.others = labels.saturating_sub(self.listed.len());
        self.other = 0.0;
    }

    /// Adds to each label what each vote's row of a table `[operator][said][truth]` says, all labels listed.
    pub(super) fn add_rows(&mut self, table: &[f32], votes: &[Ballot]) {
        by_labels!(self.scores.len(), K => {
            let (tables, _) = table.as_chunks::<K>();
            if let Some(scores) = self.scores.first_chunk_mut::<K>() {
                let mut sums = *scores;
                for vote in votes {
                    if let Some(row) = tables.get(vote.operator as usize * K + usize::from(vote.label.0)) {
                        for place in 0..K {
                            sums[place] += f64::from(row[place]);
                        }
                    }
                }
                *scores = sums;
            }
        });
    }

    /// The posteriors of the listed labels, in the place of their scores; and the log likelihood of the votes.
    pub(super) fn normalise(&mut self) -> f64 {
        let top = self.top();
        let mut sum = 0.0;
        for score in &mut self.scores {
            *score = (*score - top).exp();
            sum += *score;
        }
        if self.others > 0 {
            sum += self.others as f64 * (self.other - top).exp();
        }
        self.scores.iter_mut().for_each(|score| *score /= sum);
        top + sum.ln()
    }

    /// `ln Σ e^{s/T}`, without overflow: the highest term is taken out first.
    fn log_sum(&self, temperature: f64) -> f64 {
        let top = self.top();
        let listed: f64 = self.scores.iter().map(|score| ((score - top) / temperature).exp()).sum();
        let each = if self.others > 0 { ((self.other - top) / temperature).exp() } else { 0.0 };
        top / temperature + (listed + self.others as f64 * each).ln()
    }

    fn top(&self) -> f64 {
        let other = if self.others > 0 { self.other } else { f64::NEG_INFINITY };
        self.scores.iter().copied().fold(other, f64::max)
    }
}

/// What is said of one image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The likeliest label.
    pub label: LabelIndex,
    /// Its posterior.
    pub confidence: Confidence,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::consensus::Evidence;

    #[test]
    fn one_posterior_says_nothing_of_the_other_labels_but_what_is_left() {
        let scores = Scores::of_posterior(5, LabelIndex(3), Confidence::new(0.96));
        assert_eq!(scores.labels(), 5);
        assert!((scores.posterior(LabelIndex(3), 1.0) - 0.96).abs() < 1e-12);
        assert!((scores.posterior(LabelIndex(0), 1.0) - 0.01).abs() < 1e-12);
        let sure = Scores::of_posterior(5, LabelIndex(3), Confidence::new(1.0));
        assert_eq!((sure.posterior(LabelIndex(3), 2.0), sure.leader()), (1.0, Some(LabelIndex(3))));
    }

    proptest! {
        #[test]
        fn scores_of_weights_say_what_the_evidence_says(
            votes in prop::collection::vec((0_u16..9, -4.0_f64..8.0), 0..20),
            labels in 9_usize..1_001,
        ) {
            let votes = votes.into_iter().map(|(label, weight)| (LabelIndex(label), weight));
            let evidence = Evidence::weigh(labels, votes.clone());
            let best = Scores::of_weights(labels, votes).and_then(|scores| scores.best());
            prop_assert_eq!(best.map(|best| best.label), evidence.leader);
            let confidence = best.map(|best| best.confidence).unwrap_or_default();
            prop_assert!((confidence.get() - evidence.confidence.get()).abs() < 1e-9);
        }


        #[test]
        fn posteriors_are_shares_of_one_whatever_the_scores(
            scores in prop::collection::vec(-1e6_f64..1e6, 1..9),
            others in 0_usize..1_000,
            other in -1e6_f64..1e6,
            temperature in 0.5_f64..32.0,
        ) {
            let listed: Vec<LabelIndex> = (0..).map(LabelIndex).take(scores.len()).collect();
            let unlisted = LabelIndex(999);
            let all = Scores { listed: listed.clone(), scores, others, other };
            let sum: f64 = listed.iter().map(|label| all.posterior(*label, temperature)).sum();
            let sum = sum + others as f64 * if others > 0 { all.posterior(unlisted, temperature) } else { 0.0 };
            prop_assert!((sum - 1.0).abs() < 1e-6, "{}", sum);
            let best = all.best().unwrap();
            prop_assert!(listed.iter().all(|label| all.posterior(*label, 1.0) <= best.confidence.get()));
            let mut normalised = all.clone();
            prop_assert!(normalised.normalise().is_finite());
            prop_assert!((normalised.scores[usize::from(best.label.0)] - best.confidence.get()).abs() < 1e-9);
        }
    }
}
