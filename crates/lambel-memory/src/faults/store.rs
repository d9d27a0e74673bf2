//! Tables that fail, and whose indexes lag behind.

mod batches;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, CountsChange, FileName, ImageId, OperatorId, Standing, Subtask, Tally, Task,
    TaskId, Timestamp, Vote,
    consensus::Measured,
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_service::ports::{
    Announcement, CastError, Closing, Desk, Desks, FilePlace, SharedStore, SkillMark, Store, StoreResult, SweepMark,
    Trail,
};

use super::{Deed, Fault, Faults};
use crate::lock;

/// How far behind an index or a record may be, in changes of the tables.
const LAG: u64 = 64;

/// Tables in front of others, with faults.
pub struct FaultyStore {
    inner: SharedStore,
    faults: Arc<Faults>,
    past: Mutex<Past>,
}

/// A page of a client's list of tasks: whose, from where, and how long.
type Page = (ClientId, Option<TaskId>, u32);

/// What was there some changes ago.
#[derive(Default)]
struct Past {
    /// Changes so far.
    changes: u64,
    /// What has come into the pool (true) and what has left it, and when.
    pool: VecDeque<(u64, TaskId, ImageId, bool)>,
    /// An earlier version of records, and when it was seen.
    records: BTreeMap<(TaskId, ImageId), (u64, Subtask)>,
    /// Earlier answers to the lists of a client's tasks.
    owned: BTreeMap<Page, (u64, Vec<Task>)>,
}

impl Past {
    fn fresh(&self, at: u64) -> bool {
        at + LAG >= self.changes
    }

    fn changed(&mut self) -> u64 {
        self.changes += 1;
        while self.pool.front().is_some_and(|(at, ..)| at + LAG < self.changes) {
            self.pool.pop_front();
        }
        self.changes
    }

    /// Keeps a version of a record, unless one is kept that is older and not too old.
    fn keep(&mut self, subtask: &Subtask) {
        let key = (subtask.task, subtask.image);
        if self.records.get(&key).is_none_or(|(at, _)| !self.fresh(*at)) {
            self.records.insert(key, (self.changes, subtask.clone()));
        }
    }
}

impl FaultyStore {
    /// In front of these.
    pub fn new(inner: SharedStore, faults: Arc<Faults>) -> Self {
        Self { inner, faults, past: Mutex::default() }
    }

    fn changed(&self) {
        lock(&self.past).changed();
    }

