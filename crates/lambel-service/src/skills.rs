//! What is known of operators: a schedule that looks at tasks whose rule weighs votes, and measures their operators.
//!
//! Each time another twentieth of a task's images was decided ([`SkillMark::is_due`]) all votes on decided images are
//! looked at together, by [`MapEm`]. What is found of each operator is written on their record in the task, and counts
//! from their next vote on. Nothing else changes: what is decided stays decided, and votes keep the weights that they
//! have.
//!
//! If a look is lost, or comes late, weights are a little older than they could be, and the next look makes good for it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    ImageId, OperatorId, SubtaskState, Task, TaskId,
    consensus::{Ballot, Earned, ITERATIONS_RUNNING, MapEm, Measured, Phase, VoteTable, Weight},
    ring::next_place,
};
use serde::Serialize;

use crate::{
    error::Result,
    known::Known,
    ports::{NoGold, SharedClock, SharedGold, SharedStore, SkillMark, StoreError, StoreResult},
};

/// Tasks of one page.
const TASKS: u32 = 100;
/// Rows of one page.
const PAGE: u32 = 1_000;
/// Shards read at the same time. Each has a page in memory, of some megabytes.
const SHARDS_AT_ONCE: usize = 8;
/// Records written at the same time.
const WRITES_AT_ONCE: usize = 20;
/// How long a look that somebody has begun is waited for. The function has 15 minutes.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(16 * 60);

/// One look at a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Look {
    /// The task.
    pub task: TaskId,
    /// Images that were decided.
    pub images: u64,
    /// Votes with a label on them.
    pub votes: u64,
    /// Operators whose record was written.
    pub operators: u64,
    /// Whether weights decide from now on.
    pub phase: Phase,
}

/// Measures operators.
#[derive(Clone)]
pub struct Estimator {
    store: SharedStore,
    clock: SharedClock,
    gold: SharedGold,
}

/// The votes on decided images of one shard. Operators are numbered by their first vote in it.
#[derive(Default)]
struct Shard {
    operators: Vec<OperatorId>,
    images: u32,
    votes: Vec<(u32, Ballot)>,
}

impl Estimator {
    /// Over these ports.
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock, gold: Arc::new(NoGold) }
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
            for task in tasks.iter().filter(|task| task.policy.rule.weighs()) {
                if Instant::now() >= deadline {
                    return Ok(looks);
                }
                match self.look(task).await {
                    Ok(look) => looks.extend(look),
                    Err(error) => tracing::error!(task = %task.id, %error, "operators not measured"),
                }
            }
            after = more;
            if after.is_none() {
                return Ok(looks);
            }
        }
    }

    /// Looks at a task if it is due, and if nobody else does so just now.
    async fn look(&self, task: &Task) -> StoreResult<Option<Look>> {
        let counts = self.store.counts(task).await?;
        let mut mark = self.store.skill_mark(task.id).await?;
        let now = self.clock.now();
        let decided = counts.complete + counts.disputed;
        let images = counts.accepted.max(task.images.unwrap_or(0));
        if !mark.is_due(decided, images) || now < mark.begun.plus(GIVEN_UP_AFTER) {
            return Ok(None);
        }
        mark.begun = now;
        mark.rev += 1;
        if !self.store.put_skill_mark(task.id, &mark).await? {
            return Ok(None);
        }
        let look = self.measure(task).await?;
        let done = SkillMark { decided, rev: mark.rev + 1, ..SkillMark::default() };
        self.store.put_skill_mark(task.id, &done).await?;
        tracing::info!(task = %task.id, images = look.images, votes = look.votes, operators = look.operators, "operators measured");
        Ok(Some(look))
    }

    async fn measure(&self, task: &Task) -> StoreResult<Look> {
        let shards = (0..task.shards.count()).map(|shard| self.read(task, shard));
        let shards: Vec<Shard> = stream::iter(shards).buffered(SHARDS_AT_ONCE).try_collect().await?;
        let labels = task.labels.len();
        let (mut operators, images, mut table) = table(labels, shards)?;
        let votes = table.votes() as u64;
        let known = Known::join(&*self.gold, task, &mut operators, &mut table).await?;
        let model = MapEm::fit(&table, |image| known.truth(image), ITERATIONS_RUNNING);
        let phase = Phase::after(images, model.skills().iter().map(|skill| skill.answers));
        let phase = known.phase(phase, model.skills());
        let mean = model.mean_accuracy();
        let writes = operators.iter().zip(model.skills()).map(|(operator, skill)| {
            let skill = skill.rounded();
            let earned = Earned { weight: Weight::from_nats(skill.weight(mean, labels)), phase };
            async move { self.store.measure(task.id, operator, &Measured { skill, earned }).await }
        });
        let writes: Vec<_> = writes.collect();
        let written: Vec<bool> = stream::iter(writes).buffered(WRITES_AT_ONCE).try_collect().await?;
        let operators = written.iter().filter(|written| **written).count() as u64;
        Ok(Look { task: task.id, images, votes, operators, phase })
    }

    /// Reads the votes of one shard, a page at a time.
    async fn read(&self, task: &Task, shard: u16) -> StoreResult<Shard> {
        let mut found = Shard::default();
        let mut known: HashMap<OperatorId, u32> = HashMap::new();
        let mut from = ImageId::MIN;
        loop {
            let page = self.store.list(task, shard, from, PAGE).await?;
            let last = page.last().map(|subtask| subtask.image).filter(|_| page.len() == PAGE as usize);
            let is_decided = |state| matches!(state, SubtaskState::Complete | SubtaskState::Disputed);
            for subtask in page.into_iter().filter(|subtask| is_decided(subtask.state)) {
                let image = found.images;
                found.images += 1;
                for (operator, vote) in subtask.votes {
                    let Some(label) = vote.answer.label() else { continue };
                    let operator = *known.entry(operator).or_insert_with_key(|operator| {
                        found.operators.push(operator.clone());
                        (found.operators.len() - 1) as u32
                    });
                    found.votes.push((image, Ballot { operator, label }));
                }
            }
            match last {
                Some(last) if last != ImageId::MAX => from = next_place(&last),
                _ => return Ok(found),
            }
        }
    }
}

/// The votes of all shards, side by side; who the operators are, and how many images there are.
fn table(labels: usize, shards: Vec<Shard>) -> StoreResult<(Vec<OperatorId>, u64, VoteTable)> {
    let mut operators = Vec::new();
    let mut known: HashMap<OperatorId, u32> = HashMap::new();
    let mut votes = Vec::with_capacity(shards.iter().map(|shard| shard.votes.len()).sum());
    let mut images = 0_u32;
    for shard in shards {
        let numbers: Vec<u32> = shard
            .operators
            .into_iter()
            .map(|operator| {
                *known.entry(operator).or_insert_with_key(|operator| {
                    operators.push(operator.clone());
                    (operators.len() - 1) as u32
                })
            })
            .collect();
        let all = shard.votes.into_iter().map(|(image, ballot)| {
            let operator = numbers[ballot.operator as usize];
            (images + image, Ballot { operator, ..ballot })
        });
        votes.extend(all);
        images += shard.images;
    }
    let table = VoteTable::new(labels, images as usize, &votes);
    let table = table.map_err(|error| StoreError::Failed(format!("votes are no table: {error}")))?;
    Ok((operators, images.into(), table))
}
