//! Which confidence is reported: calibrated where the task has a calibration, and so computed where it is read.
//!
//! What is stored is the posterior that the rule stopped by. A calibration is fitted anew with each batch, so what is
//! reported of a decision may move while a task goes on, without a write to its record.

use lambel_core::{
    Subtask, Task,
    consensus::{Calibrated, Calibration, Confidence},
};

use crate::ports::{QualityStore, StoreResult};

/// How the confidences of one task are reported.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported(Option<Calibrated>);

impl Reported {
    /// Reads the task's calibration. Of a task that cannot have one, since its rule does not weigh or it has no gold,
    /// nothing is read.
    pub(crate) async fn read(quality: Option<&dyn QualityStore>, task: &Task) -> StoreResult<Self> {
        let Some(quality) = quality.filter(|_| task.policy.rule.weighs() && !task.policy.gold_rate.is_none()) else {
            return Ok(Self::default());
        };
        let found = quality.task_quality(task.id).await?.and_then(|common| common.calibrated);
        Ok(Self(found.filter(|found| found.calibration.is_some())))
    }

    /// How posteriors become confidences; none where they are reported as they are.
    pub(crate) fn calibration(&self) -> Option<Calibration> {
        self.0?.calibration
    }

    /// The calibration with what it was fitted to.
    pub(crate) fn found(&self) -> Option<&Calibrated> {
        self.0.as_ref()
    }

    /// The confidence of a subtask's decision.
    pub(crate) fn of(&self, task: &Task, subtask: &Subtask) -> Option<Confidence> {
        subtask.reported_confidence(&task.policy.rule, task.labels.len(), self.calibration().as_ref())
    }
}
