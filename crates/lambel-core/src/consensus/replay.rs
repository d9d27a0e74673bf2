//! Gold played again: what a task's rule would have said of images whose label is known.
//!
//! An image of gold gets many more answers than other images, so all its answers together say nothing of how sure a
//! decision is in this task. What says something is where the rule would have stopped, had the image been work.

use serde::{Deserialize, Serialize};

use super::{Alarm, Calibration, Scores, Verdict, alarm, plurality};
use crate::{LabelIndex, Policy, subtask::Votes};

/// Images of gold from which on confidences are calibrated: two numbers fitted to fewer are chance.
pub const CALIBRATED_FROM: usize = 50;

/// An image at the moment at which the rule would have stopped on it.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The scores of the labels: by these the rule stopped, and by these such an image has its confidence.
    pub scores: Scores,
    /// The label that has most of the votes until then; of several, the first of the task's set.
    pub majority: Option<LabelIndex>,
}

/// Plays the answers on an image in their order of time until the policy decides it. Each answer weighs what it says
/// (`earned`), as a vote does. None where the rule goes on waiting, and where it reports no posterior: it does not weigh, it
/// ends without a label, or votes were ahead for another label than the weights while nobody was known.
pub fn replay(policy: &Policy, labels: usize, answers: &Votes) -> Option<Replay> {
    let mut in_order: Vec<_> = answers.iter().collect();
    // Of answers at the same moment the first operator's comes first, as the map has them.
    in_order.sort_by_key(|(_, answer)| answer.at);
    let mut votes = Votes::new();
    for (operator, answer) in in_order {
        votes.insert(operator.clone(), *answer);
        if let Verdict::Decided(decision) = policy.judge(labels, &votes) {
            let scores = policy.rule.scores(labels, &votes).filter(|scores| scores.leader() == decision.label)?;
            return Some(Replay { scores, majority: plurality(labels, &votes).leader });
        }
    }
    None
}

/// What gold that was played again says of the confidences of a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// Images of gold on which the rule would have stopped.
    pub gold: u32,
    /// How posteriors become confidences; none where they are reported as they are, since there is
    /// [too little](CALIBRATED_FROM) gold, or since it does not show that anything else is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Whether plain majority does better on this gold than the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
}

