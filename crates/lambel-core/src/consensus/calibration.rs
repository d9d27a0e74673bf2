//! Confidences that mean what they say, fitted on images whose label is known.
//!
//! The posteriors of EM are too sure of themselves: votes on a difficult image are wrong together, and the model
//! takes them for independent. `(1 − ε)·softmax(s/T) + ε/K` corrects that with two numbers: a temperature *T*
//! (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017) and a share ε of images
//! on which the votes say nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Confidence, Estimate, Scores};
use crate::LabelIndex;

/// Folds of the cross-validation.
const FOLDS: usize = 10;
/// Temperatures that are tried: 2^(n/4) for n from −4 to 20, so from 0.5 to 32.
const TEMPERATURES: std::ops::RangeInclusive<i32> = -4..=20;
/// Shares that are tried: hundredths from 0 to 0.6.
const SHARES: std::ops::RangeInclusive<i32> = 0..=60;
/// The least probability that a true label is taken to have had. Without it one image would outweigh all others.
const FLOOR: f64 = 1e-6;
/// Bins of the calibration error.
const BINS: usize = 10;

/// How posteriors become confidences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// *T*: scores are divided by it.
    pub temperature: f64,
    /// ε: the share of images on which the votes say nothing.
    pub epsilon: f64,
}

impl Default for Calibration {
    /// Posteriors as they are.
    fn default() -> Self {
        Self { temperature: 1.0, epsilon: 0.0 }
    }
}

impl Calibration {
    /// Fits *T* and ε to images with known labels by the likelihood of these labels. One image more is taken to
    /// have a wrong leading label, as in Laplace's rule of succession: fifty right ones do not prove that none is
    /// ever wrong. *T* is held near 1 by a prior, since a few images cannot tell it from ε. None where ten-fold
    /// cross-validation does not say that it helps: then posteriors are reported as they are. The folds go by
    /// the order of the images, which should be random.
    pub fn fit(gold: &[(Scores, LabelIndex)]) -> Option<Self> {
        if gold.len() < FOLDS {
            return None;
        }
        let losses = Losses::of(gold);
        let raw = Self::default();
        let mut gain = 0.0;
        for fold in 0..FOLDS {
            let fitted = losses.best(|image| image % FOLDS != fold);
            for (scores, truth) in gold.iter().skip(fold).step_by(FOLDS) {
                gain += raw.loss(scores, *truth, gold.len()) - fitted.loss(scores, *truth, gold.len());
            }
        }
        (gain > 0.0).then(|| losses.best(|_| true))
    }

    /// The probability of a label: `(1 − ε)·softmax(s/T) + ε/K`.
    pub fn probability(&self, scores: &Scores, label: LabelIndex) -> f64 {
        (1.0 - self.epsilon) * scores.posterior(label, self.temperature) + self.epsilon / scores.labels().max(1) as f64
    }

    /// The likeliest label and its calibrated confidence. The label is the same as without calibration.
    pub fn estimate(&self, scores: &Scores) -> Option<Estimate> {
        let label = scores.leader()?;
        Some(Estimate { label, confidence: Confidence::new(self.probability(scores, label)) })
    }

    /// What an image with this truth costs, with its part of the one image more whose leading label is wrong.
    fn loss(&self, scores: &Scores, truth: LabelIndex, images: usize) -> f64 {
        let confidence = self.estimate(scores).map_or(0.0, |estimate| estimate.confidence.get());
        let wrong = -(1.0 - confidence).max(FLOOR).ln();
        wrong / images as f64 - self.probability(scores, truth).max(FLOOR).ln()
    }
}

/// What each calibration that is tried loses on each image.
struct Losses {
    tried: Vec<(Calibration, Vec<f64>)>,
}

impl Losses {
    fn of(gold: &[(Scores, LabelIndex)]) -> Self {
        let mut tried = Vec::new();
        for quarter in TEMPERATURES {
            let temperature = 2.0_f64.powf(f64::from(quarter) / 4.0);
            for hundredth in SHARES {
                let one = Calibration { temperature, epsilon: f64::from(hundredth) / 100.0 };
                // A normal prior on ln T, around 0 with a deviation of 1, shared among the images.
                let prior = temperature.ln().powi(2) / 2.0 / gold.len() as f64;
                let loss = |(scores, truth): &(Scores, LabelIndex)| one.loss(scores, *truth, gold.len()) + prior;
                tried.push((one, gold.iter().map(loss).collect()));
            }
        }
        Self { tried }
    }

    /// The calibration that loses least on some of the images.
    fn best(&self, images: impl Fn(usize) -> bool) -> Calibration {
        let loss = |losses: &[f64]| {
            let some = losses.iter().enumerate().filter(|(image, _)| images(*image));
            some.map(|(_, loss)| loss).sum::<f64>()
        };
        let all = self.tried.iter().map(|(one, losses)| (*one, loss(losses)));
        all.min_by(|a, b| a.1.total_cmp(&b.1)).map_or_else(Calibration::default, |(best, _)| best)
    }
}

