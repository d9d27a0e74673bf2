//! Gold: images whose label is known, among the work.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use lambel_core::{
    Deed, GoldDesk, ImageId, TaskId, TaskState,
    api::{
        AddGold, AudienceFields, Claim, GoldFields, GoldOutcome, GoldReceipt, ImageState, LeaseRef, PageQuery,
        PauseOperator, PolicyFields, ReturnLeases, RuleName, SubmitVotes, SubmittedVote, VoteOutcome,
    },
    consensus::Phase,
    limits,
    subtask::DecidedBy,
};
use lambel_service::{
    Caller, Error, Role,
    ports::{GoldStore, ObjectKey, Store},
    supervise::Supervisors,
};
use serde_json::Value;

use crate::world::{World, announcement, client, in_a_minute, label, operator, pictures};

fn with_gold(quorum: u32, rate: f64) -> PolicyFields {
    PolicyFields { quorum: Some(quorum), gold_rate: Some(rate), ..PolicyFields::default() }
}

fn truth(image: ImageId) -> &'static str {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }
}

fn line(image: ImageId, label: &str) -> GoldFields {
    GoldFields { name: None, image: Some(image), label: label.to_owned() }
}

async fn add(world: &World, task: TaskId, gold: Vec<GoldFields>) -> Vec<GoldReceipt> {
    world.tasks.add_gold(&client("alice"), task, &AddGold { gold }).await.unwrap().gold
}

/// A task with so many images, the first of which are gold.
async fn task(world: &World, policy: PolicyFields, images: u32, gold: usize) -> (TaskId, Vec<ImageId>) {
    let task = world.create(policy).await.task;
    let files = pictures(images);
    for chunk in files.chunks(limits::FILES_PER_REQUEST) {
        world.upload(task, chunk).await;
    }
    let images: Vec<_> = files.iter().take(gold).map(|(_, bytes)| ImageId::of(bytes)).collect();
    for chunk in images.chunks(limits::GOLD_PER_REQUEST) {
        let receipts = add(world, task, chunk.iter().map(|image| line(*image, truth(*image))).collect()).await;
        assert!(receipts.iter().all(|receipt| receipt.outcome == GoldOutcome::Added), "{receipts:?}");
    }
    (task, images)
}

async fn images(world: &World, who: usize, task: TaskId, count: u32) -> Vec<ImageId> {
    world.claim(who, task, count).await.subtasks.into_iter().map(|subtask| subtask.image).collect()
}

async fn vote(world: &World, who: usize, task: TaskId, images: &[ImageId]) -> Vec<VoteOutcome> {
    world.vote(who, images.iter().map(|image| label(task, *image, truth(*image))).collect()).await
}

async fn desk(world: &World, who: usize, task: TaskId) -> GoldDesk {
    let who = format!("op-{who}").parse().unwrap();
    world.store.gold_desks(&[task], &who).await.unwrap().remove(0)
}

#[tokio::test]
async fn who_is_new_gets_gold_first_and_no_image_twice() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(2, 0.2), 60, 12).await;
    let gold: BTreeSet<_> = gold.into_iter().collect();
    let first = images(&world, 1, task, 5).await;
    assert!(first.iter().all(|image| gold.contains(image)), "the first five are gold");
    assert_eq!(images(&world, 1, task, 5).await, first, "what they hold comes again");
    assert_eq!(vote(&world, 1, task, &first).await, [VoteOutcome::Counted; 5]);

    let mut seen: HashSet<_> = first.into_iter().collect();
    let (mut work_before_gold_ended, mut claims) = (0, 0);
    loop {
        let next = images(&world, 1, task, 7).await;
        if next.is_empty() {
            break;
        }
        claims += 1;
        work_before_gold_ended += usize::from(seen.iter().filter(|image| gold.contains(image)).count() < gold.len());
        assert!(next.is_sorted(), "gold stands where its id puts it");
        assert!(next.iter().all(|image| seen.insert(*image)), "never the same again");
        assert!(vote(&world, 1, task, &next).await.iter().all(|outcome| *outcome == VoteOutcome::Counted));
        world.clock.pass(Duration::from_secs(5));
    }
    // Work does not wait for gold: where that is used up, the claims are as full as ever.
    assert_eq!(seen.iter().filter(|image| !gold.contains(image)).count(), 48);
    assert!(work_before_gold_ended > 1 && claims <= 9, "{claims} claims");
    let seen_gold = seen.iter().filter(|image| gold.contains(image)).count();
    assert!(seen_gold > 5, "a fifth of what came after the first five: {seen_gold}");

    let list = world.store.gold(task, None, 100).await.unwrap();
    let record = desk(&world, 1, task).await.record(&list);
    assert_eq!((record.answered as usize, record.right as usize, record.abstained), (seen_gold, seen_gold, 0));
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.complete, progress.open, progress.votes), (12, 48, 0), "gold answers count nowhere else");
}

