//! What becomes of disputed images: what each policy does with them, and what a person decides.

use lambel_core::{
    OnDispute, Subtask, SubtaskState, Task, TaskId,
    api::{ReviewOutcome, ReviewReceipt},
    consensus::Dispute,
    subtask::DecidedBy,
};

use super::{Check, Model, ensure};

/// The state of a record that was decided for a label, or is disputed for a reason.
pub(super) fn state(task: &Task, label: Option<u16>, dispute: Option<Dispute>) -> SubtaskState {
    match (dispute, task.policy.disputed, label) {
        (None, _, _) | (Some(_), OnDispute::Best, Some(_)) => SubtaskState::Complete,
        _ => SubtaskState::Disputed,
    }
}

/// Whether nobody waits for anything of a record any more.
pub(super) fn is_done(task: &Task, record: &Subtask) -> bool {
    let waits = task.policy.disputed == OnDispute::Review && record.state == SubtaskState::Disputed;
    record.state.is_final() && !waits
}

impl Model {
    /// A person has decided a record.
    pub(super) fn observe_review(&mut self, name: &str, before: &Subtask, after: &Subtask) -> Check {
        let task = self.tasks.get(&after.task).ok_or_else(|| format!("{name}: of a task that is not there"))?;
        self.reviewed += 1;
        let step = (before.state, after.state);
        let is_step = step == (SubtaskState::Disputed, SubtaskState::Complete);
        ensure(is_step, || format!("{name}: reviewed from {:?} to {:?}", step.0, step.1))?;
        ensure(!task.state.is_final(), || format!("{name}: reviewed, and its task is over"))?;
        let same = before.votes == after.votes && before.late == after.late && before.leases == after.leases;
        ensure(same, || format!("{name}: its review has changed votes or leases"))?;
        let decided = after.decision.filter(|decision| decision.dispute.is_none());
        let label = decided.and_then(|decision| task.labels.get(decision.label?));
        ensure(label.is_some(), || format!("{name}: reviewed without an answer: {:?}", after.decision))?;
        let owner = after.reviewed_by.as_ref() == Some(&task.owner);
        ensure(owner, || format!("{name}: reviewed by {:?}, who does not own it", after.reviewed_by))?;
        let is_on_trail = self.has_deed(after.task, "disputes-reviewed");
        ensure(is_on_trail, || format!("{name}: reviewed, and the trail says nothing of it"))
    }

    /// Somebody was told what became of their reviews. What was reviewed stays so.
    pub(crate) fn review_heard(&self, task: TaskId, receipts: &[ReviewReceipt]) -> Check {
        let labels = self.tasks.get(&task).map(|task| &task.labels);
        for receipt in receipts.iter().filter(|receipt| receipt.outcome != ReviewOutcome::Refused) {
            let record = receipt.image.and_then(|image| self.records.get(&(task, image)));
            let is_reviewed = record.is_some_and(|record| {
                let label = record.decision.and_then(|decision| labels?.get(decision.label?));
                record.decided_by == DecidedBy::Review && label == receipt.label.as_ref()
            });
            ensure(is_reviewed, || format!("{task}: a review was acknowledged that is not there: {receipt:?}"))?;
        }
        Ok(())
    }
}
