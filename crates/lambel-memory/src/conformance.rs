//! What every [`Store`] must do, whatever it is made of.
//!
//! Each case makes a task of its own, so the suite runs on tables that hold other things. Cases panic with what
//! they found; [`run`] runs all of them.

mod batches;
mod datasets;
mod desks;
mod exports;
mod gold;
mod imports;
mod notes;
pub mod quality;
mod reviews;
mod webhooks;

use std::time::Duration;

use lambel_core::{
    Actor, AnnouncedFile, Audience, AuditEntry, ClientId, Counts, CountsChange, Deed, FileName, ImageId, LabelIndex,
    LabelSet, OperatorId, Policy, Shards, Standing, Subtask, SubtaskState, Tally, Task, TaskId, TaskState, Timestamp,
    Vote,
    api::{PolicyFields, RuleName},
    consensus::{Confidence, Decision, Dispute},
    limits,
    ring::Stretch,
    subtask::{Abstention, Answer, Cast, DecidedBy, Picture, Preview, Refusal},
};
use lambel_service::ports::{Announcement, CastError, Closing, FilePlace, Store, SweepMark, Trail};

pub use imports::run_imports;

pub use webhooks::run_webhooks;

pub use datasets::datasets;
pub use exports::{export_files, exports};

pub use gold::run_gold;

pub use notes::notes;

/// Runs every case.
pub async fn run(store: &dyn Store) {
    tasks_are_kept_and_listed(store).await;
    a_client_has_so_many_active_tasks(store).await;
    trails_are_kept_and_paged(store).await;
    an_operators_standing_changes_only_from_what_it_was(store).await;
    requests_are_counted_by_window(store).await;
    a_task_changes_only_from_what_it_was(store).await;
    a_name_stands_for_one_image(store).await;
    files_are_sorted_and_paged(store).await;
    an_image_is_recorded_and_counted_once(store).await;
    reads_give_back_what_was_written(store).await;
    only_preparing_subtasks_open(store).await;
    the_pool_is_a_stretch_of_what_is_open(store).await;
    a_lease_is_on_the_record_that_was_seen(store).await;
    a_lease_drops_those_that_expired(store).await;
    votes_do_what_the_core_says(store).await;
    a_lost_lease_counts_only_where_a_slot_is_free(store).await;
    a_subtask_closes_once_and_is_counted_once(store).await;
    what_comes_late_is_kept(store).await;
    desks::change_only_from_what_they_were(store).await;
    desks::keep_what_was_measured(store).await;
    desks::say_when_they_were_measured(store).await;
    desks::votes_keep_what_their_operators_had_earned(store).await;
    batches::decide_again_and_open_again(store).await;
    batches::write_only_while_they_hold_the_mark(store).await;
    reviews::decide_what_is_disputed_once(store).await;
    reviews::end_with_the_task(store).await;
    reviews::are_wanted_or_not_as_the_policy_says(store).await;
    an_image_is_refused_after_all_once(store).await;
    counters_can_be_corrected(store).await;
    marks_of_the_sweep_change_only_from_what_they_were(store).await;
    many_records_and_many_reads(store).await;
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_250_820_000)
}

fn later(seconds: u64) -> Timestamp {
    now().plus(Duration::from_secs(seconds))
}

fn new_task() -> Task {
    let id = TaskId::random();
    Task {
        id,
        owner: owner(id),
        name: "conformance".to_owned(),
        labels: LabelSet::parse(&["cat", "dog", "none: ü"]).expect("good labels"),
        instructions: "look".to_owned(),
        policy: Policy::default(),
        audience: Audience::Everyone,
        shards: Shards::for_images(Some(100)),
        state: TaskState::Open,
        images: None,
        imports: Default::default(),
        created_at: now(),
        sealed_at: None,
        ended_at: None,
        rev: 0,
    }
}

/// A client of their own for each task, so that lists are not mixed up.
fn owner(id: TaskId) -> ClientId {
    format!("client-{id}").parse().expect("a good id")
}

