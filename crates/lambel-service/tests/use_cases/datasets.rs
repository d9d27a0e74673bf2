//! Versions of data sets: when the task is complete, on demand, as the policy says; what is asked of them.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::join;
use lambel_core::{
    ImageId, TaskId,
    api::{
        PageQuery, PolicyFields, ReleaseWhen,
        dataset::{BlameQuery, CommitFields, DiffQuery, LogQuery, ReleaseFields, RollbackFields, TagFields},
    },
    event::{CommitRequest, Event},
};
use lambel_dataset::{
    CommitId, Dataset, RefName, Refs,
    row::{Outcome, Status},
    store::{Moved, Reason, RefMove, StoreError, StoreResult, Tag, Tagged},
};
use lambel_memory::MemoryDatasets;
use lambel_service::{
    Error,
    dataset::{Checker, Committer, LEAST_GRACE, Place},
    error::Comeback,
    ports::{Answered, Clock, Datasets, StoreResult as PortResult},
};

use crate::world::{World, client, label, pictures};

/// A task of so many pictures that are all decided for `cat`, complete.
async fn complete(world: &World, images: u32, policy: PolicyFields) -> TaskId {
    let policy = PolicyFields { quorum: Some(1), ..policy };
    let task = world.create(policy).await.task;
    world.upload(task, &pictures(images)).await;
    decide(world, task, images, "cat").await;
    world.seal(task, images.into()).await;
    task
}

/// Decides so many images.
async fn decide(world: &World, task: TaskId, images: u32, with: &str) -> Vec<ImageId> {
    let claimed = world.claim(1, task, images).await;
    let images: Vec<ImageId> = claimed.subtasks.iter().map(|leased| leased.image).collect();
    world.vote(1, images.iter().map(|image| label(task, *image, with)).collect()).await;
    images
}

/// Lets the committer hear what was announced of tasks, and what was asked for.
async fn hear(world: &World) -> Vec<Event> {
    let events = world.news().await;
    for event in events.iter().filter(|event| matches!(event, Event::Task(..))) {
        world.committer.hear(&event.body().unwrap()).await.unwrap();
    }
    for request in world.datasets.take_requests() {
        world.committer.hear(&serde_json::to_string(&request).unwrap()).await.unwrap();
    }
    [events, world.news().await].concat()
}

async fn ask(world: &World, task: TaskId) {
    world.versions.ask(&client("alice"), task, &CommitFields::default()).await.unwrap();
    hear(world).await;
}

async fn head(world: &World, task: TaskId, branch: &RefName) -> Option<RefMove> {
    world.datasets.of(task).refs.branch(branch).await.unwrap()
}

async fn moves(world: &World, task: TaskId, branch: &RefName) -> Vec<RefMove> {
    world.datasets.of(task).refs.moves(branch, None, 100).await.unwrap()
}

