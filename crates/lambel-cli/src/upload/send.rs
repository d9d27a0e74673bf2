//! Reads, announces and uploads: two halves that run side by side, with a short queue between them.
//!
//! The first reads files and announces them by the hundred. The second uploads what was granted. The queue is
//! short, so that the first does not run far ahead and the permissions do not grow old; one that has expired
//! all the same is asked for again. Only files on their way up are in memory, and of those no more than a
//! fixed number of bytes.

use std::{
    collections::HashSet,
    fs, io,
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lambel_client::{Client, PutError, UploadGrant};
use lambel_core::{
    ImageId, TaskId,
    api::{AnnounceFiles, FileAnnouncement, Grant},
    limits,
};
use tokio::sync::{Semaphore, mpsc};

use crate::{
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    upload::{
        Found, HASHED_AT_ONCE, hash_file,
        report::{Fate, Report},
    },
};

/// Files announced in one request.
const ANNOUNCED_AT_ONCE: usize = 500;
/// Bytes of one announcement: names can be long, and a request has a limit.
const ANNOUNCEMENT_BYTES: usize = limits::BODY_BYTES * 9 / 10;
/// Files that wait, announced, for their turn.
const WAITING: usize = ANNOUNCED_AT_ONCE;
/// Kilobytes of files in memory.
const KILOBYTES_IN_MEMORY: usize = 128 * 1_024;
/// How often a permission that has expired is asked for again.
const ANNOUNCED_AGAIN: u32 = 3;
/// So many failures in a row are no accident of single files.
const FAILURES_IN_A_ROW: u32 = 32;

/// An upload that goes on.
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a Client,
    pub(crate) task: TaskId,
    pub(crate) report: &'a Report,
    pub(crate) progress: &'a Progress,
}

/// A file that was read.
#[derive(Debug)]
struct Read {
    file: Found,
    image: ImageId,
    bytes: u64,
}

impl Read {
    fn announcement(&self) -> FileAnnouncement {
        FileAnnouncement {
            name: self.file.name.to_string(),
            bytes: self.bytes,
            media_type: self.file.media_type.to_owned(),
            sha256: self.image.to_string(),
        }
    }
}

impl Sender<'_> {
    /// Sends the files.
    pub(crate) async fn send(&self, files: Vec<Found>, concurrency: usize) -> Outcome {
        let (granted, waiting) = mpsc::channel(WAITING);
        tokio::try_join!(self.announce_all(files, granted), self.upload_all(waiting, concurrency))?;
        Ok(())
    }

    fn add(&self, file: &Found, image: Option<ImageId>, bytes: u64, fate: Fate) {
        self.report.add(file.name.as_str(), image, bytes, fate);
        let (done, text) = self.report.progress();
        self.progress.set(done, || text);
    }

    /// The first half.
    async fn announce_all(&self, files: Vec<Found>, granted: mpsc::Sender<(Read, UploadGrant)>) -> Outcome {
        let mut hashed = stream::iter(files)
            .map(|file| async move { (hash_file(file.path.clone()).await, file) })
            .buffered(HASHED_AT_ONCE);
        let mut batch = Batch::default();
        let mut going_up = HashSet::new();
        while let Some((hash, file)) = hashed.next().await {
            match hash {
                Ok(hash) => {
                    let read = Read { file, image: hash.image, bytes: hash.bytes };
                    if let Some(full) = batch.push(read) {
                        self.announce(full, &mut going_up, &granted).await?;
                    }
                }
                Err(error) => self.add(&file, None, 0, Fate::Failed(format!("it cannot be read: {error}"))),
            }
        }
        self.announce(batch.read, &mut going_up, &granted).await
    }

    async fn announce(
        &self,
        read: Vec<Read>,
        going_up: &mut HashSet<ImageId>,
        granted: &mpsc::Sender<(Read, UploadGrant)>,
    ) -> Outcome {
        if read.is_empty() {
            return Ok(());
        }
        let request = AnnounceFiles { files: read.iter().map(Read::announcement).collect() };
        let grants = self.client.announce(self.task, &request).await?;
        for (read, answer) in read.into_iter().zip(grants.files) {
            let fate = match answer.grant {
                Grant::AlreadyPresent { .. } => Fate::AlreadyPresent,
                Grant::Refused { code, detail } => Fate::Refused { code, detail },
                grant @ Grant::Upload { .. } => match UploadGrant::of(grant) {
                    Some(grant) if going_up.insert(read.image) => {
                        if granted.send((read, grant)).await.is_err() {
                            // The other half has given up, and says why.
                            return Ok(());
                        }
                        continue;
                    }
                    _ => Fate::SameBytes,
                },
            };
            self.add(&read.file, Some(read.image), read.bytes, fate);
        }
        Ok(())
    }

    /// The second half.
    async fn upload_all(&self, waiting: mpsc::Receiver<(Read, UploadGrant)>, concurrency: usize) -> Outcome {
        let memory = Semaphore::new(KILOBYTES_IN_MEMORY);
        let failures = AtomicU32::new(0);
        let files = stream::unfold(waiting, |mut waiting| async { Some((waiting.recv().await?, waiting)) });
        files
            .map(Ok)
            .try_for_each_concurrent(concurrency, |(read, grant)| {
                let (memory, failures) = (&memory, &failures);
                async move {
                    let kilobytes = u32::try_from(read.bytes.div_ceil(1_024)).unwrap_or(u32::MAX);
                    // Never closed, so this only waits.
                    let _held = memory.acquire_many(kilobytes).await;
                    let fate = self.upload(&read, grant).await;
                    let in_a_row = match &fate {
                        Fate::Failed(_) => failures.fetch_add(1, Ordering::Relaxed) + 1,
                        _ => {
                            failures.store(0, Ordering::Relaxed);
                            0
                        }
                    };
                    let reason = match &fate {
                        Fate::Failed(reason) if in_a_row >= FAILURES_IN_A_ROW => Some(reason.clone()),
                        _ => None,
                    };
                    self.add(&read.file, Some(read.image), read.bytes, fate);
                    match reason {
                        Some(reason) => Err(Failure::new(
                            Exit::TryAgain,
                            format!("one file after the other fails ({reason}); run the same command again later"),
                        )),
                        None => Ok(()),
                    }
                }
            })
            .await
    }

    async fn upload(&self, read: &Read, mut grant: UploadGrant) -> Fate {
        let bytes = match load(read).await {
            Ok(bytes) => bytes,
            Err(error) => return Fate::Failed(format!("it cannot be read: {error}")),
        };
        for _ in 0..=ANNOUNCED_AGAIN {
            match self.client.put_file(&grant, bytes.clone()).await {
                Ok(()) => return Fate::Uploaded,
                Err(PutError::Expired) => {}
                Err(error) => return Fate::Failed(error.to_string()),
            }
            let request = AnnounceFiles { files: vec![read.announcement()] };
            let answer = match self.client.announce(self.task, &request).await {
                Ok(answer) => answer.files.into_iter().next().map(|file| file.grant),
                Err(error) => return Fate::Failed(error.to_string()),
            };
            grant = match answer {
                Some(Grant::AlreadyPresent { .. }) => return Fate::AlreadyPresent,
                Some(Grant::Refused { code, detail }) => return Fate::Refused { code, detail },
                other => match other.and_then(UploadGrant::of) {
                    Some(grant) => grant,
                    None => return Fate::Failed("the service did not say what to do with it".to_owned()),
                },
            };
        }
        Fate::Failed(
            "every permission to upload it had expired at once; is the clock of this machine right?".to_owned(),
        )
    }
}