/// The expected calibration error: images sorted by confidence into ten bins of the same width, the distance
/// between mean confidence and accuracy in each, weighed by the images in it (Guo et al. 2017, equation 3; they
/// have 15 bins, with which the error of some hundred images is chance for the most part). 0 without images.
pub fn calibration_error(images: impl IntoIterator<Item = (Confidence, bool)>) -> f64 {
    let mut bins = [0.0_f64; BINS];
    let mut count = 0_u64;
    for (confidence, right) in images {
        let place = ((confidence.get() * BINS as f64) as usize).min(BINS - 1);
        bins[place] += confidence.get() - f64::from(u8::from(right));
        count += 1;
    }
    bins.iter().map(|gap| gap.abs()).sum::<f64>() / count.max(1) as f64
}

/// Plain majority does better on gold than the model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// Gold images that only the majority has right.
    pub majority_only: u32,
    /// Gold images that only the model has right.
    pub model_only: u32,
    /// How likely at least such a difference would be if both were as good.
    pub p: f64,
}

/// Whether plain majority beats the model on gold by more than chance, at 5 %: the one-sided exact sign test on
/// the images that only one of them has right (McNemar 1947). EM can reinforce an error that many operators
/// share; then the owner should know. Each image is (majority is right, model is right).
pub fn alarm(gold: impl IntoIterator<Item = (bool, bool)>) -> Option<Alarm> {
    let (mut majority_only, mut model_only) = (0_u32, 0_u32);
    for (majority, model) in gold {
        majority_only += u32::from(majority && !model);
        model_only += u32::from(model && !majority);
    }
    let n = majority_only + model_only;
    // P(X ≥ majority_only) for X of the binomial distribution (n, 1/2), by logarithms: 2^n overflows.
    let mut ln_choose = 0.0;
    let mut p = 0.0;
    for successes in 0..=n {
        if successes >= majority_only {
            p += (ln_choose - f64::from(n) * std::f64::consts::LN_2).exp();
        }
        ln_choose += (f64::from(n - successes) / f64::from(successes + 1)).ln();
    }
    (p < 0.05).then_some(Alarm { majority_only, model_only, p })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two labels; the first leads by so many nats.
    fn scores(lead: f64) -> Scores {
        Scores { listed: vec![LabelIndex(0), LabelIndex(1)], scores: vec![lead, 0.0], others: 0, other: 0.0 }
    }

    fn gold(right: usize, wrong: usize, lead: f64) -> Vec<(Scores, LabelIndex)> {
        // The wrong ones are spread, as chance would do it.
        let every = (right + wrong) / wrong.max(1);
        let truth = |n: usize| LabelIndex(u16::from(wrong > 0 && n.is_multiple_of(every)));
        (0..right + wrong).map(|n| (scores(lead), truth(n))).collect()
    }

    #[test]
    fn what_is_too_sure_becomes_as_sure_as_it_is_right() {
        let fitted = Calibration::fit(&gold(40, 10, 12.0)).unwrap();
        let confidence = fitted.estimate(&scores(12.0)).unwrap().confidence.get();
        assert!((confidence - 0.8).abs() < 0.03, "{fitted:?} {confidence}");
    }

    #[test]
    fn what_means_what_it_says_is_left_alone_or_nearly_so() {
        // e^1.4 : 1 is 80 %.
        let fitted = Calibration::fit(&gold(40, 10, 1.4)).unwrap_or_default();
        let confidence = fitted.estimate(&scores(1.4)).unwrap().confidence.get();
        assert!((confidence - 0.8).abs() < 0.03, "{fitted:?} {confidence}");
        assert_eq!(Calibration::fit(&gold(9, 0, 1.0)), None, "too few to tell");
        assert_eq!(Calibration::fit(&[]), None);
    }

    #[test]
    fn fifty_right_ones_do_not_prove_that_none_is_wrong() {
        let fitted = Calibration::fit(&gold(50, 0, 30.0)).unwrap();
        let confidence = fitted.estimate(&scores(30.0)).unwrap().confidence.get();
        assert!((0.96..0.995).contains(&confidence), "{confidence}");
    }

    #[test]
    fn the_error_is_the_distance_between_what_is_said_and_what_is_so() {
        let of = |confidence: f64, right| (Confidence::new(confidence), right);
        assert_eq!(calibration_error([]), 0.0);
        let sure = [of(0.95, true), of(0.95, false), of(0.55, true), of(0.55, false)];
        assert!((calibration_error(sure) - (0.45 + 0.05) / 2.0).abs() < 1e-12);
        assert_eq!(calibration_error([of(1.0, true)]), 0.0);
    }

    #[test]
    fn the_alarm_needs_more_than_chance() {
        let gold = |majority_only: usize, model_only: usize| {
            let both = std::iter::repeat_n((true, true), 20);
            both.chain(std::iter::repeat_n((true, false), majority_only))
                .chain(std::iter::repeat_n((false, true), model_only))
        };
        assert_eq!(alarm(gold(0, 0)), None);
        assert_eq!(alarm(gold(4, 0)), None);
        assert!((alarm(gold(5, 0)).unwrap().p - 1.0 / 32.0).abs() < 1e-12);
        assert_eq!(alarm(gold(8, 5)), None);
        assert_eq!(alarm(gold(0, 30)), None);
        assert!(alarm(gold(1_200, 1_000)).is_some());
    }
}