fn entry(deed: Deed) -> AuditEntry {
    AuditEntry { at: now(), actor: Actor { id: "somebody".to_owned(), name: Some("anna".to_owned()) }, deed }
}

fn created() -> AuditEntry {
    entry(Deed::TaskCreated { audience: (&Audience::Everyone).into() })
}

fn operator(n: usize) -> OperatorId {
    format!("operator-{n}").parse().expect("a good id")
}

fn image(n: u32) -> ImageId {
    ImageId::of(&n.to_be_bytes())
}

fn picture() -> Picture {
    Picture { media_type: "image/png".to_owned(), width: 640, height: 480 }
}

fn subtask(task: &Task, n: u32) -> Subtask {
    Subtask::preparing(task.id, image(n), 1_234, picture(), Preview::NotNeeded, now())
}

fn label(place: u16, at: Timestamp) -> Vote {
    Vote { answer: Answer::Label(LabelIndex(place)), at, elapsed_ms: Some(950), earned: None }
}

async fn task(store: &dyn Store) -> Task {
    let task = new_task();
    assert!(store.create_task(&task, &created()).await.expect("create"));
    task
}

async fn read(store: &dyn Store, task: &Task, n: u32) -> Subtask {
    store.subtasks(task, &[image(n)], true).await.expect("read").pop().expect("it exists")
}

async fn opened(store: &dyn Store, task: &Task, n: u32) -> Subtask {
    store.record(task, &[subtask(task, n)]).await.expect("record");
    assert!(store.open(task, image(n), None).await.expect("open"));
    read(store, task, n).await
}

async fn lease(store: &dyn Store, task: &Task, n: u32, who: usize, until: Timestamp) {
    let seen = read(store, task, n).await;
    assert!(store.lease(task, &seen, &operator(who), until, now()).await.expect("lease"));
}

async fn cast(store: &dyn Store, task: &Task, n: u32, who: usize, place: u16, held: bool) -> Result<Cast, CastError> {
    let outcome = store.cast(task, image(n), &operator(who), label(place, now()), held).await;
    if let Ok((_, after)) = &outcome {
        assert_eq!(*after, read(store, task, n).await, "the answer is the record");
    }
    outcome.map(|(cast, _)| cast)
}

async fn tasks_are_kept_and_listed(store: &dyn Store) {
    let first = task(store).await;
    assert_eq!(store.task(first.id).await.expect("read"), Some(first.clone()));
    assert_eq!(store.task(TaskId::random()).await.expect("read"), None);
    assert_eq!(store.counts(&first).await.expect("counts"), Counts::default());
    let other = Task { name: "another".to_owned(), ..first.clone() };
    assert!(store.create_task(&other, &created()).await.is_err(), "a task is made once");
    assert_eq!(store.create_task(&first, &created()).await, Ok(true), "the same again: an answer that got lost");

    let only = Audience::Only { operators: ["anna".parse().expect("a name")].into(), teams: [].into() };
    let kept = Task { audience: only, ..new_task() };
    assert!(store.create_task(&kept, &created()).await.expect("create"));
    assert_eq!(store.task(kept.id).await.expect("read"), Some(kept));
    for rule in [RuleName::Lead, RuleName::Adaptive] {
        let fields = PolicyFields { rule: Some(rule), ..PolicyFields::default() };
        let other = Task { policy: Policy::parse(&fields).expect("a good policy"), ..new_task() };
        assert!(store.create_task(&other, &created()).await.expect("create"));
        assert_eq!(store.task(other.id).await.expect("read"), Some(other));
    }

    let second = Task { id: TaskId::random(), owner: first.owner.clone(), ..new_task() };
    assert!(store.create_task(&second, &created()).await.expect("create"));
    let list = |before, limit| store.tasks_of(&first.owner, before, limit);
    assert_eq!(list(None, 10).await.expect("list"), [second.clone(), first.clone()]);
    assert_eq!(list(None, 1).await.expect("list"), std::slice::from_ref(&second));
    assert_eq!(list(Some(second.id), 10).await.expect("list"), std::slice::from_ref(&first));
    assert_eq!(list(Some(first.id), 10).await.expect("list"), []);
}

