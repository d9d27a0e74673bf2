//! Notes of versions of a data set: what somebody, or a pipeline, has to say of a version. A version never changes, so
//! its notes lie beside it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::limits;

/// A text that is not the key of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key of a note has 1 to {} characters out of A-Z a-z 0-9 . _ -, the first a letter or a digit",
    limits::NOTE_KEY_CHARS
)]
pub struct ParseNoteKeyError;

/// What a note of a version is found by. Who writes it chooses it, best by the program that has found it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "dataset-report")]
pub struct NoteKey(String);

impl NoteKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NoteKey {
    type Err = ParseNoteKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !first || text.len() > limits::NOTE_KEY_CHARS || !text.bytes().all(good) {
            return Err(ParseNoteKeyError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for NoteKey {
    type Error = ParseNoteKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<NoteKey> for String {
    fn from(key: NoteKey) -> Self {
        key.0
    }
}

/// How long a note is: the bytes of its JSON, without space between its parts. A text is JSON in quotes.
pub fn bytes(value: &Value) -> usize {
    // `Value` writes itself as JSON, which cannot fail.
    value.to_string().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain_words() {
        let long = "k".repeat(limits::NOTE_KEY_CHARS);
        for good in ["a", "dataset-report", "F1.macro_avg", "0", &long] {
            assert_eq!(good.parse::<NoteKey>().unwrap().as_str(), good);
        }
        let too_long = format!("{long}k");
        for bad in ["", "-a", ".a", "..", "a/b", "a b", "a#b", "ä", "a\n", &too_long] {
            assert_eq!(bad.parse::<NoteKey>(), Err(ParseNoteKeyError), "{bad:?}");
        }
    }

    #[test]
    fn a_note_is_as_long_as_its_json() {
        assert_eq!(bytes(&serde_json::json!("ab")), 4);
        assert_eq!(bytes(&serde_json::json!({"a": [1, null]})), 14);
    }
}
