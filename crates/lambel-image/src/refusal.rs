//! Why a file is not taken.

use serde::{Deserialize, Serialize};

use crate::Format;

/// Why a file is refused: a stable code for machines and a text for the client, with the numbers in it.
///
/// All of these are about the file alone; trying the same bytes again can never help. Serialised as an object
/// whose field `code` is [`Refusal::code`], beside the numbers:
///
/// ```
/// let refusal = lambel_image::Refusal::Empty;
/// assert_eq!(serde_json::to_string(&refusal).unwrap(), r#"{"code":"empty"}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The file is larger than the limit.
    #[error("the file has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// Size of the file in bytes.
        bytes: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Nothing that we know as a picture.
    #[error("the file is not an image{}; PNG, JPEG and WebP are taken", looks_like(.found))]
    NotAnImage {
        /// What it seems to be instead, with an article, such as `a PDF document`, if it was recognised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    /// A picture, but of a format, or of a variant of a format, that is not taken.
    #[error("the file is {found}, which is not supported; send it as PNG, JPEG or WebP")]
    UnsupportedFormat {
        /// What was recognised, with an article, such as `a GIF image`.
        found: String,
    },
    /// More pixels than the limit.
    #[error("the picture is {width} × {height} pixels; the limit is {} megapixels", megapixels(*.limit))]
    TooManyPixels {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The limit in pixels (width × height).
        limit: u64,
    },
    /// One side is longer than the limit.
    #[error("the picture is {width} × {height} pixels; the limit is {limit} pixels a side")]
    SideTooLong {
        /// Width in pixels, as the header says.
        width: u32,
        /// Height in pixels, as the header says.
        height: u32,
        /// The limit in pixels.
        limit: u32,
    },
    /// Decoding would need more memory than the limit, because of the way in which the picture is stored.
    #[error(
        "decoding this {format} picture would take {} MB of memory; the limit is {} MB",
        needed.div_ceil(1_000_000), limit / 1_000_000
    )]
    TooMuchMemory {
        /// The format of the file.
        format: Format,
        /// Memory that would be needed, in bytes.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file is cut into absurdly many parts.
    #[error("the file has more than {limit} {parts}")]
    TooManyParts {
        /// What there is too much of: `chunks` or `scans`.
        parts: String,
        /// The limit, a number of such parts.
        limit: u64,
    },
    /// The file ends before the picture does.
    #[error("the file is cut off: it ends at byte {bytes}, before the end of the {format} picture")]
    Truncated {
        /// The format of the file.
        format: Format,
        /// Size of the file in bytes.
        bytes: u64,
    },
    /// The file says that it is a picture but cannot be decoded.
    #[error("the {format} picture is damaged: {detail}")]
    Corrupt {
        /// The format of the file.
        format: Format,
        /// What is wrong, for a person. Not stable.
        detail: String,
    },
    /// An animation; a still picture is wanted.
    #[error("the {format} file is an animation of {frames} frames; a still picture is wanted")]
    Animated {
        /// The format of the file.
        format: Format,
        /// How many frames the file says or shows that it has.
        frames: u64,
    },
}

impl Refusal {
    /// The stable machine code of this kind of refusal, such as `too-many-pixels`. It is the same word as in JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too-large",
            Self::NotAnImage { .. } => "not-an-image",
            Self::UnsupportedFormat { .. } => "unsupported-format",
            Self::TooManyPixels { .. } => "too-many-pixels",
            Self::SideTooLong { .. } => "side-too-long",
            Self::TooMuchMemory { .. } => "too-much-memory",
            Self::TooManyParts { .. } => "too-many-parts",
            Self::Truncated { .. } => "truncated",
            Self::Corrupt { .. } => "corrupt",
            Self::Animated { .. } => "animated",
        }
    }

    /// A [`Refusal::Corrupt`] with a detail that is kept short, since it may come from a decoder that quotes the file.
    pub(crate) fn corrupt(format: Format, detail: impl std::fmt::Display) -> Self {
        let detail = detail.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
        Self::Corrupt { format, detail }
    }
}

fn looks_like(found: &Option<String>) -> String {
    match found {
        Some(found) => format!(" but looks like {found}"),
        None => String::new(),
    }
}

/// 100000000 → `100`, 2500000 → `2.5`.
fn megapixels(pixels: u64) -> String {
    format!("{}", pixels as f64 / 1e6)
}
