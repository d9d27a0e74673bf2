//! What clients and operators see.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lambel_core::{
    ImageId, SubtaskState, TaskId, TaskState,
    api::{
        AnnounceFiles, Claim, ClaimAnswer, CreateTask, FileAnnouncement, Grant, ImageState, ImagesQuery, LeaseRef,
        PageQuery, PolicyFields, ReturnLeases, SealTask, SubmitVotes, SubmittedVote, VoteOutcome,
    },
    subtask::Abstention,
};
use lambel_memory::faults::{Fault, Faults, FaultyStore, Rates};
use lambel_service::{
    Caller, Error, Role,
    operate::Operators,
    ports::{Clock, ObjectKey, Store},
};

use crate::world::{World, announcement, client, label, operator, pictures};

#[tokio::test]
async fn the_main_job() {
    let world = World::new();
    let task = world.task(3).await;
    let mut files = pictures(30);
    files.push(("twin.png".to_owned(), files[0].1.clone()));
    files.push(("broken.png".to_owned(), b"this is no picture".to_vec()));
    let grants = world.upload(task, &files).await;
    assert!(grants.iter().all(|grant| matches!(grant, Grant::Upload { .. })));
    let sealed = world.seal(task, 31).await;
    assert_eq!(sealed.state, TaskState::Sealed);
    let progress = sealed.progress.unwrap();
    assert_eq!((progress.accepted, progress.rejected, progress.open), (30, 1, 30));

    let mut labelled: BTreeMap<ImageId, usize> = BTreeMap::new();
    let mut events = world.news().await;
    for round in 0..30 {
        if world.show(task).await.state == TaskState::Complete {
            break;
        }
        for who in 0..5 {
            let answer = world.claim(who, task, 7).await;
            let votes: Vec<_> = answer.subtasks.iter().map(|s| label(task, s.image, "cat")).collect();
            if votes.is_empty() {
                continue;
            }
            for vote in &votes {
                *labelled.entry(vote.image).or_default() += 1;
            }
            let outcomes = world.vote(who, votes).await;
            assert!(outcomes.iter().all(|outcome| *outcome == VoteOutcome::Counted), "{round} {outcomes:?}");
        }
        events.extend(world.news().await);
        // Shards that were seen empty are not looked into for a moment.
        world.clock.pass(Duration::from_secs(5));
    }
    assert_eq!(labelled.len(), 30);
    assert!(labelled.values().all(|votes| *votes == 3), "never over the quorum: {labelled:?}");

    let done = world.show(task).await;
    assert_eq!(done.state, TaskState::Complete);
    assert_eq!(done.progress.unwrap().votes, 90);
    let kinds = |kind: &str| events.iter().filter(|event| event.attributes().kind == kind).count();
    assert_eq!(
        (kinds("subtask.complete"), kinds("subtask.rejected"), kinds("task.complete")),
        (30, 1, 1),
        "everything is announced, the task once"
    );

    let results = world.tasks.results(&client("alice"), task, &PageQuery::default()).await.unwrap();
    assert_eq!(results.rows.len(), 32, "a row for each name");
    let twins: Vec<_> = results.rows.iter().filter(|row| row.image == ImageId::of(&files[0].1)).collect();
    assert_eq!(twins.len(), 2);
    let refused: Vec<_> = results.rows.iter().filter(|row| row.status.state == ImageState::Rejected).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].name, "broken.png");
    assert!(refused[0].status.refusal.is_some());
    for row in results.rows.iter().filter(|row| row.status.state == ImageState::Complete) {
        assert_eq!(row.status.label.as_ref().unwrap().as_str(), "cat");
        assert_eq!(row.status.votes.len(), 3);
    }
}

#[tokio::test]
async fn an_upload_delivered_three_times_counts_once() {
    let world = World::new();
    let task = world.task(1).await;
    let files = pictures(2);
    world.upload(task, &files).await;
    let keys: Vec<_> = files.iter().map(|(_, bytes)| ObjectKey { task, image: ImageId::of(bytes) }).collect();
    let thrice = [keys.clone(), keys.clone(), keys].concat();
    assert!(world.validator.validate(&thrice).await.is_empty());
    world.open().await;
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.accepted, progress.rejected), (2, 0));
    assert_eq!(world.claim(1, task, 10).await.subtasks.len(), 2);
}

