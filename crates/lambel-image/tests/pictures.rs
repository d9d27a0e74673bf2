//! Every kind of good picture is taken and shown as it should, every kind of bad file is refused with its code.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use lambel_image::{
    Format, Inspected, Limits, Preview, Refusal, inspect, inspect_and_preview, preview, preview_needed,
};

const CORNERS: [[u8; 3]; 4] = [[220, 30, 30], [30, 180, 60], [40, 60, 210], [240, 240, 240]];

fn limits() -> Limits {
    Limits::default()
}

fn stored(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)).unwrap()
}

/// All stored pictures that are good, by name.
fn all_good() -> BTreeMap<String, Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let good = files.filter(|name| !name.starts_with("animated") && !name.ends_with(".py"));
    good.map(|name| (name.clone(), stored(&name))).collect()
}

/// 48 × 40 pixels, a colour in each corner.
fn drawn() -> RgbImage {
    RgbImage::from_fn(48, 40, |x, y| Rgb(CORNERS[usize::from(x >= 24) + 2 * usize::from(y >= 20)]))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 95)).unwrap();
    bytes
}

/// EXIF with one entry: the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    tiff.extend([orientation, 0, 0, 0, 0, 0, 0]);
    tiff
}

/// A JPEG with another segment directly after its beginning.
fn with_segment(jpeg: &[u8], marker: u8, data: &[u8]) -> Vec<u8> {
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, marker]);
    out.extend(u16::try_from(data.len() + 2).unwrap().to_be_bytes());
    out.extend(data);
    out.extend(&jpeg[2..]);
    out
}

fn turned_jpeg(orientation: u8) -> Vec<u8> {
    with_segment(&jpeg(&drawn()), 0xe1, &[b"Exif\0\0".to_vec(), exif(orientation)].concat())
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
    out.extend(kind);
    out.extend(data);
    out.extend(crc32fast::hash(&out[4..]).to_be_bytes());
    out
}

/// A PNG with another chunk directly after its header.
fn with_chunk(png: &[u8], kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    [&png[..33], &chunk(kind, data), &png[33..]].concat()
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat()
}

fn shown(preview: &Preview) -> DynamicImage {
    let picture = image::load_from_memory(&preview.bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (preview.width, preview.height));
    picture
}

fn near(picture: &DynamicImage, x: u32, y: u32, wanted: [u8; 3], tolerance: u8, what: &str) {
    let Rgba([r, g, b, _]) = picture.get_pixel(x, y);
    for (is, wanted) in [r, g, b].into_iter().zip(wanted) {
        assert!(is.abs_diff(wanted) <= tolerance, "{what}: {:?} at {x},{y}, not {wanted:?}", [r, g, b]);
    }
}

fn code(bytes: &[u8]) -> &'static str {
    let inspected = inspect(bytes, &limits());
    let shown = preview(bytes, &limits()).map(drop);
    let refusal = inspected.expect_err("should be refused");
    assert_eq!(shown.expect_err("should be refused").code(), refusal.code());
    let json = serde_json::to_value(&refusal).unwrap();
    assert_eq!(json["code"], refusal.code());
    assert_eq!(serde_json::from_value::<Refusal>(json).unwrap(), refusal);
    refusal.code()
}

#[test]
fn odd_but_good_pictures_are_taken_and_look_right() {
    let mut good = all_good();
    good.insert("written.png".to_owned(), encoded(drawn(), ImageFormat::Png));
    good.insert("written.jpg".to_owned(), jpeg(&drawn()));
    good.insert("written.webp".to_owned(), encoded(drawn(), ImageFormat::WebP));
    let deep = DynamicImage::from(drawn());
    good.insert("rgb-16.png".to_owned(), encoded(deep.to_rgb16(), ImageFormat::Png));
    good.insert("rgba-16.png".to_owned(), encoded(deep.to_rgba16(), ImageFormat::Png));
    assert!(good.len() > 22);
    for (name, bytes) in &good {
        let inspected = inspect(bytes, &limits()).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!((inspected.width, inspected.height, inspected.orientation), (48, 40, 1), "{name}");
        assert_eq!(inspected.format.extension(), name.rsplit('.').next().unwrap());
        assert_eq!((inspected.has_metadata, inspected.trailing_bytes), (false, 0), "{name}");
        assert!(!preview_needed(&inspected, bytes.len() as u64));
        let preview = preview(bytes, &limits()).unwrap();
        let picture = shown(&preview);
        if name.starts_with("grey") || name.starts_with("one-bit") {
            continue;
        }
        if name.contains("alpha") || name.contains("transparent") {
            assert_eq!(preview.media_type, "image/png", "{name}");
            assert!(picture.color().has_alpha(), "{name}");
        }
        // WebP and JPEG blur colours, and our CMYK is not anybody's printer.
        let tolerance = if name.starts_with("cmyk") { 45 } else { 16 };
        for (corner, (x, y)) in CORNERS.into_iter().zip([(8, 8), (40, 8), (8, 32), (40, 32)]) {
            if name.contains("transparent") && (x, y) == (8, 8) {
                continue;
            }
            near(&picture, x, y, corner, tolerance, name);
        }
    }
}

