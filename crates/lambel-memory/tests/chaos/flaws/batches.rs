//! What batches write, with a flaw.

use async_trait::async_trait;
use lambel_core::{AuditEntry, SubtaskState, Task, subtask::DecidedBy};
use lambel_service::ports::{Batches, Revised, Revision, SkillMark, Store, StoreResult};

use super::{Flaw, Flawed};

fn is_review(revision: &Revision) -> bool {
    revision.after.decided_by == DecidedBy::Review
}

#[async_trait]
impl Batches for Flawed {
    async fn revise(&self, task: &Task, revisions: &[Revision], mark: Option<u64>) -> StoreResult<Revised> {
        let mut flawed = revisions.to_vec();
        for Revision { seen, after } in flawed.iter_mut().filter(|revision| !revision.after.state.is_final()) {
            match self.flaw {
                Flaw::DropsVotesOfReopened => drop(after.votes.pop_first()),
                // What is taken back is what is seen.
                Flaw::KeepsCountOfReopened => seen.state = SubtaskState::Open,
                _ => {}
            }
        }
        for Revision { seen, after } in flawed.iter_mut().filter(|revision| is_review(revision)) {
            match self.flaw {
                Flaw::KeepsCountOfReviewed => seen.state = after.state,
                Flaw::ReviewsBlindly => {
                    let now = self.inner.subtasks(task, &[seen.image], true).await?;
                    seen.rev = now.first().map_or(seen.rev, |now| now.rev);
                }
                _ => {}
            }
        }
        self.inner.revise(task, &flawed, mark).await
    }

    async fn complete_by(&self, task: &Task, entry: &AuditEntry, mark: &SkillMark) -> StoreResult<bool> {
        self.inner.complete_by(task, entry, mark).await
    }
}
