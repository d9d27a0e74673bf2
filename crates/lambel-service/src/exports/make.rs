//! Making exports: the ear of `dataset-exporter`.

use std::fmt::Write as _;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    api::exports::{ExportFile, ExportState},
    limits,
};
use lambel_dataset::{
    Error as DatasetError,
    export::{ExportError, Exporting, Numbers, Output, PieceSize},
};
use sha2::{Digest, Sha256};

use super::{PIECE, record::Export};
use crate::{
    error::Comeback,
    ports::{
        ExportKey, ExportStep, ExportWriter, PieceNote, Segment, SharedClock, SharedDatasets, SharedExportFiles,
        SharedExportQueue, SharedExports, StoreError, Work,
    },
};

/// How often a record is read again when somebody else has changed it in between.
const TRIES: usize = 5;
/// Bytes that are read at once to compute the SHA-256 of a file.
const BLOCK: u64 = 8 << 20;
/// Blocks that are read ahead.
const AHEAD: usize = 4;

/// Makes exports.
#[derive(Clone)]
pub struct Exporter {
    exports: SharedExports,
    files: SharedExportFiles,
    queue: SharedExportQueue,
    datasets: SharedDatasets,
    clock: SharedClock,
    size: PieceSize,
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// It may go better next time.
    #[error(transparent)]
    Passing(#[from] StoreError),
    /// This export cannot be made, whoever tries.
    #[error("{0}")]
    Lasting(String),
}

impl From<DatasetError> for Trouble {
    fn from(error: DatasetError) -> Self {
        match error {
            DatasetError::Store(error) => Self::Passing(error.into()),
            DatasetError::Export(ExportError::Output(error)) => Self::Passing(StoreError::Busy(error.to_string())),
            // The commit is damaged, newer than this program, or has what the format cannot say.
            other => Self::Lasting(other.to_string()),
        }
    }
}

type Done<T = ()> = Result<T, Trouble>;

impl Exporter {
    /// Over these ports.
    pub fn new(
        exports: SharedExports,
        files: SharedExportFiles,
        queue: SharedExportQueue,
        datasets: SharedDatasets,
        clock: SharedClock,
    ) -> Self {
        Self { exports, files, queue, datasets, clock, size: PIECE }
    }

    /// The same, with pieces of another size: for tests, and for measuring. All who write an export have the same.
    #[must_use]
    pub fn with_pieces_of(self, size: PieceSize) -> Self {
        Self { size, ..self }
    }

    /// Takes a message of the queue `exports`: an [`ExportStep`].
    ///
    /// Retry decision: a step can be done again by anybody, with the same bytes, so whatever the storage refuses comes
    /// back, and lies in the dead-letter queue after its last try; asking for the export again sends for what is
    /// missing. What cannot be made (an image without an address, a damaged commit) is said in the record, and the
    /// message is done. So is one of an export that is over. A body that cannot be read is put aside at once.
    pub async fn hear(&self, body: &str) -> Result<(), Comeback> {
        let step: ExportStep = serde_json::from_str(body).map_err(|error| {
            tracing::error!(%error, "message cannot be read");
            Comeback::Never
        })?;
        let task = step.task;
        let done = match self.take(&step).await {
            Err(Trouble::Lasting(reason)) => self.fail(&step, reason).await,
            done => done,
        };
        done.map_err(|error| {
            tracing::warn!(%task, %error, "export not moved on");
            Comeback::Later
        })
    }

    async fn take(&self, step: &ExportStep) -> Done {
        let Some(export) = self.current(step).await? else { return Ok(()) };
        match step.work {
            Work::Begin => self.begin(export).await,
            Work::Count(piece) => self.count(export, piece).await,
            Work::Write(piece) => self.write(export, piece).await,
            Work::Join => self.join(export).await,
        }
    }

    /// The export that a step is for; none if the step has nothing to say any more.
    async fn current(&self, step: &ExportStep) -> Done<Option<Export>> {
        let export = self.exports.export(step.task, step.export).await?;
        Ok(export.filter(|export| export.run == step.run && !export.is_over()))
    }

    async fn begin(&self, mut export: Export) -> Done {
        if export.state == ExportState::Waiting {
            let dataset = self.datasets.of(export.task);
            let (format, options) = (export.dataset_format(), export.dataset_options());
            let exporting = Exporting::open(&*dataset.objects, export.commit, &format, &options).await?;
            export.pieces = u32::try_from(exporting.pieces(self.size).len()).unwrap_or(u32::MAX);
            export.state = ExportState::Running;
            export.moved_at = self.clock.now();
            export.rev += 1;
            if !self.exports.put_export(&export).await? {
                return Err(StoreError::Busy("somebody else has begun the export".to_owned()).into());
            }
            tracing::info!(task = %export.task, pieces = export.pieces, images = export.rows, "export begun");
        }
        let notes = self.exports.notes(&export).await?;
        self.send(&export, export.missing(&notes)).await
    }

