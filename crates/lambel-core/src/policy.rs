//! The policy of a task: how it comes to its labels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    GoldRate, OnDispute,
    api::{PolicyFields, RuleName},
    consensus::{Adaptive, COLD_LEAD, Confidence, Decision, Dispute, Lead, Majority, Rule, Verdict},
    limits,
    subtask::Votes,
    versions::Versions,
};

/// The confidence of `adaptive` where none is said.
const USUAL_CONFIDENCE: f64 = 0.95;
/// The most votes of `adaptive` where no number is said.
const USUAL_ROOM: u32 = 9;

/// How a task comes to its labels. It does not change once the task exists: every decision can be computed
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The rule of consensus.
    #[serde(flatten)]
    pub rule: Rule,
    /// Abstentions after which a subtask ends in dispute. They are counted apart from the votes with a label.
    pub max_abstentions: u32,
    /// How long an operator has for what they have claimed.
    pub lease_seconds: u32,
    /// Whether an operator is paused in the task when their record has a flag that is
    /// [certain](crate::consensus::FlagKind::pauses).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pause_flagged: bool,
    /// When its data set gets versions by itself.
    #[serde(default, skip_serializing_if = "Versions::is_default")]
    pub versions: Versions,
    /// How much of what is handed out is gold.
    #[serde(default, skip_serializing_if = "GoldRate::is_none")]
    pub gold_rate: GoldRate,
    /// What becomes of images whose votes have found no answer.
    #[serde(default, skip_serializing_if = "OnDispute::is_default")]
    pub disputed: OnDispute,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rule: Rule::Majority(Majority { quorum: 3, max_labels: 7 }),
            max_abstentions: 3,
            lease_seconds: 900,
            pause_flagged: false,
            versions: Versions::default(),
            gold_rate: GoldRate::default(),
            disputed: OnDispute::default(),
        }
    }
}

impl Policy {
    /// Reads a policy; what is not said is as in [`Policy::default`], and as the rule has it. A number that
    /// belongs to another rule is refused: whoever says it means something that would not happen.
    pub fn parse(fields: &PolicyFields) -> Result<Self, PolicyError> {
        let name = fields.rule.unwrap_or(RuleName::Majority);
        let said = [
            ("quorum", fields.quorum.is_some(), &[RuleName::Majority][..]),
            ("lead", fields.lead.is_some(), &[RuleName::Lead]),
            ("confidence", fields.confidence.is_some(), &[RuleName::Adaptive]),
            ("min_labels", fields.min_labels.is_some(), &[RuleName::Lead, RuleName::Adaptive]),
        ];
        if let Some((field, ..)) = said.into_iter().find(|(_, said, rules)| *said && !rules.contains(&name)) {
            return Err(PolicyError::OfAnotherRule { field, rule: name.as_str() });
        }
        let rule = match name {
            RuleName::Majority => Rule::Majority(parse_majority(fields)?),
            RuleName::Lead => Rule::Lead(parse_lead(fields)?),
            RuleName::Adaptive => Rule::Adaptive(parse_adaptive(fields)?),
        };
        let usual = Self::default();
        let max_abstentions = fields.max_abstentions.unwrap_or(usual.max_abstentions);
        within("max_abstentions", max_abstentions, 1, limits::MAX_ABSTENTIONS)?;
        let lease_seconds = fields.lease_seconds.unwrap_or(usual.lease_seconds);
        within("lease_seconds", lease_seconds, limits::LEASE_SECONDS_MIN, limits::LEASE_SECONDS_MAX)?;
        let pause_flagged = fields.pause_flagged.unwrap_or(usual.pause_flagged);
        let share = fields.gold_rate.unwrap_or_default();
        let gold_rate = GoldRate::parse(share).ok_or(PolicyError::GoldRate { value: share })?;
        let versions = Versions::parse(fields)?;
        let disputed = fields.disputed.unwrap_or_default();
        Ok(Self { rule, max_abstentions, lease_seconds, pause_flagged, versions, gold_rate, disputed })
    }

