//! Files: the names that a client gave to images.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ImageId, Timestamp, limits};

/// The name of a file within its task: a relative path with `/` between its parts, such as `cats/0001.jpg`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[schema(value_type = String, min_length = 1, max_length = 900, example = "cats/0001.jpg")]
pub struct FileName(String);

impl FileName {
    /// Reads a name. It must be fit to become a path again when results are written out as files: relative,
    /// without `.` and `..`, without backslashes and control characters.
    pub fn parse(text: &str) -> Result<Self, FileNameError> {
        if text.is_empty() {
            return Err(FileNameError::Empty);
        }
        if text.len() > limits::FILE_NAME_BYTES {
            return Err(FileNameError::TooLong(text.len()));
        }
        if text.contains('\\') || text.chars().any(char::is_control) {
            return Err(FileNameError::Characters);
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(FileNameError::Path);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FileName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What can be wrong with the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileNameError {
    /// No name.
    #[error("a file has no name")]
    Empty,
    /// Over the limit.
    #[error("a file name has {max} bytes at most, not {0}", max = limits::FILE_NAME_BYTES)]
    TooLong(usize),
    /// Characters that no path should have.
    #[error("a file name has no backslashes and no control characters")]
    Characters,
    /// Not a plain relative path.
    #[error("a file name is a relative path without empty parts, `.` or `..`")]
    Path,
}

/// A file that was announced: the row that granting its upload has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnnouncedFile {
    /// Its name.
    pub name: FileName,
    /// The image it says it is.
    pub image: ImageId,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its media type, as the client says.
    pub media_type: String,
    /// When it was first announced.
    pub announced_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_relative_paths() {
        for good in ["a.png", "cats/1.png", "ü/…", ".hidden", "a b"] {
            assert!(FileName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "/a", "a/", "a//b", "../a", "a/./b", "a\\b", "a\nb"] {
            assert!(FileName::parse(bad).is_err(), "{bad}");
        }
        assert!(FileName::parse(&"x".repeat(900)).is_ok());
        assert_eq!(FileName::parse(&"x".repeat(901)), Err(FileNameError::TooLong(901)));
    }
}