    async fn send(&self, export: &Export, work: Vec<Work>) -> Done {
        let step = |work| ExportStep { task: export.task, export: export.id, run: export.run, work };
        let steps: Vec<_> = work.into_iter().map(step).collect();
        Ok(self.queue.send(&steps).await?)
    }

    async fn count(&self, export: Export, piece: u32) -> Done {
        let notes = self.exports.notes(&export).await?;
        if !notes.iter().any(|note| !note.is_written() && note.piece() == piece) {
            let dataset = self.datasets.of(export.task);
            let (format, options) = (export.dataset_format(), export.dataset_options());
            let exporting = Exporting::open(&*dataset.objects, export.commit, &format, &options).await?;
            let numbers = exporting.count(&*self.piece(&exporting, &export, piece)?).await?;
            self.exports.note(&export, &PieceNote::Counted { piece, numbers }, self.clock.now()).await?;
        }
        self.go_on(&export, |export| export.counted).await
    }

    /// Sends for what comes next if all pieces have been gone through in this way.
    async fn go_on(&self, export: &Export, gone_through: impl Fn(&Export) -> u32) -> Done {
        let now = self.exports.export(export.task, export.id).await?;
        match now.filter(|now| now.run == export.run && !now.is_over() && gone_through(now) == now.pieces) {
            Some(now) => {
                let notes = self.exports.notes(&now).await?;
                self.send(&now, now.missing(&notes)).await
            }
            None => Ok(()),
        }
    }

    async fn write(&self, export: Export, place: u32) -> Done {
        let notes = self.exports.notes(&export).await?;
        if notes.iter().any(|note| note.is_written() && note.piece() == place) {
            return self.go_on(&export, |export| export.written).await;
        }
        // Nobody sends for it before all are counted; numbers that are missing would give wrong ones.
        if export.missing(&notes).iter().any(|work| matches!(work, Work::Count(_))) {
            return Err(StoreError::Busy("not all pieces are counted".to_owned()).into());
        }
        let before: Numbers = notes
            .iter()
            .map(|note| match note {
                PieceNote::Counted { piece, numbers } if *piece < place => *numbers,
                _ => Numbers::default(),
            })
            .sum();
        let dataset = self.datasets.of(export.task);
        let (format, options) = (export.dataset_format(), export.dataset_options());
        let exporting = Exporting::open(&*dataset.objects, export.commit, &format, &options).await?;
        let piece = self.piece(&exporting, &export, place)?;
        let mut segments = Vec::new();
        let mut images = 0;
        for pass in 0..format.passes() {
            let key = export.segment_key(u32::try_from(pass).unwrap_or(u32::MAX), place);
            let writer = self.files.create(&key, format.media_type()).await?;
            let mut output = Hashed { writer, sha256: Sha256::new(), bytes: 0 };
            images = exporting.write(&piece, pass, before, &mut output).await?.images;
            segments.push(output.finish().await?);
        }
        let note = PieceNote::Written { piece: place, rows: piece.rows, images, segments };
        self.exports.note(&export, &note, self.clock.now()).await?;
        tracing::info!(task = %export.task, images, "piece of an export written");
        self.go_on(&export, |export| export.written).await
    }

    /// A piece by its place.
    fn piece(
        &self,
        exporting: &Exporting<'_>,
        export: &Export,
        place: u32,
    ) -> Done<Box<lambel_dataset::export::Piece>> {
        let mut pieces = exporting.pieces(self.size);
        // Another version of this program has planned it with other pieces.
        if pieces.len() != export.pieces as usize {
            let found = pieces.len();
            return Err(Trouble::Lasting(format!("it was planned with {} pieces, and has {found}", export.pieces)));
        }
        let place = place as usize;
        match place < pieces.len() {
            true => Ok(Box::new(pieces.swap_remove(place))),
            false => Err(Trouble::Lasting(format!("it has no piece {place}"))),
        }
    }

    async fn join(&self, export: Export) -> Done {
        let notes = self.exports.notes(&export).await?;
        if export.missing(&notes) != [Work::Join] {
            return Ok(());
        }
        let written: Vec<(u32, u64, &[Segment])> = notes
            .iter()
            .filter_map(|note| match note {
                PieceNote::Written { piece, images, segments, .. } => Some((*piece, *images, segments.as_slice())),
                PieceNote::Counted { .. } => None,
            })
            .collect();
        let files = if export.is_written_at_once() {
            let file = |(piece, images, segments): &(u32, u64, &[Segment])| {
                let segment = segments.first()?;
                let (bytes, sha256) = (segment.bytes, segment.sha256.clone());
                Some(ExportFile { name: export.file_name(*piece), bytes, images: *images, sha256, url: None })
            };
            written.iter().filter_map(file).collect()
        } else {
            vec![self.one_file(&export, &written).await?]
        };
        self.complete(export, files).await
    }

