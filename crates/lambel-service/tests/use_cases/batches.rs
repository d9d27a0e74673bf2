//! What batches over all votes make of a task: decisions that are made again, images that open again, and its end.

use std::{collections::BTreeMap, time::Duration};

use lambel_core::{
    ImageId, LabelIndex, OperatorId, Subtask, SubtaskState, Task, TaskId, TaskState, Timestamp, Vote,
    api::{ImageState, PolicyFields, RuleName},
    consensus::{Ballot, Confidence, Decision, ITERATIONS_FINAL, MapEm, Phase, Scores, VoteTable},
    event::{Event, LastBatchWanted},
    subtask::{Answer, DecidedBy, Picture, Preview},
};
use lambel_service::{
    error::Comeback,
    ports::{Clock, Store},
};

use crate::world::{World, client, in_a_minute, label, operator, pictures};

fn adaptive(confidence: f64) -> PolicyFields {
    PolicyFields { rule: Some(RuleName::Adaptive), confidence: Some(confidence), ..Default::default() }
}

fn truth(image: ImageId) -> u16 {
    u16::from(image.digest()[31] % 2)
}

fn name_of(label: u16) -> &'static str {
    ["cat", "dog"][usize::from(label)]
}

/// An image on which operators have voted, each as they always do: true to the label, or against it.
struct Voted {
    image: ImageId,
    record: Subtask,
}

fn voted(task: &Task, n: u32, votes: &[(usize, bool)]) -> Voted {
    let image = ImageId::of(&n.to_be_bytes());
    let picture = Picture { media_type: "image/png".to_owned(), width: 8, height: 8 };
    let at = Timestamp::from_millis(1);
    let mut record = Subtask::preparing(task.id, image, 9, picture, Preview::NotNeeded, at);
    record.open(None);
    for (who, is_true) in votes {
        let answer = Answer::Label(LabelIndex(if *is_true { truth(image) } else { 1 - truth(image) }));
        record.votes.insert(operator_id(*who), Vote { answer, at, elapsed_ms: None, earned: None });
        record.rev += 1;
    }
    Voted { image, record }
}

impl Voted {
    /// Decided for the true label, or against it.
    fn decided(mut self, is_true: bool) -> Self {
        let label = if is_true { truth(self.image) } else { 1 - truth(self.image) };
        let decision = Decision { label: Some(LabelIndex(label)), confidence: Confidence::new(0.96), dispute: None };
        self.record.close(decision, Timestamp::from_millis(2));
        self
    }
}

fn operator_id(n: usize) -> OperatorId {
    format!("op-{n}").parse().unwrap()
}

/// A task that has these images.
async fn task_of(world: &World, confidence: f64, images: impl Fn(&Task) -> Vec<Voted>) -> Task {
    let id = world.create(adaptive(confidence)).await.task;
    let task = world.stored(id).await;
    for Voted { record, .. } in images(&task) {
        assert_eq!(world.store.record(&task, std::slice::from_ref(&record)).await.unwrap().len(), 1);
        let mut change = lambel_core::CountsChange::default();
        if record.state.is_final() {
            change.close(&record);
        }
        world.store.correct(&task, &change).await.unwrap();
    }
    world.store.take_stream();
    task
}

async fn stored(world: &World, task: TaskId, image: ImageId) -> Subtask {
    world.store.all_subtasks(task).into_iter().find(|subtask| subtask.image == image).unwrap()
}

/// The kinds and the ids of what was announced of one image.
fn of_image(events: &[Event], image: ImageId) -> Vec<(&'static str, String)> {
    let its = events.iter().filter(|event| event.id().contains(&image.to_string()));
    its.map(|event| (event.attributes().kind, event.id().to_owned())).collect()
}

fn ended(events: &[Event]) -> usize {
    events.iter().filter(|event| event.attributes().kind == "task.complete").count()
}

/// 0 and 1 are always right; 2 and 3 are always wrong, which shows where they have met the first two.
const KNOWN: [(usize, bool); 3] = [(0, true), (1, true), (2, false)];

fn forty(task: &Task) -> Vec<Voted> {
    let known = |n| voted(task, n, &[KNOWN[0], KNOWN[1], (2 + (n % 2) as usize, false)]).decided(true);
    (0..40).map(known).collect()
}

