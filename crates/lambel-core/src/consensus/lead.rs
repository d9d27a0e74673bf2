//! `lead`: enough when the leading label is some votes ahead of all others.

use serde::{Deserialize, Serialize};

use super::{Decision, Dispute, Plurality, Verdict};

/// Stop when the leading label is `lead` votes ahead. It needs to know nothing of the operators; it is the
/// sequential test of Wald (1945) for operators that are all equally good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lead {
    /// How many votes the leader has to be ahead: at least 1.
    pub lead: u32,
    /// Votes with a label that are always asked for.
    pub min_labels: u32,
    /// Votes with a label after which it is a dispute.
    pub max_labels: u32,
}

impl Lead {
    /// Judges the votes of one subtask, counted. The confidence is the share of the votes that the label has.
    pub fn judge(&self, votes: &Plurality) -> Verdict {
        let missing = self.lead.max(1).saturating_sub(votes.lead());
        let wanted = missing.max(self.min_labels.saturating_sub(votes.cast));
        let room = self.max_labels.saturating_sub(votes.cast);
        if wanted > 0 && room > 0 {
            // So many at least are needed whatever they say, so none of them is asked for in vain.
            return Verdict::Undecided { wanted: wanted.min(room) };
        }
        Verdict::Decided(Decision {
            label: votes.leader,
            confidence: votes.share(),
            dispute: (missing > 0).then_some(Dispute::NoAnswer),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{LabelIndex, consensus::Confidence};

    const RULE: Lead = Lead { lead: 2, min_labels: 1, max_labels: 5 };

    fn judge(rule: Lead, labels: &[u16]) -> Verdict {
        rule.judge(&Plurality::count(labels.iter().copied().map(LabelIndex)))
    }

    #[test]
    fn ends_when_one_label_is_ahead() {
        assert_eq!(judge(RULE, &[]), Verdict::Undecided { wanted: 2 });
        assert_eq!(judge(RULE, &[1]), Verdict::Undecided { wanted: 1 });
        assert_eq!(judge(RULE, &[1, 0]), Verdict::Undecided { wanted: 2 });
        let decided = |label, share, dispute| {
            Verdict::Decided(Decision { label: Some(LabelIndex(label)), confidence: Confidence::new(share), dispute })
        };
        assert_eq!(judge(RULE, &[1, 1]), decided(1, 1.0, None));
        assert_eq!(judge(RULE, &[1, 0, 1, 1]), decided(1, 0.75, None));
        assert_eq!(judge(RULE, &[1, 0, 1, 0]), Verdict::Undecided { wanted: 1 });
        assert_eq!(judge(RULE, &[1, 0, 1, 0, 1]), decided(1, 0.6, Some(Dispute::NoAnswer)));
        let three = Lead { min_labels: 3, ..RULE };
        assert_eq!(judge(three, &[1, 1]), Verdict::Undecided { wanted: 1 });
        assert_eq!(judge(three, &[1, 1, 0, 1]), decided(1, 0.75, None));
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_never_in_vain(labels in prop::collection::vec(0_u16..3, 0..6), last in 0_u16..3) {
            // With all but one of the wanted votes there is still no answer.
            if let Verdict::Undecided { wanted } = judge(RULE, &labels) {
                let fewer = (1..wanted).map(|_| last);
                let labels: Vec<u16> = labels.iter().copied().chain(fewer).collect();
                let undecided = matches!(judge(RULE, &labels), Verdict::Undecided { .. });
                prop_assert!(undecided);
            }
        }

        #[test]
        fn it_ends_within_the_limit(labels in prop::collection::vec(0_u16..3, 5..9)) {
            prop_assert!(matches!(judge(RULE, &labels), Verdict::Decided(_)));
        }
    }
}