#[tokio::test]
async fn a_complete_task_has_a_version_of_all_that_there_is() {
    let world = World::new();
    let task = world.create(PolicyFields { quorum: Some(1), max_labels: Some(1), ..Default::default() }).await.task;
    let mut files = pictures(5);
    files.push(("notes.txt".to_owned(), b"no picture".to_vec()));
    files.push(("again.png".to_owned(), files[0].1.clone()));
    world.upload(task, &files).await;
    let claimed = world.claim(1, task, 5).await.subtasks;
    let mut votes: Vec<_> = claimed.iter().map(|leased| label(task, leased.image, "cat")).collect();
    let refused = lambel_core::api::SubmittedVote {
        label: None,
        abstain: Some(lambel_core::subtask::Abstention::Unclear),
        ..votes.pop().unwrap()
    };
    let disputed = refused.image;
    world.vote(1, [votes, vec![refused.clone()]].concat()).await;
    for who in 2..4 {
        world.claim(who, task, 5).await;
        world.vote(who, vec![refused.clone()]).await;
    }
    world.seal(task, 6).await;
    let events = hear(&world).await;

    let live = head(&world, task, &RefName::live()).await.unwrap();
    assert_eq!((live.seq, live.by.id.as_str(), live.why.as_str()), (1, "lambel", "the task is complete"));
    let objects = world.datasets.of(task).objects;
    let commit = lambel_dataset::Commit::read(&*objects, live.to).await.unwrap();
    let statistics = &commit.statistics;
    assert_eq!((statistics.images, statistics.names), (6, 7));
    assert_eq!((statistics.complete, statistics.disputed, statistics.rejected), (4, 1, 1));
    assert_eq!((statistics.votes, statistics.abstentions), (4, 3));
    assert_eq!(commit.consensus.method, "majority");
    assert_eq!(commit.policy["quorum"], 1);
    let rows = commit.tree(&*objects).await.unwrap().all_rows(&*objects).await.unwrap();
    assert!(rows.is_sorted_by_key(|row| row.image));
    for row in &rows {
        assert_eq!(row.uri.clone().unwrap(), format!("s3://uploads/{task}/{}", row.image));
        // The version that was looked at: what has two names was uploaded twice by then.
        assert_eq!(row.object_version.as_deref(), Some(if row.names.len() == 2 { "2" } else { "1" }));
        let expected = match row.outcome.status() {
            Status::Rejected => 0,
            Status::Disputed => 3,
            _ => 1,
        };
        assert_eq!(row.votes.len(), expected);
        assert!(row.decided_at.is_some());
    }
    let twice = rows.iter().find(|row| row.image == ImageId::of(&files[0].1)).unwrap();
    assert_eq!(twice.names.len(), 2);
    assert!(matches!(rows.iter().find(|row| row.image == disputed).unwrap().outcome, Outcome::Disputed { .. }));

    // The move is told, under an id that says which one it is.
    let told: Vec<_> = events.iter().filter(|event| matches!(event, Event::Dataset(..))).collect();
    assert_eq!(told.iter().map(|event| event.id()).collect::<Vec<_>>(), [format!("{}/live/1", live.to)]);
    let body: serde_json::Value = serde_json::from_str(&told[0].body().unwrap()).unwrap();
    assert_eq!(body["type"], "lambel.dataset.moved");
    assert_eq!(body["source"], format!("/tasks/{task}"));
    assert_eq!((&body["data"]["ref"], &body["data"]["to"]), (&"live".into(), &live.to.to_string().into()));
    assert_eq!(told[0].attributes().owner.as_str(), "alice");
}

#[tokio::test]
async fn the_same_again_is_no_new_version() {
    let world = World::new();
    let task = complete(&world, 3, PolicyFields::default()).await;
    let events = world.news().await;
    let ended = events.iter().find(|event| matches!(event, Event::Task(..))).unwrap().body().unwrap();
    for _ in 0..3 {
        world.committer.hear(&ended).await.unwrap();
        world.clock.pass(Duration::from_secs(60));
    }
    ask(&world, task).await;
    assert_eq!(moves(&world, task, &RefName::live()).await.len(), 1);
    let refs = world.versions.refs(&client("alice"), task).await.unwrap();
    let answered = refs.answered.unwrap();
    assert!(!answered.new && answered.commit == refs.branches[0].commit);
}

#[tokio::test]
async fn two_at_once_make_one_version() {
    let world = World::new();
    let task = complete(&world, 20, PolicyFields::default()).await;
    let request = |author: &str| {
        let author = lambel_core::Actor { id: author.to_owned(), name: None };
        let asked_at = world.clock.now();
        let request = CommitRequest { task, author, message: "now".to_owned(), asked_at, if_due: false };
        serde_json::to_string(&request).unwrap()
    };
    let (one, other) = (request("one"), request("other"));
    let (one, other) = join(world.committer.hear(&one), world.committer.hear(&other)).await;
    assert_eq!((one, other), (Ok(()), Ok(())));
    assert_eq!(moves(&world, task, &RefName::live()).await.len(), 1, "who lost has looked again: nothing is new");
}

