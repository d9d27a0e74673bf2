//! What every [`GoldStore`] must do, whatever it is made of, and that images closed by gold say so.

use lambel_core::{
    Gold, GoldDesk,
    gold::GoldAnswer,
    subtask::{Abstention, DecidedBy},
};
use lambel_service::ports::GoldStore;

use super::*;

/// Runs every case about gold. `store` and `gold` are the same tables.
pub async fn run_gold(store: &dyn Store, gold: &dyn GoldStore) {
    gold_is_listed_in_order(gold).await;
    desks_of_gold_change_only_from_what_they_were(gold).await;
    records_are_paged_by_operator(gold).await;
    an_image_closed_by_gold_says_so(store).await;
}

async fn gold_is_listed_in_order(store: &dyn GoldStore) {
    let (task, other) = (TaskId::random(), TaskId::random());
    let mut all: Vec<_> = (0..7).map(|n| Gold { image: image(n), label: LabelIndex(2), added_at: now() }).collect();
    for gold in &all {
        store.put_gold(task, gold).await.expect("put");
    }
    store.put_gold(other, &all[0]).await.expect("put");
    all.sort_by_key(|gold| gold.image);
    assert_eq!(store.gold(task, None, 100).await, Ok(all.clone()));
    assert_eq!(store.gold(task, None, 3).await, Ok(all[..3].to_vec()));
    assert_eq!(store.gold(task, Some(all[2].image), 3).await, Ok(all[3..6].to_vec()));
    assert_eq!(store.gold(task, Some(all[6].image), 3).await, Ok(Vec::new()));
    // A label can be corrected.
    let corrected = Gold { label: LabelIndex(0), added_at: later(5), ..all[4] };
    store.put_gold(task, &corrected).await.expect("put");
    assert_eq!(store.gold(task, Some(all[3].image), 1).await, Ok(vec![corrected]));
    assert_eq!(store.remove_gold(task, all[4].image).await, Ok(true));
    assert_eq!(store.remove_gold(task, all[4].image).await, Ok(false));
    all.remove(4);
    assert_eq!(store.gold(task, None, 100).await, Ok(all));
}

async fn desks_of_gold_change_only_from_what_they_were(store: &dyn GoldStore) {
    let (task, other) = (TaskId::random(), TaskId::random());
    let read = async || store.gold_desks(&[task, other], &operator(1)).await.expect("desks");
    assert_eq!(read().await, [GoldDesk::new(task, operator(1)), GoldDesk::new(other, operator(1))]);
    let mut desk = read().await.remove(0);
    let stale = desk.clone();
    desk.leases.insert(image(1), later(60));
    desk.barred.insert(image(9));
    desk.rev = 1;
    assert_eq!(store.put_gold_desk(&desk).await, Ok(true));
    assert_eq!(store.put_gold_desk(&GoldDesk { rev: 1, ..stale }).await, Ok(false), "another claim came in between");
    assert_eq!(read().await[0], desk);
    desk.leases.clear();
    desk.barred.clear();
    let said = |answer, elapsed_ms| GoldAnswer { answer, at: later(5), elapsed_ms };
    desk.answers.insert(image(1), said(Answer::Label(LabelIndex(2)), Some(950)));
    desk.answers.insert(image(2), said(Answer::Abstain(Abstention::NoneFits), None));
    desk.rev = 2;
    assert_eq!(store.put_gold_desk(&desk).await, Ok(true));
    assert_eq!(read().await, [desk, GoldDesk::new(other, operator(1))]);
    assert_eq!(store.gold_desks(&[], &operator(1)).await, Ok(Vec::new()));
}

async fn records_are_paged_by_operator(store: &dyn GoldStore) {
    let task = TaskId::random();
    let mut all = Vec::new();
    for n in 1..=5 {
        let mut desk = GoldDesk { rev: 1, ..GoldDesk::new(task, operator(n)) };
        desk.leases.insert(image(n as u32), later(60));
        assert_eq!(store.put_gold_desk(&desk).await, Ok(true));
        all.push(desk);
    }
    let of_another = GoldDesk { rev: 1, ..GoldDesk::new(TaskId::random(), operator(1)) };
    assert_eq!(store.put_gold_desk(&of_another).await, Ok(true));
    assert_eq!(store.gold_records(task, None, 3).await, Ok(all[..3].to_vec()));
    assert_eq!(store.gold_records(task, Some(&operator(3)), 3).await, Ok(all[3..].to_vec()));
    assert_eq!(store.gold_records(TaskId::random(), None, 3).await, Ok(Vec::new()));
}

async fn an_image_closed_by_gold_says_so(store: &dyn Store) {
    let task = task(store).await;
    for n in [1, 2] {
        opened(store, &task, n).await;
    }
    let by_gold = Closing::by_gold(read(store, &task, 1).await, LabelIndex(1)).expect("it is open");
    let by_votes = Closing { by: DecidedBy::Votes, ..by_gold.clone() };
    let by_votes = Closing { seen: read(store, &task, 2).await, ..by_votes };
    assert_eq!(store.close(&task, &[by_gold, by_votes], now()).await, Ok(vec![true, true]));
    let closed = read(store, &task, 1).await;
    assert_eq!((closed.state, closed.decided_by), (SubtaskState::Complete, DecidedBy::Gold));
    let decision = closed.decision.expect("a decision");
    assert_eq!((decision.label, decision.confidence), (Some(LabelIndex(1)), Confidence::new(1.0)));
    assert_eq!(read(store, &task, 2).await.decided_by, DecidedBy::Votes);
    assert_eq!(store.counts(&task).await.expect("counts").complete, 2);
    assert!(Closing::by_gold(closed, LabelIndex(0)).is_none(), "it is decided");
}
