//! What becomes of disputed images: what a policy says of them, and what a person decides.

use lambel_core::{OnDispute, subtask::DecidedBy};
use lambel_service::ports::{Revised, Revision, SkillMark};

use super::*;

/// A task that does this with disputed images.
async fn task_that(store: &dyn Store, disputed: OnDispute) -> Task {
    let task = Task { policy: Policy { disputed, ..Policy::default() }, ..new_task() };
    assert_eq!(store.create_task(&task, &created()).await, Ok(true));
    task
}

/// An image that is closed without an answer; with a label that is the best there is, or without any.
async fn given_up(store: &dyn Store, task: &Task, n: u32, has_label: bool) -> Subtask {
    let seen = opened(store, task, n).await;
    let reason = if has_label { Dispute::NoAnswer } else { Dispute::Abstentions };
    let label = has_label.then_some(LabelIndex(2));
    let decision = Decision { label, confidence: Confidence::new(0.4), dispute: Some(reason) };
    let closing = Closing { seen, decision, by: DecidedBy::Votes };
    assert_eq!(store.close(task, &[closing], later(5)).await, Ok(vec![true]));
    read(store, task, n).await
}

fn reviewed(seen: Subtask, label: u16) -> Revision {
    let mut after = seen.clone();
    let reviewer = "model:some.body@here".parse().expect("a good id");
    assert!(after.review(LabelIndex(label), &reviewer, later(9)));
    Revision { seen, after }
}

pub(super) async fn decide_what_is_disputed_once(store: &dyn Store) {
    let task = task_that(store, OnDispute::Marked).await;
    let first = reviewed(given_up(store, &task, 1, true).await, 1);
    let second = reviewed(given_up(store, &task, 2, false).await, 0);
    let third = given_up(store, &task, 3, true).await;
    let stale = reviewed(Subtask { rev: third.rev - 1, ..third.clone() }, 1);
    let before = store.tally(&task).await.expect("tally");
    assert_eq!(before.counts, Counts { accepted: 3, rejected: 0, complete: 0, disputed: 3, votes: 0 });

    // Whoever has the mark of a batch is not in the way, nor is a review in theirs.
    let mark = SkillMark { begun: now(), rev: 1, ..SkillMark::default() };
    assert_eq!(store.put_skill_mark(task.id, &mark).await, Ok(true));
    let all = [first.clone(), stale, second.clone()];
    assert_eq!(store.revise(&task, &all, None).await, Ok(Revised::Done(vec![true, false, true])));
    for (n, expected) in [(1, &first.after), (2, &second.after), (3, &third)] {
        assert_eq!(read(store, &task, n).await, *expected);
    }
    let after = store.tally(&task).await.expect("tally");
    assert_eq!(after.counts, Counts { complete: 2, disputed: 1, ..before.counts });
    assert!(after.changes > before.changes, "who looks for standstill sees it");
    assert_eq!(store.revise(&task, &all, None).await, Ok(Revised::Done(vec![false; 3])), "only once");
    assert_eq!(store.revise(&task, &[], None).await, Ok(Revised::Done(Vec::new())));
    assert_eq!(store.counts(&task).await.expect("counts"), after.counts);
    assert_eq!(store.skill_mark(task.id).await, Ok(mark));
}

pub(super) async fn end_with_the_task(store: &dyn Store) {
    let mut task = task_that(store, OnDispute::Review).await;
    let revision = reviewed(given_up(store, &task, 1, true).await, 1);
    let trailed = task.noted();
    let noted = entry(Deed::DisputesReviewed { images: 1 });
    assert_eq!(store.replace_task(&trailed, &noted).await, Ok(true));
    assert_eq!(store.replace_task(&task.noted(), &noted).await, Ok(false), "somebody else was first");
    let trail = store.audit(&Trail::Task(task.id), None, 10).await.expect("trail");
    assert_eq!(trail.first(), Some(&(1, noted)));
    task = trailed;
    assert_eq!(task.cancel(later(8)), Ok(true));
    assert_eq!(store.replace_task(&task, &entry(Deed::TaskCancelled)).await, Ok(true));
    let counts = store.counts(&task).await.expect("counts");
    let all = std::slice::from_ref(&revision);
    assert_eq!(store.revise(&task, all, None).await, Ok(Revised::Stopped), "the task is over");
    assert_eq!(read(store, &task, 1).await, revision.seen);
    assert_eq!(store.counts(&task).await.expect("counts"), counts);
}

pub(super) async fn are_wanted_or_not_as_the_policy_says(store: &dyn Store) {
    for (disputed, state) in [
        (OnDispute::Marked, SubtaskState::Disputed),
        (OnDispute::Best, SubtaskState::Complete),
        (OnDispute::Review, SubtaskState::Disputed),
    ] {
        let task = task_that(store, disputed).await;
        assert_eq!(store.task(task.id).await, Ok(Some(task.clone())));
        let closed = given_up(store, &task, 1, true).await;
        let decision = closed.decision.expect("a decision");
        assert_eq!((closed.state, decision.dispute), (state, Some(Dispute::NoAnswer)), "{disputed:?}");
        assert_eq!(given_up(store, &task, 2, false).await.state, SubtaskState::Disputed, "there is no label to take");
        let counts = store.counts(&task).await.expect("counts");
        let complete = u64::from(state == SubtaskState::Complete);
        assert_eq!((counts.complete, counts.disputed), (complete, 2 - complete), "{disputed:?}");
    }
}
