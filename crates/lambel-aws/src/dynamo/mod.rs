//! The tables on DynamoDB.
//!
//! | module | what |
//! |---|---|
//! | `keys` | the keys of every kind of item |
//! | `items` | the attributes of every kind of item, and their versions |
//! | `client` | requests: paging, batches, transactions, conflicts, and what they cost |
//! | `tasks`, `subtasks`, `batches`, `watch`, `imports` | the operations of the ports |
//! | `webhooks` | the table of webhooks, and its port |
//! | `quality` | those of the port of operators' quality |
//! | `refs` | the branches and tags of data sets |
//! | `notes` | the port of notes of versions, and its items |
//! | `gold` | those of the port of gold |
//! | `exports` | the port of exports of data sets, and the items that belong to it |

mod batches;
mod client;
mod exports;
mod gold;
mod imports;
pub mod items;
mod keys;
mod notes;
mod quality;
mod refs;
mod subtasks;
mod tasks;
mod watch;
mod webhooks;

use async_trait::async_trait;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, CountsChange, FileName, ImageId, OperatorId, Standing, Subtask, Tally, Task,
    TaskId, Timestamp, Vote,
    consensus::Measured,
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_service::ports::{
    Announcement, CastError, Closing, Desk, Desks, FilePlace, SkillMark, Store, StoreResult, SweepMark, Trail,
};

use client::Client;
pub use client::{Meter, Usage};
pub(crate) use refs::DynamoRefs;
pub use webhooks::DynamoWebhooks;

use crate::settings::Aws;

/// The tables on DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    /// The name of the table `Tasks`.
    tasks: String,
    /// The name of the table `Subtasks`.
    subtasks: String,
}

impl DynamoStore {
    /// The tables of these names.
    pub fn new(aws: &Aws, tasks: impl Into<String>, subtasks: impl Into<String>) -> Self {
        let client = Client::new(aws_sdk_dynamodb::Client::new(aws.config()));
        Self { client, tasks: tasks.into(), subtasks: subtasks.into() }
    }

    /// What the requests so far have cost.
    pub fn meter(&self) -> &Meter {
        &self.client.meter
    }

    /// One cheap call, so that the connection stands before the first request comes.
    pub async fn warm_up(&self) {
        if let Err(error) = self.active_tasks(None, 1).await {
            tracing::warn!(%error, "tables not reached at start");
        }
    }
}

/// The port, method by method: each hands over to the module that does it.
#[async_trait]
impl Store for DynamoStore {
    async fn create_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        self.create_task_items(task, entry).await
    }

    async fn task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        self.read_task(id).await
    }

    async fn tasks_of(&self, owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>> {
        self.read_tasks_of(owner, before, limit).await
    }

    async fn active_tasks(&self, after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)> {
        self.read_active_tasks(after, limit).await
    }

    async fn replace_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        self.replace_task_item(task, entry, None).await
    }

    async fn tally(&self, task: &Task) -> StoreResult<Tally> {
        self.sum_counts(task).await
    }

    async fn correct(&self, task: &Task, change: &CountsChange) -> StoreResult<()> {
        self.correct_counts(task, change).await
    }

    async fn sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark> {
        self.read_sweep_mark(task).await
    }

    async fn put_sweep_mark(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool> {
        self.put_sweep_mark_item(task, mark).await
    }

    async fn skill_mark(&self, task: TaskId) -> StoreResult<SkillMark> {
        self.read_skill_mark(task).await
    }

    async fn put_skill_mark(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool> {
        self.put_skill_mark_item(task, mark).await
    }

    async fn names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>> {
        self.read_names(task, names).await
    }

    async fn announce(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        self.announce_files(task, files).await
    }

    async fn files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        self.read_files(task, shard, after, limit).await
    }

    async fn files_of(&self, task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>> {
        self.read_files_of(task, image, limit).await
    }

    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>> {
        self.record_subtasks(task, subtasks).await
    }

    async fn subtasks(&self, task: &Task, images: &[ImageId], consistent: bool) -> StoreResult<Vec<Subtask>> {
        self.read_subtasks(task, images, consistent).await
    }

    async fn list(&self, task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>> {
        self.list_subtasks(task, shard, from, limit).await
    }

    async fn pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>> {
        self.query_pool(task, stretch, limit).await
    }

    async fn open(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool> {
        self.open_subtask(task, image, preview).await
    }

    async fn refuse(&self, task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool> {
        self.refuse_subtask(task, image, refusal, now).await
    }

    async fn lease(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        self.lease_subtask(task, seen, operator, until, now).await
    }

    async fn give_back(&self, task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool> {
        self.give_back_subtask(task, image, operator).await
    }

    async fn cast(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError> {
        self.cast_vote(task, image, operator, vote, held).await
    }

    async fn close(&self, task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>> {
        self.close_subtasks(task, closings, now).await
    }

    async fn desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks> {
        self.read_desks(tasks, operator).await
    }

    async fn put_desk(&self, desk: &Desk) -> StoreResult<bool> {
        self.put_desk_item(desk).await
    }

    async fn measure(&self, task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool> {
        self.measure_operator(task, operator, measured).await
    }

    async fn standing(&self, operator: &OperatorId) -> StoreResult<Standing> {
        self.read_standing(operator).await
    }

    async fn put_standing(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool> {
        self.put_standing_item(standing, entry).await
    }

    async fn audit(&self, trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>> {
        self.read_trail(trail, before, limit).await
    }

    async fn count_request(&self, caller: &str, window: u64) -> StoreResult<u32> {
        self.add_request(caller, window).await
    }
}
