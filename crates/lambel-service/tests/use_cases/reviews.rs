//! What becomes of disputed images: marked, taken for their best label, or reviewed.

use lambel_core::{
    Deed, ImageId, LabelIndex, OnDispute, TaskId, TaskState,
    api::{
        AddGold, GoldFields, GoldOutcome, ImageState, ImagesQuery, PageQuery, PolicyFields, ReviewFields, ReviewImages,
        ReviewOutcome, ReviewReceipt, RuleName, SubmittedVote, VoteOutcome,
    },
    consensus::{Confidence, Decision, Dispute},
    event::Event,
    limits,
    subtask::{Abstention, DecidedBy},
};
use lambel_service::{
    Caller, Error, Role,
    ports::{Closing, Store},
    survey::Finding,
};

use crate::world::{World, client, label, operator, pictures};

/// Two votes that have to agree, and no third.
fn two(disputed: Option<OnDispute>) -> PolicyFields {
    PolicyFields { quorum: Some(2), max_labels: Some(2), max_abstentions: Some(2), disputed, ..PolicyFields::default() }
}

/// A task with images of which nothing is said yet.
async fn task(world: &World, policy: PolicyFields, images: u32) -> (TaskId, Vec<ImageId>) {
    let task = world.create(policy).await.task;
    let files = pictures(images);
    world.upload(task, &files).await;
    (task, files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect())
}

fn abstains(task: TaskId, image: ImageId) -> SubmittedVote {
    SubmittedVote { label: None, abstain: Some(Abstention::Unclear), ..label(task, image, "") }
}

/// Two operators each say something of every image: who is first `cat`, and the other what `second` says.
async fn vote(world: &World, task: TaskId, second: impl Fn(ImageId) -> SubmittedVote) {
    for who in [1, 2] {
        let handed = world.claim(who, task, 100).await.subtasks;
        let votes: Vec<_> = handed
            .iter()
            .map(|subtask| if who == 1 { label(task, subtask.image, "cat") } else { second(subtask.image) })
            .collect();
        assert!(world.vote(who, votes).await.iter().all(|outcome| *outcome == VoteOutcome::Counted));
    }
}

fn for_label(image: ImageId, label: &str) -> ReviewFields {
    ReviewFields { image: Some(image), label: Some(label.to_owned()), ..ReviewFields::default() }
}

fn keep(image: ImageId) -> ReviewFields {
    ReviewFields { image: Some(image), keep: true, ..ReviewFields::default() }
}

async fn review(world: &World, who: &Caller, task: TaskId, reviews: Vec<ReviewFields>) -> Vec<ReviewReceipt> {
    world.tasks.review(who, task, &ReviewImages { reviews }).await.unwrap().reviews
}

fn outcomes(receipts: &[ReviewReceipt]) -> Vec<Result<ReviewOutcome, &str>> {
    receipts.iter().map(|receipt| receipt.code.as_deref().map_or(Ok(receipt.outcome), Err)).collect()
}

fn said(events: &[Event], image: ImageId) -> Vec<(&'static str, Option<Dispute>)> {
    let of = |event: &Event| match event {
        Event::Subtask(attributes, envelope) if envelope.data.image == image => {
            Some((attributes.kind, envelope.data.dispute))
        }
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

async fn disputed(world: &World, task: TaskId) -> Vec<ImageId> {
    let query = ImagesQuery { state: Some(ImageState::Disputed), ..ImagesQuery::default() };
    let page = world.tasks.images(&client("alice"), task, &query).await.unwrap();
    page.images.into_iter().map(|image| image.image).collect()
}

async fn deeds(world: &World, task: TaskId) -> Vec<Deed> {
    let page = world.tasks.audit(&client("alice"), task, &PageQuery::default()).await.unwrap();
    page.entries.into_iter().rev().map(|entry| entry.deed).collect()
}

async fn is_sound(world: &World, task: TaskId) {
    assert_eq!(world.surveyor.survey(task).await.unwrap().findings, []);
}

#[tokio::test]
async fn the_best_label_is_taken_and_why_it_was_disputed_is_told() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Best)), 2).await;
    world.seal(task, 2).await;
    vote(&world, task, |image| label(task, image, if image == images[0] { "dog" } else { "cat" })).await;
    let events = world.news().await;
    assert_eq!(said(&events, images[0]), [("subtask.complete", Some(Dispute::NoAnswer))]);
    assert_eq!(said(&events, images[1]), [("subtask.complete", None)]);
    let view = world.show(task).await;
    let progress = view.progress.unwrap();
    assert_eq!((view.state, progress.complete, progress.disputed), (TaskState::Complete, 2, 0));
    let status = world.tasks.image(&client("alice"), task, images[0]).await.unwrap().status;
    assert_eq!((status.state, status.dispute), (ImageState::Complete, Some(Dispute::NoAnswer)));
    assert_eq!(
        (status.label.unwrap().as_str(), status.confidence.unwrap().get()),
        ("cat", 0.5),
        "it is as unsure as ever"
    );
    assert_eq!(status.decided_by, Some(DecidedBy::Votes));
    is_sound(&world, task).await;
}

