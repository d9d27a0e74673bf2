//! Is a data set whole, and is it what the tables say? And what lies there for nothing?
//!
//! For an admin, who has rights that no function has: to list the bucket, and to delete from it.

use std::time::Duration;

use lambel_core::TaskId;
use lambel_dataset::{
    Commit, CommitId, Depth, Garbage, RefName, Verification, find_garbage, remove_garbage, roots, verify,
};
use serde::Serialize;

use crate::{
    error::{Error, Result},
    ports::{SharedClock, SharedDatasets, SharedStore, StoreError},
};

/// The shortest grace period of garbage. A version is made in a quarter of an hour at most, and its pieces are
/// garbage until it is there.
pub const LEAST_GRACE: Duration = Duration::from_secs(3_600);

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The objects, all of every version.
    pub versions: Verification,
    /// The version that was held against the tables: where `live` stands.
    pub live: Option<CommitId>,
    /// Where the two differ.
    pub disagreements: Vec<Disagreement>,
    /// Whether they may differ: the task goes on, and the next version has what is new.
    pub in_motion: bool,
}

/// A number that is not the same in the version and in the tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// What was counted.
    pub what: &'static str,
    /// In the version.
    pub version: u64,
    /// In the tables.
    pub tables: u64,
}

/// Checks data sets, and cleans them up.
pub struct Checker {
    store: SharedStore,
    datasets: SharedDatasets,
    clock: SharedClock,
}

impl Checker {
    /// Over these ports.
    pub fn new(store: SharedStore, datasets: SharedDatasets, clock: SharedClock) -> Self {
        Self { store, datasets, clock }
    }

    /// Reads every version of a task's data set and checks it, and holds the newest against the task's counters.
    pub async fn verify(&self, id: TaskId) -> Result<Checked> {
        let task = self.store.task(id).await?.ok_or(Error::TaskNotFound)?;
        let dataset = self.datasets.of(id);
        let roots = roots(&*dataset.refs).await?;
        let versions = verify(&*dataset.objects, &roots, Depth::Ancestors).await?;
        let live = dataset.head(&RefName::live()).await?;
        let mut disagreements = Vec::new();
        if let Some(live) = live
            && versions.problems.is_empty()
        {
            let statistics = Commit::read(&*dataset.objects, live).await?.statistics;
            let counts = self.store.counts(&task).await?;
            let pairs = [
                ("images", statistics.images, counts.accepted + counts.rejected),
                ("rejected", statistics.rejected, counts.rejected),
                ("complete", statistics.complete, counts.complete),
                ("disputed", statistics.disputed, counts.disputed),
                ("unlabelled", statistics.unlabelled, counts.undecided()),
            ];
            let differ = pairs.into_iter().filter(|(_, version, tables)| version != tables);
            disagreements = differ.map(|(what, version, tables)| Disagreement { what, version, tables }).collect();
        }
        Ok(Checked { versions, live, disagreements, in_motion: !task.state.is_final() })
    }

    /// What no branch and no tag of a task's data set reaches and is older than a grace period, an hour at least. With
    /// `apply` it is removed.
    pub async fn collect(&self, id: TaskId, grace: Duration, apply: bool) -> Result<Garbage> {
        self.store.task(id).await?.ok_or(Error::TaskNotFound)?;
        if grace < LEAST_GRACE {
            return Err(Error::invalid("grace", "an hour at least"));
        }
        let dataset = self.datasets.of(id);
        let (objects, refs, now) = (&*dataset.objects, &*dataset.refs, self.clock.now());
        let found = find_garbage(objects, refs, now, grace).await?;
        if !apply {
            return Ok(found);
        }
        Ok(remove_garbage(objects, refs, &found, now, grace).await?)
    }
}

impl From<lambel_dataset::StoreError> for Error {
    fn from(error: lambel_dataset::StoreError) -> Self {
        Self::Store(StoreError::from(error))
    }
}