#[tokio::test]
async fn the_last_batch_corrects_what_two_who_are_always_wrong_have_decided() {
    let world = World::new();
    let wrong = |task: &Task| voted(task, 100, &[(2, false), (3, false)]).decided(false);
    let task = task_of(&world, 0.95, |task| forty(task).into_iter().chain([wrong(task)]).collect()).await;
    let image = wrong(&task).image;
    let before = stored(&world, task.id, image).await;
    world.seal(task.id, 41).await;
    assert_eq!(world.stored(task.id).await.state, TaskState::Sealed, "the last batch comes first");
    let events = world.news().await;
    assert_eq!((world.stored(task.id).await.state, ended(&events)), (TaskState::Complete, 1));
    let after = stored(&world, task.id, image).await;
    assert_eq!(after.decision.unwrap().label, Some(LabelIndex(truth(image))));
    assert_eq!((after.decided_by, after.state), (DecidedBy::Batch, SubtaskState::Complete));
    assert!(after.decided_rev > before.decided_rev);
    let [(kind, id)] = &of_image(&events, image)[..] else { panic!("it is announced once more") };
    assert_eq!((*kind, id.rsplit('/').next().unwrap()), ("subtask.complete", &*after.decided_rev.unwrap().to_string()));
    let view = world.tasks.image(&client("alice"), task.id, image).await.unwrap().status;
    assert_eq!((view.label.unwrap().as_str(), view.decided_by), (name_of(truth(image)), Some(DecidedBy::Batch)));
    let others = world.store.all_subtasks(task.id).into_iter().filter(|other| other.image != image);
    assert!(others.into_iter().all(|other| other.decided_by == DecidedBy::Votes), "the others stay as they are");
    // A recount finds the counters right, and does not ask a record for what all votes together say.
    let report = world.surveyor.survey(task.id).await.unwrap();
    let findings: Vec<_> = report.findings.iter().filter(|finding| finding.remedy().is_some()).collect();
    assert_eq!(findings, [&lambel_service::survey::Finding::NotClosed { image }; 0]);
    let differ = |finding: &&lambel_service::survey::Finding| matches!(finding, lambel_service::survey::Finding::DecisionDiffers { image: its, .. } if *its == image);
    assert_eq!(report.findings.iter().filter(differ).count(), 0);
}

#[tokio::test]
async fn an_image_that_is_not_sure_opens_again_and_takes_another_vote() {
    let world = World::new();
    // One who is known and one who is not: that is less than is asked for.
    let unsure = |task: &Task| voted(task, 100, &[(0, true), (9, true)]).decided(true);
    let task = task_of(&world, 0.999, |task| forty(task).into_iter().chain([unsure(task)]).collect()).await;
    let image = unsure(&task).image;
    // Somebody has voted late: now it counts.
    let late = Vote { at: Timestamp::from_millis(5), ..unsure(&task).record.votes[&operator_id(0)] };
    let policy = task.policy;
    let mut record = stored(&world, task.id, image).await;
    assert_eq!(record.late.len(), 0);
    world.store.cast(&task, image, &operator_id(8), late, true).await.unwrap();
    record.cast(&operator_id(8), late, true, &policy, 2).unwrap();
    world.store.take_stream();

    world.seal(task.id, 41).await;
    let counted = world.store.counts(&task).await.unwrap();
    let events = world.news().await;
    assert_eq!((world.stored(task.id).await.state, ended(&events)), (TaskState::Sealed, 0));
    let open = stored(&world, task.id, image).await;
    assert_eq!((open.state, open.votes.len(), open.late.len()), (SubtaskState::Open, 3, 0));
    assert_eq!(of_image(&events, image), [("subtask.reopened", format!("{}/{image}/{}", task.id, open.rev))]);
    let after = world.store.counts(&task).await.unwrap();
    assert_eq!((after.complete, after.votes), (counted.complete - 1, counted.votes - 2));
    let view = world.tasks.image(&client("alice"), task.id, image).await.unwrap().status;
    assert_eq!((view.state, view.label, view.decided_by, view.votes.len()), (ImageState::Open, None, None, 0));

    // Who has voted does not see it again. Somebody else does, and with that it is decided and the task complete.
    for who in [0, 9, 8] {
        assert_eq!(world.claim(who, task.id, 5).await.subtasks.len(), 0, "operator {who}");
    }
    world.clock.pass(Duration::from_secs(5));
    assert_eq!(world.claim(1, task.id, 5).await.subtasks.len(), 1);
    world.vote(1, vec![label(task.id, image, name_of(truth(image)))]).await;
    let events = world.news().await;
    assert_eq!((world.stored(task.id).await.state, ended(&events)), (TaskState::Complete, 1));
    let last = stored(&world, task.id, image).await;
    assert_eq!((last.state, last.votes.len(), last.reopenings), (SubtaskState::Complete, 4, 1));
    let decided = ("subtask.complete", format!("{}/{image}/{}", task.id, last.decided_rev.unwrap()));
    assert_eq!(of_image(&events, image), [decided]);
    assert_eq!(world.store.counts(&task).await.unwrap().votes, counted.votes + 2);
}