#[test]
fn previews_are_upright() {
    // Where the red, green, blue and white corners of the stored picture are shown, by orientation.
    let shown_corners = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [3, 2, 1, 0],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
        [1, 3, 0, 2],
    ];
    for (orientation, corners) in (1..=8).zip(shown_corners) {
        let png = with_chunk(&encoded(drawn(), ImageFormat::Png), b"eXIf", &exif(orientation));
        for bytes in [turned_jpeg(orientation), png] {
            let inspected = inspect(&bytes, &limits()).unwrap();
            assert_eq!(inspected.orientation, orientation);
            assert!(inspected.has_metadata && preview_needed(&inspected, bytes.len() as u64));
            let size = if orientation > 4 { (40, 48) } else { (48, 40) };
            assert_eq!((inspected.width, inspected.height), size);
            let preview = preview(&bytes, &limits()).unwrap();
            assert_eq!((preview.width, preview.height), size);
            let picture = shown(&preview);
            let (right, below) = (size.0 - 8, size.1 - 8);
            for (corner, (x, y)) in corners.into_iter().zip([(8, 8), (right, 8), (8, below), (right, below)]) {
                near(&picture, x, y, CORNERS[corner], 16, &format!("orientation {orientation}"));
            }
        }
    }
}

#[test]
fn nothing_of_the_file_but_its_pixels_reaches_a_preview() {
    let secret = b"52.5163N 13.3777E";
    let picture = drawn();
    let png = encoded(picture.clone(), ImageFormat::Png);
    let jpg = jpeg(&picture);
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0".to_vec(), secret.to_vec()].concat();
    let files = [
        with_segment(&jpg, 0xe1, &[b"Exif\0\0".to_vec(), exif(1), secret.to_vec()].concat()),
        with_segment(&jpg, 0xe1, &xmp),
        with_segment(&jpg, 0xed, &[b"Photoshop 3.0\0".to_vec(), secret.to_vec()].concat()),
        with_segment(&jpg, 0xfe, secret),
        with_segment(&jpg, 0xe7, secret),
        with_chunk(&png, b"tEXt", &[b"Comment\0".to_vec(), secret.to_vec()].concat()),
        with_chunk(&png, b"eXIf", &[exif(1), secret.to_vec()].concat()),
        with_chunk(&png, b"prVt", secret),
        [png.clone(), secret.to_vec()].concat(),
        [jpg.clone(), b"PK\x03\x04".to_vec(), secret.to_vec()].concat(),
        [stored("lossy.webp"), b"<script>alert('".to_vec(), secret.to_vec()].concat(),
    ];
    for bytes in files {
        let (inspected, preview) = inspect_and_preview(&bytes, &limits()).unwrap();
        assert!(inspected.has_metadata != (inspected.trailing_bytes > 0), "{inspected:?}");
        let preview = preview.unwrap();
        assert!(!preview.bytes.windows(secret.len()).any(|window| window == secret));
        let again = inspect(&preview.bytes, &limits()).unwrap();
        assert_eq!((again.has_metadata, again.trailing_bytes, again.orientation), (false, 0, 1));
        assert!(!preview_needed(&again, preview.bytes.len() as u64));
    }
    // What says only how to paint the picture is no metadata.
    for bytes in [
        with_chunk(&png, b"gAMA", &45455u32.to_be_bytes()),
        with_segment(&jpg, 0xe2, b"ICC_PROFILE\0\x01\x01not really a profile"),
    ] {
        assert!(!inspect(&bytes, &limits()).unwrap().has_metadata);
        preview(&bytes, &limits()).unwrap();
    }
}