#[tokio::test]
async fn a_crash_between_record_and_message_heals_on_redelivery() {
    let world = World::new();
    let task = world.task(1).await;
    let files = pictures(1);
    let key = ObjectKey { task, image: ImageId::of(&files[0].1) };
    world.objects.upload(key, files[0].1.clone());
    world.messages.fail_next(1);
    assert_eq!(world.validator.validate(&[key]).await, [key], "the message was not sent: it comes back");
    assert_eq!(world.store.all_subtasks(task)[0].state, SubtaskState::Preparing);
    assert!(world.validator.validate(&[key]).await.is_empty());
    world.open().await;
    assert_eq!(world.store.all_subtasks(task)[0].state, SubtaskState::Open);
    assert_eq!(world.show(task).await.progress.unwrap().accepted, 1, "counted once");
}

#[tokio::test]
async fn two_operators_share_the_quorum() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(20)).await;
    let first = world.claim(1, task, 15).await;
    let second = world.claim(2, task, 15).await;
    assert_eq!((first.subtasks.len(), second.subtasks.len()), (15, 5));
    let mut images: Vec<_> = first.subtasks.iter().chain(&second.subtasks).map(|s| s.image).collect();
    images.sort_unstable();
    images.dedup();
    assert_eq!(images.len(), 20);
    let third = world.claim(3, task, 15).await;
    assert!(third.subtasks.is_empty());
    assert!(third.retry_after.is_some());
}

#[tokio::test]
async fn a_reloaded_page_loses_nothing_and_a_voted_image_does_not_come_back() {
    let world = World::new();
    let task = world.task(3).await;
    world.upload(task, &pictures(10)).await;
    let images = |answer: &ClaimAnswer| answer.subtasks.iter().map(|s| s.image).collect::<Vec<_>>();
    let first = images(&world.claim(1, task, 4).await);
    assert_eq!(images(&world.claim(1, task, 4).await), first, "the same again");
    world.vote(1, vec![label(task, first[0], "cat")]).await;
    let mut second = images(&world.claim(1, task, 10).await);
    assert!(!second.contains(&first[0]));
    assert!(first[1..].iter().all(|image| second.contains(image)));
    second.dedup();
    assert_eq!(second.len(), 9);
}

#[tokio::test]
async fn an_expired_lease_goes_to_somebody_else() {
    let world = World::new();
    let task = world.create(PolicyFields { quorum: Some(1), lease_seconds: Some(60), ..Default::default() }).await.task;
    world.upload(task, &pictures(1)).await;
    let image = world.claim(1, task, 1).await.subtasks[0].image;
    assert!(world.claim(2, task, 1).await.subtasks.is_empty());
    world.clock.pass(Duration::from_secs(61));
    assert_eq!(world.claim(2, task, 1).await.subtasks[0].image, image);
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Refused], "the slot is taken");
    assert_eq!(world.vote(2, vec![label(task, image, "dog")]).await, [VoteOutcome::Counted]);
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Late], "kept as evidence");
    let view = world.tasks.image(&client("alice"), task, image).await.unwrap();
    assert_eq!(view.status.label.unwrap().as_str(), "dog");
    assert_eq!(view.status.votes.iter().filter(|vote| vote.late).count(), 1);
}

#[tokio::test]
async fn an_expired_lease_is_honoured_while_nobody_has_taken_it() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(1)).await;
    let image = world.claim(1, task, 1).await.subtasks[0].image;
    world.clock.pass(Duration::from_secs(3_000));
    assert_eq!(world.vote(1, vec![label(task, image, "cat")]).await, [VoteOutcome::Counted]);
}

#[tokio::test]
async fn leases_given_back_are_free_at_once() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(3)).await;
    let held = world.claim(1, task, 3).await.subtasks;
    let subtasks = held[..2].iter().map(|s| LeaseRef { task, image: s.image }).collect();
    let returned = world.operators.give_back(&operator(1), &ReturnLeases { subtasks }).await.unwrap();
    assert_eq!(returned.returned, 2);
    assert_eq!(world.claim(2, task, 3).await.subtasks.len(), 2);
    assert_eq!(world.claim(1, task, 3).await.subtasks.len(), 1, "the one that was kept");
}

