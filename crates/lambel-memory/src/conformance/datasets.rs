//! What every [`Datasets`] must do.

use lambel_core::{Actor, TaskId};
use lambel_dataset::{CommitId, RefName, conformance, store::Reason};
use lambel_service::ports::{Answered, Datasets};

use super::{later, now};

/// Runs every case for data sets, on tasks that there are not: a data set knows nothing of its task.
pub async fn datasets(datasets: &dyn Datasets) {
    let dataset = datasets.of(TaskId::random());
    conformance::objects(&*dataset.objects).await;
    conformance::refs(&*dataset.refs).await;
    tasks_lie_apart(datasets).await;
    the_answer_to_the_latest_request_stays(datasets).await;
}

async fn tasks_lie_apart(datasets: &dyn Datasets) {
    let (mine, other) = (datasets.of(TaskId::random()), datasets.of(TaskId::random()));
    let by = Actor { id: "somebody".to_owned(), name: None };
    let reason = Reason { by, at: now(), why: "first".to_owned() };
    // Moves of `live` are told to the world, which would ask what task this is.
    let branch: RefName = "side".parse().expect("a good name");
    mine.refs.advance(&branch, None, CommitId::of(b"1"), &reason).await.expect("advance");
    assert!(other.refs.branch(&branch).await.expect("branch").is_none());
    let key = lambel_dataset::ObjectKey::commit(CommitId::of(b"1"));
    mine.objects.put(key, bytes::Bytes::from_static(b"1")).await.expect("put");
    assert_eq!(other.objects.get(key).await.expect("get"), None);
    let kind = lambel_dataset::store::Kind::Commit;
    assert_eq!(other.objects.list(kind, None, 10).await.expect("list"), []);
    mine.objects.delete(key).await.expect("delete");
}

async fn the_answer_to_the_latest_request_stays(datasets: &dyn Datasets) {
    let task = TaskId::random();
    assert_eq!(datasets.answered(task).await.expect("answered"), None);
    let answer = |second, new| Answered {
        asked_at: later(second),
        at: later(second + 5),
        commit: CommitId::of(&second.to_be_bytes()),
        new,
    };
    for (answered, stands) in [(2, 2), (1, 2), (3, 3)] {
        datasets.answer(task, &answer(answered, true)).await.expect("answer");
        assert_eq!(datasets.answered(task).await.expect("answered"), Some(answer(stands, true)));
    }
    // The same message again.
    datasets.answer(task, &answer(3, false)).await.expect("answer");
    assert_eq!(datasets.answered(task).await.expect("answered"), Some(answer(3, false)));
}
