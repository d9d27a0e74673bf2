//! What the client of a task, or an admin, reads of its operators, and does about them.

use lambel_core::{
    OperatorId, Task, TaskId,
    api::{
        Agreement, CalibrationView, ConfusionCount, FlagView, Interval, OperatorPage, OperatorQualityView,
        OperatorReport, PageQuery, PauseInTaskView, PauseOperator,
    },
    consensus::{Alpha, Calibrated, Part, Weight},
    limits,
};

use super::{Change, set_pause};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{OperatorQuality, SharedQualityStore},
    results::page_limit,
    tasks::Tasks,
};

/// What is said before the first look.
const NOT_YET: &str = "nothing was measured yet: the votes are looked at first when 20 images are decided, at the next beat of a schedule of 5 minutes";

/// Operators' quality, towards the client of a task and admins.
#[derive(Clone)]
pub struct Quality {
    tasks: Tasks,
    quality: SharedQualityStore,
}

impl Quality {
    /// Over the use cases of tasks, which know whose they are, and this port.
    pub fn new(tasks: Tasks, quality: SharedQualityStore) -> Self {
        Self { tasks, quality }
    }

    /// A page of the operators of a task, sorted by id: those whose votes were looked at, or who were paused in it.
    pub async fn operators(&self, caller: &Caller, id: TaskId, query: &PageQuery) -> Result<OperatorPage> {
        let task = self.tasks.owned(caller, id).await?;
        let limit = page_limit(query.limit)?;
        let after = query.cursor.as_deref().map(parse_cursor).transpose()?;
        let common = self.quality.task_quality(id).await?;
        let found = self.quality.operator_qualities(id, after.as_ref(), limit).await?;
        let next = found.last().filter(|_| found.len() == limit as usize).map(|record| format!("{}/", record.operator));
        let calibrated = common.as_ref().and_then(|common| common.calibrated);
        Ok(OperatorPage {
            measured_at: common.as_ref().map(|common| common.measured_at),
            explanation: common.is_none().then(|| NOT_YET.to_owned()),
            images: common.as_ref().map_or(0, |common| common.images),
            votes: common.as_ref().map_or(0, |common| common.votes),
            agreement: common.as_ref().and_then(|common| common.agreement).map(agreement),
            calibration: calibrated.map(|found| calibration_view(&found)),
            alarm: calibrated.and_then(|found| found.alarm),
            operators: found.iter().map(|record| report(&task, record)).collect(),
            next,
        })
    }

    /// One operator of a task, with their confusions.
    pub async fn operator(&self, caller: &Caller, id: TaskId, operator: &OperatorId) -> Result<OperatorQualityView> {
        let task = self.tasks.owned(caller, id).await?;
        let record = self.quality.operator_quality(id, operator).await?;
        if record.rev == 0 {
            return Err(Error::OperatorNotFound);
        }
        let common = self.quality.task_quality(id).await?;
        let matrix = record.found.as_ref().map(|found| &found.confusions);
        let count = |cell: &lambel_core::consensus::Cell| {
            let (decided, said) = (task.labels.get(cell.decided)?, task.labels.get(cell.said)?);
            Some(ConfusionCount { decided: decided.clone(), said: said.clone(), times: cell.times })
        };
        Ok(OperatorQualityView {
            measured_at: common.map(|common| common.measured_at),
            report: report(&task, &record),
            confusions: matrix.iter().flat_map(|matrix| &matrix.cells).filter_map(count).collect(),
            confusions_cut: matrix.is_some_and(|matrix| matrix.cut),
        })
    }

