//! What the client of a task learns of its operators, and who is paused for what.

use std::time::Duration;

use lambel_core::{
    ImageId, OperatorId, TaskId, TaskState,
    api::{Claim, OperatorPage, OperatorReport, PageQuery, PauseOperator, PolicyFields, RuleName, SubmitVotes},
    consensus::{FlagKind, Part, Phase},
};
use lambel_service::{
    Caller, Error, Role,
    ports::{QualityStore, Store},
    skills::Look,
};

use crate::world::{World, client, in_a_minute, label, operator, pictures};

const IMAGES: u32 = 140;
/// Two who are right, one who always says the same, at once.
const CLICKER: usize = 2;

fn truth(image: ImageId) -> &'static str {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }
}

fn id(who: usize) -> OperatorId {
    format!("op-{who}").parse().unwrap()
}

fn three() -> PolicyFields {
    PolicyFields { quorum: Some(3), max_labels: Some(3), ..PolicyFields::default() }
}

/// Three operators label some images each.
async fn round(world: &World, task: TaskId, count: u32) {
    for who in 0..3 {
        let claim = world.operators.claim(&operator(who), &Claim { task: Some(task), count }).await;
        let images = match claim {
            Ok(answer) => answer.subtasks.into_iter().map(|subtask| subtask.image),
            Err(Error::PausedInTask) => continue,
            Err(error) => panic!("{error}"),
        };
        let mut votes: Vec<_> = images.map(|image| label(task, image, truth(image))).collect();
        if who == CLICKER {
            votes.iter_mut().for_each(|vote| (vote.label, vote.elapsed_ms) = (Some("cat".to_owned()), Some(90)));
        }
        if !votes.is_empty() {
            world.vote(who, votes).await;
        }
    }
    world.news().await;
    world.clock.pass(Duration::from_secs(5));
}

/// Until so many images are decided.
async fn work(world: &World, task: TaskId, decided: u64) {
    for _ in 0..200 {
        let progress = world.show(task).await.progress.unwrap();
        if progress.complete + progress.disputed >= decided {
            return;
        }
        round(world, task, 6).await;
    }
    panic!("it does not get on");
}

async fn look(world: &World) -> Vec<Look> {
    world.estimator.run(in_a_minute()).await.unwrap()
}

async fn page(world: &World, task: TaskId) -> OperatorPage {
    world.quality.operators(&client("alice"), task, &PageQuery::default()).await.unwrap()
}

fn flags(report: &OperatorReport) -> Vec<FlagKind> {
    report.flags.iter().map(|flag| flag.flag).collect()
}

/// A task in which a clicker was measured with the others.
async fn measured(world: &World, policy: PolicyFields) -> TaskId {
    let task = world.create(policy).await.task;
    world.upload(task, &pictures(IMAGES)).await;
    work(world, task, 60).await;
    assert_eq!(look(world).await.len(), 1);
    task
}

/// No schedule looks at a task that is over, nor at one with less than 20 images.
#[tokio::test]
async fn a_task_that_is_complete_has_its_last_report_however_small_it_is() {
    let world = World::new();
    let task = world.create(three()).await.task;
    world.upload(task, &pictures(4)).await;
    world.seal(task, 4).await;
    work(&world, task, 4).await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let page = page(&world, task).await;
    assert_eq!((page.images, page.votes, page.operators.len()), (4, 12, 3));
}

