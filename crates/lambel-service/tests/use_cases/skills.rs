//! Operators are measured while a task goes on, and their votes weigh accordingly.

use std::{collections::BTreeMap, time::Duration};

use lambel_core::{
    ImageId, TaskId, TaskState,
    api::{PageQuery, PolicyFields, RuleName},
    consensus::Phase,
};
use lambel_service::{
    ports::{SkillMark, Store},
    skills::Look,
};

use crate::world::{World, client, in_a_minute, label, pictures};

/// Images that are labelled while nobody is known, and images that come afterwards.
const FIRST: usize = 230;
const IMAGES: usize = 310;
/// Four who are always right, and one who guesses.
const OPERATORS: usize = 5;
const GUESSES: usize = 4;

fn adaptive() -> PolicyFields {
    PolicyFields { rule: Some(RuleName::Adaptive), ..Default::default() }
}

fn truth(image: ImageId) -> &'static str {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }
}

fn said(who: usize, image: ImageId) -> &'static str {
    match who {
        GUESSES => ["cat", "dog"][usize::from(image.digest()[7]) % 2],
        _ => truth(image),
    }
}

/// Every operator labels some images.
async fn round(world: &World, task: TaskId, count: u32) {
    for who in 0..OPERATORS {
        let images = world.claim(who, task, count).await.subtasks.into_iter().map(|subtask| subtask.image);
        let votes: Vec<_> = images.map(|image| label(task, image, said(who, image))).collect();
        if !votes.is_empty() {
            world.vote(who, votes).await;
        }
    }
    world.news().await;
    world.clock.pass(Duration::from_secs(5));
}

async fn look(world: &World) -> Vec<Look> {
    world.estimator.run(in_a_minute()).await.unwrap()
}

async fn weight(world: &World, who: usize, task: TaskId) -> Option<f64> {
    let desks = world.store.desks(&[task], &format!("op-{who}").parse().unwrap()).await.unwrap().desks;
    desks[0].1.measured.map(|measured| measured.earned.weight.nats())
}

#[tokio::test]
async fn once_operators_are_known_good_ones_are_enough_alone() {
    let world = World::new();
    let task = world.create(adaptive()).await.task;
    let files = pictures(IMAGES as u32);
    let mut looks = Vec::new();
    for part in [&files[..FIRST], &files[FIRST..]] {
        world.upload(task, part).await;
        for _ in 0..80 {
            round(&world, task, 6).await;
            looks.extend(look(&world).await);
            if world.show(task).await.progress.unwrap().open == 0 {
                break;
            }
        }
    }
    world.seal(task, IMAGES as u64).await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);

    // It was looked at a few times, each with more than before; the phase went from cold to warm.
    assert!(looks.len() >= 4, "{looks:?}");
    assert!(looks.windows(2).all(|pair| pair[0].images + 20 <= pair[1].images), "{looks:?}");
    assert_eq!(looks[0].phase, Phase::Cold);
    let last = looks.last().unwrap();
    assert_eq!((last.phase, last.operators), (Phase::Warm, OPERATORS as u64));
    assert!(weight(&world, GUESSES, task).await.unwrap() < 0.8);
    for who in 0..GUESSES {
        assert!(weight(&world, who, task).await.unwrap() > 3.0, "operator {who}");
    }

    let rows =
        world.tasks.results(&client("alice"), task, &PageQuery { limit: Some(1_000), cursor: None }).await.unwrap();
    let mut votes: BTreeMap<usize, usize> = BTreeMap::new();
    let mut right = 0;
    for row in &rows.rows {
        *votes.entry(row.status.votes.len()).or_default() += 1;
        right += u32::from(row.status.label.as_ref().unwrap().as_str() == truth(row.image));
        if row.status.votes.len() == 1 {
            assert_eq!(row.status.votes[0].phase, Some(Phase::Warm));
            assert_ne!(row.status.votes[0].operator.as_str(), format!("op-{GUESSES}"), "who guesses is never enough");
        }
    }
    assert!(votes.get(&1) >= Some(&20), "one vote of a good operator: {votes:?}");
    assert!(f64::from(right) / IMAGES as f64 > 0.97, "{right} of {IMAGES}");
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, [], "each decision follows from its record");
}

#[tokio::test]
async fn nobody_is_measured_again_before_more_was_decided() {
    let world = World::new();
    let task = world.create(adaptive()).await.task;
    world.upload(task, &pictures(60)).await;
    assert_eq!(look(&world).await, [], "nothing is decided");
    while world.show(task).await.progress.unwrap().complete < 20 {
        round(&world, task, 5).await;
    }
    let first = look(&world).await;
    assert_eq!((first.len(), first[0].phase), (1, Phase::Cold));
    assert_eq!(look(&world).await, [], "nothing has changed");
}

#[tokio::test]
async fn one_looks_at_a_time_and_a_look_that_died_is_made_again() {
    let world = World::new();
    let task = world.create(adaptive()).await.task;
    world.upload(task, &pictures(60)).await;
    while world.show(task).await.progress.unwrap().complete < 20 {
        round(&world, task, 5).await;
    }
    let now = lambel_service::ports::Clock::now(&*world.clock);
    let begun = SkillMark { decided: 0, begun: now, rev: 1 };
    assert!(world.store.put_skill_mark(task, &begun).await.unwrap());
    assert_eq!(look(&world).await, []);
    world.clock.pass(Duration::from_secs(17 * 60));
    let looks = look(&world).await;
    let mut measured = 0;
    for who in 0..OPERATORS {
        measured += u64::from(weight(&world, who, task).await.is_some());
    }
    assert_eq!((looks.len(), looks[0].operators), (1, measured));
    assert!(measured >= 2, "two votes on each image");
}

#[tokio::test]
async fn where_the_rule_does_not_weigh_nobody_gets_a_weight() {
    let world = World::new();
    let task = world.task(2).await;
    world.upload(task, &pictures(60)).await;
    while world.show(task).await.progress.unwrap().complete < 20 {
        round(&world, task, 5).await;
    }
    let looks = look(&world).await;
    assert_eq!((looks.len(), looks[0].operators), (1, 0));
    assert_eq!(weight(&world, 0, task).await, None);
}

#[test]
fn a_look_is_due_each_twentieth_and_sooner_at_the_start_of_a_large_task() {
    let due = |decided, images| {
        let mark = SkillMark { decided, ..SkillMark::default() };
        (decided..).find(|now| mark.is_due(*now, images)).unwrap()
    };
    assert_eq!([due(0, 100), due(20, 100), due(0, 2_000), due(100, 2_000)], [20, 40, 100, 200]);
    assert_eq!([due(0, 1_000_000), due(200, 1_000_000), due(400, 1_000_000)], [200, 400, 800]);
    assert_eq!(due(100_000, 1_000_000), 150_000);
}
