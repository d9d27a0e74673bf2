//! What a batch over all votes of a task does with one of its images: decide it, decide it again, or open it again.

use super::{DecidedBy, Subtask, SubtaskState};
use crate::{
    OnDispute, OperatorId, Policy, Timestamp,
    consensus::{Decision, Earned},
    limits,
};

impl Subtask {
    /// Decides it by what a batch or a person has found, whether its votes have decided it before or not. False, and no
    /// change, if nobody could have voted on it, and where a person has decided it.
    pub fn revise(&mut self, decision: Decision, by: DecidedBy, on_dispute: OnDispute, now: Timestamp) -> bool {
        let had_votes = matches!(self.state, SubtaskState::Open | SubtaskState::Complete | SubtaskState::Disputed);
        if !had_votes || self.decided_by.is_person() {
            return false;
        }
        self.close_by(decision, by, on_dispute, now);
        true
    }

    /// Whether it may be opened again: it is decided, not by a person, can take another vote, and was not opened again
    /// [too often](limits::REOPENINGS).
    pub fn can_reopen(&self, policy: &Policy) -> bool {
        matches!(self.state, SubtaskState::Complete | SubtaskState::Disputed)
            && !self.decided_by.is_person()
            && self.reopenings < limits::REOPENINGS
            && self.labelled() < policy.rule.max_labels()
            && self.abstained() < policy.max_abstentions
    }

    /// Opens it again: the decision is taken away, and it asks for one vote at least. False, and no change, unless it
    /// [may be](Self::can_reopen).
    ///
    /// Whoever has voted late, and not before, has their vote counted now, the earliest first, as long as that leaves
    /// room for a new one. Each vote gets the weight that `earned` has for its operator: it was on what was known of
    /// them then that the image was decided. Leases that are left over end, since they may be more than the votes that
    /// are wanted now; who held one can vote while a slot is free.
    pub fn reopen(&mut self, policy: &Policy, earned: impl Fn(&OperatorId) -> Option<Earned>, now: Timestamp) -> bool {
        if !self.can_reopen(policy) {
            return false;
        }
        let mut late: Vec<OperatorId> =
            self.late.keys().filter(|who| !self.votes.contains_key(*who)).cloned().collect();
        late.sort_by_key(|who| self.late.get(who).map(|vote| vote.at));
        for who in late {
            let Some(vote) = self.late.get(&who) else { continue };
            let has_room = match vote.answer.label() {
                Some(_) => self.labelled() + 1 < policy.rule.max_labels(),
                None => self.abstained() + 1 < policy.max_abstentions,
            };
            if has_room && let Some(vote) = self.late.remove(&who) {
                self.votes.insert(who, vote);
            }
        }
        for (who, vote) in &mut self.votes {
            vote.earned = earned(who).or(vote.earned);
        }
        self.leases.clear();
        self.state = SubtaskState::Open;
        self.decision = None;
        self.decided_by = DecidedBy::Votes;
        self.decided_at = None;
        self.decided_rev = None;
        self.reopenings += 1;
        self.reopened_at = Some(now);
        self.floor = self.labelled() + 1;
        self.rev += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ImageId, LabelIndex, TaskId, Vote,
        api::{PolicyFields, RuleName},
        consensus::{Confidence, Dispute, Phase, Verdict, Weight},
        subtask::{Abstention, Answer, Cast, Picture, Preview, Unavailable},
    };

    fn policy() -> Policy {
        let fields = PolicyFields {
            rule: Some(RuleName::Adaptive),
            max_labels: Some(4),
            max_abstentions: Some(2),
            ..Default::default()
        };
        Policy::parse(&fields).unwrap()
    }

