//! What is lost, broken or stuck: that a survey finds it, that a repair and the sweep mend what they may, and that
//! neither touches what is well.

use std::time::Duration;

use lambel_core::{
    Counts, CountsChange, ImageId, LabelIndex, SubtaskState, TaskId, TaskState, Vote,
    api::ImageState,
    subtask::{Answer, Picture, Preview, Subtask},
};
use lambel_service::{
    ports::{Clock, ObjectKey, Store},
    repair::Step,
    survey::{Finding, SETTLING},
    sweep::STILL,
};

use crate::world::{World, client, in_a_minute, label, pictures};

const LONG: Duration = Duration::from_secs(SETTLING.as_secs() + 60);

/// A task with two images of which one is decided, and the other is open.
async fn half_done(world: &World) -> (TaskId, [ImageId; 2]) {
    let task = world.task(1).await;
    let files = pictures(2);
    world.upload(task, &files).await;
    let images = [ImageId::of(&files[0].1), ImageId::of(&files[1].1)];
    world.seal(task, 2).await;
    world.claim(1, task, 2).await;
    world.vote(1, vec![label(task, images[0], "cat")]).await;
    (task, images)
}

/// Uploads files, and nobody is told.
async fn upload_unheard(world: &World, task: TaskId, n: u32) -> Vec<ImageId> {
    let files = pictures(n);
    let announcements = files.iter().map(|(name, bytes)| crate::world::announcement(name, bytes)).collect();
    let announcements = lambel_core::api::AnnounceFiles { files: announcements };
    world.tasks.announce(&client("alice"), task, &announcements).await.unwrap();
    for (_, bytes) in &files {
        let key = ObjectKey { task, image: ImageId::of(bytes) };
        world.objects.upload_at(key, bytes.clone(), world.clock.now());
    }
    let mut images: Vec<_> = files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect();
    images.sort_unstable();
    images
}

/// Delivers what was sent to the validator and the opener.
async fn deliver(world: &World) {
    assert!(world.validator.validate(&world.messages.take_uploads()).await.is_empty());
    world.open().await;
}

#[tokio::test]
async fn a_healthy_task_has_no_findings_whatever_its_age() {
    let world = World::new();
    let (task, _) = half_done(&world).await;
    for pause in [Duration::ZERO, LONG] {
        world.clock.pass(pause);
        let report = world.surveyor.survey(task).await.unwrap();
        assert_eq!(report.findings, []);
        assert_eq!((report.uploads, report.votes, report.in_motion), (2, 1, false));
        assert_eq!(report.recounted, Counts { accepted: 2, complete: 1, votes: 1, ..Counts::default() });
        assert_eq!(report.recounted, report.counted);
        assert_eq!(world.repairer.repair(&report).await.unwrap(), []);
    }
}

#[tokio::test]
async fn an_upload_that_nobody_heard_of_is_found_and_sent_again() {
    let world = World::new();
    let task = world.task(1).await;
    let images = upload_unheard(&world, task, 3).await;
    let report = world.surveyor.survey(task).await.unwrap();
    assert_eq!((report.settling, report.found), (3, 0), "it may be on its way");
    world.clock.pass(LONG);
    let report = world.surveyor.survey(task).await.unwrap();
    let found: Vec<_> = report
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::NotRecorded { image, .. } => *image,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, images);
    assert_eq!(world.repairer.repair(&report).await.unwrap(), [Step::SentToValidator { images: 3 }]);
    deliver(&world).await;
    let report = world.surveyor.survey(task).await.unwrap();
    assert_eq!((report.found, report.counted.accepted), (0, 3));
    // The same repair again: everything it sends is known by now.
    world.objects.delete(ObjectKey { task, image: ImageId::of(b"never") });
    assert_eq!(world.repairer.repair(&report).await.unwrap(), []);
}

#[tokio::test]
async fn what_is_preparing_for_too_long_is_sent_to_the_opener() {
    let world = World::new();
    let task = world.task(1).await;
    let images = upload_unheard(&world, task, 2).await;
    let keys: Vec<_> = images.iter().map(|image| ObjectKey { task, image: *image }).collect();
    assert!(world.validator.validate(&keys).await.is_empty());
    assert_eq!(world.messages.take_new_subtasks().len(), 1, "this message is lost");
    assert_eq!(world.surveyor.survey(task).await.unwrap().found, 0);
    world.clock.pass(LONG);
    let report = world.surveyor.survey(task).await.unwrap();
    assert!(report.findings.iter().all(|finding| matches!(finding, Finding::NotOpened { .. })), "{report:?}");
    assert_eq!(world.repairer.repair(&report).await.unwrap(), [Step::SentToOpener { images: 2 }]);
    deliver(&world).await;
    assert_eq!(world.claim(1, task, 5).await.subtasks.len(), 2);
}

