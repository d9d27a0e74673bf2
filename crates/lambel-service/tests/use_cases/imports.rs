//! Votes from outside, as clients bring them in.

use lambel_core::{
    Deed, ImageId, TaskId, TaskState,
    api::{BeginImport, BringVotes, ImageState, OutsideVote, PageQuery, PolicyFields, RuleName, SealTask, VoteOutcome},
    event::Event,
    limits,
    subtask::Abstention,
};
use lambel_service::{Caller, Error, Role, import::VoteImports};

use crate::world::{World, client, label, operator, pictures};

use VoteOutcome::{Counted, Late, Refused, Replaced, Unchanged};

fn imports(world: &World) -> VoteImports {
    VoteImports::new(world.store.clone(), world.store.clone(), world.clock.clone(), world.operators.clone())
}

fn begin() -> BeginImport {
    let name = |name: &str| name.parse().unwrap();
    BeginImport { import: name("a1"), source: name("label-studio"), images: 2, votes: 5 }
}

fn said(image: ImageId, operator: &str, answer: &str) -> OutsideVote {
    let operator = operator.parse().unwrap();
    OutsideVote { image, operator, label: Some(answer.to_owned()), abstain: None, at: None, elapsed_ms: Some(700) }
}

fn person(image: ImageId, n: usize, answer: &str) -> OutsideVote {
    said(image, &format!("import:label-studio:{n}"), answer)
}

async fn bring(world: &World, task: TaskId, votes: Vec<OutsideVote>) -> Vec<(VoteOutcome, Option<String>)> {
    let request = BringVotes { import: begin().import, votes };
    let answer = imports(world).bring(&client("alice"), task, &request).await.unwrap();
    answer.votes.into_iter().map(|receipt| (receipt.outcome, receipt.code)).collect()
}

async fn outcomes(world: &World, task: TaskId, votes: Vec<OutsideVote>) -> Vec<VoteOutcome> {
    bring(world, task, votes).await.into_iter().map(|(outcome, _)| outcome).collect()
}

/// A task of so many open images that knows of the import.
async fn filled(world: &World, quorum: u32, count: u32) -> (TaskId, Vec<ImageId>) {
    let task = world.task(quorum).await;
    let files = pictures(count);
    world.upload(task, &files).await;
    world.tasks.begin_import(&client("alice"), task, &begin()).await.unwrap();
    (task, files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect())
}

#[tokio::test]
async fn votes_from_outside_decide_and_twice_changes_nothing() {
    let world = World::new();
    let (task, images) = filled(&world, 2, 3).await;
    let (a, b) = (images[0], images[1]);
    let mut skipped = person(b, 2, "");
    (skipped.label, skipped.abstain) = (None, Some(Abstention::Unclear));
    // Three votes on an image that takes two: the third is late, within the same request.
    let votes =
        vec![person(a, 1, "cat"), person(a, 2, "cat"), person(a, 3, "dog"), person(b, 1, "dog"), skipped.clone()];
    assert_eq!(outcomes(&world, task, votes.clone()).await, [Counted, Counted, Late, Counted, Counted]);
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.complete, progress.open, progress.votes), (1, 2, 2));
    let view = world.tasks.image(&client("alice"), task, a).await.unwrap().status;
    assert_eq!((view.state, view.label.unwrap().as_str(), view.votes.len()), (ImageState::Complete, "cat", 3));
    assert!(view.votes.iter().all(|vote| vote.operator.is_outside() && vote.elapsed_ms == Some(700)));

    let news = world.news().await;
    assert_eq!(news.iter().filter(|event| matches!(event, Event::Subtask(..))).count(), 1, "it is told like any other");
    let before = format!("{:?}", world.store);
    assert_eq!(outcomes(&world, task, votes).await, [Unchanged, Unchanged, Late, Unchanged, Unchanged]);
    assert_eq!(format!("{:?}", world.store), before, "nothing was written");

    // What was left open is labelled by operators, who go on from where the import ends.
    let handed: Vec<_> = world.claim(7, task, 10).await.subtasks.iter().map(|subtask| subtask.image).collect();
    assert_eq!(handed.len(), 2);
    assert_eq!(world.vote(7, vec![label(task, b, "dog")]).await, [Counted]);
    assert_eq!(world.show(task).await.progress.unwrap().complete, 2);
    assert_eq!(outcomes(&world, task, vec![skipped]).await, [Unchanged]);
    world.news().await;
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}

