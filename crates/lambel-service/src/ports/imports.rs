//! Votes from outside, in the tables.

use std::sync::Arc;

use async_trait::async_trait;
use lambel_core::{Subtask, Task};

use super::StoreResult;

/// What bringing in votes from outside needs of the tables, beside what everybody needs.
#[async_trait]
pub trait Imports: Send + Sync {
    /// Stores what [`Subtask::bring_in`] has made of a record, if the record is as it was seen. False if it is not.
    /// All that the two may differ in is `rev` and the votes.
    async fn bring_in(&self, task: &Task, seen: &Subtask, after: &Subtask) -> StoreResult<bool>;
}

/// The same, shared.
pub type SharedImports = Arc<dyn Imports>;