#[tokio::test]
async fn where_nobody_gave_a_label_there_is_none_to_take() {
    let world = World::new();
    let (task, images) = task(&world, PolicyFields { max_abstentions: Some(1), ..two(Some(OnDispute::Best)) }, 1).await;
    world.seal(task, 1).await;
    let handed = world.claim(1, task, 1).await.subtasks;
    assert_eq!(world.vote(1, vec![abstains(task, handed[0].image)]).await, [VoteOutcome::Counted]);
    assert_eq!(said(&world.news().await, images[0]), [("subtask.disputed", Some(Dispute::Abstentions))]);
    assert_eq!(world.show(task).await.state, TaskState::Complete, "nobody is waited for");
    is_sound(&world, task).await;
}

#[tokio::test]
async fn a_task_that_reviews_waits_for_it() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Review)), 3).await;
    world.seal(task, 3).await;
    vote(&world, task, |image| label(task, image, if image == images[2] { "cat" } else { "dog" })).await;
    world.news().await;
    world.sweep().await;
    assert_eq!(world.show(task).await.state, TaskState::Sealed);
    let mut wanted = [images[0], images[1]];
    wanted.sort();
    assert_eq!(disputed(&world, task).await, wanted);
    is_sound(&world, task).await;

    let receipts = review(&world, &client("alice"), task, vec![for_label(images[0], "dog")]).await;
    assert_eq!(outcomes(&receipts), [Ok(ReviewOutcome::Reviewed)]);
    assert_eq!(receipts[0].label.as_ref().unwrap().as_str(), "dog");
    let progress = world.show(task).await.progress.unwrap();
    assert_eq!((progress.complete, progress.disputed, progress.votes), (2, 1, 6));
    assert_eq!(disputed(&world, task).await, [images[1]]);
    is_sound(&world, task).await;

    // The last of them is the end of the task, whoever decides it and before anybody has heard of it.
    let root = Caller::new("root", [Role::Admin]);
    let receipts = review(&world, &root, task, vec![keep(images[1])]).await;
    assert_eq!(receipts[0].label.as_ref().unwrap().as_str(), "cat", "the best there was");
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let events = world.news().await;
    for (image, by, name) in [(images[0], "alice", "dog"), (images[1], "root", "cat")] {
        assert_eq!(said(&events, image), [("subtask.complete", None)], "the dispute was told before");
        let status = world.tasks.image(&client("alice"), task, image).await.unwrap().status;
        assert_eq!((status.state, status.dispute), (ImageState::Complete, None));
        assert_eq!((status.label.unwrap().as_str(), status.confidence.unwrap().get()), (name, 1.0));
        assert_eq!((status.decided_by, status.reviewed_by.unwrap().as_str()), (Some(DecidedBy::Review), by));
        assert_eq!(status.votes.len(), 2, "the votes stay");
    }
    let deeds = deeds(&world, task).await;
    let expected = [Deed::DisputesReviewed { images: 1 }, Deed::DisputesReviewed { images: 1 }, Deed::TaskCompleted];
    assert_eq!(deeds[deeds.len() - 3..], expected);
    is_sound(&world, task).await;

    let again = ReviewImages { reviews: vec![for_label(images[0], "dog")] };
    let refused = world.tasks.review(&client("alice"), task, &again).await;
    assert!(matches!(refused, Err(Error::TaskEnded(TaskState::Complete))), "{refused:?}");
}

