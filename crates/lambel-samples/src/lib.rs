//! The project's own sample pictures: simple shapes that a person can tell apart at a glance.
//!
//! Nothing is downloaded, everything follows from a seed. [`write_sample_set`] makes what the demo uploads: good
//! pictures of many sizes in three formats with their truth and the votes of six people, and a few files that must be
//! refused. [`numbered`] makes any number of tiny pictures for benchmarks.
//!
//! What lives here knows nothing about AWS or tasks; it draws and writes files.

mod draw;
mod hostile;
mod numbers;
mod set;

use std::io::Cursor;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};

use draw::draw;
use numbers::Numbers;

pub use draw::Shape;
pub use hostile::{HostileFile, SECRET, Verdict, hostile, worst_accepted};
pub use set::{Annotator, Duplicate, GoodPicture, RefusedFile, SampleSet, write_sample_set};

/// Side of the pictures of [`numbered`], in pixels.
pub const NUMBERED_SIDE: u32 = 32;

/// `n` tiny PNG pictures, each with a name (`000000.png` and so on) and different bytes, made while the iterator is
/// walked. The number is hidden in the lowest row of pixels, so no two pictures are the same.
///
/// ```
/// let pictures: Vec<_> = lambel_samples::numbered(3, 1).collect();
/// assert_eq!(pictures[2].0, "000002.png");
/// assert_ne!(pictures[1].1, pictures[2].1);
/// ```
pub fn numbered(n: u32, seed: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..n).map(move |number| {
        let mut numbers = Numbers::new(seed, u64::from(number));
        let shape = Shape::ALL[number as usize % Shape::ALL.len()];
        let mut picture = draw(shape, NUMBERED_SIDE, NUMBERED_SIDE, &mut numbers);
        for bit in 0..32 {
            let pixel = picture.get_pixel_mut(bit, NUMBERED_SIDE - 1);
            // The lowest bit of blue: nobody sees it.
            pixel.0[2] = pixel.0[2] & 0xfe | (number >> bit & 1) as u8;
        }
        let mut bytes = Cursor::new(Vec::new());
        let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Up);
        picture.write_with_encoder(encoder).expect("writing a small picture to memory cannot fail");
        (format!("{number:06}.png"), bytes.into_inner())
    })
}