#[tokio::test]
async fn each_vote_is_judged_alone() {
    let world = World::new();
    let task = world.task(2).await;
    world.upload(task, &pictures(3)).await;
    let held: Vec<_> = world.claim(1, task, 2).await.subtasks.iter().map(|s| s.image).collect();
    let mut votes = vec![
        label(task, held[0], "cat"),
        label(task, held[0], "dog"),
        label(task, held[1], "cow"),
        label(task, ImageId::MIN, "cat"),
        label(TaskId::random(), held[1], "cat"),
    ];
    votes.push(SubmittedVote { label: None, abstain: Some(Abstention::Unclear), ..label(task, held[1], "") });
    let answer = world.operators.vote(&operator(1), &SubmitVotes { votes }).await.unwrap();
    let codes: Vec<_> = answer.votes.iter().map(|receipt| receipt.code.as_deref()).collect();
    assert_eq!(
        codes,
        [
            None,
            Some("duplicate"),
            Some("unknown-label"),
            Some("image-not-found"),
            Some("task-not-found"),
            Some("duplicate")
        ]
    );
    let again = vec![
        label(task, held[0], "cat"),
        SubmittedVote { label: None, abstain: Some(Abstention::Unclear), ..label(task, held[1], "") },
    ];
    assert_eq!(world.vote(1, again).await, [VoteOutcome::Unchanged, VoteOutcome::Counted]);
    assert_eq!(world.vote(1, vec![label(task, held[0], "dog")]).await, [VoteOutcome::Replaced]);
    let record = world.store.all_subtasks(task).into_iter().find(|subtask| subtask.image == held[0]).unwrap();
    assert_eq!(record.votes.len(), 1, "undo replaces");
}

#[tokio::test]
async fn a_tie_takes_a_further_vote_up_to_the_limit() {
    for (max_labels, says, state) in [
        (4, &["cat", "dog", "cat"][..], ImageState::Complete),
        (4, &["cat", "dog", "abstain", "dog"], ImageState::Complete),
        (2, &["cat", "dog"], ImageState::Disputed),
        (4, &["abstain", "cat", "abstain", "abstain"], ImageState::Disputed),
    ] {
        let world = World::new();
        let policy = PolicyFields { quorum: Some(2), max_labels: Some(max_labels), ..Default::default() };
        let task = world.create(policy).await.task;
        world.upload(task, &pictures(1)).await;
        world.seal(task, 1).await;
        let mut image = ImageId::MIN;
        for (who, says) in says.iter().enumerate() {
            image = world.claim(who, task, 1).await.subtasks[0].image;
            let vote = match *says {
                "abstain" => {
                    SubmittedVote { label: None, abstain: Some(Abstention::Unclear), ..label(task, image, "") }
                }
                says => label(task, image, says),
            };
            assert_eq!(world.vote(who, vec![vote]).await, [VoteOutcome::Counted]);
        }
        world.news().await;
        assert_eq!(world.show(task).await.state, TaskState::Complete, "{says:?}");
        let view = world.tasks.image(&client("alice"), task, image).await.unwrap();
        assert_eq!((view.status.state, view.status.votes.len()), (state, says.len()), "{says:?}");
    }
}

#[tokio::test]
async fn a_decision_that_was_not_closed_is_closed_by_the_next_claim() {
    close_what_was_left(false).await;
}

#[tokio::test]
async fn a_decision_that_was_not_closed_is_closed_by_the_sweep() {
    close_what_was_left(true).await;
}

async fn close_what_was_left(by_sweep: bool) {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(1)).await;
    world.seal(task, 1).await;
    let image = world.claim(1, task, 1).await.subtasks[0].image;
    // The function that took the vote is stopped before it closes: the port alone is called.
    let stored = lambel_service::ports::Store::task(&*world.store, task).await.unwrap().unwrap();
    let vote = lambel_core::Vote {
        answer: lambel_core::subtask::Answer::Label(lambel_core::LabelIndex(0)),
        at: lambel_service::ports::Clock::now(&*world.clock),
        elapsed_ms: None,
        earned: None,
    };
    lambel_service::ports::Store::cast(&*world.store, &stored, image, &"op-1".parse().unwrap(), vote, false)
        .await
        .unwrap();
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Sealed);
    if by_sweep {
        assert_eq!(world.sweep().await.completed, [task]);
    } else {
        assert!(world.claim(2, task, 1).await.subtasks.is_empty());
        world.news().await;
    }
    assert_eq!(world.show(task).await.state, TaskState::Complete);
}

