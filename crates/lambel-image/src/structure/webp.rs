//! The chunks of a WebP file.

use image::metadata::Orientation;

use super::{Layout, Walk, check_size, orientation};
use crate::limits::{LOSSLESS_WEBP_SIDE, MAX_CHUNKS};
use crate::{Format, Limits, Refusal};

/// Memory for the decoder's tables.
const OVERHEAD: u64 = 4 << 20;

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Layout, Refusal> {
    let mut walk = Walk::new(bytes, 4, Format::WebP);
    let riff = u32::from_le_bytes(walk.array()?) as usize;
    // The container says how long it is; all reads stay within, and what follows it is not part of the picture.
    let end = riff.saturating_add(8);
    // Sizes are checked as soon as they are read, so that a promise of absurd dimensions is refused as such.
    // Hence the walk goes on in a file that is too short, and stops where it must.
    let inside = bytes.get(..end).unwrap_or(bytes);
    let mut walk = Walk::new(inside, 12, Format::WebP);
    let mut canvas = None;
    let mut picture = None;
    let mut frames = 0;
    let mut animated = false;
    let mut alpha = false;
    let mut profile = false;
    let mut has_metadata = false;
    let mut turned = None;
    let mut chunks = 0;
    while walk.at < walk.bytes.len() {
        chunks += 1;
        if chunks > MAX_CHUNKS {
            return Err(Refusal::TooManyParts { parts: "chunks".to_owned(), limit: MAX_CHUNKS });
        }
        let kind: [u8; 4] = walk.array()?;
        let length = u32::from_le_bytes(walk.array()?) as usize;
        let starts_at = walk.at;
        match &kind {
            b"VP8X" if chunks == 1 => {
                let [flags, _, _, _, w0, w1, w2, h0, h1, h2] = walk.array()?;
                let width = u32::from_le_bytes([w0, w1, w2, 0]) + 1;
                let height = u32::from_le_bytes([h0, h1, h2, 0]) + 1;
                check_size(Format::WebP, width, height, limits)?;
                animated |= flags & 0x02 != 0;
                canvas = Some((width, height));
            }
            b"VP8 " if picture.is_none() => {
                let [t0, t1, t2, a, b, c, w0, w1, h0, h1] = walk.array()?;
                if [a, b, c] != [0x9d, 0x01, 0x2a] {
                    return Err(walk.corrupt("its header is not one of VP8"));
                }
                // The upper two bits ask for a scaling that nobody does.
                let width = u32::from(u16::from_le_bytes([w0, w1]) & 0x3fff);
                let height = u32::from(u16::from_le_bytes([h0, h1]) & 0x3fff);
                check_size(Format::WebP, width, height, limits)?;
                // The decoder would take memory for the whole picture before it notices.
                let first_part = u32::from_le_bytes([t0, t1, t2, 0]) >> 5;
                if (first_part as usize).saturating_add(10) > length {
                    return Err(walk.corrupt("its data are shorter than they say"));
                }
                picture = Some((width, height, true));
            }
            b"VP8L" if picture.is_none() => {
                let signature = walk.byte()?;
                let header = u32::from_le_bytes(walk.array()?);
                if signature != 0x2f {
                    return Err(walk.corrupt("its header is not one of VP8L"));
                }
                let width = (header & 0x3fff) + 1;
                let height = (header >> 14 & 0x3fff) + 1;
                check_size(
                    Format::WebP,
                    width,
                    height,
                    &Limits { side: limits.side.min(LOSSLESS_WEBP_SIDE), ..*limits },
                )?;
                picture = Some((width, height, false));
            }
            b"VP8X" | b"VP8 " | b"VP8L" => return Err(walk.corrupt("it holds two pictures")),
            b"ANIM" => animated = true,
            b"ANMF" => {
                animated = true;
                frames += 1;
            }
            b"ALPH" if !alpha => alpha = true,
            b"ICCP" if !profile => profile = true,
            b"EXIF" => {
                has_metadata = true;
                let data = walk.take(length)?;
                turned.get_or_insert_with(|| orientation(data));
            }
            // XMP, what comes twice, and whatever programs invent.
            _ => has_metadata = true,
        }
        let read = walk.at - starts_at;
        let Some(left) = length.checked_sub(read) else {
            return Err(walk.corrupt("a chunk is too short for what it should hold"));
        };
        // Chunks begin at even places. Some encoders leave the padding out at the very end of the file.
        let padding = usize::from(length % 2 == 1 && walk.at + left < walk.bytes.len());
        walk.take(left + padding)?;
    }
    if bytes.len() < end {
        return Err(walk.truncated());
    }
    if animated {
        return Err(Refusal::Animated { format: Format::WebP, frames });
    }
    let Some((width, height, lossy)) = picture else {
        return Err(walk.corrupt("it has no picture data"));
    };
    if canvas.is_some_and(|canvas| canvas != (width, height)) {
        return Err(walk.corrupt("the picture does not have the size of its canvas"));
    }
    let pixels = u64::from(width) * u64::from(height);
    // Planes of the lossy decoder and the pixels made of them, in bytes a pixel; alpha is a second picture.
    let memory = OVERHEAD
        + match (lossy, alpha) {
            (true, false) => pixels * 5,
            (true, true) => pixels * 11,
            (false, _) => pixels * 8,
        };
    Ok(Layout {
        format: Format::WebP,
        width,
        height,
        orientation: turned.unwrap_or(Orientation::NoTransforms),
        has_metadata,
        end,
        data_end: end,
        check_in_grey: false,
        memory_to_check: memory,
        memory_to_show: memory,
    })
}
