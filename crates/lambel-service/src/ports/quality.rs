//! What is kept of a task's operators, for its client to read: a record of each, and what all have in common.
//!
//! The operators' own records ([`Desk`](super::Desk)) have what a claim and a vote must know; these have what people
//! want to know, and no claim reads them.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{
    AuditEntry, OperatorId, Task, TaskId, Timestamp,
    consensus::{Alpha, Calibrated, Flag, FlagKind, Matrix, Part, Phase, Weight},
};
use serde::{Deserialize, Serialize};

use super::StoreResult;

/// What all operators of a task have in common, at the last look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskQuality {
    /// Decided images.
    pub images: u64,
    /// Votes with a label on them.
    pub votes: u64,
    /// How far the operators agree; none where it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<Alpha>,
    /// What gold says of the task's confidences; none with a rule that does not weigh, and without gold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// When the look ended.
    pub measured_at: Timestamp,
}

/// What a look has found of an operator in a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorFound {
    /// Votes with a label.
    pub votes: u32,
    /// Votes without one.
    pub abstentions: u32,
    /// Votes for the label that was decided.
    pub agreement: Part,
    /// Right votes on images whose label is known.
    pub gold: Part,
    /// How often they are right.
    pub accuracy: f64,
    /// The interval that holds it in 95 of 100 cases.
    pub interval: (f64, f64),
    /// With a rule that weighs: what their next vote weighs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// With a rule that weighs: whether weights decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The median time of a vote in milliseconds, where times are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median_ms: Option<u32>,
    /// Reasons to look at what they do.
    pub flags: Vec<Flag>,
    /// What they said where each label was decided.
    pub confusions: Matrix,
}

/// The quality record of an operator in a task.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorQuality {
    /// Who.
    pub operator: OperatorId,
    /// What the last look has found; none before the first one.
    pub found: Option<OperatorFound>,
    /// Since when they are paused in this task; none if they may work. The same stands on their desk, which is what
    /// claims and votes look at.
    pub paused_at: Option<Timestamp>,
    /// Kinds of flags with which somebody has let them go on: the policy does not pause them for these again. A kind
    /// that a look does not find any more is taken off. Sorted.
    pub tolerated: Vec<FlagKind>,
    /// The number of changes so far; 0 if it was never stored.
    pub rev: u64,
}

impl OperatorQuality {
    /// The record of an operator of whom nothing was found yet.
    pub fn new(operator: OperatorId) -> Self {
        Self { operator, found: None, paused_at: None, tolerated: Vec::new(), rev: 0 }
    }
}

/// What became of [`QualityStore::put_pause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// It is done.
    Done,
    /// The operator has no record in the task: they have never claimed anything of it. Nothing was changed.
    NoDesk,
    /// The task or the quality record has changed since it was read. Nothing was changed.
    Changed,
}

/// The tables, as far as they are about quality. Reads are consistent.
#[async_trait]
pub trait QualityStore: Send + Sync {
    /// What all operators of a task have in common; none before the first look.
    async fn task_quality(&self, task: TaskId) -> StoreResult<Option<TaskQuality>>;

    /// Stores it, in the place of what was there.
    async fn put_task_quality(&self, task: TaskId, quality: &TaskQuality) -> StoreResult<()>;

    /// The quality records of a task, sorted by operator, from behind one, `limit` at most.
    async fn operator_qualities(
        &self,
        task: TaskId,
        after: Option<&OperatorId>,
        limit: u32,
    ) -> StoreResult<Vec<OperatorQuality>>;

    /// The quality record of an operator; a new one if there is none.
    async fn operator_quality(&self, task: TaskId, operator: &OperatorId) -> StoreResult<OperatorQuality>;

    /// Stores a quality record, if its `rev` is still the one before. False if it is not. It must not pause anybody,
    /// nor let them go on: that is [`QualityStore::put_pause`].
    async fn put_operator_quality(&self, task: TaskId, quality: &OperatorQuality) -> StoreResult<bool>;

    /// Pauses an operator in a task, or lets them go on, as the quality record says that is to be stored: in one step
    /// that record, the operator's desk (its `paused_at`, and `rev` one higher, so that a claim under way notices),
    /// and an entry on the task's trail, for which the task's `rev` becomes one higher too. On the condition that the
    /// record and the task, as `seen`, have not changed.
    async fn put_pause(&self, seen: &Task, quality: &OperatorQuality, entry: &AuditEntry) -> StoreResult<Paused>;
}

/// The tables of quality, shared.
pub type SharedQualityStore = Arc<dyn QualityStore>;
