//! Uploads: which files come, where they go, and that they are all.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Timestamp, subtask::SubtaskState};

/// Files that the client is about to upload.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnounceFiles {
    /// The files: 1 to 1,000.
    #[schema(min_items = 1, max_items = 1000)]
    pub files: Vec<FileAnnouncement>,
}

/// A file that the client is about to upload.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileAnnouncement {
    /// Its name: a relative path of at most 900 bytes, unique in the task.
    #[schema(example = "cats/0001.jpg")]
    pub name: String,
    /// Its length in bytes: at most 40,000,000.
    pub bytes: u64,
    /// Its media type: `image/jpeg`, `image/png` or `image/webp`. What counts in the end is what the bytes are.
    #[schema(example = "image/jpeg")]
    pub media_type: String,
    /// The SHA-256 of its bytes, 64 lower-case hexadecimal digits.
    #[schema(example = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    pub sha256: String,
}

/// What to do with each file that was announced, in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// One for each file.
    pub files: Vec<FileGrant>,
}

/// What to do with one file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileGrant {
    /// The name of the request.
    pub name: String,
    /// What to do.
    #[serde(flatten)]
    pub grant: Grant,
}

/// What to do with a file.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Grant {
    /// Upload it: `PUT` exactly these bytes to `url`, with these headers.
    Upload {
        /// Where to.
        url: String,
        /// The headers that the request must have; the signature covers them.
        headers: Vec<Header>,
        /// Until when the upload can be begun. After that, announce the file again.
        expires_at: Timestamp,
    },
    /// These bytes are in the task already. There is nothing to do.
    AlreadyPresent {
        /// Where the image stands.
        state: SubtaskState,
    },
    /// This file is not taken.
    Refused {
        /// A name for the reason that programs can rely on.
        code: String,
        /// The reason, and what to do about it.
        detail: String,
    },
}

/// A header of an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Header {
    /// Its name, in lower case.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The end of uploading.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealTask {
    /// How many distinct images the client has uploaded, refused ones among them.
    #[schema(minimum = 1, maximum = 100_000_000)]
    pub images: u64,
}
