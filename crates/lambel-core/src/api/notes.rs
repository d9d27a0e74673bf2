//! Shapes of the notes of versions of a data set.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{Actor, NoteKey, Timestamp};

/// What to say of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteFields {
    /// Any JSON, of which a text is one kind: 32,000 bytes at most, written without space between its parts.
    pub value: Value,
}

/// A note of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoteView {
    /// What it is found by.
    pub key: NoteKey,
    /// What it says.
    pub value: Value,
    /// Who wrote it last. A program that works in the account of the deployment, and not by this interface, is called
    /// `pipeline:` and its name.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// The notes of a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoteList {
    /// The version.
    pub commit: String,
    /// Its notes, sorted by key.
    pub notes: Vec<NoteView>,
}

/// A note that was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoteWritten {
    /// The version.
    pub commit: String,
    /// Its note.
    pub note: NoteView,
}
