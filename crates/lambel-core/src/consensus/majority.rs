//! `majority`: a fixed quorum; the plurality wins; a tie takes further votes, one at a time.

use serde::{Deserialize, Serialize};

use super::{Decision, Dispute, Plurality, Verdict};

/// A fixed quorum of votes, one for each operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Majority {
    /// Votes with a label that are always asked for.
    pub quorum: u32,
    /// Votes with a label after which a tie is a dispute: at least the quorum.
    pub max_labels: u32,
}

impl Majority {
    /// Judges the votes of one subtask, counted. The confidence is the share of the votes that the label has.
    pub fn judge(&self, votes: &Plurality) -> Verdict {
        if votes.cast < self.quorum {
            return Verdict::Undecided { wanted: self.quorum - votes.cast };
        }
        // Where nobody voted there is no answer either.
        let tie = votes.lead() == 0;
        if tie && votes.cast < self.max_labels {
            return Verdict::Undecided { wanted: 1 };
        }
        Verdict::Decided(Decision {
            label: votes.leader,
            confidence: votes.share(),
            dispute: tie.then_some(Dispute::NoAnswer),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{LabelIndex, consensus::Confidence};

    fn votes(labels: &[u16]) -> Plurality {
        Plurality::count(labels.iter().copied().map(LabelIndex))
    }

    const RULE: Majority = Majority { quorum: 3, max_labels: 5 };

    fn decided(label: u16, share: f64, dispute: Option<Dispute>) -> Verdict {
        let confidence = Confidence::new(share);
        Verdict::Decided(Decision { label: Some(LabelIndex(label)), confidence, dispute })
    }

    #[test]
    fn waits_for_the_quorum_then_takes_the_plurality() {
        assert_eq!(RULE.judge(&votes(&[])), Verdict::Undecided { wanted: 3 });
        assert_eq!(RULE.judge(&votes(&[1, 1])), Verdict::Undecided { wanted: 1 });
        assert_eq!(RULE.judge(&votes(&[1, 1, 1])), decided(1, 1.0, None));
        assert_eq!(RULE.judge(&votes(&[1, 2, 1])), decided(1, 2.0 / 3.0, None));
    }

    #[test]
    fn a_tie_takes_further_votes_up_to_the_limit() {
        assert_eq!(RULE.judge(&votes(&[0, 1, 2])), Verdict::Undecided { wanted: 1 });
        assert_eq!(RULE.judge(&votes(&[0, 1, 2, 2])), decided(2, 0.5, None));
        assert_eq!(RULE.judge(&votes(&[0, 0, 2, 2])), Verdict::Undecided { wanted: 1 });
        assert_eq!(RULE.judge(&votes(&[1, 0, 0, 2, 2])), decided(0, 0.4, Some(Dispute::NoAnswer)));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_the_order(mut labels in prop::collection::vec(0_u16..4, 0..8)) {
            let before = RULE.judge(&votes(&labels));
            labels.reverse();
            prop_assert_eq!(RULE.judge(&votes(&labels)), before);
        }

        #[test]
        fn it_ends_within_the_limit(labels in prop::collection::vec(0_u16..4, 5..9)) {
            prop_assert!(matches!(RULE.judge(&votes(&labels)), Verdict::Decided(_)));
        }
    }
}
