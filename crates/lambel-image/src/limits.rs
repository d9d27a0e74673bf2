//! Every number that this crate holds a file against, in one place.

/// Largest file that is looked at, in bytes (40 MB).
pub const MAX_BYTES: u64 = 40_000_000;
/// Most pixels (width × height) a picture may have (100 megapixels).
pub const MAX_PIXELS: u64 = 100_000_000;
/// Longest side a picture may have, in pixels. Panoramas of today's cameras stay below 20,000; browsers and
/// graphics cards begin to fail on single sides beyond 32,767.
pub const MAX_SIDE: u32 = 30_000;
/// Most memory that decoding one picture may take, in bytes beside the file itself. The most expensive
/// picture within [`MAX_PIXELS`] (a progressive CMYK JPEG without subsampling) needs 1.1 GB.
pub const MAX_MEMORY: u64 = 1_200_000_000;
/// Most chunks of a PNG or WebP file. A 40 MB picture in pieces of 8 KB has 5,000.
pub const MAX_CHUNKS: u64 = 100_000;
/// Most segments of a JPEG. Metadata come in pieces of 64 KB; a large file has some hundred.
pub const MAX_SEGMENTS: u64 = 10_000;
/// Most scans of a JPEG. Real progressive pictures have about ten; every scan costs a walk over the picture.
pub const MAX_SCANS: u64 = 64;
/// Largest colour profile (ICC) that is honoured, in bytes. A larger one is left unread.
pub const MAX_ICC: usize = 4 << 20;

/// Longest side of a lossless WebP, in pixels. The format has room for one more, which neither our decoder nor the
/// format's own library can take.
pub const LOSSLESS_WEBP_SIDE: u32 = 16_383;
/// Longest colour profile of a PNG, compressed, with which operators get the file as it is, in bytes. Real ones have
/// some kilobytes; a longer one may inflate to a thousand times as much in their browsers.
pub const PLAIN_ICC: usize = 64 << 10;

/// Longest side of a preview, in pixels.
pub const PREVIEW_SIDE: u32 = 2_048;
/// A file larger than this gets a preview even if its sides are short, in bytes (2 MB).
pub const PREVIEW_BYTES: u64 = 2_000_000;
/// JPEG quality of previews (1 to 100).
pub const PREVIEW_QUALITY: u8 = 88;
/// An opaque picture of a lossless format with at most this many pixels has its preview in PNG:
/// on icons and digit-sized pictures the artefacts of JPEG would be seen.
pub const PREVIEW_LOSSLESS_PIXELS: u64 = 256 * 256;

/// What a file may cost. `Limits::default()` is what the service uses.
///
/// ```
/// let strict = lambel_image::Limits { pixels: 1_000_000, ..Default::default() };
/// assert_eq!(strict.bytes, lambel_image::MAX_BYTES);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest file, in bytes.
    pub bytes: u64,
    /// Most pixels, width × height.
    pub pixels: u64,
    /// Longest side, in pixels.
    pub side: u32,
    /// Most memory for decoding, in bytes beside the file itself.
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, pixels: MAX_PIXELS, side: MAX_SIDE, memory: MAX_MEMORY }
    }
}
