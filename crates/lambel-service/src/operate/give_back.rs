//! Giving back what one does not want to label.

use std::collections::{BTreeMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    ImageId, Task, TaskId,
    api::{ReturnAnswer, ReturnLeases},
    limits,
};

use super::{AT_ONCE, Operators, is_there};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::Desk,
};

impl Operators {
    /// Gives leases back, so that others need not wait for their end.
    pub async fn give_back(&self, caller: &Caller, request: &ReturnLeases) -> Result<ReturnAnswer> {
        let operator = caller.operator()?;
        if !(1..=limits::RETURNS_PER_REQUEST).contains(&request.subtasks.len()) {
            let detail = format!("1 to {} leases in one request", limits::RETURNS_PER_REQUEST);
            return Err(Error::invalid("subtasks", detail));
        }
        let mut by_task: BTreeMap<TaskId, Vec<ImageId>> = BTreeMap::new();
        for lease in &request.subtasks {
            by_task.entry(lease.task).or_default().push(lease.image);
        }
        let mut returned = 0;
        for (id, images) in by_task {
            let (_, task, desk) = self.desk(id, &operator).await?;
            let task = task.filter(|task| is_there(caller, task, &desk)).ok_or(Error::TaskNotFound)?;
            returned += self.hand_back(&task, desk, &images).await?;
        }
        Ok(ReturnAnswer { returned })
    }

    /// Gives leases of one task back, and takes them off the operator's record. Says how many there were.
    pub(super) async fn hand_back(&self, task: &Task, mut desk: Desk, images: &[ImageId]) -> Result<u32> {
        let (of_gold, images) = self.gold.give_back(task, &desk, images).await?;
        let returns: Vec<_> = images.iter().map(|image| self.store.give_back(task, *image, &desk.operator)).collect();
        let gone: Vec<bool> = stream::iter(returns).buffered(AT_ONCE).try_collect().await?;
        let images: HashSet<ImageId> = images.iter().copied().collect();
        let place = desk.place;
        self.keep(&mut desk, place, &images, &mut BTreeMap::new(), self.clock.now()).await?;
        Ok(of_gold + gone.iter().filter(|gone| **gone).count() as u32)
    }
}
