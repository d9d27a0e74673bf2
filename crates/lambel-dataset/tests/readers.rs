//! Exports are read back by the tools that they are for: `datasets`, `pycocotools`, Label Studio's converter,
//! `pyarrow` and `pandas`. Counts and labels must agree with what went in.
//!
//! `cargo xtask test` makes a Python environment with those tools and names its interpreter in `LAMBEL_READERS`.
//! Without that, the test says that it was skipped, where everybody sees it: it has its own `main`, since the
//! usual harness keeps quiet about tests that pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use lambel_core::{FileName, ImageId};
use lambel_dataset::{
    Dataset, MemoryObjectStore, MemoryRefs, RefName, Row, StoreError,
    export::{DirectoryOutput, Format, ImageSource, Layout, Options, WriteOutput, copy_images, export},
    row::Status,
};
use sample::{draft, labels};
use serde_json::json;

/// Enough for every kind of row a few times.
const IMAGES: u32 = 400;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let filters: Vec<_> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let wanted = filters.is_empty() || filters.iter().any(|filter| "exports_are_read_back".contains(filter.as_str()));
    if !wanted || words.iter().any(|word| word == "--list") {
        return ExitCode::SUCCESS;
    }
    let Some(python) = env::var_os("LAMBEL_READERS") else {
        eprintln!("SKIPPED: exports are not read back by other tools, since LAMBEL_READERS is not set.");
        eprintln!("         `cargo xtask test -- -p lambel-dataset` makes the environment that this needs.");
        return ExitCode::SUCCESS;
    };
    let folder = tempfile::tempdir().unwrap();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(write(folder.path()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers.py");
    let status = Command::new(python)
        .arg(script)
        .arg(folder.path())
        .env("HF_HUB_OFFLINE", "1")
        .env("HF_DATASETS_OFFLINE", "1")
        .env("HF_HOME", folder.path().join("cache"))
        .env("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        .status()
        .unwrap();
    if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Pictures(BTreeMap<ImageId, Bytes>);

#[async_trait]
impl ImageSource for Pictures {
    async fn fetch(&self, row: &Row) -> Result<Option<Bytes>, StoreError> {
        Ok(self.0.get(&row.image).cloned())
    }
}

async fn write(folder: &Path) {
    let mut pictures = BTreeMap::new();
    let mut rows = Vec::new();
    let samples = sample::rows(0..u64::from(IMAGES));
    for (n, (sample, (_, png))) in samples.into_iter().zip(lambel_samples::numbered(IMAGES, 7)).enumerate() {
        let bytes = Bytes::from(png);
        let pixels = (sample.outcome.status() != Status::Rejected).then_some(lambel_samples::NUMBERED_SIDE);
        // All have the same name, so that only the ids keep them apart.
        let names = vec![FileName::parse(&format!("folder-{n}/same: name?.png")).unwrap()];
        let image = ImageId::of(&bytes);
        let media_type = pixels.map(|_| "image/png".to_owned());
        let uri = Some(format!("s3://uploads/{image}"));
        rows.push(Row { image, names, media_type, uri, width: pixels, height: pixels, ..sample });
        pictures.insert(image, bytes);
    }
    rows.sort_by_key(|row| row.image);
    let (objects, refs) = (Arc::new(MemoryObjectStore::default()), Arc::new(MemoryRefs::default()));
    let dataset = Dataset { objects, refs };
    let all = stream::iter(rows.clone().into_iter().map(Ok));
    let id = dataset.commit_rows(&RefName::live(), draft(0, "all"), all).await.unwrap().id;
    let (objects, options) = (&*dataset.objects, Options::default());
    for format in [
        Format::JsonLines,
        Format::Csv,
        Format::Manifest { attribute: "label".to_owned() },
        Format::LabelStudio,
        Format::Coco,
        Format::Parquet,
        Format::ImageFolder,
    ] {
        let path = match format {
            Format::ImageFolder => folder.join("with-metadata/train"),
            _ => folder.to_owned(),
        };
        fs::create_dir_all(&path).unwrap();
        let mut output = WriteOutput(File::create(path.join(format.file_name())).unwrap());
        export(objects, id, &format, &options, &mut output).await.unwrap();
    }
    let source = Pictures(pictures);
    for (layout, path) in [(Layout::Metadata, "with-metadata/train"), (Layout::Classes, "by-class/train")] {
        let mut output = DirectoryOutput::new(folder.join(path));
        let placed = copy_images(objects, id, layout, &options, &source, &mut output).await.unwrap();
        assert_eq!(placed.missing, []);
    }
    fs::write(folder.join("expected.json"), expected(&rows).to_string()).unwrap();
}

/// What every tool has to find.
fn expected(rows: &[Row]) -> serde_json::Value {
    let mut by_label: BTreeMap<&str, u64> = BTreeMap::new();
    let mut by_status: BTreeMap<&str, u64> = BTreeMap::new();
    let mut of_image: BTreeMap<String, &str> = BTreeMap::new();
    let mut people: BTreeMap<&str, u64> = BTreeMap::new();
    let mut votes = 0;
    for row in rows {
        *by_status.entry(row.outcome.status().as_str()).or_default() += 1;
        if let Some((label, _)) = row.decided_label() {
            *by_label.entry(label.as_str()).or_default() += 1;
            of_image.insert(row.image.to_string(), label.as_str());
        }
        votes += row.votes.len();
        for vote in row.votes.iter().filter(|vote| !vote.late && !vote.is_model()) {
            if let Some(label) = vote.answer.label() {
                *people.entry(label.as_str()).or_default() += 1;
            }
        }
    }
    let labels = labels();
    json!({
        "rows": rows.len(),
        "pictures": rows.len() as u64 - by_status.get("rejected").copied().unwrap_or(0),
        "labels": labels,
        "by_label": by_label,
        "by_status": by_status,
        "label_of": of_image,
        "votes": votes,
        "votes_of_people": people,
    })
}