#[tokio::test]
async fn each_is_judged_alone_and_the_same_again_changes_nothing() {
    let world = World::new();
    let (task, images) = task(&world, two(None), 6).await;
    let agreed = images[4];
    vote(&world, task, |image| match image {
        _ if image == agreed => label(task, image, "cat"),
        _ if image == images[5] => abstains(task, image),
        _ => label(task, image, "dog"),
    })
    .await;
    // One more operator abstains, and then nobody is asked any more.
    assert_eq!(world.claim(3, task, 9).await.subtasks.len(), 1);
    assert_eq!(world.vote(3, vec![abstains(task, images[5])]).await, [VoteOutcome::Counted]);
    world.news().await;
    let name = pictures(4)[3].0.clone();
    let named = |name: &str| ReviewFields { name: Some(name.to_owned()), keep: true, ..ReviewFields::default() };
    let both = ReviewFields { name: Some(name.clone()), ..keep(images[3]) };
    let reviews = vec![
        for_label(images[0], "dog"),
        for_label(images[1], "cow"),
        for_label(images[2], "dog"),
        for_label(images[2], "cat"),
        named(&name),
        named("nothing.png"),
        both,
        for_label(agreed, "dog"),
        keep(images[5]),
        for_label(ImageId::of(b"elsewhere"), "cat"),
        ReviewFields { image: Some(images[1]), ..ReviewFields::default() },
        ReviewFields { keep: true, ..for_label(images[1], "dog") },
    ];
    let receipts = review(&world, &client("alice"), task, reviews).await;
    assert_eq!(
        outcomes(&receipts),
        [
            Ok(ReviewOutcome::Reviewed),
            Err("unknown-label"),
            Ok(ReviewOutcome::Reviewed),
            Err("duplicate"),
            Ok(ReviewOutcome::Reviewed),
            Err("unknown-name"),
            Err("no-image"),
            Err("not-disputed"),
            Ok(ReviewOutcome::Reviewed),
            Err("image-not-found"),
            Err("no-label"),
            Err("no-label"),
        ]
    );
    assert_eq!(receipts[4].image, Some(images[3]), "the image behind the name");
    assert_eq!(disputed(&world, task).await, [images[1]]);
    assert_eq!(deeds(&world, task).await.last(), Some(&Deed::DisputesReviewed { images: 4 }), "one entry");

    let before = (world.stored(task).await, world.store.all_subtasks(task), world.show(task).await.progress);
    world.news().await;
    let again = vec![for_label(images[0], "dog"), for_label(images[2], "cat"), keep(images[3])];
    let receipts = review(&world, &client("alice"), task, again).await;
    let expected = [Ok(ReviewOutcome::Unchanged), Err("reviewed-otherwise"), Ok(ReviewOutcome::Unchanged)];
    assert_eq!(outcomes(&receipts), expected);
    let after = (world.stored(task).await, world.store.all_subtasks(task), world.show(task).await.progress);
    assert_eq!(before, after);
    assert!(world.news().await.is_empty(), "it is no news");
    is_sound(&world, task).await;

    // Whoever was wrong makes it gold.
    let gold = vec![GoldFields { name: None, image: Some(images[2]), label: "cat".to_owned() }];
    let receipts = world.tasks.add_gold(&client("alice"), task, &AddGold { gold }).await.unwrap().gold;
    assert_eq!((receipts[0].outcome, &receipts[0].decided), (GoldOutcome::Added, &None));
    let image = world.tasks.image(&client("alice"), task, images[2]).await.unwrap();
    assert_eq!(image.explained.unwrap().agrees, None, "its votes have not decided it");
    let status = image.status;
    assert_eq!((status.label.unwrap().as_str(), status.decided_by), ("cat", Some(DecidedBy::Gold)));
    assert_eq!((status.reviewed_by, said(&world.news().await, images[2]).len()), (None, 1));
    is_sound(&world, task).await;
}

#[tokio::test]
async fn what_nobody_gave_a_label_needs_one() {
    let world = World::new();
    let policy = PolicyFields { max_abstentions: Some(1), ..two(Some(OnDispute::Review)) };
    let (task, images) = task(&world, policy, 1).await;
    world.seal(task, 1).await;
    world.claim(1, task, 1).await;
    assert_eq!(world.vote(1, vec![abstains(task, images[0])]).await, [VoteOutcome::Counted]);
    let kept = review(&world, &client("alice"), task, vec![keep(images[0])]).await;
    assert_eq!(outcomes(&kept), [Err("no-best-label")]);
    assert_eq!(deeds(&world, task).await.len(), 2, "made and sealed: nothing was decided");
    let decided = review(&world, &client("alice"), task, vec![for_label(images[0], "dog")]).await;
    assert_eq!(outcomes(&decided), [Ok(ReviewOutcome::Reviewed)]);
    assert_eq!(world.show(task).await.state, TaskState::Complete);
}

