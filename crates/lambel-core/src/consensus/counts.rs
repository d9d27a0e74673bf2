//! What the E-step of both models counts.

use super::{Ballot, Scores, Skill};
use crate::LabelIndex;

/// Runs a block with the number of labels, up to [`CONFUSION_LABELS`](super::CONFUSION_LABELS), as a constant. Most
/// of the time of an EM goes into adding up rows of so many numbers; rows whose length the compiler knows are
/// added several numbers at a time.
macro_rules! by_labels {
    ($labels:expr, $k:ident => $block:block) => {
        by_labels!(@ $labels, $k, $block, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@ $labels:expr, $k:ident, $block:block, $($n:literal)*) => {
        match $labels {
            $($n => { const $k: usize = $n; $block })*
            _ => {}
        }
    };
}
pub(super) use by_labels;

/// Soft counts: each vote counts for each label as much as the label's posterior on its image.
///
/// All in `f64`: a model that labels a million images adds small numbers to a large one.
pub(super) struct Counts {
    /// The number of labels, *K*.
    labels: usize,
    /// Answers of *w*, *l* where *k* is true, `n_w[k,l]`, at `[(w·K + l)·K + k]`; empty in the lean form.
    pub(super) confusion: Vec<f64>,
    /// Answers and right answers of each operator.
    pub(super) skills: Vec<Skill>,
    /// Errors of all, *l* where *k* is true, `E_kl`, at `[l·K + k]`.
    pub(super) errors: Vec<f64>,
    /// Images by label, `N_k`.
    pub(super) images: Vec<f64>,
    full: bool,
}

impl Counts {
    /// Nothing yet. In the full form each operator's confusions are counted, in the lean form only their right
    /// answers.
    pub(super) fn new(labels: usize, operators: usize, full: bool) -> Self {
        Self {
            labels,
            confusion: vec![0.0; if full { operators * labels * labels } else { 0 }],
            skills: vec![Skill::default(); operators],
            errors: vec![0.0; labels * labels],
            images: vec![0.0; labels],
            full,
        }
    }

    /// Back to nothing.
    pub(super) fn clear(&mut self) {
        self.confusion.fill(0.0);
        self.skills.fill(Skill::default());
        self.errors.fill(0.0);
        self.images.fill(0.0);
    }

    /// Counts one image by its posteriors. In the full form they are those of all labels.
    pub(super) fn add(&mut self, votes: &[Ballot], posteriors: &Scores) {
        for (label, p) in posteriors.listed.iter().zip(&posteriors.scores) {
            self.images[usize::from(label.0)] += p;
        }
        if self.full {
            self.add_full(votes, &posteriors.scores);
        } else {
            self.add_lean(votes, posteriors);
        }
    }

    fn add_full(&mut self, votes: &[Ballot], posteriors: &[f64]) {
        by_labels!(self.labels, K => {
            let (rows, _) = self.confusion.as_chunks_mut::<K>();
            if let Some(posteriors) = posteriors.first_chunk::<K>().copied() {
                for vote in votes {
                    if let Some(row) = rows.get_mut(vote.operator as usize * K + usize::from(vote.label.0)) {
                        for place in 0..K {
                            row[place] += posteriors[place];
                        }
                    }
                }
            }
        });
    }

    fn add_lean(&mut self, votes: &[Ballot], posteriors: &Scores) {
        let k = self.labels;
        for vote in votes {
            let said = usize::from(vote.label.0);
            let mut right = 0.0;
            for (label, p) in posteriors.listed.iter().zip(&posteriors.scores) {
                if *label == vote.label {
                    right = *p;
                } else {
                    self.errors[said * k + usize::from(label.0)] += p;
                }
            }
            self.skills[vote.operator as usize].feed(right);
        }
    }

    /// Counts one image whose label is known.
    pub(super) fn add_truth(&mut self, votes: &[Ballot], truth: LabelIndex) {
        let (k, truth) = (self.labels, usize::from(truth.0));
        if truth >= k {
            return;
        }
        self.images[truth] += 1.0;
        for vote in votes {
            let (operator, said) = (vote.operator as usize, usize::from(vote.label.0));
            if self.full {
                self.confusion[(operator * k + said) * k + truth] += 1.0;
            } else {
                self.skills[operator].feed(f64::from(u8::from(said == truth)));
                if said != truth {
                    self.errors[said * k + truth] += 1.0;
                }
            }
        }
    }

    /// Sums the confusions up to records and errors. In the lean form they are there.
    pub(super) fn sum_up(&mut self) {
        let k = self.labels;
        for (own, skill) in self.confusion.chunks_exact(k * k).zip(&mut self.skills) {
            for (said, row) in own.chunks_exact(k).enumerate() {
                for (truth, count) in row.iter().enumerate() {
                    skill.answers += count;
                    if said == truth {
                        skill.right += count;
                    } else {
                        self.errors[said * k + truth] += count;
                    }
                }
            }
        }
    }
}
