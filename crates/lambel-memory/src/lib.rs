//! The ports of Lambel in memory: for tests, which need no cloud and can look at everything.
//!
//! [`conformance`] is the suite that holds these adapters and those of `lambel-aws` to one meaning.
//! [`faults`] puts failures in front of any ports.

pub mod conformance;
mod datasets;
mod exports;
pub mod faults;
mod gold;
mod notes;
mod store;
mod webhooks;

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{
    ImageId, TaskId, Timestamp,
    api::Header,
    event::{Event, NewSubtasks},
};
use lambel_service::ports::{
    Clock, Estimates, Fetched, Messages, ObjectKey, Objects, PresignedPut, Shelf, StoreError, StoreResult, Upload,
};

pub use datasets::MemoryDatasets;
pub use exports::{MemoryExportFiles, MemoryExportQueue, MemoryExports};
pub use notes::MemoryNotes;
pub use store::MemoryStore;
pub use webhooks::{MemoryWebhookQueue, MemoryWebhooks};

/// Takes a lock, whatever happened to whoever held it before: a test that panicked has failed already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets others go first, once, as a call over a network would: use cases that run at the same time meet between
/// any two of their calls.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// An object: the last of its versions, which are numbered from 1.
#[derive(Debug)]
struct Stored {
    bytes: Bytes,
    at: Timestamp,
    version: u64,
}

/// The buckets in memory. Presigned addresses are not addresses of anything; they name what they stand for.
#[derive(Debug, Default)]
pub struct MemoryObjects {
    uploads: Mutex<BTreeMap<ObjectKey, Stored>>,
    previews: Mutex<HashMap<ObjectKey, (Bytes, String)>>,
}

impl MemoryObjects {
    /// Puts an upload where a client would, at the beginning of time.
    pub fn upload(&self, key: ObjectKey, bytes: impl Into<Bytes>) {
        self.upload_at(key, bytes, Timestamp::default());
    }

    /// Puts an upload where a client would, at a given time.
    pub fn upload_at(&self, key: ObjectKey, bytes: impl Into<Bytes>, at: Timestamp) {
        let mut uploads = lock(&self.uploads);
        let version = uploads.get(&key).map_or(0, |stored| stored.version) + 1;
        uploads.insert(key, Stored { bytes: bytes.into(), at, version });
    }

    /// Takes an upload away, as its owner may by hand.
    pub fn delete(&self, key: ObjectKey) {
        lock(&self.uploads).remove(&key);
    }

    /// The preview of an image, with its media type.
    pub fn preview(&self, key: ObjectKey) -> Option<(Bytes, String)> {
        lock(&self.previews).get(&key).cloned()
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn presign_put(
        &self,
        key: ObjectKey,
        bytes: u64,
        media_type: &str,
        _life: Duration,
    ) -> StoreResult<PresignedPut> {
        let header = |name: &str, value: String| Header { name: name.to_owned(), value };
        let headers = vec![header("content-length", bytes.to_string()), header("content-type", media_type.to_owned())];
        Ok(PresignedPut { url: format!("memory://uploads/{key}"), headers })
    }

    async fn presign_get(
        &self,
        shelf: Shelf,
        key: ObjectKey,
        media_type: &str,
        _life: Duration,
    ) -> StoreResult<String> {
        let shelf = match shelf {
            Shelf::Uploads => "uploads",
            Shelf::Previews => "previews",
        };
        Ok(format!("memory://{shelf}/{key}?type={media_type}"))
    }

    async fn fetch(&self, key: ObjectKey, limit: u64) -> StoreResult<Fetched> {
        Ok(match lock(&self.uploads).get(&key) {
            Some(stored) => {
                let (length, version) = (stored.bytes.len() as u64, Some(stored.version.to_string()));
                match length > limit {
                    true => Fetched::TooLong(length, version),
                    false => Fetched::Bytes(stored.bytes.clone(), version),
                }
            }
            None => Fetched::Missing,
        })
    }

    async fn uploads(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Upload>> {
        let key = |image| ObjectKey { task, image };
        let from = after.map_or(Bound::Included(key(ImageId::MIN)), |after| Bound::Excluded(key(after)));
        let uploads = lock(&self.uploads);
        let rows = uploads.range((from, Bound::Included(key(ImageId::MAX)))).take(limit as usize);
        let upload = |(key, stored): (&ObjectKey, &Stored)| Upload {
            image: key.image,
            bytes: stored.bytes.len() as u64,
            at: stored.at,
        };
        Ok(rows.map(upload).collect())
    }

    async fn put_preview(&self, key: ObjectKey, bytes: Bytes, media_type: &str) -> StoreResult<()> {
        lock(&self.previews).insert(key, (bytes, media_type.to_owned()));
        Ok(())
    }
}

/// The queues and topics in memory: what was sent lies there until it is taken.
#[derive(Debug, Default)]
pub struct MemoryMessages {
    new_subtasks: Mutex<Vec<NewSubtasks>>,
    uploads: Mutex<Vec<ObjectKey>>,
    events: Mutex<Vec<Event>>,
    estimates: Mutex<Vec<TaskId>>,
    failing: Mutex<u32>,
}

impl MemoryMessages {
    /// Takes what was sent to `new-subtasks`.
    pub fn take_new_subtasks(&self) -> Vec<NewSubtasks> {
        std::mem::take(&mut lock(&self.new_subtasks))
    }

    /// Takes what was sent to `uploads`.
    pub fn take_uploads(&self) -> Vec<ObjectKey> {
        std::mem::take(&mut lock(&self.uploads))
    }

    /// Takes what was sent to `estimates`.
    pub fn take_estimates(&self) -> Vec<TaskId> {
        std::mem::take(&mut lock(&self.estimates))
    }

    /// Takes what was published.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.events))
    }

    /// Makes the next so many calls fail, before anything is sent.
    pub fn fail_next(&self, calls: u32) {
        *lock(&self.failing) = calls;
    }

    fn check(&self) -> StoreResult<()> {
        let mut failing = lock(&self.failing);
        if *failing == 0 {
            return Ok(());
        }
        *failing -= 1;
        Err(StoreError::Busy("made to fail".to_owned()))
    }
}

#[async_trait]
impl Messages for MemoryMessages {
    async fn send_new_subtasks(&self, body: &NewSubtasks) -> StoreResult<()> {
        self.check()?;
        lock(&self.new_subtasks).push(body.clone());
        Ok(())
    }

    async fn send_uploads(&self, keys: &[ObjectKey]) -> StoreResult<()> {
        self.check()?;
        lock(&self.uploads).extend_from_slice(keys);
        Ok(())
    }

    async fn publish(&self, events: &[Event]) -> StoreResult<()> {
        self.check()?;
        lock(&self.events).extend_from_slice(events);
        Ok(())
    }
}

#[async_trait]
impl Estimates for MemoryMessages {
    async fn ask(&self, task: TaskId) -> StoreResult<()> {
        self.check()?;
        lock(&self.estimates).push(task);
        Ok(())
    }
}

/// A clock that goes on when it is told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that stands at some moment of 2026.
    pub fn new() -> Self {
        Self(Mutex::new(Timestamp::from_millis(1_795_250_820_000)))
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let mut now = lock(&self.0);
        *now = now.plus(time);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *lock(&self.0)
    }
}

/// Sorted maps are what a table is.
type Table<K, V> = BTreeMap<K, V>;