#[test]
fn large_pictures_are_shrunk_and_keep_their_proportions() {
    for (width, height, shown_as) in [
        (2048, 100, (2048, 100)),
        (2049, 30, (2048, 30)),
        (9000, 3000, (2048, 683)),
        (50, 6100, (17, 2048)),
        (30_000, 1, (2048, 1)),
    ] {
        let picture = RgbImage::from_fn(width, height, |x, _| Rgb([(x * 255 / width) as u8, 80, 200]));
        for bytes in [encoded(picture.clone(), ImageFormat::Png), jpeg(&picture)] {
            let preview = preview(&bytes, &limits()).unwrap();
            assert_eq!((preview.width, preview.height), shown_as);
            let picture = shown(&preview);
            let (w, h) = shown_as;
            near(&picture, w / 2, h / 2, [127, 80, 200], 8, "the middle");
            near(&picture, w - 1, h - 1, [250, 80, 200], 12, "the far corner");
        }
    }
}

#[test]
fn what_is_invisible_does_not_bleed_into_what_is_seen() {
    // Stripes of one pixel: opaque yellow, and red that nobody can see.
    let picture =
        RgbaImage::from_fn(5000, 40, |x, _| if x % 2 == 0 { Rgba([250, 220, 0, 255]) } else { Rgba([255, 0, 0, 0]) });
    let preview = preview(&encoded(picture, ImageFormat::Png), &limits()).unwrap();
    assert_eq!(preview.media_type, "image/png");
    let picture = shown(&preview);
    for x in [0, 100, 1023, 2047] {
        near(&picture, x, 8, [250, 220, 0], 3, "a stripe");
        assert!((90..170).contains(&picture.get_pixel(x, 8).0[3]));
    }
}

#[test]
fn opaque_previews_are_jpeg_and_tiny_lossless_ones_png() {
    let opaque = RgbaImage::from_pixel(300, 300, Rgba([1, 2, 3, 255]));
    let kind = |bytes: &[u8]| preview(bytes, &limits()).unwrap().media_type;
    assert_eq!(kind(&encoded(opaque, ImageFormat::Png)), "image/jpeg");
    assert_eq!(kind(&encoded(drawn(), ImageFormat::Png)), "image/png");
    assert_eq!(kind(&jpeg(&drawn())), "image/jpeg");
}

#[test]
fn colours_of_a_profile_are_converted() {
    let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::set_icc_profile(&mut encoder, profile).unwrap();
    drawn().write_with_encoder(encoder).unwrap();
    assert!(!inspect(&bytes, &limits()).unwrap().has_metadata);
    let picture = shown(&preview(&bytes, &limits()).unwrap());
    // Green of Display P3 lies outside sRGB, white is white in both.
    let Rgba([r, ..]) = picture.get_pixel(40, 8);
    assert_eq!(r, 0);
    near(&picture, 40, 32, [240; 3], 1, "white");
}

#[test]
fn other_files_are_named() {
    let cases: [(&[u8], &str, &str); 16] = [
        (b"", "empty", "empty"),
        (b"GIF89a\x01\0\x01\0", "unsupported-format", "GIF"),
        (b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "unsupported-format", "BMP"),
        (b"II*\0\x08\0\0\0", "unsupported-format", "TIFF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "unsupported-format", "HEIC"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "unsupported-format", "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "not-an-image", "MP4"),
        (b"<?xml version='1.0'?>\n<svg onload='alert(1)'/>", "unsupported-format", "SVG"),
        (b"\xef\xbb\xbf  <SVG>", "unsupported-format", "SVG"),
        (b"<!DOCTYPE html><img>", "not-an-image", "HTML"),
        (b"%PDF-1.7", "not-an-image", "PDF"),
        (b"PK\x03\x04....", "not-an-image", "ZIP"),
        (b"BMW, VW and others\n", "not-an-image", "text"),
        (b"\x01\x02\x03", "not-an-image", "PNG, JPEG and WebP"),
        (b"\x89PNG", "truncated", "byte 4"),
        (b"RIFF\x04\0\0\0WAVE", "not-an-image", "RIFF"),
    ];
    for (bytes, expected, named) in cases {
        let refusal = inspect(bytes, &limits()).unwrap_err();
        assert_eq!(code(bytes), expected, "{refusal}");
        assert!(refusal.to_string().contains(named), "{refusal}");
    }
}

