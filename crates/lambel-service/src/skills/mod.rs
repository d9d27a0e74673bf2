//! Batches: all votes of a task looked at together.
//!
//! A look at a task is a sequence: read all votes (`votes.rs`), fit a model of operators and labels to them
//! ([`MapEm`]), measure the operators by it, see what gold says of the confidences (`calibrate.rs`), report both
//! ([`crate::quality`]), review the images by it (`review.rs`), and remember how far the task was. Operators are
//! measured and images reviewed only where the task's rule weighs votes: what is found of an operator is written on
//! their record in the task, and counts from their next vote on; what a review finds decides images, decides them
//! again, or opens them again, and while the operators are not known, only the last look does. The report is for the
//! task's client to read, and for its policy to pause operators by, with any rule.
//!
//! A task is due each time another twentieth of its images was decided ([`SkillMark::is_due`]); a schedule looks for
//! such tasks. A task that completes without a batch gets its report once more then. Where votes weigh it is also due
//! when it is sealed and everything in it is decided: then it is the *last* look, and if that opens nothing again the
//! task completes. Whoever hears of the last decision asks for it by a message.
//!
//! Whoever looks holds the task's mark meanwhile. One holds it at a time, only who holds it opens anything again, and
//! only who holds it completes the task: so nothing opens in a task that is complete.
//!
//! If a look or a message is lost, weights are a little older than they could be, and a task completes some minutes
//! later: the next call of the schedule makes good for both.

mod calibrate;
mod review;
mod votes;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    Counts, Task, TaskId, TaskState, Timestamp,
    consensus::{Adaptive, Earned, ITERATIONS_FINAL, ITERATIONS_RUNNING, MapEm, Measured, Phase, Rule, Weight},
    event::LastBatchWanted,
};
use serde::Serialize;

use self::{
    review::{Fitted, Reviewed},
    votes::Votes,
};
use crate::{
    error::{Comeback, Result},
    known::Known,
    ports::{NoGold, SharedClock, SharedGold, SharedQualityStore, SharedStore, SkillMark, StoreResult},
    progress::completed,
    quality::{Reporter, Seen},
};

/// Tasks of one page.
const TASKS: u32 = 100;
/// Records of operators read or written at the same time.
const OPERATORS_AT_ONCE: usize = 20;
/// How long a look that somebody has begun is waited for. The function has 15 minutes.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(16 * 60);
/// Looks at one task in one call: where something has changed meanwhile the last one is made again.
const LOOKS: usize = 4;

/// One look at a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The task.
    pub task: TaskId,
    /// Images that were decided, now or before they were opened again.
    pub images: u64,
    /// Votes with a label, on all images.
    pub votes: u64,
    /// Operators whose weight was written: none with a rule that does not weigh.
    pub operators: u64,
    /// Whether weights decide from now on.
    pub phase: Phase,
    /// Whether everything was decided: then the task completes, unless something was opened again.
    pub last: bool,
    /// Images that it has decided, or decided again.
    pub revised: u64,
    /// Images that it has opened again.
    pub reopened: u64,
}

/// What came of wanting a task's last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Nothing is to be finished: something is undecided, or the task is over, or it has no batches.
    Nothing,
    /// The task is complete.
    Completed,
    /// Images were opened again, and the task goes on.
    Reopened,
    /// Somebody else looks at the task, or it keeps changing: ask again later.
    Busy,
}

/// Looks at tasks.
#[derive(Clone)]
pub struct Estimator {
    store: SharedStore,
    reporter: Reporter,
    gold: SharedGold,
    clock: SharedClock,
}

impl Estimator {
    /// Over these ports.
    pub fn new(store: SharedStore, quality: SharedQualityStore, clock: SharedClock) -> Self {
        Self { reporter: Reporter::new(store.clone(), quality, clock.clone()), gold: Arc::new(NoGold), store, clock }
    }

    /// The same, by answers on gold as well.
    #[must_use]
    pub fn with_gold(self, gold: SharedGold) -> Self {
        Self { gold, ..self }
    }

    /// Looks at every active task that is due, and says what it has found. A task that cannot be looked at does not
    /// stand in the way of the others. What is not begun at `deadline` waits for the next call.
    pub async fn run(&self, deadline: Instant) -> Result<Vec<Look>> {
        let mut looks = Vec::new();
        let mut after = None;
        loop {
            let (tasks, more) = self.store.active_tasks(after, TASKS).await?;
            for task in &tasks {
                if Instant::now() >= deadline {
                    return Ok(looks);
                }
                if let Err(error) = self.look(task.id, &mut looks).await {
                    tracing::error!(task = %task.id, %error, "operators not measured");
                }
            }
            after = more;
            if after.is_none() {
                return Ok(looks);
            }
        }
    }