    fn op(n: usize) -> OperatorId {
        format!("op-{n}").parse().unwrap()
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn said(answer: Answer, millis: i64) -> Vote {
        Vote { answer, at: at(millis), elapsed_ms: None, earned: None }
    }

    fn label(label: u16, millis: i64) -> Vote {
        said(Answer::Label(LabelIndex(label)), millis)
    }

    fn sure(label: u16) -> Decision {
        Decision { label: Some(LabelIndex(label)), confidence: Confidence::new(0.97), dispute: None }
    }

    /// Two votes for the first label, and decided by them.
    fn decided() -> Subtask {
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let mut subtask = Subtask::preparing(TaskId::random(), ImageId::MIN, 1, picture, Preview::NotNeeded, at(0));
        subtask.open(None);
        for who in [1, 2] {
            subtask.lease(&op(who), at(100), at(1));
            assert_eq!(subtask.cast(&op(who), label(0, 2), false, &policy(), 2), Ok(Cast::Counted));
        }
        let Verdict::Decided(decision) = subtask.judge(&policy(), 2) else { panic!("two votes ahead") };
        subtask.close(decision, OnDispute::Marked, at(3));
        subtask
    }

    fn nobody(_: &OperatorId) -> Option<Earned> {
        None
    }

    #[test]
    fn a_batch_decides_again_and_says_so() {
        let mut subtask = decided();
        let before = subtask.decided_rev;
        assert!(subtask.revise(sure(1), DecidedBy::Batch, OnDispute::Marked, at(9)));
        assert_eq!((subtask.state, subtask.decision), (SubtaskState::Complete, Some(sure(1))));
        assert_eq!((subtask.decided_by, subtask.decided_at), (DecidedBy::Batch, Some(at(9))));
        assert!(subtask.decided_rev > before, "another decision, another number");
        let mut open = Subtask { state: SubtaskState::Open, decision: None, ..decided() };
        assert!(open.revise(sure(0), DecidedBy::Batch, OnDispute::Marked, at(9)));
        assert_eq!(open.state, SubtaskState::Complete);
        let mut preparing = Subtask { state: SubtaskState::Preparing, ..decided() };
        assert!(!preparing.revise(sure(0), DecidedBy::Batch, OnDispute::Marked, at(9)));
    }

    #[test]
    fn opened_again_it_asks_for_another_vote_and_is_decided_by_it() {
        let mut subtask = decided();
        subtask.leases.insert(op(7), at(1_000));
        let warm = Earned { weight: Weight::from_thousandths(5_000), phase: Phase::Warm };
        let rev = subtask.rev;
        assert!(subtask.reopen(&policy(), |who| (*who == op(1)).then_some(warm), at(8)));
        assert_eq!((subtask.state, subtask.rev, subtask.decision), (SubtaskState::Open, rev + 1, None));
        assert_eq!((subtask.decided_rev, subtask.reopenings, subtask.leases.len()), (None, 1, 0));
        assert_eq!((subtask.votes[&op(1)].earned, subtask.votes[&op(2)].earned), (Some(warm), None));
        // By their weights the two would do.
        assert!(matches!(policy().judge(2, &subtask.votes), Verdict::Decided(_)));
        assert_eq!(subtask.judge(&policy(), 2), Verdict::Undecided { wanted: 1 });
        assert_eq!(subtask.availability(&op(1), &policy(), 2, at(5)), Err(Unavailable::Voted));
        assert_eq!(subtask.availability(&op(3), &policy(), 2, at(5)), Ok(()));
        subtask.lease(&op(3), at(1_000), at(5));
        assert_eq!(subtask.cast(&op(3), label(0, 6), false, &policy(), 2), Ok(Cast::Counted));
        assert!(matches!(subtask.judge(&policy(), 2), Verdict::Decided(Decision { dispute: None, .. })));
    }

    #[test]
    fn abstentions_end_it_all_the_same() {
        let mut subtask = decided();
        assert!(subtask.reopen(&policy(), nobody, at(40)));
        subtask.votes.insert(op(3), said(Answer::Abstain(Abstention::Unclear), 9));
        assert_eq!(subtask.judge(&policy(), 2), Verdict::Undecided { wanted: 1 });
        subtask.votes.insert(op(4), said(Answer::Abstain(Abstention::Unclear), 9));
        let Verdict::Decided(decision) = subtask.judge(&policy(), 2) else { panic!("two abstentions are the most") };
        assert_eq!((decision.label, decision.dispute), (Some(LabelIndex(0)), Some(Dispute::Abstentions)));
    }

    #[test]
    fn late_votes_count_now_while_there_is_room_for_another() {
        let mut subtask = decided();
        for (who, vote) in [(5, label(1, 30)), (4, label(1, 20)), (1, label(1, 10))] {
            assert_eq!(subtask.cast(&op(who), vote, true, &policy(), 2), Ok(Cast::Late));
        }
        assert!(subtask.reopen(&policy(), nobody, at(40)));
        assert_eq!(subtask.votes.keys().collect::<Vec<_>>(), [&op(1), &op(2), &op(4)], "four are the most");
        assert_eq!(subtask.votes[&op(1)].answer.label(), Some(LabelIndex(0)), "who has a vote keeps it");
        assert_eq!(subtask.late.keys().collect::<Vec<_>>(), [&op(1), &op(5)]);
        assert_eq!((subtask.floor, subtask.judge(&policy(), 2)), (4, Verdict::Undecided { wanted: 1 }));
        assert_eq!(subtask.availability(&op(5), &policy(), 2, at(50)), Err(Unavailable::Voted), "nobody sees it twice");
    }

    #[test]
    fn it_ends() {
        let mut subtask = decided();
        for _ in 0..limits::REOPENINGS {
            assert!(subtask.reopen(&policy(), nobody, at(40)));
            assert!(!subtask.reopen(&policy(), nobody, at(40)), "it is open");
            subtask.close(sure(0), OnDispute::Marked, at(9));
        }
        assert!(!subtask.reopen(&policy(), nobody, at(40)), "often enough");
        let mut full = decided();
        full.votes.extend([(op(3), label(1, 3)), (op(4), label(1, 3))]);
        assert!(!full.can_reopen(&policy()), "it has all its votes");
        let mut unclear = decided();
        unclear.votes.extend([3, 4].map(|who| (op(who), said(Answer::Abstain(Abstention::Unclear), 3))));
        assert!(!unclear.can_reopen(&policy()), "too many abstain");
    }
}
