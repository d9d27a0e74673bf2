//! The decoders: to look at all the data of a picture, or to get its pixels row by row.
//!
//! The [`Layout`] has been read and held against the limits before anything here is called.

use std::io::Cursor;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use crate::entropy;
use crate::limits::MAX_ICC;
use crate::structure::Layout;
use crate::{Format, Refusal};

/// Most memory for what the PNG decoder keeps beside its rows, in bytes: a colour profile.
const PNG_MEMORY: usize = 16 << 20;

/// Pixels of 8 bits a channel, one row after the other.
pub(crate) trait Rows {
    /// Told once, before the first row: how many channels a pixel has (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA).
    fn begin(&mut self, channels: usize);
    /// One row, from the top.
    fn row(&mut self, row: &[u8]);
}

/// Decodes all the data of a picture to see whether that is possible, as cheaply as it can be done. Says whether there
/// are bytes among the data that are not part of the picture.
pub(crate) fn check(bytes: &[u8], layout: &Layout) -> Result<bool, Refusal> {
    let picture = &bytes[..layout.end];
    match layout.format {
        Format::Png => {
            let mut input = Cursor::new(picture);
            let mut reader = png_reader(&mut input, true)?;
            let mut row = vec![0; row_bytes(&reader, layout)?];
            png_rows(&mut reader, layout, &mut row, |_, _| {})?;
            drop(reader);
            Ok(surplus(&input, layout))
        }
        // All data is read and all coefficients are decoded for grey as they are for colour. What is left out, for
        // half of the time and a third of the memory, is arithmetic that cannot fail.
        Format::Jpeg => Ok(jpeg(picture, layout, layout.check_in_grey)?.1),
        Format::WebP => webp(picture, layout).map(|_| false),
    }
}

/// What there is beside the pixels.
pub(crate) struct Shown {
    /// The colour profile, if there is one of a sensible size.
    pub(crate) icc: Option<Vec<u8>>,
    /// As [`check`] says it.
    pub(crate) surplus: bool,
}

/// Decodes a picture into rows.
pub(crate) fn show(bytes: &[u8], layout: &Layout, rows: &mut impl Rows) -> Result<Shown, Refusal> {
    let picture = &bytes[..layout.end];
    let ((pixels, channels, icc), surplus) = match layout.format {
        Format::Png => {
            let mut input = Cursor::new(picture);
            let mut reader = png_reader(&mut input, false)?;
            let channels = reader.output_color_type().0.samples();
            let icc = reader.info().icc_profile.as_ref().map(|icc| icc.to_vec());
            let line = row_bytes(&reader, layout)?;
            let mut row = vec![0; line];
            let interlaced = reader.info().interlaced;
            let size = line.checked_mul(layout.height as usize);
            let size = size.ok_or_else(|| Refusal::corrupt(layout.format, "its size overflows"))?;
            let mut pixels = Vec::new();
            let mut begun = false;
            // Memory is taken when there is a first row, and not for the promise of one.
            png_rows(&mut reader, layout, &mut row, |row, interlace| match interlace {
                png::InterlaceInfo::Adam7(pass) => {
                    if !begun {
                        pixels = vec![0; size];
                    }
                    begun = true;
                    png::expand_interlaced_row(&mut pixels, line, row, &pass, 8 * channels as u8);
                }
                png::InterlaceInfo::Null(_) => {
                    if !begun {
                        rows.begin(channels);
                    }
                    begun = true;
                    rows.row(row);
                }
            })?;
            drop(reader);
            let surplus = surplus(&input, layout);
            if !interlaced {
                return Ok(Shown { icc: icc.filter(|icc| icc.len() <= MAX_ICC), surplus });
            }
            ((pixels, channels, icc), surplus)
        }
        Format::Jpeg => jpeg(picture, layout, false)?,
        Format::WebP => (webp(picture, layout)?, false),
    };
    rows.begin(channels);
    for row in pixels.chunks_exact(layout.width as usize * channels) {
        rows.row(row);
    }
    Ok(Shown { icc: icc.filter(|icc| icc.len() <= MAX_ICC), surplus })
}

type Pixels = (Vec<u8>, usize, Option<Vec<u8>>);
type PngReader<'a, 'b> = png::Reader<&'a mut Cursor<&'b [u8]>>;

