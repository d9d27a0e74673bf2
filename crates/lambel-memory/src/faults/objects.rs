//! Buckets that fail.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{ImageId, TaskId};
use lambel_service::ports::{Fetched, ObjectKey, Objects, PresignedPut, SharedObjects, Shelf, StoreResult, Upload};

use super::{Deed, Faults};

/// Buckets in front of others, with faults.
pub struct FaultyObjects {
    inner: SharedObjects,
    faults: Arc<Faults>,
}

impl FaultyObjects {
    /// In front of these.
    pub fn new(inner: SharedObjects, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Objects for FaultyObjects {
    async fn presign_put(
        &self,
        key: ObjectKey,
        bytes: u64,
        media_type: &str,
        life: Duration,
    ) -> StoreResult<PresignedPut> {
        self.faults.call(Deed::Read, || self.inner.presign_put(key, bytes, media_type, life)).await
    }

    async fn presign_get(&self, shelf: Shelf, key: ObjectKey, media_type: &str, life: Duration) -> StoreResult<String> {
        self.faults.call(Deed::Read, || self.inner.presign_get(shelf, key, media_type, life)).await
    }

    async fn fetch(&self, key: ObjectKey, limit: u64) -> StoreResult<Fetched> {
        self.faults.call(Deed::Read, || self.inner.fetch(key, limit)).await
    }

    async fn uploads(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Upload>> {
        self.faults.call(Deed::Read, || self.inner.uploads(task, after, limit)).await
    }

    async fn put_preview(&self, key: ObjectKey, bytes: Bytes, media_type: &str) -> StoreResult<()> {
        self.faults.call(Deed::Write, || self.inner.put_preview(key, bytes.clone(), media_type)).await
    }
}