#[tokio::test]
async fn before_the_end_nobody_sees_a_vote() {
    let world = World::new();
    let task = world.task(2).await;
    world.upload(task, &pictures(2)).await;
    decide(&world, task, 1, "cat").await;
    let asked = world.versions.ask(&client("alice"), task, &CommitFields::default()).await.unwrap();
    assert_eq!(asked.look_at, format!("/api/tasks/{task}/dataset/refs"));
    assert!(world.versions.refs(&client("alice"), task).await.unwrap().answered.is_none());
    hear(&world).await;
    let refs = world.versions.refs(&client("alice"), task).await.unwrap();
    let answered = refs.answered.unwrap();
    assert!(answered.new && answered.asked_at == asked.asked_at);
    let shown = world.versions.show(&client("alice"), task, &answered.commit[..8]).await.unwrap();
    assert_eq!(
        (shown.branches, shown.author.id.as_str(), shown.message.as_str()),
        (vec!["live".into()], "alice", "on demand")
    );
    assert_eq!((shown.statistics.unlabelled, shown.statistics.votes), (2, 0));
}

#[tokio::test]
async fn a_policy_asks_for_versions() {
    let world = World::new();
    let policy = PolicyFields {
        quorum: Some(1),
        commit_every_decisions: Some(2),
        commit_every_minutes: Some(60),
        ..Default::default()
    };
    let task = world.create(policy).await.task;
    let other = world.task(1).await;
    world.upload(task, &pictures(6)).await;
    world.upload(other, &pictures(6)).await;
    decide(&world, other, 6, "cat").await;
    let due = async || {
        let due = world.committer.look(crate::world::in_a_minute()).await.unwrap();
        hear(&world).await;
        due
    };
    decide(&world, task, 1, "cat").await;
    assert_eq!(due().await, 0, "one is not two");
    decide(&world, task, 1, "cat").await;
    assert_eq!(due().await, 1);
    assert_eq!(due().await, 0, "nothing is new");
    decide(&world, task, 1, "cat").await;
    world.clock.pass(Duration::from_secs(59 * 60));
    assert_eq!(due().await, 0);
    world.clock.pass(Duration::from_secs(60));
    // The message comes twice, and the second finds that it is done.
    assert_eq!(world.committer.look(crate::world::in_a_minute()).await.unwrap(), 1);
    assert_eq!(due().await, 1);
    let moves = moves(&world, task, &RefName::live()).await;
    assert_eq!(moves.iter().map(|entry| entry.why.as_str()).collect::<Vec<_>>(), ["as the policy says"; 2]);
    assert!(head(&world, other, &RefName::live()).await.is_none(), "its policy says nothing");
}

#[tokio::test]
async fn what_is_sure_enough_is_released_and_a_persons_word_stays() {
    let policy = |min| PolicyFields {
        release_when: Some(ReleaseWhen::Complete),
        release_min_confidence: min,
        ..PolicyFields::default()
    };
    let (live, released) = (RefName::live(), RefName::released());
    let world = World::new();
    // One vote of one gives a confidence below 1.
    let unsure = complete(&world, 3, policy(Some(1.0))).await;
    let task = complete(&world, 3, policy(Some(0.1))).await;
    let never = complete(&world, 3, PolicyFields::default()).await;
    let events = hear(&world).await;
    assert_eq!(head(&world, task, &released).await.unwrap().to, head(&world, task, &live).await.unwrap().to);
    assert!(head(&world, never, &released).await.is_none());
    let sure = world.tasks.results(&client("alice"), unsure, &PageQuery::default()).await.unwrap();
    let is_sure = sure.rows.iter().all(|row| row.status.confidence.unwrap().get() >= 1.0);
    assert_eq!(head(&world, unsure, &released).await.is_some(), is_sure);

    // An event that comes again does not undo what somebody has decided since.
    let alice = client("alice");
    let tag = TagFields { tag: "first".to_owned(), version: None };
    world.versions.tag(&alice, task, &tag).await.unwrap();
    let back = RollbackFields { version: "first".to_owned(), branch: Some("released".to_owned()), message: None };
    assert!(!world.versions.rollback(&alice, task, &back).await.unwrap().new, "these rows are there");
    let fields = ReleaseFields { version: "first".to_owned(), message: Some("checked by hand".to_owned()) };
    world.versions.release(&alice, task, &fields).await.unwrap();
    assert_eq!(head(&world, task, &released).await.unwrap().by.id, "alice");
    for event in events.iter().filter(|event| matches!(event, Event::Task(..))) {
        world.committer.hear(&event.body().unwrap()).await.unwrap();
    }
    assert_eq!(head(&world, task, &released).await.unwrap().why, "checked by hand");
}