    /// Takes messages of the queue `estimates`, and answers with the places of those that must come back.
    ///
    /// Retry decision: a task that another looks at, that keeps changing, or that cannot be read comes back; after the
    /// last try the message lies in the dead-letter queue, and the schedule looks at the task anyway. A body that is
    /// no such message can never be read; it is put aside in the same way, so that it is seen.
    pub async fn hear(&self, bodies: &[&str]) -> Vec<(usize, Comeback)> {
        let mut back = Vec::new();
        for (place, body) in bodies.iter().enumerate() {
            let wanted: LastBatchWanted = match serde_json::from_str(body) {
                Ok(wanted) => wanted,
                Err(error) => {
                    tracing::error!(%error, "message cannot be read");
                    back.push((place, Comeback::Never));
                    continue;
                }
            };
            match self.finish(wanted.task).await {
                Ok(Finished::Busy) => back.push((place, Comeback::Later)),
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(task = %wanted.task, %error, "last batch not made");
                    back.push((place, Comeback::Later));
                }
            }
        }
        back
    }

    /// Makes the last batch of a task in which everything is decided, and completes it if that opens nothing again. Of a
    /// task that completes by itself, since its votes do not weigh, it makes the last report. If that is lost, the report
    /// is that of the last look before the end.
    pub async fn finish(&self, id: TaskId) -> Result<Finished> {
        let task = self.store.task(id).await?;
        let over = |task: &Task| task.state == TaskState::Complete && !task.policy.rule.weighs();
        if let Some(task) = task.filter(over) {
            self.pass(&task, None, &SkillMark::default(), false).await?;
            return Ok(Finished::Nothing);
        }
        self.look(id, &mut Vec::new()).await
    }

    /// Looks at a task as long as it is due, if nobody else does so just now.
    async fn look(&self, id: TaskId, looks: &mut Vec<Look>) -> Result<Finished> {
        for _ in 0..LOOKS {
            let Some((task, rule)) = self.active(id).await? else { return Ok(Finished::Nothing) };
            let counts = self.store.counts(&task).await?;
            let mut mark = self.store.skill_mark(id).await?;
            let now = self.clock.now();
            let is_last = rule.is_some() && is_done(&task, &counts, now);
            let (decided, images) = (counts.complete + counts.disputed, counts.accepted.max(task.images.unwrap_or(0)));
            if !is_last && !mark.is_due(decided, images) {
                return Ok(Finished::Nothing);
            }
            if now < mark.begun.plus(GIVEN_UP_AFTER) {
                return Ok(Finished::Busy);
            }
            mark.begun = now;
            mark.rev += 1;
            if !self.store.put_skill_mark(id, &mark).await? {
                return Ok(Finished::Busy);
            }
            let held = self.hold(id, rule.as_ref(), &mark).await;
            let decided = if held.is_ok() { decided } else { mark.decided };
            let done = SkillMark { decided, rev: mark.rev + 1, ..SkillMark::default() };
            // Lost to whoever has taken it over, who will let it go.
            self.store.put_skill_mark(id, &done).await?;
            let (look, finished) = held?;
            looks.extend(look);
            if let Some(finished) = finished {
                return Ok(finished);
            }
        }
        Ok(Finished::Busy)
    }

    /// A task that goes on, with its rule if that weighs votes.
    async fn active(&self, id: TaskId) -> StoreResult<Option<(Task, Option<Adaptive>)>> {
        let task = self.store.task(id).await?.filter(|task| !task.state.is_final());
        Ok(task.map(|task| match task.policy.rule {
            Rule::Adaptive(rule) => (task, Some(rule)),
            Rule::Majority(_) | Rule::Lead(_) => (task, None),
        }))
    }

    /// What whoever holds the mark does. Nothing is said of the end where another look may follow at once.
    async fn hold(
        &self,
        id: TaskId,
        rule: Option<&Adaptive>,
        mark: &SkillMark,
    ) -> Result<(Option<Look>, Option<Finished>)> {
        // As it is now that the mark is held: nobody else will complete it.
        let Some((task, _)) = self.active(id).await? else { return Ok((None, Some(Finished::Nothing))) };
        let before = self.store.counts(&task).await?;
        let last = rule.is_some() && is_done(&task, &before, self.clock.now());
        let (look, lost) = self.pass(&task, rule, mark, last).await?;
        if look.last && look.reopened > 0 {
            return Ok((Some(look), Some(Finished::Reopened)));
        }
        if !look.last || lost > 0 {
            return Ok((Some(look), None));
        }
        let Some((mut task, _)) = self.active(id).await? else { return Ok((Some(look), Some(Finished::Nothing))) };
        let after = self.store.counts(&task).await?;
        // An image that has come since was not looked at.
        let is_same = after.checked() == before.checked();
        let completes = is_same && task.complete(&after, self.clock.now());
        if completes && self.store.complete_by(&task, &completed(&*self.clock), mark).await? {
            tracing::info!(task = %id, accepted = after.accepted, rejected = after.rejected, "task complete");
            return Ok((Some(look), Some(Finished::Completed)));
        }
        Ok((Some(look), None))
    }

    /// One look, from reading to reviewing, and how many images had changed before they could be reviewed.
    async fn pass(&self, task: &Task, rule: Option<&Adaptive>, mark: &SkillMark, last: bool) -> Result<(Look, u64)> {
        let mut votes = Votes::read(&*self.store, task).await?;
        let iterations = if last { ITERATIONS_FINAL } else { ITERATIONS_RUNNING };
        let labelled = votes.table.votes() as u64;
        let known = Known::join(&*self.gold, task, &mut votes.operators, &mut votes.table).await?;
        let on_decided = votes.tallies.votes();
        known.tell(&mut votes.tallies);
        let model = MapEm::fit(&votes.table, |image| known.truth(image), iterations);
        let phase = Phase::after(votes.decided, model.skills().iter().map(|skill| skill.answers));
        let phase = known.phase(phase, model.skills());
        let measured = measured(&model, task.labels.len(), phase);
        let operators = match rule {
            Some(_) => self.measure(task, &votes, &measured).await?,
            None => 0,
        };
        let earned: Option<Vec<Earned>> = rule.map(|_| measured.iter().map(|measured| measured.earned).collect());
        let tallies = std::mem::take(&mut votes.tallies);
        let seen = Seen {
            table: &votes.table,
            images: votes.decided,
            votes: on_decided,
            operators: &votes.operators,
            skills: model.skills(),
            mean_accuracy: model.mean_accuracy(),
            earned: earned.as_deref(),
            calibrated: (rule.is_some() && !task.policy.gold_rate.is_none())
                .then(|| calibrate::calibrate(task, &known, &votes.operators, &measured)),
        };
        self.reporter.report(task, tallies, &seen).await?;
        let fitted = Fitted { known: &known, model: &model, measured: &measured, phase };
        let reviewed = match rule {
            Some(rule) if last || phase != Phase::Cold => self.review(task, rule, mark, &votes, &fitted).await?,
            _ => Reviewed::default(),
        };
        let Reviewed { revised, reopened, lost } = reviewed;
        let (images, votes) = (votes.decided, labelled);
        tracing::info!(task = %task.id, images, votes, operators, last, revised, reopened, "task looked at as a whole");
        Ok((Look { task: task.id, images, votes, operators, phase, last, revised, reopened }, lost))
    }

    /// Writes on the operators' records what was found of them, and says of how many there is a record.
    async fn measure(&self, task: &Task, votes: &Votes, measured: &[Measured]) -> StoreResult<u64> {
        let writes = votes.operators.iter().zip(measured);
        let writes = writes.map(|(operator, measured)| self.store.measure(task.id, operator, measured));
        let writes: Vec<_> = writes.collect();
        let written: Vec<bool> = stream::iter(writes).buffered(OPERATORS_AT_ONCE).try_collect().await?;
        Ok(written.iter().filter(|written| **written).count() as u64)
    }
}

/// Whether everything in a task is decided, so that it can complete.
fn is_done(task: &Task, counts: &Counts, now: Timestamp) -> bool {
    task.clone().complete(counts, now)
}

/// What a model says of the operators, in their order.
fn measured(model: &MapEm, labels: usize, phase: Phase) -> Vec<Measured> {
    let mean = model.mean_accuracy();
    let skills = model.skills().iter().map(|skill| skill.rounded());
    skills
        .map(|skill| Measured {
            skill,
            earned: Earned { weight: Weight::from_nats(skill.weight(mean, labels)), phase },
        })
        .collect()
}
