//! Is this file a picture that we can show to people, and how?
//!
//! [`inspect`] answers the first question and [`preview`] makes a clean, upright, small copy for the second.
//! Both are pure computation: bytes in, an answer out; no I/O, no async, nothing shared.
//!
//! # What a file must be
//!
//! A whole, still picture in PNG, JPEG or WebP within [`Limits`]. The format is told from the bytes alone. The
//! order of the steps keeps hostile files cheap: first the container is walked, which allocates next to nothing and
//! refuses absurd dimensions at the moment their header is read; then the memory that decoding will take is
//! computed from the header and held against the limit; only then all the data is decoded. Panics of a decoder
//! become a [`Refusal`], so that one bad file never takes its neighbours along.
//!
//! # What the decoders leave to us
//!
//! Decoders show half a picture rather than none. Here a picture must be whole:
//!
//! * A JPEG must reach its end marker, and is decoded in strict mode. (In the lenient mode, which `image` uses,
//!   a JPEG cut after a few hundred bytes decodes "well", mostly grey.) Its codes are counted besides: data that
//!   stop short of the last rows are refused although a proper end marker follows, which no decoder in Rust
//!   tells. This makes the inspection of a JPEG about one and a half times as long. What cannot be told: a progressive
//!   picture that lacks whole scans is coarser than it might be, but may be meant so.
//! * A PNG must reach its `IEND`, and the checksum of every chunk is verified, also of those that decoders skip.
//! * A WebP must be as long as its container says, and its picture as large as its canvas.
//! * Only as many rows of a PNG are inflated as its header promises; a megabyte of data may hide a gigabyte.
//!
//! # What is accepted although it is odd
//!
//! Grey, palette, 16-bit, interlaced and transparent PNG; grey, CMYK, YCCK, progressive and extended JPEG, with restart
//! markers, with a scan for each colour, and with every sampling in which brightness is the finest; every orientation.
//! Bytes after the end of the picture (a zip archive, a second picture, padding) do not make a picture bad, nor do
//! bytes among its data that belong to no pixel, but they must not be served: [`preview_needed`] says yes. Only
//! previews, made anew from the pixels, carry no metadata, no GPS position and no stowaways.
//!
//! What may stay in a file that is served as it is: its colour profile, and what somebody hides in the coded data
//! themselves (in the pixels, or in less than 256 bytes behind the last row of a PNG). That takes a will; no camera
//! does it.
//!
//! The files that this is tested with, good and hostile, are in `lambel-samples`; `fuzz/` tries others at random.
//!
//! # Memory
//!
//! Beside the file itself: a PNG takes some rows (a preview of an interlaced one up to 4 bytes a pixel), a JPEG
//! 1 byte a pixel to inspect and 3 to preview (3 for both where colour is sampled less often downwards only), a
//! progressive one up to 6 more (8 for CMYK), a WebP 5, 8 or 11 bytes a pixel (lossy, lossless, lossy with alpha). So
//! 100 megapixels need at most 1.1 GB, for one picture at a time. A preview needs up to about 100 MB more for the
//! shrunk copies. What is refused takes less than a megabyte, as far as the corpus goes.

mod decode;
mod entropy;
mod format;
mod limits;
mod preview;
mod refusal;
mod structure;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

pub use format::Format;
pub use limits::{
    LOSSLESS_WEBP_SIDE, Limits, MAX_BYTES, MAX_CHUNKS, MAX_ICC, MAX_MEMORY, MAX_PIXELS, MAX_SCANS, MAX_SEGMENTS,
    MAX_SIDE, PLAIN_ICC, PREVIEW_BYTES, PREVIEW_LOSSLESS_PIXELS, PREVIEW_QUALITY, PREVIEW_SIDE,
};
pub use preview::Preview;
pub use refusal::Refusal;

use structure::Layout;

