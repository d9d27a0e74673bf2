//! What a data set of many images costs: `cargo run --release -p lambel-dataset --example size`.
//!
//! Without arguments it makes sets of 1,000 and of 200,000 images with three votes each in a folder, commits a
//! hundred changes to the large one, and runs itself again for each export, so that the peak of memory is that of
//! one export alone.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]

#[path = "../tests/sample/mod.rs"]
mod sample;

use std::{
    collections::BTreeMap, env, fs::File, io::BufWriter, path::Path, process::Command, sync::Arc, time::Instant,
};

use futures::{TryStreamExt, stream};
use lambel_dataset::{
    Change, Commit, CommitId, Dataset, Depth, DiffSummary, DirectoryObjectStore, MemoryRefs, RefName, diff,
    export::{Format, Options, WriteOutput, export},
    verify,
};
use sample::{changed_row, draft, rows};

const IMAGES: [u64; 2] = [1_000, 200_000];

fn formats() -> Vec<Format> {
    vec![
        Format::JsonLines,
        Format::Csv,
        Format::Manifest { attribute: "label".to_owned() },
        Format::LabelStudio,
        Format::Coco,
        Format::ImageFolder,
        Format::ClassFolders,
        Format::Parquet,
    ]
}

fn dataset(root: &Path) -> Dataset {
    let objects = DirectoryObjectStore::open(root).unwrap();
    Dataset { objects: Arc::new(objects), refs: Arc::new(MemoryRefs::default()) }
}

/// The most memory that this process has held, in MiB: `VmHWM` of Linux.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => measure().await,
        [root, commit, format] => export_one(Path::new(root), commit.parse().unwrap(), format).await,
        _ => panic!("no arguments, or the folder, the commit and the format of one export"),
    }
}

async fn export_one(root: &Path, commit: CommitId, name: &str) {
    let format = formats().into_iter().find(|format| format.file_name() == name).unwrap();
    let start = Instant::now();
    let dataset = dataset(root);
    let file = BufWriter::new(File::create(root.join(name)).unwrap());
    let mut output = WriteOutput(file);
    let done = export(&*dataset.objects, commit, &format, &Options::default(), &mut output).await.unwrap();
    let (seconds, size) = (start.elapsed().as_secs_f64(), mebibytes(done.bytes));
    println!("| {} | {name} | {seconds:.2} | {} | {size:.1} |", done.images, peak());
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    println!("| images | export | s | peak MiB | MiB written |\n|---|---|---|---|---|");
    for images in IMAGES {
        let root = folder.path().join(images.to_string());
        let dataset = dataset(&root);
        let all = rows(0..images);
        let start = Instant::now();
        let rows = stream::iter(all.into_iter().map(Ok));
        let first = dataset.commit_rows(&RefName::live(), draft(0, "first"), rows).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        for format in formats() {
            let arguments = [root.as_os_str(), first.id.to_string().as_ref(), format.file_name().as_ref()]
                .map(|argument| argument.to_owned());
            let run = Command::new(env::current_exe().unwrap()).args(arguments).status().unwrap();
            assert!(run.success());
        }
        println!(
            "\nfirst commit of {images}: {seconds:.2} s, {} objects, {:.1} MiB",
            first.written.objects,
            mebibytes(first.written.bytes)
        );
        questions(&dataset, first.id, images).await;
    }
}

async fn questions(dataset: &Dataset, first: CommitId, images: u64) {
    let step = images / 100;
    let changes: BTreeMap<_, _> =
        (0..100).map(|n| changed_row(n * step, 1)).map(|row| (row.image, Some(row))).collect();
    let start = Instant::now();
    let second = dataset.commit_changes(&RefName::live(), draft(1, "second"), changes).await.unwrap();
    println!(
        "commit of 100 changes: {:.3} s, {} objects, {:.3} MiB",
        start.elapsed().as_secs_f64(),
        second.written.objects,
        mebibytes(second.written.bytes)
    );
    let objects = &*dataset.objects;
    let tree = async |id| Commit::read(objects, id).await.unwrap().tree(objects).await.unwrap();
    let (a, b) = (tree(first).await, tree(second.id).await);
    let start = Instant::now();
    let changes: Vec<Change> = diff(objects, &a, &b).try_collect().await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let mut summary = DiffSummary::default();
    changes.iter().for_each(|change| summary.add(change));
    println!("diff: {seconds:.3} s, {summary:?}");
    let start = Instant::now();
    let found = verify(objects, &[second.id], Depth::Ancestors).await.unwrap();
    println!("verify: {:.2} s, {} rows, {} problems", start.elapsed().as_secs_f64(), found.rows, found.problems.len());
}