#[tokio::test]
async fn counters_that_are_off_are_corrected_by_what_a_recount_proves() {
    let world = World::new();
    let (task, _) = half_done(&world).await;
    let wrong = CountsChange { accepted: 2, complete: -1, votes: 7, ..CountsChange::default() };
    world.store.correct(&world.stored(task).await, &wrong).await.unwrap();
    let report = world.surveyor.survey(task).await.unwrap();
    assert!(matches!(report.findings[..], [Finding::CountersDiffer { .. }]), "{report:?}");
    let change = CountsChange { accepted: -2, complete: 1, votes: -7, ..CountsChange::default() };
    assert_eq!(world.repairer.repair(&report).await.unwrap(), [Step::Corrected { change }]);
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}

#[tokio::test]
async fn a_correction_can_be_what_a_task_waited_for() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    let stored = world.stored(task).await;
    world.store.correct(&stored, &CountsChange { accepted: 1, ..CountsChange::default() }).await.unwrap();
    world.vote(1, vec![label(task, images[1], "dog")]).await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Sealed);
    let report = world.surveyor.survey(task).await.unwrap();
    assert!(report.findings.contains(&Finding::NotCompleted), "{report:?}");
    let steps = world.repairer.repair(&report).await.unwrap();
    let change = CountsChange { accepted: -1, ..CountsChange::default() };
    assert_eq!(steps, [Step::Corrected { change }, Step::Completed]);
    assert_eq!(world.show(task).await.state, TaskState::Complete);
}

#[tokio::test]
async fn a_decision_that_nobody_closed_is_closed() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    let vote = Vote { answer: Answer::Label(LabelIndex(1)), at: world.clock.now(), elapsed_ms: None, earned: None };
    let stored = world.stored(task).await;
    world.store.cast(&stored, images[1], &"op-1".parse().unwrap(), vote, true).await.unwrap();
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, [], "whoever voted is about to close it");
    world.clock.pass(Duration::from_secs(90));
    let report = world.surveyor.survey(task).await.unwrap();
    assert_eq!(report.findings, [Finding::NotClosed { image: images[1] }]);
    let steps = world.repairer.repair(&report).await.unwrap();
    assert_eq!(steps, [Step::Closed { images: 1 }, Step::Completed]);
}

#[tokio::test]
async fn what_only_a_person_can_judge_is_told_and_left() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    world.objects.delete(ObjectKey { task, image: images[0] });
    world.objects.upload(ObjectKey { task, image: images[1] }, &b"shorter"[..]);
    let stray = ImageId::of(b"stray");
    let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
    let record = Subtask::preparing(task, stray, 1, picture, Preview::NotNeeded, world.clock.now());
    world.store.record(&world.stored(task).await, &[record]).await.unwrap();
    let report = world.surveyor.survey(task).await.unwrap();
    assert!(report.findings.contains(&Finding::FileGone { image: images[0] }));
    assert!(report.findings.contains(&Finding::FileGone { image: stray }));
    assert!(report.findings.contains(&Finding::NameMissing { image: stray }));
    assert!(report.findings.iter().any(|f| matches!(f, Finding::FileDiffers { image, .. } if *image == images[1])));
    assert_eq!((report.found, report.findings.iter().filter_map(Finding::remedy).count()), (4, 0));
    assert_eq!(world.repairer.repair(&report).await.unwrap(), []);
}

#[tokio::test]
async fn an_image_that_can_never_be_shown_is_refused_and_its_task_goes_on() {
    let world = World::new();
    let task = world.task(1).await;
    let files = pictures(1);
    let image = ImageId::of(&files[0].1);
    let announcements = files.iter().map(|(name, bytes)| crate::world::announcement(name, bytes)).collect();
    let announcements = lambel_core::api::AnnounceFiles { files: announcements };
    world.tasks.announce(&client("alice"), task, &announcements).await.unwrap();
    let record = {
        let picture = Picture { media_type: "image/png".into(), width: 9_000, height: 9_000 };
        Subtask::preparing(task, image, files[0].1.len() as u64, picture, Preview::Wanted, world.clock.now())
    };
    world.store.record(&world.stored(task).await, &[record]).await.unwrap();
    world.seal(task, 1).await;
    // Its file is gone before the preview was made.
    let body = format!(r#"{{"task":"{task}","images":["{image}"]}}"#);
    world.opener.open(&body, in_a_minute()).await.unwrap();
    let shown = world.tasks.image(&client("alice"), task, image).await.unwrap();
    assert_eq!(shown.status.state, ImageState::Rejected);
    assert_eq!(shown.status.refusal.unwrap().code, "upload-gone");
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let report = world.surveyor.survey(task).await.unwrap();
    assert_eq!((report.findings, report.counted.rejected), (vec![], 1));
    world.opener.open(&body, in_a_minute()).await.unwrap();
    assert_eq!(world.surveyor.survey(task).await.unwrap().counted.rejected, 1, "once");
}

#[tokio::test]
async fn news_can_be_told_again_and_is_the_same_news() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    world.vote(1, vec![label(task, images[1], "dog")]).await;
    let ids = |events: Vec<lambel_core::event::Event>| {
        let mut ids: Vec<_> = events.iter().map(|event| event.id().to_owned()).collect();
        ids.sort_unstable();
        ids
    };
    let told = ids(world.news().await);
    assert_eq!(told.len(), 3);
    assert_eq!(world.repairer.announce(task).await.unwrap(), 3);
    assert_eq!(ids(world.messages.take_events()), told);
}