#[test]
fn bombs_are_refused_at_once() {
    let mut jpg = jpeg(&drawn());
    let frame = jpg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpg[frame + 5..frame + 9].fill(0xff);
    let mut webp = stored("lossless.webp");
    webp[21..25].copy_from_slice(&[0xff, 0xff, 0xff, 0x0f]);
    let bombs = [
        png_header(65_535, 65_535),
        png_header(65_535, 65_535)[..24].to_vec(),
        png_header(u32::MAX, u32::MAX),
        jpg,
        webp,
    ];
    for bomb in bombs {
        let start = Instant::now();
        assert_eq!(code(&bomb), "too-many-pixels");
        assert!(start.elapsed() < Duration::from_millis(50));
    }
    let refusal = inspect(&png_header(65_535, 65_535), &limits()).unwrap_err();
    assert_eq!(refusal.to_string(), "the picture is 65535 × 65535 pixels; the limit is 100 megapixels");
    assert_eq!(code(&png_header(1, 30_001)), "side-too-long");
    assert_eq!(code(&png_header(30_000, 0)), "corrupt");
}

#[test]
fn an_honest_header_with_a_lying_body_is_refused_in_time() {
    // 100 megapixels promised, none delivered, in a file that is formally whole.
    let bytes = [png_header(10_000, 10_000), chunk(b"IDAT", b"\x78\x9c\x03\0\0\0\0\x01"), chunk(b"IEND", b"")].concat();
    let start = Instant::now();
    assert_eq!(code(&bytes), "corrupt");
    assert!(start.elapsed() < Duration::from_millis(50));
}

#[test]
fn limits_are_limits() {
    let png = encoded(drawn(), ImageFormat::Png);
    let progressive = stored("progressive-444.jpg");
    let refused = |bytes: &[u8], limits: Limits| inspect(bytes, &limits).unwrap_err();
    let size = png.len() as u64;
    assert!(inspect(&png, &Limits { bytes: size, pixels: 48 * 40, side: 48, ..limits() }).is_ok());
    assert_eq!(
        refused(&png, Limits { bytes: size - 1, ..limits() }),
        Refusal::TooLarge { bytes: size, limit: size - 1 }
    );
    assert_eq!(refused(&png, Limits { pixels: 48 * 40 - 1, ..limits() }).code(), "too-many-pixels");
    assert_eq!(refused(&png, Limits { side: 47, ..limits() }).code(), "side-too-long");
    assert_eq!(refused(&progressive, Limits { memory: 1000, ..limits() }).code(), "too-much-memory");
    let many = chunk(b"prVt", b"").repeat(lambel_image::MAX_CHUNKS as usize);
    assert_eq!(code(&[&png[..33], &many, &png[33..]].concat()), "too-many-parts");
    // Sixty-five scans that hold nothing.
    let scan = [0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0].repeat(65);
    let end = progressive.len() - 2;
    assert_eq!(code(&[&progressive[..end], &scan, &progressive[end..]].concat()), "too-many-parts");
}