#[tokio::test]
async fn sealing_looks_for_completion_itself() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(2)).await;
    let votes = world.claim(1, task, 2).await.subtasks.iter().map(|s| label(task, s.image, "cat")).collect();
    world.vote(1, votes).await;
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Open);
    assert_eq!(world.seal(task, 2).await.state, TaskState::Complete);
    let events = world.news().await;
    assert_eq!(events.iter().filter(|event| event.attributes().kind == "task.complete").count(), 1);
}

#[tokio::test]
async fn the_sweep_finds_what_everybody_missed() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(1)).await;
    world.seal(task, 1).await;
    let image = world.claim(1, task, 1).await.subtasks[0].image;
    world.vote(1, vec![label(task, image, "cat")]).await;
    world.store.take_stream();
    assert_eq!(world.sweep().await.completed, [task]);
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    assert_eq!(world.sweep().await.completed, [], "only once");
}

#[tokio::test]
async fn what_is_not_theirs_is_not_there() {
    let world = World::new();
    let task = world.task(1).await;
    let mallory = client("mallory");
    assert!(matches!(world.tasks.show(&mallory, task).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.cancel(&mallory, task).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.results(&mallory, task, &PageQuery::default()).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.tasks.seal(&mallory, task, &SealTask { images: 1 }).await, Err(Error::TaskNotFound)));
    assert!(world.tasks.list(&mallory, &PageQuery::default()).await.unwrap().tasks.is_empty());
    assert!(matches!(world.tasks.show(&operator(1), task).await, Err(Error::RoleMissing { group: "clients" })));
    let claim = Claim { task: Some(task), count: 1 };
    assert!(matches!(
        world.operators.claim(&client("alice"), &claim).await,
        Err(Error::RoleMissing { group: "operators" })
    ));
    let admin = Caller::new("root", [Role::Admin]);
    assert_eq!(world.tasks.show(&admin, task).await.unwrap().task, task);
}

#[tokio::test]
async fn a_name_with_other_bytes_is_a_conflict_told_at_once() {
    let world = World::new();
    let task = world.task(1).await;
    let files = pictures(2);
    world.upload(task, &files[..1]).await;
    let request = AnnounceFiles {
        files: vec![
            announcement(&files[0].0, &files[1].1),
            announcement(&files[0].0, &files[0].1),
            announcement("../evil.png", &files[1].1),
            FileAnnouncement { bytes: 40_000_001, ..announcement("big.png", &files[1].1) },
            FileAnnouncement { media_type: "image/svg+xml".into(), ..announcement("a.svg", &files[1].1) },
            announcement("good.png", &files[1].1),
        ],
    };
    let grants = world.tasks.announce(&client("alice"), task, &request).await.unwrap().files;
    let code = |place: usize| match &grants[place].grant {
        Grant::Refused { code, .. } => code.as_str(),
        Grant::Upload { .. } => "upload",
        Grant::AlreadyPresent { .. } => "present",
    };
    // Within one request the first of two that disagree has the say, so the file itself is in conflict too.
    assert_eq!(
        (0..6).map(code).collect::<Vec<_>>(),
        ["name-taken", "name-taken", "bad-name", "too-large", "unsupported-type", "upload"]
    );
    let alone = AnnounceFiles { files: vec![announcement(&files[0].0, &files[0].1)] };
    let grants = world.tasks.announce(&client("alice"), task, &alone).await.unwrap().files;
    assert!(matches!(grants[0].grant, Grant::AlreadyPresent { state: SubtaskState::Open }));
}