#[tokio::test]
async fn an_image_that_becomes_gold_is_decided_by_it_and_the_task_completes() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(1, 0.1), 20, 4).await;
    assert_eq!(world.seal(task, 20).await.state, TaskState::Sealed);
    let mut events = world.news().await;
    for who in 1..=3 {
        loop {
            let next = images(&world, who, task, 6).await;
            if next.is_empty() {
                break;
            }
            vote(&world, who, task, &next).await;
        }
        events.extend(world.news().await);
        world.clock.pass(Duration::from_secs(5));
        if world.show(task).await.state == TaskState::Complete {
            break;
        }
    }
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    assert_eq!(events.iter().filter(|event| event.attributes().kind == "subtask.complete").count(), 20);
    let rows = world.tasks.results(&client("alice"), task, &PageQuery::default()).await.unwrap().rows;
    for row in rows {
        let by = if gold.contains(&row.image) { DecidedBy::Gold } else { DecidedBy::Votes };
        assert_eq!((row.status.state, row.status.decided_by), (ImageState::Complete, Some(by)));
        assert_eq!(row.status.label.unwrap().as_str(), truth(row.image));
        if by == DecidedBy::Gold {
            assert_eq!((row.status.confidence.unwrap().get(), row.status.votes.len()), (1.0, 0));
        }
    }
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, [], "every counter is exact");
}

/// The names of all fields, however deep.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => {
            fields.iter().flat_map(|(key, value)| keys(value).into_iter().chain([key.clone()])).collect()
        }
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}

/// All that can be done with one image, as the operator hears of it.
async fn treatment(world: &World, task: TaskId, image: ImageId) -> Vec<(VoteOutcome, Option<String>, Option<String>)> {
    let mut heard = Vec::new();
    let say = |text: &str| SubmittedVote { label: Some(text.to_owned()), ..label(task, image, text) };
    let unclear: SubmittedVote =
        serde_json::from_value(serde_json::json!({"task": task, "image": image, "abstain": "unclear"})).unwrap();
    let nothing = SubmittedVote { abstain: None, ..unclear.clone() };
    for vote in [say("cow"), nothing, unclear.clone(), unclear.clone(), say("cat"), say("cat"), say("dog")] {
        heard.push(cast(world, vote).await);
    }
    let twice = SubmitVotes { votes: vec![say("dog"), say("cat")] };
    let answer = world.operators.vote(&operator(1), &twice).await.unwrap();
    heard.extend(answer.votes.into_iter().map(|receipt| (receipt.outcome, receipt.code, receipt.detail)));
    heard
}

async fn cast(world: &World, vote: SubmittedVote) -> (VoteOutcome, Option<String>, Option<String>) {
    let mut answer = world.operators.vote(&operator(1), &SubmitVotes { votes: vec![vote] }).await.unwrap();
    let receipt = answer.votes.remove(0);
    (receipt.outcome, receipt.code, receipt.detail)
}

