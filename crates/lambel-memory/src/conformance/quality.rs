//! Operators' quality, and pauses in a task.

use lambel_core::consensus::{
    Alarm, Alpha, Calibrated, Calibration, Cell, Flag, FlagKind, Matrix, Part, Phase, Weight,
};
use lambel_service::ports::{Desk, OperatorFound, OperatorQuality, Paused, QualityStore, TaskQuality};

use super::*;

/// Runs every case of a store that keeps quality.
pub async fn run(store: &(impl Store + QualityStore)) {
    what_a_task_has_in_common_is_kept(store).await;
    records_change_only_from_what_they_were(store).await;
    records_are_sorted_and_paged(store).await;
    a_pause_is_on_the_desk_the_record_and_the_trail(store).await;
    a_pause_is_of_what_was_seen_or_not_at_all(store).await;
}

fn found() -> OperatorFound {
    let cell = |decided, said, times| Cell { decided: LabelIndex(decided), said: LabelIndex(said), times };
    OperatorFound {
        votes: 41,
        abstentions: 2,
        agreement: Part { right: 30, of: 40 },
        gold: Part::default(),
        accuracy: 0.8125,
        interval: (0.75, 1.0),
        weight: Some(Weight::from_thousandths(-1_250)),
        phase: Some(Phase::Warm),
        median_ms: Some(340),
        flags: vec![
            Flag::Guessing { accuracy_at_most: 1.0, chance: 0.5 },
            Flag::SameAnswer { label: LabelIndex(2), share: 0.9375, of_all: 0.5 },
            Flag::TooFast { median_ms: 340, least_ms: 350 },
            Flag::Abstains { share: 0.3125, of_all: 0.0 },
        ],
        confusions: Matrix { cells: vec![cell(0, 0, 30), cell(1, 0, 10)], cut: true },
    }
}

fn record(who: usize) -> OperatorQuality {
    OperatorQuality { found: Some(found()), rev: 1, ..OperatorQuality::new(operator(who)) }
}

fn calibrated() -> Calibrated {
    Calibrated {
        gold: 61,
        calibration: Some(Calibration { temperature: 1.189_207, epsilon: 0.0 }),
        alarm: Some(Alarm { majority_only: 9, model_only: 0, p: 0.001_953 }),
    }
}

async fn what_a_task_has_in_common_is_kept(store: &(impl Store + QualityStore)) {
    let task = TaskId::random();
    assert_eq!(store.task_quality(task).await, Ok(None));
    let too_few = Calibrated { gold: 49, ..Calibrated::default() };
    let agreement = Some(Alpha { alpha: -0.25, low: -1.0, high: 1.0, images: 20 });
    for quality in [
        TaskQuality { images: 20, votes: 40, agreement, calibrated: None, measured_at: now() },
        TaskQuality { images: 40, votes: 80, agreement: None, calibrated: Some(calibrated()), measured_at: later(9) },
        TaskQuality { images: 60, votes: 120, agreement, calibrated: Some(too_few), measured_at: later(9) },
        TaskQuality { images: 61, votes: 122, agreement: None, calibrated: None, measured_at: later(10) },
    ] {
        store.put_task_quality(task, &quality).await.expect("put");
        assert_eq!(store.task_quality(task).await, Ok(Some(quality)));
    }
    assert_eq!(store.operator_qualities(task, None, 10).await, Ok(Vec::new()), "it is no operator");
}

async fn records_change_only_from_what_they_were(store: &(impl Store + QualityStore)) {
    let task = TaskId::random();
    let read = async || store.operator_quality(task, &operator(1)).await.expect("read");
    assert_eq!(read().await, OperatorQuality::new(operator(1)));
    assert_eq!(store.put_operator_quality(task, &record(1)).await, Ok(true));
    assert_eq!(store.put_operator_quality(task, &record(1)).await, Ok(false), "it is there");
    assert_eq!(read().await, record(1));
    let flags = vec![FlagKind::Guessing, FlagKind::TooFast];
    let bare = OperatorFound { flags: Vec::new(), weight: None, phase: None, median_ms: None, ..found() };
    let later = OperatorQuality { found: Some(bare), tolerated: flags, rev: 2, ..record(1) };
    assert_eq!(store.put_operator_quality(task, &later).await, Ok(true));
    assert_eq!(store.put_operator_quality(task, &OperatorQuality { rev: 2, ..record(1) }).await, Ok(false));
    assert_eq!(read().await, later);
}

