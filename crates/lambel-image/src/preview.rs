//! A clean copy of a picture for people to look at.

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};
use moxcms::{ColorProfile, DataColorSpace, Layout as IccLayout, TransformOptions};

use crate::decode::{self, Rows};
use crate::limits::{PREVIEW_LOSSLESS_PIXELS, PREVIEW_QUALITY, PREVIEW_SIDE};
use crate::structure::Layout;
use crate::{Format, Refusal};

/// A picture made anew from the pixels of an uploaded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// The encoded picture: JPEG if it is opaque, PNG if it is transparent somewhere or tiny.
    pub bytes: Vec<u8>,
    /// The media type of `bytes`: `image/jpeg` or `image/png`.
    pub media_type: &'static str,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// Makes the preview, and says whether there was surplus among the data.
pub(crate) fn make(bytes: &[u8], layout: &Layout) -> Result<(Preview, bool), Refusal> {
    let longest = layout.width.max(layout.height);
    // First whole blocks of pixels are averaged while the rows come in: quick, and large pictures never
    // need much memory. What is left is shrunk by less than two, with a good filter.
    let mut shrink = Shrink::new(layout, (longest / PREVIEW_SIDE).max(1));
    let shown = decode::show(bytes, layout, &mut shrink)?;
    let mut picture =
        shrink.finish().ok_or_else(|| Refusal::corrupt(layout.format, "it has fewer rows than its header says"))?;
    if longest > PREVIEW_SIDE {
        let (width, height) = fit(layout.width, layout.height);
        picture = resize(picture, width, height);
    }
    if let Some(icc) = shown.icc {
        to_srgb(&mut picture, &icc);
    }
    picture.apply_orientation(layout.orientation);
    Ok((encode(picture, layout)?, shown.surplus))
}

/// The size that fits a preview with the same proportions.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let longest = u64::from(width.max(height));
    let scaled = |side: u32| {
        let side = (u64::from(side) * u64::from(PREVIEW_SIDE) + longest / 2) / longest;
        u32::try_from(side).unwrap_or(PREVIEW_SIDE).max(1)
    };
    (scaled(width), scaled(height))
}

/// Averages blocks of `factor` × `factor` pixels.
struct Shrink {
    factor: usize,
    width: usize,
    channels: usize,
    /// Sums over the rows of the current line of blocks: each channel, and the number of pixels or the sum of alphas.
    sums: Vec<u32>,
    rows: usize,
    out: Vec<u8>,
    out_width: usize,
    out_rows: usize,
    out_height: usize,
}

impl Shrink {
    fn new(layout: &Layout, factor: u32) -> Self {
        Self {
            factor: factor as usize,
            width: layout.width as usize,
            channels: 0,
            sums: Vec::new(),
            rows: 0,
            out: Vec::new(),
            out_width: layout.width.div_ceil(factor) as usize,
            out_rows: 0,
            out_height: layout.height.div_ceil(factor) as usize,
        }
    }

    /// Adds up a row of pixels with `N` channels, of which the last is alpha if `ALPHA`. Colours count as much as
    /// they are opaque, so that what is invisible does not bleed into what is seen.
    fn add<const N: usize, const ALPHA: bool>(&mut self, row: &[u8]) {
        for (sums, block) in self.sums.chunks_exact_mut(N).zip(row.chunks(N * self.factor)) {
            for pixel in block.as_chunks::<N>().0 {
                if ALPHA {
                    let alpha = u32::from(pixel[N - 1]);
                    for c in 0..N - 1 {
                        sums[c] += u32::from(pixel[c]) * alpha;
                    }
                    sums[N - 1] += alpha;
                } else {
                    for c in 0..N {
                        sums[c] += u32::from(pixel[c]);
                    }
                }
            }
        }
    }

    fn close_blocks(&mut self) {
        let (n, alpha) = (self.channels, self.channels.is_multiple_of(2));
        for (i, sums) in self.sums.chunks_exact(n).enumerate() {
            // At the right and lower border blocks have fewer pixels.
            let columns = self.factor.min(self.width - i * self.factor);
            let count = (columns * self.rows) as u32;
            let weight = if alpha { sums[n - 1].max(1) } else { count };
            for (c, sum) in sums.iter().enumerate() {
                let divisor = if alpha && c == n - 1 { count } else { weight };
                self.out.push(((sum + divisor / 2) / divisor).min(255) as u8);
            }
        }
        self.sums.fill(0);
        self.rows = 0;
        self.out_rows += 1;
    }

    fn finish(mut self) -> Option<DynamicImage> {
        if self.rows > 0 {
            self.close_blocks();
        }
        let (width, height) = (self.out_width as u32, self.out_height as u32);
        Some(match self.channels {
            1 => GrayImage::from_raw(width, height, self.out)?.into(),
            2 => GrayAlphaImage::from_raw(width, height, self.out)?.into(),
            3 => RgbImage::from_raw(width, height, self.out)?.into(),
            4 => RgbaImage::from_raw(width, height, self.out)?.into(),
            _ => return None,
        })
    }
}

