//! The sample set of the demo.

use std::fmt::Write as _;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::draw::{Shape, draw};
use crate::numbers::Numbers;

/// How many pictures are drawn of each shape.
const PER_SHAPE: usize = 10;
/// Which of the drawn pictures comes a second time under another name.
const DUPLICATED: usize = 6;
/// Which of the drawn pictures is held as a phone does: turned, with a place in its metadata.
const TURNED: usize = 22;
/// Width and height in pixels; the pictures take their turns.
const SIZES: [(u32, u32); 11] = [
    (64, 64),
    (160, 120),
    (256, 256),
    (96, 96),
    (320, 240),
    (480, 640),
    (128, 128),
    (400, 300),
    (640, 480),
    (200, 280),
    (512, 512),
];
/// Large ones, by the number of the picture. They are JPEG, as from a camera.
const LARGE: [(usize, (u32, u32)); 3] = [(10, (1600, 1200)), (31, (3000, 2000)), (49, (2400, 2400))];

/// A file that must be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodPicture {
    /// Name of the file in `images/`.
    pub name: String,
    /// What is on it.
    pub truth: Shape,
}

/// A file that must be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedFile {
    /// Name of the file in `images/`.
    pub name: String,
    /// The code of the refusal, as `lambel-image` gives it, such as `truncated`.
    pub code: &'static str,
}

/// Two names for the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicate {
    /// The name of the first file.
    pub original: String,
    /// The name of the second file.
    pub copy: String,
}

/// Somebody whose votes are in `votes.csv`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Annotator {
    /// Name, such as `op-1`.
    pub name: &'static str,
    /// The probability of a right answer, from 0 to 1; `None` for one who guesses among all labels.
    pub reliability: Option<f64>,
}

/// What [`write_sample_set`] has written.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSet {
    /// The folder; in it `images/`, `labels.txt`, `truth.csv` and `votes.csv`.
    pub folder: PathBuf,
    /// The labels, in the order of `labels.txt`.
    pub labels: Vec<&'static str>,
    /// All files that must be accepted, duplicates too, in the order of `truth.csv`.
    pub good: Vec<GoodPicture>,
    /// All files that must be refused.
    pub refused: Vec<RefusedFile>,
    /// Pairs of good files with the same bytes.
    pub duplicates: Vec<Duplicate>,
    /// Everybody who has voted on every good picture.
    pub annotators: Vec<Annotator>,
}

impl SampleSet {
    /// How many different good pictures there are: as many images as a task must accept.
    pub fn distinct_good(&self) -> usize {
        self.good.len() - self.duplicates.len()
    }

    /// How many files there are in `images/`.
    pub fn files(&self) -> usize {
        self.good.len() + self.refused.len()
    }
}

const ANNOTATORS: [Annotator; 6] = [
    Annotator { name: "op-1", reliability: Some(0.98) },
    Annotator { name: "op-2", reliability: Some(0.95) },
    Annotator { name: "op-3", reliability: Some(0.92) },
    Annotator { name: "op-4", reliability: Some(0.88) },
    Annotator { name: "op-5", reliability: Some(0.80) },
    Annotator { name: "op-6", reliability: None },
];

/// Draws the sample set of a seed into a folder, which is made if it is missing; files of the same names are
/// replaced, others are left alone.
///
/// * `images/`: the pictures, and the files that must be refused
/// * `labels.txt`: a label per line
/// * `truth.csv`: `item,truth`, a line per good file
/// * `votes.csv`: `item,annotator,label`, a line per good file and annotator; two names of the same bytes have the
///   same answers
///
/// # Errors
/// What writing files can fail with.
pub fn write_sample_set(folder: &Path, seed: u64) -> io::Result<SampleSet> {
    let images = folder.join("images");
    fs::create_dir_all(&images)?;
    let labels = Shape::ALL.map(Shape::label).to_vec();
    let mut good = Vec::new();
    let mut duplicates = Vec::new();
    let mut truth = String::from("item,truth\n");
    let mut votes = String::from("item,annotator,label\n");
    for (number, shape) in shapes(seed).into_iter().enumerate() {
        let (name, bytes) = good_picture(number, shape, seed)?;
        let answers = answers(shape, &mut Numbers::new(seed, 2_000 + number as u64));
        let mut names = vec![name.clone()];
        if number == DUPLICATED {
            let copy = name.replace('.', "-copy.");
            duplicates.push(Duplicate { original: name, copy: copy.clone() });
            names.push(copy);
        }
        for name in names {
            fs::write(images.join(&name), &bytes)?;
            writeln!(truth, "{name},{}", shape.label()).map_err(io::Error::other)?;
            for (annotator, label) in ANNOTATORS.iter().zip(&answers) {
                writeln!(votes, "{name},{},{label}", annotator.name).map_err(io::Error::other)?;
            }
            good.push(GoodPicture { name, truth: shape });
        }
    }
    let mut refused = Vec::new();
    for (name, code, bytes) in bad_files(seed)? {
        fs::write(images.join(name), bytes)?;
        refused.push(RefusedFile { name: name.to_owned(), code });
    }
    fs::write(folder.join("labels.txt"), labels.join("\n") + "\n")?;
    fs::write(folder.join("truth.csv"), truth)?;
    fs::write(folder.join("votes.csv"), votes)?;
    Ok(SampleSet { folder: folder.to_owned(), labels, good, refused, duplicates, annotators: ANNOTATORS.to_vec() })
}

