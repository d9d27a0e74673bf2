//! The tables in memory.

mod imports;

mod quality;

mod batches;

use std::{ops::Bound, sync::Mutex};

use async_trait::async_trait;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, CountsChange, FileName, ImageId, OperatorId, Standing, Subtask, SubtaskState,
    Tally, Task, TaskId, Timestamp, Vote,
    consensus::Measured,
    event::Was,
    limits,
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_service::{
    ports::{
        Announcement, CastError, Closing, Desk, Desks, FilePlace, OperatorQuality, SkillMark, Store, StoreError,
        StoreResult, SweepMark, TaskQuality, Trail,
    },
    publish::Change,
};

use crate::{Table, gold::GoldTables, lock, turn};

/// The tables in memory, and the streams of their changes.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
    pub(crate) gold: Mutex<GoldTables>,
}

#[derive(Debug, Default)]
struct Tables {
    tasks: Table<TaskId, Task>,
    tallies: Table<TaskId, Tally>,
    sweep_marks: Table<TaskId, SweepMark>,
    names: Table<(TaskId, FileName), ImageId>,
    files: Table<(TaskId, ImageId, FileName), AnnouncedFile>,
    subtasks: Table<(TaskId, ImageId), Subtask>,
    desks: Table<(TaskId, OperatorId), Desk>,
    skill_marks: Table<TaskId, SkillMark>,
    qualities: Table<(TaskId, OperatorId), OperatorQuality>,
    task_qualities: Table<TaskId, TaskQuality>,
    standings: Table<OperatorId, Standing>,
    /// By what they are about and the number of the change.
    trails: Table<(Trail, u64), AuditEntry>,
    /// The window and the requests in it, by caller.
    requests: Table<String, (u64, u32)>,
    stream: Vec<Change>,
}

impl MemoryStore {
    /// Takes what the streams carry: the changes since the last time, in order.
    pub fn take_stream(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.tables).stream)
    }

    /// Every subtask of a task.
    pub fn all_subtasks(&self, task: TaskId) -> Vec<Subtask> {
        let tables = lock(&self.tables);
        tables.subtasks.range((task, ImageId::MIN)..=(task, ImageId::MAX)).map(|(_, s)| s.clone()).collect()
    }
}

impl Tables {
    fn standing(&self, operator: &OperatorId) -> Standing {
        self.standings.get(operator).cloned().unwrap_or_else(|| Standing::new(operator.clone()))
    }

    fn put_subtask(&mut self, after: Subtask) {
        let key = (after.task, after.image);
        let before = self.subtasks.insert(key, after.clone()).map(|before| Was::of(&before));
        self.stream.push(Change::Subtask { before, after: Box::new(after) });
    }

    fn count(&mut self, task: TaskId, change: &CountsChange) {
        if !change.is_none() {
            let tally = self.tallies.entry(task).or_default();
            *tally = Tally { counts: tally.counts.changed_by(change), changes: tally.changes + 1 };
        }
    }

    fn put_task(&mut self, after: Task) {
        let before = self.tasks.insert(after.id, after.clone()).map(|before| before.state);
        self.stream.push(Change::Task { before, after: Box::new(after) });
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn create_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        match tables.tasks.get(&task.id) {
            Some(there) if there == task => return Ok(true),
            Some(_) => return Err(StoreError::Failed("this task exists already".to_owned())),
            None => {}
        }
        let active = tables.tasks.values().filter(|other| other.owner == task.owner && !other.state.is_final()).count();
        if active >= limits::ACTIVE_TASKS_PER_CLIENT as usize {
            return Ok(false);
        }
        tables.put_task(task.clone());
        tables.trails.insert((Trail::Task(task.id), task.rev), entry.clone());
        Ok(true)
    }

