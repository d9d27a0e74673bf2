//! What batches write.

use lambel_core::{OnDispute, subtask::DecidedBy};
use lambel_service::ports::{Revised, Revision, SkillMark, Store};

use super::*;

/// Three votes for a label, and decided by them.
async fn decided(store: &dyn Store, task: &Task, n: u32) -> Subtask {
    opened(store, task, n).await;
    for who in [1, 2, 3] {
        lease(store, task, n, who, later(60)).await;
        assert_eq!(cast(store, task, n, who, 1, false).await, Ok(Cast::Counted));
    }
    let closing = Closing::of(task, read(store, task, n).await).expect("a quorum");
    assert_eq!(store.close(task, &[closing], later(5)).await, Ok(vec![true]));
    read(store, task, n).await
}

/// Takes the task's mark, and says the number of it.
async fn held(store: &dyn Store, task: &Task) -> SkillMark {
    let before = store.skill_mark(task.id).await.expect("read");
    let mark = SkillMark { begun: now(), rev: before.rev + 1, ..before };
    assert_eq!(store.put_skill_mark(task.id, &mark).await, Ok(true));
    mark
}

const OTHER: fn() -> Decision =
    || Decision { label: Some(LabelIndex(2)), confidence: Confidence::new(0.971), dispute: None };

fn revised(seen: Subtask) -> Revision {
    let mut after = seen.clone();
    assert!(after.revise(OTHER(), DecidedBy::Batch, OnDispute::Marked, later(9)));
    Revision { seen, after }
}

fn reopened(task: &Task, seen: Subtask) -> Revision {
    let mut after = seen.clone();
    let warm = lambel_core::consensus::Earned {
        weight: lambel_core::consensus::Weight::from_thousandths(-700),
        phase: lambel_core::consensus::Phase::Warm,
    };
    assert!(after.reopen(&task.policy, |who| (*who == operator(1)).then_some(warm), later(9)));
    Revision { seen, after }
}

pub(super) async fn decide_again_and_open_again(store: &dyn Store) {
    let task = task(store).await;
    let first = revised(decided(store, &task, 1).await);
    decided(store, &task, 2).await;
    assert_eq!(cast(store, &task, 2, 4, 0, true).await, Ok(Cast::Late));
    let second = reopened(&task, read(store, &task, 2).await);
    opened(store, &task, 3).await;
    lease(store, &task, 3, 1, later(60)).await;
    assert_eq!(cast(store, &task, 3, 1, 0, false).await, Ok(Cast::Counted));
    let third = revised(read(store, &task, 3).await);
    let fourth = revised(decided(store, &task, 4).await);
    assert_eq!(cast(store, &task, 4, 4, 0, true).await, Ok(Cast::Late), "it changes before it is written");

    let mark = held(store, &task).await;
    let before = store.tally(&task).await.expect("tally");
    let all = [first.clone(), second.clone(), third.clone(), fourth.clone()];
    let done = store.revise(&task, &all, Some(mark.rev)).await;
    assert_eq!(done, Ok(Revised::Done(vec![true, true, true, false])));
    for (n, expected) in [(1, &first.after), (2, &second.after), (3, &third.after)] {
        assert_eq!(read(store, &task, n).await, *expected);
    }
    assert_eq!(read(store, &task, 1).await.decided_by, DecidedBy::Batch);
    assert_eq!(read(store, &task, 4).await.decision, fourth.seen.decision, "as it was");
    let tally = store.tally(&task).await.expect("tally");
    assert_eq!(tally.counts, Counts { accepted: 4, rejected: 0, complete: 3, disputed: 0, votes: 7 });
    assert_eq!(tally.changes, before.changes + 1);
    let mut pool = Vec::new();
    for stretch in task.shards.round(&ImageId::MIN) {
        pool.extend(store.pool(&task, stretch, 10).await.expect("pool"));
    }
    assert_eq!(pool, [image(2)], "what is opened again is in the pool");
    assert_eq!(store.revise(&task, &all, Some(mark.rev)).await, Ok(Revised::Done(vec![false; 4])), "only once");
    assert_eq!(store.tally(&task).await, Ok(tally), "and nothing is counted for nothing");
    assert_eq!(store.revise(&task, &[], Some(mark.rev)).await, Ok(Revised::Done(Vec::new())));

    // It is as any other open image: voted on, and decided by its votes.
    lease(store, &task, 2, 5, later(60)).await;
    assert_eq!(cast(store, &task, 2, 5, 1, false).await, Ok(Cast::Counted));
    let closing = Closing::of(&task, read(store, &task, 2).await).expect("five votes");
    assert_eq!(store.close(&task, std::slice::from_ref(&closing), later(20)).await, Ok(vec![true]));
    let after = read(store, &task, 2).await;
    assert_eq!((after.decided_by, after.decision), (DecidedBy::Votes, Some(closing.decision)));
    assert!(after.decided_rev > second.seen.decided_rev);
    let counts = store.counts(&task).await.expect("counts");
    assert_eq!((counts.complete, counts.votes), (4, 12));
}

pub(super) async fn write_only_while_they_hold_the_mark(store: &dyn Store) {
    let mut task = task(store).await;
    let revision = revised(decided(store, &task, 1).await);
    let all = std::slice::from_ref(&revision);
    let lost = held(store, &task).await;
    let mark = held(store, &task).await;
    assert_eq!(store.revise(&task, all, Some(lost.rev)).await, Ok(Revised::Stopped), "another batch has taken over");
    assert_eq!(read(store, &task, 1).await, revision.seen);

    assert!(task.seal(1, &store.counts(&task).await.expect("counts"), now()).expect("seal"));
    assert!(store.replace_task(&task, &entry(Deed::TaskSealed { images: 1 })).await.expect("replace"));
    assert_eq!(store.revise(&task, all, Some(mark.rev)).await, Ok(Revised::Done(vec![true])));
    let mut complete = task.clone();
    assert!(complete.complete(&store.counts(&task).await.expect("counts"), now()));
    let end = entry(Deed::TaskCompleted);
    assert_eq!(store.complete_by(&complete, &end, &lost).await, Ok(false));
    assert_eq!(store.task(task.id).await, Ok(Some(task.clone())));
    assert_eq!(store.complete_by(&complete, &end, &mark).await, Ok(true));
    assert_eq!(store.task(task.id).await, Ok(Some(complete.clone())));
    assert_eq!(store.complete_by(&complete, &end, &mark).await, Ok(false), "once");
    let trail = store.audit(&Trail::Task(task.id), None, 1).await.expect("audit");
    assert_eq!(trail, [(complete.rev, end)]);

    let again = reopened(&task, read(store, &task, 1).await);
    assert_eq!(store.revise(&task, &[again], Some(mark.rev)).await, Ok(Revised::Stopped), "the task is over");
}
