//! The rules of consensus, as clients and operators meet them.

use std::{collections::BTreeSet, time::Duration};

use lambel_core::{
    ImageId, TaskId, TaskState,
    api::{ImageState, PolicyFields, RuleName, VoteOutcome},
};

use crate::world::{World, client, label, pictures};

fn lead(lead: u32, max_labels: u32) -> PolicyFields {
    PolicyFields { rule: Some(RuleName::Lead), lead: Some(lead), max_labels: Some(max_labels), ..Default::default() }
}

/// The images that an operator is handed.
async fn handed(world: &World, who: usize, task: TaskId) -> Vec<ImageId> {
    // Shards that were seen empty are not looked into for a moment.
    world.clock.pass(Duration::from_secs(5));
    world.claim(who, task, 10).await.subtasks.into_iter().map(|subtask| subtask.image).collect()
}

async fn vote(world: &World, who: usize, task: TaskId, image: ImageId, said: &str) {
    assert_eq!(handed(world, who, task).await, [image], "operator {who}");
    assert_eq!(world.vote(who, vec![label(task, image, said)]).await, [VoteOutcome::Counted]);
}

async fn one_image(world: &World, policy: PolicyFields) -> (TaskId, ImageId) {
    let task = world.create(policy).await.task;
    let files = pictures(1);
    world.upload(task, &files).await;
    world.seal(task, 1).await;
    (task, ImageId::of(&files[0].1))
}

#[tokio::test]
async fn a_lead_takes_as_many_votes_as_it_needs() {
    let world = World::new();
    let (task, image) = one_image(&world, lead(2, 7)).await;
    for (who, said) in [(1, "cat"), (2, "dog"), (3, "cat")] {
        vote(&world, who, task, image, said).await;
        assert_eq!(world.show(task).await.progress.unwrap().open, 1, "after operator {who}");
    }
    vote(&world, 4, task, image, "cat").await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.label.unwrap().as_str()), (ImageState::Complete, "cat"));
    assert_eq!((view.confidence.unwrap().get(), view.votes.len()), (0.75, 4));
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_lead_that_nobody_reaches_is_a_dispute_with_the_best_there_is() {
    let world = World::new();
    let (task, image) = one_image(&world, lead(2, 5)).await;
    for (who, said) in [(1, "cat"), (2, "dog"), (3, "cat"), (4, "dog"), (5, "dog")] {
        vote(&world, who, task, image, said).await;
    }
    assert_eq!(handed(&world, 6, task).await, []);
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.label.unwrap().as_str()), (ImageState::Disputed, "dog"));
    assert_eq!(view.confidence.unwrap().get(), 0.6);
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}

#[tokio::test]
async fn leases_at_the_same_time_are_never_more_than_the_lead_wants() {
    let world = World::new();
    let (task, image) = one_image(&world, lead(2, 7)).await;
    // Nobody has voted: two votes are wanted whatever they say.
    assert_eq!(handed(&world, 1, task).await, [image]);
    assert_eq!(handed(&world, 2, task).await, [image]);
    assert_eq!(handed(&world, 3, task).await, [], "both slots are promised");
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Counted]);
    assert_eq!(handed(&world, 3, task).await, [], "one is wanted, and promised");
    assert_eq!(world.vote(2, vec![label(task, image, "dog")]).await, [VoteOutcome::Counted]);
    // One each: now two more are wanted.
    assert_eq!(handed(&world, 3, task).await, [image]);
    assert_eq!(handed(&world, 4, task).await, [image]);
    assert_eq!(handed(&world, 5, task).await, []);
}

#[tokio::test]
async fn a_lead_of_two_between_many_operators_never_takes_a_vote_too_many() {
    let world = World::new();
    let task = world.create(lead(2, 7)).await.task;
    world.upload(task, &pictures(30)).await;
    world.seal(task, 30).await;
    // Every third image is hard: there the operators differ by turns.
    let said = |image: ImageId, who: usize| {
        let hard = image.digest()[31].is_multiple_of(3);
        if hard && who.is_multiple_of(2) { "dog" } else { "cat" }
    };
    for _ in 0..40 {
        for who in 0..9 {
            let answer = world.claim(who, task, 7).await;
            let votes: Vec<_> = answer.subtasks.iter().map(|s| label(task, s.image, said(s.image, who))).collect();
            if !votes.is_empty() {
                let outcomes = world.vote(who, votes).await;
                assert!(outcomes.iter().all(|outcome| *outcome == VoteOutcome::Counted), "{outcomes:?}");
            }
        }
        world.news().await;
        world.clock.pass(Duration::from_secs(5));
        if world.show(task).await.state == TaskState::Complete {
            break;
        }
    }
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let mut taken = BTreeSet::new();
    for record in world.store.all_subtasks(task) {
        taken.insert(record.votes.len());
        assert!(record.late.is_empty());
        if !record.image.digest()[31].is_multiple_of(3) {
            assert_eq!(record.votes.len(), 2, "where all agree two are enough");
        }
    }
    assert!(taken.len() > 1, "hard images took more: {taken:?}");
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}
