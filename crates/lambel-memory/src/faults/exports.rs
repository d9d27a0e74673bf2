//! Exports on a bad day: records, files and queue that fail, do things twice, and deliver late.

use std::{
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{TaskId, Timestamp, api::exports::ExportId};
use lambel_service::{
    exports::Export,
    ports::{
        ExportFiles, ExportKey, ExportQueue, ExportStep, ExportWriter, Exports, PieceNote, SharedExportFiles,
        SharedExportQueue, SharedExports, StoreError, StoreResult,
    },
};

use super::{Deed, Fault, Faults};
use crate::lock;

/// Records of exports in front of others, with faults.
pub struct FaultyExports {
    inner: SharedExports,
    faults: Arc<Faults>,
}

impl FaultyExports {
    /// In front of these.
    pub fn new(inner: SharedExports, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
impl Exports for FaultyExports {
    async fn export(&self, task: TaskId, id: ExportId) -> StoreResult<Option<Export>> {
        self.faults.call(Deed::Read, || self.inner.export(task, id)).await
    }

    async fn exports(&self, task: TaskId, limit: u32) -> StoreResult<Vec<Export>> {
        self.faults.call(Deed::Read, || self.inner.exports(task, limit)).await
    }

    async fn put_export(&self, export: &Export) -> StoreResult<bool> {
        self.faults.call(Deed::Write, || self.inner.put_export(export)).await
    }

    async fn note(&self, export: &Export, note: &PieceNote, now: Timestamp) -> StoreResult<()> {
        self.faults.call(Deed::Transaction, || self.inner.note(export, note, now)).await
    }

    async fn notes(&self, export: &Export) -> StoreResult<Vec<PieceNote>> {
        self.faults.call(Deed::Read, || self.inner.notes(export)).await
    }
}

/// Files of exports in front of others, with faults.
pub struct FaultyExportFiles {
    inner: SharedExportFiles,
    faults: Arc<Faults>,
}

impl FaultyExportFiles {
    /// In front of these.
    pub fn new(inner: SharedExportFiles, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

struct FaultyWriter {
    inner: Box<dyn ExportWriter>,
    faults: Arc<Faults>,
}

#[async_trait]
impl ExportWriter for FaultyWriter {
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        // The fault comes first: what was written in part cannot be gone on with.
        self.faults.call(Deed::Read, || async { Ok::<_, StoreError>(()) }).await?;
        self.inner.write(bytes).await
    }

    async fn finish(self: Box<Self>) -> StoreResult<()> {
        let Self { inner, faults } = *self;
        faults.call(Deed::Read, || async { Ok::<_, StoreError>(()) }).await?;
        inner.finish().await?;
        faults.call(Deed::Write, || async { Ok(()) }).await
    }
}

#[async_trait]
impl ExportFiles for FaultyExportFiles {
    async fn create(&self, key: &ExportKey, media_type: &str) -> StoreResult<Box<dyn ExportWriter>> {
        let inner = self.faults.call(Deed::Read, || self.inner.create(key, media_type)).await?;
        Ok(Box::new(FaultyWriter { inner, faults: self.faults.clone() }))
    }

    async fn join(&self, parts: &[(ExportKey, u64)], to: &ExportKey, media_type: &str) -> StoreResult<()> {
        self.faults.call(Deed::Write, || self.inner.join(parts, to, media_type)).await
    }

    async fn read(&self, key: &ExportKey, bytes: Range<u64>) -> StoreResult<Bytes> {
        self.faults.call(Deed::Read, || self.inner.read(key, bytes.clone())).await
    }

    async fn presign(&self, key: &ExportKey, name: &str, life: Duration) -> StoreResult<String> {
        self.faults.call(Deed::Read, || self.inner.presign(key, name, life)).await
    }
}

/// The queue `exports` in front of another, with faults.
pub struct FaultyExportQueue {
    inner: SharedExportQueue,
    faults: Arc<Faults>,
    /// What was taken and is on its way: it is not lost, it is late.
    held: Mutex<Vec<ExportStep>>,
}

impl FaultyExportQueue {
    /// In front of this one.
    pub fn new(inner: SharedExportQueue, faults: Arc<Faults>) -> Self {
        Self { inner, faults, held: Mutex::default() }
    }

    /// Lets arrive what was held back.
    ///
    /// # Errors
    /// What the queue behind fails with.
    pub async fn release(&self) -> StoreResult<()> {
        let held = std::mem::take(&mut *lock(&self.held));
        self.inner.send(&held).await
    }
}

#[async_trait]
impl ExportQueue for FaultyExportQueue {
    async fn send(&self, steps: &[ExportStep]) -> StoreResult<()> {
        if steps.len() > 1 && self.faults.strikes(Fault::PartlySent) {
            let some = 1 + self.faults.below(steps.len() - 1);
            self.inner.send(&steps[..some]).await?;
            return Err(StoreError::Busy("partly sent, as the plan of faults says".to_owned()));
        }
        if self.faults.strikes(Fault::HeldBack) {
            lock(&self.held).extend(steps.iter().cloned());
            return Ok(());
        }
        let copies = 1 + usize::from(self.faults.strikes(Fault::Duplicated));
        self.faults
            .call(Deed::Write, || async move {
                for _ in 0..copies {
                    self.inner.send(steps).await?;
                }
                Ok(())
            })
            .await
    }
}