#[tokio::test]
async fn a_client_learns_how_each_operator_works_and_how_far_they_agree() {
    let world = World::new();
    let task = world.create(three()).await.task;
    let before = page(&world, task).await;
    assert_eq!((before.measured_at, before.operators.len(), before.agreement), (None, 0, None));
    assert!(before.explanation.unwrap().contains("20 images"));

    world.upload(task, &pictures(IMAGES)).await;
    work(&world, task, 60).await;
    look(&world).await;
    let after = page(&world, task).await;
    assert!(after.measured_at.is_some() && after.explanation.is_none());
    assert!(after.images >= 60 && after.votes == 3 * after.images, "{} {}", after.images, after.votes);
    let agreement = after.agreement.unwrap();
    // Two of three pairs disagree on every other image.
    assert!((0.0..0.6).contains(&agreement.alpha), "{agreement:?}");
    assert!(agreement.interval.low < agreement.alpha && agreement.alpha < agreement.interval.high);
    assert_eq!(after.operators.iter().map(|one| one.operator.as_str()).collect::<Vec<_>>(), ["op-0", "op-1", "op-2"]);
    for good in &after.operators[..2] {
        assert_eq!(good.agreement, Some(Part { right: good.votes, of: good.votes }));
        assert!(good.accuracy.unwrap() > 0.9 && good.interval.unwrap().low > 0.8, "{good:?}");
        assert_eq!((flags(good), good.median_ms, good.weight, good.phase), (vec![], Some(900), None, None));
    }
    let clicker = &after.operators[CLICKER];
    assert_eq!(flags(clicker), [FlagKind::Guessing, FlagKind::SameAnswer, FlagKind::TooFast]);
    assert!(clicker.flags[1].reason.starts_with("says `cat` in 100.00 % of the cases"), "{:?}", clicker.flags);
    assert!(!clicker.paused, "the policy does not ask for it");

    let one = world.quality.operator(&client("alice"), task, &id(CLICKER)).await.unwrap();
    assert_eq!(one.report, *clicker);
    let told: Vec<_> = one.confusions.iter().map(|cell| (cell.decided.as_str(), cell.said.as_str())).collect();
    assert_eq!(told, [("cat", "cat"), ("dog", "cat")]);
    let times: u32 = one.confusions.iter().map(|cell| cell.times).sum();
    assert_eq!(times, clicker.votes);

    let first = PageQuery { limit: Some(2), cursor: None };
    let first = world.quality.operators(&client("alice"), task, &first).await.unwrap();
    let rest = PageQuery { limit: Some(2), cursor: first.next };
    let rest = world.quality.operators(&client("alice"), task, &rest).await.unwrap();
    assert_eq!((first.operators.len(), rest.operators, rest.next), (2, after.operators[2..].to_vec(), None));
}

#[tokio::test]
async fn a_rule_that_weighs_tells_weight_and_phase() {
    let world = World::new();
    let rule = Some(RuleName::Adaptive);
    let adaptive = PolicyFields { rule, min_labels: Some(3), max_labels: Some(3), ..PolicyFields::default() };
    let task = measured(&world, adaptive).await;
    let operators = page(&world, task).await.operators;
    assert!(operators.iter().all(|one| one.phase == Some(Phase::Cold)));
    assert!(operators[0].weight > Some(2.0) && operators[CLICKER].weight < Some(0.6), "{operators:?}");
}

#[tokio::test]
async fn others_learn_nothing_and_change_nothing() {
    let world = World::new();
    let task = measured(&world, three()).await;
    let request = PauseOperator::default();
    for stranger in [client("bob"), operator(0), operator(CLICKER)] {
        let refused = |error: &Error| matches!(error, Error::TaskNotFound | Error::RoleMissing { .. });
        assert!(refused(&world.quality.operators(&stranger, task, &PageQuery::default()).await.unwrap_err()));
        assert!(refused(&world.quality.operator(&stranger, task, &id(0)).await.unwrap_err()));
        assert!(refused(&world.quality.pause(&stranger, task, &id(0), &request).await.unwrap_err()));
        assert!(refused(&world.quality.resume(&stranger, task, &id(0)).await.unwrap_err()));
    }
    let admin = Caller::new("root", [Role::Admin]);
    assert_eq!(world.quality.operators(&admin, task, &PageQuery::default()).await.unwrap(), page(&world, task).await);
    let nobody: OperatorId = "op-9".parse().unwrap();
    for error in [
        world.quality.operator(&admin, task, &nobody).await.unwrap_err(),
        world.quality.pause(&admin, task, &nobody, &request).await.unwrap_err(),
        world.quality.resume(&admin, task, &nobody).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::OperatorNotFound), "{error}");
    }
}