#[tokio::test]
async fn a_sealed_task_takes_no_new_files_but_those_it_knows() {
    let world = World::new();
    let task = world.task(1).await;
    let files = pictures(2);
    let known = AnnounceFiles { files: vec![announcement(&files[0].0, &files[0].1)] };
    world.tasks.announce(&client("alice"), task, &known).await.unwrap();
    world.seal(task, 1).await;
    let both = AnnounceFiles { files: files.iter().map(|(name, bytes)| announcement(name, bytes)).collect() };
    let grants = world.tasks.announce(&client("alice"), task, &both).await.unwrap().files;
    assert!(matches!(&grants[0].grant, Grant::Upload { .. }));
    assert!(matches!(&grants[1].grant, Grant::Refused { code, .. } if code == "task-sealed"));
}

#[tokio::test]
async fn images_are_listed_by_state_with_what_never_arrived() {
    let world = World::new();
    let task = world.task(1).await;
    let mut files = pictures(12);
    files.push(("broken.png".to_owned(), vec![0; 9]));
    world.upload(task, &files).await;
    let missing = AnnounceFiles { files: vec![announcement("missing.png", b"never sent")] };
    world.tasks.announce(&client("alice"), task, &missing).await.unwrap();
    let list = async |state| {
        let mut query = ImagesQuery { state, cursor: None, limit: Some(5) };
        let mut names = Vec::new();
        loop {
            let page = world.tasks.images(&client("alice"), task, &query).await.unwrap();
            names.extend(page.images.into_iter().flat_map(|image| image.names));
            query.cursor = page.next;
            if query.cursor.is_none() {
                names.sort();
                return names;
            }
        }
    };
    assert_eq!(list(Some(ImageState::Announced)).await, ["missing.png"]);
    assert_eq!(list(Some(ImageState::Rejected)).await, ["broken.png"]);
    assert_eq!(list(Some(ImageState::Open)).await.len(), 12);
    assert_eq!(list(None).await.len(), 13);

    let mut query = PageQuery { cursor: None, limit: Some(3) };
    let mut rows = Vec::new();
    loop {
        let page = world.tasks.results(&client("alice"), task, &query).await.unwrap();
        assert!(page.rows.len() <= 3);
        rows.extend(page.rows.into_iter().map(|row| row.name));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    rows.sort();
    assert_eq!(rows.len(), 14);
    rows.dedup();
    assert_eq!(rows.len(), 14, "each name once");
}

#[tokio::test]
async fn a_claim_without_a_task_goes_through_all_the_oldest_first() {
    let world = World::new();
    let tasks = [world.task(1).await, world.task(1).await];
    for task in tasks {
        world.upload(task, &pictures(3)).await;
    }
    let claim = Claim { task: None, count: 4 };
    let answer = world.operators.claim(&operator(1), &claim).await.unwrap();
    let of = |task| answer.subtasks.iter().filter(|s| s.task == task).count();
    assert_eq!((of(tasks[0]), of(tasks[1])), (3, 1));
    assert_eq!(answer.tasks.len(), 2);
    world.tasks.cancel(&client("alice"), tasks[0]).await.unwrap();
    let work = world.operators.work(&operator(2)).await.unwrap();
    assert_eq!(work.tasks.iter().map(|t| t.task).collect::<Vec<_>>(), [tasks[1]]);
    let gone = Claim { task: Some(tasks[0]), count: 1 };
    assert!(matches!(world.operators.claim(&operator(1), &gone).await, Err(Error::TaskEnded(TaskState::Cancelled))));
    let late = vec![label(tasks[0], answer.subtasks[0].image, "cat")];
    assert_eq!(world.vote(1, late).await, [VoteOutcome::Refused]);
}

#[tokio::test]
async fn a_large_picture_is_shown_as_its_preview() {
    let world = World::new();
    let task = world.task(1).await;
    let folder = std::env::temp_dir().join(format!("lambel-preview-{task}"));
    let set = lambel_samples::write_sample_set(&folder, 3).unwrap();
    let rotated = std::fs::read(set.folder.join("images/picture-22.jpg")).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    world.upload(task, &[("rotated.jpg".to_owned(), rotated.clone())]).await;
    let leased = world.claim(1, task, 1).await.subtasks.remove(0);
    assert!(leased.url.starts_with("memory://previews/"), "{}", leased.url);
    let (bytes, media_type) = world.objects.preview(ObjectKey { task, image: leased.image }).unwrap();
    assert_eq!(media_type, leased.media_type);
    let shown = lambel_image::inspect(&bytes, &lambel_image::Limits::default()).unwrap();
    assert_eq!((shown.orientation, shown.has_metadata), (1, false));
    assert_eq!(leased.width > leased.height, shown.width > shown.height, "upright");
}

#[tokio::test]
async fn the_walk_finds_the_last_image_of_a_task_with_many_shards() {
    let world = World::new();
    let request = CreateTask {
        name: "wide".to_owned(),
        labels: vec!["cat".to_owned(), "dog".to_owned()],
        instructions: None,
        policy: Some(PolicyFields { quorum: Some(1), ..PolicyFields::default() }),
        audience: None,
        expected_images: Some(50_000_000),
    };
    let task = world.tasks.create(&client("alice"), &request).await.unwrap().task;
    world.upload(task, &pictures(3)).await;
    let mut found = Vec::new();
    for claims in 0..40 {
        for subtask in world.claim(1, task, 1).await.subtasks {
            assert_eq!(world.vote(1, vec![label(task, subtask.image, "cat")]).await, [VoteOutcome::Counted]);
            found.push(subtask.image);
        }
        if found.len() == 3 {
            return;
        }
        assert!(claims < 39, "256 shards, 20 a claim: a round takes 13 claims");
    }
}

#[tokio::test]
async fn a_hundred_votes_make_room_for_a_hundred_leases() {
    let world = World::new();
    let task = world.task(1).await;
    world.upload(task, &pictures(250)).await;
    let mut labelled = 0;
    for _ in 0..3 {
        let images: Vec<_> = world.claim(1, task, 100).await.subtasks.iter().map(|s| s.image).collect();
        world.vote(1, images.iter().map(|image| label(task, *image, "cat")).collect()).await;
        labelled += images.len();
    }
    assert_eq!(labelled, 250);
}

#[tokio::test]
async fn tasks_without_work_do_not_hide_those_behind_them() {
    let world = World::new();
    for _ in 0..60 {
        world.task(1).await;
    }
    let task = world.task(1).await;
    world.upload(task, &pictures(1)).await;
    let claim = Claim { task: None, count: 1 };
    let first = world.operators.claim(&operator(1), &claim).await.unwrap();
    assert!(first.subtasks.is_empty() && first.retry_after == Some(1));
    let second = world.operators.claim(&operator(1), &claim).await.unwrap();
    assert_eq!(second.subtasks[0].task, task);
    assert_eq!(world.operators.work(&operator(1)).await.unwrap().tasks[0].task, task);
}

#[tokio::test]
async fn an_old_record_does_not_hand_out_again_what_was_voted_on() {
    let world = World::new();
    let task = world.task(2).await;
    let files = pictures(1);
    world.upload(task, &files).await;
    let image = ImageId::of(&files[0].1);

    // A claim that was stopped in the middle has left a lease behind, and reads without `consistent` go on showing the
    // record as it was then.
    let (id, now) = ("op-1".parse().unwrap(), world.clock.now());
    let stored = world.store.task(task).await.unwrap().unwrap();
    let seen = world.store.subtasks(&stored, &[image], true).await.unwrap().remove(0);
    assert!(world.store.lease(&stored, &seen, &id, now.plus(Duration::from_secs(900)), now).await.unwrap());
    let faults = Faults::new(1, Rates::none().with(Fault::StaleRecord, 1_000));
    let lagging = Arc::new(FaultyStore::new(world.store.clone(), faults));
    let operators = Operators::new(lagging, world.objects.clone(), world.clock.clone());

    let claim = async || operators.claim(&operator(1), &Claim { task: Some(task), count: 1 }).await.unwrap().subtasks;
    assert_eq!(claim().await.len(), 1, "what was left behind is theirs");
    let votes = SubmitVotes { votes: vec![label(task, image, "cat")] };
    assert_eq!(operators.vote(&operator(1), &votes).await.unwrap().votes[0].outcome, VoteOutcome::Counted);
    for _ in 0..3 {
        assert!(claim().await.is_empty(), "they have voted on it");
    }
}
