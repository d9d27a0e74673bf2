//! What there is to label: the list of tasks, and an image as an operator gets it.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    Subtask, Task, Timestamp,
    api::{LeasedSubtask, WorkAnswer, WorkSummary, WorkTask},
    limits,
    subtask::Preview,
};

use super::{ACTIVE_TASKS, AT_ONCE, Operators, unpaused};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{ObjectKey, Shelf},
};

/// Pages of tasks that a list of work looks at.
const WORK_PAGES: usize = 10;

impl Operators {
    /// The tasks that have work.
    pub async fn work(&self, caller: &Caller) -> Result<WorkAnswer> {
        unpaused(&self.store.standing(&caller.operator()?).await?)?;
        let mut found = Vec::new();
        let mut after = None;
        for _ in 0..WORK_PAGES {
            let (mut tasks, more) = self.store.active_tasks(after, ACTIVE_TASKS).await?;
            tasks.retain(|task| caller.belongs_to(&task.audience));
            let summary = |task: &Task| {
                let (store, task) = (self.store.clone(), task.clone());
                async move {
                    let undecided = store.counts(&task).await?.undecided();
                    let labels = task.labels.len() as u32;
                    Ok::<_, Error>(WorkSummary { task: task.id, name: task.name, labels, undecided })
                }
            };
            let summaries: Vec<_> = tasks.iter().map(summary).collect();
            let summaries: Vec<_> = stream::iter(summaries).buffered(AT_ONCE).try_collect().await?;
            found.extend(summaries.into_iter().filter(|summary| summary.undecided > 0));
            after = more;
            if after.is_none() || found.len() >= ACTIVE_TASKS as usize {
                break;
            }
        }
        found.truncate(ACTIVE_TASKS as usize);
        Ok(WorkAnswer { tasks: found })
    }

    /// An image as it is handed out.
    pub(super) async fn leased(&self, subtask: &Subtask, until: Timestamp, now: Timestamp) -> Result<LeasedSubtask> {
        let key = ObjectKey { task: subtask.task, image: subtask.image };
        let picture = subtask.picture.as_ref();
        let (shelf, media_type) = match (&subtask.preview, picture) {
            (Preview::Made { media_type }, _) => (Shelf::Previews, media_type.as_str()),
            (_, Some(picture)) => (Shelf::Uploads, picture.media_type.as_str()),
            (_, None) => (Shelf::Uploads, "application/octet-stream"),
        };
        let life = now.until(until) + Duration::from_secs(u64::from(limits::IMAGE_URL_GRACE_SECONDS));
        let url = self.objects.presign_get(shelf, key, media_type, life).await?;
        Ok(LeasedSubtask {
            task: subtask.task,
            image: subtask.image,
            url,
            media_type: media_type.to_owned(),
            width: picture.map_or(0, |picture| picture.width),
            height: picture.map_or(0, |picture| picture.height),
            lease_until: until,
        })
    }
}

/// A task, as operators see it.
pub(super) fn work_task(task: &Task) -> WorkTask {
    WorkTask {
        task: task.id,
        name: task.name.clone(),
        labels: task.labels.iter().cloned().collect(),
        instructions: Some(task.instructions.clone()).filter(|text| !text.is_empty()),
    }
}
