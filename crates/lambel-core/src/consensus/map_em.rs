//! MAP-EM: operators and labels estimated together, from all votes of a task.
//!
//! The model is that of Dawid and Skene ("Maximum Likelihood Estimation of Observer Error-Rates Using the EM
//! Algorithm", Applied Statistics 28, 1979) with priors that keep operators with few answers near what is known
//! of all: first near the task's errors and their own accuracy, and these near the task's mean accuracy. With
//! *K* labels, operator *w*, vote *l* and true label *k*:
//!
//! ```text
//! a0       = (Σ cor + 16) / (Σ tot + 20)
//! a_w      = clamp((cor_w + 4·a0) / (tot_w + 4), 0.02, 0.995)
//! e_kl     = (E_kl + 2/(K−1)) / (E_k· + 2)                       l ≠ k
//! b_w(l|k) = a_w if l = k, else (1 − a_w)·e_kl
//! π_w(l|k) = (n_w[k,l] + 6·b_w(l|k)) / (n_w[k,·] + 6)
//! p_k      = (N_k + κ) / (N + K·κ),  κ = (5 + 0.1·N) / K
//! s_k      = ln p_k + Σ_votes ln π_w(l|k);   P = softmax(s)
//! ```
//!
//! `tot_w`, `cor_w`, `n_w`, `E` and `N` are counts weighed with `P`. Up to [`CONFUSION_LABELS`] labels all this
//! is kept. With more, an operator's own confusions would be empty for the most part: then `π = b`, and labels
//! that nobody voted for on an image share one score.
//!
//! An image can also be judged by what its operators have said of the others ([`MapEm::evidence_in`]): the same
//! formulas, with `P` of this image taken out of `tot_w`, `cor_w` and `n_w`.

use super::{Ballot, Confidence, Estimate, Evidence, Phase, Scores, Skill, VoteTable, counts::Counts};
use crate::LabelIndex;

/// Up to so many labels an operator's confusions are estimated one by one.
pub const CONFUSION_LABELS: usize = 16;
/// Iterations while a task is labelled.
pub const ITERATIONS_RUNNING: u32 = 8;
/// Iterations at its end.
pub const ITERATIONS_FINAL: u32 = 20;

/// Pseudo-errors behind an even spread of the errors on each label.
const EVEN_ERRORS: f64 = 2.0;
/// Pseudo-answers behind an operator's confusions.
const BASE_ANSWERS: f64 = 6.0;
/// Pseudo-images behind an even spread of the labels, and the same as a share of the images.
const EVEN_IMAGES: (f64, f64) = (5.0, 0.1);

/// What is estimated of a task's operators and labels.
#[derive(Clone, Debug)]
pub struct MapEm {
    labels: usize,
    skills: Vec<Skill>,
    mean: f64,
    ln_priors: Vec<f64>,
    form: Form,
    /// `n_w[k,l]` at `[(w·K + l)·K + k]`; empty in the lean form.
    confusion: Vec<f64>,
    /// `e_kl` at `[l·K + k]`.
    errors: Vec<f64>,
}

/// What votes are scored with.
#[derive(Clone, Debug)]
enum Form {
    /// `ln π_w(l|k)` at `[(w·K + l)·K + k]`, so that what one vote adds lies together.
    Full(Vec<f32>),
    /// `ln a_w`, `ln (1 − a_w)`, and `ln e_kl` at `[l·K + k]`.
    Lean { right: Vec<f32>, wrong: Vec<f32>, errors: Vec<f32> },
}

impl MapEm {
    /// Estimates from all votes of a task, starting from the shares of the votes. `gold` tells the true label of
    /// an image where it is known. Ends after `iterations`, or when nothing
    /// changes any more. Takes iterations × votes × K steps, where K counts no further than [`CONFUSION_LABELS`].
    pub fn fit(table: &VoteTable, gold: impl Fn(usize) -> Option<LabelIndex>, iterations: u32) -> Self {
        let labels = table.labels();
        let full = labels <= CONFUSION_LABELS;
        let mut counts = Counts::new(labels, table.operators(), full);
        let mut model = Self {
            labels,
            skills: Vec::new(),
            mean: Skill::default().mean_accuracy(),
            ln_priors: vec![0.0; labels],
            form: if full {
                Form::Full(vec![0.0; table.operators() * labels * labels])
            } else {
                Form::Lean { right: Vec::new(), wrong: Vec::new(), errors: vec![0.0; labels * labels] }
            },
            confusion: Vec::new(),
            errors: Vec::new(),
        };
        let mut scores = Scores::default();
        let mut before = f64::NEG_INFINITY;
        for iteration in 0..iterations.max(1) {
            let mut likelihood = 0.0;
            counts.clear();
            for (image, votes) in table.iter().enumerate().filter(|(_, votes)| !votes.is_empty()) {
                match gold(image) {
                    Some(label) => counts.add_truth(votes, label),
                    None => {
                        if iteration == 0 {
                            scores.list_shares(labels, votes, full);
                        } else {
                            model.score(votes, &mut scores);
                            likelihood += scores.normalise();
                        }
                        counts.add(votes, &scores);
                    }
                }
            }
            model.maximise(&mut counts);
            if iteration > 0 && settled(&mut before, likelihood, table.images()) {
                break;
            }
        }
        Self { confusion: counts.confusion, errors: counts.errors, ..model }
    }

