//! Tables that are wrong on purpose. The checks of the runs have to find each of these.

mod batches;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, CountsChange, FileName, ImageId, OperatorId, Standing, Subtask, SubtaskState,
    Tally, Task, TaskId, Timestamp, Vote,
    consensus::Measured,
    event::{Event, NewSubtasks},
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_memory::{MemoryMessages, MemoryStore, faults::Chance};
use lambel_service::ports::{
    Announcement, CastError, Closing, Desk, Desks, FilePlace, Messages, ObjectKey, SkillMark, Store, StoreResult,
    SweepMark, Trail,
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A lease is given whatever has become of the record since it was read.
    LeaseWithoutCondition,
    /// A delivery that comes again counts again.
    CountsRedeliveries,
    /// A close that comes again counts its votes again.
    CountsClosesTwice,
    /// A vote is acknowledged and, now and then, not written.
    ForgetsVotes,
    /// Records are acknowledged and, now and then, not written.
    ForgetsRecords,
    /// A record is closed with a decision that was made on earlier votes.
    ClosesOnOldVotes,
    /// A lease is said to be given back, and is not.
    KeepsLeases,
    /// A lease is said to be given, and is not.
    LeasesNothing,
    /// Claims do not see who has voted already.
    HidesVotes,
    /// A task is replaced whatever has become of it.
    ReplacesBlindly,
    /// A vote that came after the decision is said to count.
    CountsLateVotes,
    /// Names can stand for two images.
    TakesNamesTwice,
    /// The list of active tasks is, now and then, one in which they are missing.
    MissesTasks,
    /// A message is acknowledged and, now and then, not sent.
    LosesNewSubtasks,
    /// Events are acknowledged and, now and then, not published.
    LosesEvents,
    /// An event gets a new id each time it is published.
    AnnouncesUnderNewIds,
    /// An image that opens again loses one of its votes.
    DropsVotesOfReopened,
    /// An image that opens again is counted as decided all the same.
    KeepsCountOfReopened,
    /// An image that was reviewed is counted as disputed all the same.
    KeepsCountOfReviewed,
    /// A review is written over whatever has become of the record since it was read.
    ReviewsBlindly,
}

impl Flaw {
    pub(crate) const ALL: [Self; 20] = [
        Self::LeaseWithoutCondition,
        Self::CountsRedeliveries,
        Self::CountsClosesTwice,
        Self::ForgetsVotes,
        Self::ForgetsRecords,
        Self::ClosesOnOldVotes,
        Self::KeepsLeases,
        Self::LeasesNothing,
        Self::HidesVotes,
        Self::ReplacesBlindly,
        Self::CountsLateVotes,
        Self::TakesNamesTwice,
        Self::MissesTasks,
        Self::LosesNewSubtasks,
        Self::LosesEvents,
        Self::AnnouncesUnderNewIds,
        Self::DropsVotesOfReopened,
        Self::KeepsCountOfReopened,
        Self::KeepsCountOfReviewed,
        Self::ReviewsBlindly,
    ];
}

/// Tables with one flaw in front of good ones.
pub(crate) struct Flawed {
    inner: Arc<MemoryStore>,
    flaw: Flaw,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    /// What was counted too often: accepted images, votes.
    surplus: BTreeMap<TaskId, (u64, u64)>,
}

impl Flawed {
    pub(crate) fn new(inner: Arc<MemoryStore>, flaw: Flaw, seed: u64) -> Self {
        Self { inner, flaw, state: Mutex::new(State { chance: Chance::new(seed), surplus: BTreeMap::new() }) }
    }

    /// Whether the flaw shows now, one time out of `of`.
    fn shows(&self, flaw: Flaw, of: usize) -> bool {
        self.flaw == flaw && self.state.lock().unwrap().chance.below(of) == 0
    }

    async fn current(&self, task: &Task, image: ImageId) -> StoreResult<Option<Subtask>> {
        Ok(self.inner.subtasks(task, &[image], true).await?.pop())
    }
}

