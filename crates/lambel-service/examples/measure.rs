//! How long it takes to look at all votes of a large task together, and how much memory: a made task of a million images
//! with three votes each, in memory. Some of them open again.
//!
//! `cargo run --release -p lambel-service --example measure [IMAGES]`, on Linux, with some 3 KB of memory an image.

use std::{fs, sync::Arc, time::Instant};

use lambel_core::{
    Actor, Audience, AuditEntry, CountsChange, Deed, ImageId, LabelIndex, LabelSet, OnDispute, OperatorId, Policy,
    Shards, Subtask, Task, TaskId, TaskState, Timestamp, Vote,
    api::{PolicyFields, RuleName},
    consensus::Decision,
    subtask::{Answer, Picture, Preview},
};
use lambel_memory::{ManualClock, MemoryStore};
use lambel_service::{
    ports::{Desk, Store},
    skills::Estimator,
};

const OPERATORS: u32 = 2_500;
const VOTES: u32 = 3;
const LABELS: u16 = 10;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let images: u32 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let store = Arc::new(MemoryStore::default());
    let task = task(images)?;
    let entry = AuditEntry {
        at: task.created_at,
        actor: Actor::lambel(),
        deed: Deed::TaskCreated { audience: (&task.audience).into() },
    };
    store.create_task(&task, &entry).await?;
    let operators: Vec<OperatorId> =
        (0..OPERATORS).map(|n| format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b{n:04}").parse()).collect::<Result<_, _>>()?;
    for operator in &operators {
        store.put_desk(&Desk { rev: 1, ..Desk::new(task.id, operator.clone()) }).await?;
    }
    for image in 0..images {
        store.record(&task, &[decided(&task, image, &operators)]).await?;
    }
    // The stream of changes is nobody's here.
    drop(store.take_stream());
    let votes = i64::from(images) * i64::from(VOTES);
    store.correct(&task, &CountsChange { complete: images.into(), votes, ..CountsChange::default() }).await?;

    fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS")?;
    let start = Instant::now();
    let estimator = Estimator::new(store.clone(), store, Arc::new(ManualClock::new()));
    let looks = estimator.run(Instant::now() + std::time::Duration::from_secs(900)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let more = (resident("VmHWM")?.saturating_sub(before)) / 1_024;
    println!("{}", serde_json::to_string(&looks)?);
    println!("{seconds:.1} s, {more} MiB more than the task itself");
    Ok(())
}

fn task(images: u32) -> Result<Task, Failure> {
    let labels: Vec<String> = (0..LABELS).map(|n| format!("label {n}")).collect();
    let policy = PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() };
    Ok(Task {
        id: TaskId::random(),
        owner: "client".parse()?,
        name: "made".to_owned(),
        labels: LabelSet::parse(&labels)?,
        instructions: String::new(),
        policy: Policy::parse(&policy)?,
        audience: Audience::Everyone,
        shards: Shards::for_images(Some(images.into())),
        state: TaskState::Open,
        images: None,
        imports: Default::default(),
        created_at: Timestamp::from_millis(1),
        sealed_at: None,
        ended_at: None,
        rev: 0,
    })
}

/// A decided image. Operators are right in 70 to 100 of a hundred cases; what they say is made of the image's hash.
fn decided(task: &Task, number: u32, operators: &[OperatorId]) -> Subtask {
    let image = ImageId::of(&number.to_be_bytes());
    let picture = Picture { media_type: "image/jpeg".to_owned(), width: 640, height: 480 };
    let at = Timestamp::from_millis(1);
    let mut subtask = Subtask::preparing(task.id, image, 50_000, picture, Preview::NotNeeded, at);
    let digest = image.digest();
    let truth = u16::from(digest[0]) % LABELS;
    for vote in 0..VOTES {
        let byte = |n: u32| u32::from(digest[(1 + vote * 4 + n) as usize]);
        let operator = (byte(0) * 256 + byte(1)) % OPERATORS;
        let right = byte(2) * 100 / 256 < 70 + operator % 30;
        let label = if right { truth } else { (truth + 1 + byte(3) as u16 % (LABELS - 1)) % LABELS };
        let vote = Vote { answer: Answer::Label(LabelIndex(label)), at, elapsed_ms: Some(1_000), earned: None };
        subtask.votes.insert(operators[operator as usize].clone(), vote);
    }
    let (label, confidence) = task.policy.rule.best(usize::from(LABELS), &subtask.votes);
    subtask.close(Decision { label, confidence, dispute: None }, OnDispute::Marked, at);
    subtask
}

/// A line of the kernel's account of this process, in KiB.
fn resident(line: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find_map(|text| text.strip_prefix(line)?.split_whitespace().nth(1));
    Ok(found.ok_or("no such line")?.parse()?)
}
