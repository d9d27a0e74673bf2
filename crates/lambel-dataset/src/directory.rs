//! A store in a folder of the file system. One process writes it at a time.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::UNIX_EPOCH,
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::Timestamp;

use crate::{
    ContentId, ObjectKey, ObjectStore, StoreError,
    store::{Kind, Listed, StoreResult},
};

/// Objects as files. Calls block; they are short.
#[derive(Debug)]
pub struct DirectoryObjectStore {
    root: PathBuf,
    /// Tells apart the files that are being written.
    writes: AtomicU64,
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

impl DirectoryObjectStore {
    /// A store in this folder, which is made where it is missing.
    pub fn open(root: impl Into<PathBuf>) -> StoreResult<Self> {
        let root = root.into();
        for kind in Kind::ALL {
            fs::create_dir_all(root.join(folder(kind))).map_err(|error| failed(&error))?;
        }
        Ok(Self { root, writes: AtomicU64::new(0) })
    }

    fn path(&self, key: ObjectKey) -> PathBuf {
        self.root.join(key.to_string())
    }
}

fn folder(kind: Kind) -> String {
    let path = ObjectKey { kind, id: ContentId::of(b"") }.to_string();
    path.split('/').next().unwrap_or_default().to_owned()
}

#[async_trait]
impl ObjectStore for DirectoryObjectStore {
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> StoreResult<()> {
        let path = self.path(key);
        // A name that no object has; it takes its own in one step, so that no half of a file is ever read.
        let draft = path.with_extension(format!("draft-{}", self.writes.fetch_add(1, Ordering::Relaxed)));
        let write = || {
            let mut file = fs::File::create(&draft)?;
            file.write_all(&bytes)?;
            fs::rename(&draft, &path)
        };
        write().map_err(|error| failed(&error))
    }

    async fn get(&self, key: ObjectKey) -> StoreResult<Option<Bytes>> {
        match fs::read(self.path(key)) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    async fn list(&self, kind: Kind, after: Option<ContentId>, limit: usize) -> StoreResult<Vec<Listed>> {
        let folder = folder(kind);
        let list = || -> io::Result<Vec<Listed>> {
            let mut keys = Vec::new();
            for entry in fs::read_dir(self.root.join(&folder))? {
                let name = entry?.file_name();
                let key = name.to_str().and_then(|name| format!("{folder}/{name}").parse::<ObjectKey>().ok());
                keys.extend(key.filter(|key| after.is_none_or(|after| key.id > after)));
            }
            keys.sort();
            keys.truncate(limit);
            keys.into_iter()
                .map(|key| {
                    let metadata = fs::metadata(self.path(key))?;
                    let since = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
                    let put_at = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
                    Ok(Listed { key, bytes: metadata.len(), put_at })
                })
                .collect()
        };
        list().map_err(|error| failed(&error))
    }

    async fn delete(&self, key: ObjectKey) -> StoreResult<()> {
        match fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }
}
