//! Confidences that mean what they say, in a task with gold.

use std::{collections::BTreeMap, time::Duration};

use lambel_core::{
    CountsChange, Gold, GoldDesk, ImageId, LabelIndex, OperatorId, Subtask, Task, TaskId, TaskState, Timestamp, Vote,
    api::{AddGold, GoldFields, OperatorPage, PageQuery, PolicyFields, ResultRow, RuleName},
    consensus::{Confidence, Decision},
    event::Event,
    gold::GoldAnswer,
    limits,
    subtask::{Answer, DecidedBy, Picture, Preview},
};
use lambel_dataset::RefName;
use lambel_service::{
    ports::{Datasets, Desk, GoldStore, Store},
    skills::Look,
};

use crate::world::{World, client, in_a_minute, label, pictures};

const IMAGES: u32 = 240;
const GOLD: usize = 64;
const OPERATORS: usize = 5;

fn truth(image: ImageId) -> &'static str {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }
}

/// What everybody says: on one image of four everybody is wrong.
fn said(image: ImageId) -> &'static str {
    match (image.digest()[5].is_multiple_of(4), truth(image)) {
        (true, "cat") => "dog",
        (true, _) => "cat",
        (false, truth) => truth,
    }
}

/// A task that is decided by weights, with so many images, the first of which are gold.
async fn task(world: &World, images: u32, gold: usize) -> TaskId {
    let adaptive = PolicyFields { rule: Some(RuleName::Adaptive), gold_rate: Some(0.5), ..PolicyFields::default() };
    let task = world.create(adaptive).await.task;
    let files = pictures(images);
    world.upload(task, &files).await;
    let gold = files.iter().take(gold).map(|(_, bytes)| ImageId::of(bytes));
    let gold = gold.map(|image| GoldFields { name: None, image: Some(image), label: truth(image).to_owned() });
    world.tasks.add_gold(&client("alice"), task, &AddGold { gold: gold.collect() }).await.unwrap();
    task
}

async fn round(world: &World, task: TaskId) {
    for who in 0..OPERATORS {
        let images = world.claim(who, task, 8).await.subtasks.into_iter().map(|subtask| subtask.image);
        let votes: Vec<_> = images.map(|image| label(task, image, said(image))).collect();
        if !votes.is_empty() {
            world.vote(who, votes).await;
        }
        world.clock.pass(Duration::from_secs(1));
    }
}

async fn look(world: &World) -> Vec<Look> {
    world.estimator.run(in_a_minute()).await.unwrap()
}

async fn page(world: &World, task: TaskId) -> OperatorPage {
    world.quality.operators(&client("alice"), task, &PageQuery::default()).await.unwrap()
}

async fn results(world: &World, task: TaskId) -> Vec<ResultRow> {
    let all = PageQuery { limit: Some(limits::PAGE_ROWS), cursor: None };
    world.tasks.results(&client("alice"), task, &all).await.unwrap().rows
}

/// The posteriors as they are stored.
fn stored(world: &World, task: TaskId) -> BTreeMap<ImageId, (DecidedBy, f64)> {
    let posterior = |subtask: Subtask| Some((subtask.image, (subtask.decided_by, subtask.decision?.confidence.get())));
    world.store.all_subtasks(task).into_iter().filter_map(posterior).collect()
}

#[tokio::test]
async fn votes_that_are_wrong_together_are_not_believed_too_much_once_gold_has_shown_it() {
    let world = World::new();
    let task = task(&world, IMAGES, GOLD).await;

    // As long as little gold is answered, posteriors are reported as they are.
    round(&world, task).await;
    round(&world, task).await;
    assert_eq!(look(&world).await.len(), 1);
    let calibration = page(&world, task).await.calibration.unwrap();
    assert!(calibration.gold > 0 && calibration.gold < 50 && calibration.temperature.is_none(), "{calibration:?}");
    let as_stored = stored(&world, task);
    let decided = results(&world, task).await;
    let decided = decided.iter().filter_map(|row| Some((row.image, row.status.confidence?.get())));
    assert!(decided.clone().count() > GOLD, "some work is decided as well");
    assert!(decided.clone().all(|(image, confidence)| as_stored[&image].1 == confidence));

    for _ in 0..80 {
        round(&world, task).await;
        look(&world).await;
        if world.show(task).await.progress.unwrap().open == 0 {
            break;
        }
    }
    world.seal(task, IMAGES.into()).await;
    let events = world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);

    let summary = page(&world, task).await;
    let calibration = summary.calibration.unwrap();
    assert!(calibration.gold >= 50 && calibration.gold <= GOLD as u32, "{calibration:?}");
    let (temperature, epsilon) = (calibration.temperature.unwrap(), calibration.epsilon.unwrap());
    assert_eq!(summary.alarm, None, "everybody says the same, so does their majority");

    let as_stored = stored(&world, task);
    let rows = results(&world, task).await;
    let (mut sum, mut right, mut work) = (0.0, 0.0, 0.0);
    for row in &rows {
        let confidence = row.status.confidence.unwrap().get();
        let (by, posterior) = as_stored[&row.image];
        assert_eq!(row.status.decided_by, Some(by));
        if by == DecidedBy::Gold {
            assert_eq!(confidence, 1.0, "what the client knows is sure");
            continue;
        }
        assert!(
            posterior > 0.8 && confidence < posterior - 0.1 && (0.6..0.9).contains(&confidence),
            "{confidence} instead of {posterior}"
        );
        sum += confidence;
        right += f64::from(u8::from(row.status.label.as_ref().unwrap().as_str() == truth(row.image)));
        work += 1.0;
    }
    assert_eq!(work as usize, IMAGES as usize - GOLD);
    assert!((sum - right).abs() / work < 0.06, "{} confident, {} right", sum / work, right / work);

    // Why: the posterior as it was, and what was made of it.
    let one = rows.iter().find(|row| row.status.decided_by != Some(DecidedBy::Gold)).unwrap();
    let view = world.tasks.image(&client("alice"), task, one.image).await.unwrap();
    assert_eq!(view.status.confidence, one.status.confidence);
    let explained = view.explained.unwrap();
    assert_eq!(explained.posterior.unwrap().get(), as_stored[&one.image].1);
    assert_eq!(explained.calibration, Some(calibration));
    let known = rows.iter().find(|row| row.status.decided_by == Some(DecidedBy::Gold)).unwrap();
    let view = world.tasks.image(&client("alice"), task, known.image).await.unwrap();
    assert!(view.explained.is_none_or(|why| why.posterior.is_none() && why.calibration.is_none()));
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, [], "decisions follow from their votes as before");

    // A version has what the results have, and says how.
    for event in events.iter().filter(|event| matches!(event, Event::Task(..))) {
        world.committer.hear(&event.body().unwrap()).await.unwrap();
    }
    let head = world.datasets.of(task).refs.branch(&RefName::live()).await.unwrap().unwrap();
    let objects = world.datasets.of(task).objects;
    let commit = lambel_dataset::Commit::read(&*objects, head.to).await.unwrap();
    assert_eq!(commit.consensus.parameters["calibration"]["temperature"], temperature);
    assert_eq!(commit.consensus.parameters["calibration"]["epsilon"], epsilon);
    let version = commit.tree(&*objects).await.unwrap().all_rows(&*objects).await.unwrap();
    let of_version: BTreeMap<_, _> = version.iter().map(|row| (row.image, row.outcome.confidence())).collect();
    assert_eq!(of_version, rows.iter().map(|row| (row.image, row.status.confidence)).collect());
}