    fn moved(&self, task: &Task, image: ImageId, into_the_pool: bool) {
        let mut past = lock(&self.past);
        let at = past.changed();
        past.pool.push_back((at, task.id, image, into_the_pool));
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn create_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.create_task(task, entry)).await;
        self.changed();
        answer
    }

    async fn task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        self.faults.call(Deed::Read, || self.inner.task(id)).await
    }

    async fn tasks_of(&self, owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>> {
        let now = self.faults.call(Deed::Read, || self.inner.tasks_of(owner, before, limit)).await?;
        let key = (owner.clone(), before, limit);
        let mut past = lock(&self.past);
        match past.owned.get(&key).filter(|(at, _)| past.fresh(*at)) {
            Some((_, then)) if *then != now && self.faults.strikes(Fault::StaleIndex) => Ok(then.clone()),
            Some(_) => Ok(now),
            None => {
                let at = past.changes;
                past.owned.insert(key, (at, now.clone()));
                Ok(now)
            }
        }
    }

    async fn active_tasks(&self, after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)> {
        self.faults.call(Deed::Read, || self.inner.active_tasks(after, limit)).await
    }

    async fn replace_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.replace_task(task, entry)).await;
        self.changed();
        answer
    }

    async fn tally(&self, task: &Task) -> StoreResult<Tally> {
        self.faults.call(Deed::Read, || self.inner.tally(task)).await
    }

    async fn correct(&self, task: &Task, change: &CountsChange) -> StoreResult<()> {
        // Neither twice, nor done and said to have failed: a transaction has a token by which the client sends it
        // again, and whoever corrects counts anew after a failure.
        self.inner.correct(task, change).await
    }

    async fn sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark> {
        self.faults.call(Deed::Read, || self.inner.sweep_mark(task)).await
    }

    async fn put_sweep_mark(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool> {
        self.faults.call(Deed::Write, || self.inner.put_sweep_mark(task, mark)).await
    }

    async fn skill_mark(&self, task: TaskId) -> StoreResult<SkillMark> {
        self.faults.call(Deed::Read, || self.inner.skill_mark(task)).await
    }

    async fn put_skill_mark(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool> {
        self.faults.call(Deed::Write, || self.inner.put_skill_mark(task, mark)).await
    }

    async fn names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>> {
        self.faults.call(Deed::Read, || self.inner.names(task, names)).await
    }

    async fn announce(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        self.faults.call(Deed::Transaction, || self.inner.announce(task, files)).await
    }

    async fn files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        self.faults.call(Deed::Read, || self.inner.files(task, shard, after, limit)).await
    }

    async fn files_of(&self, task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>> {
        self.faults.call(Deed::Read, || self.inner.files_of(task, image, limit)).await
    }

    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.record(task, subtasks)).await;
        self.changed();
        answer
    }

    async fn subtasks(&self, task: &Task, images: &[ImageId], consistent: bool) -> StoreResult<Vec<Subtask>> {
        let mut now = self.faults.call(Deed::Read, || self.inner.subtasks(task, images, consistent)).await?;
        let mut past = lock(&self.past);
        for subtask in &mut now {
            let then = past.records.get(&(subtask.task, subtask.image)).filter(|(at, _)| past.fresh(*at));
            match then {
                Some((_, then)) if !consistent && then != subtask && self.faults.strikes(Fault::StaleRecord) => {
                    *subtask = then.clone();
                }
                Some(_) => {}
                None => past.keep(subtask),
            }
        }
        Ok(now)
    }

    async fn list(&self, task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>> {
        self.faults.call(Deed::Read, || self.inner.list(task, shard, from, limit)).await
    }

    async fn pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>> {
        let mut images = self.faults.call(Deed::Read, || self.inner.pool(task, stretch, limit)).await?;
        let past = lock(&self.past);
        let within = |image: &ImageId| {
            task.shards.of(image) == stretch.shard
                && *image >= stretch.from
                && stretch.before.is_none_or(|before| *image < before)
        };
        let moved: Vec<_> =
            past.pool.iter().filter(|(_, of, image, _)| *of == task.id && within(image)).copied().collect();
        if moved.is_empty() || !self.faults.strikes(Fault::StaleIndex) {
            return Ok(images);
        }
        // The index as it was before the last few of these changes.
        let seen = self.faults.below(moved.len());
        let whole = images.len() < limit as usize;
        let end = images.last().copied();
        for (_, _, image, into) in moved[seen..].iter().rev() {
            let there = images.binary_search(image);
            match (into, there) {
                // Out of a page that is full nothing is taken: an index as it was would have had the next ones in it.
                (true, Ok(place)) if whole => drop(images.remove(place)),
                // Behind a page that is full nothing is added: it belongs to the next one.
                (false, Err(place)) if whole || end.is_some_and(|end| *image < end) => images.insert(place, *image),
                _ => {}
            }
        }
        images.truncate(limit as usize);
        Ok(images)
    }

    async fn open(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Write, || self.inner.open(task, image, preview)).await;
        self.moved(task, image, true);
        answer
    }

    async fn refuse(&self, task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.refuse(task, image, refusal, now)).await;
        self.changed();
        answer
    }

    async fn lease(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Write, || self.inner.lease(task, seen, operator, until, now)).await;
        self.changed();
        answer
    }

    async fn give_back(&self, task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Write, || self.inner.give_back(task, image, operator)).await;
        self.changed();
        answer
    }

    async fn cast(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError> {
        let answer = self.faults.call(Deed::Write, || self.inner.cast(task, image, operator, vote, held)).await;
        let mut past = lock(&self.past);
        past.changed();
        if let Ok((_, subtask)) = &answer {
            past.keep(subtask);
        }
        answer
    }

    async fn close(&self, task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.close(task, closings, now)).await;
        for closing in closings {
            self.moved(task, closing.seen.image, false);
        }
        answer
    }

    async fn desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks> {
        self.faults.call(Deed::Read, || self.inner.desks(tasks, operator)).await
    }

    async fn put_desk(&self, desk: &Desk) -> StoreResult<bool> {
        self.faults.call(Deed::Write, || self.inner.put_desk(desk)).await
    }

    async fn measure(&self, task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool> {
        self.faults.call(Deed::Write, || self.inner.measure(task, operator, measured)).await
    }

    async fn standing(&self, operator: &OperatorId) -> StoreResult<Standing> {
        self.faults.call(Deed::Read, || self.inner.standing(operator)).await
    }

    async fn put_standing(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool> {
        self.faults.call(Deed::Transaction, || self.inner.put_standing(standing, entry)).await
    }

    async fn audit(&self, trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>> {
        self.faults.call(Deed::Read, || self.inner.audit(trail, before, limit)).await
    }

    async fn count_request(&self, caller: &str, window: u64) -> StoreResult<u32> {
        self.faults.call(Deed::Write, || self.inner.count_request(caller, window)).await
    }
}
