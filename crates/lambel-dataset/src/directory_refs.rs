//! Branches and tags in a folder of the file system. Several processes may move them at once.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    CommitId, RefName, Refs, StoreError,
    directory::{failed, write_whole},
    store::{Moved, Reason, RefMove, StoreResult, Tag, Tagged},
    tree::VERSION,
};

/// Where they are. One file for all, since names that differ only in case are one file on some systems.
const FILE: &str = "refs.json";
/// Whoever changes them holds a lock on this. The system takes it back from a process that dies.
const LOCK: &str = "refs.lock";

/// Branches and tags in one file, which is replaced as a whole. Calls block; they are short.
#[derive(Debug)]
pub struct DirectoryRefs {
    root: PathBuf,
}

/// What the file has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRefs {
    v: u32,
    kind: RefsKind,
    /// The moves of each branch, the oldest first.
    branches: BTreeMap<RefName, Vec<RefMove>>,
    /// Sorted by name.
    tags: Vec<Tag>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RefsKind {
    Refs,
}

#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

impl DirectoryRefs {
    /// The refs of this folder, which is made where it is missing.
    pub fn create(root: impl Into<PathBuf>) -> StoreResult<Self> {
        let refs = Self { root: root.into() };
        let create = || -> io::Result<()> {
            fs::create_dir_all(&refs.root)?;
            let _lock = refs.lock()?;
            match refs.file().try_exists()? {
                true => Ok(()),
                false => refs.write(&StoredRefs {
                    v: VERSION,
                    kind: RefsKind::Refs,
                    branches: BTreeMap::new(),
                    tags: Vec::new(),
                }),
            }
        };
        create().map_err(|error| failed(&error))?;
        Ok(refs)
    }

    /// The refs of this folder; none if it has none. Nothing is made.
    pub fn open(root: impl Into<PathBuf>) -> StoreResult<Option<Self>> {
        let refs = Self { root: root.into() };
        let is_there = refs.file().try_exists().map_err(|error| failed(&error))?;
        Ok(is_there.then_some(refs))
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn file(&self) -> PathBuf {
        self.root.join(FILE)
    }

    /// Waits for its turn. The lock ends with the file that is given back.
    fn lock(&self) -> io::Result<fs::File> {
        let file = fs::File::options().create(true).write(true).truncate(false).open(self.root.join(LOCK))?;
        file.lock()?;
        Ok(file)
    }

    fn write(&self, stored: &StoredRefs) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(stored)?;
        json.push(b'\n');
        write_whole(&self.file(), &json)
    }

    fn read(&self) -> StoreResult<StoredRefs> {
        let damaged = |why: &dyn std::fmt::Display| StoreError::Failed(format!("{FILE} is damaged: {why}"));
        let json = match fs::read(self.file()) {
            Ok(json) => json,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged(&"it is gone")),
            Err(error) => return Err(failed(&error)),
        };
        let Versioned { v } = serde_json::from_slice(&json).map_err(|error| damaged(&error))?;
        if v != VERSION {
            return Err(StoreError::Failed(format!("{FILE} has version {v}, which this program cannot read")));
        }
        serde_json::from_slice(&json).map_err(|error| damaged(&error))
    }

    /// Changes the refs while nobody else does. They are written if `change` says so.
    fn change<T>(&self, change: impl FnOnce(&mut StoredRefs) -> (T, bool)) -> StoreResult<T> {
        let _lock = self.lock().map_err(|error| failed(&error))?;
        let mut stored = self.read()?;
        let (answer, changed) = change(&mut stored);
        if changed {
            self.write(&stored).map_err(|error| failed(&error))?;
        }
        Ok(answer)
    }
}

#[async_trait]
impl Refs for DirectoryRefs {
    async fn branch(&self, name: &RefName) -> StoreResult<Option<RefMove>> {
        Ok(self.read()?.branches.remove(name).and_then(|mut moves| moves.pop()))
    }

    async fn branches(&self) -> StoreResult<Vec<(RefName, RefMove)>> {
        let branches = self.read()?.branches;
        Ok(branches.into_iter().filter_map(|(name, mut moves)| Some((name, moves.pop()?))).collect())
    }

    async fn advance(
        &self,
        name: &RefName,
        from: Option<CommitId>,
        to: CommitId,
        reason: &Reason,
    ) -> StoreResult<Moved> {
        self.change(|stored| {
            let last = stored.branches.get(name).and_then(|moves| moves.last());
            let stands = last.map(|last| last.to);
            if stands != from {
                return (Moved::Lost { stands }, false);
            }
            let Reason { by, at, why } = reason.clone();
            let entry = RefMove { seq: last.map_or(0, |last| last.seq) + 1, from, to, by, at, why };
            stored.branches.entry(name.clone()).or_default().push(entry.clone());
            (Moved::Done(entry), true)
        })
    }

    async fn moves(&self, name: &RefName, before: Option<u64>, limit: usize) -> StoreResult<Vec<RefMove>> {
        let moves = self.read()?.branches.remove(name).unwrap_or_default();
        let older = moves.into_iter().rev().filter(|entry| before.is_none_or(|before| entry.seq < before));
        Ok(older.take(limit).collect())
    }

    async fn tag(&self, tag: &Tag) -> StoreResult<Tagged> {
        self.change(|stored| match stored.tags.iter().find(|known| known.name == tag.name) {
            Some(known) if known.commit == tag.commit => (Tagged::Known, false),
            Some(known) => (Tagged::Taken(known.commit), false),
            None => {
                stored.tags.push(tag.clone());
                stored.tags.sort_by(|a, b| a.name.cmp(&b.name));
                (Tagged::Set, true)
            }
        })
    }

    async fn tags(&self) -> StoreResult<Vec<Tag>> {
        Ok(self.read()?.tags)
    }
}