async fn a_client_has_so_many_active_tasks(store: &dyn Store) {
    let first = task(store).await;
    let another = || Task { id: TaskId::random(), owner: first.owner.clone(), ..new_task() };
    for _ in 1..limits::ACTIVE_TASKS_PER_CLIENT {
        assert!(store.create_task(&another(), &created()).await.expect("create"));
    }
    let refused = another();
    assert!(!store.create_task(&refused, &created()).await.expect("create"), "one too many");
    assert_eq!(store.task(refused.id).await.expect("read"), None, "nothing of it was written");
    let listed = store.tasks_of(&first.owner, None, 1_000).await.expect("list");
    assert_eq!(listed.len(), limits::ACTIVE_TASKS_PER_CLIENT as usize);
    let mut ended = first.clone();
    ended.cancel(now()).expect("cancel");
    assert!(store.replace_task(&ended, &entry(Deed::TaskCancelled)).await.expect("replace"));
    assert!(store.create_task(&refused, &created()).await.expect("create"), "there is room again");
    assert!(!store.create_task(&another(), &created()).await.expect("create"));
}

async fn trails_are_kept_and_paged(store: &dyn Store) {
    let mut task = task(store).await;
    for images in 1..=12 {
        assert!(task.seal(images, &Counts::default(), now()).expect("seal"));
        assert!(store.replace_task(&task, &entry(Deed::TaskSealed { images })).await.expect("replace"));
        assert!(!store.replace_task(&task, &entry(Deed::TaskCancelled)).await.expect("replace"), "lost, and not told");
    }
    let trail = Trail::Task(task.id);
    let read = async |before, limit| store.audit(&trail, before, limit).await.expect("audit");
    let all = read(None, 100).await;
    assert_eq!(all.len(), 13);
    assert_eq!(all[0], (12, entry(Deed::TaskSealed { images: 12 })), "the newest first");
    assert_eq!(all[12], (0, created()));
    assert_eq!(read(None, 5).await, all[..5]);
    assert_eq!(read(Some(all[4].0), 5).await, all[5..10]);
    assert_eq!(read(Some(0), 5).await, []);
    assert_eq!(store.audit(&Trail::Task(TaskId::random()), None, 5).await.expect("audit"), []);
}

async fn an_operators_standing_changes_only_from_what_it_was(store: &dyn Store) {
    // One of their own, since other runs may have left theirs.
    let who: OperatorId = format!("operator-{}", TaskId::random()).parse().expect("a good id");
    let fresh = store.standing(&who).await.expect("read");
    assert_eq!(fresh, Standing::new(who.clone()));
    let mut paused = fresh.clone();
    assert!(paused.pause(now()));
    let because = entry(Deed::OperatorPaused { reason: Some("too fast".to_owned()) });
    assert!(store.put_standing(&paused, &because).await.expect("put"));
    assert!(!store.put_standing(&paused, &because).await.expect("put"), "another admin came in between");
    assert_eq!(store.standing(&who).await.expect("read"), paused);
    assert_eq!(store.desks(&[], &who).await.expect("desks").standing, paused, "it comes with the desks");
    let mut resumed = paused.clone();
    assert!(resumed.resume());
    assert!(store.put_standing(&resumed, &entry(Deed::OperatorResumed)).await.expect("put"));
    assert_eq!(store.standing(&who).await.expect("read"), resumed);
    let trail = store.audit(&Trail::Operator(who), None, 9).await.expect("audit");
    assert_eq!(trail, [(2, entry(Deed::OperatorResumed)), (1, because)]);
}