/// The bytes of a file, if they are still those that were announced by their number. Whether they are those in
/// fact, the storage checks.
async fn load(read: &Read) -> io::Result<Bytes> {
    let path = read.file.path.clone();
    let bytes = tokio::task::spawn_blocking(move || fs::read(path)).await.map_err(io::Error::other)??;
    if bytes.len() as u64 != read.bytes {
        return Err(io::Error::other("it was changed in the meantime"));
    }
    Ok(bytes.into())
}

/// Files for one announcement.
#[derive(Default)]
struct Batch {
    read: Vec<Read>,
    bytes: usize,
}

impl Batch {
    /// Adds a file. If the batch is full without it, that is handed out and a new one begun.
    fn push(&mut self, read: Read) -> Option<Vec<Read>> {
        // What is around the name has less than 250 bytes; in JSON a character takes six bytes at most.
        let bytes = 250 + read.file.name.as_str().chars().map(json_bytes).sum::<usize>();
        let full = self.read.len() >= ANNOUNCED_AT_ONCE || self.bytes + bytes > ANNOUNCEMENT_BYTES;
        let out = full.then(|| std::mem::take(&mut self.read));
        if full {
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.read.push(read);
        out
    }
}

fn json_bytes(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use lambel_core::FileName;

    use super::*;

    fn read(name: &str) -> Read {
        let file = Found {
            name: FileName::parse(name).unwrap(),
            path: name.into(),
            bytes: 40_000_000,
            media_type: "image/jpeg",
        };
        Read { file, image: ImageId::of(name.as_bytes()), bytes: 40_000_000 }
    }

    #[test]
    fn batches_keep_to_the_limits_of_a_request() {
        for length in [4, 400, 890] {
            let mut batch = Batch::default();
            let mut batches: Vec<Vec<Read>> =
                (0..1_700).filter_map(|n| batch.push(read(&format!("{}{n:04}\"", "x".repeat(length))))).collect();
            batches.push(batch.read);
            assert_eq!(batches.iter().map(Vec::len).sum::<usize>(), 1_700);
            for batch in batches {
                assert!(!batch.is_empty() && batch.len() <= limits::FILES_PER_REQUEST);
                let request = AnnounceFiles { files: batch.iter().map(Read::announcement).collect() };
                assert!(serde_json::to_vec(&request).unwrap().len() <= limits::BODY_BYTES);
            }
        }
    }
}