async fn give_back(world: &World, task: TaskId, images: &[ImageId]) -> u32 {
    let subtasks = images.iter().map(|image| LeaseRef { task, image: *image }).collect();
    world.operators.give_back(&operator(1), &ReturnLeases { subtasks }).await.unwrap().returned
}

#[tokio::test]
async fn nothing_that_an_operator_sees_tells_gold_from_work() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(3, 0.5), 40, 10).await;
    let answer = world.claim(1, task, 20).await;
    let (of_gold, of_work): (Vec<_>, Vec<_>) = answer.subtasks.iter().partition(|s| gold.contains(&s.image));
    assert!(of_gold.len() >= 5 && !of_work.is_empty());
    let shape = |subtask: &lambel_core::api::LeasedSubtask| {
        let json = serde_json::to_value(subtask).unwrap();
        let url = subtask.url.replace(&subtask.image.to_string(), "IMAGE");
        (keys(&json), url, subtask.lease_until, subtask.media_type.clone(), subtask.width, subtask.height)
    };
    let shapes: BTreeSet<_> = answer.subtasks.iter().map(shape).collect();
    assert_eq!(shapes.len(), 1, "fields, addresses and leases are alike: {shapes:#?}");

    let (gold_image, work_image) = (of_gold[0].image, of_work[0].image);
    assert_eq!(treatment(&world, task, gold_image).await, treatment(&world, task, work_image).await);
    let (gold_image, work_image) = (of_gold[1].image, of_work[1].image);
    assert_eq!((give_back(&world, task, &[gold_image]).await, give_back(&world, task, &[work_image]).await), (1, 1));
    assert_eq!((give_back(&world, task, &[gold_image]).await, give_back(&world, task, &[work_image]).await), (0, 0));
    // What was never theirs, or was given back, is refused in the same words.
    let stranger = |image| SubmittedVote { ..label(task, image, "cat") };
    let not_theirs = gold.iter().find(|image| !answer.subtasks.iter().any(|s| s.image == **image)).copied();
    for image in [Some(gold_image), not_theirs].into_iter().flatten() {
        let (outcome, code, _) = cast(&world, stranger(image)).await;
        assert_eq!((outcome, code.as_deref()), (VoteOutcome::Refused, Some("not-leased")));
    }
    // Given back, it comes again one day.
    let mut again = BTreeSet::new();
    for _ in 0..12 {
        let next = images(&world, 1, task, 20).await;
        if !next.is_empty() {
            vote(&world, 1, task, &next).await;
        }
        again.extend(next);
    }
    assert!(again.contains(&gold_image) && again.contains(&work_image));

    let work = world.operators.work(&operator(1)).await.unwrap();
    assert_eq!(work.tasks[0].undecided, 30, "gold is no work");
}

#[tokio::test]
async fn what_is_changed_after_the_decision_is_late_with_gold_too() {
    let world = World::new();
    // One vote decides: an image of work is closed when a second one comes.
    let (task, gold) = task(&world, with_gold(1, 0.5), 30, 10).await;
    let mut outcomes: BTreeMap<bool, BTreeSet<String>> = BTreeMap::new();
    for image in images(&world, 1, task, 20).await {
        vote(&world, 1, task, &[image]).await;
        let other = if truth(image) == "cat" { "dog" } else { "cat" };
        let changed = world.vote(1, vec![label(task, image, other)]).await;
        outcomes.entry(gold.contains(&image)).or_default().insert(format!("{changed:?}"));
    }
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[&true], outcomes[&false]);
}

