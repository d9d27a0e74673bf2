//! What batches write, with faults.

use async_trait::async_trait;
use lambel_core::{AuditEntry, SubtaskState, Task};
use lambel_service::ports::{Batches, Revised, Revision, SkillMark, StoreResult};

use super::{super::Deed, FaultyStore};
use crate::lock;

#[async_trait]
impl Batches for FaultyStore {
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.revise(task, revisions, mark)).await;
        for Revision { seen, after } in revisions {
            lock(&self.past).keep(seen);
            match (seen.state == SubtaskState::Open, after.state == SubtaskState::Open) {
                (false, true) => self.moved(task, after.image, true),
                (true, false) => self.moved(task, after.image, false),
                _ => self.changed(),
            }
        }
        answer
    }

    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool> {
        let answer = self.faults.call(Deed::Transaction, || self.inner.complete_by(task, entry, mark)).await;
        self.changed();
        answer
    }
}
