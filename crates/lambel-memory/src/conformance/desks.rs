//! Operators' records in a task, and what is known of the operators.

use lambel_core::consensus::{Earned, Measured, Phase, Skill, Weight};
use lambel_service::ports::{Desk, Store};

use super::*;

pub(super) async fn change_only_from_what_they_were(store: &dyn Store) {
    let task = task(store).await;
    let nobody = TaskId::random();
    let read = async || store.desks(&[task.id, nobody], &operator(1)).await.expect("desks").desks;
    let [(Some(found), desk), (None, _)] = &read().await[..] else {
        panic!("one task exists, the other does not");
    };
    assert_eq!(*found, task);
    assert_eq!(*desk, Desk::new(task.id, operator(1)));
    let mut desk = desk.clone();
    let stale = desk.clone();
    desk.leases.insert(image(1), later(60));
    desk.place = image(5);
    desk.rev = 1;
    assert!(store.put_desk(&desk).await.expect("put"));
    assert!(!store.put_desk(&Desk { rev: 1, ..stale }).await.expect("put"), "another claim came in between");
    assert_eq!(read().await[0].1, desk);
    desk.rev = 2;
    desk.leases.clear();
    assert!(store.put_desk(&desk).await.expect("put"));
    assert_eq!(read().await[0].1, desk);
    assert_eq!(store.desks(&[], &operator(1)).await.expect("desks").desks.len(), 0);
}

fn measured(thousandths: i32, phase: Phase) -> Measured {
    let earned = Earned { weight: Weight::from_thousandths(thousandths), phase };
    Measured { skill: Skill { answers: 20.5, right: 17.125 }, earned }
}

pub(super) async fn keep_what_was_measured(store: &dyn Store) {
    let task = task(store).await;
    let read = async || store.desks(&[task.id], &operator(1)).await.expect("desks").desks.remove(0).1;
    let first = measured(-1_250, Phase::Cold);
    assert_eq!(store.measure(task.id, &operator(1), &first).await, Ok(false), "there is no record of them");
    assert_eq!(read().await.rev, 0, "and there is none now");
    let mut desk = Desk { rev: 1, ..read().await };
    desk.leases.insert(image(1), later(60));
    assert!(store.put_desk(&desk).await.expect("put"));

    assert_eq!(store.measure(task.id, &operator(1), &first).await, Ok(true));
    let after = read().await;
    assert_eq!(after, Desk { measured: Some(first), rev: 2, ..desk.clone() }, "leases and place are as they were");
    assert!(!store.put_desk(&Desk { rev: 2, ..desk }).await.expect("put"), "who does not know of it does not drop it");
    assert!(store.put_desk(&Desk { rev: 3, ..after }).await.expect("put"));
    assert_eq!(read().await.measured, Some(first));
    let second = measured(4_700, Phase::Warm);
    assert_eq!(store.measure(task.id, &operator(1), &second).await, Ok(true));
    assert_eq!(read().await.measured, Some(second));
}

pub(super) async fn votes_keep_what_their_operators_had_earned(store: &dyn Store) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    for (who, found) in [(1, Some(measured(-250, Phase::Cold))), (2, Some(measured(5_293, Phase::Warm))), (3, None)] {
        lease(store, &task, 1, who, later(60)).await;
        let vote = Vote { earned: found.map(|found| found.earned), ..label(1, now()) };
        store.cast(&task, image(1), &operator(who), vote, false).await.expect("a vote");
        assert_eq!(read(store, &task, 1).await.votes[&operator(who)], vote);
    }
}
