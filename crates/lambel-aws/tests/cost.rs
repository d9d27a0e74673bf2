//! What operations cost in requests and write units, counted on the local cloud. These do not vary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::HashMap, sync::Arc};

use lambel_aws::{Aws, DynamoStore, Usage, setting};
use lambel_core::{
    ImageId, Subtask, TaskId,
    api::{
        AddGold, AnnounceFiles, AudienceFields, Claim, CreateTask, FileAnnouncement, GoldFields, ImagesQuery, LeaseRef,
        PageQuery, PolicyFields, ReturnLeases, RuleName, SealTask, SubmitVotes, SubmittedVote, VoteOutcome,
    },
    subtask::{Picture, Preview},
};
use lambel_memory::{MemoryMessages, MemoryObjects};
use lambel_service::{
    Caller, Error, Role,
    operate::Operators,
    ports::{ObjectKey, Store, SystemClock},
    tasks::Tasks,
    validate::Validator,
};

struct World {
    store: Arc<DynamoStore>,
    operators: Operators,
    tasks: Tasks,
    objects: Arc<MemoryObjects>,
    messages: Arc<MemoryMessages>,
}

impl World {
    async fn new() -> Self {
        let cloud = setting("LAMBEL_CLOUD").expect("`cargo xtask test` starts the local cloud that this test needs");
        let cloud = std::fs::read_to_string(cloud).expect("the file that describes the local cloud");
        let cloud: serde_json::Value = serde_json::from_str(&cloud).expect("JSON");
        let name = |key: &str| cloud[key].as_str().expect("a name").to_owned();
        let aws = Aws::from_env().await;
        let store = Arc::new(DynamoStore::new(&aws, name("tasks_table_name"), name("subtasks_table_name")));
        let objects = Arc::new(MemoryObjects::default());
        Self {
            operators: Operators::new(store.clone(), objects.clone(), Arc::new(SystemClock)).with_gold(store.clone()),
            tasks: Tasks::new(store.clone(), objects.clone(), Arc::new(SystemClock))
                .with_gold(store.clone())
                .with_calibrations(store.clone()),
            messages: Arc::new(MemoryMessages::default()),
            objects,
            store,
        }
    }

    async fn task(&self, quorum: u32, expected_images: u64) -> TaskId {
        self.task_by(PolicyFields { quorum: Some(quorum), ..PolicyFields::default() }, expected_images).await
    }

    async fn task_by(&self, policy: PolicyFields, expected_images: u64) -> TaskId {
        let request = CreateTask {
            name: "cost".into(),
            labels: vec!["cat".into(), "dog".into()],
            instructions: None,
            policy: Some(policy),
            audience: None,
            expected_images: Some(expected_images),
        };
        self.tasks.create(&Caller::new("alice", [Role::Client]), &request).await.unwrap().task
    }

    /// A task with so many open subtasks.
    async fn open_task(&self, quorum: u32, images: u32, expected_images: u64) -> TaskId {
        let id = self.task(quorum, expected_images).await;
        self.fill(id, images).await;
        id
    }

    /// Puts open subtasks into a task.
    async fn fill(&self, id: TaskId, images: u32) {
        let task = self.store.task(id).await.unwrap().unwrap();
        let picture = || Picture { media_type: "image/png".into(), width: 32, height: 32 };
        let all: Vec<_> = (0..images).map(|n| ImageId::of(&n.to_be_bytes())).collect();
        for chunk in all.chunks(99) {
            let now = task.created_at;
            let record = |image: &ImageId| Subtask::preparing(id, *image, 9, picture(), Preview::NotNeeded, now);
            let records: Vec<_> = chunk.iter().map(record).collect();
            assert_eq!(self.store.record(&task, &records).await.unwrap().len(), chunk.len());
        }
        for image in all {
            assert!(self.store.open(&task, image, None).await.unwrap());
        }
        self.store.meter().take();
    }

    async fn claim(&self, who: usize, task: TaskId, count: u32) -> Vec<ImageId> {
        let answer = self.operators.claim(&operator(who), &Claim { task: Some(task), count }).await.unwrap();
        answer.subtasks.into_iter().map(|subtask| subtask.image).collect()
    }

    async fn vote(&self, who: usize, task: TaskId, images: &[ImageId]) -> Usage {
        self.store.meter().take();
        let votes = images
            .iter()
            .map(|image| SubmittedVote {
                task,
                image: *image,
                label: Some("cat".into()),
                abstain: None,
                elapsed_ms: Some(1_234),
            })
            .collect();
        let answer = self.operators.vote(&operator(who), &SubmitVotes { votes }).await.unwrap();
        assert!(answer.votes.iter().all(|vote| vote.outcome == VoteOutcome::Counted));
        self.store.meter().take()
    }
}