fn op(name: &str) -> OperatorId {
    name.parse().unwrap()
}

/// An image of which each of these has said something, decided for the first label.
fn decided(task: &Task, image: ImageId, said: [(&str, u16); 3]) -> Subtask {
    let at = Timestamp::from_millis(1);
    let picture = Picture { media_type: "image/png".to_owned(), width: 1, height: 1 };
    let mut subtask = Subtask::preparing(task.id, image, 1, picture, Preview::NotNeeded, at);
    for (who, label) in said {
        let vote = Vote { answer: Answer::Label(LabelIndex(label)), at, elapsed_ms: None, earned: None };
        subtask.votes.insert(op(who), vote);
    }
    let decision = Decision { label: Some(LabelIndex(0)), confidence: Confidence::new(0.9), dispute: None };
    subtask.close(decision, lambel_core::OnDispute::Marked, at);
    subtask
}

/// Anna is right wherever others can tell, so her votes weigh much; where only the truth can tell, she is wrong and the
/// two others are right.
#[tokio::test]
async fn an_owner_hears_of_a_majority_that_knows_better() {
    let world = World::new();
    let policy = PolicyFields {
        rule: Some(RuleName::Adaptive),
        confidence: Some(0.85),
        gold_rate: Some(0.1),
        ..PolicyFields::default()
    };
    let id = world.create(policy).await.task;
    let task = world.stored(id).await;
    for n in 0..150_u32 {
        let of_two = u16::from(n.is_multiple_of(2));
        let said = [("anna", 0), ("ben", of_two), ("cleo", 1 - of_two)];
        world.store.record(&task, &[decided(&task, ImageId::of(&n.to_be_bytes()), said)]).await.unwrap();
    }
    let change = CountsChange { complete: 150, votes: 450, ..CountsChange::default() };
    world.store.correct(&task, &change).await.unwrap();
    let mut desks = ["ben", "cleo", "anna"].map(|who| GoldDesk { rev: 1, ..GoldDesk::new(id, op(who)) });
    for n in 0..60_u32 {
        let image = ImageId::of(&(1_000 + n).to_be_bytes());
        let gold = Gold { image, label: LabelIndex(0), added_at: Timestamp::from_millis(1) };
        world.store.put_gold(id, &gold).await.unwrap();
        let answers = match n {
            0..6 => [0, 0, 1],
            _ if n.is_multiple_of(2) => [0, 1, 0],
            _ => [1, 0, 0],
        };
        for (at, (desk, said)) in (1..).zip(desks.iter_mut().zip(answers)) {
            let (answer, at) = (Answer::Label(LabelIndex(said)), Timestamp::from_millis(at));
            desk.answers.insert(image, GoldAnswer { answer, at, elapsed_ms: None });
        }
    }
    for desk in &desks {
        assert!(world.store.put_gold_desk(desk).await.unwrap());
        let record = Desk { rev: 1, ..Desk::new(id, desk.operator.clone()) };
        assert!(world.store.put_desk(&record).await.unwrap());
    }
    assert_eq!(look(&world).await.len(), 1);
    let summary = page(&world, id).await;
    assert_eq!(summary.calibration.unwrap().gold, 60);
    let alarm = summary.alarm.unwrap();
    assert_eq!((alarm.majority_only, alarm.model_only, alarm.p), (6, 0, 0.015_625));
}

#[tokio::test]
async fn a_last_batch_that_a_repair_makes_knows_the_gold_too() {
    let world = World::new();
    let task = task(&world, 20, 8).await;
    world.seal(task, 20).await;
    // It opens images again as any last batch does.
    for _ in 0..20 {
        while world.show(task).await.progress.unwrap().open > 0 {
            round(&world, task).await;
        }
        let report = world.surveyor.survey(task).await.unwrap();
        world.repairer.repair(&report).await.unwrap();
        if world.show(task).await.state == TaskState::Complete {
            break;
        }
    }
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    assert!(page(&world, task).await.calibration.unwrap().gold > 0);
}
