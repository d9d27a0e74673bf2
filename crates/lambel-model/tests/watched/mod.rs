//! A request of the service that is taken on by hand, one request to a table at a time.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures::task::noop_waker;
use lambel_core::{
    AnnouncedFile, AuditEntry, ClientId, Counts, CountsChange, FileName, ImageId, OperatorId, Standing, Subtask, Tally,
    Task, TaskId, Timestamp, Vote,
    consensus::Measured,
    ring::Stretch,
    subtask::{Cast, Refusal},
};
use lambel_memory::MemoryStore;
use lambel_model::{
    protocol::Step,
    records::{OPERATORS, moment},
};
use lambel_service::ports::{
    Announcement, Batches, CastError, Clock, Closing, Desk, Desks, FilePlace, Revised, Revision, SkillMark, Store,
    StoreResult, SweepMark, Trail,
};

/// The tables, and which request to them is waited for.
pub(crate) struct Watched {
    inner: Arc<MemoryStore>,
    waiting: Mutex<Option<&'static str>>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<MemoryStore>) -> Self {
        Self { inner, waiting: Mutex::default() }
    }
}

macro_rules! pass_on {
    ($(fn $name:ident($($given:ident: $type:ty),*) -> $result:ty;)*) => {
        #[async_trait]
        impl Store for Watched {
            $(
                async fn $name(&self, $($given: $type),*) -> $result {
                    *self.waiting.lock().unwrap() = Some(stringify!($name));
                    let result = self.inner.$name($($given),*).await;
                    *self.waiting.lock().unwrap() = None;
                    result
                }
            )*

            // A lease that the write did not find to be as it was seen is the operator's all the same if it is what
            // the write would have made of it: so `lambel-aws` takes it, since its answer may have got lost.
            async fn lease(
                &self,
                task: &Task,
                seen: &Subtask,
                operator: &OperatorId,
                until: Timestamp,
                now: Timestamp,
            ) -> StoreResult<bool> {
                *self.waiting.lock().unwrap() = Some("lease");
                let won = self.inner.lease(task, seen, operator, until, now).await?;
                *self.waiting.lock().unwrap() = None;
                let mine = |there: &Subtask| {
                    there.image == seen.image
                        && there.rev == seen.rev + 1
                        && there.leases.get(operator) == Some(&until)
                };
                Ok(won || self.inner.all_subtasks(task.id).iter().any(mine))
            }

            // The sums and the number of changes are one read, whoever asks for which.
            async fn tally(&self, task: &Task) -> StoreResult<Tally> {
                *self.waiting.lock().unwrap() = Some("counts");
                let tally = self.inner.tally(task).await;
                *self.waiting.lock().unwrap() = None;
                tally
            }

            // What the sweep remembers decides when it walks through a task, which is no part of the model.
            async fn sweep_mark(&self, _: TaskId) -> StoreResult<SweepMark> {
                Ok(SweepMark::default())
            }

            async fn put_sweep_mark(&self, _: TaskId, _: &SweepMark) -> StoreResult<bool> {
                Ok(true)
            }
        }
    };
}

