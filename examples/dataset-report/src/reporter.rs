//! What is done with a message of the topic `dataset-moved`.

use lambel_core::{
    Actor, NoteKey,
    event::{CloudEvent, DatasetMoved},
    limits,
};
use lambel_dataset::{Commit, CommitId, Error, NotAnId, ObjectStore, Tree};
use lambel_service::{
    error::Comeback,
    ports::{Note, SharedClock, SharedDatasets, SharedNotes, StoreError},
};
use serde::Serialize;

use crate::report::{Report, report};

/// What notes name as the program that has found what they say. Another version computes anew what an older one has
/// written, when the message comes again.
pub const PROGRAM: &str = concat!("dataset-report ", env!("CARGO_PKG_VERSION"));

/// What the frame around a report takes of a note, in bytes.
const FRAME: usize = 600;

/// A note of a version, as it is written.
#[derive(Serialize)]
struct Found<'a> {
    program: &'a str,
    /// The branch that has moved to the version.
    #[serde(rename = "ref")]
    branch: &'a str,
    /// The number of the move.
    seq: u64,
    /// The version that it is compared with: where the branch stood before.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(flatten)]
    report: Report,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Unreadable(#[from] serde_json::Error),
    #[error(transparent)]
    NotAnId(#[from] NotAnId),
    #[error(transparent)]
    Dataset(#[from] Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Trouble {
    /// What the storage refuses may go better later. What is not there, or is damaged, stays so.
    fn comeback(&self) -> Comeback {
        match self {
            Self::Store(_) | Self::Dataset(Error::Store(_)) => Comeback::Later,
            _ => Comeback::Never,
        }
    }
}

/// Writes a report into the notes of each version that a branch moves to.
pub struct Reporter {
    datasets: SharedDatasets,
    notes: SharedNotes,
    clock: SharedClock,
    key: NoteKey,
}

impl Reporter {
    /// Over these ports, into the notes that have this key.
    pub fn new(datasets: SharedDatasets, notes: SharedNotes, clock: SharedClock, key: NoteKey) -> Self {
        Self { datasets, notes, clock, key }
    }

    /// Takes an event of the topic `dataset-moved`, raw.
    ///
    /// Retry decision: the same versions give the same report, so a message that comes twice changes nothing: a note
    /// that is there says which move it is of. One that comes late, after a later move of the branch to the same
    /// version, does not write over what that one has found. What the storage refuses comes back; what cannot be read
    /// is put aside at once.
    pub async fn hear(&self, body: &str) -> Result<(), Comeback> {
        self.take(body).await.map_err(|error| {
            tracing::error!(%error, "no report");
            error.comeback()
        })
    }

    async fn take(&self, body: &str) -> Result<(), Trouble> {
        let moved = serde_json::from_str::<CloudEvent<DatasetMoved>>(body)?.data;
        let (task, to) = (moved.task, moved.to.parse::<CommitId>()?);
        let from = moved.from.as_deref().map(str::parse::<CommitId>).transpose()?;
        // A person takes over what a policy has released: the branch stays where it is.
        if from == Some(to) || self.has_said(&moved, to).await? {
            return Ok(());
        }
        let dataset = self.datasets.of(task);
        let objects = &*dataset.objects;
        let before = match from {
            Some(from) => Some(tree(objects, from).await?),
            None => None,
        };
        let report = report(objects, before.as_ref(), &tree(objects, to).await?).await?;
        let found = Found {
            program: PROGRAM,
            branch: &moved.branch,
            seq: moved.seq,
            from: moved.from.as_deref(),
            report: report.within(limits::NOTE_BYTES - FRAME)?,
        };
        let note = Note {
            key: self.key.clone(),
            value: serde_json::to_value(&found)?,
            by: Actor { id: format!("pipeline:{}", self.key), name: None },
            at: self.clock.now(),
        };
        self.notes.put_note(task, to, &note).await?;
        tracing::info!(%task, commit = %to, images = report.version.images, "report written");
        Ok(())
    }

    /// Whether this program has said something of this move, or of a later one.
    async fn has_said(&self, moved: &DatasetMoved, to: CommitId) -> Result<bool, StoreError> {
        let note = self.notes.note_of(moved.task, to, &self.key).await?;
        Ok(note.is_some_and(|note| {
            note.value["program"] == PROGRAM
                && note.value["ref"] == moved.branch
                && note.value["seq"].as_u64().is_some_and(|seq| seq >= moved.seq)
        }))
    }
}

async fn tree(objects: &dyn ObjectStore, id: CommitId) -> Result<Tree, Error> {
    Commit::read(objects, id).await?.tree(objects).await
}
