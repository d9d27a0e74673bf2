//! Writes WebP files chunk by chunk.

/// A whole file of these chunks.
pub(super) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    [b"RIFF".as_slice(), &(body.len() as u32 + 4).to_le_bytes(), b"WEBP", &body].concat()
}

pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = [kind, (data.len() as u32).to_le_bytes().as_slice(), data].concat();
    if data.len() % 2 == 1 {
        out.push(0);
    }
    out
}

/// Flags of [`extended`].
pub(super) const ANIMATED: u8 = 0x02;
pub(super) const XMP: u8 = 0x04;
pub(super) const EXIF: u8 = 0x08;
pub(super) const ALPHA: u8 = 0x10;
pub(super) const ICC: u8 = 0x20;

/// The header of a file that holds more than a picture.
pub(super) fn extended(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let [w, h] = [width - 1, height - 1].map(u32::to_le_bytes);
    chunk(b"VP8X", &[flags, 0, 0, 0, w[0], w[1], w[2], h[0], h[1], h[2]])
}

/// A lossless picture of one colour. All five of its codes have a single symbol, so that a pixel takes no bit at all:
/// the largest picture of the format has 11 bytes.
pub(super) fn lossless(width: u32, height: u32) -> Vec<u8> {
    let header = (width - 1) | (height - 1) << 14;
    // No transform, no cache, no second set of codes; then five times: simple, one symbol, of one bit, zero.
    let codes: u32 = (0..5).fold(0, |bits, n| bits | 1 << (3 + 4 * n));
    chunk(b"VP8L", &[&[0x2f][..], &header.to_le_bytes(), &codes.to_le_bytes()].concat())
}

/// A lossy picture, grey all over. A stream of zeros says no at every question, of which there are some for each block
/// of 16 × 16 pixels.
pub(super) fn lossy(width: u32, height: u32) -> Vec<u8> {
    let blocks = (width.div_ceil(16) * height.div_ceil(16)) as usize;
    let (first, second) = (100 + blocks, 16 + 12 * blocks);
    // A key frame that is shown, and the length of its first part.
    let tag = 1 << 4 | (first as u32) << 5;
    let mut data = tag.to_le_bytes()[..3].to_vec();
    data.extend([0x9d, 0x01, 0x2a]);
    data.extend((width as u16).to_le_bytes());
    data.extend((height as u16).to_le_bytes());
    data.resize(data.len() + first + second, 0);
    chunk(b"VP8 ", &data)
}

/// Opacity of a lossy picture, uncompressed.
pub(super) fn opacity(width: u32, height: u32) -> Vec<u8> {
    let values = (0..width * height).map(|n| (n % 251) as u8);
    chunk(b"ALPH", &[0].into_iter().chain(values).collect::<Vec<u8>>())
}
