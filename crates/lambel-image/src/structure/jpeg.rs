//! The markers of a JPEG file.

use image::metadata::Orientation;

use super::{Layout, Walk, check_size, orientation};
use crate::limits::{MAX_SCANS, MAX_SEGMENTS};
use crate::{Format, Limits, Refusal};

/// Memory for a row of blocks and the Huffman tables.
const OVERHEAD: u64 = 4 << 20;

/// What the frame header says.
struct Frame {
    width: u32,
    height: u32,
    progressive: bool,
    /// Horizontal and vertical sampling of each component.
    samplings: Vec<(u64, u64)>,
}

pub(super) fn read(bytes: &[u8], limits: &Limits) -> Result<Layout, Refusal> {
    let mut walk = Walk::new(bytes, 2, Format::Jpeg);
    let mut frame: Option<Frame> = None;
    let mut scans = 0;
    let mut split_components = false;
    let mut has_metadata = false;
    let mut turned = None;
    for _ in 0..MAX_SEGMENTS {
        let marker = next_marker(&mut walk)?;
        match marker {
            0xd9 => {
                let Some(frame) = frame.filter(|_| scans > 0) else {
                    return Err(walk.corrupt("it has no picture data"));
                };
                let orientation = turned.unwrap_or(Orientation::NoTransforms);
                return Ok(layout(&frame, split_components, orientation, has_metadata, walk.at));
            }
            // Restart markers belong to scans; a second SOI would be a picture within the picture.
            0x01 | 0xd0..=0xd8 => return Err(walk.corrupt("there is a marker where none may be")),
            _ => {}
        }
        let length = usize::from(u16::from_be_bytes(walk.array()?));
        let Some(length) = length.checked_sub(2) else {
            return Err(walk.corrupt("a segment is shorter than its own length"));
        };
        let data = walk.take(length)?;
        match marker {
            0xc0..=0xc2 => {
                if frame.is_some() {
                    return Err(walk.corrupt("it has two frame headers"));
                }
                frame = Some(frame_header(&walk, marker, data, limits)?);
            }
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(Refusal::UnsupportedFormat {
                    found: match marker {
                        0xc3 => "a lossless JPEG",
                        0xc9 | 0xca => "a JPEG with arithmetic coding",
                        _ => "a hierarchical or lossless JPEG",
                    }
                    .to_owned(),
                });
            }
            0xda => {
                let Some(frame) = &frame else {
                    return Err(walk.corrupt("picture data come before the header"));
                };
                let components = usize::from(data.first().copied().unwrap_or(0));
                split_components |= components < frame.samplings.len();
                scans += 1;
                if scans > MAX_SCANS {
                    return Err(Refusal::TooManyParts { parts: "scans".to_owned(), limit: MAX_SCANS });
                }
                skip_entropy_coded(&mut walk)?;
            }
            // JFIF; its tiny thumbnail would have its own size after the twelve bytes, and is data we do not know.
            0xe0 if data.starts_with(b"JFIF\0") && data.len() == 14 => {}
            0xe1 => {
                has_metadata = true;
                if turned.is_none() && data.starts_with(b"Exif\0\0") {
                    turned = Some(orientation(data));
                }
            }
            // The colour profile and Adobe's note on the colour space are needed to paint the picture.
            0xe2 if data.starts_with(b"ICC_PROFILE\0") => {}
            0xee if data.starts_with(b"Adobe") && data.len() == 12 => {}
            // The tables.
            0xc4 | 0xdb | 0xdd => {}
            // Comments, IPTC, XMP, further pictures, and whatever makers of cameras invent or nobody knows.
            _ => has_metadata = true,
        }
    }
    Err(Refusal::TooManyParts { parts: "segments".to_owned(), limit: MAX_SEGMENTS })
}

/// The next marker. Any number of 0xff may stand before it.
fn next_marker(walk: &mut Walk<'_>) -> Result<u8, Refusal> {
    if walk.byte()? != 0xff {
        return Err(walk.corrupt("there is something between its segments that is not a segment"));
    }
    loop {
        match walk.byte()? {
            0xff => {}
            0x00 => return Err(walk.corrupt("there is something between its segments that is not a segment")),
            marker => return Ok(marker),
        }
    }
}