#[tokio::test]
async fn what_one_has_voted_on_is_no_gold_to_them() {
    let world = World::new();
    let (task, _) = task(&world, with_gold(1, 0.5), 12, 0).await;
    let labelled = images(&world, 1, task, 8).await;
    vote(&world, 1, task, &labelled).await;
    // The client promotes what is decided.
    let receipts = add(&world, task, labelled.iter().map(|image| line(*image, truth(*image))).collect()).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome == GoldOutcome::Added && receipt.decided.is_none()));
    let labelled: HashSet<_> = labelled.into_iter().collect();
    world.clock.pass(Duration::from_secs(60));
    let rest = images(&world, 1, task, 12).await;
    assert_eq!(rest.len(), 4, "the work that is left, and none of what they have labelled");
    assert!(rest.iter().all(|image| !labelled.contains(image)));
    assert_eq!(images(&world, 1, task, 12).await, rest);
    assert_eq!(desk(&world, 1, task).await.barred.len(), 8, "which is looked up once");
    let others = images(&world, 2, task, 5).await;
    assert_eq!(others, [], "no gold where all work is with others");
    give_back(&world, task, &rest).await;
    assert!(images(&world, 2, task, 5).await.iter().all(|image| labelled.contains(image)));
}

#[tokio::test]
async fn gold_that_is_taken_away_ends_quietly() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(2, 0.1), 30, 5).await;
    let held = images(&world, 1, task, 5).await;
    assert_eq!(held.iter().collect::<BTreeSet<_>>(), gold.iter().collect());
    for image in &gold {
        let removed = world.tasks.remove_gold(&client("alice"), task, *image).await.unwrap();
        assert!(removed.removed);
    }
    assert!(!world.tasks.remove_gold(&client("alice"), task, gold[0]).await.unwrap().removed, "twice changes nothing");
    world.clock.pass(Duration::from_secs(31));
    let next = images(&world, 1, task, 5).await;
    assert!(next.len() == 5 && next.iter().all(|image| !gold.contains(image)), "work instead");
    // A page that was open all the while hears nothing of it.
    assert_eq!(vote(&world, 1, task, &held[..1]).await, [VoteOutcome::Counted]);
    let page = world.tasks.gold(&client("alice"), task, &PageQuery::default()).await.unwrap();
    assert_eq!(page.gold, []);
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.complete, progress.open), (5, 25), "what gold has decided stays decided");
}