#[tokio::test]
async fn an_import_stands_on_the_trail_once() {
    let world = World::new();
    let task = world.task(2).await;
    let alice = client("alice");
    let shown = world.tasks.begin_import(&alice, task, &begin()).await.unwrap();
    assert_eq!(shown.imports, [begin().import]);
    let rev = world.stored(task).await.rev;
    world.tasks.begin_import(&alice, task, &begin()).await.unwrap();
    assert_eq!(world.stored(task).await.rev, rev);
    let trail = world.tasks.audit(&alice, task, &PageQuery::default()).await.unwrap().entries;
    let begun = trail.iter().filter(|entry| matches!(&entry.deed, Deed::ImportBegun { votes: 5, images: 2, .. }));
    assert_eq!((begun.count(), trail.len()), (1, 2));
    for n in 1..limits::IMPORTS_PER_TASK {
        let another = BeginImport { import: format!("n-{n}").parse().unwrap(), ..begin() };
        world.tasks.begin_import(&alice, task, &another).await.unwrap();
    }
    let another = BeginImport { import: "one-more".parse().unwrap(), ..begin() };
    let error = world.tasks.begin_import(&alice, task, &another).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict(detail) if detail.contains("100 imports")), "{error}");
}

#[tokio::test]
async fn only_the_owner_and_admins_bring_votes_in() {
    let world = World::new();
    let (task, images) = filled(&world, 2, 1).await;
    let imports = imports(&world);
    let request = BringVotes { import: begin().import, votes: vec![person(images[0], 1, "cat")] };
    let admin = Caller::new("root", [Role::Admin]);
    for (caller, id) in
        [(client("bob"), task), (client("alice"), "019aa5a0-0000-7000-8000-00000000ffff".parse().unwrap())]
    {
        assert!(matches!(imports.bring(&caller, id, &request).await, Err(Error::TaskNotFound)));
        assert!(matches!(world.tasks.begin_import(&caller, id, &begin()).await, Err(Error::TaskNotFound)));
    }
    assert!(matches!(imports.bring(&operator(1), task, &request).await, Err(Error::RoleMissing { group: "clients" })));
    let refused = world.tasks.begin_import(&operator(1), task, &begin()).await;
    assert!(matches!(refused, Err(Error::RoleMissing { group: "clients" })));
    assert!(world.stored(task).await.imports.len() == 1);
    assert_eq!(imports.bring(&admin, task, &request).await.unwrap().votes[0].outcome, Counted);

    let unknown = BringVotes { import: "b2".parse().unwrap(), ..request.clone() };
    assert!(matches!(imports.bring(&client("alice"), task, &unknown).await, Err(Error::Conflict(_))));
    for votes in [Vec::new(), vec![person(images[0], 1, "cat"); limits::VOTES_BROUGHT_IN_PER_REQUEST + 1]] {
        let request = BringVotes { votes, ..request.clone() };
        assert!(matches!(imports.bring(&client("alice"), task, &request).await, Err(Error::Invalid { .. })));
    }
    world.tasks.cancel(&client("alice"), task).await.unwrap();
    let ended = imports.bring(&client("alice"), task, &request).await;
    assert!(matches!(ended, Err(Error::TaskEnded(TaskState::Cancelled))));
}

