//! Making versions: the ear of `dataset-committer`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use futures::TryStreamExt;
use lambel_core::{
    Actor, Task, TaskId, TaskState, Timestamp,
    api::PolicyFields,
    event::{CloudEvent, CommitRequest, TaskChanged},
};
use lambel_dataset::{
    Committed, Consensus, Dataset, Draft, Error as DatasetError, ModelVersion, RefName, Row,
    row::Outcome,
    store::{Moved, Reason},
};
use serde_json::{Map, Value};

use super::{
    PROGRAM,
    rows::{Place, rows},
    schedule,
};
use crate::{
    confidence::Reported,
    error::{Comeback, Error, Result},
    ports::{Answered, SharedClock, SharedCommitQueue, SharedDatasets, SharedQualityStore, SharedStore, StoreError},
};

/// How often a version is made anew when somebody else was faster.
const TRIES: usize = 3;
/// What is said of the version of a complete task.
const COMPLETE: &str = "the task is complete";
/// What is said of a version that a task's policy asks for.
pub(super) const REGULAR: &str = "as the policy says";

/// A message of the queue `commits`.
enum Message {
    Ended(TaskChanged),
    Wanted(CommitRequest),
}

/// Makes versions of data sets.
#[derive(Clone)]
pub struct Committer {
    pub(super) store: SharedStore,
    pub(super) datasets: SharedDatasets,
    pub(super) queue: SharedCommitQueue,
    pub(super) clock: SharedClock,
    quality: Option<SharedQualityStore>,
    place: Place,
}

/// What has been seen of the rows on their way.
#[derive(Default)]
struct Seen {
    latest: Option<Timestamp>,
    models: BTreeSet<ModelVersion>,
    decided: u64,
    confidence: f64,
}

impl Seen {
    fn row(&mut self, row: &Row) {
        self.latest = row.votes.iter().map(|vote| vote.at).chain([row.decided_at, self.latest]).max().flatten();
        let models = row.votes.iter().filter_map(|vote| {
            let (name, version) = vote.operator.as_str().strip_prefix("model:")?.rsplit_once('@')?;
            Some(ModelVersion { name: name.to_owned(), version: version.to_owned() })
        });
        self.models.extend(models);
        match &row.outcome {
            Outcome::Complete { confidence, .. } => {
                self.decided += 1;
                self.confidence += confidence.get();
            }
            Outcome::Disputed { .. } => self.decided += 1,
            Outcome::Unlabelled | Outcome::Rejected { .. } => {}
        }
    }

    /// The mean confidence of what is decided, a dispute being none; nothing if nothing is decided.
    fn mean_confidence(&self) -> Option<f64> {
        (self.decided > 0).then(|| self.confidence / self.decided as f64)
    }
}

impl Committer {
    /// Over these ports, of images that lie at this place.
    pub fn new(
        store: SharedStore,
        datasets: SharedDatasets,
        queue: SharedCommitQueue,
        clock: SharedClock,
        place: Place,
    ) -> Self {
        Self { store, datasets, queue, clock, quality: None, place }
    }

    /// The same, with confidences as they are calibrated here.
    #[must_use]
    pub fn with_calibrations(self, quality: SharedQualityStore) -> Self {
        Self { quality: Some(quality), ..self }
    }

    /// Takes a message of the queue `commits`: an event of the topic `task-completed`, raw, or a [`CommitRequest`].
    ///
    /// Retry decision: a version is made of what there is, so making it again does no harm; if nothing has changed
    /// there is no new one. Whatever fails comes back, and lies in the dead-letter queue after its last try. A body
    /// that cannot be read, or names a task that there is not, is put aside at once.
    pub async fn hear(&self, body: &str) -> Result<(), Comeback> {
        let message = read(body).map_err(|error| {
            tracing::error!(%error, "message cannot be read");
            Comeback::Never
        })?;
        let (task, done) = match &message {
            Message::Ended(ended) => (ended.task, self.ended(ended).await),
            Message::Wanted(request) => (request.task, self.wanted(request).await),
        };
        done.map_err(|error| {
            tracing::warn!(%task, %error, "no version made");
            if matches!(error, Error::TaskNotFound) { Comeback::Never } else { Comeback::Later }
        })
    }

    async fn ended(&self, ended: &TaskChanged) -> Result<()> {
        // A task that was called off has versions when somebody wants them.
        if ended.state != TaskState::Complete {
            return Ok(());
        }
        let (task, committed, mean) = self.commit(ended.task, &Actor::lambel(), COMPLETE).await?;
        if let Some(release) = task.policy.versions.release {
            let enough = release.min_confidence.is_none_or(|least| mean.is_some_and(|mean| mean >= least.get()));
            if enough && committed.commit.statistics.unlabelled == 0 {
                self.release(&self.datasets.of(task.id), &committed).await?;
            } else {
                tracing::info!(task = %task.id, "version not released: it is not sure enough");
            }
        }
        Ok(())
    }

    async fn wanted(&self, request: &CommitRequest) -> Result<()> {
        if request.if_due {
            // Somebody may have made one since it was asked for.
            let task = self.store.task(request.task).await?.ok_or(Error::TaskNotFound)?;
            if !schedule::is_due(&*self.store, &*self.datasets, &task, self.clock.now()).await? {
                return Ok(());
            }
        }
        let (_, committed, _) = self.commit(request.task, &request.author, &request.message).await?;
        if !request.if_due {
            let answered = Answered {
                asked_at: request.asked_at,
                at: self.clock.now(),
                commit: committed.id,
                new: committed.moved.is_some(),
            };
            self.datasets.answer(request.task, &answered).await?;
        }
        Ok(())
    }