/// An id as long as Cognito's.
fn operator(n: usize) -> Caller {
    Caller::new(format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c{n:02}"), [Role::Operator])
}

fn requests(expected: &[(&'static str, u64)]) -> HashMap<&'static str, u64> {
    expected.iter().copied().collect()
}

#[tokio::test]
async fn a_vote_that_decides_nothing_is_one_request_and_one_write_unit() {
    let world = World::new().await;
    let task = world.open_task(3, 20, 100).await;
    for who in [1, 2] {
        let images = world.claim(who, task, 20).await;
        let usage = world.vote(who, task, &images).await;
        assert_eq!(usage.requests, requests(&[("BatchGetItem", 1), ("UpdateItem", 20)]));
        assert_eq!(usage.write_units, 20.0);
    }
    // The third vote decides: all decisions of the request share one transaction.
    let images = world.claim(3, task, 20).await;
    let usage = world.vote(3, task, &images).await;
    assert_eq!(usage.requests, requests(&[("BatchGetItem", 1), ("UpdateItem", 20), ("TransactWriteItems", 1)]));
}

#[tokio::test]
async fn a_claim_of_twenty_is_at_most_27_requests_whatever_the_size_of_the_task() {
    let world = World::new().await;
    for (images, expected) in [(100, 100), (1_000, 1_000), (1_000, 5_000_000)] {
        let task = world.open_task(3, images, expected).await;
        for who in 0..3 {
            // The second claim reads what the first has handed out, too.
            for claimed_before in [false, true] {
                world.store.meter().take();
                let claimed = world.claim(who, task, 20).await;
                let usage = world.store.meter().take();
                assert_eq!(claimed.len(), 20);
                // An operator's first claim in a task looks at their standing once more, see `operate.rs`.
                let first = *usage.requests.get("GetItem").unwrap_or(&0);
                assert_eq!(first, u64::from(!claimed_before));
                assert!(usage.total() - first <= 27, "{images} of {expected}: {:?}", usage.requests);
                world.vote(who, task, &claimed).await;
            }
        }
    }
}

/// In a task without gold there is none of this: the tests above have the same operators.
#[tokio::test]
async fn gold_costs_a_claim_six_requests_more_and_a_vote_two() {
    let world = World::new().await;
    let policy = PolicyFields { quorum: Some(3), gold_rate: Some(0.3), ..PolicyFields::default() };
    let task = world.task_by(policy, 100).await;
    world.fill(task, 100).await;
    let line = |n: u32| GoldFields { name: None, image: Some(ImageId::of(&n.to_be_bytes())), label: "cat".into() };
    let gold: Vec<_> = (0..30).map(line).collect();
    let is_gold = |image: &ImageId| gold.iter().any(|gold| gold.image == Some(*image));
    let alice = Caller::new("alice", [Role::Client]);
    world.tasks.add_gold(&alice, task, &AddGold { gold: gold.clone() }).await.unwrap();
    let usage = world.store.meter().take();
    // The task, its images, its list; the entry of its trail, for which it is read again; one transaction for all that
    // are decided, and a row for each.
    let expected = [("GetItem", 2), ("BatchGetItem", 1), ("Query", 1), ("TransactWriteItems", 2), ("PutItem", 30)];
    assert_eq!(usage.requests, requests(&expected));
    for claimed_before in [false, true] {
        world.store.meter().take();
        let claimed = world.claim(1, task, 20).await;
        let usage = world.store.meter().take();
        let of_gold = claimed.iter().filter(|image| is_gold(image)).count() as u64;
        assert!(claimed.len() == 20 && of_gold > 0 && usage.total() <= 33, "{claimed_before}: {usage:?}");
        let usage = world.vote(1, task, &claimed).await;
        assert_eq!(usage.requests, requests(&[("BatchGetItem", 2), ("UpdateItem", 20 - of_gold + 1)]));
    }
}

/// Only where there can be a calibration, and something is decided.
#[tokio::test]
async fn a_calibration_costs_whoever_reads_one_request_more() {
    let world = World::new().await;
    let alice = Caller::new("alice", [Role::Client]);
    let adaptive = PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() };
    let with_gold = PolicyFields { gold_rate: Some(0.1), ..adaptive.clone() };
    let counted = PolicyFields { gold_rate: Some(0.1), quorum: Some(2), ..PolicyFields::default() };
    for (policy, more) in [(counted, 0), (adaptive, 0), (with_gold, 1)] {
        let task = world.task_by(policy, 100).await;
        world.fill(task, 2).await;
        let mut read = Vec::new();
        for decided in [false, true] {
            let voters = if decided { 1..3 } else { 0..0 };
            for who in voters {
                let images = world.claim(who, task, 2).await;
                world.vote(who, task, &images).await;
            }
            world.store.meter().take();
            let page = world.tasks.images(&alice, task, &ImagesQuery::default()).await.unwrap();
            let of_page = world.store.meter().take().total();
            assert_eq!(
                page.images.iter().filter(|image| image.status.confidence.is_some()).count(),
                2 * usize::from(decided)
            );
            world.tasks.image(&alice, task, page.images[0].image).await.unwrap();
            read.push((of_page, world.store.meter().take().total()));
        }
        assert_eq!(read[1], (read[0].0 + more, read[0].1 + more));
    }
}

#[tokio::test]
async fn a_batch_of_images_is_one_transaction_and_one_send() {
    let world = World::new().await;
    let task = world.task(3, 100).await;
    let files: Vec<_> = lambel_samples::numbered(50, 3).collect();
    let key = |bytes: &[u8]| ObjectKey { task, image: ImageId::of(bytes) };
    let keys: Vec<_> = files.iter().map(|(_, bytes)| key(bytes)).collect();
    for (_, bytes) in files {
        world.objects.upload(key(&bytes), bytes);
    }
    let clock = Arc::new(SystemClock);
    let validator = Validator::new(world.store.clone(), world.objects.clone(), world.messages.clone(), clock);
    world.store.meter().take();
    assert!(validator.validate(&keys).await.is_empty());
    assert_eq!(world.store.meter().take().requests, requests(&[("GetItem", 1), ("TransactWriteItems", 1)]));
    assert_eq!(world.messages.take_new_subtasks().len(), 1);
}

/// Somebody else's task is as one that does not exist: in what is said, and in what is read before it is said.
/// Else an answer that takes longer would tell the two apart.
#[tokio::test]
async fn what_is_not_yours_costs_what_is_not_there() {
    let world = World::new().await;
    let theirs = world.open_task(3, 2, 100).await;
    let kept = world.open_task(3, 2, 100).await;
    let only = AudienceFields { everyone: false, operators: vec!["ada".into()], teams: Vec::new() };
    world.tasks.open_to(&Caller::new("alice", [Role::Client]), kept, &only).await.unwrap();
    let none = TaskId::random();
    let image = ImageId::of(&0_u32.to_be_bytes());
    let mallory = Caller::new("mallory", [Role::Client]);
    let (tasks, page) = (&world.tasks, PageQuery::default());
    let files = AnnounceFiles {
        files: vec![FileAnnouncement {
            name: "a.png".into(),
            bytes: 9,
            media_type: "image/png".into(),
            sha256: image.to_string(),
        }],
    };

    let everyone = AudienceFields { everyone: true, ..AudienceFields::default() };
    let images = ImagesQuery::default();
    let as_client = async |task: TaskId| {
        let mut seen = Vec::new();
        let mut note = |what: &'static str, error: Option<Error>| {
            let said = error.map(|error| error.to_string()).unwrap_or_default();
            seen.push((what, said, world.store.meter().take().requests));
        };
        world.store.meter().take();
        note("show", tasks.show(&mallory, task).await.err());
        note("images", tasks.images(&mallory, task, &images).await.err());
        note("image", tasks.image(&mallory, task, image).await.err());
        note("results", tasks.results(&mallory, task, &page).await.err());
        note("audit", tasks.audit(&mallory, task, &page).await.err());
        note("announce", tasks.announce(&mallory, task, &files).await.err());
        note("seal", tasks.seal(&mallory, task, &SealTask { images: 2 }).await.err());
        note("open to", tasks.open_to(&mallory, task, &everyone).await.err());
        note("cancel", tasks.cancel(&mallory, task).await.err());
        seen
    };
    let (of_theirs, of_none) = (as_client(theirs).await, as_client(none).await);
    assert_eq!(of_theirs, of_none);
    for (what, said, requests) in of_none {
        assert_eq!(said, "there is no task with this id", "{what}");
        assert_eq!(requests.values().sum::<u64>(), 1, "{what}: {requests:?}");
    }

    let as_operator = async |task: TaskId| {
        world.store.meter().take();
        let claim = world.operators.claim(&operator(7), &Claim { task: Some(task), count: 5 }).await;
        let claim = (claim.map(drop).unwrap_err().to_string(), world.store.meter().take().requests);
        let vote = SubmittedVote { task, image, label: Some("cat".into()), abstain: None, elapsed_ms: None };
        let vote =
            world.operators.vote(&operator(7), &SubmitVotes { votes: vec![vote] }).await.unwrap().votes.remove(0);
        let vote = ((vote.outcome, vote.code, vote.detail), world.store.meter().take().requests);
        let lease = ReturnLeases { subtasks: vec![LeaseRef { task, image }] };
        let back = world.operators.give_back(&operator(7), &lease).await.map(|answer| answer.returned);
        let back = (back.map_err(|error| error.to_string()), world.store.meter().take().requests);
        (claim, vote, back)
    };
    let (of_kept, of_none) = (as_operator(kept).await, as_operator(none).await);
    assert_eq!(of_kept, of_none);
    assert_eq!(of_none.0.0, "there is no task with this id");
    assert_eq!(of_none.1.0.1.as_deref(), Some("task-not-found"));
}