#[tokio::test]
async fn by_policy_a_flagged_operator_is_paused_in_the_task_and_nowhere_else() {
    let world = World::new();
    let policy = PolicyFields { pause_flagged: Some(true), ..three() };
    let task = world.create(policy).await.task;
    let other = world.task(3).await;
    world.upload(task, &pictures(IMAGES)).await;
    world.upload(other, &pictures(5)).await;
    work(&world, task, 60).await;
    let held = world.claim(CLICKER, task, 6).await.subtasks;
    assert!(!held.is_empty());
    look(&world).await;

    let reports = page(&world, task).await.operators;
    assert_eq!(reports.iter().map(|one| one.paused).collect::<Vec<_>>(), [false, false, true]);
    let claim = |task| Claim { task, count: 3 };
    let refused = world.operators.claim(&operator(CLICKER), &claim(Some(task))).await.unwrap_err();
    assert!(matches!(refused, Error::PausedInTask));
    let now = lambel_service::ports::Clock::now(&*world.clock);
    for subtask in world.store.all_subtasks(task) {
        assert_eq!(subtask.live_lease(&id(CLICKER), now), None, "what they held went back");
    }
    let vote = SubmitVotes { votes: vec![label(task, held[0].image, "cat")] };
    let receipt = world.operators.vote(&operator(CLICKER), &vote).await.unwrap().votes.remove(0);
    assert_eq!(receipt.code.as_deref(), Some("paused-in-task"));
    // Without a task they get work of the other one.
    let elsewhere = world.operators.claim(&operator(CLICKER), &claim(None)).await.unwrap().subtasks;
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|subtask| subtask.task == other));

    let trail = world.tasks.audit(&client("alice"), task, &PageQuery::default()).await.unwrap().entries;
    assert_eq!((trail[0].deed.name(), trail[0].actor.id.as_str()), ("operator-paused-in-task", "lambel"));
    let reason = serde_json::to_value(&trail[0]).unwrap()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("same-answer: says `cat`") && reason.contains("too-fast: "), "{reason}");
}

#[tokio::test]
async fn who_is_let_go_on_is_not_paused_again_for_the_same() {
    let world = World::new();
    let task = measured(&world, PolicyFields { pause_flagged: Some(true), ..three() }).await;
    let answer = world.quality.resume(&client("alice"), task, &id(CLICKER)).await.unwrap();
    assert!(!answer.paused);
    work(&world, task, 90).await;
    assert_eq!(look(&world).await.len(), 1);
    let report = page(&world, task).await.operators.remove(CLICKER);
    assert_eq!(flags(&report), report.tolerated, "they go on as before");
    assert!(!report.paused && !report.tolerated.is_empty());

    // What they are not known for yet pauses them: as if the answer had not been the same until now.
    let mut record = world.store.operator_quality(task, &id(CLICKER)).await.unwrap();
    record.tolerated.retain(|kind| *kind != FlagKind::SameAnswer);
    record.rev += 1;
    assert!(world.store.put_operator_quality(task, &record).await.unwrap());
    work(&world, task, 120).await;
    assert_eq!(look(&world).await.len(), 1);
    assert!(page(&world, task).await.operators[CLICKER].paused);
}

