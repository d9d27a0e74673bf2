//! The files that were uploaded, in a folder, by their names.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::ImageId;
use lambel_dataset::{Row, StoreError, export::ImageSource};

use crate::exit::{Failure, Outcome};

/// A folder with the original files.
pub(super) struct Originals {
    folder: PathBuf,
}

impl Originals {
    pub(super) fn open(folder: &Path) -> Outcome<Self> {
        if !folder.is_dir() {
            return Err(Failure::usage(format!("{} is not a folder", folder.display())));
        }
        Ok(Self { folder: folder.to_owned() })
    }
}

#[async_trait]
impl ImageSource for Originals {
    /// The first of its names under which its bytes still are. A file may have been replaced under one of them.
    async fn fetch(&self, row: &Row) -> Result<Option<Bytes>, StoreError> {
        for name in &row.names {
            // A name is a relative path without `..`: it leads nowhere else.
            let path = self.folder.join(name.as_str());
            match fs::read(&path) {
                Ok(bytes) if ImageId::of(&bytes) == row.image => return Ok(Some(bytes.into())),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {}
                    _ => return Err(StoreError::Failed(format!("{}: {error}", path.display()))),
                },
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use lambel_core::FileName;

    use super::*;

    #[tokio::test]
    async fn a_file_is_found_by_any_of_its_names() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/replaced.png"), b"other").unwrap();
        fs::write(folder.path().join("b.png"), b"x").unwrap();
        let originals = Originals::open(folder.path()).unwrap();
        let mut row = Row::new(ImageId::of(b"x"));
        for names in [&["a/replaced.png", "gone.png", "b.png/no", "a", "b.png"][..], &["b.png"]] {
            row.names = names.iter().map(|name| FileName::parse(name).unwrap()).collect();
            assert_eq!(originals.fetch(&row).await.unwrap(), Some(Bytes::from_static(b"x")), "{names:?}");
        }
        row.names.pop();
        assert_eq!(originals.fetch(&row).await.unwrap(), None);
        assert!(Originals::open(&folder.path().join("b.png")).is_err());
    }
}