    /// Judges the votes of one subtask of a task with so many labels.
    pub fn judge(&self, labels: usize, votes: &Votes) -> Verdict {
        let verdict = self.rule.judge(labels, votes);
        let abstained = votes.values().filter(|vote| vote.answer.label().is_none()).count();
        if matches!(verdict, Verdict::Undecided { .. }) && abstained >= self.max_abstentions as usize {
            let (label, confidence) = self.rule.best(labels, votes);
            return Verdict::Decided(Decision { label, confidence, dispute: Some(Dispute::Abstentions) });
        }
        verdict
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_seconds))
    }
}

fn parse_majority(fields: &PolicyFields) -> Result<Majority, PolicyError> {
    let quorum = fields.quorum.unwrap_or(3);
    within("quorum", quorum, 1, limits::MAX_LABELS)?;
    // Room for ties, unless the client says otherwise.
    let room = quorum.saturating_mul(2).saturating_add(1).min(limits::MAX_LABELS);
    let max_labels = fields.max_labels.unwrap_or(room);
    within("max_labels", max_labels, quorum, limits::MAX_LABELS)?;
    Ok(Majority { quorum, max_labels })
}

fn parse_lead(fields: &PolicyFields) -> Result<Lead, PolicyError> {
    let lead = fields.lead.unwrap_or(2);
    within("lead", lead, 1, limits::MAX_LABELS)?;
    let min_labels = fields.min_labels.unwrap_or(1);
    within("min_labels", min_labels, 1, limits::MAX_LABELS)?;
    let least = lead.max(min_labels);
    // Room for three votes on the other side, unless the client says otherwise.
    let room = least.saturating_mul(2).saturating_add(3).min(limits::MAX_LABELS);
    let max_labels = fields.max_labels.unwrap_or(room);
    within("max_labels", max_labels, least, limits::MAX_LABELS)?;
    Ok(Lead { lead, min_labels, max_labels })
}

fn parse_adaptive(fields: &PolicyFields) -> Result<Adaptive, PolicyError> {
    let confidence = fields.confidence.unwrap_or(USUAL_CONFIDENCE);
    if !limits::CONFIDENCES.contains(&confidence) {
        return Err(PolicyError::Confidence { value: confidence });
    }
    let min_labels = fields.min_labels.unwrap_or(1);
    within("min_labels", min_labels, 1, limits::MAX_LABELS)?;
    // Two votes decide while nobody is known, and operators of mean skill need some more afterwards.
    let max_labels = fields.max_labels.unwrap_or(min_labels.max(USUAL_ROOM));
    within("max_labels", max_labels, min_labels.max(COLD_LEAD), limits::MAX_LABELS)?;
    Ok(Adaptive { confidence: Confidence::new(confidence), min_labels, max_labels })
}

impl From<&Policy> for PolicyFields {
    fn from(policy: &Policy) -> Self {
        let mut common = Self {
            max_labels: Some(policy.rule.max_labels()),
            max_abstentions: Some(policy.max_abstentions),
            lease_seconds: Some(policy.lease_seconds),
            pause_flagged: Some(policy.pause_flagged),
            gold_rate: Some(policy.gold_rate.get()),
            disputed: Some(policy.disputed),
            ..Self::default()
        };
        policy.versions.write_to(&mut common);
        match policy.rule {
            Rule::Majority(Majority { quorum, .. }) => {
                Self { rule: Some(RuleName::Majority), quorum: Some(quorum), ..common }
            }
            Rule::Lead(Lead { lead, min_labels, .. }) => {
                Self { rule: Some(RuleName::Lead), lead: Some(lead), min_labels: Some(min_labels), ..common }
            }
            Rule::Adaptive(Adaptive { confidence, min_labels, .. }) => Self {
                rule: Some(RuleName::Adaptive),
                confidence: Some(confidence.get()),
                min_labels: Some(min_labels),
                ..common
            },
        }
    }
}

