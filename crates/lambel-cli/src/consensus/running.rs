//! What a running task would report of the images of a play, and what its gold would say of that.
//!
//! A running task reports the confidence that an image was decided with, by the weights of that moment, and not the
//! posterior of a last look at everything.

use lambel_core::{
    LabelIndex, Policy, Timestamp, Vote,
    consensus::{
        Adaptive, Ballot, Calibrated, Calibration, Decision, Earned, Phase, Rule, Scores, Weight, calibration_error,
        replay,
    },
    subtask::{Answer, Votes},
};

/// The images of a play as a running task would report them.
pub(super) struct Running {
    /// Each decision, with the scores of the labels that it was made by.
    pub(super) decided: Vec<Option<(Decision, Scores)>>,
    /// What gold says of them.
    pub(super) found: Calibrated,
}

/// The calibration error of what a running task reports: of posteriors, and of calibrated confidences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errors {
    pub(super) posterior: f64,
    pub(super) calibrated: f64,
}

impl Running {
    /// The errors on those of the images that have a truth and are no gold.
    pub(super) fn errors(&self, truth: impl Fn(usize) -> Option<LabelIndex>, gold: &[usize]) -> Errors {
        let calibration = self.found.calibration.unwrap_or_default();
        let error = |calibration: Calibration| {
            let others = self.decided.iter().enumerate().filter(|(image, _)| !gold.contains(image));
            let reported = others.filter_map(|(image, decided)| {
                let (decision, scores) = decided.as_ref()?;
                let confidence = calibration.probability(scores, decision.label?);
                Some((lambel_core::consensus::Confidence::new(confidence), decision.label? == truth(image)?))
            });
            calibration_error(reported)
        };
        Errors { posterior: error(Calibration::default()), calibrated: error(calibration) }
    }
}

/// What gold says: each image with all its votes, in their order, played until the rule stops. They weigh what `weight`
/// says of their operators.
pub(super) fn calibrated<'a>(
    rule: Adaptive,
    labels: usize,
    phase: Phase,
    weight: impl Fn(&Ballot) -> f64,
    gold: impl Iterator<Item = (&'a [Ballot], LabelIndex)>,
) -> Calibrated {
    let policy = Policy { rule: Rule::Adaptive(rule), ..Policy::default() };
    let played = gold.filter_map(|(ballots, truth)| {
        let vote = |(at, ballot): (i64, &Ballot)| {
            let earned = Some(Earned { weight: Weight::from_nats(weight(ballot)), phase });
            let at = Timestamp::from_millis(at);
            let vote = Vote { answer: Answer::Label(ballot.label), at, elapsed_ms: None, earned };
            Some((ballot.operator.to_string().parse().ok()?, vote))
        };
        let votes: Votes = (0..).zip(ballots).filter_map(vote).collect();
        Some((replay(&policy, labels, &votes)?, truth))
    });
    Calibrated::of(played)
}