    /// Makes a version of a task's data set, on the branch `live`, of what there is now; if there is one that has
    /// just that, it is returned. Says how sure the decisions in it are in the mean.
    async fn commit(&self, id: TaskId, author: &Actor, message: &str) -> Result<(Task, Committed, Option<f64>)> {
        let dataset = self.datasets.of(id);
        for _ in 0..TRIES {
            let task = Arc::new(self.store.task(id).await?.ok_or(Error::TaskNotFound)?);
            let images = self.store.counts(&task).await?.checked();
            let seen = Arc::new(Mutex::new(Seen::default()));
            let of_rows = seen.clone();
            let reported = Reported::read(self.quality.as_deref(), &task).await?;
            let rows = rows(self.store.clone(), task.clone(), images, self.place.clone(), reported)
                .inspect_ok(move |row| of_rows.lock().unwrap_or_else(PoisonError::into_inner).row(row));
            let draft = || {
                let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let draft = draft(&task, &seen, &reported, author.clone(), message.to_owned());
                (draft, self.clock.now())
            };
            match dataset.commit_rows_then(&RefName::live(), rows, draft).await {
                Ok(committed) => {
                    let (images, new) = (committed.commit.statistics.images, committed.moved.is_some());
                    tracing::info!(task = %id, commit = %committed.id, commit.new = new, images, "version made");
                    let mean = seen.lock().unwrap_or_else(PoisonError::into_inner).mean_confidence();
                    return Ok(((*task).clone(), committed, mean));
                }
                Err(DatasetError::Moved { .. }) => {
                    tracing::info!(task = %id, "version made again: somebody was faster")
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Contended)
    }

    /// Moves `released` to a version, as the policy says. Once a person has moved it, it is theirs to move.
    async fn release(&self, dataset: &Dataset, committed: &Committed) -> Result<()> {
        let released = RefName::released();
        let stands = dataset.refs.branch(&released).await.map_err(StoreError::from)?;
        if stands.as_ref().is_some_and(|last| last.by != Actor::lambel() || last.to == committed.id) {
            return Ok(());
        }
        let reason = Reason { by: Actor::lambel(), at: self.clock.now(), why: REGULAR.to_owned() };
        let from = stands.map(|last| last.to);
        let moved = dataset.refs.advance(&released, from, committed.id, &reason).await.map_err(StoreError::from)?;
        if let Moved::Done(_) = moved {
            tracing::info!(task = %committed.commit.task, commit = %committed.id, "version released");
        }
        Ok(())
    }
}

/// The time of a version is the latest that its rows know of, so that the same rows give the same version.
fn draft(task: &Task, seen: &Seen, reported: &Reported, author: Actor, message: String) -> Draft {
    let policy = PolicyFields::from(&task.policy);
    let mut consensus = consensus(&policy);
    let calibration = reported.calibration().and_then(|calibration| serde_json::to_value(calibration).ok());
    consensus.parameters.extend(calibration.map(|calibration| ("calibration".to_owned(), calibration)));
    Draft {
        task: task.id,
        author,
        at: seen.latest.unwrap_or(task.created_at),
        message,
        labels: task.labels.iter().cloned().collect(),
        policy: policy_of(&policy),
        consensus,
        models: seen.models.iter().cloned().collect(),
        program: PROGRAM.to_owned(),
    }
}

/// A policy as a version has it: as the interface shows it.
pub fn policy_of(policy: &PolicyFields) -> Map<String, Value> {
    match serde_json::to_value(policy) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// How votes became labels: what of a policy decides that.
pub fn consensus(policy: &PolicyFields) -> Consensus {
    let mut parameters = policy_of(policy);
    let method = parameters.remove("rule").and_then(|rule| rule.as_str().map(str::to_owned));
    // How long somebody may look at an image, and when there are versions, changes no label.
    let others = ["lease_seconds", "commit_every_decisions", "commit_every_minutes", "release_when"];
    for other in others.into_iter().chain(["release_min_confidence"]) {
        parameters.remove(other);
    }
    Consensus { method: method.unwrap_or_else(|| "majority".to_owned()), parameters }
}

fn read(body: &str) -> Result<Message, serde_json::Error> {
    let body: Value = serde_json::from_str(body)?;
    if body.get("specversion").is_some() {
        return Ok(Message::Ended(serde_json::from_value::<CloudEvent<TaskChanged>>(body)?.data));
    }
    serde_json::from_value(body).map(Message::Wanted)
}

/// The task that a message of the queue `commits` is about.
pub(crate) fn task_of(body: &str) -> Result<TaskId, serde_json::Error> {
    Ok(match read(body)? {
        Message::Ended(ended) => ended.task,
        Message::Wanted(request) => request.task,
    })
}

impl From<DatasetError> for Error {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Store(error) => Self::Store(error.into()),
            DatasetError::Moved { .. } => Self::Contended,
            DatasetError::NoImage => Self::ImageNotFound,
            DatasetError::NoBranch(branch) => Self::VersionNotFound(format!("there is no branch {branch}")),
            // Something is damaged, and trying again cannot mend it.
            other => Self::Store(StoreError::Failed(other.to_string())),
        }
    }
}
