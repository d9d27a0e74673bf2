//! A walk through the containers, without decoding and with next to no allocation.
//!
//! The decoders are lenient by design: a browser shows half a picture rather than none. We want to know
//! more than they tell: does the file hold a whole picture, where does it end, is there anything in it that must
//! not reach an operator, and what will decoding cost? So the structure is read here first, and the numbers are
//! held against the limits at the moment they are read, before anything is allocated.

use image::metadata::Orientation;

use crate::{Format, Limits, Refusal};

mod jpeg;
mod png;
mod webp;

/// What the walk has found out.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) format: Format,
    /// As stored, before the orientation is applied. Neither is zero.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) orientation: Orientation,
    pub(crate) has_metadata: bool,
    /// Where the picture ends; what comes after is not part of it.
    pub(crate) end: usize,
    /// Where the last of its data ends. Only told for PNG.
    pub(crate) data_end: usize,
    /// Whether decoding in grey tells as much as decoding in colour. Only told for JPEG.
    pub(crate) check_in_grey: bool,
    /// Bytes of memory for looking at all the picture's data.
    pub(crate) memory_to_check: u64,
    /// Bytes of memory for decoding it in colour.
    pub(crate) memory_to_show: u64,
}

impl Layout {
    /// Reads the structure of a file.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, Refusal> {
        if bytes.len() as u64 > limits.bytes {
            return Err(Refusal::TooLarge { bytes: bytes.len() as u64, limit: limits.bytes });
        }
        match Format::sniff(bytes)? {
            Format::Png => png::read(bytes, limits),
            Format::Jpeg => jpeg::read(bytes, limits),
            Format::WebP => webp::read(bytes, limits),
        }
    }

    pub(crate) fn check_memory(&self, needed: u64, limits: &Limits) -> Result<(), Refusal> {
        if needed > limits.memory {
            return Err(Refusal::TooMuchMemory { format: self.format, needed, limit: limits.memory });
        }
        Ok(())
    }
}

/// Holds the dimensions of a header against the limits.
fn check_size(format: Format, width: u32, height: u32, limits: &Limits) -> Result<(), Refusal> {
    if width == 0 || height == 0 {
        return Err(Refusal::corrupt(format, format_args!("its header says {width} × {height} pixels")));
    }
    if u64::from(width) * u64::from(height) > limits.pixels {
        return Err(Refusal::TooManyPixels { width, height, limit: limits.pixels });
    }
    if width.max(height) > limits.side {
        return Err(Refusal::SideTooLong { width, height, limit: limits.side });
    }
    Ok(())
}

/// The orientation that an EXIF block asks for; what cannot be read asks for nothing.
fn orientation(exif: &[u8]) -> Orientation {
    // Some programs write JPEG's prefix into PNG and WebP too, where it does not belong.
    let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
}

/// Reads a file from front to back; every read past the end is a [`Refusal::Truncated`].
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    format: Format,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], at: usize, format: Format) -> Self {
        Self { bytes, at, format }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Refusal> {
        let end = self.at.checked_add(count).ok_or_else(|| self.truncated())?;
        let slice = self.bytes.get(self.at..end).ok_or_else(|| self.truncated())?;
        self.at = end;
        Ok(slice)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let truncated = self.truncated();
        self.take(N)?.try_into().map_err(|_| truncated)
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        Ok(self.array::<1>()?[0])
    }

    fn truncated(&self) -> Refusal {
        Refusal::Truncated { format: self.format, bytes: self.bytes.len() as u64 }
    }

    fn corrupt(&self, detail: impl std::fmt::Display) -> Refusal {
        Refusal::corrupt(self.format, detail)
    }
}