    /// Makes one file of the segments, and computes its SHA-256, which cannot be had from those of its parts. What is
    /// read is compared with what was written.
    async fn one_file(&self, export: &Export, written: &[(u32, u64, &[Segment])]) -> Done<ExportFile> {
        let format = export.dataset_format();
        let mut parts = Vec::new();
        for pass in 0..format.passes() {
            for (piece, _, segments) in written {
                let Some(segment) = segments.get(pass) else {
                    return Err(Trouble::Lasting(format!("piece {piece} has no segment for pass {pass}")));
                };
                parts.push((export.segment_key(u32::try_from(pass).unwrap_or(u32::MAX), *piece), segment));
            }
        }
        let bytes: u64 = parts.iter().map(|(_, segment)| segment.bytes).sum();
        if bytes > limits::BYTES_PER_EXPORT {
            let most = limits::BYTES_PER_EXPORT;
            let advice = "leave images out by the options, or take Parquet, which is several files";
            return Err(Trouble::Lasting(format!("the file would have {bytes} bytes, {most} is the most; {advice}")));
        }
        let name = export.file_name(0);
        let to = export.file_key(name.clone());
        let lengths: Vec<_> = parts.iter().map(|(key, segment)| (key.clone(), segment.bytes)).collect();
        let joined = async { self.files.join(&lengths, &to, format.media_type()).await.map_err(Trouble::from) };
        let ((), sha256) = futures::future::try_join(joined, self.sha256_of(&parts)).await?;
        let images = written.iter().map(|(_, images, _)| images).sum();
        Ok(ExportFile { name, bytes, images, sha256, url: None })
    }

    async fn sha256_of(&self, parts: &[(ExportKey, &Segment)]) -> Done<String> {
        let blocks = parts.iter().enumerate().flat_map(|(place, (key, segment))| {
            let block = move |start: u64| (place, key, start..segment.bytes.min(start + BLOCK));
            (0..segment.bytes).step_by(BLOCK as usize).map(block)
        });
        let mut read = std::pin::pin!(
            stream::iter(blocks)
                .map(async |(place, key, range)| Ok::<_, StoreError>((place, self.files.read(key, range).await?)))
                .buffered(AHEAD)
        );
        let mut whole = Sha256::new();
        let mut own = Sha256::new();
        let mut at = 0;
        let check = |own: Sha256, at: usize| match parts.get(at) {
            Some((key, segment)) if segment.bytes > 0 && hex_of(own) != segment.sha256 => {
                Err(Trouble::Lasting(format!("{key} is not what was written there")))
            }
            _ => Ok(()),
        };
        while let Some((place, bytes)) = read.try_next().await? {
            if place != at {
                check(std::mem::take(&mut own), at)?;
                at = place;
            }
            whole.update(&bytes);
            own.update(&bytes);
        }
        check(own, at)?;
        Ok(hex_of(whole))
    }

    async fn complete(&self, mut export: Export, files: Vec<ExportFile>) -> Done {
        let now = self.clock.now();
        export.state = ExportState::Complete;
        export.files = files;
        (export.moved_at, export.ended_at) = (now, Some(now));
        export.rev += 1;
        // Where it is not: somebody else was faster, with the same files.
        if self.exports.put_export(&export).await? {
            tracing::info!(task = %export.task, images = export.rows, "export complete");
        }
        Ok(())
    }

    async fn fail(&self, step: &ExportStep, reason: String) -> Done {
        tracing::error!(task = %step.task, error = %reason, "export failed");
        for _ in 0..TRIES {
            let Some(mut export) = self.current(step).await? else { return Ok(()) };
            let now = self.clock.now();
            export.state = ExportState::Failed;
            export.reason = Some(reason.clone());
            (export.moved_at, export.ended_at) = (now, Some(now));
            export.rev += 1;
            if self.exports.put_export(&export).await? {
                return Ok(());
            }
        }
        Err(StoreError::Busy("others change the export at the same time".to_owned()).into())
    }
}

/// The digits of a digest.
fn hex_of(sha256: Sha256) -> String {
    sha256.finalize().iter().fold(String::with_capacity(64), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// An object on its way, with the hash of what it has got.
struct Hashed {
    writer: Box<dyn ExportWriter>,
    sha256: Sha256,
    bytes: u64,
}

impl Hashed {
    async fn finish(self) -> Done<Segment> {
        self.writer.finish().await?;
        Ok(Segment { bytes: self.bytes, sha256: hex_of(self.sha256) })
    }
}

#[async_trait]
impl Output for Hashed {
    async fn write(&mut self, bytes: Bytes) -> Result<(), ExportError> {
        self.sha256.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.writer.write(bytes).await.map_err(|error| ExportError::Output(std::io::Error::other(error)))
    }
}
