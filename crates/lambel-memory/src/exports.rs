//! Exports in memory: their records, their files, their queue.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{
    TaskId, Timestamp,
    api::exports::{ExportId, ExportState},
};
use lambel_service::{
    exports::Export,
    ports::{
        ExportFiles, ExportKey, ExportQueue, ExportStep, ExportWriter, Exports, PieceNote, StoreError, StoreResult,
    },
};

use crate::{lock, turn};

/// The record of an export, and what was noted in each of its runs: by run, whether it was written, and piece.
#[derive(Debug)]
struct Kept {
    export: Export,
    notes: BTreeMap<(u32, bool, u32), PieceNote>,
}

/// The records of exports in memory.
#[derive(Debug, Default)]
pub struct MemoryExports {
    kept: Mutex<BTreeMap<(TaskId, ExportId), Kept>>,
}

#[async_trait]
impl Exports for MemoryExports {
    async fn export(&self, task: TaskId, id: ExportId) -> StoreResult<Option<Export>> {
        turn().await;
        Ok(lock(&self.kept).get(&(task, id)).map(|kept| kept.export.clone()))
    }

    async fn exports(&self, task: TaskId, limit: u32) -> StoreResult<Vec<Export>> {
        turn().await;
        let kept = lock(&self.kept);
        let own = kept.values().map(|kept| &kept.export).filter(|export| export.task == task);
        Ok(own.take(limit as usize).cloned().collect())
    }

    async fn put_export(&self, export: &Export) -> StoreResult<bool> {
        turn().await;
        let mut kept = lock(&self.kept);
        let key = (export.task, export.id);
        match kept.get_mut(&key) {
            Some(there) if there.export.rev + 1 == export.rev => there.export = export.clone(),
            None if export.rev == 1 => {
                kept.insert(key, Kept { export: export.clone(), notes: BTreeMap::new() });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn note(&self, export: &Export, note: &PieceNote, now: Timestamp) -> StoreResult<()> {
        turn().await;
        let mut kept = lock(&self.kept);
        let Some(there) = kept.get_mut(&(export.task, export.id)) else { return Ok(()) };
        let key = (export.run, note.is_written(), note.piece());
        let current = there.export.run == export.run && there.export.state == ExportState::Running;
        if !current || there.notes.contains_key(&key) {
            return Ok(());
        }
        match note {
            PieceNote::Counted { .. } => there.export.counted += 1,
            PieceNote::Written { rows, .. } => {
                there.export.written += 1;
                there.export.rows_done += rows;
            }
        }
        there.export.moved_at = now;
        there.export.rev += 1;
        there.notes.insert(key, note.clone());
        Ok(())
    }

    async fn notes(&self, export: &Export) -> StoreResult<Vec<PieceNote>> {
        turn().await;
        let kept = lock(&self.kept);
        let Some(there) = kept.get(&(export.task, export.id)) else { return Ok(Vec::new()) };
        let run = (export.run, false, 0)..=(export.run, true, u32::MAX);
        Ok(there.notes.range(run).map(|(_, note)| note.clone()).collect())
    }
}

type Objects = Arc<Mutex<BTreeMap<ExportKey, Bytes>>>;

/// The files of exports in memory. Addresses are not addresses of anything; they name what they stand for.
#[derive(Debug, Default)]
pub struct MemoryExportFiles {
    objects: Objects,
}

impl MemoryExportFiles {
    /// Every key.
    pub fn keys(&self) -> Vec<ExportKey> {
        lock(&self.objects).keys().cloned().collect()
    }

    /// The bytes of an object.
    pub fn bytes(&self, key: &ExportKey) -> Option<Bytes> {
        lock(&self.objects).get(key).cloned()
    }

    /// Puts other bytes in the place of an object, as somebody may by hand.
    pub fn damage(&self, key: &ExportKey, bytes: Bytes) {
        lock(&self.objects).insert(key.clone(), bytes);
    }
}

struct MemoryWriter {
    key: ExportKey,
    bytes: Vec<u8>,
    objects: Objects,
}

#[async_trait]
impl ExportWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        turn().await;
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> StoreResult<()> {
        turn().await;
        let Self { key, bytes, objects } = *self;
        lock(&objects).insert(key, bytes.into());
        Ok(())
    }
}

fn missing(key: &ExportKey) -> StoreError {
    StoreError::Failed(format!("{key} is missing"))
}

#[async_trait]
impl ExportFiles for MemoryExportFiles {
    async fn create(&self, key: &ExportKey, _media_type: &str) -> StoreResult<Box<dyn ExportWriter>> {
        turn().await;
        Ok(Box::new(MemoryWriter { key: key.clone(), bytes: Vec::new(), objects: self.objects.clone() }))
    }

    async fn join(&self, parts: &[(ExportKey, u64)], to: &ExportKey, _media_type: &str) -> StoreResult<()> {
        turn().await;
        let mut objects = lock(&self.objects);
        let mut joined = Vec::new();
        for (key, bytes) in parts {
            let part = objects.get(key).filter(|part| part.len() as u64 == *bytes).ok_or_else(|| missing(key))?;
            joined.extend_from_slice(part);
        }
        objects.insert(to.clone(), joined.into());
        Ok(())
    }

    async fn read(&self, key: &ExportKey, bytes: Range<u64>) -> StoreResult<Bytes> {
        turn().await;
        let objects = lock(&self.objects);
        let object = objects.get(key).ok_or_else(|| missing(key))?;
        let place = |at: u64| usize::try_from(at).ok().filter(|at| *at <= object.len()).ok_or_else(|| missing(key));
        let (start, end) = (place(bytes.start)?, place(bytes.end)?);
        Ok(object.slice(start..end.max(start)))
    }

    async fn presign(&self, key: &ExportKey, _name: &str, _life: Duration) -> StoreResult<String> {
        turn().await;
        Ok(format!("memory:{key}"))
    }
}

/// The queue `exports` in memory.
#[derive(Debug, Default)]
pub struct MemoryExportQueue {
    steps: Mutex<VecDeque<ExportStep>>,
}

impl MemoryExportQueue {
    /// Takes what was sent since the last time.
    pub fn take(&self) -> Vec<ExportStep> {
        lock(&self.steps).drain(..).collect()
    }
}

#[async_trait]
impl ExportQueue for MemoryExportQueue {
    async fn send(&self, steps: &[ExportStep]) -> StoreResult<()> {
        turn().await;
        lock(&self.steps).extend(steps.iter().cloned());
        Ok(())
    }
}
