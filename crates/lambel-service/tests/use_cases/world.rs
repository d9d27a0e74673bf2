//! Everything there is, in memory, and the everyday steps of clients and operators.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lambel_core::{
    ImageId, Task, TaskId,
    api::{
        AnnounceFiles, Claim, ClaimAnswer, CreateTask, FileAnnouncement, Grant, PolicyFields, SealTask, SubmitVotes,
        SubmittedVote, TaskView, VoteOutcome,
    },
    event::{Event, LastBatchWanted},
};
use lambel_memory::{ManualClock, MemoryDatasets, MemoryMessages, MemoryObjects, MemoryStore};
use lambel_service::{
    Caller, Role,
    dataset::{Committer, Place, Versions},
    open::Opener,
    operate::Operators,
    ports::{ObjectKey, Store},
    progress::Progress,
    publish::Publisher,
    quality::Quality,
    repair::Repairer,
    skills::Estimator,
    survey::Surveyor,
    sweep::{Sweeper, Swept},
    tasks::Tasks,
    validate::Validator,
};

/// Everything there is, in memory.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) objects: Arc<MemoryObjects>,
    pub(crate) messages: Arc<MemoryMessages>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) tasks: Tasks,
    pub(crate) quality: Quality,
    pub(crate) operators: Operators,
    pub(crate) validator: Validator,
    pub(crate) opener: Opener,
    pub(crate) publisher: Publisher,
    pub(crate) progress: Progress,
    pub(crate) surveyor: Surveyor,
    pub(crate) repairer: Repairer,
    pub(crate) sweeper: Sweeper,
    pub(crate) estimator: Estimator,
    pub(crate) datasets: Arc<MemoryDatasets>,
    pub(crate) committer: Committer,
    pub(crate) versions: Versions,
}

pub(crate) fn client(name: &str) -> Caller {
    Caller::new(name, [Role::Client])
}

pub(crate) fn operator(n: usize) -> Caller {
    Caller::new(format!("op-{n}"), [Role::Operator])
}