#[test]
fn the_worst_pictures_within_the_limits_fit_the_memory() {
    // Neither needs more memory than the limit, so they are refused for their bodies, not for their headers.
    let mut cmyk = stored("cmyk-progressive.jpg");
    let frame = cmyk.windows(2).position(|w| w == [0xff, 0xc2]).unwrap();
    cmyk[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
    assert_ne!(inspect(&cmyk, &limits()).unwrap_err().code(), "too-much-memory");
}

#[test]
fn animations_are_refused() {
    for name in ["animated.png", "animated.webp"] {
        assert_eq!(code(&stored(name)), "animated", "{name}");
        assert!(inspect(&stored(name), &limits()).unwrap_err().to_string().contains("2 frames"));
    }
}

#[test]
fn unusual_codings_of_jpeg_are_named() {
    let good = jpeg(&drawn());
    let frame = good.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for (marker, precision) in [(0xc3, 8), (0xc9, 8), (0xc5, 8), (0xc1, 12)] {
        let mut bytes = good.clone();
        bytes[frame + 1] = marker;
        bytes[frame + 4] = precision;
        assert_eq!(code(&bytes), "unsupported-format");
    }
}

#[test]
fn a_file_that_is_cut_off_is_never_taken() {
    for (name, bytes) in all_good() {
        for length in 1..bytes.len() {
            let refusal = inspect(&bytes[..length], &limits()).expect_err(&name);
            let cut_early = length < 12 && name.ends_with("webp");
            assert!(refusal.code() == "truncated" || cut_early, "{name} cut at {length}: {refusal}");
            assert!(preview(&bytes[..length], &limits()).is_err());
        }
    }
    let large = jpeg(&RgbImage::from_fn(640, 480, |x, y| Rgb([(x * y) as u8, x as u8, y as u8])));
    for length in (1..large.len()).step_by(97) {
        assert_eq!(inspect(&large[..length], &limits()).unwrap_err().code(), "truncated");
    }
}

#[test]
fn a_byte_that_changes_in_a_png_is_always_noticed() {
    let png = encoded(drawn(), ImageFormat::Png);
    for at in 0..png.len() {
        let mut bytes = png.clone();
        bytes[at] ^= 0x20;
        assert!(inspect(&bytes, &limits()).is_err(), "byte {at}");
    }
}

/// A small generator of numbers, the same everywhere (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

#[test]
fn damaged_files_never_panic_and_both_ways_agree() {
    let mut numbers = Numbers(7);
    for (name, good) in all_good() {
        for _ in 0..150 {
            let mut bytes = good.clone();
            for _ in 0..=numbers.below(6) {
                let at = numbers.below(bytes.len());
                match numbers.below(4) {
                    0 => bytes[at] = numbers.below(256) as u8,
                    1 => bytes[at] ^= 1 << numbers.below(8),
                    2 => drop(bytes.drain(at..(at + numbers.below(20)).min(bytes.len()))),
                    _ => bytes.insert(at, numbers.below(256) as u8),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            // The limit keeps the test short: a changed header may promise much.
            let limits = Limits { pixels: 1_000_000, ..limits() };
            let inspected: Result<Inspected, Refusal> = inspect(&bytes, &limits);
            let shown = preview(&bytes, &limits);
            if let Err(refusal) = &inspected {
                assert!(!refusal.to_string().contains("confuse"), "{name}: a decoder panicked");
            }
            assert_eq!(inspected.is_ok(), shown.is_ok(), "{name}: {inspected:?}, {:?}", shown.err());
        }
    }
}

#[test]
fn media_types() {
    assert_eq!(Format::WebP.media_type(), "image/webp");
    assert_eq!(serde_json::to_string(&Format::Jpeg).unwrap(), r#""jpeg""#);
}

/// Where a marker stands in the file, but for those within coded data.
fn markers(jpeg: &[u8]) -> Vec<usize> {
    let is_marker = |at: &usize| jpeg[*at] == 0xff && !matches!(jpeg[at + 1], 0 | 0xd0..=0xd7 | 0xff);
    (2..jpeg.len() - 1).filter(is_marker).collect()
}

#[test]
fn a_jpeg_whose_data_stop_short_of_a_proper_end_is_refused() {
    let mut files: BTreeMap<_, _> = all_good().into_iter().filter(|(name, _)| name.ends_with("jpg")).collect();
    files.insert("written.jpg".to_owned(), jpeg(&RgbImage::from_fn(90, 70, |x, y| Rgb([2 * x as u8, 3 * y as u8, 9]))));
    for (name, bytes) in files {
        let data = bytes.windows(2).position(|w| w == [0xff, 0xda]).unwrap();
        let markers = markers(&bytes);
        let mut refused = 0;
        for cut in data..bytes.len() - 2 {
            let short = [&bytes[..cut], &[0xff, 0xd9]].concat();
            let inspected = inspect(&short, &limits());
            assert_eq!(inspected.is_ok(), preview(&short, &limits()).is_ok());
            if let Err(refusal) = inspected {
                // Cut within the header of a scan, the end marker is taken for a part of it.
                assert!(matches!(refusal.code(), "corrupt" | "truncated"), "{name} cut at {cut}: {refusal}");
                refused += 1;
                continue;
            }
            // What may lack is the very last unit of a scan, and whole scans of a progressive picture: it is coarser
            // then, as its writer may have wanted it.
            let to_end_of_scan = markers.iter().filter_map(|end| (end + 1).checked_sub(cut)).min().unwrap();
            assert!(to_end_of_scan < 30, "{name} cut at {cut} is taken, {to_end_of_scan} bytes before a scan ends");
        }
        assert!(refused > (bytes.len() - data) / 3, "{name}: {refused}");
    }
    let refusal = {
        let bytes = stored("baseline-444.jpg");
        inspect(&[&bytes[..bytes.len() - 60], &[0xff, 0xd9]].concat(), &limits()).unwrap_err()
    };
    assert!(refusal.to_string().contains("its data end at row 16 of 40"), "{refusal}");
}