impl Rows for Shrink {
    fn begin(&mut self, channels: usize) {
        self.channels = channels;
        self.sums = vec![0; self.out_width * channels];
        self.out = Vec::with_capacity(self.out_width * self.out_height * channels);
    }

    fn row(&mut self, row: &[u8]) {
        if self.out_rows == self.out_height {
            return;
        }
        if self.factor == 1 {
            self.out.extend_from_slice(row);
            self.out_rows += 1;
            return;
        }
        match self.channels {
            1 => self.add::<1, false>(row),
            2 => self.add::<2, true>(row),
            3 => self.add::<3, false>(row),
            _ => self.add::<4, true>(row),
        }
        self.rows += 1;
        if self.rows == self.factor {
            self.close_blocks();
        }
    }
}

fn resize(picture: DynamicImage, width: u32, height: u32) -> DynamicImage {
    // Triangle is enough here: the scale is between a half and one.
    const FILTER: FilterType = FilterType::Triangle;
    if !picture.color().has_alpha() {
        return picture.resize_exact(width, height, FILTER);
    }
    // As in `Shrink`: colours must count as much as they are opaque.
    let mut picture = picture.into_rgba8();
    for pixel in picture.pixels_mut() {
        let [r, g, b, a] = pixel.0.map(u32::from);
        pixel.0 = [r, g, b, 255].map(|c| ((c * a + 127) / 255) as u8);
    }
    let mut picture = image::imageops::resize(&picture, width, height, FILTER);
    for pixel in picture.pixels_mut() {
        let [r, g, b, a] = pixel.0.map(u32::from);
        if a > 0 {
            let full = |c: u32| ((c * 255 + a / 2) / a).min(255) as u8;
            pixel.0 = [full(r), full(g), full(b), a as u8];
        }
    }
    picture.into()
}

/// Previews carry no profile, so colours of a wide-gamut camera are converted. A profile that cannot be used, or is
/// for something else than RGB, is left aside: colours are then a little off, which is what most viewers do too.
fn to_srgb(picture: &mut DynamicImage, icc: &[u8]) {
    let layout = match picture {
        DynamicImage::ImageRgb8(_) => IccLayout::Rgb,
        DynamicImage::ImageRgba8(_) => IccLayout::Rgba,
        _ => return,
    };
    let Ok(profile) = ColorProfile::new_from_slice(icc) else {
        return;
    };
    if profile.color_space != DataColorSpace::Rgb {
        return;
    }
    let srgb = ColorProfile::new_srgb();
    let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, TransformOptions::default()) else {
        return;
    };
    let (samples, width): (&mut [u8], usize) = match picture {
        DynamicImage::ImageRgb8(rgb) => (rgb, 3),
        DynamicImage::ImageRgba8(rgba) => (rgba, 4),
        _ => return,
    };
    // A stretch at a time, so that there is no second copy of the whole.
    let mut before = Vec::new();
    for stretch in samples.chunks_mut(width * 4096) {
        before.clear();
        before.extend_from_slice(stretch);
        if transform.transform(&before, stretch).is_err() {
            stretch.copy_from_slice(&before);
        }
    }
}

fn encode(picture: DynamicImage, layout: &Layout) -> Result<Preview, Refusal> {
    let picture = without_idle_alpha(picture);
    let (width, height) = (picture.width(), picture.height());
    let lossless_and_tiny =
        layout.format != Format::Jpeg && u64::from(width) * u64::from(height) <= PREVIEW_LOSSLESS_PIXELS;
    let as_png = picture.color().has_alpha() || lossless_and_tiny;
    let mut bytes = Vec::new();
    let encoded = if as_png {
        picture.write_with_encoder(image::codecs::png::PngEncoder::new(&mut bytes))
    } else {
        picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, PREVIEW_QUALITY))
    };
    encoded.map_err(|e| Refusal::corrupt(layout.format, format_args!("no preview can be made of it: {e}")))?;
    let format = if as_png { Format::Png } else { Format::Jpeg };
    Ok(Preview { bytes, media_type: format.media_type(), width, height })
}

/// Many opaque pictures are stored with an alpha channel that says 255 everywhere.
fn without_idle_alpha(picture: DynamicImage) -> DynamicImage {
    match &picture {
        DynamicImage::ImageRgba8(rgba) if rgba.pixels().all(|p| p.0[3] == 255) => picture.into_rgb8().into(),
        DynamicImage::ImageLumaA8(la) if la.pixels().all(|p| p.0[1] == 255) => picture.into_luma8().into(),
        _ => picture,
    }
}