fn frame_header(walk: &Walk<'_>, marker: u8, data: &[u8], limits: &Limits) -> Result<Frame, Refusal> {
    let (Some(&[precision, h1, h0, w1, w0, count]), Some(components)) = (data.first_chunk(), data.get(6..)) else {
        return Err(walk.corrupt("its header is too short"));
    };
    let width = u32::from(u16::from_be_bytes([w1, w0]));
    let height = u32::from(u16::from_be_bytes([h1, h0]));
    if height == 0 && width > 0 {
        return Err(Refusal::UnsupportedFormat { found: "a JPEG that tells its height at the end".to_owned() });
    }
    check_size(Format::Jpeg, width, height, limits)?;
    if precision != 8 {
        return Err(Refusal::UnsupportedFormat { found: format!("a JPEG with {precision} bits a sample") });
    }
    if components.len() != 3 * usize::from(count) || !matches!(count, 1 | 3 | 4) {
        return Err(walk.corrupt("its header does not fit its number of components"));
    }
    let samplings: Vec<_> = components.chunks_exact(3).map(|c| (u64::from(c[1] >> 4), u64::from(c[1] & 15))).collect();
    if samplings.iter().any(|(h, v)| !(1..=4).contains(h) || !(1..=4).contains(v)) {
        return Err(walk.corrupt("its header has impossible sampling factors"));
    }
    // No camera samples colour more finely than brightness, or in thirds, and the decoder cannot do it.
    let finest = samplings.iter().fold((1, 1), |finest, s| (finest.0.max(s.0), finest.1.max(s.1)));
    let in_thirds = samplings.iter().any(|(h, v)| *h == 3 || *v == 3);
    if count > 1 && (samplings.first() != Some(&finest) || in_thirds) {
        return Err(Refusal::UnsupportedFormat { found: "a JPEG with an unusual sampling of colours".to_owned() });
    }
    Ok(Frame { width, height, progressive: marker == 0xc2, samplings })
}

/// Goes to the next marker that is not part of the entropy-coded data.
fn skip_entropy_coded(walk: &mut Walk<'_>) -> Result<(), Refusal> {
    loop {
        let rest = &walk.bytes[walk.at..];
        let Some(found) = rest.iter().position(|b| *b == 0xff) else {
            return Err(walk.truncated());
        };
        walk.at += found;
        match walk.bytes.get(walk.at + 1) {
            None => return Err(walk.truncated()),
            // A data byte of 0xff is followed by zero; restart markers stand within the data.
            Some(0x00 | 0xd0..=0xd7) => walk.at += 2,
            Some(0xff) => walk.at += 1,
            Some(_) => return Ok(()),
        }
    }
}

fn layout(frame: &Frame, split_components: bool, orientation: Orientation, has_metadata: bool, end: usize) -> Layout {
    let (width, height) = (u64::from(frame.width), u64::from(frame.height));
    let pixels = width * height;
    let h_max = frame.samplings.iter().map(|s| s.0).max().unwrap_or(1);
    let v_max = frame.samplings.iter().map(|s| s.1).max().unwrap_or(1);
    let units = width.div_ceil(8 * h_max) * height.div_ceil(8 * v_max);
    // When the parts of a block are spread over the file, all coefficients are kept until the end: 64 numbers
    // of 16 bits for each block.
    let coefficients: u64 = if frame.progressive || split_components {
        frame.samplings.iter().map(|(h, v)| units * h * v * 64 * 2).sum()
    } else {
        0
    };
    let channels = frame.samplings.len() as u64;
    let shown = if channels == 1 { 1 } else { 3 };
    // Only the luminance of a colour picture is computed to check it; see `decode`. Where colours are sampled less often
    // downwards but not across, as in a photograph that was turned without decoding, the decoder miscounts then.
    let in_grey = h_max >= v_max;
    let checked = if channels == 4 || (channels == 3 && !in_grey) { 3 } else { 1 };
    Layout {
        format: Format::Jpeg,
        width: frame.width,
        height: frame.height,
        orientation,
        has_metadata,
        end,
        data_end: end,
        check_in_grey: in_grey,
        memory_to_check: coefficients + pixels * checked + OVERHEAD,
        memory_to_show: coefficients + pixels * shown + OVERHEAD,
    }
}