#[tokio::test]
async fn each_line_of_gold_is_judged_alone() {
    let world = World::new();
    let (task, _) = task(&world, with_gold(2, 0.1), 4, 0).await;
    let files = pictures(7);
    let image = |n: usize| ImageId::of(&files[n].1);
    // One is announced, one is being prepared, one is no picture.
    let more = [&files[4], &files[5], &("text.png".to_owned(), b"text".to_vec())];
    let announced = more.map(|(name, bytes)| announcement(name, bytes)).to_vec();
    world.tasks.announce(&client("alice"), task, &lambel_core::api::AnnounceFiles { files: announced }).await.unwrap();
    for (_, bytes) in &more[1..] {
        let key = ObjectKey { task, image: ImageId::of(bytes) };
        world.objects.upload(key, bytes.clone());
        assert!(world.validator.validate(&[key]).await.is_empty());
    }
    let named = |name: &str| GoldFields { name: Some(name.to_owned()), image: None, label: "cat".to_owned() };
    let receipts = add(
        &world,
        task,
        vec![
            named(&files[0].0),
            line(image(1), "dog"),
            line(image(1), "cat"),
            line(image(2), "cow"),
            named("no-such-file.png"),
            line(image(6), "cat"),
            named(&files[4].0),
            line(image(4), "cat"),
            line(image(5), "cat"),
            named("text.png"),
            GoldFields { image: Some(image(3)), ..named(&files[3].0) },
            GoldFields { name: None, ..named("") },
            line(image(0), "cat"),
        ],
    )
    .await;
    let codes: Vec<_> = receipts.iter().map(|receipt| receipt.code.as_deref().unwrap_or("")).collect();
    let expected = [
        "",
        "",
        "duplicate",
        "unknown-label",
        "unknown-name",
        "image-not-found",
        "not-arrived",
        "not-arrived",
        "not-ready",
        "rejected",
        "no-image",
        "no-image",
        "",
    ];
    assert_eq!(codes, expected);
    assert!(receipts.iter().all(|r| (r.outcome == GoldOutcome::Refused) == r.detail.is_some()));
    assert_eq!(receipts[0].image, Some(image(0)));

    // The same again changes nothing, and another label takes the place of the first.
    world.news().await;
    let again = add(&world, task, vec![line(image(0), "cat"), line(image(1), "cat")]).await;
    assert_eq!([again[0].outcome, again[1].outcome], [GoldOutcome::Unchanged, GoldOutcome::Replaced]);
    assert!(again.iter().all(|receipt| receipt.decided.is_none()), "the results have it too");
    let corrected = world.tasks.image(&client("alice"), task, image(1)).await.unwrap().status;
    assert_eq!((corrected.label.unwrap().as_str(), corrected.decided_by), ("cat", Some(DecidedBy::Gold)));
    let news = world.news().await;
    assert_eq!(news.iter().map(|event| event.attributes().kind).collect::<Vec<_>>(), ["subtask.complete"]);
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.complete, progress.open), (2, 3));
    let page = world.tasks.gold(&client("alice"), task, &PageQuery { limit: Some(1), cursor: None }).await.unwrap();
    let next = PageQuery { limit: Some(5), cursor: page.next.clone() };
    let rest = world.tasks.gold(&client("alice"), task, &next).await.unwrap();
    let all: Vec<_> = page.gold.iter().chain(&rest.gold).map(|gold| (gold.image, gold.label.to_string())).collect();
    assert_eq!(all.len(), 2);
    // Each request that changed something is on the trail, and a removal is.
    for removed in [true, false] {
        assert_eq!(world.tasks.remove_gold(&client("alice"), task, image(0)).await.unwrap().removed, removed);
    }
    let trail = world.tasks.audit(&client("alice"), task, &PageQuery::default()).await.unwrap().entries;
    let deeds: Vec<_> = trail.into_iter().rev().skip(1).map(|entry| (entry.actor.id, entry.deed)).collect();
    let alice = |deed| ("alice".to_owned(), deed);
    let expected = [
        alice(Deed::GoldAdded { images: 2 }),
        alice(Deed::GoldAdded { images: 1 }),
        alice(Deed::GoldRemoved { images: 1 }),
    ];
    assert_eq!(deeds, expected);
    assert!(all.is_sorted() && all.iter().all(|(_, label)| label == "cat"), "{all:?}");
}

#[tokio::test]
async fn gold_is_its_clients_and_has_limits() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(1, 0.1), 3, 1).await;
    let one = AddGold { gold: vec![line(gold[0], "cat")] };
    let mallory = client("mallory");
    assert!(matches!(world.tasks.add_gold(&mallory, task, &one).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.gold(&mallory, task, &PageQuery::default()).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.remove_gold(&mallory, task, gold[0]).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.add_gold(&operator(1), task, &one).await, Err(Error::RoleMissing { .. })));
    let admin = Caller::new("root", [Role::Admin]);
    assert!(world.tasks.add_gold(&admin, task, &one).await.is_ok(), "an admin sees every task");
    for lines in [Vec::new(), vec![line(gold[0], "cat"); limits::GOLD_PER_REQUEST + 1]] {
        let refused = world.tasks.add_gold(&client("alice"), task, &AddGold { gold: lines }).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "gold", .. })));
    }
    world.tasks.cancel(&client("alice"), task).await.unwrap();
    assert!(matches!(world.tasks.add_gold(&client("alice"), task, &one).await, Err(Error::TaskEnded(_))));
    assert!(world.tasks.remove_gold(&client("alice"), task, gold[0]).await.unwrap().removed, "that is always possible");
}

