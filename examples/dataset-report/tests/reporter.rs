//! A branch moves, and the version has a note: over the ports in memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use dataset_report::{PROGRAM, Reporter};
use futures::stream;
use lambel_core::{
    Actor, ImageId, Label, NoteKey, TaskId, Timestamp,
    consensus::Confidence,
    event::{DatasetMoved, Event},
};
use lambel_dataset::{CommitId, Consensus, Draft, RefName, Row, row::Outcome};
use lambel_memory::{ManualClock, MemoryDatasets, MemoryNotes};
use lambel_service::{
    error::Comeback,
    ports::{Datasets, Note, NoteStore},
};
use serde_json::{Map, json};

struct World {
    task: TaskId,
    datasets: Arc<MemoryDatasets>,
    notes: Arc<MemoryNotes>,
    clock: Arc<ManualClock>,
    reporter: Reporter,
}

fn key() -> NoteKey {
    "dataset-report".parse().unwrap()
}

impl World {
    fn new() -> Self {
        let (datasets, notes) = (Arc::<MemoryDatasets>::default(), Arc::<MemoryNotes>::default());
        let clock = Arc::new(ManualClock::new());
        let reporter = Reporter::new(datasets.clone(), notes.clone(), clock.clone(), key());
        Self { task: TaskId::random(), datasets, notes, clock, reporter }
    }

    /// A version of images with these labels.
    async fn version(&self, labels: &[&str]) -> CommitId {
        let row = |(n, label): (usize, &&str)| {
            let outcome = Outcome::Complete {
                label: Label::parse(label).unwrap(),
                confidence: Confidence::new(0.8),
                reason: None,
            };
            Row { outcome, ..Row::new(ImageId::of(&n.to_be_bytes())) }
        };
        let mut rows: Vec<Row> = labels.iter().enumerate().map(row).collect();
        rows.sort_by_key(|row| row.image);
        let draft = Draft {
            task: self.task,
            author: Actor::lambel(),
            at: Timestamp::from_millis(1),
            message: "m".to_owned(),
            labels: ["cat", "dog"].map(|label| Label::parse(label).unwrap()).into(),
            policy: Map::new(),
            consensus: Consensus { method: "majority".to_owned(), parameters: Map::new() },
            models: Vec::new(),
            program: "test".to_owned(),
        };
        let dataset = self.datasets.of(self.task);
        let rows = stream::iter(rows.into_iter().map(Ok));
        dataset.commit_rows(&RefName::live(), draft, rows).await.unwrap().id
    }

    /// The event of a move of `released`, as the topic carries it.
    fn moved(&self, from: Option<CommitId>, to: CommitId, seq: u64) -> String {
        let moved = DatasetMoved {
            task: self.task,
            branch: "released".to_owned(),
            from: from.map(|id| id.to_string()),
            to: to.to_string(),
            seq,
            author: Actor::lambel(),
            message: "release".to_owned(),
        };
        Event::of_move(moved, Timestamp::from_millis(1), &"alice".parse().unwrap()).body().unwrap()
    }

    async fn note(&self, commit: CommitId) -> Option<Note> {
        self.notes.note_of(self.task, commit, &key()).await.unwrap()
    }
}

#[tokio::test]
async fn what_is_released_is_noted_upon_beside_what_it_follows() {
    let world = World::new();
    let first = world.version(&["cat", "cat", "dog"]).await;
    let second = world.version(&["cat", "dog", "dog"]).await;
    world.reporter.hear(&world.moved(None, first, 1)).await.unwrap();
    let note = world.note(first).await.unwrap();
    assert_eq!(note.by, Actor { id: "pipeline:dataset-report".to_owned(), name: None });
    let said = &note.value;
    assert_eq!((&said["program"], &said["ref"], &said["seq"]), (&json!(PROGRAM), &json!("released"), &json!(1)));
    assert_eq!((&said["complete"], said.get("since"), said.get("from")), (&json!(3), None, None));

    world.reporter.hear(&world.moved(Some(first), second, 2)).await.unwrap();
    let said = world.note(second).await.unwrap().value;
    assert_eq!(said["from"], first.to_string());
    assert_eq!(
        (&said["since"]["labels"], &said["since"]["matrix"]),
        (&json!(["cat", "dog"]), &json!([[1, 1], [0, 1]]))
    );
    assert!((said["before"]["mean_confidence"].as_f64().unwrap() - 0.8).abs() < 1e-9);
    assert_eq!(world.note(first).await.unwrap(), note, "that of the version before stays");
}

#[tokio::test]
async fn a_message_that_comes_again_or_late_changes_nothing() {
    let world = World::new();
    let first = world.version(&["cat", "cat"]).await;
    let second = world.version(&["cat", "dog"]).await;
    let (one, two, three) =
        (world.moved(None, first, 1), world.moved(Some(first), second, 2), world.moved(Some(second), first, 3));
    world.reporter.hear(&one).await.unwrap();
    let note = world.note(first).await;
    world.clock.pass(Duration::from_secs(60));
    world.reporter.hear(&one).await.unwrap();
    assert_eq!(world.note(first).await, note, "not even the time");

    // Back to the first one, which is compared with the second now; and then the first message once more.
    world.reporter.hear(&three).await.unwrap();
    world.reporter.hear(&two).await.unwrap();
    let note = world.note(first).await;
    assert_eq!(note.as_ref().unwrap().value["from"], second.to_string());
    world.reporter.hear(&one).await.unwrap();
    assert_eq!(world.note(first).await, note);
    // Somebody takes the release over: the branch stands where it stood.
    world.reporter.hear(&world.moved(Some(first), first, 4)).await.unwrap();
    assert_eq!(world.note(first).await, note);
}

#[tokio::test]
async fn what_another_program_has_written_there_is_written_over() {
    let world = World::new();
    let version = world.version(&["cat"]).await;
    let older = json!({"program": "dataset-report 0.0.1", "ref": "released", "seq": 1});
    let note = Note { key: key(), value: older, by: Actor::lambel(), at: Timestamp::from_millis(1) };
    world.notes.put_note(world.task, version, &note).await.unwrap();
    world.reporter.hear(&world.moved(None, version, 1)).await.unwrap();
    assert_eq!(world.note(version).await.unwrap().value["program"], PROGRAM);
}

#[tokio::test]
async fn what_cannot_be_read_is_put_aside() {
    let world = World::new();
    let version = world.version(&["cat"]).await;
    let missing = world.moved(None, CommitId::of(b"never made"), 1);
    let no_id = world.moved(None, version, 1).replace(&version.to_string(), "cafe");
    for body in ["", "{}", "null", &missing, &no_id] {
        assert_eq!(world.reporter.hear(body).await, Err(Comeback::Never), "{body:.80}");
    }
}
