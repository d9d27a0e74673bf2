//! What a batch over all votes of a task writes, and how one is asked for.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{AuditEntry, Subtask, Task, TaskId};

use super::{SkillMark, StoreResult};

/// Subtasks that one [`Batches::revise`] takes: a transaction has a hundred actions; one counts, one looks at the task
/// and one at the mark.
pub const REVISED_AT_ONCE: usize = 97;

/// A subtask that a batch decides, decides again, or opens again, or that a person has reviewed.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// The record. The change is on the condition that its `rev` has not changed.
    pub seen: Subtask,
    /// What becomes of it: what [`Subtask::revise`], [`Subtask::reopen`] or [`Subtask::review`] has made of the record.
    pub after: Subtask,
}

/// What became of revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revised {
    /// For each, whether the record was as it was seen, and so is changed.
    Done(Vec<bool>),
    /// Nothing was done: the task is over, or another batch has taken the mark over.
    Stopped,
}

/// The writes of a batch, and of a person who reviews what is disputed. Only one batch of a task is under way at a
/// time, the one whose mark is stored; whoever lost it meanwhile writes nothing any more.
#[async_trait]
pub trait Batches: Send + Sync {
    /// Writes what becomes of subtasks of one task, and counts it, in one step: those whose record is as it was seen,
    /// while the task is not over. A batch says its `mark`: then nothing is written unless that is the number of the
    /// stored one. A person has none. At most [`REVISED_AT_ONCE`].
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised>;

    /// Completes a task: [`Store::replace_task`](super::Store::replace_task), if `mark` is the number of the stored
    /// mark too. So no batch opens anything again in a task that another has just found done.
    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool>;
}

/// Whom a task's last batch is asked of.
#[async_trait]
pub trait Estimates: Send + Sync {
    /// Asks for the last batch of a task. Asking again does no harm.
    async fn ask(&self, task: TaskId) -> StoreResult<()>;
}

/// Whom a last batch is asked of, shared.
pub type SharedEstimates = Arc<dyn Estimates>;
