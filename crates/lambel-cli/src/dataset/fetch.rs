//! `lambel dataset export --task`: the service makes the files, and this fetches them.
//!
//! A file is fetched into one beside it, named after the export, which takes its name when its SHA-256 is right. If
//! the command is stopped that file stays, and the next one goes on behind its last byte.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use lambel_client::{Client, DownloadError};
use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportFile, ExportState, ExportView},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::short_text;
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    progress::{Progress, megabytes},
};

/// Between two looks how far it is: at first, and at most.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LONGEST_LOOK: Duration = Duration::from_secs(5);
/// How often a download begins again without a byte more.
const TRIES: u32 = 5;
/// Before it begins again.
const PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are hashed at once.
const BLOCK: usize = 1 << 20;

/// Has a version of the service exported, and fetches it.
pub(super) async fn run(context: &Context, task: TaskId, wanted: &CreateExport, out: &Path) -> Outcome {
    let client = context.client()?;
    let export = made(context, &client, task, wanted).await?;
    let place = Place::of(out, &export)?;
    let total = export.files.iter().map(|file| file.bytes).sum();
    let progress = Progress::new(context.out, total);
    let fetching = Fetching { client, export, progress };
    let mut before = 0;
    for file in &fetching.export.files {
        fetching.file(file, &place.path(file), before).await?;
        before += file.bytes;
    }
    let Fetching { export, progress, .. } = fetching;
    drop(progress);
    let images: u64 = export.files.iter().map(|file| file.images).sum();
    let files: Vec<_> = export
        .files
        .iter()
        .map(|file| json!({"out": place.path(file), "bytes": file.bytes, "images": file.images, "sha256": file.sha256}))
        .collect();
    let shown = json!({
        "commit": export.commit, "export": export.export, "format": export.format, "images": images, "bytes": total,
        "out": out, "files": files,
    });
    context.out.show(&shown, |_| {
        let commit = short_text(&export.commit);
        format!("{images} images of {commit} in {} ({})", out.display(), megabytes(total))
    })
}

/// Asks for an export, and waits until it is complete.
async fn made(context: &Context, client: &Client, task: TaskId, wanted: &CreateExport) -> Outcome<ExportView> {
    let mut export = client.ask_for_export(task, wanted).await?;
    let progress = Progress::new(context.out, export.rows);
    let mut pause = FIRST_LOOK;
    loop {
        match export.state {
            ExportState::Complete => return Ok(export),
            ExportState::Failed => {
                let reason = export.reason.as_deref().unwrap_or("the service gives no reason");
                return Err(Failure::new(Exit::Failed, format!("the export has failed: {reason}")));
            }
            ExportState::Expired => {
                let message = "the files of the export were removed meanwhile; run the command again";
                return Err(Failure::new(Exit::TryAgain, message));
            }
            ExportState::Waiting | ExportState::Running => {}
        }
        progress
            .set(export.rows_done, || format!("images written, {} of {} pieces", export.pieces_done, export.pieces));
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_LOOK);
        export = client.export(task, export.export).await?;
    }
}

/// Where the files go.
enum Place {
    File(PathBuf),
    Folder(PathBuf),
}

impl Place {
    fn of(out: &Path, export: &ExportView) -> Outcome<Self> {
        if out.is_dir() {
            return Ok(Self::Folder(out.to_owned()));
        }
        if export.files.len() == 1 {
            return Ok(Self::File(out.to_owned()));
        }
        match fs::create_dir(out) {
            Ok(()) => Ok(Self::Folder(out.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let (files, out) = (export.files.len(), out.display());
                Err(Failure::usage(format!("the export has {files} files, and {out} is no folder; name a new one")))
            }
            Err(error) => Err(Failure::io(out.display(), &error)),
        }
    }

    fn path(&self, file: &ExportFile) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            // A name is one part of a path, whatever the service says.
            Self::Folder(folder) => folder.join(file.name.replace(['/', '\\'], "_")),
        }
    }
}

/// Files on their way.
struct Fetching {
    client: Client,
    export: ExportView,
    progress: Progress,
}

/// What there is of a file, and its hash so far.
struct Draft {
    file: File,
    bytes: u64,
    sha256: Sha256,
}

