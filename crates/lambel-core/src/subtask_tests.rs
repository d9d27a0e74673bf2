use std::time::Duration;

use super::*;
use crate::api::PolicyFields;

const LABELS: usize = 3;

fn subtask() -> Subtask {
    let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
    let mut subtask =
        Subtask::preparing(TaskId::random(), ImageId::of(b"x"), 1, picture, Preview::NotNeeded, Timestamp::default());
    assert!(subtask.open(None));
    subtask
}

fn policy() -> Policy {
    Policy::parse(&PolicyFields { quorum: Some(2), ..PolicyFields::default() }).unwrap()
}

fn op(n: usize) -> OperatorId {
    format!("op-{n}").parse().unwrap()
}

fn label(label: u16) -> Vote {
    let at = Timestamp::from_millis(1);
    Vote { answer: Answer::Label(LabelIndex(label)), at, elapsed_ms: None, earned: None }
}

const NOW: fn() -> Timestamp = || Timestamp::from_millis(1_000_000);

fn later() -> Timestamp {
    NOW().plus(Duration::from_secs(60))
}

#[test]
fn votes_and_live_leases_fill_the_slots() {
    let mut s = subtask();
    assert_eq!(s.free_slots(&policy(), LABELS, NOW()), 2);
    s.lease(&op(1), later(), NOW());
    s.lease(&op(2), later(), NOW());
    assert_eq!(s.availability(&op(3), &policy(), LABELS, NOW()), Err(Unavailable::Full));
    // Their own lease can be handed to them again.
    assert_eq!(s.availability(&op(1), &policy(), LABELS, NOW()), Ok(()));
    // Expired leases count no more, and whoever leases next drops them.
    assert_eq!(s.availability(&op(3), &policy(), LABELS, later()), Ok(()));
    s.lease(&op(3), later().plus(Duration::from_secs(60)), later());
    assert_eq!(s.leases.keys().collect::<Vec<_>>(), [&op(3)]);
}

#[test]
fn one_vote_for_each_operator() {
    let mut s = subtask();
    s.lease(&op(1), later(), NOW());
    assert_eq!(s.cast(&op(1), label(0), false, &policy(), LABELS), Ok(Cast::Counted));
    let rev = s.rev;
    assert_eq!(s.cast(&op(1), label(0), false, &policy(), LABELS), Ok(Cast::Unchanged));
    assert_eq!(s.rev, rev);
    assert_eq!(s.cast(&op(1), label(1), false, &policy(), LABELS), Ok(Cast::Replaced));
    assert_eq!(s.votes.len(), 1);
    assert_eq!(s.availability(&op(1), &policy(), LABELS, NOW()), Err(Unavailable::Voted));
    assert_eq!(s.cast(&op(2), label(1), false, &policy(), LABELS), Err(NotLeased));
}

#[test]
fn a_lost_lease_is_honoured_while_a_slot_is_free() {
    let mut s = subtask();
    s.lease(&op(2), later(), NOW());
    assert_eq!(s.cast(&op(1), label(0), true, &policy(), LABELS), Ok(Cast::Counted));
    // Now one vote and one lease: even if that lease has long expired, its slot is promised.
    assert_eq!(s.cast(&op(3), label(0), true, &policy(), LABELS), Err(NotLeased));
    assert_eq!(s.cast(&op(2), label(0), false, &policy(), LABELS), Ok(Cast::Counted));
}

#[test]
fn an_abstention_can_become_a_label_only_while_a_slot_is_free() {
    let abstention = Vote { answer: Answer::Abstain(Abstention::Unclear), ..label(0) };
    let mut s = subtask();
    s.lease(&op(1), later(), NOW());
    assert_eq!(s.cast(&op(1), abstention, false, &policy(), LABELS), Ok(Cast::Counted));
    s.lease(&op(2), later(), NOW());
    let mut free = s.clone();
    assert_eq!(free.cast(&op(1), label(0), false, &policy(), LABELS), Ok(Cast::Replaced));
    s.lease(&op(3), later(), NOW());
    assert_eq!(s.cast(&op(1), label(0), false, &policy(), LABELS), Err(NotLeased), "both slots are promised");
}

#[test]
fn what_comes_after_the_decision_is_kept_without_effect() {
    let mut s = subtask();
    for n in [1, 2] {
        s.lease(&op(n), later(), NOW());
        s.cast(&op(n), label(0), false, &policy(), LABELS).unwrap();
    }
    let Verdict::Decided(decision) = s.judge(&policy(), LABELS) else { panic!("two of two agree") };
    s.close(decision, policy().disputed, NOW());
    assert_eq!(s.state, SubtaskState::Complete);
    assert_eq!(s.cast(&op(3), label(1), false, &policy(), LABELS), Err(NotLeased));
    assert_eq!(s.cast(&op(3), label(1), true, &policy(), LABELS), Ok(Cast::Late));
    assert_eq!(s.cast(&op(1), label(1), false, &policy(), LABELS), Ok(Cast::Late));
    assert_eq!(s.cast(&op(1), label(0), false, &policy(), LABELS), Ok(Cast::Unchanged));
    assert_eq!((s.votes.len(), s.late.len()), (2, 2));
    assert_eq!(s.decision, Some(decision));
}

#[test]
fn only_open_subtasks_are_leased_or_voted_on() {
    let refusal = Refusal { code: "empty".into(), detail: "the file is empty".into() };
    let mut s = Subtask::rejected(TaskId::random(), ImageId::of(b""), 0, refusal, NOW());
    assert!(s.state.is_final());
    assert_eq!(s.availability(&op(1), &policy(), LABELS, NOW()), Err(Unavailable::NotOpen));
    assert_eq!(s.cast(&op(1), label(0), true, &policy(), LABELS), Err(NotLeased));
    assert!(!s.open(None));
}

#[test]
fn a_lease_given_back_frees_its_slot() {
    let mut s = subtask();
    s.lease(&op(1), later(), NOW());
    assert!(s.give_back(&op(1)));
    assert!(!s.give_back(&op(1)));
    assert_eq!(s.free_slots(&policy(), LABELS, NOW()), 2);
}
