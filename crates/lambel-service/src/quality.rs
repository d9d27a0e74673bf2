//! Operators' quality: what `skill-estimator` finds of each in the pass that it makes anyway, who is paused for it,
//! and what the client of a task is told.
//!
//! An operator may be paused in one task: by its client, by an admin, or, where the policy says so
//! (`pause_flagged`), by a look that finds a flag which is certain. Somebody who is let go on is not paused by the
//! policy again for flags of the kinds that they had then, as long as each look finds them; a kind that has gone and
//! comes back, or another one, pauses them again.

mod reading;
mod report;

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{Actor, AuditEntry, Deed, OperatorId, Task, Timestamp};

use crate::{
    error::{Error, Result},
    ports::{OperatorQuality, Paused, SharedQualityStore, SharedStore},
};

pub use reading::Quality;
pub(crate) use reading::calibration_view;
pub(crate) use report::{Reporter, Seen, Tallies};

/// How often a pause is tried again when the task, or the operator's quality record, has changed in between.
const TRIES: usize = 5;
/// Leases given back at the same time.
const AT_ONCE: usize = 20;

/// What a pause, or the end of one, has come to.
struct Change {
    quality: OperatorQuality,
    /// Leases that were given back.
    returned: u32,
}

/// Pauses an operator in a task, and takes back what they hold of it; or with `paused_at` none lets them go on.
///
/// The pause is on the operator's desk first, and then the leases are taken back that the desk has. A claim under way
/// has either stored its leases there by then, or fails to store them, sees the pause, and gives them back itself.
/// Pausing again takes back again, which mends a pause that was stopped in the middle.
async fn set_pause(
    store: &SharedStore,
    quality: &SharedQualityStore,
    task: &Task,
    operator: &OperatorId,
    paused_at: Option<Timestamp>,
    by: (Actor, Timestamp, Option<String>),
) -> Result<Change> {
    let (actor, at, reason) = by;
    let operator_id = operator.clone();
    let deed = match paused_at {
        Some(_) => Deed::OperatorPausedInTask { operator: operator_id, reason },
        None => Deed::OperatorResumedInTask { operator: operator_id },
    };
    let entry = AuditEntry { at, actor, deed };
    let mut task = task.clone();
    for _ in 0..TRIES {
        let mut record = quality.operator_quality(task.id, operator).await?;
        if record.paused_at.is_some() != paused_at.is_some() {
            record.paused_at = paused_at;
            if paused_at.is_none() {
                record.tolerated = report::certain(&record);
            }
            record.rev += 1;
            match quality.put_pause(&task, &record, &entry).await? {
                Paused::Done => {}
                Paused::NoDesk => return Err(Error::OperatorNotFound),
                Paused::Changed => {
                    task = store.task(task.id).await?.ok_or(Error::TaskNotFound)?;
                    continue;
                }
            }
        } else if record.rev == 0 {
            // Nothing is known of them: are they there at all?
            let known = store.desks(&[task.id], operator).await?.desks.iter().any(|(_, desk)| desk.rev > 0);
            known.then_some(()).ok_or(Error::OperatorNotFound)?;
        }
        let returned = match paused_at {
            Some(_) => give_back(store, &task, operator).await?,
            None => 0,
        };
        return Ok(Change { quality: record, returned });
    }
    Err(Error::Contended)
}

/// Gives back what an operator holds of a task. What their desk says of it is left there: the next claim finds out.
async fn give_back(store: &SharedStore, task: &Task, operator: &OperatorId) -> Result<u32> {
    let Some((_, desk)) = store.desks(&[task.id], operator).await?.desks.pop() else { return Ok(0) };
    let returns: Vec<_> = desk.leases.keys().map(|image| store.give_back(task, *image, operator)).collect();
    let gone: Vec<bool> = stream::iter(returns).buffered(AT_ONCE).try_collect().await?;
    Ok(gone.iter().filter(|gone| **gone).count() as u32)
}
