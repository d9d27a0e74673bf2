//! The policy of a task: how it comes to its labels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    api::{PolicyFields, RuleName},
    consensus::{Decision, Dispute, Majority, Rule, Verdict},
    limits,
    subtask::Votes,
};

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
}

impl Default for Policy {
    fn default() -> Self {
        Self { rule: Rule::Majority(Majority { quorum: 3, max_labels: 7 }), max_abstentions: 3, lease_seconds: 900 }
    }
}

impl Policy {
    /// Reads a policy; what is not said is as in [`Policy::default`].
    pub fn parse(fields: &PolicyFields) -> Result<Self, PolicyError> {
        let Self { rule: Rule::Majority(usual), max_abstentions, lease_seconds } = Self::default();
        let RuleName::Majority = fields.rule.unwrap_or(RuleName::Majority);
        let quorum = fields.quorum.unwrap_or(usual.quorum);
        within("quorum", quorum, 1, limits::MAX_LABELS)?;
        // Room for ties, unless the client says otherwise.
        let room = quorum.saturating_mul(2).saturating_add(1).min(limits::MAX_LABELS);
        let max_labels = fields.max_labels.unwrap_or(room);
        within("max_labels", max_labels, quorum, limits::MAX_LABELS)?;
        let max_abstentions = fields.max_abstentions.unwrap_or(max_abstentions);
        within("max_abstentions", max_abstentions, 1, limits::MAX_ABSTENTIONS)?;
        let lease_seconds = fields.lease_seconds.unwrap_or(lease_seconds);
        within("lease_seconds", lease_seconds, limits::LEASE_SECONDS_MIN, limits::LEASE_SECONDS_MAX)?;
        Ok(Self { rule: Rule::Majority(Majority { quorum, max_labels }), max_abstentions, lease_seconds })
    }

    /// Judges the votes of one subtask of a task with so many labels.
    pub fn judge(&self, labels: usize, votes: &Votes) -> Verdict {
        let verdict = self.rule.judge(labels, votes);
        let abstained = votes.values().filter(|vote| vote.answer.label().is_none()).count();
        if matches!(verdict, Verdict::Undecided { .. }) && abstained >= self.max_abstentions as usize {
            return Verdict::Decided(self.best_so_far(labels, votes));
        }
        verdict
    }

    /// How long a lease lasts.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_seconds))
    }

    fn best_so_far(&self, labels: usize, votes: &Votes) -> Decision {
        let cast = Majority { quorum: 0, max_labels: 0 };
        let Verdict::Decided(best) = cast.judge(labels, votes) else {
            // A quorum of none decides on any votes.
            return Decision { label: None, confidence: Default::default(), dispute: Some(Dispute::Abstentions) };
        };
        Decision { dispute: Some(Dispute::Abstentions), ..best }
    }
}

impl From<&Policy> for PolicyFields {
    fn from(policy: &Policy) -> Self {
        let Rule::Majority(Majority { quorum, max_labels }) = policy.rule;
        Self {
            rule: Some(RuleName::Majority),
            quorum: Some(quorum),
            max_labels: Some(max_labels),
            max_abstentions: Some(policy.max_abstentions),
            lease_seconds: Some(policy.lease_seconds),
        }
    }
}

fn within(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), PolicyError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(PolicyError { field, value, min, max }) }
}

/// A number of a policy that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {min} to {max}, not {value}")]
pub struct PolicyError {
    /// Which number.
    pub field: &'static str,
    /// What was asked for.
    pub value: u32,
    /// The least allowed.
    pub min: u32,
    /// The most allowed.
    pub max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LabelIndex, Timestamp, Vote,
        subtask::{Abstention, Answer},
    };

    fn votes(answers: &[Option<u16>]) -> Votes {
        let answer = |label: &Option<u16>| match label {
            Some(label) => Answer::Label(LabelIndex(*label)),
            None => Answer::Abstain(Abstention::Unclear),
        };
        let vote = |label| Vote { answer: answer(label), at: Timestamp::default(), elapsed_ms: None };
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
    fn what_is_written_is_read_again() {
        let policy = Policy::parse(&PolicyFields { quorum: Some(5), ..PolicyFields::default() }).unwrap();
        assert_eq!(Policy::parse(&PolicyFields::from(&policy)).unwrap(), policy);
        let json = serde_json::to_value(policy).unwrap();
        assert_eq!(json["rule"], "majority");
        assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), policy);
    }
}
