//! Dead letters: what a message that was given up on still stands for, and whether it is worth sending it again.
//!
//! Sending one again is always safe: everything behind a queue knows what it has done already. The question is
//! whether it is of any use.

use lambel_core::{
    SubtaskState, Task, TaskId,
    event::{CloudEvent, LastBatchWanted, NewSubtasks, SubtaskEnded},
    ring::previous_place,
};
use serde::Serialize;

use crate::{
    error::Result,
    ports::{ExportStep, ObjectKey, SharedObjects, SharedStore},
};

/// What is to be expected of sending a message again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "prospect", content = "because", rename_all = "kebab-case")]
pub enum Prospect {
    /// There is something left to do.
    Worthwhile(String),
    /// Nothing is left to do: what it stands for is done, or nobody waits for it.
    Spent(String),
    /// Nobody can read it, now or later.
    Unreadable(String),
}

/// Looks at dead letters.
#[derive(Clone)]
pub struct DeadLetters {
    store: SharedStore,
    objects: SharedObjects,
}

impl DeadLetters {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects) -> Self {
        Self { store, objects }
    }

    /// Of S3's notice of uploads.
    pub async fn uploads(&self, keys: &[ObjectKey]) -> Result<Prospect> {
        let mut spent = "it names no upload of a task".to_owned();
        for key in keys {
            let Some(task) = self.active(key.task, &mut spent).await? else { continue };
            if let [record] = &self.store.subtasks(&task, &[key.image], true).await?[..] {
                // A redelivery also mends a message to the opener that was never sent.
                if record.state == SubtaskState::Preparing {
                    return Ok(Prospect::Worthwhile(format!("image {} is recorded and not opened", key.image)));
                }
                spent = format!("image {} is recorded already", key.image);
                continue;
            }
            let there = self.objects.uploads(key.task, previous_place(&key.image), 1).await?;
            if there.first().is_some_and(|upload| upload.image == key.image) {
                return Ok(Prospect::Worthwhile(format!("image {} waits to be validated", key.image)));
            }
            spent = format!("the file of image {} is gone", key.image);
        }
        Ok(Prospect::Spent(spent))
    }

    /// Of a message to the opener.
    pub async fn new_subtasks(&self, body: &str) -> Result<Prospect> {
        let NewSubtasks { task, images } = match serde_json::from_str(body) {
            Ok(message) => message,
            Err(error) => return Ok(Prospect::Unreadable(error.to_string())),
        };
        let mut spent = String::new();
        let Some(task) = self.active(task, &mut spent).await? else { return Ok(Prospect::Spent(spent)) };
        let records = self.store.subtasks(&task, &images, true).await?;
        let waiting = records.iter().filter(|record| record.state == SubtaskState::Preparing).count();
        Ok(match waiting {
            0 => Prospect::Spent(format!("none of its {} images waits to be opened", images.len())),
            waiting => Prospect::Worthwhile(format!("{waiting} of its {} images wait to be opened", images.len())),
        })
    }

    /// Of the news of a decision or a refusal.
    pub async fn task_progress(&self, body: &str) -> Result<Prospect> {
        let event: CloudEvent<SubtaskEnded> = match serde_json::from_str(body) {
            Ok(event) => event,
            Err(error) => return Ok(Prospect::Unreadable(error.to_string())),
        };
        let mut spent = String::new();
        Ok(match self.active(event.data.task, &mut spent).await? {
            Some(task) => Prospect::Worthwhile(format!("task {} is {}", task.id, task.state.as_str())),
            None => Prospect::Spent(spent),
        })
    }

    /// Of a version that is wanted. Making one is of use as long as there is the task: at worst nothing has changed.
    pub async fn commits(&self, body: &str) -> Result<Prospect> {
        let task = match crate::dataset::task_of(body) {
            Ok(task) => task,
            Err(error) => return Ok(Prospect::Unreadable(error.to_string())),
        };
        Ok(match self.store.task(task).await? {
            Some(_) => Prospect::Worthwhile(format!("a version of what task {task} has is made")),
            None => Prospect::Spent(format!("there is no task {task}")),
        })
    }

    /// Of a wish for the last batch of a task.
    pub async fn estimates(&self, body: &str) -> Result<Prospect> {
        let LastBatchWanted { task } = match serde_json::from_str(body) {
            Ok(message) => message,
            Err(error) => return Ok(Prospect::Unreadable(error.to_string())),
        };
        let mut spent = String::new();
        Ok(match self.active(task, &mut spent).await? {
            Some(task) => Prospect::Worthwhile(format!("task {} is {}", task.id, task.state.as_str())),
            None => Prospect::Spent(spent),
        })
    }

    /// Of a step of an export. Of one that is over nothing is left to do, and nothing is done.
    pub async fn exports(&self, body: &str) -> Result<Prospect> {
        let step: ExportStep = match serde_json::from_str(body) {
            Ok(step) => step,
            Err(error) => return Ok(Prospect::Unreadable(error.to_string())),
        };
        Ok(match self.store.task(step.task).await? {
            Some(_) => Prospect::Worthwhile(format!("export {} goes on, if it still waits for this", step.export)),
            None => Prospect::Spent(format!("there is no task {}", step.task)),
        })
    }

    /// The task, if it is not over; if there is none, `spent` says why.
    async fn active(&self, id: TaskId, spent: &mut String) -> Result<Option<Task>> {
        let task = self.store.task(id).await?;
        *spent = match &task {
            None => format!("there is no task {id}"),
            Some(task) => format!("task {id} is {}", task.state.as_str()),
        };
        Ok(task.filter(|task| !task.state.is_final()))
    }
}
