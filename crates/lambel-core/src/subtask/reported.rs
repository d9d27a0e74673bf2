//! How sure a decision is, as people and programs are told.

use super::{DecidedBy, Subtask};
use crate::consensus::{Calibration, Confidence, Rule, Scores};

impl Subtask {
    /// The confidence of its decision as it is reported; none where nothing is decided. With a calibration that is
    /// `(1 − ε)·softmax(s/T) + ε/K`, else the confidence that is recorded.
    ///
    /// The scores follow from the votes and what they weigh. What a batch has decided follows from all votes of the task
    /// together, so there the posterior that it found is calibrated, with what it leaves spread evenly over the other
    /// labels. A rule that does not weigh reports no posteriors, and whoever decided because they know the label is not
    /// less sure for what gold says of votes: these stay as they are.
    pub fn reported_confidence(
        &self,
        rule: &Rule,
        labels: usize,
        calibration: Option<&Calibration>,
    ) -> Option<Confidence> {
        let decision = self.decision?;
        let calibrated = calibration.and_then(|calibration| {
            let (label, scores) = (decision.label?, self.decisive_scores(rule, labels)?);
            Some(Confidence::new(calibration.probability(&scores, label)))
        });
        Some(calibrated.unwrap_or(decision.confidence))
    }

    /// The posterior of its label as the rule or a batch found it, before any calibration. None where the confidence
    /// is not a posterior.
    pub fn posterior(&self, rule: &Rule, labels: usize) -> Option<Confidence> {
        self.decisive_scores(rule, labels).and(self.decision).map(|decision| decision.confidence)
    }