    async fn task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        turn().await;
        Ok(lock(&self.tables).tasks.get(&id).cloned())
    }

    async fn tasks_of(&self, owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>> {
        turn().await;
        let tables = lock(&self.tables);
        let own = tables.tasks.values().rev().filter(|task| task.owner == *owner);
        Ok(own.filter(|task| before.is_none_or(|before| task.id < before)).take(limit as usize).cloned().collect())
    }

    async fn active_tasks(&self, after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)> {
        turn().await;
        let tables = lock(&self.tables);
        let active = tables.tasks.values().filter(|task| !task.state.is_final());
        let page: Vec<_> =
            active.filter(|task| after.is_none_or(|after| task.id > after)).take(limit as usize).cloned().collect();
        let more = page.last().filter(|_| page.len() == limit as usize).map(|task| task.id);
        Ok((page, more))
    }

    async fn replace_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let won = tables.tasks.get(&task.id).is_some_and(|now| now.rev + 1 == task.rev);
        if won {
            tables.put_task(task.clone());
            tables.trails.insert((Trail::Task(task.id), task.rev), entry.clone());
        }
        Ok(won)
    }

    async fn tally(&self, task: &Task) -> StoreResult<Tally> {
        turn().await;
        Ok(lock(&self.tables).tallies.get(&task.id).copied().unwrap_or_default())
    }

    async fn correct(&self, task: &Task, change: &CountsChange) -> StoreResult<()> {
        turn().await;
        lock(&self.tables).count(task.id, change);
        Ok(())
    }

    async fn sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark> {
        turn().await;
        Ok(lock(&self.tables).sweep_marks.get(&task).cloned().unwrap_or_default())
    }

    async fn put_sweep_mark(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let won = tables.sweep_marks.get(&task).map_or(0, |stored| stored.rev) + 1 == mark.rev;
        if won {
            tables.sweep_marks.insert(task, mark.clone());
        }
        Ok(won)
    }

    async fn skill_mark(&self, task: TaskId) -> StoreResult<SkillMark> {
        turn().await;
        Ok(lock(&self.tables).skill_marks.get(&task).copied().unwrap_or_default())
    }

    async fn put_skill_mark(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let won = tables.skill_marks.get(&task).map_or(0, |stored| stored.rev) + 1 == mark.rev;
        if won {
            tables.skill_marks.insert(task, *mark);
        }
        Ok(won)
    }

    async fn names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>> {
        turn().await;
        let tables = lock(&self.tables);
        Ok(names.iter().map(|name| tables.names.get(&(task.id, name.clone())).copied()).collect())
    }

    async fn announce(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        turn().await;
        let mut tables = lock(&self.tables);
        let announcements = files.iter().map(|file| {
            let taken = *tables.names.entry((task.id, file.name.clone())).or_insert(file.image);
            if taken != file.image {
                return Announcement::NameTaken(taken);
            }
            let key = (task.id, file.image, file.name.clone());
            if tables.files.contains_key(&key) {
                return Announcement::Known;
            }
            tables.files.insert(key, file.clone());
            Announcement::New
        });
        Ok(announcements.collect())
    }

    async fn files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        turn().await;
        let tables = lock(&self.tables);
        let behind = |file: &AnnouncedFile| match after {
            None => true,
            Some(FilePlace { image, name: None }) => file.image > *image,
            Some(FilePlace { image, name: Some(name) }) => (file.image, &file.name) > (*image, name),
        };
        let own = tables.files.iter().filter(|((id, image, _), _)| *id == task.id && task.shards.of(image) == shard);
        Ok(own.map(|(_, file)| file).filter(|file| behind(file)).take(limit as usize).cloned().collect())
    }

    async fn files_of(&self, task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>> {
        turn().await;
        let tables = lock(&self.tables);
        let rows = tables.files.iter().filter(|((id, of, _), _)| *id == task.id && *of == image);
        Ok(rows.take(limit as usize).map(|(_, file)| file.clone()).collect())
    }

    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>> {
        turn().await;
        let mut tables = lock(&self.tables);
        let mut new = Vec::new();
        let mut more = CountsChange::default();
        for subtask in subtasks {
            if tables.subtasks.contains_key(&(task.id, subtask.image)) {
                continue;
            }
            more.record(subtask.state);
            tables.put_subtask(subtask.clone());
            new.push(subtask.image);
        }
        tables.count(task.id, &more);
        Ok(new)
    }

    async fn subtasks(&self, task: &Task, images: &[ImageId], _consistent: bool) -> StoreResult<Vec<Subtask>> {
        turn().await;
        let tables = lock(&self.tables);
        Ok(images.iter().filter_map(|image| tables.subtasks.get(&(task.id, *image)).cloned()).collect())
    }

    async fn list(&self, task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>> {
        turn().await;
        let tables = lock(&self.tables);
        let rows = tables.subtasks.range((task.id, from)..=(task.id, ImageId::MAX)).map(|(_, subtask)| subtask);
        Ok(rows.filter(|s| task.shards.of(&s.image) == shard).take(limit as usize).cloned().collect())
    }

    async fn pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>> {
        turn().await;
        let tables = lock(&self.tables);
        let last = match stretch.before {
            Some(before) if before <= stretch.from => return Ok(Vec::new()),
            Some(before) => Bound::Excluded((task.id, before)),
            None => Bound::Included((task.id, ImageId::MAX)),
        };
        let rows = tables.subtasks.range((Bound::Included((task.id, stretch.from)), last)).map(|(_, subtask)| subtask);
        let open = rows.filter(|s| s.state == SubtaskState::Open && task.shards.of(&s.image) == stretch.shard);
        Ok(open.take(limit as usize).map(|subtask| subtask.image).collect())
    }

    async fn open(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let Some(mut subtask) = tables.subtasks.get(&(task.id, image)).cloned() else { return Ok(false) };
        let opened = subtask.open(preview);
        if opened {
            tables.put_subtask(subtask);
        }
        Ok(opened)
    }

    async fn refuse(&self, task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let Some(mut subtask) = tables.subtasks.get(&(task.id, image)).cloned() else { return Ok(false) };
        let refused = subtask.refuse(refusal.clone(), now);
        if refused {
            tables.put_subtask(subtask);
            tables.count(task.id, &CountsChange::refusal());
        }
        Ok(refused)
    }

    async fn lease(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let Some(mut subtask) = tables.subtasks.get(&(task.id, seen.image)).cloned() else { return Ok(false) };
        if subtask.rev != seen.rev {
            return Ok(false);
        }
        subtask.lease(operator, until, now);
        tables.put_subtask(subtask);
        Ok(true)
    }

    async fn give_back(&self, task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let Some(mut subtask) = tables.subtasks.get(&(task.id, image)).cloned() else { return Ok(false) };
        let held = subtask.give_back(operator);
        if held {
            tables.put_subtask(subtask);
        }
        Ok(held)
    }

    async fn cast(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError> {
        turn().await;
        let mut tables = lock(&self.tables);
        let before = tables.subtasks.get(&(task.id, image)).cloned().ok_or(CastError::NoSubtask)?;
        let mut subtask = before.clone();
        let cast = subtask.cast(operator, vote, held, &task.policy, task.labels.len())?;
        if subtask != before {
            tables.put_subtask(subtask.clone());
        }
        Ok((cast, subtask))
    }

    async fn close(&self, task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>> {
        turn().await;
        let mut tables = lock(&self.tables);
        let mut closed = Vec::with_capacity(closings.len());
        let mut more = CountsChange::default();
        for Closing { seen, decision, by } in closings {
            let current =
                tables.subtasks.get(&(task.id, seen.image)).filter(|current| current.rev == seen.rev).cloned();
            closed.push(current.is_some());
            let Some(mut subtask) = current else { continue };
            subtask.close_by(*decision, *by, task.policy.disputed, now);
            more.close(&subtask);
            tables.put_subtask(subtask);
        }
        tables.count(task.id, &more);
        Ok(closed)
    }

    async fn desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks> {
        turn().await;
        let tables = lock(&self.tables);
        let desk = |id: &TaskId| {
            let stored = tables.desks.get(&(*id, operator.clone())).cloned();
            let desk = stored.unwrap_or_else(|| Desk::new(*id, operator.clone()));
            (tables.tasks.get(id).cloned(), desk)
        };
        Ok(Desks { standing: tables.standing(operator), desks: tasks.iter().map(desk).collect() })
    }

    async fn put_desk(&self, desk: &Desk) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let key = (desk.task, desk.operator.clone());
        let won = tables.desks.get(&key).map_or(0, |stored| stored.rev) + 1 == desk.rev;
        if won {
            tables.desks.insert(key, desk.clone());
        }
        Ok(won)
    }

    async fn measure(&self, task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let Some(desk) = tables.desks.get_mut(&(task, operator.clone())) else { return Ok(false) };
        desk.measured = Some(*measured);
        desk.rev += 1;
        Ok(true)
    }

    async fn standing(&self, operator: &OperatorId) -> StoreResult<Standing> {
        turn().await;
        Ok(lock(&self.tables).standing(operator))
    }

    async fn put_standing(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool> {
        turn().await;
        let mut tables = lock(&self.tables);
        let won = tables.standing(&standing.operator).rev + 1 == standing.rev;
        if won {
            tables.standings.insert(standing.operator.clone(), standing.clone());
            tables.trails.insert((Trail::Operator(standing.operator.clone()), standing.rev), entry.clone());
        }
        Ok(won)
    }

    async fn audit(&self, trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>> {
        turn().await;
        let tables = lock(&self.tables);
        let rows = tables.trails.range((trail.clone(), 0)..(trail.clone(), before.unwrap_or(u64::MAX)));
        Ok(rows.rev().take(limit as usize).map(|((_, number), entry)| (*number, entry.clone())).collect())
    }

    async fn count_request(&self, caller: &str, window: u64) -> StoreResult<u32> {
        turn().await;
        let mut tables = lock(&self.tables);
        let counted = tables.requests.entry(caller.to_owned()).or_default();
        if counted.0 < window {
            *counted = (window, 0);
        }
        counted.1 += 1;
        Ok(counted.1)
    }
}