#[tokio::test]
async fn strangers_who_agree_do_not_vouch_for_one_another() {
    // Thirty images; on each two operators agree who have not been seen elsewhere.
    let strangers = |task: &Task| -> Vec<Voted> {
        let pair = |n: usize| voted(task, n as u32, &[(2 * n, true), (2 * n + 1, true)]).decided(true);
        (0..30).map(pair).collect()
    };
    let votes = (0..60_u32).map(|operator| {
        let label = LabelIndex(truth(ImageId::of(&(operator / 2).to_be_bytes())));
        (operator / 2, Ballot { operator, label })
    });
    let table = VoteTable::new(2, 30, &votes.collect::<Vec<_>>()).unwrap();
    let model = MapEm::fit(&table, |_| None, ITERATIONS_FINAL);
    let mut scores = Scores::default();
    let mut sure = |phase| model.evidence_in(phase, table.image(0), &mut scores).confidence.get();
    let (by_all, by_others) = (sure(Phase::Warm), sure(Phase::Cold));
    assert!(by_others < by_all, "{by_others} {by_all}");
    // So sure they are if they vouch for one another, and not if they do not.
    let world = World::new();
    let task = task_of(&world, f64::midpoint(by_others, by_all), strangers).await;
    world.seal(task.id, 30).await;
    world.news().await;
    assert_eq!(world.stored(task.id).await.state, TaskState::Sealed);
    let open = stored(&world, task.id, ImageId::of(&0_u32.to_be_bytes())).await;
    assert_eq!((open.state, open.reopenings, open.floor), (SubtaskState::Open, 1, 3));
}

#[tokio::test]
async fn nothing_opens_again_for_nobody() {
    let world = World::new();
    let four = |task: &Task| -> Vec<Voted> { (0..4).map(|n| voted(task, n, &KNOWN[..2]).decided(true)).collect() };
    // Two who agree four times are not sure enough for this.
    let all_voted = task_of(&world, 0.999, four).await;
    world.seal(all_voted.id, 4).await;
    world.news().await;
    assert_eq!(world.stored(all_voted.id).await.state, TaskState::Complete, "there is nobody else");
    // The same with somebody who has not voted on three of them.
    let more = |task: &Task| {
        let mut four = four(task);
        four.push(voted(task, 9, &[KNOWN[0], KNOWN[1], (5, true)]).decided(true));
        four
    };
    let task = task_of(&world, 0.999, more).await;
    world.seal(task.id, 5).await;
    world.news().await;
    assert_eq!(world.store.counts(&task).await.unwrap().undecided(), 4);
    // And if they may not work.
    let paused = task_of(&world, 0.999, more).await;
    let standing = world.store.standing(&operator_id(5)).await.unwrap();
    let mut standing = standing;
    standing.paused_at = Some(world.clock.now());
    standing.rev += 1;
    let entry = lambel_core::AuditEntry {
        at: world.clock.now(),
        actor: lambel_core::Actor::lambel(),
        deed: lambel_core::Deed::TaskCompleted,
    };
    assert!(world.store.put_standing(&standing, &entry).await.unwrap());
    world.seal(paused.id, 5).await;
    world.news().await;
    assert_eq!(world.stored(paused.id).await.state, TaskState::Complete);
}

#[tokio::test]
async fn a_lost_message_is_made_good_for_by_the_schedule() {
    let world = World::new();
    let task = task_of(&world, 0.95, forty).await;
    world.seal(task.id, 40).await;
    assert_eq!(world.messages.take_estimates(), [task.id], "asked for, and lost");
    assert_eq!(world.sweep().await.completed, [], "that is not the sweep's to do");
    let looks = world.estimator.run(in_a_minute()).await.unwrap();
    assert_eq!((looks.len(), looks[0].last, looks[0].reopened), (1, true, 0));
    assert_eq!(world.stored(task.id).await.state, TaskState::Complete);
    assert_eq!(world.estimator.run(in_a_minute()).await.unwrap(), []);
    // Repair needs neither.
    let task = task_of(&world, 0.95, forty).await;
    world.seal(task.id, 40).await;
    let report = world.surveyor.survey(task.id).await.unwrap();
    let steps = world.repairer.repair(&report).await.unwrap();
    assert_eq!(steps, [lambel_service::repair::Step::Completed]);
}