#[async_trait]
impl Store for Flawed {
    async fn create_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        self.inner.create_task(task, entry).await
    }

    async fn task(&self, id: TaskId) -> StoreResult<Option<Task>> {
        self.inner.task(id).await
    }

    async fn tasks_of(&self, owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>> {
        self.inner.tasks_of(owner, before, limit).await
    }

    async fn active_tasks(&self, after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)> {
        if self.shows(Flaw::MissesTasks, 2) {
            return Ok((Vec::new(), None));
        }
        self.inner.active_tasks(after, limit).await
    }

    async fn replace_task(&self, task: &Task, entry: &AuditEntry) -> StoreResult<bool> {
        let mut task = task.clone();
        if self.flaw == Flaw::ReplacesBlindly
            && let Some(now) = self.inner.task(task.id).await?
        {
            task.rev = now.rev + 1;
        }
        self.inner.replace_task(&task, entry).await
    }

    async fn tally(&self, task: &Task) -> StoreResult<Tally> {
        let mut tally = self.inner.tally(task).await?;
        let state = self.state.lock().unwrap();
        let (accepted, votes) = state.surplus.get(&task.id).copied().unwrap_or_default();
        tally.counts.accepted += accepted;
        tally.counts.votes += votes;
        Ok(tally)
    }

    async fn correct(&self, task: &Task, change: &CountsChange) -> StoreResult<()> {
        self.inner.correct(task, change).await
    }

    async fn sweep_mark(&self, task: TaskId) -> StoreResult<SweepMark> {
        self.inner.sweep_mark(task).await
    }

    async fn put_sweep_mark(&self, task: TaskId, mark: &SweepMark) -> StoreResult<bool> {
        self.inner.put_sweep_mark(task, mark).await
    }

    async fn refuse(&self, task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool> {
        self.inner.refuse(task, image, refusal, now).await
    }

    async fn skill_mark(&self, task: TaskId) -> StoreResult<SkillMark> {
        self.inner.skill_mark(task).await
    }

    async fn put_skill_mark(&self, task: TaskId, mark: &SkillMark) -> StoreResult<bool> {
        self.inner.put_skill_mark(task, mark).await
    }

    async fn names(&self, task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>> {
        if self.flaw == Flaw::TakesNamesTwice {
            return Ok(vec![None; names.len()]);
        }
        self.inner.names(task, names).await
    }

    async fn announce(&self, task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>> {
        let answer = self.inner.announce(task, files).await?;
        if self.flaw == Flaw::TakesNamesTwice {
            return Ok(vec![Announcement::New; files.len()]);
        }
        Ok(answer)
    }

    async fn files(
        &self,
        task: &Task,
        shard: u16,
        after: Option<&FilePlace>,
        limit: u32,
    ) -> StoreResult<Vec<AnnouncedFile>> {
        self.inner.files(task, shard, after, limit).await
    }

    async fn files_of(&self, task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>> {
        self.inner.files_of(task, image, limit).await
    }

    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>> {
        if self.shows(Flaw::ForgetsRecords, 8) {
            return Ok(subtasks.iter().map(|subtask| subtask.image).collect());
        }
        let new = self.inner.record(task, subtasks).await?;
        if self.flaw == Flaw::CountsRedeliveries {
            let again = subtasks.iter().filter(|s| s.refusal.is_none() && !new.contains(&s.image)).count();
            self.state.lock().unwrap().surplus.entry(task.id).or_default().0 += again as u64;
        }
        Ok(new)
    }

    async fn subtasks(&self, task: &Task, images: &[ImageId], consistent: bool) -> StoreResult<Vec<Subtask>> {
        let mut found = self.inner.subtasks(task, images, consistent).await?;
        if self.flaw == Flaw::HidesVotes && !consistent {
            found.iter_mut().for_each(|subtask| subtask.votes.clear());
        }
        Ok(found)
    }

    async fn list(&self, task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>> {
        self.inner.list(task, shard, from, limit).await
    }

    async fn pool(&self, task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>> {
        self.inner.pool(task, stretch, limit).await
    }

    async fn open(&self, task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool> {
        self.inner.open(task, image, preview).await
    }

    async fn lease(
        &self,
        task: &Task,
        seen: &Subtask,
        operator: &OperatorId,
        until: Timestamp,
        now: Timestamp,
    ) -> StoreResult<bool> {
        if self.shows(Flaw::LeasesNothing, 20) {
            return Ok(true);
        }
        if self.flaw == Flaw::LeaseWithoutCondition
            && let Some(current) = self.current(task, seen.image).await?
        {
            return self.inner.lease(task, &current, operator, until, now).await;
        }
        self.inner.lease(task, seen, operator, until, now).await
    }

    async fn give_back(&self, task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool> {
        if self.flaw == Flaw::KeepsLeases {
            return Ok(true);
        }
        self.inner.give_back(task, image, operator).await
    }

    async fn cast(
        &self,
        task: &Task,
        image: ImageId,
        operator: &OperatorId,
        vote: Vote,
        held: bool,
    ) -> Result<(Cast, Subtask), CastError> {
        if self.shows(Flaw::ForgetsVotes, 50)
            && let Some(mut subtask) = self.current(task, image).await?
        {
            let cast = subtask.cast(operator, vote, held, &task.policy, task.labels.len())?;
            return Ok((cast, subtask));
        }
        let (mut cast, subtask) = self.inner.cast(task, image, operator, vote, held).await?;
        if self.flaw == Flaw::CountsLateVotes && cast == Cast::Late {
            cast = Cast::Counted;
        }
        Ok((cast, subtask))
    }

    async fn close(&self, task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>> {
        if self.flaw != Flaw::ClosesOnOldVotes {
            let closed = self.inner.close(task, closings, now).await?;
            if self.flaw == Flaw::CountsClosesTwice {
                let again = closings.iter().zip(&closed).filter(|(_, closed)| !**closed);
                let votes: usize = again.map(|(closing, _)| closing.seen.votes.len()).sum();
                self.state.lock().unwrap().surplus.entry(task.id).or_default().1 += votes as u64;
            }
            return Ok(closed);
        }
        let mut fresh = closings.to_vec();
        for closing in &mut fresh {
            if let Some(current) = self.current(task, closing.seen.image).await?
                && current.state == SubtaskState::Open
            {
                closing.seen = current;
            }
        }
        self.inner.close(task, &fresh, now).await
    }

    async fn desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks> {
        self.inner.desks(tasks, operator).await
    }

    async fn put_desk(&self, desk: &Desk) -> StoreResult<bool> {
        self.inner.put_desk(desk).await
    }

    async fn measure(&self, task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool> {
        self.inner.measure(task, operator, measured).await
    }

    async fn standing(&self, operator: &OperatorId) -> StoreResult<Standing> {
        self.inner.standing(operator).await
    }

    async fn put_standing(&self, standing: &Standing, entry: &AuditEntry) -> StoreResult<bool> {
        self.inner.put_standing(standing, entry).await
    }

    async fn audit(&self, trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>> {
        self.inner.audit(trail, before, limit).await
    }

    async fn count_request(&self, caller: &str, window: u64) -> StoreResult<u32> {
        self.inner.count_request(caller, window).await
    }
}

/// Queues and topics with one flaw in front of good ones.
pub(crate) struct FlawedMessages {
    inner: Arc<MemoryMessages>,
    flaw: Flaw,
    chance: Mutex<Chance>,
}

impl FlawedMessages {
    pub(crate) fn new(inner: Arc<MemoryMessages>, flaw: Flaw, seed: u64) -> Self {
        Self { inner, flaw, chance: Mutex::new(Chance::new(seed)) }
    }

    fn draw(&self) -> u64 {
        self.chance.lock().unwrap().draw()
    }
}

#[async_trait]
impl Messages for FlawedMessages {
    async fn send_new_subtasks(&self, body: &NewSubtasks) -> StoreResult<()> {
        if self.flaw == Flaw::LosesNewSubtasks && self.draw().is_multiple_of(8) {
            return Ok(());
        }
        self.inner.send_new_subtasks(body).await
    }

    async fn send_uploads(&self, keys: &[ObjectKey]) -> StoreResult<()> {
        self.inner.send_uploads(keys).await
    }

    async fn publish(&self, events: &[Event]) -> StoreResult<()> {
        if self.flaw == Flaw::LosesEvents && self.draw().is_multiple_of(8) {
            return Ok(());
        }
        let mut events = events.to_vec();
        if self.flaw == Flaw::AnnouncesUnderNewIds {
            for event in &mut events {
                let new = self.draw();
                match event {
                    Event::Subtask(_, envelope) => envelope.id = format!("{}/{new}", envelope.id),
                    Event::Task(_, envelope) => envelope.id = format!("{}/{new}", envelope.id),
                    Event::Dataset(_, envelope) => envelope.id = format!("{}/{new}", envelope.id),
                }
            }
        }
        self.inner.publish(&events).await
    }
}