#[tokio::test]
async fn only_who_may_reviews_and_not_too_much_at_once() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Review)), 1).await;
    vote(&world, task, |image| label(task, image, "dog")).await;
    let one = ReviewImages { reviews: vec![keep(images[0])] };
    let refused = world.tasks.review(&client("bob"), task, &one).await;
    assert!(matches!(refused, Err(Error::TaskNotFound)), "{refused:?}");
    let refused = world.tasks.review(&operator(1), task, &one).await;
    assert!(matches!(refused, Err(Error::RoleMissing { .. })), "{refused:?}");
    for reviews in [Vec::new(), vec![keep(images[0]); limits::REVIEWS_PER_REQUEST + 1]] {
        let refused = world.tasks.review(&client("alice"), task, &ReviewImages { reviews }).await;
        assert!(matches!(refused, Err(Error::Invalid { field: "reviews", .. })), "{refused:?}");
    }
    world.tasks.cancel(&client("alice"), task).await.unwrap();
    let refused = world.tasks.review(&client("alice"), task, &one).await;
    assert!(matches!(refused, Err(Error::TaskEnded(TaskState::Cancelled))), "{refused:?}");
    assert_eq!(disputed(&world, task).await, images);
}

#[tokio::test]
async fn a_hundred_are_reviewed_by_one_request_and_one_entry() {
    let world = World::new();
    let most = limits::REVIEWS_PER_REQUEST as u32;
    let (task, images) = task(&world, two(Some(OnDispute::Review)), most).await;
    world.seal(task, most.into()).await;
    vote(&world, task, |image| label(task, image, "dog")).await;
    let receipts = review(&world, &client("alice"), task, images.iter().map(|image| keep(*image)).collect()).await;
    assert!(receipts.iter().all(|receipt| receipt.outcome == ReviewOutcome::Reviewed));
    let view = world.show(task).await;
    assert_eq!((view.state, view.progress.unwrap().complete), (TaskState::Complete, most.into()));
    let deeds = deeds(&world, task).await;
    assert_eq!(deeds[deeds.len() - 2..], [Deed::DisputesReviewed { images: most.into() }, Deed::TaskCompleted]);
}

#[tokio::test]
async fn of_two_who_review_the_same_at_the_same_time_one_decides() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Review)), 4).await;
    world.seal(task, 4).await;
    vote(&world, task, |image| label(task, image, "dog")).await;
    let (alice, root) = (client("alice"), Caller::new("root", [Role::Admin]));
    let all = |name: &str| images.iter().map(|image| for_label(*image, name)).collect();
    let (first, second) =
        futures::join!(review(&world, &alice, task, all("dog")), review(&world, &root, task, all("cat")));
    for (place, image) in images.iter().enumerate() {
        let status = world.tasks.image(&alice, task, *image).await.unwrap().status;
        let winner = status.reviewed_by.unwrap();
        let (won, lost) = match winner.as_str() {
            "alice" => (&first[place], &second[place]),
            _ => (&second[place], &first[place]),
        };
        assert_eq!((won.outcome, &won.label), (ReviewOutcome::Reviewed, &status.label));
        // Who came last is told what it was decided for, or that it is all over.
        assert!(["reviewed-otherwise", "task-ended"].contains(&lost.code.as_deref().unwrap()), "{lost:?}");
    }
    assert_eq!(world.show(task).await.progress.unwrap().complete, 4);
    world.news().await;
    is_sound(&world, task).await;
}

#[tokio::test]
async fn a_late_vote_neither_stops_a_review_nor_undoes_it() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Review)), 1).await;
    let image = images[0];
    vote(&world, task, |image| label(task, image, "dog")).await;
    let alice = client("alice");
    let (receipts, late) = futures::join!(
        review(&world, &alice, task, vec![for_label(image, "dog")]),
        world.vote(1, vec![label(task, image, "dog")])
    );
    assert_eq!((outcomes(&receipts), late), (vec![Ok(ReviewOutcome::Reviewed)], vec![VoteOutcome::Late]));
    assert_eq!(world.vote(2, vec![label(task, image, "cat")]).await, [VoteOutcome::Late]);
    let status = world.tasks.image(&alice, task, image).await.unwrap().status;
    assert_eq!((status.label.unwrap().as_str(), status.votes.len()), ("dog", 4));
    world.news().await;
    is_sound(&world, task).await;
}