#[tokio::test]
async fn a_task_has_so_much_gold_and_no_more() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(1, 0.1), limits::GOLD_PER_TASK as u32 + 2, limits::GOLD_PER_TASK).await;
    let files = pictures(limits::GOLD_PER_TASK as u32 + 2);
    let another = ImageId::of(&files[limits::GOLD_PER_TASK].1);
    let refused = add(&world, task, vec![line(another, "cat"), line(gold[0], truth(gold[0]))]).await;
    assert_eq!(refused[0].code.as_deref(), Some("too-many"));
    assert_eq!(refused[1].outcome, GoldOutcome::Unchanged);
    assert_eq!(world.show(task).await.progress.unwrap().open, 2, "what is refused is not decided either");
    world.tasks.remove_gold(&client("alice"), task, gold[0]).await.unwrap();
    assert_eq!(add(&world, task, vec![line(another, "cat")]).await[0].outcome, GoldOutcome::Added);
}

#[tokio::test]
async fn who_is_paused_or_not_in_the_audience_has_no_gold() {
    let world = World::new();
    let (task, _) = task(&world, with_gold(2, 0.1), 20, 8).await;
    let supervisors = Supervisors::new(world.store.clone(), world.clock.clone()).with_gold(world.store.clone());
    let admin = Caller::new("root", [Role::Admin]);
    let held = images(&world, 1, task, 8).await;
    assert!(desk(&world, 1, task).await.leases.len() >= 5);
    let who = "op-1".parse().unwrap();
    let paused = supervisors.pause(&admin, &who, &PauseOperator::default()).await.unwrap();
    assert_eq!(paused.returned, Some(held.len() as u32), "gold and work");
    assert!(desk(&world, 1, task).await.leases.is_empty());
    let claim = Claim { task: Some(task), count: 3 };
    assert!(matches!(world.operators.claim(&operator(1), &claim).await, Err(Error::Paused)));
    supervisors.resume(&admin, &who).await.unwrap();
    let (outcome, code, _) = cast(&world, label(task, held[0], "cat")).await;
    assert_eq!((outcome, code.as_deref()), (VoteOutcome::Refused, Some("not-leased")));

    // Somebody has gold and nothing else, and the task is kept for others from now on: they may finish, as with work.
    let gold = images(&world, 2, task, 2).await;
    let only = AudienceFields { operators: vec!["ada".to_owned()], ..AudienceFields::default() };
    world.tasks.open_to(&client("alice"), task, &only).await.unwrap();
    assert!(matches!(world.operators.claim(&operator(2), &claim).await, Err(Error::TaskNotFound)));
    assert_eq!(vote(&world, 2, task, &gold).await, [VoteOutcome::Counted; 2]);
    let stranger = world.operators.vote(&operator(3), &SubmitVotes { votes: vec![label(task, gold[0], "cat")] }).await;
    assert_eq!(stranger.unwrap().votes[0].code.as_deref(), Some("task-not-found"));
    world.tasks.cancel(&client("alice"), task).await.unwrap();
    let late = world.operators.vote(&operator(2), &SubmitVotes { votes: vec![label(task, gold[0], "cat")] }).await;
    assert_eq!(late.unwrap().votes[0].code.as_deref(), Some("task-ended"));
}

#[tokio::test]
async fn two_claims_of_one_operator_at_the_same_time_share_the_gold() {
    let world = World::new();
    let (task, gold) = task(&world, with_gold(2, 0.5), 60, 20).await;
    let claim = Claim { task: Some(task), count: 10 };
    let who = operator(1);
    let (one, other) = tokio::join!(world.operators.claim(&who, &claim), world.operators.claim(&who, &claim));
    let mut handed: Vec<_> =
        [one.unwrap(), other.unwrap()].iter().flat_map(|a| a.subtasks.clone()).map(|s| s.image).collect();
    handed.sort_unstable();
    handed.dedup();
    assert_eq!(vote(&world, 1, task, &handed).await, vec![VoteOutcome::Counted; handed.len()]);
    let answered = handed.iter().filter(|image| gold.contains(image)).count();
    assert_eq!(desk(&world, 1, task).await.answers.len(), answered, "each is answered once");
    assert!(answered >= 5);
}