/// Every shape equally often, shuffled, so that the name of a file tells nothing.
fn shapes(seed: u64) -> Vec<Shape> {
    let mut shapes: Vec<_> = Shape::ALL.into_iter().flat_map(|shape| iter::repeat_n(shape, PER_SHAPE)).collect();
    let mut numbers = Numbers::new(seed, 1_000);
    for last in (1..shapes.len()).rev() {
        shapes.swap(last, numbers.below(last + 1));
    }
    shapes
}

fn good_picture(number: usize, shape: Shape, seed: u64) -> io::Result<(String, Vec<u8>)> {
    let mut numbers = Numbers::new(seed, number as u64);
    if number == TURNED {
        // What a phone writes when it is held upright: the picture lies on its left side.
        let upright = draw(shape, 480, 640, &mut numbers);
        let lying = jpeg(&image::imageops::rotate270(&upright))?;
        return Ok((format!("picture-{number:02}.jpg"), with_exif(&lying)));
    }
    if let Some((_, (width, height))) = LARGE.iter().find(|large| large.0 == number) {
        let picture = draw(shape, *width, *height, &mut numbers);
        return Ok((format!("picture-{number:02}.jpg"), jpeg(&picture)?));
    }
    let (width, height) = SIZES[number % SIZES.len()];
    let picture = draw(shape, width, height, &mut numbers);
    Ok(match number % 3 {
        0 => (format!("picture-{number:02}.png"), encoded(picture, ImageFormat::Png)?),
        1 => (format!("picture-{number:02}.jpg"), jpeg(&picture)?),
        _ => (format!("picture-{number:02}.webp"), encoded(picture, ImageFormat::WebP)?),
    })
}

/// Name, code of the refusal, bytes.
fn bad_files(seed: u64) -> io::Result<[(&'static str, &'static str, Vec<u8>); 3]> {
    let mut half = jpeg(&draw(Shape::Star, 640, 480, &mut Numbers::new(seed, 3_000)))?;
    half.truncate(half.len() / 2);
    let mut promise = encoded(RgbImage::new(1, 1), ImageFormat::Png)?;
    // The picture is tiny but its header promises 65,535 × 65,535 pixels. (Then the header's checksum is wrong too;
    // but nobody should come as far as that.)
    promise[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    Ok([
        ("broken.jpg", "truncated", half),
        ("notes.png", "not-an-image", b"This is a text file that somebody has named .png by mistake.\n".to_vec()),
        ("poster.png", "too-many-pixels", promise),
    ])
}

/// One answer of each annotator.
fn answers(truth: Shape, numbers: &mut Numbers) -> [&'static str; ANNOTATORS.len()] {
    let others: Vec<_> = Shape::ALL.into_iter().filter(|shape| *shape != truth).collect();
    ANNOTATORS.map(|annotator| {
        let luck = f64::from(numbers.between(0.0, 1.0));
        let shape = match annotator.reliability {
            None => Shape::ALL[numbers.below(Shape::ALL.len())],
            Some(reliability) if luck < reliability => truth,
            Some(_) => others[numbers.below(others.len())],
        };
        shape.label()
    })
}

fn jpeg(picture: &RgbImage) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, 88);
    picture.write_with_encoder(encoder).map_err(io::Error::other)?;
    Ok(bytes)
}

fn encoded(picture: RgbImage, format: ImageFormat) -> io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, format).map_err(io::Error::other)?;
    Ok(bytes.into_inner())
}

/// Adds the metadata of a phone to a JPEG: turn me clockwise by a quarter (orientation 6), and where it was taken.
fn with_exif(jpeg: &[u8]) -> Vec<u8> {
    /// Tag, type (2 text, 3 short, 4 long, 5 fraction), count, value or where it is.
    fn entry(tag: u16, kind: u16, count: u32, value: [u8; 4]) -> Vec<u8> {
        let mut out = [tag.to_be_bytes(), kind.to_be_bytes()].concat();
        out.extend(count.to_be_bytes());
        out.extend(value);
        out
    }
    fn degrees(degrees: u32, minutes: u32, seconds: u32) -> Vec<u8> {
        [degrees, 1, minutes, 1, seconds, 1].into_iter().flat_map(u32::to_be_bytes).collect()
    }
    let mut tiff = b"MM\0*\0\0\0\x08".to_vec();
    tiff.extend([0, 2]);
    tiff.extend(entry(0x0112, 3, 1, [0, 6, 0, 0]));
    // The list of the place begins at byte 38, its fractions at byte 92.
    tiff.extend(entry(0x8825, 4, 1, [0, 0, 0, 38]));
    tiff.extend([0; 4]);
    tiff.extend([0, 4]);
    tiff.extend(entry(1, 2, 2, *b"N\0\0\0"));
    tiff.extend(entry(2, 5, 3, [0, 0, 0, 92]));
    tiff.extend(entry(3, 2, 2, *b"E\0\0\0"));
    tiff.extend(entry(4, 5, 3, [0, 0, 0, 116]));
    tiff.extend([0; 4]);
    tiff.extend(degrees(52, 30, 59));
    tiff.extend(degrees(13, 22, 39));
    let length = (2 + 6 + tiff.len()) as u16;
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend(length.to_be_bytes());
    out.extend(b"Exif\0\0");
    out.extend(tiff);
    out.extend(&jpeg[2..]);
    out
}
