//! Prints how many pictures a second are inspected and previewed on one core, and the peak of memory on the
//! most expensive pictures that are accepted. Run it with `--release`.

#![expect(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use std::hint::black_box;
use std::io::Cursor;
use std::time::{Duration, Instant};

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use lambel_image::{Limits, inspect, preview};

fn main() {
    println!("{:<28} {:>10} {:>14} {:>12}", "picture", "bytes", "inspected/s", "preview ms");
    for (name, bytes) in [
        ("PNG 32 × 32", png(32, 32)),
        ("JPEG 32 × 32", jpeg(32, 32)),
        ("JPEG 640 × 480", jpeg(640, 480)),
        ("PNG 640 × 480", png(640, 480)),
        ("WebP (lossless) 640 × 480", webp(640, 480)),
        ("JPEG 4000 × 3000", jpeg(4000, 3000)),
        ("PNG 4000 × 3000", png(4000, 3000)),
        ("JPEG 10000 × 10000", jpeg(10_000, 10_000)),
    ] {
        let limits = Limits { bytes: u64::MAX, ..Limits::default() };
        let inspected = time(|| {
            black_box(inspect(&bytes, &limits).unwrap());
        });
        let shown = time(|| {
            black_box(preview(&bytes, &limits).unwrap());
        });
        let per_second = 1.0 / inspected.as_secs_f64();
        println!("{name:<28} {:>10} {per_second:>14.1} {:>12.2}", bytes.len(), shown.as_secs_f64() * 1e3);
    }
    // Files of one's own, to see the peak of memory of each (run with one file at a time).
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).unwrap();
        let limits = Limits { bytes: u64::MAX, ..Limits::default() };
        let start = Instant::now();
        let inspected = inspect(&bytes, &limits);
        println!("{path}: {inspected:?} in {:.0?}, peak {}", start.elapsed(), peak());
        let start = Instant::now();
        let shown = preview(&bytes, &limits).map(|p| (p.width, p.height, p.bytes.len()));
        println!("{path}: preview {shown:?} in {:.0?}, peak {}", start.elapsed(), peak());
    }
}

/// Peak of memory of this process, where the system tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap_or("unknown").trim().to_owned()
}

fn time(mut work: impl FnMut()) -> Duration {
    work();
    let start = Instant::now();
    let mut rounds = 0;
    while start.elapsed() < Duration::from_secs(1) {
        work();
        rounds += 1;
    }
    start.elapsed() / rounds
}

/// Something between a photograph and noise.
fn drawn(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let wave = ((x as f32 / 37.0).sin() + (y as f32 / 23.0).cos()) * 50.0 + 120.0;
        let noise = (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(0x045d_9f3b) >> 28;
        Rgb([wave as u8 + noise as u8, (wave / 2.0) as u8, (x / 16) as u8])
    })
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    drawn(width, height).write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 88)).unwrap();
    bytes
}

fn png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::Png)
}

fn webp(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, ImageFormat::WebP)
}

fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(drawn(width, height)).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}