/// What there is to know about a good picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// The format, told from the bytes.
    pub format: Format,
    /// Width in pixels as shown, that is after the orientation is applied.
    pub width: u32,
    /// Height in pixels as shown, that is after the orientation is applied.
    pub height: u32,
    /// The EXIF orientation, 1 (upright) to 8.
    pub orientation: u8,
    /// Whether the file holds EXIF, XMP, IPTC, text, comments, times, chunks of unknown meaning, or bytes among its data
    /// that are not part of the picture. A colour profile does not count.
    pub has_metadata: bool,
    /// How many bytes follow after the end of the picture.
    pub trailing_bytes: u64,
}

impl Inspected {
    fn new(layout: &Layout, bytes: &[u8]) -> Self {
        let orientation = layout.orientation.to_exif();
        // From 5 on the picture lies on its side.
        let (width, height) = match orientation {
            5..=8 => (layout.height, layout.width),
            _ => (layout.width, layout.height),
        };
        Self {
            format: layout.format,
            width,
            height,
            orientation,
            has_metadata: layout.has_metadata,
            trailing_bytes: (bytes.len() - layout.end) as u64,
        }
    }
}

/// Looks at a file, all of it, and says what it is or why it is refused.
///
/// # Errors
/// A [`Refusal`]; it depends on the bytes and the limits alone, so trying again never helps.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Inspected, Refusal> {
    guarded(bytes, || {
        let layout = Layout::read(bytes, limits)?;
        layout.check_memory(layout.memory_to_check, limits)?;
        let mut inspected = Inspected::new(&layout, bytes);
        inspected.has_metadata |= decode::check(bytes, &layout)?;
        Ok(inspected)
    })
}

/// Whether operators must see a [`preview`] instead of the file itself: it has to be turned, holds what must
/// not reach them (metadata, stowaways), or is larger than a screen needs.
///
/// `bytes_len` is the size of the file in bytes.
pub fn preview_needed(inspected: &Inspected, bytes_len: u64) -> bool {
    inspected.orientation != 1
        || inspected.has_metadata
        || inspected.trailing_bytes > 0
        || inspected.width.max(inspected.height) > PREVIEW_SIDE
        || bytes_len > PREVIEW_BYTES
}

/// Makes a picture to show: upright, at most [`PREVIEW_SIDE`] pixels a side, 8 bits a channel, in sRGB if the
/// file has a colour profile for RGB, without any metadata.
///
/// # Errors
/// The same [`Refusal`]s as [`inspect`], and [`Refusal::TooMuchMemory`] a little earlier, since colour needs more.
pub fn preview(bytes: &[u8], limits: &Limits) -> Result<Preview, Refusal> {
    guarded(bytes, || {
        let layout = Layout::read(bytes, limits)?;
        layout.check_memory(layout.memory_to_show, limits)?;
        Ok(preview::make(bytes, &layout)?.0)
    })
}

/// [`inspect`], and [`preview`] if it is [needed](preview_needed), without decoding the picture twice.
///
/// # Errors
/// As [`inspect`] and [`preview`].
pub fn inspect_and_preview(bytes: &[u8], limits: &Limits) -> Result<(Inspected, Option<Preview>), Refusal> {
    guarded(bytes, || {
        let layout = Layout::read(bytes, limits)?;
        let mut inspected = Inspected::new(&layout, bytes);
        if !preview_needed(&inspected, bytes.len() as u64) {
            layout.check_memory(layout.memory_to_check, limits)?;
            inspected.has_metadata |= decode::check(bytes, &layout)?;
            // What was found among the data may have changed it.
            if !preview_needed(&inspected, bytes.len() as u64) {
                return Ok((inspected, None));
            }
        }
        layout.check_memory(layout.memory_to_show, limits)?;
        let (preview, surplus) = preview::make(bytes, &layout)?;
        inspected.has_metadata |= surplus;
        Ok((inspected, Some(preview)))
    })
}

/// Turns a panic of a decoder into a refusal. Nothing outlives the call, so nothing can be left half done.
fn guarded<T>(bytes: &[u8], work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let format = Format::sniff(bytes)?;
        Err(Refusal::corrupt(format, "its data confuse the decoder"))
    })
}