#[tokio::test]
async fn where_votes_weigh_the_last_batch_comes_after_the_review_and_leaves_it_alone() {
    let world = World::new();
    let policy = PolicyFields {
        rule: Some(RuleName::Adaptive),
        max_labels: Some(2),
        disputed: Some(OnDispute::Review),
        ..PolicyFields::default()
    };
    let (task, images) = task(&world, policy, 3).await;
    world.seal(task, 3).await;
    vote(&world, task, |image| label(task, image, if image == images[0] { "dog" } else { "cat" })).await;
    world.news().await;
    assert_eq!((world.show(task).await.state, disputed(&world, task).await), (TaskState::Sealed, vec![images[0]]));
    // Against what the votes of the others make more likely.
    let receipts = review(&world, &client("alice"), task, vec![for_label(images[0], "dog")]).await;
    assert_eq!(outcomes(&receipts), [Ok(ReviewOutcome::Reviewed)]);
    assert_eq!(world.show(task).await.state, TaskState::Sealed, "its last batch ends it");
    world.news().await;
    assert_eq!(world.show(task).await.state, TaskState::Complete);
    let status = world.tasks.image(&client("alice"), task, images[0]).await.unwrap().status;
    assert_eq!((status.label.unwrap().as_str(), status.decided_by), ("dog", Some(DecidedBy::Review)));
    is_sound(&world, task).await;
}

#[tokio::test]
async fn a_recount_finds_what_the_policy_does_not_allow() {
    let world = World::new();
    let (task, images) = task(&world, two(Some(OnDispute::Review)), 2).await;
    world.seal(task, 2).await;
    let of_task = world.stored(task).await;
    // One image is closed as another policy has it, the other as this one has.
    for (image, disputed) in [(images[0], OnDispute::Best), (images[1], OnDispute::Review)] {
        for (who, said) in [(1, "cat"), (2, "dog")] {
            world.claim(who, task, 9).await;
            let votes = lambel_core::Vote {
                answer: lambel_core::subtask::Answer::Label(LabelIndex(u16::from(said == "dog"))),
                at: of_task.created_at,
                elapsed_ms: None,
                earned: None,
            };
            let who = format!("op-{who}").parse().unwrap();
            world.store.cast(&of_task, image, &who, votes, false).await.unwrap();
        }
        let seen = world.store.subtasks(&of_task, &[image], true).await.unwrap().remove(0);
        let decision =
            Decision { label: Some(LabelIndex(0)), confidence: Confidence::new(0.5), dispute: Some(Dispute::NoAnswer) };
        let mut other = of_task.clone();
        other.policy.disputed = disputed;
        let closing = Closing { seen, decision, by: DecidedBy::Votes };
        assert_eq!(world.store.close(&other, &[closing], of_task.created_at).await, Ok(vec![true]));
    }
    let findings = world.surveyor.survey(task).await.unwrap().findings;
    let [Finding::DecisionDiffers { image, written, follows: Some(follows) }] = &findings[..] else {
        panic!("{findings:?}")
    };
    assert_eq!(*image, images[0]);
    let states = (written.state, follows.state);
    assert_eq!(states, (lambel_core::SubtaskState::Complete, lambel_core::SubtaskState::Disputed));

    // And a task that somebody has ended before its review.
    let mut ended = of_task.clone();
    ended.policy.disputed = OnDispute::Marked;
    let counts = world.store.counts(&of_task).await.unwrap();
    assert!(ended.complete(&counts, of_task.created_at));
    ended.policy.disputed = OnDispute::Review;
    let entry = lambel_core::AuditEntry {
        at: of_task.created_at,
        actor: lambel_core::Actor::lambel(),
        deed: Deed::TaskCompleted,
    };
    assert_eq!(world.store.replace_task(&ended, &entry).await, Ok(true));
    let findings = world.surveyor.survey(task).await.unwrap().findings;
    assert!(findings.contains(&Finding::CompletedTooEarly { undecided: 1 }), "{findings:?}");
}