impl Calibrated {
    /// What images with known labels say, each as it was when the rule would have stopped. Their order should be random:
    /// see [`Calibration::fit`].
    pub fn of(gold: impl IntoIterator<Item = (Replay, LabelIndex)>) -> Self {
        let mut right = Vec::new();
        let mut scores = Vec::new();
        for (replay, truth) in gold {
            right.push((replay.majority == Some(truth), replay.scores.leader() == Some(truth)));
            scores.push((replay.scores, truth));
        }
        let found = Self { gold: u32::try_from(right.len()).unwrap_or(u32::MAX), ..Self::default() };
        if right.len() < CALIBRATED_FROM {
            return found;
        }
        // To as many digits as mean something, and as can be stored: the chance of an alarm may be next to nothing.
        let rounded = |number: f64| (number * 1e6).round() / 1e6;
        Self {
            calibration: Calibration::fit(&scores).map(|fitted| Calibration {
                temperature: rounded(fitted.temperature),
                epsilon: rounded(fitted.epsilon),
            }),
            alarm: alarm(right).map(|alarm| Alarm { p: rounded(alarm.p), ..alarm }),
            ..found
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Timestamp, Vote,
        api::{PolicyFields, RuleName},
        consensus::{Decision, Earned, Phase, Weight},
        subtask::{Abstention, Answer},
    };

    fn policy() -> Policy {
        let fields = PolicyFields { rule: Some(RuleName::Adaptive), max_abstentions: Some(2), ..Default::default() };
        Policy::parse(&fields).unwrap()
    }

    /// Answers one after the other: a label with its weight in thousandths of a nat, or an abstention.
    fn answers(said: &[Option<(u16, i32)>], phase: Phase) -> Votes {
        let vote = |(n, said): (usize, &Option<(u16, i32)>)| {
            let vote = Vote {
                answer: said.map_or(Answer::Abstain(Abstention::Unclear), |said| Answer::Label(LabelIndex(said.0))),
                at: Timestamp::from_millis(n as i64),
                elapsed_ms: None,
                earned: said.map(|said| Earned { weight: Weight::from_thousandths(said.1), phase }),
            };
            // In the order of their ids the last comes first.
            (format!("op-{}", 900 - n).parse().unwrap(), vote)
        };
        said.iter().enumerate().map(vote).collect()
    }

    fn played(said: &[Option<(u16, i32)>], phase: Phase) -> Option<Replay> {
        replay(&policy(), 2, &answers(said, phase))
    }

    #[test]
    fn an_image_is_played_until_its_rule_would_have_stopped_and_no_further() {
        // 2 nats for the second label, 1 for the first, 2.5 for the second: 3.5 nats ahead are 97 %.
        let said = [Some((1, 2_000)), Some((0, 1_000)), Some((1, 2_500)), Some((0, 9_000)), Some((0, 9_000))];
        let stopped = played(&said, Phase::Warm).unwrap();
        assert_eq!((stopped.scores.leader(), stopped.majority), (Some(LabelIndex(1)), Some(LabelIndex(1))));
        let posterior = 1.0 / (1.0 + (-3.5_f64).exp());
        assert!((stopped.scores.posterior(LabelIndex(1), 1.0) - posterior).abs() < 1e-12);
        assert!(played(&said[..2], Phase::Warm).is_none(), "73 % are not enough");
        // While nobody is known two votes ahead are enough, and nothing less.
        assert!(played(&said, Phase::Cold).is_none());
        let cold = played(&[Some((0, 100)), Some((0, 100)), Some((1, 9_000))], Phase::Cold).unwrap();
        assert!((cold.scores.posterior(LabelIndex(0), 1.0) - 1.0 / (1.0 + (-0.2_f64).exp())).abs() < 1e-12);
    }

    #[test]
    fn weights_may_say_another_thing_than_the_majority() {
        let said = [Some((1, 500)), Some((1, 500)), Some((0, 5_000))];
        let stopped = played(&said, Phase::Warm).unwrap();
        assert_eq!((stopped.scores.leader(), stopped.majority), (Some(LabelIndex(0)), Some(LabelIndex(1))));
    }

    #[test]
    fn abstentions_end_an_image_and_without_a_label_it_says_nothing() {
        let ended = played(&[None, Some((1, 500)), None, Some((1, 9_000))], Phase::Warm).unwrap();
        assert!((ended.scores.posterior(LabelIndex(1), 1.0) - 1.0 / (1.0 + (-0.5_f64).exp())).abs() < 1e-12);
        assert!(played(&[None, None, Some((1, 9_000))], Phase::Warm).is_none());
        assert!(replay(&Policy::default(), 2, &answers(&[Some((1, 500)); 9], Phase::Warm)).is_none(), "no weights");
    }

    proptest! {
        #[test]
        fn what_is_calibrated_is_what_the_rule_reports(
            said in prop::collection::vec(prop::option::weighted(0.9, (0_u16..3, -2_000_i32..6_000)), 0..14),
            warm in prop::bool::ANY,
        ) {
            let answers = answers(&said, if warm { Phase::Warm } else { Phase::Cold });
            // The shortest beginning that the policy decides.
            let mut votes = Votes::new();
            let mut decided: Option<Decision> = None;
            for (operator, vote) in answers.iter().rev() {
                votes.insert(operator.clone(), *vote);
                if let Verdict::Decided(decision) = policy().judge(3, &votes) {
                    decided = Some(decision);
                    break;
                }
            }
            let stopped = replay(&policy(), 3, &answers).and_then(|replay| replay.scores.best());
            let by_weight = |decision: &Decision| decision.label == policy().rule.best(3, &votes).0;
            let reported = decided.filter(by_weight).filter(|decision| decision.label.is_some());
            prop_assert_eq!(stopped.map(|best| best.label), reported.and_then(|decision| decision.label));
            if let (Some(best), Some(decision)) = (stopped, reported) {
                prop_assert!((best.confidence.get() - decision.confidence.get()).abs() < 1e-9);
            }
        }
    }

    /// So many images on which two good operators agree; of each four one has the other label.
    fn gold(images: usize, majority: Option<LabelIndex>) -> Vec<(Replay, LabelIndex)> {
        let stopped = played(&[Some((0, 3_000)), Some((0, 3_000))], Phase::Warm).unwrap();
        let image = |n: usize| (Replay { majority, ..stopped.clone() }, LabelIndex(u16::from(n.is_multiple_of(4))));
        (0..images).map(image).collect()
    }

    #[test]
    fn fifty_images_make_a_calibration_and_fewer_none() {
        let few = Calibrated::of(gold(49, Some(LabelIndex(1))));
        assert_eq!(few, Calibrated { gold: 49, ..Calibrated::default() });
        let enough = Calibrated::of(gold(52, Some(LabelIndex(0))));
        assert_eq!((enough.gold, enough.alarm), (52, None), "the majority says the same");
        let calibration = enough.calibration.unwrap();
        let (scores, _) = gold(1, None).remove(0);
        let raw = scores.scores.best().unwrap().confidence.get();
        let confidence = calibration.estimate(&scores.scores).unwrap().confidence.get();
        assert!(raw > 0.95 && (confidence - 0.75).abs() < 0.05, "{raw}, and {confidence} of three in four");
    }

    #[test]
    fn a_majority_that_is_right_where_the_model_is_wrong_is_an_alarm() {
        // A majority that is always right: it has the quarter that the model has wrong.
        let right = |(replay, truth): (Replay, LabelIndex)| (Replay { majority: Some(truth), ..replay }, truth);
        let found = Calibrated::of(gold(1_000, None).into_iter().map(right)).alarm.unwrap();
        assert_eq!((found.majority_only, found.model_only, found.p), (250, 0, 0.0), "2^-250 is nothing");
        let found = Calibrated::of(gold(60, None)).alarm;
        assert_eq!(found, None, "a majority without a label is not right");
    }
}