    /// Pauses an operator in this task: no claim and no vote of theirs is taken, and what they hold goes back to the
    /// pool. Their votes stay, and other tasks are open to them.
    pub async fn pause(
        &self,
        caller: &Caller,
        id: TaskId,
        operator: &OperatorId,
        request: &PauseOperator,
    ) -> Result<PauseInTaskView> {
        let task = self.going_on(caller, id).await?;
        let reason = request.reason.as_deref();
        if reason.is_some_and(|reason| reason.chars().count() > limits::PAUSE_REASON_CHARS) {
            return Err(Error::invalid("reason", format!("{} characters at most", limits::PAUSE_REASON_CHARS)));
        }
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty()).map(ToOwned::to_owned);
        let now = self.tasks.clock.now();
        let by = (caller.actor(), now, reason);
        let change = set_pause(&self.tasks.store, &self.quality, &task, operator, Some(now), by).await?;
        tracing::info!(task = %id, operator = %operator, leases = change.returned, "operator paused in a task");
        let returned = Some(change.returned);
        Ok(view(change, returned))
    }

    /// Lets an operator work in this task again. The policy does not pause them for the flags that they have now.
    pub async fn resume(&self, caller: &Caller, id: TaskId, operator: &OperatorId) -> Result<PauseInTaskView> {
        let task = self.going_on(caller, id).await?;
        let by = (caller.actor(), self.tasks.clock.now(), None);
        let change = set_pause(&self.tasks.store, &self.quality, &task, operator, None, by).await?;
        tracing::info!(task = %id, operator = %operator, "operator resumed in a task");
        Ok(view(change, None))
    }

    async fn going_on(&self, caller: &Caller, id: TaskId) -> Result<Task> {
        let task = self.tasks.owned(caller, id).await?;
        if task.state.is_final() { Err(Error::TaskEnded(task.state)) } else { Ok(task) }
    }
}

/// A cursor is the last operator of a page, with a slash, which no id has: an id alone is somebody's mistake.
fn parse_cursor(cursor: &str) -> Result<OperatorId> {
    let operator = cursor.strip_suffix('/').and_then(|operator| operator.parse().ok());
    operator.ok_or_else(|| Error::invalid("cursor", "this is not a cursor"))
}

fn view(change: Change, returned: Option<u32>) -> PauseInTaskView {
    let Change { quality, .. } = change;
    PauseInTaskView {
        paused: quality.paused_at.is_some(),
        paused_at: quality.paused_at,
        operator: quality.operator,
        returned,
    }
}

fn agreement(alpha: Alpha) -> Agreement {
    let interval = Interval { low: alpha.low, high: alpha.high };
    Agreement { alpha: alpha.alpha, interval, images: alpha.images as u64 }
}

/// What a calibration is, to people and programs.
pub(crate) fn calibration_view(found: &Calibrated) -> CalibrationView {
    CalibrationView {
        gold: found.gold,
        temperature: found.calibration.map(|calibration| calibration.temperature),
        epsilon: found.calibration.map(|calibration| calibration.epsilon),
    }
}

fn report(task: &Task, record: &OperatorQuality) -> OperatorReport {
    let found = record.found.as_ref();
    let part = |part: Part| Some(part).filter(|part| part.of > 0);
    let flags = found.iter().flat_map(|found| &found.flags).map(|flag| {
        let label = flag.label().and_then(|label| task.labels.get(label)).map_or("", |label| label.as_str());
        FlagView { flag: flag.kind(), reason: flag.reason(label) }
    });
    OperatorReport {
        operator: record.operator.clone(),
        votes: found.map_or(0, |found| found.votes),
        abstentions: found.map_or(0, |found| found.abstentions),
        agreement: found.and_then(|found| part(found.agreement)),
        gold: found.and_then(|found| part(found.gold)),
        accuracy: found.map(|found| found.accuracy),
        interval: found.map(|found| Interval { low: found.interval.0, high: found.interval.1 }),
        weight: found.and_then(|found| found.weight).map(Weight::nats),
        phase: found.and_then(|found| found.phase),
        median_ms: found.and_then(|found| found.median_ms),
        flags: flags.collect(),
        paused: record.paused_at.is_some(),
        paused_at: record.paused_at,
        tolerated: record.tolerated.clone(),
    }
}
