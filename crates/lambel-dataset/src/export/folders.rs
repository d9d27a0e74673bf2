//! Images in folders: the list of what goes where, and the images themselves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use lambel_core::Label;
use serde::Serialize;

use super::{
    Encoder, ExportError, Options, about, json_line,
    path::{ClassNames, FileNames, Layout, metadata_folder},
};
use crate::{
    Commit, CommitId, ObjectStore, Tree,
    error::Result,
    row::{Outcome, Row},
    store::StoreResult,
};

/// Lists where each image goes that is `complete`: `image`, `uri`, `object_version`, `name`, `path`.
pub(super) struct ClassFolders {
    classes: ClassNames,
    names: FileNames,
}

impl ClassFolders {
    pub(super) fn new(labels: &[Label]) -> Self {
        Self { classes: ClassNames::new(labels), names: FileNames::default() }
    }

    /// The path of an image; none if it has no label.
    fn place(&mut self, row: &Row) -> Result<Option<String>, ExportError> {
        let Some((label, _)) = row.decided_label() else { return Ok(None) };
        let Some(class) = self.classes.of(label) else {
            return Err(ExportError::UnknownLabel { image: row.image, label: label.to_string() });
        };
        Ok(Some(format!("{class}/{}", self.names.of(row))))
    }
}

#[derive(Serialize)]
struct Place<'a> {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    path: String,
}

impl Encoder for ClassFolders {
    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let Some(path) = self.place(row)? else { return Ok(()) };
        let place = Place {
            image: row.image.to_string(),
            uri: row.uri.as_deref(),
            object_version: row.object_version.as_deref(),
            name: row.name().map(|name| name.as_str()),
            path,
        };
        json_line(out, &place)
    }
}

/// Where the bytes of images come from.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// The file of an image; none if it is not there any more.
    async fn fetch(&self, row: &Row) -> StoreResult<Option<Bytes>>;
}

/// A folder that is written to: of a file system, a bucket, an archive.
#[async_trait]
pub trait FolderOutput: Send {
    /// Writes a file. The path is relative, with `/` between its parts, each of them safe.
    async fn file(&mut self, path: &str, bytes: Bytes) -> Result<(), ExportError>;
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placed {
    /// Images.
    pub images: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Images whose files are not there any more, or are not what they were.
    pub missing: Vec<lambel_core::ImageId>,
}

/// Copies the images of a commit into folders, one at a time, each checked against its id.
pub async fn copy_images(
    objects: &dyn ObjectStore,
    id: CommitId,
    layout: Layout,
    options: &Options,
    source: &dyn ImageSource,
    folder: &mut dyn FolderOutput,
) -> Result<Placed> {
    let commit = Commit::read(objects, id).await?;
    let tree = Tree::read(objects, commit.tree).await?;
    let mut classes = ClassFolders::new(&about(id, commit, options).labels);
    let mut placed = Placed::default();
    let mut chunks = tree.rows(objects);
    while let Some(rows) = chunks.try_next().await? {
        for row in rows {
            if !options.takes(&row) || matches!(row.outcome, Outcome::Rejected { .. }) {
                continue;
            }
            let row = options.renamed(row);
            let path = match layout {
                Layout::Classes => classes.place(&row)?,
                Layout::Metadata => Some(format!("{}/{}", metadata_folder(&row.image), classes.names.of(&row))),
            };
            let Some(path) = path else { continue };
            match source.fetch(&row).await?.filter(|bytes| lambel_core::ImageId::of(bytes) == row.image) {
                Some(bytes) => {
                    placed.images += 1;
                    placed.bytes += bytes.len() as u64;
                    folder.file(&path, bytes).await?;
                }
                None => placed.missing.push(row.image),
            }
        }
    }
    Ok(placed)
}

/// A folder of the file system.
#[derive(Debug)]
pub struct DirectoryOutput {
    root: PathBuf,
}

impl DirectoryOutput {
    /// Writes below this folder.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl FolderOutput for DirectoryOutput {
    async fn file(&mut self, path: &str, bytes: Bytes) -> Result<(), ExportError> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        Ok(fs::write(path, bytes)?)
    }
}
