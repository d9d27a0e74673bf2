//! What a file is, told from its first bytes and from nothing else.

use serde::{Deserialize, Serialize};

use crate::Refusal;

/// A format that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive, 8 bits a sample.
    Jpeg,
    /// WebP, lossy or lossless.
    WebP,
}

impl Format {
    /// The media type to serve such a file with, such as `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::WebP => "image/webp",
        }
    }

    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::WebP => "webp",
        }
    }

    /// Tells the format from the first bytes of a file. A few dozen bytes are enough; a name or an announced
    /// media type plays no part. It says nothing about whether the rest of the file is good.
    ///
    /// # Errors
    /// [`Refusal::Empty`], [`Refusal::UnsupportedFormat`] with the name of what was recognised, or
    /// [`Refusal::NotAnImage`].
    pub fn sniff(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.is_empty() {
            return Err(Refusal::Empty);
        }
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            return Ok(Self::Png);
        }
        if bytes.starts_with(b"\xff\xd8\xff") {
            return Ok(Self::Jpeg);
        }
        if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            return Ok(Self::WebP);
        }
        // A file that breaks off within the signature is a cut-off picture, not a foreign file.
        for (format, signature) in [(Self::Png, &b"\x89PNG\r\n\x1a\n"[..]), (Self::Jpeg, &b"\xff\xd8\xff"[..])] {
            if signature.starts_with(bytes) {
                return Err(Refusal::Truncated { format, bytes: bytes.len() as u64 });
            }
        }
        if let Some(found) = other_image(bytes) {
            return Err(Refusal::UnsupportedFormat { found: found.to_owned() });
        }
        Err(Refusal::NotAnImage { found: other_file(bytes).map(str::to_owned) })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::WebP => "WebP",
        })
    }
}

/// Pictures that people have but that are not taken. The name helps the client to find the file's fault.
fn other_image(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"GIF87a", "a GIF image"),
        (b"GIF89a", "a GIF image"),
        (b"II*\0", "a TIFF image"),
        (b"MM\0*", "a TIFF image"),
        (b"II+\0", "a TIFF image"),
        (b"MM\0+", "a TIFF image"),
        (b"8BPS", "a Photoshop document"),
        (b"\0\0\x01\0", "an icon file"),
        (b"\xff\x0a", "a JPEG XL image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
        (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
        (b"\x76\x2f\x31\x01", "an OpenEXR image"),
        (b"qoif", "a QOI image"),
        (b"DDS ", "a DDS texture"),
        (b"#?RADIANCE", "a Radiance HDR image"),
    ];
    for (signature, name) in SIGNATURES {
        if bytes.starts_with(signature) {
            return Some(name);
        }
    }
    // `BM` alone would also be the beginning of a text about cars: look at the size of the second header too.
    if bytes.starts_with(b"BM") && matches!(bytes.get(14..18), Some([12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0])) {
        return Some("a BMP image");
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        match bytes.get(8..12) {
            Some(b"avif" | b"avis") => return Some("an AVIF image"),
            Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
                return Some("a HEIC image");
            }
            _ => {}
        }
    }
    let head = text_head(bytes);
    if head.starts_with("<svg") || (head.starts_with("<?xml") && head.contains("<svg")) {
        return Some("an SVG drawing");
    }
    None
}

/// Other files that are often uploaded by mistake, or on purpose.
fn other_file(bytes: &[u8]) -> Option<&'static str> {
    const SIGNATURES: &[(&[u8], &str)] = &[
        (b"%PDF-", "a PDF document"),
        (b"%!PS", "a PostScript document"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"PK\x05\x06", "a ZIP archive"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
        (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
        (b"OggS", "an Ogg file"),
        (b"ID3", "an MP3 file"),
        (b"RIFF", "a RIFF file that is not WebP"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"SQLite format 3\0", "an SQLite database"),
    ];
    for (signature, name) in SIGNATURES {
        if bytes.starts_with(signature) {
            return Some(name);
        }
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return Some("an MP4 or QuickTime file");
    }
    let head = text_head(bytes);
    if head.starts_with("<!doctype html") || head.starts_with("<html") || head.starts_with("<script") {
        return Some("an HTML page");
    }
    let start = bytes.get(..512).unwrap_or(bytes);
    // The cut at 512 may fall within a character; that is no sign of binary data.
    let is_text = match std::str::from_utf8(start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && bytes.len() > 512,
    };
    if is_text && !start.iter().any(|b| *b < 0x20 && !b"\t\n\r\x0c".contains(b)) {
        return Some("text");
    }
    None
}

/// The first kilobyte as lowercase text without leading space, for formats that are written as text.
fn text_head(bytes: &[u8]) -> String {
    let start = bytes.get(..1024).unwrap_or(bytes);
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    String::from_utf8_lossy(start).trim_start().to_lowercase()
}