async fn requests_are_counted_by_window(store: &dyn Store) {
    let who = format!("caller-{}", TaskId::random());
    let count = async |window| store.count_request(&who, window).await.expect("count");
    assert_eq!((count(7).await, count(7).await, count(7).await), (1, 2, 3));
    assert_eq!((count(8).await, count(8).await), (1, 2), "a new window begins anew");
    assert_eq!(store.count_request(&format!("{who}-2"), 8).await.expect("count"), 1, "each caller has their own");
    let many: Vec<_> = (0..20).map(|_| store.count_request(&who, 9)).collect();
    let mut counted = futures::future::try_join_all(many).await.expect("count");
    counted.sort_unstable();
    assert_eq!(counted, (1..=20).collect::<Vec<_>>(), "none is lost when many come at once");
}

async fn a_task_changes_only_from_what_it_was(store: &dyn Store) {
    let before = task(store).await;
    let mut sealed = before.clone();
    sealed.seal(3, &Counts::default(), now()).expect("seal");
    let mut cancelled = before.clone();
    cancelled.cancel(now()).expect("cancel");
    assert!(store.replace_task(&sealed, &entry(Deed::TaskSealed { images: 3 })).await.expect("replace"));
    assert!(
        !store.replace_task(&cancelled, &entry(Deed::TaskCancelled)).await.expect("replace"),
        "it is sealed by now"
    );
    assert_eq!(store.task(before.id).await.expect("read"), Some(sealed.clone()));

    let active = async |id: TaskId| {
        let mut after = None;
        loop {
            let (page, more) = store.active_tasks(after, 7).await.expect("list");
            assert!(page.len() <= 7 && page.is_sorted_by_key(|task| task.id));
            if page.iter().any(|task| task.id == id) {
                return true;
            }
            if more.is_none() {
                return false;
            }
            after = more;
        }
    };
    assert!(active(before.id).await);
    sealed.cancel(now()).expect("cancel");
    assert!(store.replace_task(&sealed, &entry(Deed::TaskSealed { images: 3 })).await.expect("replace"));
    assert!(!active(before.id).await, "what has ended is active no more");
    let ghost = Task { rev: 1, ..new_task() };
    assert!(
        !store.replace_task(&ghost, &entry(Deed::TaskCancelled)).await.expect("replace"),
        "there is nothing to replace"
    );
}

fn file(name: &str, n: u32) -> AnnouncedFile {
    AnnouncedFile {
        name: FileName::parse(name).expect("a good name"),
        image: image(n),
        bytes: 10 + u64::from(n),
        media_type: "image/png".to_owned(),
        announced_at: now(),
    }
}

async fn a_name_stands_for_one_image(store: &dyn Store) {
    let task = task(store).await;
    let announce = async |files: &[AnnouncedFile]| store.announce(&task, files).await.expect("announce");
    assert_eq!(announce(&[file("a", 1), file("ü/b", 1)]).await, [Announcement::New, Announcement::New]);
    assert_eq!(
        announce(&[file("a", 2), file("c", 2), file("a b", 1)]).await,
        [Announcement::NameTaken(image(1)), Announcement::New, Announcement::New],
        "a name that is taken does not stand in the way of others"
    );
    assert_eq!(announce(&[file("a", 1)]).await, [Announcement::Known]);
    assert_eq!(announce(&[]).await, []);
    let name = |name| FileName::parse(name).expect("a good name");
    let names = store.names(&task, &[name("a"), name("nobody"), name("c")]).await.expect("names");
    assert_eq!(names, [Some(image(1)), None, Some(image(2))]);
    let files = store.files_of(&task, image(1), 9).await.expect("files");
    assert_eq!(files, [file("a", 1), file("a b", 1), file("ü/b", 1)], "sorted by name");
    assert_eq!(store.files_of(&task, image(1), 2).await.expect("files"), files[..2]);
    assert_eq!(store.files_of(&task, image(3), 9).await.expect("files"), []);
}