#[tokio::test]
async fn a_client_pauses_and_lets_go_on_by_hand() {
    let world = World::new();
    let task = world.task(3).await;
    world.upload(task, &pictures(20)).await;
    let alice = client("alice");
    let request = PauseOperator { reason: Some(" asked for a break ".to_owned()) };
    assert_eq!(world.claim(0, task, 3).await.subtasks.len(), 3);
    let paused = world.quality.pause(&alice, task, &id(0), &request).await.unwrap();
    assert_eq!((paused.paused, paused.returned), (true, Some(3)));
    assert_eq!(page(&world, task).await.operators.len(), 1, "nothing was measured, and they are on the list");
    let again = world.quality.pause(&alice, task, &id(0), &request).await.unwrap();
    assert_eq!((again.paused_at, again.returned), (paused.paused_at, Some(0)));
    let claim = Claim { task: Some(task), count: 3 };
    assert!(matches!(world.operators.claim(&operator(0), &claim).await, Err(Error::PausedInTask)));

    assert!(!world.quality.resume(&alice, task, &id(0)).await.unwrap().paused);
    world.quality.resume(&alice, task, &id(0)).await.unwrap();
    assert_eq!(world.claim(0, task, 3).await.subtasks.len(), 3);
    let trail = world.tasks.audit(&alice, task, &PageQuery::default()).await.unwrap().entries;
    let names: Vec<_> = trail.iter().map(|entry| entry.deed.name()).collect();
    assert_eq!(names, ["operator-resumed-in-task", "operator-paused-in-task", "task-created"]);
    let long = PauseOperator { reason: Some("x".repeat(501)) };
    assert!(matches!(world.quality.pause(&alice, task, &id(0), &long).await, Err(Error::Invalid { .. })));
    world.tasks.cancel(&alice, task).await.unwrap();
    assert!(matches!(world.quality.pause(&alice, task, &id(0), &request).await, Err(Error::TaskEnded(_))));
}

/// Whatever the order in which the steps of a claim and of a pause come, the operator holds nothing afterwards.
#[tokio::test]
async fn a_claim_under_way_ends_with_nothing() {
    for turns in 0..40 {
        let world = World::new();
        let task = world.task(3).await;
        world.upload(task, &pictures(20)).await;
        world.claim(0, task, 1).await;
        let alice = client("alice");
        let request = PauseOperator::default();
        let pause = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
            world.quality.pause(&alice, task, &id(0), &request).await
        };
        let claim = Claim { task: Some(task), count: 10 };
        let anna = operator(0);
        let (paused, claimed) = tokio::join!(pause, world.operators.claim(&anna, &claim));
        assert!(paused.unwrap().paused);
        assert!(matches!(claimed, Ok(_) | Err(Error::PausedInTask)));
        let now = lambel_service::ports::Clock::now(&*world.clock);
        let held = world.store.all_subtasks(task).iter().filter(|one| one.live_lease(&id(0), now).is_some()).count();
        assert_eq!(held, 0, "after {turns} turns");
        assert!(world.store.desks(&[task], &id(0)).await.unwrap().desks[0].1.paused_at.is_some());
    }
}

#[tokio::test]
async fn a_decision_is_explained_by_its_votes() {
    let world = World::new();
    let adaptive = PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() };
    let task = world.create(adaptive).await.task;
    world.upload(task, &pictures(1)).await;
    let image = world.claim(0, task, 1).await.subtasks[0].image;
    world.vote(0, vec![label(task, image, "cat")]).await;
    let show = async || world.tasks.image(&client("alice"), task, image).await.unwrap();
    assert_eq!(show().await.explained, None, "others can still vote");
    world.claim(1, task, 1).await;
    world.vote(1, vec![label(task, image, "cat")]).await;
    let view = show().await;
    let explained = view.explained.unwrap();
    assert_eq!((explained.rule, explained.confidence_wanted), (RuleName::Adaptive, Some(0.95)));
    assert_eq!((explained.phase, explained.agrees), (Some(Phase::Cold), Some(true)));
    assert_eq!(explained.labels.len(), 1);
    assert_eq!((explained.labels[0].votes, explained.labels[0].score), (2, Some(2.772)));
    assert!((explained.labels[0].confidence.get() - view.status.confidence.unwrap().get()).abs() < 1e-9);
    let sum = explained.labels[0].confidence.get() + explained.others.unwrap().get();
    assert!((sum - 1.0).abs() < 1e-9);

    let majority = world.task(1).await;
    world.upload(majority, &pictures(1)).await;
    world.claim(0, majority, 1).await;
    world.vote(0, vec![label(majority, image, "dog")]).await;
    let explained = world.tasks.image(&client("alice"), majority, image).await.unwrap().explained.unwrap();
    assert_eq!((explained.rule, explained.phase, explained.others), (RuleName::Majority, None, None));
    assert_eq!((explained.labels[0].label.as_str(), explained.agrees), ("dog", Some(true)));
}
