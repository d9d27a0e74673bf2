//! Every limit of `docs/limits.md` by its name: what is exactly at it is taken, what is one over it is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::Cursor;

use image::codecs::png::PngEncoder;
use image::{ImageEncoder, ImageFormat, Rgb, RgbImage};
use lambel_image::{
    Inspected, LOSSLESS_WEBP_SIDE, Limits, MAX_BYTES, MAX_CHUNKS, MAX_ICC, MAX_MEMORY, MAX_PIXELS, MAX_SCANS,
    MAX_SEGMENTS, MAX_SIDE, PLAIN_ICC, PREVIEW_BYTES, PREVIEW_LOSSLESS_PIXELS, PREVIEW_SIDE, Refusal, inspect, preview,
    preview_needed,
};
use lambel_samples::hostile;

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_pixel(width, height, Rgb([30, 180, 60])).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn taken(bytes: &[u8]) -> Inspected {
    inspect(bytes, &Limits::default()).unwrap()
}

fn refused(bytes: &[u8]) -> Refusal {
    inspect(bytes, &Limits::default()).unwrap_err()
}

fn of_corpus(name: &str) -> Vec<u8> {
    hostile().into_iter().find(|file| file.name == name).unwrap_or_else(|| panic!("no file {name}")).bytes
}

#[test]
fn bytes() {
    let mut file = png(8, 8);
    file.resize(MAX_BYTES as usize, 0);
    assert_eq!(taken(&file).trailing_bytes, MAX_BYTES - png(8, 8).len() as u64);
    file.push(0);
    assert_eq!(refused(&file), Refusal::TooLarge { bytes: MAX_BYTES + 1, limit: 40_000_000 });
}

#[test]
fn pixels() {
    let found = taken(&of_corpus("png-most-pixels.png"));
    assert_eq!(u64::from(found.width) * u64::from(found.height), MAX_PIXELS);
    let Refusal::TooManyPixels { width, height, limit } = refused(&of_corpus("png-one-pixel-too-many.png")) else {
        panic!("another refusal");
    };
    assert_eq!((u64::from(width) * u64::from(height), limit), (MAX_PIXELS + 1, 100_000_000));
}

#[test]
fn side() {
    assert_eq!(taken(&png(MAX_SIDE, 1)).width, 30_000);
    assert_eq!(taken(&png(1, MAX_SIDE)).height, 30_000);
    for file in [png(MAX_SIDE + 1, 1), png(1, MAX_SIDE + 1)] {
        assert_eq!(refused(&file).code(), "side-too-long");
    }
    assert_eq!(taken(&of_corpus("webp-longest-side.webp")).width, LOSSLESS_WEBP_SIDE);
    let Refusal::SideTooLong { width, limit, .. } = refused(&of_corpus("webp-side-too-long.webp")) else {
        panic!("another refusal");
    };
    assert_eq!((width, limit), (LOSSLESS_WEBP_SIDE + 1, 16_383));
}

#[test]
fn memory() {
    for name in ["jpeg-cmyk-progressive.jpg", "webp-lossy-alpha.webp", "png-rgba-16-interlaced.png"] {
        let file = of_corpus(name);
        let with = |memory| preview(&file, &Limits { memory, ..Limits::default() });
        let Err(Refusal::TooMuchMemory { needed, .. }) = with(0) else { panic!("{name}: another outcome") };
        assert!(with(needed).is_ok(), "{name}");
        assert_eq!(with(needed - 1).unwrap_err().code(), "too-much-memory", "{name}");
    }
    // With the other limits no picture is refused for this one: that is what it was chosen for.
    assert_eq!(MAX_MEMORY, 1_200_000_000);
    assert_eq!(refused(&of_corpus("bomb-no-data-progressive.jpg")).code(), "corrupt");
}

#[test]
fn parts() {
    for (parts, limit, most, one_more) in [
        ("scans", MAX_SCANS, "jpeg-most-scans.jpg", "jpeg-one-scan-too-many.jpg"),
        ("segments", MAX_SEGMENTS, "jpeg-most-segments.jpg", "jpeg-one-segment-too-many.jpg"),
        ("chunks", MAX_CHUNKS, "png-most-chunks.png", "png-one-chunk-too-many.png"),
        ("chunks", MAX_CHUNKS, "webp-most-chunks.webp", "webp-one-chunk-too-many.webp"),
    ] {
        taken(&of_corpus(most));
        let expected = Refusal::TooManyParts { parts: parts.to_owned(), limit };
        assert_eq!(refused(&of_corpus(one_more)), expected);
    }
    assert_eq!((MAX_SCANS, MAX_SEGMENTS, MAX_CHUNKS), (64, 10_000, 100_000));
}

#[test]
fn profile() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let with = |size: usize| {
        let mut profile = profile.clone();
        profile.resize(size, 0);
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile).unwrap();
        RgbImage::from_pixel(8, 8, Rgb([30, 180, 60])).write_with_encoder(encoder).unwrap();
        bytes
    };
    let red = |file: &[u8]| {
        let shown = preview(file, &Limits::default()).unwrap();
        image::load_from_memory(&shown.bytes).unwrap().to_rgb8().get_pixel(4, 4).0[0]
    };
    // The green of Display P3 lies outside sRGB; left alone it has some red.
    assert_eq!(red(&with(MAX_ICC)), 0);
    assert_eq!(red(&with(MAX_ICC + 1)), 30);
    assert!(!taken(&with(1_000)).has_metadata);
    assert!(taken(&of_corpus("bomb-iCCP-inflates-to-a-gigabyte.png")).has_metadata);
    assert_eq!((MAX_ICC, PLAIN_ICC), (4 << 20, 65_536));
}

#[test]
fn previews() {
    let found = taken(&png(PREVIEW_SIDE, 1));
    assert!(!preview_needed(&found, PREVIEW_BYTES));
    assert!(preview_needed(&found, PREVIEW_BYTES + 1));
    assert!(preview_needed(&taken(&png(PREVIEW_SIDE + 1, 1)), 1));
    let kind = |width, height| preview(&png(width, height), &Limits::default()).unwrap().media_type;
    let side = PREVIEW_LOSSLESS_PIXELS.isqrt() as u32;
    assert_eq!((kind(side, side), kind(side, side + 1)), ("image/png", "image/jpeg"));
}

#[test]
fn frames() {
    let Refusal::Animated { frames, .. } = refused(&of_corpus("png-animated.png")) else { panic!("another refusal") };
    assert_eq!(frames, 2);
    assert_eq!(refused(&of_corpus("webp-animated.webp")).code(), "animated");
}