async fn files_are_sorted_and_paged(store: &dyn Store) {
    let task = task(store).await;
    let mut files: Vec<_> = (0..120).map(|n| file(&format!("f{n}"), n)).collect();
    files.push(file("0", 7));
    files.push(file("z", 7));
    let announced = store.announce(&task, &files).await.expect("announce");
    assert!(announced.iter().all(|a| *a == Announcement::New));
    files.sort_by_key(|file| (file.image, file.name.clone()));
    for shard in task.shards.all() {
        let own: Vec<_> = files.iter().filter(|f| task.shards.of(&f.image) == shard).cloned().collect();
        let mut seen: Vec<AnnouncedFile> = Vec::new();
        loop {
            let after = seen.last().map(FilePlace::of);
            let page = store.files(&task, shard, after.as_ref(), 7).await.expect("files");
            assert!(page.len() <= 7);
            if page.is_empty() {
                break;
            }
            seen.extend(page);
        }
        assert_eq!(seen, own);
        let behind = FilePlace { image: image(7), name: None };
        if task.shards.of(&image(7)) == shard {
            let page = store.files(&task, shard, Some(&behind), 1_000).await.expect("files");
            assert!(page.iter().all(|file| file.image > image(7)), "no name of the image itself");
            assert_eq!(page.len(), own.iter().filter(|file| file.image > image(7)).count());
        }
    }
}

async fn an_image_is_recorded_and_counted_once(store: &dyn Store) {
    let task = task(store).await;
    let refusal = Refusal { code: "empty".to_owned(), detail: "the file is empty".to_owned() };
    let rejected = Subtask::rejected(task.id, image(3), 0, refusal, now());
    let new = store.record(&task, &[subtask(&task, 1), subtask(&task, 2), rejected.clone()]).await.expect("record");
    assert_eq!(new, [image(1), image(2), image(3)]);
    let again = store.record(&task, &[subtask(&task, 2), subtask(&task, 4), rejected.clone()]).await.expect("record");
    assert_eq!(again, [image(4)], "only what was not there");
    assert_eq!(store.record(&task, std::slice::from_ref(&rejected)).await.expect("record"), []);
    assert_eq!(store.record(&task, &[]).await.expect("record"), []);
    let counts = store.counts(&task).await.expect("counts");
    assert_eq!(counts, Counts { accepted: 3, rejected: 1, ..Counts::default() });
    assert_eq!(read(store, &task, 3).await, rejected);
}

async fn reads_give_back_what_was_written(store: &dyn Store) {
    let task = task(store).await;
    let written: Vec<_> = (0..40).map(|n| subtask(&task, n)).collect();
    store.record(&task, &written).await.expect("record");
    let images: Vec<_> = (0..50).map(image).collect();
    for consistent in [false, true] {
        let read = store.subtasks(&task, &images, consistent).await.expect("read");
        assert_eq!(read.len(), 40);
        assert!(read.iter().all(|subtask| written.contains(subtask)));
    }
    assert_eq!(store.subtasks(&task, &[], true).await.expect("read"), []);
    let mut listed = Vec::new();
    for shard in task.shards.all() {
        let mut from = ImageId::MIN;
        loop {
            let page = store.list(&task, shard, from, 3).await.expect("list");
            let Some(last) = page.last() else { break };
            from = lambel_core::ring::next_place(&last.image);
            listed.extend(page);
        }
    }
    let mut sorted = written;
    sorted.sort_by_key(|subtask| subtask.image);
    assert_eq!(listed, sorted);
}

async fn only_preparing_subtasks_open(store: &dyn Store) {
    let task = task(store).await;
    let wanting = Subtask { preview: Preview::Wanted, ..subtask(&task, 2) };
    store.record(&task, &[subtask(&task, 1), wanting]).await.expect("record");
    assert!(store.open(&task, image(1), None).await.expect("open"));
    assert!(!store.open(&task, image(1), None).await.expect("open"), "it is open");
    assert!(store.open(&task, image(2), Some("image/jpeg")).await.expect("open"));
    assert!(!store.open(&task, image(3), None).await.expect("open"), "it does not exist");
    let first = read(store, &task, 1).await;
    assert_eq!((first.state, first.rev, first.preview), (SubtaskState::Open, 1, Preview::NotNeeded));
    assert_eq!(read(store, &task, 2).await.preview, Preview::Made { media_type: "image/jpeg".to_owned() });
}