#[tokio::test]
async fn whoever_holds_the_mark_is_waited_for() {
    let world = World::new();
    let task = task_of(&world, 0.95, forty).await;
    world.seal(task.id, 40).await;
    world.messages.take_estimates();
    let mut mark = world.store.skill_mark(task.id).await.unwrap();
    mark.begun = world.clock.now();
    mark.rev += 1;
    assert!(world.store.put_skill_mark(task.id, &mark).await.unwrap());
    let wanted = serde_json::to_string(&LastBatchWanted { task: task.id }).unwrap();
    assert_eq!(world.estimator.hear(&[&wanted]).await, [(0, Comeback::Later)]);
    assert_eq!(world.estimator.hear(&["{}"]).await, [(0, Comeback::Never)]);
    world.clock.pass(Duration::from_secs(17 * 60));
    assert_eq!(world.estimator.hear(&[&wanted]).await, [], "it has died");
    assert_eq!(world.stored(task.id).await.state, TaskState::Complete);
    assert_eq!(world.estimator.hear(&[&wanted]).await, [], "a message that comes again changes nothing");
}

#[tokio::test]
async fn while_a_task_goes_on_nothing_is_reviewed_before_the_operators_are_known() {
    let wrong = |task: &Task| voted(task, 1_000, &[(2, false), (3, false)]).decided(false);
    let started = |task: &Task| voted(task, 1_001, &[(0, true)]);
    for (images, phase) in [(100, Phase::Cold), (230, Phase::Warm)] {
        let world = World::new();
        let made = |task: &Task| -> Vec<Voted> {
            let known = |n| voted(task, n, &[KNOWN[0], KNOWN[1], (2 + (n % 2) as usize, false)]).decided(true);
            (0..images).map(known).chain([wrong(task), started(task)]).collect()
        };
        let task = task_of(&world, 0.95, made).await;
        let looks = world.estimator.run(in_a_minute()).await.unwrap();
        assert_eq!((looks.len(), looks[0].phase, looks[0].last), (1, phase, false));
        let corrected = stored(&world, task.id, wrong(&task).image).await;
        let opened = stored(&world, task.id, started(&task).image).await;
        let states = (corrected.decided_by, opened.state);
        match phase {
            Phase::Cold => assert_eq!(states, (DecidedBy::Votes, SubtaskState::Open)),
            // One vote of somebody who is always right is enough, now that this is known.
            Phase::Warm => assert_eq!(states, (DecidedBy::Batch, SubtaskState::Complete)),
        }
        let counts = world.store.counts(&task).await.unwrap();
        assert_eq!(counts.undecided(), u64::from(phase == Phase::Cold));
    }
}

#[tokio::test]
async fn a_crowd_with_one_who_guesses_comes_to_its_end() {
    let world = World::new();
    let task = world.create(adaptive(0.999)).await.task;
    world.upload(task, &pictures(60)).await;
    world.seal(task, 60).await;
    let said = |who: usize, image: ImageId| match who {
        4 => name_of(u16::from(image.digest()[7] % 2)),
        _ => name_of(truth(image)),
    };
    let mut events = Vec::new();
    for _ in 0..80 {
        for who in 0..5 {
            let handed = world.operators.claim(&operator(who), &lambel_core::api::Claim { task: None, count: 6 }).await;
            let images = handed.unwrap().subtasks.into_iter().map(|subtask| subtask.image);
            let votes: Vec<_> = images.map(|image| label(task, image, said(who, image))).collect();
            if !votes.is_empty() {
                world.vote(who, votes).await;
            }
        }
        events.extend(world.news().await);
        world.clock.pass(Duration::from_secs(5));
        if world.stored(task).await.state == TaskState::Complete {
            break;
        }
    }
    assert_eq!(world.stored(task).await.state, TaskState::Complete);
    assert_eq!(ended(&events), 1);
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *told.entry(event.attributes().kind).or_default() += 1;
    }
    let reopened = told.get("subtask.reopened").copied().unwrap_or_default();
    assert!(reopened > 0, "{told:?}");
    assert!(told["subtask.complete"] >= 60 + reopened, "{told:?}");
    let wrong = world.store.all_subtasks(task).into_iter();
    let wrong = wrong.filter(|record| record.decision.unwrap().label != Some(LabelIndex(truth(record.image)))).count();
    assert_eq!(wrong, 0);
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}
