//! Calibration: what the answers on gold say of a task's confidences.

use std::collections::HashMap;

use lambel_core::{
    OperatorId, Task, Vote,
    consensus::{Calibrated, Earned, Measured, replay},
    subtask::Votes,
};

use crate::known::Known;

/// Plays each image of gold again until the task's rule would have stopped on it, and fits the calibration by what the
/// rule would have said. The answers weigh what the fit has found of their operators: they have no weights of their own.
/// `operators` and `measured` are in the same order.
pub(super) fn calibrate(task: &Task, known: &Known, operators: &[OperatorId], measured: &[Measured]) -> Calibrated {
    let earned: HashMap<&OperatorId, Earned> =
        operators.iter().zip(measured).map(|(operator, measured)| (operator, measured.earned)).collect();
    let played = known.answers().filter_map(|(truth, answers)| {
        let vote = |(operator, given): &(OperatorId, _)| {
            let lambel_core::gold::GoldAnswer { answer, at, elapsed_ms } = *given;
            (operator.clone(), Vote { answer, at, elapsed_ms, earned: earned.get(operator).copied() })
        };
        let votes: Votes = answers.iter().map(vote).collect();
        Some((replay(&task.policy, task.labels.len(), &votes)?, truth))
    });
    let found = Calibrated::of(played);
    if let Some(alarm) = found.alarm {
        // An alarm of the template listens for these words.
        tracing::warn!(
            task = %task.id, gold = found.gold, gold.majority = alarm.majority_only, gold.model = alarm.model_only,
            "majority does better on gold than the model"
        );
    }
    found
}