async fn the_pool_is_a_stretch_of_what_is_open(store: &dyn Store) {
    let task = task(store).await;
    let subtasks: Vec<_> = (0..40).map(|n| subtask(&task, n)).collect();
    store.record(&task, &subtasks).await.expect("record");
    for n in 0..30 {
        store.open(&task, image(n), None).await.expect("open");
    }
    let mut open: Vec<_> = (0..30).map(image).collect();
    open.sort_unstable();
    let middle = open[13];
    let mut round = Vec::new();
    for stretch in task.shards.round(&middle) {
        round.extend(store.pool(&task, stretch, 100).await.expect("pool"));
    }
    let turned: Vec<_> = open[13..].iter().chain(&open[..13]).copied().collect();
    assert_eq!(round, turned, "one round from the place, each once, in order");
    let shard = task.shards.of(&middle);
    let stretch = Stretch { shard, from: middle, before: None };
    assert_eq!(store.pool(&task, stretch, 1).await.expect("pool"), [middle]);
    let nothing = Stretch { shard, from: middle, before: Some(middle) };
    assert_eq!(store.pool(&task, nothing, 10).await.expect("pool"), []);
}

async fn a_lease_is_on_the_record_that_was_seen(store: &dyn Store) {
    let task = task(store).await;
    let seen = opened(store, &task, 1).await;
    let lease = |who: usize| {
        let seen = &seen;
        let task = &task;
        async move { store.lease(task, seen, &operator(who), later(60), now()).await.expect("lease") }
    };
    assert!(lease(1).await);
    assert!(!lease(2).await, "the record has changed since");
    let mut after = seen.clone();
    after.lease(&operator(1), later(60), now());
    assert_eq!(read(store, &task, 1).await, after);

    assert!(!store.give_back(&task, image(1), &operator(2)).await.expect("give back"), "theirs is not there");
    assert!(store.give_back(&task, image(1), &operator(1)).await.expect("give back"));
    assert!(!store.give_back(&task, image(1), &operator(1)).await.expect("give back"), "only once");
    assert!(!store.give_back(&task, image(9), &operator(1)).await.expect("give back"), "no such image");
    assert!(read(store, &task, 1).await.leases.is_empty());
}

async fn a_lease_drops_those_that_expired(store: &dyn Store) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    lease(store, &task, 1, 1, later(10)).await;
    lease(store, &task, 1, 2, later(60)).await;
    let seen = read(store, &task, 1).await;
    assert!(store.lease(&task, &seen, &operator(3), later(90), later(10)).await.expect("lease"));
    let leases = read(store, &task, 1).await.leases;
    assert_eq!(leases.into_keys().collect::<Vec<_>>(), [operator(2), operator(3)]);
}

async fn votes_do_what_the_core_says(store: &dyn Store) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    lease(store, &task, 1, 1, later(60)).await;
    assert_eq!(cast(store, &task, 1, 1, 0, false).await, Ok(Cast::Counted));
    assert_eq!(cast(store, &task, 1, 1, 0, false).await, Ok(Cast::Unchanged));
    assert_eq!(cast(store, &task, 1, 1, 2, false).await, Ok(Cast::Replaced));
    assert!(matches!(cast(store, &task, 1, 2, 0, false).await, Err(CastError::NotLeased(_))));
    assert_eq!(cast(store, &task, 2, 2, 0, false).await, Err(CastError::NoSubtask));
    let after = read(store, &task, 1).await;
    assert_eq!(after.votes.into_iter().collect::<Vec<_>>(), [(operator(1), label(2, now()))]);
    assert!(after.leases.is_empty(), "a vote ends its lease");

    // An abstention is a vote; an expired lease is good while nobody has taken its slot.
    lease(store, &task, 1, 3, later(1)).await;
    let vote = Vote { answer: Answer::Abstain(Abstention::NoneFits), at: later(30), elapsed_ms: None, earned: None };
    let (outcome, after) = store.cast(&task, image(1), &operator(3), vote, false).await.expect("cast");
    assert_eq!((outcome, after.votes.get(&operator(3))), (Cast::Counted, Some(&vote)));

    store.record(&task, &[subtask(&task, 5)]).await.expect("record");
    assert!(matches!(cast(store, &task, 5, 1, 0, true).await, Err(CastError::NotLeased(_))), "it is not open");
}

