//! What the use cases need from the world. `lambel-aws` gives it by DynamoDB, S3, SQS and SNS, `lambel-memory`
//! by maps under a lock; one conformance suite holds both to what is written here.

mod webhooks;

mod quality;

mod datasets;
mod exports;

mod batches;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, Counts, CountsChange, FileName, ImageId, LabelIndex, OperatorId, Standing,
    Subtask, SubtaskState, Tally, Task, TaskId, Timestamp, Vote,
    api::Header,
    consensus::{BATCH_SHARE, Confidence, Decision, Measured, Verdict, WARM_IMAGES},
    event::{Event, NewSubtasks},
    ring::{Stretch, first_place},
    subtask::{Cast, DecidedBy, Refusal},
};

mod imports;

pub use imports::{Imports, SharedImports};

pub use webhooks::{
    Post, Reply, SharedTargets, SharedWebhookQueue, SharedWebhooks, Targets, WebhookQueue, WebhookStore,
};

pub use quality::{OperatorFound, OperatorQuality, Paused, QualityStore, SharedQualityStore, TaskQuality};

pub use datasets::{Answered, CommitQueue, Datasets, SharedCommitQueue, SharedDatasets};
pub use exports::{
    ExportFiles, ExportKey, ExportQueue, ExportStep, ExportWriter, Exports, PieceNote, Segment, SharedExportFiles,
    SharedExportQueue, SharedExports, Work,
};

pub use batches::{Batches, Estimates, REVISED_AT_ONCE, Revised, Revision, SharedEstimates};

mod gold;

pub use gold::{GoldStore, NoGold, SharedGold};

mod notes;

pub use notes::{Note, NoteStore, SharedNotes};

/// The world did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may go better in a moment: throttled, timed out, in conflict, unreachable.
    #[error("storage is busy: {0}")]
    Busy(String),
    /// Trying again cannot help: a record that cannot be read, a request that is refused.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// The result of asking a port.
pub type StoreResult<T> = Result<T, StoreError>;

/// What happened to one file of [`Store::announce`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announcement {
    /// Its row was written.
    New,
    /// The same name for the same image was there.
    Known,
    /// The name stands for another image already.
    NameTaken(ImageId),
}

/// A place among the files of a shard, which are sorted by image and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// The image.
    pub image: ImageId,
    /// The name; none stands for the place behind the last name of the image.
    pub name: Option<FileName>,
}

impl FilePlace {
    /// The place of a file.
    pub fn of(file: &AnnouncedFile) -> Self {
        Self { image: file.image, name: Some(file.name.clone()) }
    }
}

/// An operator's own record in one task.
#[derive(Clone, Debug, PartialEq)]
pub struct Desk {
    /// The task.
    pub task: TaskId,
    /// The operator.
    pub operator: OperatorId,
    /// What they have claimed, and until when. Images they have voted on since stay until the next claim;
    /// some expired ones stay too, so that a late vote can be honoured.
    pub leases: BTreeMap<ImageId, Timestamp>,
    /// Where their walk through the task goes on.
    pub place: ImageId,
    /// What the last batch has found of them, if there was one.
    pub measured: Option<Measured>,
    /// Since when they are paused in this task; none if they may work. Only [`QualityStore::put_pause`] changes it.
    pub paused_at: Option<Timestamp>,
    /// The number of changes so far; 0 if it was never stored.
    pub rev: u64,
}

impl Desk {
    /// The record of an operator who has not been at the task before.
    pub fn new(task: TaskId, operator: OperatorId) -> Self {
        let place = first_place(&operator, &task);
        Self { task, operator, leases: BTreeMap::new(), place, measured: None, paused_at: None, rev: 0 }
    }
}

/// A decided subtask, as it was when the decision was made.
#[derive(Clone, Debug)]
pub struct Closing {
    /// The record. The close is on the condition that its `rev` has not changed.
    pub seen: Subtask,
    /// The decision.
    pub decision: Decision,
    /// Who made it.
    pub by: DecidedBy,
}

/// Subtasks that one [`Store::close`] takes: a transaction has a hundred actions, one of them counts.
pub const CLOSED_AT_ONCE: usize = 99;

impl Closing {
    /// The closing of a subtask that is open and decided by its votes; none if it is not.
    pub fn of(task: &Task, seen: Subtask) -> Option<Self> {
        match seen.judge(&task.policy, task.labels.len()) {
            Verdict::Decided(decision) if seen.state == SubtaskState::Open => {
                Some(Self { seen, decision, by: DecidedBy::Votes })
            }
            _ => None,
        }
    }

    /// The closing of a subtask that is open with the label that its client knows to be true; none if it is not open.
    pub fn by_gold(seen: Subtask, label: LabelIndex) -> Option<Self> {
        let decision = Decision { label: Some(label), confidence: Confidence::new(1.0), dispute: None };
        (seen.state == SubtaskState::Open).then_some(Self { seen, decision, by: DecidedBy::Gold })
    }
}