    /// The M-step.
    fn maximise(&mut self, counts: &mut Counts) {
        let k = self.labels;
        let total: f64 = counts.images.iter().sum();
        let kappa = (EVEN_IMAGES.0 + EVEN_IMAGES.1 * total) / k as f64;
        for (ln_prior, images) in self.ln_priors.iter_mut().zip(&counts.images) {
            *ln_prior = ((images + kappa) / (total + k as f64 * kappa)).ln();
        }
        counts.sum_up();
        self.skills.clone_from(&counts.skills);
        self.mean = self.skills.iter().copied().sum::<Skill>().mean_accuracy();
        // e_kl, in the place of E_kl.
        let others = k.saturating_sub(1).max(1) as f64;
        let mut of_truth = vec![0.0; k];
        for said in counts.errors.chunks_exact(k) {
            of_truth.iter_mut().zip(said).for_each(|(sum, error)| *sum += error);
        }
        for said in counts.errors.chunks_exact_mut(k) {
            for (error, sum) in said.iter_mut().zip(&of_truth) {
                *error = (*error + EVEN_ERRORS / others) / (sum + EVEN_ERRORS);
            }
        }
        match &mut self.form {
            Form::Full(table) => full_form(k, &self.skills, self.mean, counts, table),
            Form::Lean { right, wrong, errors } => {
                let accuracies = self.skills.iter().map(|skill| skill.accuracy(self.mean));
                *right = accuracies.clone().map(|accuracy| accuracy.ln() as f32).collect();
                *wrong = accuracies.map(|accuracy| (1.0 - accuracy).ln() as f32).collect();
                for (ln_error, error) in errors.iter_mut().zip(&counts.errors) {
                    *ln_error = error.ln() as f32;
                }
            }
        }
    }

    /// Scores the labels of one image by its votes. A vote of an operator without a record counts as one of
    /// mean skill.
    pub fn score(&self, votes: &[Ballot], scores: &mut Scores) {
        let k = self.labels;
        match &self.form {
            Form::Full(table) => {
                scores.list_all(&self.ln_priors);
                scores.add_rows(table, votes);
            }
            Form::Lean { right, wrong, errors } => {
                scores.list_voted(k, votes, &self.ln_priors);
                let even = -((k - 1) as f64).ln();
                for vote in votes {
                    let said = usize::from(vote.label.0);
                    let of = |one: &[f32]| one.get(vote.operator as usize).map_or(even, |ln| f64::from(*ln));
                    let (right, wrong) = (of(right), of(wrong));
                    scores.other += wrong + even;
                    for (label, score) in scores.listed.iter().zip(&mut scores.scores) {
                        let truth = usize::from(label.0);
                        *score += if truth == said { right } else { wrong + f64::from(errors[said * k + truth]) };
                    }
                }
            }
        }
    }

    /// The posterior of one image's likeliest label, for a rule to judge. `scores` is room to work in.
    pub fn evidence(&self, votes: &[Ballot], scores: &mut Scores) -> Evidence {
        if votes.is_empty() {
            return Evidence::default();
        }
        self.score(votes, scores);
        let best = scores.best();
        Evidence {
            cast: u32::try_from(votes.len()).unwrap_or(u32::MAX),
            leader: best.map(|best| best.label),
            confidence: best.map(|best| best.confidence).unwrap_or_default(),
        }
    }

    /// The posterior of the likeliest label of an image of the table, for a rule to judge in a phase of the task.
    ///
    /// While the operators are not known the label is the same, but how sure it is follows from what they have said of
    /// *other* images. Whoever has one vote or two has a record that is made of this image for a good part: it says
    /// that those who agree here are good, and that whoever dissents is not, and so their votes would vouch for
    /// themselves. With [many answers](super::WARM_ANSWERS) one of them hardly matters.
    pub fn evidence_in(&self, phase: Phase, votes: &[Ballot], scores: &mut Scores) -> Evidence {
        let evidence = self.evidence(votes, scores);
        match (phase, evidence.leader) {
            (Phase::Cold, Some(leader)) => {
                self.score_by_others(votes, scores);
                Evidence { confidence: Confidence::new(scores.posterior(leader, 1.0)), ..evidence }
            }
            _ => evidence,
        }
    }

