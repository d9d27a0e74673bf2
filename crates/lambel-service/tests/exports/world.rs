//! A task with a data set, those who export it, and messages that are delivered as a test likes.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use lambel_core::{
    TaskId,
    api::{
        CreateTask,
        exports::{CreateExport, ExportFormat, ExportOptions, ExportView},
    },
};
use lambel_dataset::{
    CommitId, RefName, Row,
    export::{Format, Options, PieceSize, export},
};
use lambel_memory::{
    ManualClock, MemoryDatasets, MemoryExportFiles, MemoryExportQueue, MemoryExports, MemoryObjects, MemoryStore,
    faults::{Faults, FaultyExportFiles, FaultyExportQueue, FaultyExports, Rates},
};
use lambel_service::{
    Caller, Role,
    error::Comeback,
    exports::{DatasetExports, Exporter},
    ports::{Datasets, ExportKey, ExportStep},
    tasks::Tasks,
};

use crate::sample::draft;

/// Rows of a piece: a chunk has 128 at most.
pub(crate) const PIECE: PieceSize = PieceSize { rows: 200, bytes: u64::MAX };

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) sets: Arc<MemoryDatasets>,
    pub(crate) records: Arc<MemoryExports>,
    pub(crate) files: Arc<MemoryExportFiles>,
    pub(crate) queue: Arc<MemoryExportQueue>,
    pub(crate) late: Arc<FaultyExportQueue>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) exports: DatasetExports,
    pub(crate) exporter: Exporter,
    pub(crate) task: TaskId,
}

pub(crate) fn alice() -> Caller {
    Caller::new("alice", [Role::Client])
}

pub(crate) fn wanted(format: ExportFormat) -> CreateExport {
    CreateExport { version: None, format, options: None }
}

pub(crate) const FORMATS: [ExportFormat; 8] = [
    ExportFormat::Jsonl,
    ExportFormat::Csv,
    ExportFormat::Parquet,
    ExportFormat::Manifest,
    ExportFormat::LabelStudio,
    ExportFormat::Coco,
    ExportFormat::Imagefolder,
    ExportFormat::Folders,
];

/// The same as the crate of data sets has it.
pub(crate) fn of_dataset(format: ExportFormat) -> Format {
    match format {
        ExportFormat::Jsonl => Format::JsonLines,
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Parquet => Format::Parquet,
        ExportFormat::Manifest => Format::Manifest { attribute: "label".to_owned() },
        ExportFormat::LabelStudio => Format::LabelStudio,
        ExportFormat::Coco => Format::Coco,
        ExportFormat::Imagefolder => Format::ImageFolder,
        ExportFormat::Folders => Format::ClassFolders,
    }
}

impl World {
    pub(crate) async fn new(rows: Vec<Row>) -> Self {
        Self::with_faults(rows, Faults::new(0, Rates::none())).await
    }

    /// The exporter has faulty ports; the client's side has good ones.
    pub(crate) async fn with_faults(rows: Vec<Row>, faults: Arc<Faults>) -> Self {
        let clock = Arc::new(ManualClock::new());
        let tasks = Tasks::new(Arc::new(MemoryStore::default()), Arc::new(MemoryObjects::default()), clock.clone());
        let request = CreateTask {
            name: "cats and dogs".to_owned(),
            labels: vec!["cat".to_owned(), "dog".to_owned()],
            instructions: None,
            policy: None,
            audience: None,
            expected_images: None,
        };
        let task = tasks.create(&alice(), &request).await.unwrap().task;
        let sets = Arc::new(MemoryDatasets::default());
        let records = Arc::new(MemoryExports::default());
        let files = Arc::new(MemoryExportFiles::default());
        let queue = Arc::new(MemoryExportQueue::default());
        let late = Arc::new(FaultyExportQueue::new(queue.clone(), faults.clone()));
        let exporter = Exporter::new(
            Arc::new(FaultyExports::new(records.clone(), faults.clone())),
            Arc::new(FaultyExportFiles::new(files.clone(), faults.clone())),
            late.clone(),
            sets.clone(),
            clock.clone(),
        );
        let exports = DatasetExports::new(tasks, records.clone(), files.clone(), queue.clone(), sets.clone());
        let exporter = exporter.with_pieces_of(PIECE);
        let world = Self { clock, sets, records, files, queue, late, faults, exports, exporter, task };
        world.commit(0, rows).await;
        world
    }

    pub(crate) async fn commit(&self, seconds: u64, rows: Vec<Row>) -> CommitId {
        let rows = futures::stream::iter(rows.into_iter().map(Ok));
        let dataset = self.sets.of(self.task);
        dataset.commit_rows(&RefName::live(), draft(seconds, "rows"), rows).await.unwrap().id
    }

    pub(crate) async fn ask(&self, request: &CreateExport) -> ExportView {
        self.exports.create(&alice(), self.task, request).await.unwrap()
    }

    pub(crate) async fn look(&self, of: &ExportView) -> ExportView {
        self.exports.show(&alice(), self.task, of.export).await.unwrap()
    }

    pub(crate) async fn hear(&self, step: &ExportStep) -> Result<(), Comeback> {
        self.exporter.hear(&serde_json::to_string(step).unwrap()).await
    }

    /// Delivers all messages, and those that they lead to. Each must be dealt with.
    pub(crate) async fn deliver(&self) -> usize {
        let mut delivered = 0;
        loop {
            let steps = self.queue.take();
            if steps.is_empty() {
                return delivered;
            }
            for step in steps {
                self.hear(&step).await.unwrap();
                delivered += 1;
            }
        }
    }

    /// Delivers a message to somebody who dies after so many turns, if they are not done by then.
    pub(crate) fn die_after(&self, step: &ExportStep, turns: usize) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let mut hearing = pin!(self.hear(step));
        (0..turns).any(|_| matches!(hearing.as_mut().poll(&mut context), Poll::Ready(_)))
    }

    /// What a file has, as somebody would download it.
    pub(crate) fn download(&self, view: &ExportView, place: usize) -> Vec<u8> {
        let file = &view.files[place];
        let key = ExportKey::File { task: self.task, export: view.export, name: file.name.clone() };
        assert_eq!(file.url.as_deref(), Some(format!("memory:{key}").as_str()));
        let bytes = self.files.bytes(&key).unwrap();
        assert_eq!(bytes.len() as u64, file.bytes);
        assert_eq!(lambel_core::ImageId::of(&bytes).to_string(), file.sha256, "{}", file.name);
        bytes.to_vec()
    }

    /// The same export in one go.
    pub(crate) async fn at_once(&self, commit: &str, format: ExportFormat, options: &ExportOptions) -> (Vec<u8>, u64) {
        let options = Options {
            only_labelled: options.only_labelled,
            min_confidence: options.min_confidence.map(lambel_core::consensus::Confidence::new),
            each_name: options.each_name,
            address_prefix: options.address_prefix.clone(),
            ..Options::default()
        };
        let mut out = Vec::new();
        let objects = self.sets.objects(self.task);
        let commit = commit.parse().unwrap();
        let done = export(&*objects, commit, &of_dataset(format), &options, &mut out).await.unwrap();
        (out, done.images)
    }
}
