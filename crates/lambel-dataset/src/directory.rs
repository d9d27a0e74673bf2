//! A store in a folder of the file system. Several processes may read and write it at once.

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    process,
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
}

pub(crate) fn failed(error: &io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Writes a file that has its name only when it is whole, so that nobody ever reads half of it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (draft, mut file) = new_draft(path)?;
    let written = file.write_all(bytes);
    drop(file);
    let written = written.and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        // What is worth telling is why it could not be written.
        drop(fs::remove_file(&draft));
    }
    written
}

/// A new file beside `path`, with a name that no object has and no other process uses.
fn new_draft(path: &Path) -> io::Result<(PathBuf, fs::File)> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = WRITES.fetch_add(1, Ordering::Relaxed);
        let draft = path.with_extension(format!("draft-{}-{number}", process::id()));
        match fs::File::create_new(&draft) {
            Ok(file) => return Ok((draft, file)),
            // Left behind by a process that had this number before, or made on another machine.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

impl DirectoryObjectStore {
    /// A store in this folder, which is made where it is missing.
    pub fn open(root: impl Into<PathBuf>) -> StoreResult<Self> {
        let root = root.into();
        for kind in Kind::ALL {
            fs::create_dir_all(root.join(folder(kind))).map_err(|error| failed(&error))?;
        }
        Ok(Self { root })
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
        write_whole(&self.path(key), &bytes).map_err(|error| failed(&error))
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
