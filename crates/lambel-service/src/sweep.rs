//! The sweep: a schedule that looks for what is stuck, and moves it on.
//!
//! It is never needed unless something was lost that should not have been: a message that nobody redrove, a function
//! that was stopped at the wrong moment. So it is cheap while all is well: of each active task it reads the counters.
//! A task that is nearly done is looked at more closely each time. And a task in which nothing was counted for a
//! while is walked through, whole; then again after twice the time, and so on. What is found goes the way that it
//! would have gone at first: to the validator, to the opener, or it is closed. If the next walk finds something again
//! the task is stuck for a reason that passing time does not mend: the sweep says so as an error, which an alarm
//! hears.

use std::time::{Duration, Instant};

use lambel_core::{CountsChange, ImageId, Tally, Task, TaskId};
use serde::Serialize;

use crate::{
    error::Result,
    ports::{SharedClock, SharedMessages, SharedObjects, SharedStore, SweepMark},
    progress::{Advance, advance},
    repair::{close_decided, mend},
    survey::{Report, Walk, look},
};

/// Tasks of one page.
const TASKS: u32 = 100;
/// A task with more undecided subtasks than this has operators at work, who close what they meet.
const NEARLY_DONE: u64 = 1_000;
/// How long nothing must have been counted in a task before it is walked through the first time.
pub const STILL: Duration = Duration::from_secs(30 * 60);
/// The longest time between two walks.
const LONGEST_STILL: Duration = Duration::from_secs(7 * 24 * 3_600);

/// What a sweep did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Swept {
    /// Tasks that it completed.
    pub completed: Vec<TaskId>,
    /// Images that it closed or sent on their way again.
    pub moved: u64,
    /// Tasks in which a second walk found what the first should have mended.
    pub stuck: Vec<TaskId>,
}

/// Sweeps.
#[derive(Clone)]
pub struct Sweeper {
    store: SharedStore,
    objects: SharedObjects,
    messages: SharedMessages,
    clock: SharedClock,
}

impl Sweeper {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, messages: SharedMessages, clock: SharedClock) -> Self {
        Self { store, objects, messages, clock }
    }

    /// Looks at every active task. A task that cannot be looked at does not stand in the way of the others. Walks
    /// that are not through at `deadline` go on in the next sweep.
    pub async fn sweep(&self, deadline: Instant) -> Result<Swept> {
        let mut swept = Swept::default();
        let mut after = None;
        loop {
            let (tasks, more) = self.store.active_tasks(after, TASKS).await?;
            for task in &tasks {
                if let Err(error) = self.sweep_one(task, deadline, &mut swept).await {
                    tracing::error!(task = %task.id, %error, "sweep could not look at a task");
                }
            }
            after = more;
            if after.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn sweep_one(&self, task: &Task, deadline: Instant, swept: &mut Swept) -> Result<()> {
        let tally = self.store.tally(task).await?;
        if task.images.is_some() {
            if (1..=NEARLY_DONE).contains(&tally.counts.undecided()) {
                swept.moved += self.close_in_pool(task).await?;
            }
            // The last batch of a task whose rule weighs votes has a schedule of its own.
            if let Advance::Completed(_) = advance(&*self.store, &*self.clock, task.id).await? {
                tracing::warn!(task = %task.id, "sweep completed a task that nobody had completed");
                swept.completed.push(task.id);
                return Ok(());
            }
        }
        self.watch(task, &tally, deadline, swept).await
    }

    /// Closes what is decided among the images of the pool.
    async fn close_in_pool(&self, task: &Task) -> Result<u64> {
        let mut closed = 0;
        for stretch in task.shards.round(&ImageId::MIN) {
            let open = self.store.pool(task, stretch, NEARLY_DONE as u32).await?;
            closed += close_decided(&*self.store, &*self.clock, task, &open).await?;
        }
        if closed > 0 {
            tracing::warn!(task = %task.id, images = closed, "sweep closed what was decided");
        }
        Ok(closed)
    }

    /// Notes that the task moves, or for how long it does not, and walks through it when that is long enough.
    async fn watch(&self, task: &Task, tally: &Tally, deadline: Instant, swept: &mut Swept) -> Result<()> {
        let now = self.clock.now();
        let mut mark = self.store.sweep_mark(task.id).await?;
        if mark.rev == 0 || mark.changes != tally.changes {
            mark = SweepMark { changes: tally.changes, since: now, rev: mark.rev, ..SweepMark::default() };
        } else {
            let pause = STILL.saturating_mul(1 << mark.walks.min(16)).min(LONGEST_STILL);
            if now < mark.since.plus(pause) {
                return Ok(());
            }
            self.walk(task, &mut mark, deadline, swept).await?;
        }
        mark.rev += 1;
        // Lost to another sweep at the same time: it has seen the same.
        self.store.put_sweep_mark(task.id, &mark).await?;
        Ok(())
    }

    async fn walk(&self, task: &Task, mark: &mut SweepMark, deadline: Instant, swept: &mut Swept) -> Result<()> {
        let mut walk = Walk::new(&*self.store, &*self.objects, task, mark.walked_to);
        let mut found = 0;
        while Instant::now() < deadline {
            let Some(places) = walk.next().await? else {
                let stuck = mark.walks > 0 && mark.found + found > 0;
                if stuck {
                    tracing::error!(task = %task.id, images = mark.found + found, walks = mark.walks + 1, "task is stuck");
                    swept.stuck.push(task.id);
                }
                *mark = SweepMark { walks: mark.walks + 1, walked_to: None, found: 0, ..mark.clone() };
                return Ok(());
            };
            let now = self.clock.now();
            let mut report = Report::new(task, now);
            let mut recount = CountsChange::default();
            for (image, place) in &places {
                look(task, *image, place, now, &mut report, &mut recount);
            }
            report.findings.retain(|finding| finding.remedy().is_some());
            let findings = &report.findings;
            if !findings.is_empty() {
                mend(&*self.store, &*self.messages, &*self.clock, task, findings).await?;
                tracing::warn!(task = %task.id, images = findings.len(), "sweep moved on what was stuck");
                swept.moved += findings.len() as u64;
                found += findings.len() as u64;
            }
        }
        mark.walked_to = walk.after();
        mark.found += found;
        Ok(())
    }
}
