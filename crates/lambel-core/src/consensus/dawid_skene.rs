//! The model of Dawid and Skene as they published it, without priors: the reference that others are held to.
//!
//! A. P. Dawid, A. M. Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm",
//! Applied Statistics 28 (1979), equations 2.3 to 2.5: `π_w(l|k) = n_w[k,l] / n_w[k,·]`, `p_k = N_k / N`,
//! `P ∝ p_k Π π_w(l|k)`, from the shares of the votes on.

use std::collections::HashMap;

use super::{Ballot, CONFUSION_LABELS, Estimate, Scores, VoteTable, counts::Counts, map_em::settled};
use crate::LabelIndex;

/// Iterations at most, unless told otherwise.
pub const ITERATIONS: u32 = 20;

/// What stands for a probability of 0, so that one answer that was never seen does not rule a label out.
const NEVER: f64 = 1e-10;

/// A fitted model of Dawid and Skene.
#[derive(Clone, Debug)]
pub struct DawidSkene {
    labels: usize,
    ln_priors: Vec<f64>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// `ln π_w(l|k)` at `[(w·K + l)·K + k]`.
    Full(Vec<f32>),
    /// The same by (w, l, k), where it is not 0. An image's labels are those that somebody voted for on it: with
    /// hundreds of labels no table of all would fit.
    Sparse(HashMap<(u32, LabelIndex, LabelIndex), f64>),
}

impl DawidSkene {
    /// Estimates from all votes of a task. Ends after `iterations`, or when nothing changes any more.
    pub fn fit(table: &VoteTable, iterations: u32) -> Self {
        let labels = table.labels();
        if labels <= CONFUSION_LABELS { Self::fit_full(table, iterations) } else { Self::fit_sparse(table, iterations) }
    }

    fn fit_full(table: &VoteTable, iterations: u32) -> Self {
        let k = table.labels();
        let mut counts = Counts::new(k, table.operators(), true);
        let mut ln_own = vec![0.0_f32; table.operators() * k * k];
        let mut ln_priors = vec![0.0; k];
        let mut scores = Scores::default();
        let mut answers = vec![0.0; k];
        let mut before = f64::NEG_INFINITY;
        for iteration in 0..iterations.max(1) {
            let mut likelihood = 0.0;
            for votes in table.iter().filter(|votes| !votes.is_empty()) {
                if iteration == 0 {
                    scores.list_shares(k, votes, true);
                } else {
                    scores.list_all(&ln_priors);
                    scores.add_rows(&ln_own, votes);
                    likelihood += scores.normalise();
                }
                counts.add(votes, &scores);
            }
            set_priors(&counts.images, &mut ln_priors);
            for (own, ln_own) in counts.confusion.chunks_exact(k * k).zip(ln_own.chunks_exact_mut(k * k)) {
                answers.fill(0.0);
                for said in own.chunks_exact(k) {
                    answers.iter_mut().zip(said).for_each(|(sum, count)| *sum += count);
                }
                for (cell, (count, ln)) in own.iter().zip(ln_own).enumerate() {
                    let of_truth: f64 = answers[cell % k];
                    *ln = ((count / of_truth.max(NEVER)).max(NEVER) as f32).ln();
                }
            }
            counts.clear();
            if iteration > 0 && settled(&mut before, likelihood, table.images()) {
                break;
            }
        }
        Self { labels: k, ln_priors, form: Form::Full(ln_own) }
    }

    fn fit_sparse(table: &VoteTable, iterations: u32) -> Self {
        let k = table.labels();
        let mut model = Self { labels: k, ln_priors: vec![0.0; k], form: Form::Sparse(HashMap::new()) };
        let mut scores = Scores::default();
        let mut before = f64::NEG_INFINITY;
        for iteration in 0..iterations.max(1) {
            let mut likelihood = 0.0;
            let mut counts: HashMap<(u32, LabelIndex, LabelIndex), f64> = HashMap::new();
            let mut answers: HashMap<(u32, LabelIndex), f64> = HashMap::new();
            let mut images = vec![0.0; k];
            for votes in table.iter().filter(|votes| !votes.is_empty()) {
                if iteration == 0 {
                    scores.list_shares(k, votes, false);
                } else {
                    model.score(votes, &mut scores);
                    likelihood += scores.normalise();
                }
                for (truth, p) in scores.listed.iter().zip(&scores.scores) {
                    images[usize::from(truth.0)] += p;
                    for vote in votes {
                        *counts.entry((vote.operator, vote.label, *truth)).or_default() += p;
                        *answers.entry((vote.operator, *truth)).or_default() += p;
                    }
                }
            }
            set_priors(&images, &mut model.ln_priors);
            for (&(operator, _, truth), count) in &mut counts {
                let of_truth = answers.get(&(operator, truth)).copied().unwrap_or_default();
                *count = (*count / of_truth.max(NEVER)).max(NEVER).ln();
            }
            model.form = Form::Sparse(counts);
            if iteration > 0 && settled(&mut before, likelihood, table.images()) {
                break;
            }
        }
        model
    }

    /// Scores the labels of one image by its votes.
    pub fn score(&self, votes: &[Ballot], scores: &mut Scores) {
        match &self.form {
            Form::Full(table) => {
                scores.list_all(&self.ln_priors);
                scores.add_rows(table, votes);
            }
            Form::Sparse(cells) => {
                scores.list_voted(self.labels, votes, &self.ln_priors);
                for vote in votes {
                    for (truth, score) in scores.listed.iter().zip(&mut scores.scores) {
                        let cell = (vote.operator, vote.label, *truth);
                        *score += cells.get(&cell).copied().unwrap_or_else(|| NEVER.ln());
                    }
                }
                scores.others = 0;
            }
        }
    }

    /// The likeliest label of each image; none for an image without votes.
    pub fn estimates(&self, table: &VoteTable) -> Vec<Option<Estimate>> {
        let mut scores = Scores::default();
        let estimate = |votes: &[Ballot]| {
            if votes.is_empty() {
                return None;
            }
            self.score(votes, &mut scores);
            scores.best()
        };
        table.iter().map(estimate).collect()
    }
}

fn set_priors(images: &[f64], ln_priors: &mut [f64]) {
    let total: f64 = images.iter().sum();
    for (ln_prior, images) in ln_priors.iter_mut().zip(images) {
        *ln_prior = (images / total.max(NEVER)).max(NEVER).ln();
    }
}