/// Why a vote was not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CastError {
    /// The operator holds no lease.
    #[error(transparent)]
    NotLeased(#[from] lambel_core::subtask::NotLeased),
    /// There is no such subtask.
    #[error("there is no such image in the task")]
    NoSubtask,
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tables. Reads are consistent unless the method says otherwise.
#[async_trait]
pub trait Store: Batches + Send + Sync {
    // Tasks.

    /// Writes a new task, with its places in its owner's list and in the list of active tasks, and the first
    /// entry of its trail. False if the owner has as many active tasks as they may have. The very same task again
    /// changes nothing.
    async fn create_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool>;

    /// Reads a task.
    async fn task(&self, id: TaskId) -> StoreResult<Option<Task>>;

    /// A client's tasks, the newest first, from before `before`. May lag behind by a moment.
    async fn tasks_of(&self, owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>>;

    /// The tasks that are open or sealed, the oldest first, from behind `after`. The id is that of the last row,
    /// where there may be more behind it. Whoever is paused must hold nothing afterwards, so a task that is there
    /// must not be missed.
    async fn active_tasks(&self, after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)>;

    /// Replaces a task by what it has become, if its `rev` is still the one before. False if it is not. In the
    /// same step the trail gets its entry, and a task that has ended leaves the list of active tasks.
    async fn replace_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool>;

    /// The sum of a task's counter slots.
    async fn tally(&self, task: &Task) -> StoreResult<Tally>;

    /// The sum alone.
    async fn counts(&self, task: &Task) -> StoreResult<Counts> {
        Ok(self.tally(task).await?.counts)
    }

    /// Adds to the counters of a task what a recount has found missing. Whoever calls it has proved the change: by
    /// a recount between two tallies with the same number of changes.
    async fn correct(&self, task: &Task, change: &CountsChange) -> StoreResult<()>;

    /// What the sweep remembers of a task; a new record if it never looked at it.
    async fn sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark>;

    /// Stores what the sweep remembers of a task, if its `rev` is still the one before. False if it is not.
    async fn put_sweep_mark(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool>;

    /// When the operators of a task were measured; a new record if they never were.
    async fn skill_mark(&self, task: TaskId) -> StoreResult<SkillMark>;

    /// Stores when the operators of a task were measured, if its `rev` is still the one before. False if it is not.
    async fn put_skill_mark(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool>;

    /// The images that names stand for, where they stand for one. At most 1,000 names.
    async fn names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>>;

    /// Writes the rows of files, each if its name is free. At most 1,000, of different names.
    async fn announce(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>>;

    /// The files of one shard, sorted by image and name, after a given place.
    async fn files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>>;

    /// The files of one image, sorted by name, `limit` at most.
    async fn files_of(&self, task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>>;

    // Subtasks.

    /// Writes the records that do not exist yet and counts them, in one step, and says which those were. At
    /// most 99, of one task.
    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>>;

    /// Reads subtasks: those that exist, in no order. At most 1,000. Without `consistent` they may lag behind
    /// by a moment.
    async fn subtasks(&self, task: &Task, images: &[ImageId], consistent: bool) -> StoreResult<Vec<Subtask>>;

    /// The subtasks of one shard, sorted by image, from a given place on.
    async fn list(&self, task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>>;

    /// Images of the pool in a stretch of the ring, sorted. Lags behind by a moment.
    async fn pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>>;

    /// [`Subtask::open`].
    async fn open(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool>;

    /// [`Subtask::refuse`], and counts it as rejected instead of accepted, in one step.
    async fn refuse(&self, task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool>;

    /// [`Subtask::lease`], if the record is as it was seen. False if it is not.
    async fn lease(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool>;

    /// [`Subtask::give_back`].
    async fn give_back(&self, task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool>;

    /// [`Subtask::cast`]: what became of the vote, and the record as it is now.
    async fn cast(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError>;

    /// [`Subtask::close`] for subtasks of one task, and counts them, in one step: those whose record is as it
    /// was seen. Says for each whether it was. At most 99.
    async fn close(&self, task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>>;

    // Operators.

    /// The operator's standing, and the tasks, where they exist, with the operator's record in each (a new one
    /// where there is none), by one request. At most 40 tasks.
    async fn desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks>;

    /// Stores an operator's record, if its `rev` is still the one before. False if it is not.
    async fn put_desk(&self, desk: &Desk) -> StoreResult<bool>;

    /// Writes on an operator's record what a batch has found of them. False, and no change, if there is no record.
    async fn measure(&self, task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool>;

    /// An operator's standing; a new one if nothing was ever said of them.
    async fn standing(&self, operator: &OperatorId) -> StoreResult<Standing>;

    /// Stores an operator's standing, if its `rev` is still the one before, and an entry of their trail. False
    /// if it is not.
    async fn put_standing(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool>;

    // Watch.

    /// A trail, the newest entry first, from before the entry of the number `before`, each with its number. May
    /// lag behind by a moment.
    async fn audit(&self, trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>>;

    /// Counts a request of a caller in a window of time, and says how many there were with this one. Windows are
    /// numbered; a window that is over is forgotten.
    async fn count_request(&self, caller: &str, window: u64) -> StoreResult<u32>;
}

/// What the sweep remembers of a task between two looks: see [`crate::sweep`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepMark {
    /// [`Tally::changes`] at the last look.
    pub changes: u64,
    /// Since when it has been that.
    pub since: Timestamp,
    /// Walks through the whole task since then.
    pub walks: u32,
    /// Where the walk that is under way goes on: behind this image.
    pub walked_to: Option<ImageId>,
    /// What the walk that is under way has found so far.
    pub found: u64,
    /// The number of changes so far; 0 if it was never stored.
    pub rev: u64,
}

/// When the operators of a task were measured: see [`crate::skills`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SkillMark {
    /// Images that were decided at the last look.
    pub decided: u64,
    /// When a look began that has not ended; the beginning of time if there is none.
    pub begun: Timestamp,
    /// The number of changes so far; 0 if it was never stored. While a look is under way it is that look's number.
    pub rev: u64,
}

impl SkillMark {
    /// Whether enough was decided since the last look, in a task of so many images: a twentieth of them, and 20 at
    /// least. In a large task, where that would be late, as many as believing the operators takes, and then twice as
    /// many as at the last look.
    pub fn is_due(&self, decided: u64, images: u64) -> bool {
        let share = (images as f64 * BATCH_SHARE).ceil() as u64;
        let step = share.min(self.decided.max(WARM_IMAGES)).max(20);
        decided >= self.decided.saturating_add(step)
    }
}

/// What a trail is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trail {
    /// A task.
    Task(TaskId),
    /// An operator.
    Operator(OperatorId),
}

/// What one read gets of an operator.
#[derive(Clone, Debug)]
pub struct Desks {
    /// Whether they may work.
    pub standing: Standing,
    /// The tasks that were asked for, in that order, and the operator's record in each.
    pub desks: Vec<(Option<Task>, Desk)>,
}

/// Where a picture lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shelf {
    /// The files as they were uploaded.
    Uploads,
    /// Previews that were made of them.
    Previews,
}

/// The name of an object: one image of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
}

impl ObjectKey {
    /// Reads `{task}/{image}`.
    pub fn parse(key: &str) -> Option<Self> {
        let (task, image) = key.split_once('/')?;
        Some(Self { task: task.parse().ok()?, image: image.parse().ok()? })
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.task, self.image)
    }
}

/// Which version of an object it is; none where the bucket keeps no versions.
pub type ObjectVersion = Option<String>;

/// An uploaded object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Its bytes.
    Bytes(Bytes, ObjectVersion),
    /// It is longer than was asked for, and was not read; its length in bytes.
    TooLong(u64, ObjectVersion),
    /// There is no such object.
    Missing,
}

/// An object that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The image that its key names.
    pub image: ImageId,
    /// Its length.
    pub bytes: u64,
    /// When it was uploaded last.
    pub at: Timestamp,
}

/// An upload that may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignedPut {
    /// Where to.
    pub url: String,
    /// The headers that the signature covers.
    pub headers: Vec<Header>,
}

/// The buckets.
#[async_trait]
pub trait Objects: Send + Sync {
    /// An address that takes exactly these bytes, of this length and type, and nothing else.
    async fn presign_put(
        &self,
        key: ObjectKey,
        bytes: u64,
        media_type: &str,
        life: Duration,
    ) -> StoreResult<PresignedPut>;

    /// An address at which a picture can be read, served as `media_type` whatever it was uploaded as.
    async fn presign_get(&self, shelf: Shelf, key: ObjectKey, media_type: &str, life: Duration) -> StoreResult<String>;

    /// Reads an upload of `limit` bytes at most.
    async fn fetch(&self, key: ObjectKey, limit: u64) -> StoreResult<Fetched>;

    /// The uploads of a task, sorted by image, from behind a given one, `limit` at most. Objects whose keys are not
    /// those of images are left out.
    async fn uploads(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Upload>>;

    /// Stores a preview.
    async fn put_preview(&self, key: ObjectKey, bytes: Bytes, media_type: &str) -> StoreResult<()>;
}

/// The queues and topics.
#[async_trait]
pub trait Messages: Send + Sync {
    /// Sends a message to `new-subtasks`.
    async fn send_new_subtasks(&self, body: &NewSubtasks) -> StoreResult<()>;

    /// Sends to the queue `uploads`, once more, what S3 says of an upload: one message for each.
    async fn send_uploads(&self, keys: &[ObjectKey]) -> StoreResult<()>;

    /// Publishes events, each to its topic, all or the call fails. Sending one again does no harm.
    async fn publish(&self, events: &[Event]) -> StoreResult<()>;
}

/// The clock.
pub trait Clock: Send + Sync {
    /// This moment.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The tables, shared.
pub type SharedStore = Arc<dyn Store>;
/// The buckets, shared.
pub type SharedObjects = Arc<dyn Objects>;
/// The queues and topics, shared.
pub type SharedMessages = Arc<dyn Messages>;
/// The clock, shared.
pub type SharedClock = Arc<dyn Clock>;
