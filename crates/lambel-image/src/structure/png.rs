//! The chunks of a PNG file.

use image::metadata::Orientation;

use super::{Layout, Walk, check_size, orientation};
use crate::limits::{MAX_CHUNKS, PLAIN_ICC};
use crate::{Format, Limits, Refusal};

/// Memory for the rows that the decoder keeps and for its own tables.
const OVERHEAD: u64 = 1 << 20;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Layout, Refusal> {
    let mut walk = Walk::new(bytes, 8, Format::Png);
    let mut layout: Option<Layout> = None;
    let mut has_data = false;
    let mut has_exif = false;
    for _ in 0..MAX_CHUNKS {
        let length = u32::from_be_bytes(walk.array()?) as usize;
        let kind: [u8; 4] = walk.array()?;
        if !kind.iter().all(u8::is_ascii_alphabetic) {
            return Err(walk.corrupt("there is something between its chunks that is not a chunk"));
        }
        let Some(found) = &mut layout else {
            if &kind != b"IHDR" || length != 13 {
                return Err(walk.corrupt("it does not begin with its header"));
            }
            let checked_from = walk.at - 4;
            let width = u32::from_be_bytes(walk.array()?);
            let height = u32::from_be_bytes(walk.array()?);
            // A promise of absurd dimensions is refused as such, whatever follows.
            check_size(Format::Png, width, height, limits)?;
            let [depth, color, _, _, interlace] = walk.array()?;
            checksum(&mut walk, checked_from)?;
            layout = Some(sizes(width, height, depth, color, interlace));
            continue;
        };
        let checked_from = walk.at - 4;
        let data = walk.take(length)?;
        checksum(&mut walk, checked_from)?;
        match &kind {
            b"IHDR" => return Err(walk.corrupt("it has two headers")),
            b"IDAT" => {
                has_data = true;
                found.data_end = walk.at - 4;
            }
            b"IEND" if !has_data => return Err(walk.corrupt("it has no picture data")),
            b"IEND" => {
                found.end = walk.at;
                return layout.ok_or_else(|| walk.truncated());
            }
            b"acTL" => {
                let frames = data.first_chunk().map_or(0, |n| u32::from_be_bytes(*n));
                return Err(Refusal::Animated { format: Format::Png, frames: frames.into() });
            }
            b"eXIf" => {
                found.has_metadata = true;
                if !has_exif {
                    has_exif = true;
                    found.orientation = orientation(data);
                }
            }
            // These say how the picture is to be painted, nothing about where and by whom it was taken, as long as
            // they are no longer than that takes.
            b"PLTE" | b"tRNS" | b"hIST" if length <= 768 => {}
            b"gAMA" if length == 4 => {}
            b"cHRM" if length == 32 => {}
            b"sRGB" if length == 1 => {}
            b"pHYs" if length == 9 => {}
            b"sBIT" | b"cICP" if length <= 4 => {}
            b"bKGD" | b"cLLI" if length <= 8 => {}
            b"mDCV" if length == 24 => {}
            b"iCCP" if length <= PLAIN_ICC => {}
            // Text, times, and whatever programs invent.
            _ => found.has_metadata = true,
        }
    }
    Err(Refusal::TooManyParts { parts: "chunks".to_owned(), limit: MAX_CHUNKS })
}

/// Every chunk ends with a CRC of its kind and data. All of them are checked, also where decoders look away.
fn checksum(walk: &mut Walk<'_>, from: usize) -> Result<(), Refusal> {
    let computed = crc32fast::hash(&walk.bytes[from..walk.at]);
    if u32::from_be_bytes(walk.array()?) != computed {
        return Err(walk.corrupt("the checksum of a chunk is wrong"));
    }
    Ok(())
}

fn sizes(width: u32, height: u32, depth: u8, color: u8, interlace: u8) -> Layout {
    let pixels = u64::from(width) * u64::from(height);
    // Rows are at most 16-bit RGBA; two of them, and the window of the inflater.
    let rows = u64::from(width) * 8 * 4 + OVERHEAD;
    // Rows arrive from top to bottom and are shrunk as they come, unless they are interlaced. A palette or
    // grey can become colour with alpha (tRNS).
    let whole = match (interlace, color, depth) {
        (0, ..) => 0,
        (_, 0 | 4, _) => pixels * 2,
        _ => pixels * 4,
    };
    Layout {
        format: Format::Png,
        width,
        height,
        orientation: Orientation::NoTransforms,
        has_metadata: false,
        end: 0,
        data_end: 0,
        check_in_grey: false,
        memory_to_check: rows,
        memory_to_show: rows + whole,
    }
}
