//! Opening: a recorded picture gets what it needs before people see it, and goes into the pool.

use std::{sync::Arc, time::Instant};

use futures::{StreamExt, stream};
use lambel_core::{
    Subtask, SubtaskState, Task,
    event::NewSubtasks,
    limits,
    subtask::{Preview, Refusal},
};
use tokio::sync::Semaphore;

use crate::{
    error::Comeback,
    ports::{Fetched, ObjectKey, SharedClock, SharedObjects, SharedStore, StoreError},
};

/// Subtasks opened at the same time.
const OPENED_AT_ONCE: usize = 16;
/// Previews made at the same time: each decodes a whole picture.
const PREVIEWS_AT_ONCE: usize = 1;

/// Opens subtasks.
#[derive(Clone)]
pub struct Opener {
    store: SharedStore,
    objects: SharedObjects,
    clock: SharedClock,
    previews: Arc<Semaphore>,
}

/// Why a message could not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The body is not that of a message of this queue.
    #[error("body cannot be read: {0}")]
    Body(#[from] serde_json::Error),
    /// The storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Some of the images could not be opened.
    #[error("{0} images not opened")]
    Images(usize),
}

impl OpenError {
    /// What is to become of the message.
    pub fn comeback(&self) -> Comeback {
        match self {
            Self::Body(_) => Comeback::Never,
            Self::Store(_) | Self::Images(_) => Comeback::Later,
        }
    }
}

impl Opener {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, clock: SharedClock) -> Self {
        Self { store, objects, clock, previews: Arc::new(Semaphore::new(PREVIEWS_AT_ONCE)) }
    }

    /// Opens the subtasks of one message of the queue `new-subtasks`.
    ///
    /// Retry decision: if any image could not be opened the message comes back; those that are open by then are
    /// passed over. A body that cannot be read fails too, so that it ends in the dead-letter queue, where it
    /// is seen. Subtasks that are gone, or of a task that is over, are done with. An image of which there can never
    /// be a preview, since its object is gone or cannot be decoded after all, is refused: nobody could look at it,
    /// and the task would wait for it for ever.
    ///
    /// What has not been begun when `deadline` comes is left for the next time.
    pub async fn open(&self, body: &str, deadline: Instant) -> Result<(), OpenError> {
        let NewSubtasks { task: id, images } = serde_json::from_str(body)?;
        let Some(task) = self.store.task(id).await?.filter(|task| !task.state.is_final()) else {
            tracing::warn!(task = %id, "subtasks left alone: no such task, or it is over");
            return Ok(());
        };
        let subtasks = self.store.subtasks(&task, &images, true).await?;
        let waiting: Vec<Subtask> =
            subtasks.into_iter().filter(|subtask| subtask.state == SubtaskState::Preparing).collect();
        let opened = stream::iter(&waiting)
            .map(|subtask| async {
                let outcome = self.open_one(&task, subtask, deadline).await;
                if let Err(error) = &outcome {
                    tracing::warn!(task = %id, image = %subtask.image, %error, "subtask not opened");
                }
                outcome.is_ok()
            })
            .buffer_unordered(OPENED_AT_ONCE)
            .filter(|opened| std::future::ready(*opened))
            .count()
            .await;
        tracing::info!(task = %id, images = opened, "subtasks opened");
        if opened < waiting.len() { Err(OpenError::Images(waiting.len() - opened)) } else { Ok(()) }
    }

    async fn open_one(&self, task: &Task, subtask: &Subtask, deadline: Instant) -> Result<(), StoreError> {
        let media_type = match subtask.preview {
            Preview::Wanted => match self.make_preview(subtask, deadline).await? {
                Ok(media_type) => Some(media_type),
                Err(refusal) => {
                    tracing::warn!(task = %task.id, image = %subtask.image, refusal.code, "image refused after all");
                    self.store.refuse(task, subtask.image, &refusal, self.clock.now()).await?;
                    return Ok(());
                }
            },
            Preview::NotNeeded | Preview::Made { .. } => None,
        };
        self.store.open(task, subtask.image, media_type.as_deref()).await?;
        Ok(())
    }

    /// Makes the preview and says its media type, or why there can never be one.
    async fn make_preview(&self, subtask: &Subtask, deadline: Instant) -> Result<Result<String, Refusal>, StoreError> {
        let key = ObjectKey { task: subtask.task, image: subtask.image };
        let permit = Arc::clone(&self.previews).acquire_owned().await;
        if Instant::now() >= deadline {
            return Err(StoreError::Busy("no time left".to_owned()));
        }
        let Fetched::Bytes(bytes, _) = self.objects.fetch(key, limits::IMAGE_BYTES).await? else {
            return Ok(Err(Refusal {
                code: "upload-gone".to_owned(),
                detail: "the file was taken away before anybody could look at it".to_owned(),
            }));
        };
        let making = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            lambel_image::preview(&bytes, &lambel_image::Limits::default())
        });
        let preview = match making.await.map_err(|error| StoreError::Busy(error.to_string()))? {
            Ok(preview) => preview,
            Err(refusal) => {
                return Ok(Err(Refusal { code: refusal.code().to_owned(), detail: refusal.to_string() }));
            }
        };
        let media_type = preview.media_type.to_owned();
        self.objects.put_preview(key, preview.bytes.into(), &media_type).await?;
        Ok(Ok(media_type))
    }
}