async fn weight(world: &World, who: usize, task: TaskId) -> f64 {
    let desks = world.store.desks(&[task], &format!("op-{who}").parse().unwrap()).await.unwrap().desks;
    desks[0].1.measured.unwrap().earned.weight.nats()
}

/// Three who say `cat` whatever they see outvote one who knows. Their votes alone tell the wrong story; gold does not.
#[tokio::test]
async fn gold_measures_operators_by_the_truth_and_sooner_than_their_votes_could() {
    let mut weights = Vec::new();
    for rate in [0.0, 0.5] {
        let world = World::new();
        let policy = PolicyFields { rule: Some(RuleName::Adaptive), ..with_gold(1, rate) };
        let (task, gold) = task(&world, PolicyFields { quorum: None, ..policy }, 120, 50).await;
        for round in 0..60 {
            for who in 0..4 {
                // In order of their ids nobody would get more than their share of what is left.
                let next = images(&world, (who + round) % 4, task, 4).await;
                let said = |image: &ImageId| if (who + round) % 4 == 0 { truth(*image) } else { "cat" };
                let votes: Vec<_> = next.iter().map(|image| label(task, *image, said(image))).collect();
                if !votes.is_empty() {
                    world.vote((who + round) % 4, votes).await;
                }
            }
            world.news().await;
            world.clock.pass(Duration::from_secs(5));
            let known = desk(&world, 0, task).await.answers.len() >= 25 || rate == 0.0;
            if known && world.show(task).await.progress.unwrap().complete >= gold.len() as u64 + 20 {
                break;
            }
        }
        let looks = world.estimator.run(in_a_minute()).await.unwrap();
        assert_eq!(looks.len(), 1, "{looks:?}");
        assert!(looks[0].images < 200);
        let expected = if rate > 0.0 { Phase::Warm } else { Phase::Cold };
        assert_eq!(looks[0].phase, expected, "gold has measured them before 200 images are decided");
        weights.push([weight(&world, 0, task).await, weight(&world, 1, task).await]);
    }
    let [without, with] = [weights[0], weights[1]];
    assert!(with[0] > 2.5 && with[0] > without[0], "who is right weighs much: {weights:?}");
    assert!(with[1] < 0.8 && with[1] < without[1], "who clicks weighs little: {weights:?}");
}

/// At every step of a claim: of somebody who is new, and of somebody who has given everything back; of gold alone, and of
/// gold with work.
#[tokio::test]
async fn a_pause_in_the_middle_of_a_claim_leaves_no_gold() {
    let admin = Caller::new("root", [Role::Admin]);
    for (before, count) in [(0, 3), (0, 12), (4, 3), (4, 12)] {
        let mut refused = 0;
        for turns in 0..40 {
            let world = World::new();
            let (task, _) = task(&world, with_gold(1, 0.3), 30, 10).await;
            let supervisors = Supervisors::new(world.store.clone(), world.clock.clone()).with_gold(world.store.clone());
            if before > 0 {
                let held = images(&world, 1, task, before).await;
                give_back(&world, task, &held).await;
            }
            let pause = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                supervisors.pause(&admin, &"op-1".parse().unwrap(), &PauseOperator::default()).await.unwrap();
            };
            let (who, claim) = (operator(1), Claim { task: Some(task), count });
            let (claimed, ()) = tokio::join!(world.operators.claim(&who, &claim), pause);
            refused += u32::from(matches!(claimed, Err(Error::Paused)));
            let (of_gold, work) = (desk(&world, 1, task).await, world.store.all_subtasks(task));
            assert!(of_gold.leases.is_empty(), "{before}, {count}, after {turns} turns: {of_gold:?}");
            assert!(work.iter().all(|subtask| subtask.leases.is_empty()), "{before}, {count}, after {turns} turns");
        }
        assert!((1..40).contains(&refused), "{before}, {count}: {refused} pauses came before the end of the claim");
    }
}
