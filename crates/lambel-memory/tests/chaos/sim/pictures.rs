//! The pictures that clients upload.

use std::sync::LazyLock;

use lambel_core::ImageId;

/// The pictures of all runs: some that are good, some that need a preview, some that are none.
pub(super) static PICTURES: LazyLock<Vec<(ImageId, Vec<u8>)>> = LazyLock::new(|| {
    let mut pictures: Vec<Vec<u8>> = Vec::new();
    for (number, (_, bytes)) in lambel_samples::numbered(150, 3).enumerate() {
        pictures.push(match number % 16 {
            5 => turned(&bytes),
            9 => bytes[..bytes.len() / 2].to_vec(),
            13 => format!("this is no picture, but text of the number {number}").into_bytes(),
            _ => bytes,
        });
    }
    pictures.into_iter().map(|bytes| (ImageId::of(&bytes), bytes)).collect()
});

/// A PNG that says it lies on its side, so that operators need a preview of it.
fn turned(png: &[u8]) -> Vec<u8> {
    let mut exif = b"MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0".to_vec();
    let mut chunk = b"eXIf".to_vec();
    chunk.append(&mut exif);
    let crc = !chunk.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    // Behind the signature (8 bytes) and the header (25).
    let mut turned = png[..33].to_vec();
    turned.extend((chunk.len() as u32 - 4).to_be_bytes());
    turned.extend(chunk);
    turned.extend(crc.to_be_bytes());
    turned.extend(&png[33..]);
    turned
}
