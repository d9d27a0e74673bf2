//! How long it takes to make a version of the data set of a large task, and how much memory: a made task with three
//! votes an image, in memory, without the time that storage takes on AWS.
//!
//! `cargo run --release -p lambel-service --example commit [IMAGES]`, on Linux, with some 3 KB of memory an image.

use std::{fs, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{
    Actor, Audience, AuditEntry, Deed, ImageId, LabelIndex, LabelSet, OperatorId, Policy, Shards, Subtask,
    SubtaskState, Task, TaskId, TaskState, Timestamp, Vote,
    consensus::{Confidence, Decision},
    event::CommitRequest,
    subtask::{Answer, Picture, Preview},
};
use lambel_dataset::{
    ContentId, Dataset, MemoryObjectStore, MemoryRefs, ObjectKey, ObjectStore, RefName,
    store::{Kind, Listed, StoreResult},
};
use lambel_memory::{ManualClock, MemoryDatasets, MemoryStore};
use lambel_service::{
    dataset::{Committer, Place},
    ports::{Answered, Datasets, Store, StoreResult as PortResult},
};

const LABELS: u16 = 10;

type Failure = Box<dyn std::error::Error>;

/// Data sets whose rows are thrown away once they are written, so that memory is that of the walk; what says how they
/// hang together is kept.
#[derive(Default)]
struct Light {
    objects: Arc<Thrown>,
    refs: Arc<MemoryRefs>,
}

#[derive(Default)]
struct Thrown {
    kept: MemoryObjectStore,
    chunks: std::sync::atomic::AtomicU64,
}

#[async_trait]
impl ObjectStore for Thrown {
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> StoreResult<()> {
        if key.kind == Kind::Chunk {
            self.chunks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return Ok(());
        }
        self.kept.put(key, bytes).await
    }

    async fn get(&self, key: ObjectKey) -> StoreResult<Option<Bytes>> {
        self.kept.get(key).await
    }

    async fn list(&self, kind: Kind, after: Option<ContentId>, limit: usize) -> StoreResult<Vec<Listed>> {
        self.kept.list(kind, after, limit).await
    }

    async fn delete(&self, key: ObjectKey) -> StoreResult<()> {
        self.kept.delete(key).await
    }
}

#[async_trait]
impl Datasets for Light {
    fn of(&self, _task: TaskId) -> Dataset {
        Dataset { objects: self.objects.clone(), refs: self.refs.clone() }
    }

    async fn answered(&self, _task: TaskId) -> PortResult<Option<Answered>> {
        Ok(None)
    }

    async fn answer(&self, _task: TaskId, _answered: &Answered) -> PortResult<()> {
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let images: u32 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse())?;
    let store = Arc::new(MemoryStore::default());
    let task = task(images)?;
    let deed = Deed::TaskCreated { audience: (&task.audience).into() };
    let entry = AuditEntry { at: task.created_at, actor: Actor::lambel(), deed };
    store.create_task(&task, &entry).await?;
    let operators: Vec<OperatorId> =
        (0..50).map(|n| format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b{n:04}").parse()).collect::<Result<_, _>>()?;
    for image in 0..images {
        store.record(&task, &[decided(&task, image, &operators)]).await?;
    }
    // The stream of changes is nobody's here.
    drop(store.take_stream());

    let datasets = Arc::new(Light::default());
    let place = Place { bucket: "uploads".to_owned() };
    let queue = Arc::new(MemoryDatasets::default());
    let clock = Arc::new(ManualClock::new());
    let committer = Committer::new(store, datasets.clone(), queue, clock, place);
    let author = Actor::lambel();
    let asked_at = task.created_at;
    let request = CommitRequest { task: task.id, author, message: "measured".to_owned(), asked_at, if_due: false };
    fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS")?;
    let start = Instant::now();
    let heard = committer.hear(&serde_json::to_string(&request)?).await;
    let seconds = start.elapsed().as_secs_f64();
    let more = (resident("VmHWM")?.saturating_sub(before)) / 1_024;
    let is_there = datasets.refs_at_live().await?;
    let chunks = datasets.objects.chunks.load(std::sync::atomic::Ordering::Relaxed);
    println!("{heard:?}, {is_there}, {chunks} chunks");
    println!("{seconds:.1} s, {:.0} rows a second, {more} MiB more than the task itself", f64::from(images) / seconds);
    Ok(())
}

impl Light {
    async fn refs_at_live(&self) -> Result<bool, Failure> {
        use lambel_dataset::Refs;
        Ok(self.refs.branch(&RefName::live()).await?.is_some())
    }
}

fn task(images: u32) -> Result<Task, Failure> {
    let labels: Vec<String> = (0..LABELS).map(|n| format!("label {n}")).collect();
    Ok(Task {
        id: TaskId::random(),
        owner: "client".parse()?,
        name: "made".to_owned(),
        labels: LabelSet::parse(&labels)?,
        instructions: String::new(),
        policy: Policy::default(),
        audience: Audience::Everyone,
        shards: Shards::for_images(Some(images.into())),
        state: TaskState::Open,
        images: None,
        created_at: Timestamp::from_millis(1),
        sealed_at: None,
        ended_at: None,
        rev: 0,
    })
}

/// A decided image with three votes.
fn decided(task: &Task, number: u32, operators: &[OperatorId]) -> Subtask {
    let image = ImageId::of(&number.to_be_bytes());
    let picture = Picture { media_type: "image/jpeg".to_owned(), width: 640, height: 480 };
    let at = Timestamp::from_millis(1_795_250_820_000 + i64::from(number));
    let mut subtask = Subtask::preparing(task.id, image, 50_000, picture, Preview::NotNeeded, at);
    let digest = image.digest();
    let label = LabelIndex(u16::from(digest[0]) % LABELS);
    for (n, operator) in operators.iter().cycle().skip(digest[1].into()).take(3).enumerate() {
        let vote = Vote { answer: Answer::Label(label), at, elapsed_ms: Some(1_000 + n as u32), earned: None };
        subtask.votes.insert(operator.clone(), vote);
    }
    subtask.state = SubtaskState::Complete;
    subtask.decision = Some(Decision { label: Some(label), confidence: Confidence::new(1.0), dispute: None });
    subtask.decided_at = Some(at);
    subtask
}

/// A line of the kernel's account of this process, in KiB.
fn resident(line: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().nth(1));
    Ok(found.ok_or("no such line")?.parse()?)
}
