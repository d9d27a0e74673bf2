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
const PNG_MEMORY: usize = 64 << 20;

/// Pixels of 8 bits a channel, one row after the other.
pub(crate) trait Rows {
    /// Told once, before the first row: how many channels a pixel has (1 grey, 2 grey and alpha, 3 RGB, 4 RGBA).
    fn begin(&mut self, channels: usize);
    /// One row, from the top.
    fn row(&mut self, row: &[u8]);
}

/// Decodes all the data of a picture to see whether that is possible, as cheaply as it can be done.
pub(crate) fn check(bytes: &[u8], layout: &Layout) -> Result<(), Refusal> {
    let picture = &bytes[..layout.end];
    match layout.format {
        Format::Png => {
            let mut reader = png_reader(picture, true)?;
            let mut row = vec![0; row_bytes(&reader, layout)?];
            while reader.read_row(&mut row).map_err(corrupt(layout))?.is_some() {}
            Ok(())
        }
        // All data is read and all coefficients are decoded for grey as they are for colour. What is left out, for
        // half of the time and a third of the memory, is arithmetic that cannot fail.
        Format::Jpeg => jpeg(picture, layout, true).map(drop),
        Format::WebP => webp(picture, layout).map(drop),
    }
}

/// Decodes a picture into rows and returns its colour profile, if it has one of a sensible size.
pub(crate) fn show(bytes: &[u8], layout: &Layout, rows: &mut impl Rows) -> Result<Option<Vec<u8>>, Refusal> {
    let picture = &bytes[..layout.end];
    let (pixels, channels, icc) = match layout.format {
        Format::Png => {
            let mut reader = png_reader(picture, false)?;
            let channels = reader.output_color_type().0.samples();
            let icc = reader.info().icc_profile.as_ref().map(|icc| icc.to_vec());
            if !reader.info().interlaced {
                rows.begin(channels);
                let mut row = vec![0; row_bytes(&reader, layout)?];
                while reader.read_row(&mut row).map_err(corrupt(layout))?.is_some() {
                    rows.row(&row);
                }
                return Ok(icc.filter(|icc| icc.len() <= MAX_ICC));
            }
            let size =
                reader.output_buffer_size().ok_or_else(|| Refusal::corrupt(layout.format, "its size overflows"))?;
            let mut pixels = vec![0; size];
            reader.next_frame(&mut pixels).map_err(corrupt(layout))?;
            (pixels, channels, icc)
        }
        Format::Jpeg => jpeg(picture, layout, false)?,
        Format::WebP => webp(picture, layout)?,
    };
    rows.begin(channels);
    for row in pixels.chunks_exact(layout.width as usize * channels) {
        rows.row(row);
    }
    Ok(icc.filter(|icc| icc.len() <= MAX_ICC))
}

type Pixels = (Vec<u8>, usize, Option<Vec<u8>>);

fn png_reader(picture: &[u8], without_icc: bool) -> Result<png::Reader<Cursor<&[u8]>>, Refusal> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(picture), png::Limits { bytes: PNG_MEMORY });
    // The walk has verified them.
    decoder.ignore_checksums(true);
    // Text may be compressed a thousandfold, and we do not want it anyway.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(without_icc);
    // The same for checking as for showing, so that nothing is accepted that cannot be shown.
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    decoder.read_info().map_err(|e| Refusal::corrupt(Format::Png, e))
}

fn row_bytes(reader: &png::Reader<Cursor<&[u8]>>, layout: &Layout) -> Result<usize, Refusal> {
    reader.output_line_size(layout.width).ok_or_else(|| Refusal::corrupt(layout.format, "its size overflows"))
}

fn jpeg(picture: &[u8], layout: &Layout, grey_will_do: bool) -> Result<Pixels, Refusal> {
    // The decoder would paint grey where data are missing.
    entropy::check(picture)?;
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
    Ok((pixels, channels, decoder.icc_profile()))
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