#[tokio::test]
async fn the_sweep_walks_through_a_task_that_stands_still() {
    let world = World::new();
    let task = world.task(1).await;
    upload_unheard(&world, task, 3).await;
    world.seal(task, 3).await;
    assert_eq!(world.sweep().await.moved, 0, "the first look");
    world.clock.pass(STILL - Duration::from_secs(1));
    assert_eq!(world.sweep().await.moved, 0, "not still for long enough");
    world.clock.pass(Duration::from_secs(1));
    let swept = world.sweep().await;
    assert_eq!((swept.moved, swept.stuck.len()), (3, 0));
    assert_eq!(world.sweep().await.moved, 0, "once is enough for now");
    deliver(&world).await;
    assert_eq!(world.claim(1, task, 5).await.subtasks.len(), 3);
}

#[tokio::test]
async fn what_a_walk_cannot_mend_is_raised_by_the_next() {
    let world = World::new();
    let task = world.task(1).await;
    upload_unheard(&world, task, 2).await;
    world.sweep().await;
    world.clock.pass(STILL);
    assert_eq!(world.sweep().await.moved, 2);
    world.messages.take_uploads(); // and they are lost again
    world.clock.pass(STILL);
    let swept = world.sweep().await;
    assert_eq!((swept.moved, swept.stuck), (2, vec![task]));
    world.clock.pass(STILL);
    assert_eq!(world.sweep().await.moved, 0, "the waits double");
    deliver(&world).await;
    world.sweep().await;
    world.clock.pass(STILL);
    let swept = world.sweep().await;
    assert_eq!((swept.moved, swept.stuck), (0, vec![]), "all is well");
}

#[tokio::test]
async fn a_walk_without_time_goes_on_where_it_stopped() {
    let world = World::new();
    let task = world.task(1).await;
    upload_unheard(&world, task, 3).await;
    world.sweep().await;
    world.clock.pass(STILL);
    let swept = world.sweeper.sweep(std::time::Instant::now()).await.unwrap();
    assert_eq!(swept.moved, 0, "no time at all");
    assert_eq!(world.sweep().await.moved, 3, "the next sweep");
}

#[tokio::test]
async fn a_task_that_moves_is_not_walked_through() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    world.sweep().await;
    world.clock.pass(STILL);
    world.claim(1, task, 1).await;
    world.vote(1, vec![label(task, images[1], "dog")]).await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let stored = world.store.subtasks(&world.stored(task).await, &images, true).await.unwrap();
    assert!(stored.iter().all(|subtask| subtask.state == SubtaskState::Complete));
    assert_eq!(world.sweep().await, lambel_service::sweep::Swept::default());
}

#[tokio::test]
async fn an_image_beyond_the_seal_that_comes_at_the_end_is_left_alone() {
    let world = World::new();
    let (task, images) = half_done(&world).await;
    world.vote(1, vec![label(task, images[1], "dog")]).await;
    // The validator has read the task before it was complete, and records after that.
    let stored = world.stored(task).await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let files = pictures(3);
    let late = ImageId::of(&files[2].1);
    let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
    let record =
        Subtask::preparing(task, late, files[2].1.len() as u64, picture, Preview::NotNeeded, world.clock.now());
    world.store.record(&stored, &[record]).await.unwrap();
    world.objects.upload(ObjectKey { task, image: late }, files[2].1.clone());
    let report = world.surveyor.survey(task).await.unwrap();
    assert_eq!(report.left_alone, 1);
    assert_eq!(report.findings, [Finding::NameMissing { image: late }], "this test announced no name");
}
