//! The publisher behind a stream as Lambda drives it: a batch fails as a whole, is halved, and what still fails alone
//! is put aside. The local cloud does none of that, so Lambda's part is played here, as AWS documents it for
//! `BisectBatchOnFunctionError`, `MaximumRetryAttempts` and `DestinationConfig`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{collections::BTreeSet, sync::Arc};

use lambel_aws::events;
use lambel_core::{
    Actor, Audience, AuditEntry, Deed, ImageId, LabelSet, Policy, Shards, Task, TaskState, Timestamp, event::Event,
};
use lambel_memory::{MemoryMessages, MemoryStore};
use lambel_service::{ports::Store, publish::Publisher};
use serde_json::{Value, json};

/// How often a batch is tried again before it is put aside. Ten thousand in the template.
const RETRIES: usize = 5;

struct World {
    publisher: Publisher,
    messages: Arc<MemoryMessages>,
}

/// What came of a shard of the stream.
#[derive(Debug, Default)]
struct Shard {
    /// Sequence numbers of the records that were put aside.
    dead_letters: Vec<String>,
    /// Calls of the function.
    calls: usize,
}

impl World {
    async fn new(task: &str) -> Self {
        let (store, messages) = (Arc::new(MemoryStore::default()), Arc::new(MemoryMessages::default()));
        let task = Task {
            id: task.parse().unwrap(),
            owner: "client".parse().unwrap(),
            name: "stream".to_owned(),
            labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
            instructions: String::new(),
            policy: Policy::default(),
            audience: Audience::Everyone,
            shards: Shards::for_images(None),
            state: TaskState::Open,
            images: None,
            created_at: Timestamp::default(),
            sealed_at: None,
            ended_at: None,
            rev: 0,
        };
        let actor = Actor { id: "client".to_owned(), name: None };
        let deed = Deed::TaskCreated { audience: (&Audience::Everyone).into() };
        store.create_task(&task, &AuditEntry { at: Timestamp::default(), actor, deed }).await.unwrap();
        Self { publisher: Publisher::new(store, messages.clone()), messages }
    }

    /// What `event-publisher` does with a batch.
    async fn function(&self, records: &[Value]) -> Result<(), String> {
        let event = serde_json::from_value(json!({ "Records": records })).map_err(|error| error.to_string())?;
        let changes = events::changes(event).map_err(|error| error.to_string())?;
        self.publisher.publish(&changes).await.map_err(|error| error.to_string())
    }

    /// What Lambda does with a shard: a batch that fails is halved, which costs it no retry; a batch of one is tried
    /// again so many times, and put aside. The second half waits for the first.
    async fn lambda(&self, records: &[Value]) -> Shard {
        let mut shard = Shard::default();
        let mut waiting = vec![records.to_vec()];
        while let Some(batch) = waiting.pop() {
            shard.calls += 1;
            if self.function(&batch).await.is_ok() {
                continue;
            }
            if let [alone] = &batch[..] {
                let mut failed = true;
                for _ in 0..RETRIES {
                    shard.calls += 1;
                    failed = self.function(&batch).await.is_err();
                    if !failed {
                        break;
                    }
                }
                if failed {
                    shard.dead_letters.push(alone["dynamodb"]["SequenceNumber"].as_str().unwrap().to_owned());
                }
                continue;
            }
            let (first, second) = batch.split_at(batch.len() / 2);
            waiting.push(second.to_vec());
            waiting.push(first.to_vec());
        }
        shard
    }

    /// The images that were announced, in the order of the first time, and the number of announcements.
    fn announced(&self) -> (Vec<String>, usize) {
        let events = self.messages.take_events();
        let mut seen = BTreeSet::new();
        let images = events.iter().filter(|event| seen.insert(event.id().to_owned())).map(|event| match event {
            Event::Subtask(_, event) => event.data.image.to_string(),
            Event::Task(..) | Event::Dataset(..) => panic!("no task ended, and no version was made"),
        });
        (images.collect(), events.len())
    }
}

/// So many decisions, made from the sample.
fn decisions(count: u32) -> (String, Vec<Value>, Vec<String>) {
    let sample = include_str!("../../../events/stream-subtasks.json");
    let sample: Value = serde_json::from_str(sample).unwrap();
    let pk = sample["Records"][0]["dynamodb"]["Keys"]["pk"]["S"].as_str().unwrap().to_owned();
    let images: Vec<_> = (0..count).map(|n| ImageId::of(&n.to_be_bytes()).to_string()).collect();
    let records = images.iter().zip(0..).map(|(image, n)| {
        let mut record = sample["Records"][0].clone();
        for part in ["Keys", "NewImage", "OldImage"] {
            record["dynamodb"][part]["sk"]["S"] = json!(image);
        }
        record["dynamodb"]["SequenceNumber"] = json!(format!("{n:021}"));
        record
    });
    (pk.split('#').next().unwrap().to_owned(), records.collect(), images)
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_put_aside_alone() {
    let (task, mut records, mut images) = decisions(100);
    for bad in [37, 90] {
        records[bad]["dynamodb"]["NewImage"]["v"]["N"] = json!("99");
    }
    let world = World::new(&task).await;
    let shard = world.lambda(&records).await;
    assert_eq!(shard.dead_letters, [format!("{:021}", 37), format!("{:021}", 90)]);
    images.remove(90);
    images.remove(37);
    let (announced, _) = world.announced();
    assert_eq!(announced, images, "all the others, in their order");
}

#[tokio::test]
async fn what_fails_for_a_while_loses_nothing_and_keeps_its_ids() {
    let (task, records, images) = decisions(50);
    let world = World::new(&task).await;
    world.messages.fail_next(4);
    let shard = world.lambda(&records).await;
    assert_eq!(shard.dead_letters, [""; 0]);
    assert!(shard.calls > 4);
    let (announced, _) = world.announced();
    assert_eq!(announced, images);
    // Lambda may hand over a batch that it has handed over before.
    world.lambda(&records).await;
    world.lambda(&records[10..20]).await;
    let (again, times) = world.announced();
    assert_eq!((again, times), (images, 60), "the same ids, so whoever listens can drop what they know");
}
