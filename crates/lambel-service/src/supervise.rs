//! What an admin does about operators: pause them, let them work again, see who did so.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    AuditEntry, Deed, ImageId, OperatorId, Standing, Task, TaskId,
    api::{AuditPage, OperatorView, PageQuery, PauseOperator},
    limits,
};

use crate::{
    audit::audit_page,
    caller::Caller,
    error::{Error, Result},
    operate::gold::take_back,
    ports::{Desk, NoGold, SharedClock, SharedGold, SharedStore, Trail},
};

/// How often a change is tried again when another admin is at it.
const TRIES: usize = 5;
/// Active tasks looked at by one read.
const TASKS_AT_ONCE: u32 = 40;
/// Leases given back at the same time.
const AT_ONCE: usize = 20;

/// The admin's side towards operators.
#[derive(Clone)]
pub struct Supervisors {
    store: SharedStore,
    clock: SharedClock,
    gold: SharedGold,
}

impl Supervisors {
    /// Over these ports.
    pub fn new(store: SharedStore, clock: SharedClock) -> Self {
        Self { store, clock, gold: Arc::new(NoGold) }
    }

    /// The same, for tasks that hand out gold among the work.
    #[must_use]
    pub fn with_gold(self, gold: SharedGold) -> Self {
        Self { gold, ..self }
    }

    /// How an operator stands.
    pub async fn show(&self, caller: &Caller, operator: &OperatorId) -> Result<OperatorView> {
        caller.admin()?;
        Ok(view(&self.store.standing(operator).await?, None))
    }

    /// Pauses an operator: from now on no claim and no vote of theirs is taken, and what they hold goes back to
    /// the pool. Their votes stay.
    ///
    /// First the standing is written, then the leases are taken back, so that a claim under way is caught either
    /// way: by this walk, or by its own look at the standing after it has leased. Pausing again takes back again,
    /// which mends a pause that was stopped in the middle.
    pub async fn pause(&self, caller: &Caller, operator: &OperatorId, request: &PauseOperator) -> Result<OperatorView> {
        caller.admin()?;
        let reason = request.reason.as_deref();
        if reason.is_some_and(|reason| reason.chars().count() > limits::PAUSE_REASON_CHARS) {
            return Err(Error::invalid("reason", format!("{} characters at most", limits::PAUSE_REASON_CHARS)));
        }
        let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
        let deed = Deed::OperatorPaused { reason: reason.map(ToOwned::to_owned) };
        let now = self.clock.now();
        let standing = self.change(caller, operator, deed, |standing| standing.pause(now)).await?;
        let returned = self.take_back(operator).await?;
        tracing::info!(operator = %operator, leases = returned, "operator paused");
        Ok(view(&standing, Some(returned)))
    }

    /// Lets an operator work again.
    pub async fn resume(&self, caller: &Caller, operator: &OperatorId) -> Result<OperatorView> {
        caller.admin()?;
        let standing = self.change(caller, operator, Deed::OperatorResumed, Standing::resume).await?;
        tracing::info!(operator = %operator, "operator resumed");
        Ok(view(&standing, None))
    }

    /// Who has paused an operator, and when.
    pub async fn audit(&self, caller: &Caller, operator: &OperatorId, query: &PageQuery) -> Result<AuditPage> {
        caller.admin()?;
        audit_page(&*self.store, &Trail::Operator(operator.clone()), query).await
    }

    async fn change(
        &self,
        caller: &Caller,
        operator: &OperatorId,
        deed: Deed,
        change: impl Fn(&mut Standing) -> bool,
    ) -> Result<Standing> {
        let entry = AuditEntry { at: self.clock.now(), actor: caller.actor(), deed };
        for _ in 0..TRIES {
            let mut standing = self.store.standing(operator).await?;
            if !change(&mut standing) || self.store.put_standing(&standing, &entry).await? {
                return Ok(standing);
            }
        }
        Err(Error::Contended)
    }

    /// Takes back what an operator holds in the tasks that go on.
    async fn take_back(&self, operator: &OperatorId) -> Result<u32> {
        let mut returned = 0;
        let mut after = None;
        loop {
            let (tasks, more) = self.store.active_tasks(after, TASKS_AT_ONCE).await?;
            let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
            for (task, desk) in self.store.desks(&ids, operator).await?.desks {
                // Also a record without leases is changed: a claim under way that has read it shall notice.
                if let Some(task) = task.filter(|_| desk.rev > 0) {
                    returned += give_back_all(&self.store, &task, desk).await?;
                    returned += take_back(&self.gold, &task, operator).await?;
                }
            }
            after = more;
            if after.is_none() {
                return Ok(returned);
            }
        }
    }
}

/// Gives back every lease of an operator's record, and empties it. Says how many there were.
async fn give_back_all(store: &SharedStore, task: &Task, mut desk: Desk) -> Result<u32> {
    let mut returned = 0;
    for _ in 0..TRIES {
        // On a further round also what was given back before: a claim may have leased it again since.
        let held: Vec<ImageId> = desk.leases.keys().copied().collect();
        let returns: Vec<_> = held.iter().map(|image| store.give_back(task, *image, &desk.operator)).collect();
        let gone: Vec<bool> = stream::iter(returns).buffered(AT_ONCE).try_collect().await?;
        returned += gone.iter().filter(|gone| **gone).count() as u32;
        desk.leases.clear();
        desk.rev += 1;
        if store.put_desk(&desk).await? {
            return Ok(returned);
        }
        // A claim has added to it in between: once more.
        match store.desks(&[task.id], &desk.operator).await?.desks.pop() {
            Some((_, fresh)) => desk = fresh,
            None => return Ok(returned),
        }
    }
    Err(Error::Contended)
}

fn view(standing: &Standing, returned: Option<u32>) -> OperatorView {
    OperatorView {
        operator: standing.operator.clone(),
        paused: standing.is_paused(),
        paused_at: standing.paused_at,
        returned,
    }
}
