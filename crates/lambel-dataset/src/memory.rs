//! A store and refs in memory, for tests.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::Timestamp;

use crate::{
    CommitId, ContentId, ObjectKey, ObjectStore, RefName, Refs,
    store::{Kind, Listed, Moved, Reason, RefMove, StoreResult, Tag, Tagged},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects in memory. Its clock stands until it is set; it counts what is read.
#[derive(Debug, Default)]
pub struct MemoryObjectStore {
    objects: Mutex<BTreeMap<ObjectKey, (Bytes, Timestamp)>>,
    now: Mutex<Timestamp>,
    reads: AtomicU64,
}

impl MemoryObjectStore {
    /// Sets the time that objects are put at from now on.
    pub fn set_time(&self, now: Timestamp) {
        *lock(&self.now) = now;
    }

    /// How many reads there were.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Puts other bytes in the place of an object, as a disk that fails would. False if it is not there.
    pub fn damage(&self, key: ObjectKey, bytes: Bytes) -> bool {
        match lock(&self.objects).get_mut(&key) {
            Some(object) => {
                object.0 = bytes;
                true
            }
            None => false,
        }
    }

    /// Every key.
    pub fn keys(&self) -> Vec<ObjectKey> {
        lock(&self.objects).keys().copied().collect()
    }
}

#[async_trait]
impl ObjectStore for MemoryObjectStore {
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> StoreResult<()> {
        let now = *lock(&self.now);
        lock(&self.objects).insert(key, (bytes, now));
        Ok(())
    }

    async fn get(&self, key: ObjectKey) -> StoreResult<Option<Bytes>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(lock(&self.objects).get(&key).map(|(bytes, _)| bytes.clone()))
    }

    async fn list(&self, kind: Kind, after: Option<ContentId>, limit: usize) -> StoreResult<Vec<Listed>> {
        let objects = lock(&self.objects);
        let listed = objects
            .iter()
            .filter(|(key, _)| key.kind == kind && after.is_none_or(|after| key.id > after))
            .map(|(key, (bytes, put_at))| Listed { key: *key, bytes: bytes.len() as u64, put_at: *put_at });
        Ok(listed.take(limit).collect())
    }

    async fn delete(&self, key: ObjectKey) -> StoreResult<()> {
        lock(&self.objects).remove(&key);
        Ok(())
    }
}

/// Branches and tags in memory.
#[derive(Debug, Default)]
pub struct MemoryRefs {
    branches: Mutex<BTreeMap<RefName, Vec<RefMove>>>,
    tags: Mutex<BTreeMap<RefName, Tag>>,
}

#[async_trait]
impl Refs for MemoryRefs {
    async fn branch(&self, name: &RefName) -> StoreResult<Option<RefMove>> {
        Ok(lock(&self.branches).get(name).and_then(|moves| moves.last()).cloned())
    }

    async fn branches(&self) -> StoreResult<Vec<(RefName, RefMove)>> {
        let branches = lock(&self.branches);
        Ok(branches.iter().filter_map(|(name, moves)| Some((name.clone(), moves.last()?.clone()))).collect())
    }

    async fn advance(
        &self,
        name: &RefName,
        from: Option<CommitId>,
        to: CommitId,
        reason: &Reason,
    ) -> StoreResult<Moved> {
        let mut branches = lock(&self.branches);
        let moves = branches.entry(name.clone()).or_default();
        let stands = moves.last().map(|last| last.to);
        if stands != from {
            return Ok(Moved::Lost { stands });
        }
        let entry = RefMove {
            seq: moves.len() as u64 + 1,
            from,
            to,
            by: reason.by.clone(),
            at: reason.at,
            why: reason.why.clone(),
        };
        moves.push(entry.clone());
        Ok(Moved::Done(entry))
    }

    async fn moves(&self, name: &RefName, before: Option<u64>, limit: usize) -> StoreResult<Vec<RefMove>> {
        let branches = lock(&self.branches);
        let moves = branches.get(name).into_iter().flatten().rev();
        Ok(moves.filter(|entry| before.is_none_or(|before| entry.seq < before)).take(limit).cloned().collect())
    }

    async fn tag(&self, tag: &Tag) -> StoreResult<Tagged> {
        let mut tags = lock(&self.tags);
        Ok(match tags.get(&tag.name) {
            Some(known) if known.commit == tag.commit => Tagged::Known,
            Some(known) => Tagged::Taken(known.commit),
            None => {
                tags.insert(tag.name.clone(), tag.clone());
                Tagged::Set
            }
        })
    }

    async fn tags(&self) -> StoreResult<Vec<Tag>> {
        Ok(lock(&self.tags).values().cloned().collect())
    }
}
