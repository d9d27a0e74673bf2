//! Paths for the files of images: safe on every file system, and the same for an image in every version.
//!
//! A file is called by the last part of its first name, what is not safe replaced by `_`, then `-` and the first
//! twelve digits of its id, and the ending of its type: `0001-3fa9c1d2e4b5.jpg`. With its id in it, the path of an
//! image depends on no other image, so no list of taken names is needed. Of two images that share twelve digits,
//! which stand side by side in the order of the ring, the second has its whole id.

use std::collections::HashSet;

use lambel_core::{ImageId, Label};

use crate::row::Row;

/// How images are laid out in folders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A folder for each label; only images that are `complete`.
    Classes,
    /// Folders by the first two digits of the id, beside `metadata.jsonl`.
    Metadata,
}

/// Characters of a name that are kept at most, so that with what is added it stays below the 255 bytes that file
/// systems take.
const STEM_BYTES: usize = 120;
const DIGITS: usize = 12;

/// The ending for the media type of an image, with its dot.
pub(super) fn ending(row: &Row) -> Option<&'static str> {
    match row.media_type.as_deref()? {
        "image/jpeg" => Some(".jpg"),
        "image/png" => Some(".png"),
        "image/webp" => Some(".webp"),
        _ => None,
    }
}

/// A text as one part of a path that Linux, macOS and Windows take.
fn safe(text: &str, bytes: usize) -> String {
    let bad = |c: char| c.is_control() || "<>:\"/\\|?*".contains(c);
    let mut name = String::new();
    for c in text.chars().map(|c| if bad(c) { '_' } else { c }) {
        if name.len() + c.len_utf8() > bytes {
            break;
        }
        name.push(c);
    }
    // Windows drops dots and spaces at the end; a dot at the beginning hides a file, and `..` is another folder.
    let kept = name.trim_end_matches(['.', ' ']).len();
    name.truncate(kept);
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    let upper = name.to_ascii_uppercase();
    let device = upper.split('.').next().unwrap_or_default().trim_end();
    let numbered = |prefix: &str| {
        device.strip_prefix(prefix).is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if matches!(device, "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT") {
        name.insert(0, '_');
    }
    name
}

/// Folders for labels: safe, and different even where case does not count.
#[derive(Clone, Debug)]
pub(super) struct ClassNames(Vec<(Label, String)>);

impl ClassNames {
    pub(super) fn new(labels: &[Label]) -> Self {
        let mut taken = HashSet::new();
        let mut names = Vec::with_capacity(labels.len());
        for label in labels {
            let plain = safe(label.as_str(), 200);
            let mut name = plain.clone();
            let mut number = 2;
            while !taken.insert(name.to_lowercase()) {
                name = format!("{plain}-{number}");
                number += 1;
            }
            names.push((label.clone(), name));
        }
        Self(names)
    }

    pub(super) fn of(&self, label: &Label) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == label).map(|(_, name)| name.as_str())
    }
}

/// Gives out names for the files of images, in the order of the ring.
#[derive(Clone, Debug, Default)]
pub(super) struct FileNames {
    last: Option<ImageId>,
}

impl FileNames {
    pub(super) fn of(&mut self, row: &Row) -> String {
        let digits = row.image.to_string();
        let short = digits.get(..DIGITS).unwrap_or(&digits);
        let shares = |last: ImageId| last != row.image && last.to_string().starts_with(short);
        let shown = if self.last.is_some_and(shares) { digits.as_str() } else { short };
        self.last = Some(row.image);
        let stem = row.name().map(|name| {
            let file = name.as_str().rsplit('/').next().unwrap_or_default();
            file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem }).to_owned()
        });
        let ending = ending(row).unwrap_or_default();
        match stem {
            Some(stem) => format!("{}-{shown}{ending}", safe(&stem, STEM_BYTES)),
            None => format!("{shown}{ending}"),
        }
    }
}

/// The folder of an image beside `metadata.jsonl`.
pub(super) fn metadata_folder(image: &ImageId) -> String {
    let digits = image.to_string();
    digits.get(..2).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use lambel_core::FileName;

    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        for (text, name) in [
            ("cat", "cat"),
            ("a/b\\c:d", "a_b_c_d"),
            ("..", "_"),
            (".hidden", "_.hidden"),
            ("ends. ", "ends"),
            ("con", "_con"),
            ("Com1.x", "_Com1.x"),
            ("comma", "comma"),
            ("ü…", "ü…"),
        ] {
            assert_eq!(safe(text, 100), name, "{text}");
        }
        assert_eq!(safe(&"ü".repeat(100), 9), "üüüü");
    }

    #[test]
    fn folders_of_labels_differ() {
        let labels: Vec<Label> = ["a/b", "a:b", "A_B", "a_b-2"].map(|text| Label::parse(text).unwrap()).into();
        let names = ClassNames::new(&labels);
        let found: Vec<_> = labels.iter().map(|label| names.of(label).unwrap()).collect();
        assert_eq!(found, ["a_b", "a_b-2", "A_B-3", "a_b-2-2"]);
    }

    #[test]
    fn files_differ_even_where_their_ids_begin_alike() {
        let row = |last: u8| {
            let mut digest = [7; 32];
            digest[31] = last;
            let mut row = Row::new(ImageId::from_digest(digest));
            row.names.push(FileName::parse("x/y.jpeg").unwrap());
            row.media_type = Some("image/jpeg".to_owned());
            row
        };
        let mut names = FileNames::default();
        let first = names.of(&row(1));
        assert_eq!(first, "y-070707070707.jpg");
        assert_eq!(names.of(&row(1)), first, "the same image again");
        let (second, third) = (names.of(&row(2)), names.of(&row(3)));
        assert!(second != first && third != second && third.len() > 64);
    }
}
