//! Which files of a folder are pictures to upload.

use std::path::{Component, Path, PathBuf};

use lambel_core::{FileName, limits};
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use crate::exit::{Failure, Outcome};

/// A file to upload.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Its path from the folder, with `/`.
    pub(crate) name: FileName,
    pub(crate) path: PathBuf,
    /// Its length when it was found.
    pub(crate) bytes: u64,
    pub(crate) media_type: &'static str,
}

/// A file that is not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) code: String,
    pub(crate) detail: String,
}

impl Refused {
    fn new(name: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { name: name.into(), code: code.to_owned(), detail: detail.into() }
    }
}

/// What is in a folder, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) files: Vec<Found>,
    pub(crate) refused: Vec<Refused>,
}

/// Looks through a folder and the folders in it.
pub(crate) fn scan(dir: &Path) -> Outcome<Scan> {
    if !dir.is_dir() {
        return Err(Failure::usage(format!("{} is not a folder", dir.display())));
    }
    let mut scan = Scan::default();
    let walk = WalkDir::new(dir).sort_by_file_name().into_iter().filter_entry(|entry| !is_hidden(entry));
    for entry in walk {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(dir);
                let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                scan.refused.push(Refused::new(shown(dir, path), "unreadable", reason));
                continue;
            }
        };
        if entry.file_type().is_dir() {
            continue;
        }
        match examine(dir, &entry) {
            Ok(found) => scan.files.push(found),
            Err(refused) => scan.refused.push(refused),
        }
    }
    Ok(scan)
}

/// Hidden files, and all in hidden folders, are nobody's pictures. The folder itself may be hidden.
fn is_hidden(entry: &DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn examine(dir: &Path, entry: &DirEntry) -> Result<Found, Refused> {
    let path = entry.path();
    let shown = shown(dir, path);
    if entry.file_type().is_symlink() {
        return Err(Refused::new(shown, "not-a-file", "a symbolic link is not followed; copy the file itself"));
    }
    if !entry.file_type().is_file() {
        return Err(Refused::new(shown, "not-a-file", "this is not a regular file"));
    }
    let media_type = media_type(path).ok_or_else(|| {
        let detail = "the name does not end in .jpg, .jpeg, .png or .webp; other formats have to be converted";
        Refused::new(shown.clone(), "unsupported-type", detail)
    })?;
    let name = relative_name(dir, path)
        .ok_or_else(|| Refused::new(shown.clone(), "bad-name", "the name is not UTF-8; rename the file"))?;
    let name = FileName::parse(&name).map_err(|error| Refused::new(shown.clone(), "bad-name", error.to_string()))?;
    let bytes = entry.metadata().map_err(|error| Refused::new(shown.clone(), "unreadable", error.to_string()))?.len();
    if bytes == 0 {
        return Err(Refused::new(shown, "empty", "the file is empty"));
    }
    if bytes > limits::IMAGE_BYTES {
        let detail = format!("the file has {bytes} bytes; the limit is {}", limits::IMAGE_BYTES);
        return Err(Refused::new(shown, "too-large", detail));
    }
    Ok(Found { name, path: path.to_owned(), bytes, media_type })
}

/// The media type that a name speaks of. What counts in the end is what the bytes are.
fn media_type(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "jpg" | "jpeg" => Some("image/jpeg"),
        "png" => Some("image/png"),
        "webp" => Some("image/webp"),
        _ => None,
    }
}

fn relative_name(dir: &Path, path: &Path) -> Option<String> {
    let parts = path.strip_prefix(dir).ok()?.components().map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    parts.collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
}

/// The name for a message, whatever it is made of.
fn shown(dir: &Path, path: &Path) -> String {
    path.strip_prefix(dir).unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn media_types_go_by_the_extension() {
        let cases = [
            ("a.jpg", Some("image/jpeg")),
            ("a.JPEG", Some("image/jpeg")),
            ("b/a.b.Png", Some("image/png")),
            ("a.webp", Some("image/webp")),
            ("a.gif", None),
            ("jpg", None),
            ("a.", None),
        ];
        for (path, expected) in cases {
            assert_eq!(media_type(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn folders_are_walked_in_order_and_oddities_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("b.png", b"1");
        write("a/z.JPG", b"2");
        write("a/notes.txt", b"3");
        write("empty.webp", b"");
        write(".hidden.png", b"4");
        write(".git/c.png", b"5");
        write("back\\slash.png", b"6");
        let huge = fs::File::create(dir.join("huge.png")).unwrap();
        huge.set_len(limits::IMAGE_BYTES + 1).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.join("b.png"), dir.join("link.png")).unwrap();

        let found = scan(dir).unwrap();
        let names: Vec<_> = found.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a/z.JPG", "b.png"]);
        let refused: Vec<_> = found.refused.iter().map(|file| (&*file.name, &*file.code)).collect();
        let mut expected = vec![
            ("a/notes.txt", "unsupported-type"),
            ("back\\slash.png", "bad-name"),
            ("empty.webp", "empty"),
            ("huge.png", "too-large"),
        ];
        if cfg!(unix) {
            expected.push(("link.png", "not-a-file"));
        }
        assert_eq!(refused, expected);
    }

    #[test]
    fn a_folder_is_wanted() {
        assert_eq!(scan(Path::new("no/such/folder")).unwrap_err().exit, Exit::Usage);
    }
}