pass_on! {
    fn create_task(task: &Task, entry: &AuditEntry) -> StoreResult<bool>;
    fn task(id: TaskId) -> StoreResult<Option<Task>>;
    fn tasks_of(owner: &ClientId, before: Option<TaskId>, limit: u32) -> StoreResult<Vec<Task>>;
    fn active_tasks(after: Option<TaskId>, limit: u32) -> StoreResult<(Vec<Task>, Option<TaskId>)>;
    fn replace_task(task: &Task, entry: &AuditEntry) -> StoreResult<bool>;
    fn counts(task: &Task) -> StoreResult<Counts>;
    fn skill_mark(task: TaskId) -> StoreResult<SkillMark>;
    fn put_skill_mark(task: TaskId, mark: &SkillMark) -> StoreResult<bool>;
    fn names(task: &Task, names: &[FileName]) -> StoreResult<Vec<Option<ImageId>>>;
    fn announce(task: &Task, files: &[AnnouncedFile]) -> StoreResult<Vec<Announcement>>;
    fn files(task: &Task, shard: u16, after: Option<&FilePlace>, limit: u32) -> StoreResult<Vec<AnnouncedFile>>;
    fn files_of(task: &Task, image: ImageId, limit: u32) -> StoreResult<Vec<AnnouncedFile>>;
    fn record(task: &Task, subtasks: &[Subtask]) -> StoreResult<Vec<ImageId>>;
    fn subtasks(task: &Task, images: &[ImageId], consistent: bool) -> StoreResult<Vec<Subtask>>;
    fn list(task: &Task, shard: u16, from: ImageId, limit: u32) -> StoreResult<Vec<Subtask>>;
    fn pool(task: &Task, stretch: Stretch, limit: u32) -> StoreResult<Vec<ImageId>>;
    fn open(task: &Task, image: ImageId, preview: Option<&str>) -> StoreResult<bool>;
    fn correct(task: &Task, change: &CountsChange) -> StoreResult<()>;
    fn refuse(task: &Task, image: ImageId, refusal: &Refusal, now: Timestamp) -> StoreResult<bool>;
    fn give_back(task: &Task, image: ImageId, operator: &OperatorId) -> StoreResult<bool>;
    fn cast(task: &Task, image: ImageId, operator: &OperatorId, vote: Vote, held: bool) -> Result<(Cast, Subtask), CastError>;
    fn close(task: &Task, closings: &[Closing], now: Timestamp) -> StoreResult<Vec<bool>>;
    fn desks(tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Desks>;
    fn put_desk(desk: &Desk) -> StoreResult<bool>;
    fn measure(task: TaskId, operator: &OperatorId, measured: &Measured) -> StoreResult<bool>;
    fn standing(operator: &OperatorId) -> StoreResult<Standing>;
    fn put_standing(standing: &Standing, entry: &AuditEntry) -> StoreResult<bool>;
    fn audit(trail: &Trail, before: Option<u64>, limit: u32) -> StoreResult<Vec<(u64, AuditEntry)>>;
    fn count_request(caller: &str, window: u64) -> StoreResult<u32>;
}

// No task of the model weighs votes, so none has batches.
#[async_trait]
impl Batches for Watched {
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised> {
        self.inner.revise(task, revisions, mark).await
    }

    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool> {
        self.inner.complete_by(task, entry, mark).await
    }
}

/// What the model knows and the tables do not: the time, and what is on the screens.
#[derive(Default)]
pub(crate) struct Hands(Mutex<(u8, [Vec<ImageId>; OPERATORS])>);

impl Hands {
    pub(crate) fn set(&self, now: u8, screens: [Vec<ImageId>; OPERATORS]) {
        *self.0.lock().unwrap() = (now, screens);
    }

    pub(crate) fn screen(&self, operator: u8) -> Vec<ImageId> {
        self.0.lock().unwrap().1[usize::from(operator)].clone()
    }
}

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        moment(self.0.lock().unwrap().0)
    }
}

/// What a request was answered.
pub(crate) enum Answer {
    /// A claim: what was handed out.
    Handed(Vec<ImageId>),
    /// Anything else.
    Other,
}

/// A request of the service.
pub(crate) type Work = Pin<Box<dyn Future<Output = Answer>>>;

/// A request that is under way.
pub(crate) struct Running {
    work: Work,
    watched: Arc<Watched>,
    answer: Option<Answer>,
}

impl Running {
    /// Begins a request, up to its first request to a table.
    pub(crate) fn new(work: Work, watched: Arc<Watched>) -> Self {
        let mut running = Self { work, watched, answer: None };
        running.go_on();
        running
    }

    /// Which request to a table is next.
    pub(crate) fn waiting(&self) -> Option<&'static str> {
        *self.watched.waiting.lock().unwrap()
    }

    /// Whether one of these is next.
    pub(crate) fn waits_for(&self, names: &[&str]) -> bool {
        self.waiting().is_some_and(|name| names.contains(&name))
    }

    /// Makes the request to a table that is next, and goes on to the one after it.
    pub(crate) fn go_on(&mut self) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.work.as_mut().poll(&mut Context::from_waker(&noop_waker()))
        {
            self.answer = Some(answer);
        }
    }

    /// Goes on to the answer. All that is left are reads for the answer.
    pub(crate) fn finish(&mut self, step: Step) -> Answer {
        while self.answer.is_none() {
            let reads = ["task", "counts", "subtasks", "desks", "pool", "active_tasks", "standing"];
            assert!(self.waits_for(&reads), "the model is done after {step:?}, the service does {:?}", self.waiting());
            self.go_on();
        }
        self.answer.take().unwrap()
    }
}