impl World {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let objects = Arc::new(MemoryObjects::default());
        let messages = Arc::new(MemoryMessages::default());
        let clock = Arc::new(ManualClock::new());
        let ids = AtomicU64::new(1);
        // An id decides where walks through a task begin. The same ones each time, the same run each time.
        let tasks = Tasks::new(store.clone(), objects.clone(), clock.clone())
            .with_gold(store.clone())
            .with_calibrations(store.clone())
            .with_ids(move || {
                let n = ids.fetch_add(1, Ordering::Relaxed);
                format!("019aa5a0-0000-7000-8000-{n:012}").parse().unwrap()
            })
            .with_estimates(messages.clone());
        let datasets = Arc::new(MemoryDatasets::default());
        let place = Place { bucket: "uploads".to_owned() };
        Self {
            committer: Committer::new(store.clone(), datasets.clone(), datasets.clone(), clock.clone(), place)
                .with_calibrations(store.clone()),
            versions: Versions::new(tasks.clone(), datasets.clone(), datasets.clone()),
            datasets,
            quality: Quality::new(tasks.clone(), store.clone()),
            tasks,
            operators: Operators::new(store.clone(), objects.clone(), clock.clone()).with_gold(store.clone()),
            validator: Validator::new(store.clone(), objects.clone(), messages.clone(), clock.clone()),
            opener: Opener::new(store.clone(), objects.clone(), clock.clone()),
            publisher: Publisher::new(store.clone(), messages.clone()),
            progress: Progress::new(store.clone(), clock.clone(), messages.clone()),
            surveyor: Surveyor::new(store.clone(), objects.clone(), clock.clone()),
            repairer: Repairer::new(store.clone(), store.clone(), objects.clone(), messages.clone(), clock.clone())
                .with_gold(store.clone()),
            sweeper: Sweeper::new(store.clone(), objects.clone(), messages.clone(), clock.clone()),
            estimator: Estimator::new(store.clone(), store.clone(), clock.clone()).with_gold(store.clone()),
            store,
            objects,
            messages,
            clock,
        }
    }

    pub(crate) async fn task(&self, quorum: u32) -> TaskId {
        let policy = PolicyFields { quorum: Some(quorum), ..PolicyFields::default() };
        self.create(policy).await.task
    }

    pub(crate) async fn create(&self, policy: PolicyFields) -> TaskView {
        let request = CreateTask {
            name: "cats and dogs".to_owned(),
            labels: vec!["cat".to_owned(), "dog".to_owned()],
            instructions: None,
            policy: Some(policy),
            audience: None,
            expected_images: Some(100),
        };
        self.tasks.create(&client("alice"), &request).await.unwrap()
    }

    /// Announces and uploads files, and runs the validator and the opener on them.
    pub(crate) async fn upload(&self, task: TaskId, files: &[(String, Vec<u8>)]) -> Vec<Grant> {
        let announcements = files.iter().map(|(name, bytes)| announcement(name, bytes)).collect();
        let grants =
            self.tasks.announce(&client("alice"), task, &AnnounceFiles { files: announcements }).await.unwrap();
        let keys: Vec<_> = files.iter().map(|(_, bytes)| ObjectKey { task, image: ImageId::of(bytes) }).collect();
        for ((_, bytes), key) in files.iter().zip(&keys) {
            self.objects.upload(*key, bytes.clone());
        }
        assert!(self.validator.validate(&keys).await.is_empty());
        self.open().await;
        grants.files.into_iter().map(|file| file.grant).collect()
    }

    pub(crate) async fn open(&self) {
        for message in self.messages.take_new_subtasks() {
            let body = message_body(&message);
            self.opener.open(&body, in_a_minute()).await.unwrap();
        }
    }

    /// Lets the outbox and the task manager's ear do their work, and makes last batches that are asked for; returns
    /// what was announced.
    pub(crate) async fn news(&self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            self.publisher.publish(&self.store.take_stream()).await.unwrap();
            self.publisher.publish(&self.datasets.take_stream().await).await.unwrap();
            let events = self.messages.take_events();
            if events.is_empty() && self.last_batches().await == 0 {
                return all;
            }
            let bodies: Vec<_> =
                events.iter().filter(|e| matches!(e, Event::Subtask(..))).map(|e| e.body().unwrap()).collect();
            let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
            assert!(self.progress.hear(&bodies).await.is_empty());
            all.extend(events);
        }
    }

    /// Makes the last batches that are asked for, and says how many messages those were.
    pub(crate) async fn last_batches(&self) -> usize {
        let wanted = self.messages.take_estimates();
        let bodies = wanted.iter().map(|task| serde_json::to_string(&LastBatchWanted { task: *task }).unwrap());
        let bodies: Vec<String> = bodies.collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        assert!(self.estimator.hear(&bodies).await.is_empty());
        bodies.len()
    }

    pub(crate) async fn sweep(&self) -> Swept {
        self.sweeper.sweep(in_a_minute()).await.unwrap()
    }

    /// The task as it is stored.
    pub(crate) async fn stored(&self, task: TaskId) -> Task {
        self.store.task(task).await.unwrap().unwrap()
    }

    pub(crate) async fn claim(&self, who: usize, task: TaskId, count: u32) -> ClaimAnswer {
        self.operators.claim(&operator(who), &Claim { task: Some(task), count }).await.unwrap()
    }

    pub(crate) async fn vote(&self, who: usize, votes: Vec<SubmittedVote>) -> Vec<VoteOutcome> {
        let answer = self.operators.vote(&operator(who), &SubmitVotes { votes }).await.unwrap();
        answer.votes.into_iter().map(|receipt| receipt.outcome).collect()
    }

    pub(crate) async fn show(&self, task: TaskId) -> TaskView {
        self.tasks.show(&client("alice"), task).await.unwrap()
    }

    pub(crate) async fn seal(&self, task: TaskId, images: u64) -> TaskView {
        self.tasks.seal(&client("alice"), task, &SealTask { images }).await.unwrap()
    }
}

pub(crate) fn in_a_minute() -> std::time::Instant {
    std::time::Instant::now() + Duration::from_secs(60)
}

pub(crate) fn message_body(message: &lambel_core::event::NewSubtasks) -> String {
    format!(
        r#"{{"task":"{}","images":[{}]}}"#,
        message.task,
        message.images.iter().map(|image| format!("\"{image}\"")).collect::<Vec<_>>().join(",")
    )
}

pub(crate) fn announcement(name: &str, bytes: &[u8]) -> FileAnnouncement {
    FileAnnouncement {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        media_type: "image/png".to_owned(),
        sha256: ImageId::of(bytes).to_string(),
    }
}

pub(crate) fn pictures(n: u32) -> Vec<(String, Vec<u8>)> {
    lambel_samples::numbered(n, 7).collect()
}

pub(crate) fn label(task: TaskId, image: ImageId, label: &str) -> SubmittedVote {
    SubmittedVote { task, image, label: Some(label.to_owned()), abstain: None, elapsed_ms: Some(900) }
}