async fn a_lost_lease_counts_only_where_a_slot_is_free(store: &dyn Store) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    for who in [1, 2] {
        lease(store, &task, 1, who, later(60)).await;
    }
    assert_eq!(cast(store, &task, 1, 7, 0, true).await, Ok(Cast::Counted), "the third slot");
    assert!(matches!(cast(store, &task, 1, 8, 0, true).await, Err(CastError::NotLeased(_))), "all slots are promised");
}

async fn a_subtask_closes_once_and_is_counted_once(store: &dyn Store) {
    let task = task(store).await;
    for n in [1, 2, 3] {
        opened(store, &task, n).await;
    }
    for n in [1, 2] {
        for who in [1, 2, 3] {
            lease(store, &task, n, who, later(60)).await;
            assert_eq!(cast(store, &task, n, who, 1, false).await, Ok(Cast::Counted));
        }
    }
    let decision = Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(1.0), dispute: None };
    let dispute = Decision {
        label: Some(LabelIndex(0)),
        confidence: Confidence::new(1.0 / 3.0),
        dispute: Some(Dispute::NoAnswer),
    };
    let by = DecidedBy::Votes;
    let first = Closing { seen: read(store, &task, 1).await, decision, by };
    let second = Closing { seen: read(store, &task, 2).await, decision: dispute, by };
    let third = Closing { seen: read(store, &task, 3).await, decision, by };
    lease(store, &task, 3, 9, later(60)).await;
    let all = [first.clone(), second, third];
    assert_eq!(store.close(&task, &all, later(5)).await.expect("close"), [true, true, false], "one has changed since");
    assert_eq!(store.close(&task, &all[..2], later(6)).await.expect("close"), [false, false], "only once");
    assert!(store.close(&task, &[], later(6)).await.expect("close").is_empty());

    let mut after = first.seen;
    after.close(decision, task.policy.disputed, later(5));
    assert_eq!(read(store, &task, 1).await, after);
    let disputed = read(store, &task, 2).await;
    assert_eq!((disputed.state, disputed.decision), (SubtaskState::Disputed, Some(dispute)));
    let counts = store.counts(&task).await.expect("counts");
    assert_eq!(counts, Counts { accepted: 3, rejected: 0, complete: 1, disputed: 1, votes: 6 });
    for stretch in task.shards.round(&ImageId::MIN) {
        let pool = store.pool(&task, stretch, 10).await.expect("pool");
        assert!(pool.iter().all(|open| *open == image(3)), "what is closed has left the pool");
    }
}

async fn what_comes_late_is_kept(store: &dyn Store) {
    let task = task(store).await;
    opened(store, &task, 1).await;
    lease(store, &task, 1, 1, later(60)).await;
    assert_eq!(cast(store, &task, 1, 1, 1, false).await, Ok(Cast::Counted));
    let decision = Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(1.0), dispute: None };
    let seen = read(store, &task, 1).await;
    assert_eq!(
        store.close(&task, &[Closing { seen, decision, by: DecidedBy::Votes }], now()).await.expect("close"),
        [true]
    );
    assert!(matches!(cast(store, &task, 1, 2, 0, false).await, Err(CastError::NotLeased(_))));
    assert_eq!(cast(store, &task, 1, 2, 0, true).await, Ok(Cast::Late));
    assert_eq!(cast(store, &task, 1, 2, 0, true).await, Ok(Cast::Late), "again, and nothing changes");
    assert_eq!(cast(store, &task, 1, 1, 2, false).await, Ok(Cast::Late), "too late to change one's mind");
    assert_eq!(cast(store, &task, 1, 1, 1, false).await, Ok(Cast::Unchanged));
    let after = read(store, &task, 1).await;
    assert_eq!((after.votes.len(), after.late.len(), after.decision), (1, 2, Some(decision)));
    assert_eq!(store.counts(&task).await.expect("counts").votes, 1, "late votes do not count");
}