async fn records_are_sorted_and_paged(store: &(impl Store + QualityStore)) {
    let (task, other) = (TaskId::random(), TaskId::random());
    for who in [3, 1, 2] {
        assert_eq!(store.put_operator_quality(task, &record(who)).await, Ok(true));
    }
    store.put_operator_quality(other, &record(4)).await.expect("put");
    let common = TaskQuality { images: 0, votes: 0, agreement: None, calibrated: None, measured_at: now() };
    store.put_task_quality(task, &common).await.expect("put");
    let page = async |after: Option<usize>, limit| {
        let after = after.map(operator);
        store.operator_qualities(task, after.as_ref(), limit).await.expect("page")
    };
    assert_eq!(page(None, 10).await, [record(1), record(2), record(3)]);
    assert_eq!(page(None, 2).await, [record(1), record(2)]);
    assert_eq!(page(Some(2), 2).await, [record(3)]);
    assert_eq!(page(Some(3), 2).await, []);
}

fn paused(who: usize) -> AuditEntry {
    entry(Deed::OperatorPausedInTask { operator: operator(who), reason: Some("too fast".to_owned()) })
}

async fn a_pause_is_on_the_desk_the_record_and_the_trail(store: &(impl Store + QualityStore)) {
    let task = task(store).await;
    let desk = async || store.desks(&[task.id], &operator(1)).await.expect("desks").desks.remove(0).1;
    let mut first = Desk { rev: 1, ..desk().await };
    first.leases.insert(image(1), later(60));
    assert!(store.put_desk(&first).await.expect("put"));

    let record = OperatorQuality { paused_at: Some(now()), ..record(1) };
    assert_eq!(store.put_pause(&task, &record, &paused(1)).await, Ok(Paused::Done));
    assert_eq!(store.operator_quality(task.id, &operator(1)).await, Ok(record.clone()));
    let after = Desk { paused_at: Some(now()), rev: 2, ..first.clone() };
    assert_eq!(desk().await, after);
    assert!(!store.put_desk(&Desk { rev: 2, ..first }).await.expect("put"), "a claim under way notices");
    assert!(
        store.put_desk(&Desk { rev: 3, ..after.clone() }).await.expect("put"),
        "and what it stores keeps the pause"
    );
    assert_eq!(desk().await.paused_at, Some(now()));
    let now_is = store.task(task.id).await.expect("read").expect("it exists");
    assert_eq!(now_is, Task { rev: task.rev + 1, ..task.clone() }, "nothing else of the task has changed");
    let trail = store.audit(&Trail::Task(task.id), None, 10).await.expect("trail");
    assert_eq!(trail, [(task.rev + 1, paused(1)), (task.rev, created())]);
    // What a look writes then does not let them go on.
    let looked = OperatorQuality { found: Some(OperatorFound { votes: 42, ..found() }), rev: 2, ..record };
    assert_eq!(store.put_operator_quality(task.id, &looked).await, Ok(true));
    assert_eq!(store.operator_quality(task.id, &operator(1)).await.expect("read").paused_at, Some(now()));

    let resumed = OperatorQuality { paused_at: None, tolerated: vec![FlagKind::TooFast], rev: 3, ..self::record(1) };
    let entry = entry(Deed::OperatorResumedInTask { operator: operator(1) });
    assert_eq!(store.put_pause(&now_is, &resumed, &entry).await, Ok(Paused::Done));
    assert_eq!(store.operator_quality(task.id, &operator(1)).await, Ok(resumed));
    assert_eq!(desk().await, Desk { paused_at: None, rev: 4, ..after });
}

async fn a_pause_is_of_what_was_seen_or_not_at_all(store: &(impl Store + QualityStore)) {
    let task = task(store).await;
    let read = async || store.desks(&[task.id], &operator(1)).await.expect("desks").desks.remove(0).1;
    let record = OperatorQuality { paused_at: Some(now()), ..record(1) };
    assert_eq!(store.put_pause(&task, &record, &paused(1)).await, Ok(Paused::NoDesk));
    assert_eq!(read().await.rev, 0, "and there is none now");
    let desk = Desk { rev: 1, ..read().await };
    assert!(store.put_desk(&desk).await.expect("put"));
    let stale = Task { rev: task.rev + 1, ..task.clone() };
    assert_eq!(store.put_pause(&stale, &record, &paused(1)).await, Ok(Paused::Changed));
    let skipping = OperatorQuality { rev: 2, ..record.clone() };
    assert_eq!(store.put_pause(&task, &skipping, &paused(1)).await, Ok(Paused::Changed));
    assert_eq!(read().await, desk);
    assert_eq!(store.operator_quality(task.id, &operator(1)).await.expect("read").rev, 0);
    assert_eq!(store.task(task.id).await, Ok(Some(task.clone())));
    assert_eq!(store.audit(&Trail::Task(task.id), None, 10).await.expect("trail").len(), 1);
    assert_eq!(store.put_pause(&task, &record, &paused(1)).await, Ok(Paused::Done));
}