    /// Scores the labels of one image of the table by what its operators have said of the others: out of each record
    /// is taken what this image has put in, its posterior. `scores` are [those by all images](Self::score) before.
    fn score_by_others(&self, votes: &[Ballot], scores: &mut Scores) {
        let k = self.labels;
        let mut counted = scores.clone();
        counted.normalise();
        let accuracy = |vote: &Ballot| {
            let place = counted.listed.binary_search(&vote.label).ok();
            let right = place.map_or(0.0, |place| counted.scores[place]);
            Some(self.skills.get(vote.operator as usize)?.without(right).accuracy(self.mean))
        };
        let known = votes.iter().filter_map(|vote| Some((vote, accuracy(vote)?)));
        match &self.form {
            Form::Full(_) => {
                scores.list_all(&self.ln_priors);
                for (vote, accuracy) in known {
                    let operator = vote.operator as usize;
                    let own = &self.confusion[operator * k * k..(operator + 1) * k * k];
                    let said = usize::from(vote.label.0);
                    for (truth, (score, counted)) in scores.scores.iter_mut().zip(&counted.scores).enumerate() {
                        let base =
                            if truth == said { accuracy } else { (1.0 - accuracy) * self.errors[said * k + truth] };
                        let answers: f64 = own.iter().skip(truth).step_by(k).sum();
                        // The last posterior is not to the last digit the one that was counted.
                        let (count, answers) = (own[said * k + truth] - counted, answers - counted);
                        *score += ((count.max(0.0) + BASE_ANSWERS * base) / (answers.max(0.0) + BASE_ANSWERS)).ln();
                    }
                }
            }
            Form::Lean { .. } => {
                scores.list_voted(k, votes, &self.ln_priors);
                let even = -((k - 1) as f64).ln();
                for (vote, accuracy) in known {
                    let said = usize::from(vote.label.0);
                    let (right, wrong) = (accuracy.ln(), (1.0 - accuracy).ln());
                    scores.other += wrong + even;
                    for (label, score) in scores.listed.iter().zip(&mut scores.scores) {
                        let truth = usize::from(label.0);
                        *score += if truth == said { right } else { wrong + self.errors[said * k + truth].ln() };
                    }
                }
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

    /// The operators' records, by their places.
    pub fn skills(&self) -> &[Skill] {
        &self.skills
    }

    /// The mean accuracy of the operators, `a0`.
    pub fn mean_accuracy(&self) -> f64 {
        self.mean
    }

    /// What the probability of an operator's answer `said` is where `truth` is true. None with more than
    /// [`CONFUSION_LABELS`] labels, and for who is not there.
    pub fn confusion(&self, operator: usize, truth: LabelIndex, said: LabelIndex) -> Option<f64> {
        let (k, truth, said) = (self.labels, usize::from(truth.0), usize::from(said.0));
        match &self.form {
            Form::Full(table) if truth < k && said < k => {
                table.get((operator * k + said) * k + truth).map(|ln| f64::from(*ln).exp())
            }
            _ => None,
        }
    }
}

/// Whether another iteration would change nothing that anybody could see: the mean log likelihood of an image's
/// votes has changed by less than 10⁻⁵.
pub(super) fn settled(before: &mut f64, now: f64, images: usize) -> bool {
    let change = (now - *before).abs() / images.max(1) as f64;
    *before = now;
    change < 1e-5
}

/// `ln π_w(l|k)` of all operators.
fn full_form(k: usize, skills: &[Skill], mean: f64, counts: &Counts, table: &mut [f32]) {
    let mut answers = vec![0.0; k];
    for (operator, skill) in skills.iter().enumerate() {
        let place = operator * k * k..(operator + 1) * k * k;
        let (own, ln_own) = (&counts.confusion[place.clone()], &mut table[place]);
        answers.fill(BASE_ANSWERS);
        for said in own.chunks_exact(k) {
            answers.iter_mut().zip(said).for_each(|(sum, count)| *sum += count);
        }
        let accuracy = skill.accuracy(mean);
        let (own, ln_own) = (own.chunks_exact(k), ln_own.chunks_exact_mut(k));
        for (said, ((own, ln_own), errors)) in own.zip(ln_own).zip(counts.errors.chunks_exact(k)).enumerate() {
            for (truth, (((ln, count), error), answers)) in
                ln_own.iter_mut().zip(own).zip(errors).zip(&answers).enumerate()
            {
                let base = if said == truth { accuracy } else { (1.0 - accuracy) * error };
                *ln = (((count + BASE_ANSWERS * base) / answers) as f32).ln();
            }
        }
    }
}

#[cfg(test)]
#[path = "map_em_tests.rs"]
mod tests;
