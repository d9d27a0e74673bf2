//! The rules of consensus, as clients and operators meet them.

use std::{collections::BTreeSet, time::Duration};

use lambel_core::{
    ImageId, LabelIndex, TaskId, TaskState,
    api::{ImageState, PolicyFields, RuleName, VoteOutcome},
    consensus::{Confidence, Decision, Earned, Measured, Phase, Skill, Weight},
    subtask::DecidedBy,
};
use lambel_service::{
    ports::{Closing, Store},
    survey::Finding,
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

/// What a recount finds when the news is out.
async fn findings(world: &World, task: TaskId) -> Vec<Finding> {
    world.news().await;
    world.surveyor.survey(task).await.unwrap().findings
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
    assert_eq!(findings(&world, task).await, []);
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
    assert_eq!(findings(&world, task).await, []);
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
    assert_eq!(findings(&world, task).await, []);
}

fn adaptive() -> PolicyFields {
    PolicyFields { rule: Some(RuleName::Adaptive), ..Default::default() }
}

/// Writes what a batch would write of an operator.
async fn measure(world: &World, who: usize, task: TaskId, thousandths: i32, phase: Phase) {
    let earned = Earned { weight: Weight::from_thousandths(thousandths), phase };
    let measured = Measured { skill: Skill { answers: 30.0, right: 25.0 }, earned };
    assert!(world.store.measure(task, &format!("op-{who}").parse().unwrap(), &measured).await.unwrap());
}

#[tokio::test]
async fn while_nobody_is_known_two_votes_ahead_decide() {
    let world = World::new();
    let (task, image) = one_image(&world, adaptive()).await;
    assert_eq!(handed(&world, 1, task).await, [image]);
    assert_eq!(handed(&world, 2, task).await, [], "perhaps one vote is enough");
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Counted]);
    vote(&world, 2, task, image, "cat").await;
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.label.unwrap().as_str()), (ImageState::Complete, "cat"));
    // Each counts as somebody who is right in four of five cases.
    assert!((view.confidence.unwrap().get() - 16.0 / 17.0).abs() < 1e-4);
    for vote in view.votes {
        assert_eq!((vote.weight, vote.phase), (Some(1.386), None));
    }
    assert_eq!(findings(&world, task).await, []);
}

#[tokio::test]
async fn a_vote_counts_for_what_its_operator_had_earned_then() {
    let world = World::new();
    let (task, image) = one_image(&world, adaptive()).await;
    // Their records are made by their first claims, which they give back.
    for who in 1..=3 {
        assert_eq!(handed(&world, who, task).await, [image]);
        let lease = lambel_core::api::LeaseRef { task, image };
        let back = lambel_core::api::ReturnLeases { subtasks: vec![lease] };
        assert_eq!(world.operators.give_back(&crate::world::operator(who), &back).await.unwrap().returned, 1);
    }
    measure(&world, 1, task, 250, Phase::Warm).await;
    measure(&world, 2, task, 250, Phase::Warm).await;
    measure(&world, 3, task, 5_000, Phase::Warm).await;
    // Two who are hardly better than chance agree, and that is not enough. One who is nearly always right is.
    vote(&world, 1, task, image, "dog").await;
    vote(&world, 2, task, image, "dog").await;
    assert_eq!(world.show(task).await.progress.unwrap().open, 1);
    vote(&world, 3, task, image, "cat").await;
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.label.unwrap().as_str()), (ImageState::Complete, "cat"));
    assert!((view.confidence.unwrap().get() - 1.0 / (1.0 + (-4.5_f64).exp())).abs() < 1e-9);
    let shown: Vec<_> = view.votes.iter().map(|vote| (vote.weight, vote.phase)).collect();
    let warm = |weight| (Some(weight), Some(Phase::Warm));
    assert_eq!(shown, [warm(0.25), warm(0.25), warm(5.0)]);

    // What is found of them later changes nothing of what was decided, nor of what follows from the record.
    measure(&world, 3, task, -1_000, Phase::Warm).await;
    assert_eq!(findings(&world, task).await, []);
}

#[tokio::test]
async fn a_vote_that_is_changed_weighs_what_its_operator_has_earned_by_then() {
    let world = World::new();
    let (task, image) = one_image(&world, adaptive()).await;
    vote(&world, 1, task, image, "cat").await;
    measure(&world, 1, task, 2_900, Phase::Cold).await;
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Unchanged]);
    assert_eq!(world.store.all_subtasks(task)[0].votes.values().next().unwrap().earned, None, "cast before that");
    assert_eq!(world.vote(1, vec![label(task, image, "dog")]).await, [VoteOutcome::Replaced]);
    measure(&world, 1, task, 2_950, Phase::Warm).await;
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Replaced]);
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.votes[0].weight), (ImageState::Complete, Some(2.95)), "19 in 20 is enough");
    assert_eq!(findings(&world, task).await, []);
}

#[tokio::test]
async fn a_decision_that_does_not_follow_from_the_weights_is_found() {
    let world = World::new();
    let (id, image) = one_image(&world, adaptive()).await;
    vote(&world, 1, id, image, "cat").await;
    let task = world.stored(id).await;
    let seen = world.store.all_subtasks(id).remove(0);
    let decision = Decision { label: Some(LabelIndex(0)), confidence: Confidence::new(0.95), dispute: None };
    assert_eq!(
        world.store.close(&task, &[Closing { seen, decision, by: DecidedBy::Votes }], task.created_at).await,
        Ok(vec![true])
    );
    let found = findings(&world, id).await;
    assert!(matches!(found[..], [Finding::DecisionDiffers { .. }]), "{found:?}");
}

#[tokio::test]
async fn votes_by_other_rules_carry_no_weights() {
    let world = World::new();
    let (task, image) = one_image(&world, lead(1, 3)).await;
    assert_eq!(handed(&world, 1, task).await, [image]);
    measure(&world, 1, task, 5_000, Phase::Warm).await;
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Counted]);
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
    assert_eq!((view.state, view.votes[0].weight, view.votes[0].phase), (ImageState::Complete, None, None));
}