async fn an_image_is_refused_after_all_once(store: &dyn Store) {
    let task = task(store).await;
    store.record(&task, &[subtask(&task, 1), subtask(&task, 2)]).await.expect("record");
    assert!(store.open(&task, image(2), None).await.expect("open"));
    let refusal = Refusal { code: "upload-gone".to_owned(), detail: "gone".to_owned() };
    let refuse = |n| store.refuse(&task, image(n), &refusal, later(3));
    assert!(refuse(1).await.expect("refuse"));
    assert!(!refuse(1).await.expect("refuse"), "once");
    assert!(!refuse(2).await.expect("refuse"), "it is open: somebody may look at it");
    assert!(!refuse(3).await.expect("refuse"), "there is none");
    let mut expected = subtask(&task, 1);
    assert!(expected.refuse(refusal.clone(), later(3)));
    assert_eq!(read(store, &task, 1).await, expected);
    let counts = store.counts(&task).await.expect("counts");
    assert_eq!(counts, Counts { accepted: 1, rejected: 1, ..Counts::default() });
}

async fn counters_can_be_corrected(store: &dyn Store) {
    let task = task(store).await;
    assert_eq!(store.tally(&task).await.expect("tally"), Tally::default());
    store.record(&task, &[subtask(&task, 1), subtask(&task, 2)]).await.expect("record");
    let before = store.tally(&task).await.expect("tally");
    assert_eq!(before, store.tally(&task).await.expect("tally"), "nothing was counted in between");
    let change = CountsChange { accepted: -1, votes: 3, ..CountsChange::default() };
    store.correct(&task, &change).await.expect("correct");
    let after = store.tally(&task).await.expect("tally");
    assert_eq!(after.counts, Counts { accepted: 1, votes: 3, ..Counts::default() });
    assert_ne!(after.changes, before.changes);
    store.correct(&task, &CountsChange::default()).await.expect("correct");
    assert_eq!(store.tally(&task).await.expect("tally"), after, "nothing to correct is no change");
}

async fn marks_of_the_sweep_change_only_from_what_they_were(store: &dyn Store) {
    let task = task(store).await;
    assert_eq!(store.sweep_mark(task.id).await.expect("read"), SweepMark::default());
    let mark = SweepMark { changes: 7, since: now(), walks: 2, walked_to: Some(image(3)), found: 4, rev: 1 };
    assert!(store.put_sweep_mark(task.id, &mark).await.expect("put"));
    assert!(!store.put_sweep_mark(task.id, &mark).await.expect("put"), "another sweep came in between");
    assert_eq!(store.sweep_mark(task.id).await.expect("read"), mark);
    let next = SweepMark { walked_to: None, rev: 2, ..mark };
    assert!(store.put_sweep_mark(task.id, &next).await.expect("put"));
    assert_eq!(store.sweep_mark(task.id).await.expect("read"), next);
}

async fn many_records_and_many_reads(store: &dyn Store) {
    let task = task(store).await;
    let subtasks: Vec<_> = (0..99).map(|n| subtask(&task, n)).collect();
    assert_eq!(store.record(&task, &subtasks).await.expect("record").len(), 99, "a whole transaction");
    let overlapping: Vec<_> = (50..149).map(|n| subtask(&task, n)).collect();
    assert_eq!(store.record(&task, &overlapping).await.expect("record").len(), 50, "half of it is there");
    let images: Vec<_> = (0..1_000).map(image).collect();
    assert_eq!(store.subtasks(&task, &images, false).await.expect("read").len(), 149);
    assert_eq!(store.counts(&task).await.expect("counts").accepted, 149);
    let many: Vec<_> = (0..149).map(|n| file(&format!("{n}"), n)).collect();
    assert_eq!(store.announce(&task, &many).await.expect("announce").len(), 149);
}