impl Draft {
    /// What an earlier command has left, or nothing.
    fn open(path: &Path, whole: u64) -> io::Result<Self> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        if file.metadata()?.len() > whole {
            file.set_len(0)?;
        }
        let (mut sha256, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
        loop {
            let read = file.read(&mut block)?;
            let Some(part) = block.get(..read).filter(|part| !part.is_empty()) else {
                return Ok(Self { file, bytes, sha256 });
            };
            sha256.update(part);
            bytes += read as u64;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Fetching {
    /// Fetches a file, from where an earlier command has stopped. What is there and is not what it should be is
    /// fetched once more from its beginning.
    async fn file(&self, file: &ExportFile, to: &Path, before: u64) -> Outcome {
        let failure = |error: &io::Error| Failure::io(to.display(), error);
        let mut name = to.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", self.export.export));
        let path = to.with_file_name(name);
        for _ in 0..2 {
            let mut draft = Draft::open(&path, file.bytes).map_err(|error| failure(&error))?;
            self.rest(file, &mut draft, before, &failure).await?;
            if hex::encode(draft.sha256.finalize()) == file.sha256 {
                return fs::rename(&path, to).map_err(|error| failure(&error));
            }
            fs::remove_file(&path).map_err(|error| failure(&error))?;
        }
        let message = format!("{}: what the storage hands out is not what was exported", to.display());
        Err(Failure::new(Exit::Failed, message))
    }

    /// Fetches what is missing, as often as it takes.
    async fn rest(
        &self,
        file: &ExportFile,
        draft: &mut Draft,
        before: u64,
        failure: &impl Fn(&io::Error) -> Failure,
    ) -> Outcome {
        let mut url = file.url.clone();
        let mut tries = 0;
        while draft.bytes < file.bytes {
            let begun = draft.bytes;
            let Some(address) = url.take() else {
                url = Some(self.address(file).await?);
                continue;
            };
            let lost = match self.stretch(&address, file, draft, before, failure).await? {
                None => return Ok(()),
                Some(lost) => lost,
            };
            tries = if draft.bytes > begun { 0 } else { tries + 1 };
            if tries >= TRIES {
                return Err(Failure::new(Exit::TryAgain, format!("{}: {lost}", file.name)));
            }
            if matches!(lost, DownloadError::Refused(_)) {
                return Err(Failure::new(Exit::Failed, format!("{}: {lost}", file.name)));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Reads until the end, or until the connection is lost.
    async fn stretch(
        &self,
        address: &str,
        file: &ExportFile,
        draft: &mut Draft,
        before: u64,
        failure: &impl Fn(&io::Error) -> Failure,
    ) -> Outcome<Option<DownloadError>> {
        let mut download = match self.client.download(address, draft.bytes).await {
            Ok(download) => download,
            Err(error) => return Ok(Some(error)),
        };
        loop {
            match download.next().await {
                Ok(Some(bytes)) if draft.bytes + bytes.len() as u64 > file.bytes => {
                    // More than there should be. The hash of what there is says the rest.
                    draft.bytes = file.bytes;
                    return Ok(None);
                }
                Ok(Some(bytes)) => draft.write(&bytes).map_err(|error| failure(&error))?,
                Ok(None) if draft.bytes == file.bytes => return Ok(None),
                Ok(None) => return Ok(Some(DownloadError::Transport("the connection was closed".to_owned()))),
                Err(error) => return Ok(Some(error)),
            }
            self.progress.set(before + draft.bytes, || format!("bytes of {}", file.name));
        }
    }

    /// A new address of a file.
    async fn address(&self, file: &ExportFile) -> Outcome<String> {
        let export = self.client.export(self.export.task, self.export.export).await?;
        let found = export.files.into_iter().find(|other| other.name == file.name && other.sha256 == file.sha256);
        found.and_then(|file| file.url).ok_or_else(|| {
            Failure::new(Exit::TryAgain, format!("{} is not there any more; run the command again", file.name))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use lambel_client::TokenSource;
    use lambel_core::{
        Actor, ImageId, Timestamp,
        api::exports::{ExportFormat, ExportId, ExportOptions},
    };
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::output::Output;

    /// What a storage does with one request after the other: it cuts what it says at so many bytes.
    async fn storage(content: Vec<u8>, cuts: Vec<usize>) -> (String, Arc<Mutex<Vec<usize>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let from_where = asked.clone();
        tokio::spawn(async move {
            for cut in cuts {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 8_192];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
                let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
                let from: usize = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
                from_where.lock().unwrap().push(from);
                let status = if from > 0 { 206 } else { 200 };
                let rest = &content[from..];
                let head =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", rest.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&rest[..cut.min(rest.len())]).await.unwrap();
            }
        });
        (address, asked)
    }

    fn file(content: &[u8], address: &str) -> ExportFile {
        ExportFile {
            name: "rows.csv".to_owned(),
            bytes: content.len() as u64,
            images: 1,
            sha256: ImageId::of(content).to_string(),
            url: Some(format!("{address}/rows.csv")),
        }
    }

    fn fetching(address: &str, files: Vec<ExportFile>) -> Fetching {
        let export = ExportView {
            export: ExportId::from_bytes([7; 16]),
            task: TaskId::random(),
            commit: String::new(),
            format: ExportFormat::Csv,
            options: ExportOptions::default(),
            state: ExportState::Complete,
            rows: 1,
            rows_done: 1,
            pieces: 1,
            pieces_done: 1,
            requested_at: Timestamp::default(),
            requested_by: Actor::lambel(),
            ended_at: None,
            expires_at: None,
            reason: None,
            files,
        };
        let client = Client::new(address, TokenSource::none()).unwrap();
        Fetching { client, export, progress: Progress::new(Output { json: true, quiet: true }, 1) }
    }

    fn content() -> Vec<u8> {
        (0..50_000_u32).flat_map(u32::to_le_bytes).collect()
    }

    fn left(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    #[tokio::test]
    async fn what_an_earlier_command_has_left_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let (content, to) = (content(), folder.path().join("cats.csv"));
        let (address, asked) = storage(content.clone(), vec![usize::MAX]).await;
        let file = file(&content, &address);
        let part = folder.path().join(format!("cats.csv.{}.part", ExportId::from_bytes([7; 16])));
        fs::write(&part, &content[..70_000]).unwrap();
        fetching(&address, vec![file.clone()]).file(&file, &to, 0).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [70_000]);
        assert!(fs::read(&to).unwrap() == content);
        assert_eq!(left(folder.path()), ["cats.csv"]);
    }

    #[tokio::test]
    async fn what_is_left_and_wrong_is_fetched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (content, to) = (content(), folder.path().join("cats.csv"));
        let (address, asked) = storage(content.clone(), vec![usize::MAX; 2]).await;
        let file = file(&content, &address);
        let part = folder.path().join(format!("cats.csv.{}.part", ExportId::from_bytes([7; 16])));
        fs::write(&part, vec![0; 1_000]).unwrap();
        fetching(&address, vec![file.clone()]).file(&file, &to, 0).await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [1_000, 0]);
        assert!(fs::read(&to).unwrap() == content);
    }

    #[tokio::test]
    async fn a_file_that_is_not_what_was_exported_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (content, to) = (content(), folder.path().join("cats.csv"));
        let mut other = content.clone();
        other[7] ^= 1;
        let (address, _) = storage(other, vec![usize::MAX; 2]).await;
        let file = file(&content, &address);
        let failure = fetching(&address, vec![file.clone()]).file(&file, &to, 0).await.unwrap_err();
        assert!(failure.message.contains("not what was exported"), "{}", failure.message);
        assert_eq!(left(folder.path()), [""; 0]);
    }

    #[test]
    fn several_files_need_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let two = fetching("http://127.0.0.1:1", vec![file(b"a", ""), file(b"b", "")]).export;
        let taken = folder.path().join("taken");
        fs::write(&taken, "x").unwrap();
        assert!(Place::of(&taken, &two).is_err());
        let new = folder.path().join("new");
        let place = Place::of(&new, &two).unwrap();
        let strange = ExportFile { name: "../x".to_owned(), ..file(b"a", "") };
        assert_eq!(place.path(&strange), new.join(".._x"));
        let one = fetching("http://127.0.0.1:1", vec![file(b"a", "")]).export;
        assert_eq!(Place::of(&taken, &one).unwrap().path(&strange), taken);
        assert_eq!(Place::of(folder.path(), &one).unwrap().path(&file(b"a", "")), folder.path().join("rows.csv"));
    }
}
