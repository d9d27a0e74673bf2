//! Votes from outside: what every [`Imports`] must do.

use lambel_core::{ImportName, import::NotBroughtIn};
use lambel_service::ports::Imports;

use super::*;

/// Runs every case of [`Imports`].
pub async fn run_imports<S: Store + Imports>(store: &S) {
    a_task_remembers_its_imports(store).await;
    votes_are_brought_into_the_record_that_was_seen(store).await;
    late_ones_are_kept_beside_the_others(store).await;
}

fn outside(n: usize) -> OperatorId {
    format!("import:label-studio:{n}").parse().expect("a good id")
}

/// Brings votes into what is there, on the condition that it still is.
async fn bring<S: Store + Imports>(
    store: &S,
    task: &Task,
    seen: &Subtask,
    votes: &[(OperatorId, Vote)],
) -> (bool, Subtask, Vec<Result<Cast, NotBroughtIn>>) {
    let mut after = seen.clone();
    let said = votes.iter().map(|(operator, vote)| (operator, *vote));
    let outcomes = after.bring_in(said, &task.policy, task.labels.len());
    let stored = store.bring_in(task, seen, &after).await.expect("votes from outside");
    (stored, after, outcomes)
}

async fn a_task_remembers_its_imports<S: Store + Imports>(store: &S) {
    let mut task = task(store).await;
    let names = ["b-2", "a1"].map(|name| name.parse::<ImportName>().expect("a good name"));
    for import in &names {
        assert_eq!(task.begin_import(import), Ok(true));
        let source = "label-studio".parse().expect("a good name");
        let begun = entry(Deed::ImportBegun { import: import.clone(), source, images: 2, votes: 5 });
        assert!(store.replace_task(&task, &begun).await.expect("replace"));
        let trail = store.audit(&Trail::Task(task.id), None, 10).await.expect("trail");
        assert_eq!(trail.first(), Some(&(task.rev, begun)));
    }
    assert_eq!(store.task(task.id).await.expect("read"), Some(task.clone()));
    assert_eq!(task.begin_import(&names[1]), Ok(false));
}

async fn votes_are_brought_into_the_record_that_was_seen<S: Store + Imports>(store: &S) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    let seen = read(store, &task, 1).await;
    let abstention = Vote { answer: Answer::Abstain(Abstention::NoneFits), ..label(0, now()) };
    let model = "model:tiny@1.2".parse().expect("a good id");
    let votes = [(outside(1), label(1, now())), (outside(2), abstention), (model, label(2, later(1)))];
    let (stored, after, outcomes) = bring(store, &task, &seen, &votes).await;
    assert!(stored && outcomes.iter().all(|outcome| *outcome == Ok(Cast::Counted)), "{outcomes:?}");
    assert_eq!(read(store, &task, 1).await, after);
    assert_eq!((after.rev, after.votes.len()), (seen.rev + 1, 3));

    let other = [(outside(7), label(0, now()))];
    assert!(!bring(store, &task, &seen, &other).await.0, "it is not as it was seen");
    assert_eq!(read(store, &task, 1).await, after, "and nothing was written");
    let (stored, replaced, outcomes) = bring(store, &task, &after, &[(outside(1), label(0, later(2)))]).await;
    assert!(stored && outcomes == [Ok(Cast::Replaced)]);
    assert_eq!(read(store, &task, 1).await, replaced);
    // Operators go on beside it.
    lease(store, &task, 1, 5, later(60)).await;
    store.cast(&task, image(1), &operator(5), label(0, now()), false).await.expect("a vote");
    assert_eq!(read(store, &task, 1).await.votes.len(), 4);
}

async fn late_ones_are_kept_beside_the_others<S: Store + Imports>(store: &S) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    let votes: Vec<_> = (1..=3).map(|n| (outside(n), label(1, now()))).collect();
    let (_, after, _) = bring(store, &task, &read(store, &task, 1).await, &votes).await;
    let closing = Closing::of(&task, after).expect("three votes decide");
    assert_eq!(store.close(&task, &[closing], later(5)).await, Ok(vec![true]));
    let counts = store.counts(&task).await.expect("counts");
    assert_eq!((counts.complete, counts.votes), (1, 3));

    let seen = read(store, &task, 1).await;
    let late = [(outside(1), label(2, now())), (outside(4), label(1, now()))];
    let (stored, after, outcomes) = bring(store, &task, &seen, &late).await;
    assert!(stored && outcomes == [Ok(Cast::Late), Ok(Cast::Late)], "{outcomes:?}");
    let found = read(store, &task, 1).await;
    assert_eq!((&found, found.late.len(), found.votes.len()), (&after, 2, 3));
    assert_eq!(found.decided_rev, seen.decided_rev, "the news is the same news");
    assert_eq!(store.counts(&task).await.expect("counts"), counts);
}