#[tokio::test]
async fn what_is_wrong_with_one_vote_is_not_in_the_way_of_others() {
    let world = World::new();
    let (task, images) = filled(&world, 2, 1).await;
    let image = images[0];
    let mut both = person(image, 4, "cat");
    both.abstain = Some(Abstention::Unclear);
    let mut neither = person(image, 5, "cat");
    neither.label = None;
    let votes = vec![
        // Nobody brings in votes in the name of an account.
        said(image, "op-1", "cat"),
        said(image, "b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c5d", "cat"),
        said(image, "model:tiny", "cat"),
        person(image, 1, "bird"),
        both,
        neither,
        person(ImageId::MAX, 1, "cat"),
        person(image, 2, "cat"),
        person(image, 2, "dog"),
    ];
    let codes: Vec<_> =
        bring(&world, task, votes).await.into_iter().map(|(outcome, code)| code.ok_or(outcome)).collect();
    let refused = |code: &str| Ok(code.to_owned());
    assert_eq!(
        codes,
        [
            refused("not-outside"),
            refused("not-outside"),
            refused("not-outside"),
            refused("unknown-label"),
            refused("no-answer"),
            refused("no-answer"),
            refused("image-not-found"),
            Err(Counted),
            refused("duplicate"),
        ]
    );
    assert_eq!(world.store.all_subtasks(task)[0].votes.len(), 1);
    assert_eq!(outcomes(&world, task, vec![person(image, 2, "dog")]).await, [Replaced]);
}

#[tokio::test]
async fn slots_that_are_promised_are_left_to_those_who_hold_them() {
    let world = World::new();
    let (task, images) = filled(&world, 1, 2).await;
    assert_eq!(world.claim(1, task, 10).await.subtasks.len(), 2);
    let found = bring(&world, task, vec![person(images[0], 1, "dog")]).await;
    assert_eq!(found, [(Refused, Some("no-slot".to_owned()))]);
    assert_eq!(world.vote(1, vec![label(task, images[0], "cat")]).await, [Counted]);
    assert_eq!(outcomes(&world, task, vec![person(images[0], 1, "dog")]).await, [Late], "it is evidence now");
    let view = world.tasks.image(&client("alice"), task, images[0]).await.unwrap().status;
    assert_eq!(view.label.unwrap().as_str(), "cat");
}

#[tokio::test]
async fn times_of_votes_are_kept_and_none_lies_ahead() {
    let world = World::new();
    let (task, images) = filled(&world, 3, 1).await;
    let now = lambel_service::ports::Clock::now(&*world.clock);
    let mut early = person(images[0], 1, "cat");
    early.at = Some(time("2021-03-09T21:52:49.513Z"));
    let mut ahead = person(images[0], 2, "cat");
    ahead.at = Some(time("2999-01-01T00:00:00Z"));
    assert_eq!(outcomes(&world, task, vec![early.clone(), ahead, person(images[0], 3, "cat")]).await, [Counted; 3]);
    let record = world.store.all_subtasks(task).remove(0);
    let at: Vec<_> = record.votes.values().map(|vote| vote.at).collect();
    assert_eq!(at, [early.at.unwrap(), now, now]);
}

fn time(text: &str) -> lambel_core::Timestamp {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap()
}

#[tokio::test]
async fn whose_votes_come_from_outside_is_unknown_and_completes_tasks_all_the_same() {
    let world = World::new();
    let adaptive = PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() };
    let task = world.create(adaptive).await.task;
    let files = pictures(1);
    world.upload(task, &files).await;
    let alice = client("alice");
    world.tasks.begin_import(&alice, task, &begin()).await.unwrap();
    world.tasks.seal(&alice, task, &SealTask { images: 1 }).await.unwrap();
    let image = ImageId::of(&files[0].1);
    let votes = vec![person(image, 1, "cat"), said(image, "model:tiny@1.2", "cat"), person(image, 2, "dog")];
    assert_eq!(outcomes(&world, task, votes).await, [Counted, Counted, Late]);
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let view = world.tasks.image(&alice, task, image).await.unwrap().status;
    assert!(view.votes.iter().all(|vote| vote.weight == Some(1.386) && vote.phase.is_none()), "four in five");
}
