//! What an export in pieces costs: `cargo run --release -p lambel-service --example export [IMAGES…]`.
//!
//! Makes data sets of 1,000 and of 200,000 images with three votes each in a folder, and has each exported in every
//! format as `dataset-exporter` does it, step by step, into the same folder: by one worker, who takes every message.
//! Each export is a process of its own, so that the peak of memory is its own.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../../lambel-dataset/tests/sample/mod.rs"]
mod sample;

use std::{
    env,
    fs::{self, File},
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{
    Actor, TaskId,
    api::exports::{ExportFormat, ExportId, ExportOptions, ExportState},
};
use lambel_dataset::{CommitId, Dataset, DirectoryObjectStore, MemoryRefs, RefName};
use lambel_memory::{ManualClock, MemoryExportQueue, MemoryExports};
use lambel_service::{
    exports::{Export, Exporter},
    ports::{
        Answered, Clock, Datasets, ExportFiles, ExportKey, ExportQueue, ExportStep, ExportWriter, Exports, StoreError,
        StoreResult, Work,
    },
};
use sample::{draft, rows};

const FORMATS: [ExportFormat; 8] = [
    ExportFormat::Jsonl,
    ExportFormat::Csv,
    ExportFormat::Manifest,
    ExportFormat::LabelStudio,
    ExportFormat::Coco,
    ExportFormat::Imagefolder,
    ExportFormat::Folders,
    ExportFormat::Parquet,
];

/// A data set in a folder, and the files of its exports beside it.
struct Folder(PathBuf);

fn failed(error: std::io::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

#[async_trait]
impl Datasets for Folder {
    fn of(&self, _task: TaskId) -> Dataset {
        let objects = DirectoryObjectStore::open(&self.0).unwrap();
        Dataset { objects: Arc::new(objects), refs: Arc::new(MemoryRefs::default()) }
    }

    async fn answered(&self, _task: TaskId) -> StoreResult<Option<Answered>> {
        Ok(None)
    }

    async fn answer(&self, _task: TaskId, _answered: &Answered) -> StoreResult<()> {
        Ok(())
    }
}

struct Writer(BufWriter<File>);

#[async_trait]
impl ExportWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        self.0.write_all(&bytes).map_err(failed)
    }

    async fn finish(mut self: Box<Self>) -> StoreResult<()> {
        self.0.flush().map_err(failed)
    }
}

impl Folder {
    fn path(&self, key: &ExportKey) -> PathBuf {
        self.0.join(key.to_string())
    }
}

#[async_trait]
impl ExportFiles for Folder {
    async fn create(&self, key: &ExportKey, _media_type: &str) -> StoreResult<Box<dyn ExportWriter>> {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).map_err(failed)?;
        Ok(Box::new(Writer(BufWriter::new(File::create(path).map_err(failed)?))))
    }

    /// The storage copies, as S3 does; it is not the function that reads.
    async fn join(&self, parts: &[(ExportKey, u64)], to: &ExportKey, _media_type: &str) -> StoreResult<()> {
        let path = self.path(to);
        fs::create_dir_all(path.parent().unwrap()).map_err(failed)?;
        let mut joined = File::create(path).map_err(failed)?;
        for (key, _) in parts {
            std::io::copy(&mut File::open(self.path(key)).map_err(failed)?, &mut joined).map_err(failed)?;
        }
        Ok(())
    }

    async fn read(&self, key: &ExportKey, bytes: Range<u64>) -> StoreResult<Bytes> {
        let mut file = File::open(self.path(key)).map_err(failed)?;
        file.seek(SeekFrom::Start(bytes.start)).map_err(failed)?;
        let mut block = vec![0; (bytes.end - bytes.start) as usize];
        file.read_exact(&mut block).map_err(failed)?;
        Ok(block.into())
    }

    async fn presign(&self, key: &ExportKey, _name: &str, _life: Duration) -> StoreResult<String> {
        Ok(key.to_string())
    }
}

/// The most memory that this process has held, in MiB: `VmHWM` of Linux.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [root, commit, images, format] => {
            let format = FORMATS.into_iter().find(|known| known.as_str() == format).unwrap();
            export_one(Path::new(root), commit.parse().unwrap(), images.parse().unwrap(), format).await;
        }
        images => measure(images.iter().map(|images| images.parse().unwrap()).collect()).await,
    }
}

async fn measure(images: Vec<u64>) {
    println!(
        "| images | format | pieces | all steps, s | longest step, s | peak, MiB | files, MiB |\n|---|---|---|---|---|---|---|"
    );
    for images in if images.is_empty() { vec![1_000, 200_000] } else { images } {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Folder(folder.path().to_owned()).of(sample::task());
        let all = futures::stream::iter(rows(0..images).into_iter().map(Ok));
        let commit = dataset.commit_rows(&RefName::live(), draft(0, "made"), all).await.unwrap().id;
        for format in FORMATS {
            let arguments = [folder.path().to_string_lossy().into_owned(), commit.to_string(), images.to_string()];
            let mut run = Command::new(env::current_exe().unwrap());
            assert!(run.args(arguments).arg(format.as_str()).status().unwrap().success());
        }
    }
}

async fn export_one(root: &Path, commit: CommitId, rows: u64, format: ExportFormat) {
    let folder = Arc::new(Folder(root.to_owned()));
    let (records, queue) = (Arc::new(MemoryExports::default()), Arc::new(MemoryExportQueue::default()));
    let clock = Arc::new(ManualClock::new());
    let exporter = Exporter::new(records.clone(), folder.clone(), queue.clone(), folder, clock.clone());
    let (task, id) = (sample::task(), ExportId::from_bytes([7; 16]));
    let export = Export {
        task,
        id,
        commit,
        format,
        options: ExportOptions::default(),
        state: ExportState::Waiting,
        run: 1,
        rows,
        pieces: 0,
        counted: 0,
        written: 0,
        rows_done: 0,
        requested_at: clock.now(),
        requested_by: Actor::lambel(),
        moved_at: clock.now(),
        ended_at: None,
        reason: None,
        files: Vec::new(),
        rev: 1,
    };
    assert!(records.put_export(&export).await.unwrap());
    queue.send(&[ExportStep { task, export: id, run: 1, work: Work::Begin }]).await.unwrap();
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let steps = queue.take();
        if steps.is_empty() {
            break;
        }
        for step in steps {
            let start = Instant::now();
            exporter.hear(&serde_json::to_string(&step).unwrap()).await.unwrap();
            longest = longest.max(start.elapsed());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let done = records.export(task, id).await.unwrap().unwrap();
    assert_eq!((done.state, done.rows_done), (ExportState::Complete, rows), "{:?}", done.reason);
    let bytes: u64 = done.files.iter().map(|file| file.bytes).sum();
    println!(
        "| {rows} | {} | {} | {seconds:.2} | {:.2} | {} | {:.1} |",
        format.as_str(),
        done.pieces,
        longest.as_secs_f64(),
        peak(),
        bytes as f64 / f64::from(1 << 20)
    );
}
