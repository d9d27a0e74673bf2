//! Validation: an upload becomes the record of a picture that can be labelled, or of a refusal.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use lambel_core::{
    ImageId, Subtask, Task, TaskId, Timestamp,
    event::NewSubtasks,
    limits,
    subtask::{Picture, Preview, Refusal},
};
use tokio::sync::Semaphore;

use crate::ports::{Fetched, ObjectKey, SharedClock, SharedMessages, SharedObjects, SharedStore, StoreError};

/// Uploads read at the same time. Each may have 40 MB.
const READ_AT_ONCE: usize = 4;
/// Pictures decoded at the same time. The largest takes some 400 MB.
const DECODED_AT_ONCE: usize = 1;
/// Records written by one transaction, beside one counter.
const RECORDED_AT_ONCE: usize = 99;
/// How long what is ready waits for the rest of its batch.
const RECORDED_EVERY: Duration = Duration::from_secs(10);
/// How long one batch may take: what is not done by then comes back. The function has 120 seconds.
const BUDGET: Duration = Duration::from_secs(75);

/// Turns uploads into records.
#[derive(Clone)]
pub struct Validator {
    store: SharedStore,
    objects: SharedObjects,
    messages: SharedMessages,
    clock: SharedClock,
    decoders: Arc<Semaphore>,
}

impl Validator {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, messages: SharedMessages, clock: SharedClock) -> Self {
        Self { store, objects, messages, clock, decoders: Arc::new(Semaphore::new(DECODED_AT_ONCE)) }
    }

    /// Validates a batch of uploads and says which must come back. One upload may be there several times.
    ///
    /// Retry decision: an upload comes back when the storage failed, whatever its picture is like; after the
    /// last try its message lies in the dead-letter queue. It does not come back when the object is gone, the
    /// task is over or does not exist, or the bytes are not those of the key: there is nothing to be done for
    /// it, and nobody counts on it.
    pub async fn validate(&self, uploads: &[ObjectKey]) -> Vec<ObjectKey> {
        // Sorted, so that the same batch makes the same calls in the same order: a schedule that has failed once can
        // be played again.
        let mut by_task: BTreeMap<TaskId, Vec<ImageId>> = BTreeMap::new();
        for key in uploads {
            let images = by_task.entry(key.task).or_default();
            if !images.contains(&key.image) {
                images.push(key.image);
            }
        }
        let begin = Instant::now();
        let mut failed = Vec::new();
        for (id, images) in by_task {
            let task = match self.store.task(id).await {
                Ok(Some(task)) if !task.state.is_final() => task,
                Ok(over) => {
                    let known = over.is_some();
                    tracing::warn!(task = %id, task.known = known, uploads = images.len(), "uploads left alone: no such task, or it is over");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(task = %id, %error, "task not read");
                    failed.extend(images.into_iter().map(|image| ObjectKey { task: id, image }));
                    continue;
                }
            };
            let failures = self.validate_in(&task, &images, begin).await;
            failed.extend(failures.into_iter().map(|image| ObjectKey { task: id, image }));
        }
        failed
    }

    async fn validate_in(&self, task: &Task, images: &[ImageId], begin: Instant) -> Vec<ImageId> {
        let now = self.clock.now();
        let mut left: BTreeSet<ImageId> = images.iter().copied().collect();
        let mut ready = Vec::new();
        let mut last = Instant::now();
        let looks: Vec<_> =
            images.iter().map(|image| async move { (*image, self.look(task, *image, now).await) }).collect();
        let mut verdicts = stream::iter(looks).buffer_unordered(READ_AT_ONCE);
        while let Some((image, verdict)) = verdicts.next().await {
            match verdict {
                Ok(Some(subtask)) => ready.push(subtask),
                Ok(None) => drop(left.remove(&image)),
                Err(error) => tracing::warn!(task = %task.id, %image, %error, "upload not read"),
            }
            // Large pictures take seconds each: what is ready is kept, whatever becomes of the others.
            if ready.len() >= RECORDED_AT_ONCE || last.elapsed() > RECORDED_EVERY {
                self.record_ready(task, &mut ready, &mut left).await;
                last = Instant::now();
            }
            if begin.elapsed() > BUDGET {
                break;
            }
        }
        self.record_ready(task, &mut ready, &mut left).await;
        left.into_iter().collect()
    }

    /// Records what is ready, and takes it off what is left.
    async fn record_ready(&self, task: &Task, ready: &mut Vec<Subtask>, left: &mut BTreeSet<ImageId>) {
        for chunk in std::mem::take(ready).chunks(RECORDED_AT_ONCE) {
            match self.record(task, chunk).await {
                Ok(()) => left.retain(|image| chunk.iter().all(|subtask| subtask.image != *image)),
                Err(error) => tracing::warn!(task = %task.id, %error, images = chunk.len(), "images not recorded"),
            }
        }
    }

    async fn record(&self, task: &Task, subtasks: &[Subtask]) -> Result<(), StoreError> {
        let new = self.store.record(task, subtasks).await?;
        let images: Vec<ImageId> =
            subtasks.iter().filter(|subtask| subtask.refusal.is_none()).map(|subtask| subtask.image).collect();
        let rejected = subtasks.len() - images.len();
        tracing::info!(task = %task.id, images = subtasks.len(), images.new = new.len(), images.rejected = rejected, "images recorded");
        // Those that were there already are named again: perhaps the message of the first time was never sent.
        if images.is_empty() {
            return Ok(());
        }
        self.messages.send_new_subtasks(&NewSubtasks { task: task.id, images }).await
    }

    /// Reads one upload and makes its record. None where there is nothing to be recorded.
    async fn look(&self, task: &Task, image: ImageId, now: Timestamp) -> Result<Option<Subtask>, StoreError> {
        let key = ObjectKey { task: task.id, image };
        let (bytes, version) = match self.objects.fetch(key, limits::IMAGE_BYTES).await? {
            Fetched::Bytes(bytes, version) => (bytes, version),
            Fetched::TooLong(bytes, version) => {
                let detail = format!("the file has {bytes} bytes; the limit is {}", limits::IMAGE_BYTES);
                let refusal = Refusal { code: "too-large".to_owned(), detail };
                return Ok(Some(Subtask::rejected(task.id, image, bytes, refusal, now).in_version(version)));
            }
            Fetched::Missing => {
                tracing::warn!(task = %task.id, %image, "upload is gone");
                return Ok(None);
            }
        };
        let length = bytes.len() as u64;
        let permit = Arc::clone(&self.decoders).acquire_owned().await;
        let inspection = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            (ImageId::of(&bytes), lambel_image::inspect(&bytes, &lambel_image::Limits::default()))
        });
        let (digest, verdict) = inspection.await.map_err(|error| StoreError::Busy(error.to_string()))?;
        if digest != image {
            tracing::error!(task = %task.id, %image, image.found = %digest, "object is not what its key says");
            return Ok(None);
        }
        let subtask = match verdict {
            Ok(found) => {
                let preview = match lambel_image::preview_needed(&found, length) {
                    true => Preview::Wanted,
                    false => Preview::NotNeeded,
                };
                let media_type = found.format.media_type().to_owned();
                let picture = Picture { media_type, width: found.width, height: found.height };
                Subtask::preparing(task.id, image, length, picture, preview, now)
            }
            Err(refusal) => {
                let refusal = Refusal { code: refusal.code().to_owned(), detail: refusal.to_string() };
                tracing::info!(task = %task.id, %image, refusal.code, "image refused");
                Subtask::rejected(task.id, image, length, refusal, now)
            }
        };
        Ok(Some(subtask.in_version(version)))
    }
}