fn png_reader<'a, 'b>(input: &'a mut Cursor<&'b [u8]>, without_icc: bool) -> Result<PngReader<'a, 'b>, Refusal> {
    let mut decoder = png::Decoder::new_with_limits(input, png::Limits { bytes: PNG_MEMORY });
    // The walk has verified them.
    decoder.ignore_checksums(true);
    // Text may be compressed a thousandfold, and we do not want it anyway.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(without_icc);
    // The same for checking as for showing, so that nothing is accepted that cannot be shown.
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.read_info().map_err(|e| Refusal::corrupt(Format::Png, e))
}

/// Reads all rows that the header promises, and not one more: the decoder would inflate all that is left, which may be
/// a thousand times the size of the file.
fn png_rows(
    reader: &mut PngReader<'_, '_>,
    layout: &Layout,
    row: &mut [u8],
    mut each: impl FnMut(&[u8], png::InterlaceInfo),
) -> Result<(), Refusal> {
    // First row and column of each pass, and how far the next ones are.
    const PASSES: [(u32, u32, u32, u32); 7] =
        [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)];
    let (width, height) = (layout.width, layout.height);
    let count: u32 = match reader.info().interlaced {
        false => height,
        true => PASSES
            .iter()
            .filter(|(_, column, ..)| *column < width)
            .map(|(first, _, step, _)| height.saturating_sub(*first).div_ceil(*step))
            .sum(),
    };
    for _ in 0..count {
        let interlace = reader.read_row(row).map_err(corrupt(layout))?;
        let interlace = interlace.ok_or_else(|| Refusal::corrupt(layout.format, "it has too few rows"))?;
        each(row, interlace);
    }
    Ok(())
}

/// Whether much of the data is left after the last row. The end of a stream takes some bytes, and more if it is cut into
/// small chunks.
fn surplus(input: &Cursor<&[u8]>, layout: &Layout) -> bool {
    layout.data_end as u64 > input.position() + 256
}

fn row_bytes(reader: &PngReader<'_, '_>, layout: &Layout) -> Result<usize, Refusal> {
    reader.output_line_size(layout.width).ok_or_else(|| Refusal::corrupt(layout.format, "its size overflows"))
}

fn jpeg(picture: &[u8], layout: &Layout, grey_will_do: bool) -> Result<(Pixels, bool), Refusal> {
    // The decoder would paint grey where data are missing.
    let surplus = entropy::check(picture)?;
    // Dimensions were held against the limits before; the decoder's own, smaller limits would be in the way.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(picture), options);
    decoder.decode_headers().map_err(corrupt(layout))?;
    let (out, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (ColorSpace::Luma, 1),
        Some(ColorSpace::YCbCr) if grey_will_do => (ColorSpace::Luma, 1),
        Some(_) => (ColorSpace::RGB, 3),
        None => return Err(Refusal::corrupt(layout.format, "its colour space is unknown")),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(out));
    let expected = layout.width as usize * layout.height as usize * channels;
    if decoder.output_buffer_size() != Some(expected) {
        return Err(Refusal::corrupt(layout.format, "its header contradicts itself"));
    }
    let mut pixels = vec![0; expected];
    decoder.decode_into(&mut pixels).map_err(corrupt(layout))?;
    // A profile for CMYK would be wrong for the RGB that was made of it; `preview` looks at what it is for.
    Ok(((pixels, channels, decoder.icc_profile()), surplus))
}

fn webp(picture: &[u8], layout: &Layout) -> Result<Pixels, Refusal> {
    let mut decoder = image_webp::WebPDecoder::new(Cursor::new(picture)).map_err(corrupt(layout))?;
    decoder.set_memory_limit(MAX_ICC);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let expected = layout.width as usize * layout.height as usize * channels;
    if decoder.dimensions() != (layout.width, layout.height) {
        return Err(Refusal::corrupt(layout.format, "its header contradicts itself"));
    }
    let mut pixels = vec![0; expected];
    decoder.read_image(&mut pixels).map_err(corrupt(layout))?;
    let icc = decoder.icc_profile().ok().flatten();
    Ok((pixels, channels, icc))
}

fn corrupt<E: std::fmt::Display>(layout: &Layout) -> impl Fn(E) -> Refusal {
    let format = layout.format;
    move |error| Refusal::corrupt(format, error)
}