#[tokio::test]
async fn versions_are_listed_compared_traced_and_taken_back() {
    let world = World::new();
    let alice = client("alice");
    let task = world.task(1).await;
    let files = pictures(6);
    world.upload(task, &files).await;
    ask(&world, task).await;
    let first = decide(&world, task, 2, "cat").await;
    ask(&world, task).await;
    decide(&world, task, 4, "dog").await;
    ask(&world, task).await;

    let log = world.versions.log(&alice, task, &LogQuery { from: None, limit: Some(2) }).await.unwrap();
    let complete: Vec<_> = log.commits.iter().map(|commit| commit.statistics.complete).collect();
    assert_eq!(complete, [6, 2]);
    let rest = world.versions.log(&alice, task, &LogQuery { from: log.next.clone(), limit: None }).await.unwrap();
    assert_eq!((rest.commits.len(), rest.next), (1, None));
    assert_eq!(rest.commits[0].commit, log.next.unwrap());

    let mut query = DiffQuery { a: "live~2".to_owned(), b: "live".to_owned(), cursor: None, limit: Some(4) };
    let page = world.versions.diff(&alice, task, &query).await.unwrap();
    query.cursor = page.next.clone();
    let more = world.versions.diff(&alice, task, &query).await.unwrap();
    assert_eq!((page.changes.len(), more.changes.len(), more.next), (4, 2, None));
    let all: Vec<_> = page.changes.iter().chain(&more.changes).collect();
    assert!(all.is_sorted_by(|a, b| a.image < b.image));
    assert!(all.iter().all(|change| change.kinds.contains(&"status-changed".to_owned())));
    assert_eq!(all[0].before.as_ref().unwrap()["status"], "unlabelled");
    assert_eq!(all[0].after.as_ref().unwrap()["status"], "complete");

    let name = files.iter().find(|(_, bytes)| ImageId::of(bytes) == first[0]).unwrap().0.clone();
    let by_name = world.versions.blame(&alice, task, &BlameQuery { image: name, at: None }).await.unwrap();
    let by_id = BlameQuery { image: first[0].to_string(), at: Some("live".to_owned()) };
    assert_eq!(world.versions.blame(&alice, task, &by_id).await.unwrap(), by_name);
    assert_eq!(by_name.commit, log.commits[1].commit);

    let back = RollbackFields { version: "live~1".to_owned(), branch: None, message: None };
    let moved = world.versions.rollback(&alice, task, &back).await.unwrap();
    assert!(
        moved.new && moved.version.statistics.complete == 2 && moved.version.parents == [log.commits[0].commit.clone()]
    );
    let released = ReleaseFields { version: "live".to_owned(), message: None };
    assert_eq!(world.versions.release(&alice, task, &released).await.unwrap().version.branches, ["live", "released"]);
    ask(&world, task).await;
    assert_eq!(
        world.versions.show(&alice, task, "live").await.unwrap().statistics.complete,
        6,
        "live follows the labels"
    );
    assert_eq!(world.versions.show(&alice, task, "released").await.unwrap().statistics.complete, 2);

    let tag = |tag: &str, version: &str| TagFields { tag: tag.to_owned(), version: Some(version.to_owned()) };
    assert!(world.versions.tag(&alice, task, &tag("v1", "live~1")).await.unwrap().new);
    assert!(!world.versions.tag(&alice, task, &tag("v1", "live~1")).await.unwrap().new);
    for (fields, refused) in [(tag("v1", "live"), "never moves"), (tag("live", "live"), "name of a branch")] {
        let error = world.versions.tag(&alice, task, &fields).await.unwrap_err();
        assert!(matches!(&error, Error::Conflict(why) if why.contains(refused)), "{error}");
    }
    assert_eq!(world.versions.show(&alice, task, "v1").await.unwrap().tags, ["v1"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_not_theirs_neither() {
    let world = World::new();
    let (alice, bob) = (client("alice"), client("bob"));
    let task = complete(&world, 2, PolicyFields::default()).await;
    let show = async |version: &str| world.versions.show(&alice, task, version).await.map(|_| ());
    assert!(matches!(show("live").await, Err(Error::VersionNotFound(why)) if why.contains("no version yet")));
    hear(&world).await;
    show("live").await.unwrap();
    let never_made = CommitId::of(b"never").to_string();
    for missing in ["main", "", "live~1", "abc", &never_made, "LIVE", "~", "live~0~0"] {
        let error = show(missing).await.unwrap_err();
        assert!(matches!(error, Error::VersionNotFound(_) | Error::Invalid { .. }), "{missing}: {error}");
    }
    assert!(matches!(show("live~100000").await, Err(Error::Invalid { field: "version", .. })));
    let theirs = [
        world.versions.show(&bob, task, "live").await.map(|_| ()),
        world.versions.refs(&bob, task).await.map(|_| ()),
        world.versions.ask(&bob, task, &CommitFields::default()).await.map(|_| ()),
        world.versions.release(&bob, task, &ReleaseFields { version: "live".into(), message: None }).await.map(|_| ()),
    ];
    assert!(theirs.iter().all(|asked| matches!(asked, Err(Error::TaskNotFound))));
    assert!(world.datasets.take_requests().is_empty());
}

#[tokio::test]
async fn a_message_that_nobody_can_read_is_put_aside() {
    let world = World::new();
    let nowhere = TaskId::random();
    let author = lambel_core::Actor::lambel();
    let asked_at = world.clock.now();
    let request = CommitRequest { task: nowhere, author, message: "x".to_owned(), asked_at, if_due: false };
    for body in ["", "{}", r#"{"specversion":"1.0"}"#, &serde_json::to_string(&request).unwrap()] {
        assert_eq!(world.committer.hear(body).await, Err(Comeback::Never), "{body}");
    }
}

/// Data sets whose branches cannot be moved the next time: as if the committer were stopped just before.
struct Stopped {
    inner: Arc<MemoryDatasets>,
    stops: Arc<std::sync::atomic::AtomicBool>,
}

struct StoppedRefs {
    inner: Arc<dyn Refs>,
    stops: Arc<std::sync::atomic::AtomicBool>,
}

#[async_trait]
impl Datasets for Stopped {
    fn of(&self, task: TaskId) -> Dataset {
        let Dataset { objects, refs } = self.inner.of(task);
        Dataset { objects, refs: Arc::new(StoppedRefs { inner: refs, stops: self.stops.clone() }) }
    }

    async fn answered(&self, task: TaskId) -> PortResult<Option<Answered>> {
        self.inner.answered(task).await
    }

    async fn answer(&self, task: TaskId, answered: &Answered) -> PortResult<()> {
        self.inner.answer(task, answered).await
    }
}

#[async_trait]
impl Refs for StoppedRefs {
    async fn branch(&self, name: &RefName) -> StoreResult<Option<RefMove>> {
        self.inner.branch(name).await
    }

    async fn branches(&self) -> StoreResult<Vec<(RefName, RefMove)>> {
        self.inner.branches().await
    }

    async fn advance(
        &self,
        name: &RefName,
        from: Option<CommitId>,
        to: CommitId,
        reason: &Reason,
    ) -> StoreResult<Moved> {
        if self.stops.swap(false, std::sync::atomic::Ordering::Relaxed) {
            return Err(StoreError::Busy("stopped".to_owned()));
        }
        self.inner.advance(name, from, to, reason).await
    }

    async fn moves(&self, name: &RefName, before: Option<u64>, limit: usize) -> StoreResult<Vec<RefMove>> {
        self.inner.moves(name, before, limit).await
    }

    async fn tag(&self, tag: &Tag) -> StoreResult<Tagged> {
        self.inner.tag(tag).await
    }

    async fn tags(&self) -> StoreResult<Vec<Tag>> {
        self.inner.tags().await
    }
}

#[tokio::test]
async fn a_stop_between_objects_and_branch_leaves_nothing_wrong() {
    let world = World::new();
    let task = complete(&world, 10, PolicyFields::default()).await;
    let events = world.news().await;
    let ended = events.iter().find(|event| matches!(event, Event::Task(..))).unwrap().body().unwrap();
    let stops = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let datasets = Arc::new(Stopped { inner: world.datasets.clone(), stops });
    let place = Place { bucket: "uploads".to_owned() };
    let (store, clock) = (world.store.clone(), world.clock.clone());
    let committer = Committer::new(store.clone(), datasets, world.datasets.clone(), clock.clone(), place);
    assert_eq!(committer.hear(&ended).await, Err(Comeback::Later));
    assert!(head(&world, task, &RefName::live()).await.is_none());
    let written = world.datasets.objects(task).keys();
    assert!(!written.is_empty());

    // What lies there is of a version that nobody sees; it comes again, and is what it was.
    assert_eq!(committer.hear(&ended).await, Ok(()));
    assert_eq!(world.datasets.objects(task).keys(), written);
    assert_eq!(moves(&world, task, &RefName::live()).await.len(), 1);

    let checker = Checker::new(store, world.datasets.clone(), clock);
    let checked = checker.verify(task).await.unwrap();
    assert_eq!((checked.versions.problems.len(), checked.versions.rows, checked.in_motion), (0, 10, false));
    assert_eq!(checked.disagreements, []);
}

#[tokio::test]
async fn a_check_finds_what_is_damaged_and_what_the_tables_do_not_say() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(4)).await;
    ask(&world, task).await;
    let checker = Checker::new(world.store.clone(), world.datasets.clone(), world.clock.clone());
    assert_eq!(checker.verify(task).await.unwrap().disagreements, []);
    decide(&world, task, 3, "cat").await;
    let checked = checker.verify(task).await.unwrap();
    assert!(checked.in_motion);
    let differ: Vec<_> = checked.disagreements.iter().map(|one| (one.what, one.version, one.tables)).collect();
    assert_eq!(differ, [("complete", 0, 3), ("unlabelled", 4, 1)]);

    let objects = world.datasets.objects(task);
    let before = objects.keys();
    objects.damage(before[0], bytes::Bytes::from_static(b"x"));
    let checked = checker.verify(task).await.unwrap();
    assert_eq!(checked.versions.problems[0].object, before[0].to_string());
}

#[tokio::test]
async fn garbage_is_old_and_reached_by_nothing() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(3)).await;
    ask(&world, task).await;
    let objects = world.datasets.objects(task);
    let needed = objects.keys();
    objects.set_time(world.clock.now());
    let stray = lambel_dataset::ObjectKey::commit(CommitId::of(b"stray"));
    lambel_dataset::ObjectStore::put(&*objects, stray, bytes::Bytes::from_static(b"stray")).await.unwrap();
    let checker = Checker::new(world.store.clone(), world.datasets.clone(), world.clock.clone());
    assert_eq!(checker.collect(task, LEAST_GRACE, true).await.unwrap().young, 1);
    world.clock.pass(LEAST_GRACE);
    let found = checker.collect(task, LEAST_GRACE, false).await.unwrap();
    assert_eq!(found.objects.iter().map(|object| object.key).collect::<Vec<_>>(), [stray]);
    assert_eq!(objects.keys().len(), needed.len() + 1, "looking removes nothing");
    checker.collect(task, LEAST_GRACE, true).await.unwrap();
    assert_eq!(objects.keys(), needed);
    assert!(matches!(checker.collect(task, Duration::from_secs(60), true).await, Err(Error::Invalid { .. })));
}