    /// The scores by which its label was found likeliest.
    fn decisive_scores(&self, rule: &Rule, labels: usize) -> Option<Scores> {
        let decision = self.decision.filter(|_| rule.weighs())?;
        let label = decision.label?;
        match self.decided_by {
            // While nobody is known the votes may be ahead for one label and their weights for another: then the
            // confidence is a share of votes.
            DecidedBy::Votes => rule.scores(labels, &self.votes).filter(|scores| scores.leader() == Some(label)),
            DecidedBy::Batch => Some(Scores::of_posterior(labels, label, decision.confidence)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ImageId, LabelIndex, OnDispute, Policy, TaskId, Timestamp, Vote,
        api::{PolicyFields, RuleName},
        consensus::{Decision, Dispute, Earned, Phase, Verdict, Weight},
        subtask::{Abstention, Answer, Picture, Preview},
    };

    const LABELS: usize = 4;
    const HALF: Calibration = Calibration { temperature: 2.0, epsilon: 0.1 };

    fn policy(rule: RuleName) -> Policy {
        Policy::parse(&PolicyFields { rule: Some(rule), ..Default::default() }).unwrap()
    }

    /// Two votes for label 1 of 2 and 2.5 nats, decided by its rule.
    fn decided(policy: &Policy) -> Subtask {
        let at = Timestamp::from_millis(1);
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let mut subtask = Subtask::preparing(TaskId::random(), ImageId::MIN, 1, picture, Preview::NotNeeded, at);
        subtask.open(None);
        for (who, weight) in [("op-1", 2_000), ("op-2", 2_500), ("op-3", 2_500)] {
            let earned = Some(Earned { weight: Weight::from_thousandths(weight), phase: Phase::Warm });
            let vote = Vote { answer: Answer::Label(LabelIndex(1)), at, elapsed_ms: None, earned };
            subtask.votes.insert(who.parse().unwrap(), vote);
        }
        let Verdict::Decided(decision) = subtask.judge(policy, LABELS) else { panic!("three votes") };
        subtask.close(decision, OnDispute::Marked, at);
        subtask
    }

    fn who_is(name: &str) -> crate::OperatorId {
        name.parse().unwrap()
    }

    fn reported(subtask: &Subtask, rule: RuleName, calibration: Option<&Calibration>) -> f64 {
        subtask.reported_confidence(&policy(rule).rule, LABELS, calibration).unwrap().get()
    }

    #[test]
    fn votes_are_calibrated_by_their_weights() {
        let subtask = decided(&policy(RuleName::Adaptive));
        let raw = subtask.decision.unwrap().confidence.get();
        assert_eq!(
            subtask.posterior(&policy(RuleName::Adaptive).rule, LABELS),
            subtask.decision.map(|one| one.confidence)
        );
        assert_eq!(reported(&subtask, RuleName::Adaptive, None), raw);
        assert!((reported(&subtask, RuleName::Adaptive, Some(&Calibration::default())) - raw).abs() < 1e-9);
        // 7 nats at half the heat are 3.5; three labels have the score 0.
        let expected = 0.9 * 3.5_f64.exp() / (3.5_f64.exp() + 3.0) + 0.1 / 4.0;
        assert!((reported(&subtask, RuleName::Adaptive, Some(&HALF)) - expected).abs() < 1e-12);
    }

    #[test]
    fn what_a_batch_has_decided_is_calibrated_by_what_it_found() {
        let mut subtask = decided(&policy(RuleName::Adaptive));
        let sure = Decision { label: Some(LabelIndex(2)), confidence: Confidence::new(0.97), dispute: None };
        assert!(subtask.revise(sure, DecidedBy::Batch, OnDispute::Marked, Timestamp::from_millis(2)));
        assert!((reported(&subtask, RuleName::Adaptive, Some(&Calibration::default())) - 0.97).abs() < 1e-9);
        // Its votes are for another label, and would leave next to nothing of it.
        let expected = 0.9 * 0.97_f64.sqrt() / (0.97_f64.sqrt() + 3.0 * 0.01_f64.sqrt()) + 0.1 / 4.0;
        assert!((reported(&subtask, RuleName::Adaptive, Some(&HALF)) - expected).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_posterior_stays_as_it_is() {
        let mut known = decided(&policy(RuleName::Adaptive));
        let truth = Decision { label: Some(LabelIndex(0)), confidence: Confidence::new(1.0), dispute: None };
        known.close_by(truth, DecidedBy::Gold, OnDispute::Marked, Timestamp::from_millis(2));
        assert_eq!(reported(&known, RuleName::Adaptive, Some(&HALF)), 1.0);
        assert_eq!(known.posterior(&policy(RuleName::Adaptive).rule, LABELS), None);

        let counted = decided(&policy(RuleName::Majority));
        assert_eq!(reported(&counted, RuleName::Majority, Some(&HALF)), 1.0);
        assert_eq!(counted.posterior(&policy(RuleName::Majority).rule, LABELS), None);

        // Nobody is known, and two votes ahead outweigh one that weighs more than both.
        let mut outvoted = decided(&policy(RuleName::Adaptive));
        for (who, label, weight) in [("op-1", 1, 100), ("op-2", 1, 100), ("op-3", 1, 100), ("op-4", 2, 5_000)] {
            let earned = Some(Earned { weight: Weight::from_thousandths(weight), phase: Phase::Cold });
            let vote = Vote { answer: Answer::Label(LabelIndex(label)), earned, ..outvoted.votes[&who_is("op-1")] };
            outvoted.votes.insert(who_is(who), vote);
        }
        let Verdict::Decided(decision) = outvoted.judge(&policy(RuleName::Adaptive), LABELS) else { panic!("ahead") };
        outvoted.close(decision, OnDispute::Marked, Timestamp::from_millis(2));
        assert_eq!(outvoted.decision.unwrap().label, Some(LabelIndex(1)));
        assert_eq!(reported(&outvoted, RuleName::Adaptive, Some(&HALF)), 0.75, "of four votes");
        assert_eq!(outvoted.posterior(&policy(RuleName::Adaptive).rule, LABELS), None);

        let mut nothing = decided(&policy(RuleName::Adaptive));
        nothing.votes.values_mut().for_each(|vote| vote.answer = Answer::Abstain(Abstention::Unclear));
        let none = Decision { label: None, confidence: Confidence::default(), dispute: Some(Dispute::Abstentions) };
        nothing.close(none, OnDispute::Marked, Timestamp::from_millis(2));
        assert_eq!(reported(&nothing, RuleName::Adaptive, Some(&HALF)), 0.0);
        nothing.decision = None;
        assert_eq!(nothing.reported_confidence(&policy(RuleName::Adaptive).rule, LABELS, Some(&HALF)), None);
    }
}