pub(crate) fn within(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), PolicyError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PolicyError::Range { field, value, min, max }) }
}

/// What a policy may not say.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// A number is out of its range.
    #[error("{field} is {min} to {max}, not {value}")]
    Range {
        /// Which number.
        field: &'static str,
        /// What was asked for.
        value: u32,
        /// The least allowed.
        min: u32,
        /// The most allowed.
        max: u32,
    },
    /// A confidence is out of its range.
    #[error("confidence is {} to {}, not {value}", limits::CONFIDENCES.start(), limits::CONFIDENCES.end())]
    Confidence {
        /// What was asked for.
        value: f64,
    },
    /// The least confidence of a release is out of its range.
    #[error("release_min_confidence is 0 to 1, not {value}")]
    ReleaseConfidence {
        /// What was asked for.
        value: f64,
    },
    /// The least confidence of a release that is never made.
    #[error("release_min_confidence says nothing without release_when")]
    NoRelease,
    /// A share of gold is out of its range.
    #[error("gold_rate is {} to {}, not {value}", limits::GOLD_RATES.start(), limits::GOLD_RATES.end())]
    GoldRate {
        /// What was asked for.
        value: f64,
    },
    /// A number that the rule does not have.
    #[error("{field} does not belong to the rule `{rule}`")]
    OfAnotherRule {
        /// Which number.
        field: &'static str,
        /// The rule.
        rule: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        LabelIndex, Timestamp, Vote,
        consensus::{Earned, Phase, Weight},
        subtask::{Abstention, Answer},
    };

    fn votes(answers: &[Option<u16>]) -> Votes {
        let answer = |label: &Option<u16>| match label {
            Some(label) => Answer::Label(LabelIndex(*label)),
            None => Answer::Abstain(Abstention::Unclear),
        };
        let vote = |label| Vote { answer: answer(label), at: Timestamp::default(), elapsed_ms: None, earned: None };
        answers.iter().enumerate().map(|(n, label)| (format!("op-{n}").parse().unwrap(), vote(label))).collect()
    }

    #[test]
    fn abstentions_are_no_votes_and_have_a_limit_of_their_own() {
        let policy = Policy::default();
        assert_eq!(policy.judge(2, &votes(&[None, None])), Verdict::Undecided { wanted: 3 });
        let Verdict::Decided(decision) = policy.judge(2, &votes(&[None, Some(1), None, None])) else {
            panic!("three abstentions end it");
        };
        assert_eq!(decision.label, Some(LabelIndex(1)));
        assert_eq!(decision.dispute, Some(Dispute::Abstentions));
        let Verdict::Decided(decision) = policy.judge(2, &votes(&[None, None, None])) else {
            panic!("three abstentions end it");
        };
        assert_eq!((decision.label, decision.confidence.get()), (None, 0.0));
        // The quorum is there: abstentions do not take the answer away.
        let Verdict::Decided(decision) = policy.judge(2, &votes(&[None, Some(1), None, None, Some(1), Some(1)])) else {
            panic!("a quorum decides");
        };
        assert_eq!(decision.dispute, None);
    }

    #[test]
    fn numbers_have_ranges() {
        let with = |quorum, max_labels| PolicyFields { quorum, max_labels, ..PolicyFields::default() };
        assert_eq!(Policy::parse(&PolicyFields::default()).unwrap(), Policy::default());
        assert_eq!(Policy::parse(&with(Some(5), None)).unwrap().rule.max_labels(), 11);
        for bad in [with(Some(0), None), with(Some(101), None), with(Some(3), Some(2)), with(None, Some(101))] {
            assert!(Policy::parse(&bad).is_err(), "{bad:?}");
        }
        let error = Policy::parse(&with(Some(0), None)).unwrap_err();
        assert_eq!(error.to_string(), "quorum is 1 to 100, not 0");
    }

    #[test]
    fn a_lead_has_numbers_of_its_own() {
        let usual = PolicyFields { rule: Some(RuleName::Lead), ..PolicyFields::default() };
        let Rule::Lead(rule) = Policy::parse(&usual).unwrap().rule else { panic!("a lead was asked for") };
        assert_eq!(rule, Lead { lead: 2, min_labels: 1, max_labels: 7 });
        for (bad, says) in [
            (PolicyFields { lead: Some(0), ..usual.clone() }, "lead is 1 to 100, not 0"),
            (PolicyFields { min_labels: Some(0), ..usual.clone() }, "min_labels is 1 to 100, not 0"),
            (PolicyFields { lead: Some(3), max_labels: Some(2), ..usual.clone() }, "max_labels is 3 to 100, not 2"),
            (
                PolicyFields { min_labels: Some(9), max_labels: Some(8), ..usual.clone() },
                "max_labels is 9 to 100, not 8",
            ),
            (PolicyFields { quorum: Some(3), ..usual.clone() }, "quorum does not belong to the rule `lead`"),
            (
                PolicyFields { rule: None, lead: Some(2), ..usual.clone() },
                "lead does not belong to the rule `majority`",
            ),
            (
                PolicyFields { rule: None, min_labels: Some(2), ..usual.clone() },
                "min_labels does not belong to the rule `majority`",
            ),
        ] {
            assert_eq!(Policy::parse(&bad).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn a_lead_decides_and_abstentions_end_it_with_the_best_there_is() {
        let policy = Policy::parse(&PolicyFields { rule: Some(RuleName::Lead), ..PolicyFields::default() }).unwrap();
        assert_eq!(policy.judge(2, &votes(&[])), Verdict::Undecided { wanted: 2 });
        assert_eq!(policy.judge(2, &votes(&[Some(1), Some(0), None])), Verdict::Undecided { wanted: 2 });
        let decided = |label, share, dispute| {
            Verdict::Decided(Decision { label: Some(LabelIndex(label)), confidence: Confidence::new(share), dispute })
        };
        assert_eq!(policy.judge(2, &votes(&[Some(1), Some(1)])), decided(1, 1.0, None));
        let ended = [None, Some(1), None, None, Some(0), Some(1), Some(0)];
        assert_eq!(policy.judge(2, &votes(&ended)), decided(0, 0.5, Some(Dispute::Abstentions)));
    }

    fn adaptive() -> PolicyFields {
        PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() }
    }

    #[test]
    fn adaptive_has_numbers_of_its_own() {
        let Rule::Adaptive(rule) = Policy::parse(&adaptive()).unwrap().rule else { panic!("adaptive was asked for") };
        assert_eq!(rule, Adaptive { confidence: Confidence::new(0.95), min_labels: 1, max_labels: 9 });
        for (bad, says) in [
            (PolicyFields { confidence: Some(1.0), ..adaptive() }, "confidence is 0.5 to 0.999, not 1"),
            (PolicyFields { confidence: Some(f64::NAN), ..adaptive() }, "confidence is 0.5 to 0.999, not NaN"),
            (PolicyFields { max_labels: Some(1), ..adaptive() }, "max_labels is 2 to 100, not 1"),
            (PolicyFields { min_labels: Some(5), max_labels: Some(4), ..adaptive() }, "max_labels is 5 to 100, not 4"),
            (PolicyFields { lead: Some(2), ..adaptive() }, "lead does not belong to the rule `adaptive`"),
            (
                PolicyFields { confidence: Some(0.9), ..PolicyFields::default() },
                "confidence does not belong to the rule `majority`",
            ),
        ] {
            assert_eq!(Policy::parse(&bad).unwrap_err().to_string(), says);
        }
    }

    /// A vote for a label, with the weight in thousandths of a nat and the phase that its operator had.
    type Weighed = (u16, Option<(i32, Phase)>);

    fn earned(votes: &[Weighed]) -> Votes {
        let vote = |(n, (label, earned)): (usize, &Weighed)| {
            let earned = earned.map(|(weight, phase)| Earned { weight: Weight::from_thousandths(weight), phase });
            let answer = Answer::Label(LabelIndex(*label));
            let vote = Vote { answer, at: Timestamp::default(), elapsed_ms: None, earned };
            (format!("op-{n}").parse().unwrap(), vote)
        };
        votes.iter().enumerate().map(vote).collect()
    }

    #[test]
    fn what_decides_is_what_the_votes_carry() {
        let judge = |votes: &[Weighed]| Policy::parse(&adaptive()).unwrap().judge(2, &earned(votes));
        let label = |verdict| match verdict {
            Verdict::Decided(Decision { label: Some(label), dispute: None, confidence }) => {
                Some((label.0, confidence.get()))
            }
            _ => None,
        };
        let (cold, warm) = (Phase::Cold, Phase::Warm);
        assert_eq!(judge(&[]), Verdict::Undecided { wanted: 1 }, "one may be enough");
        // Nobody is known: two votes ahead decide, whatever they weigh; the confidence is that of their weights.
        assert_eq!(judge(&[(1, Some((5_300, cold)))]), Verdict::Undecided { wanted: 1 });
        let unknown = label(judge(&[(1, None), (1, None)])).unwrap();
        assert_eq!(unknown.0, 1);
        assert!((unknown.1 - 16.0 / 17.0).abs() < 1e-4, "four in five, twice: {unknown:?}");
        // Somebody is known: the posterior decides.
        assert!(label(judge(&[(1, Some((5_300, warm)))])).unwrap().1 > 0.99);
        assert_eq!(judge(&[(1, Some((300, warm))), (1, Some((300, warm)))]), Verdict::Undecided { wanted: 1 });
        // One good vote outweighs two bad ones; a new operator counts as four in five.
        let good = [(1, Some((5_300, warm))), (0, Some((300, warm))), (0, None)];
        assert_eq!(label(judge(&good)).map(|(label, _)| label), Some(1));
        // Votes from before anybody was known count by what is stored with them.
        let mixed = [(0, Some((200, cold))), (1, Some((4_000, warm)))];
        assert_eq!(label(judge(&mixed)).map(|(label, _)| label), Some(1));
    }

    proptest! {
        #[test]
        fn adaptive_does_not_depend_on_the_order_of_votes(
            mut votes in prop::collection::vec(
                (0_u16..3, prop::option::of((-3_000_i32..6_000, prop::bool::ANY))), 0..9),
        ) {
            let policy = Policy::parse(&adaptive()).unwrap();
            let judge = |votes: &[(u16, Option<(i32, bool)>)]| {
                let phase = |warm| if warm { Phase::Warm } else { Phase::Cold };
                let votes: Vec<_> =
                    votes.iter().map(|(label, of)| (*label, of.map(|(weight, warm)| (weight, phase(warm))))).collect();
                policy.judge(3, &earned(&votes))
            };
            let before = judge(&votes);
            votes.reverse();
            let after = judge(&votes);
            prop_assert_eq!(before, after);
            let full = matches!(after, Verdict::Decided(_));
            prop_assert!(full || votes.len() < 9, "nine votes are all it takes");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for (fields, rule) in [
            (PolicyFields { quorum: Some(5), ..PolicyFields::default() }, "majority"),
            (PolicyFields { rule: Some(RuleName::Lead), lead: Some(3), ..PolicyFields::default() }, "lead"),
            (PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() }, "adaptive"),
            (PolicyFields { pause_flagged: Some(true), ..PolicyFields::default() }, "majority"),
        ] {
            let policy = Policy::parse(&fields).unwrap();
            assert_eq!(policy.pause_flagged, fields.pause_flagged == Some(true));
            assert_eq!(Policy::parse(&PolicyFields::from(&policy)).unwrap(), policy);
            let json = serde_json::to_value(policy).unwrap();
            assert_eq!(json["rule"], rule);
            assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), policy);
        }
    }
}
