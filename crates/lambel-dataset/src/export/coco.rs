//! COCO with a category for each image, in the shape of the iNaturalist competitions: `images`, `annotations`
//! without boxes, `categories`. COCO itself has no label for a whole image; this is what readers of COCO take.
//!
//! Categories are numbered from 1 in the order of the task's labels, images and annotations from 1 in the order of
//! the export. The rows are read twice, for `images` and for `annotations`. An image that is not `complete` has no
//! annotation.

use serde::Serialize;

use super::{About, Encoder, ExportError, Numbers};
use crate::row::Row;

pub(super) struct Coco {
    about: About,
    /// Images, and in the second pass the image that is at hand.
    images: u64,
    annotations: u64,
}

impl Coco {
    pub(super) fn new(about: About) -> Self {
        Self { about, images: 0, annotations: 0 }
    }
}

#[derive(Serialize)]
struct Info<'a> {
    year: u16,
    version: String,
    description: &'a str,
    contributor: &'a str,
    url: &'a str,
    date_created: String,
}

#[derive(Serialize)]
struct Category<'a> {
    id: usize,
    name: &'a str,
    supercategory: &'a str,
}

#[derive(Serialize)]
struct Image<'a> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    file_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    coco_url: Option<&'a str>,
    sha256: String,
}

#[derive(Serialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: usize,
    confidence: f64,
}

impl Encoder for Coco {
    fn go_on(&mut self, before: Numbers) {
        (self.images, self.annotations) = (before.images, before.annotations);
    }

    fn numbers(&self) -> Numbers {
        Numbers { images: self.images, annotations: self.annotations }
    }

    fn begin(&mut self, pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if pass > 0 {
            out.extend(b"\n],\n\"annotations\":[");
            return Ok(());
        }
        let date_created = self.about.at.to_string();
        let info = Info {
            year: date_created.get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970),
            version: self.about.commit.to_string(),
            description: &self.about.message,
            contributor: &self.about.program,
            url: "",
            date_created,
        };
        let categories: Vec<_> = self
            .about
            .labels
            .iter()
            .enumerate()
            .map(|(place, label)| Category { id: place + 1, name: label.as_str(), supercategory: "" })
            .collect();
        out.extend(b"{\"info\":");
        serde_json::to_writer(&mut *out, &info)?;
        out.extend(b",\n\"licenses\":[],\n\"categories\":");
        serde_json::to_writer(&mut *out, &categories)?;
        out.extend(b",\n\"images\":[");
        Ok(())
    }

    fn row(&mut self, pass: usize, row: &Row, name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        self.images += 1;
        if pass == 0 {
            out.extend(if self.images == 1 { b"\n".as_slice() } else { b",\n" });
            let image = Image {
                id: self.images,
                width: row.width,
                height: row.height,
                file_name: name,
                coco_url: row.uri.as_deref(),
                sha256: row.image.to_string(),
            };
            serde_json::to_writer(&mut *out, &image)?;
        } else if let Some((label, confidence)) = row.decided_label() {
            self.annotations += 1;
            out.extend(if self.annotations == 1 { b"\n".as_slice() } else { b",\n" });
            let category_id = self.about.index_of(row, label)? + 1;
            let confidence = confidence.get();
            let annotation = Annotation { id: self.annotations, image_id: self.images, category_id, confidence };
            serde_json::to_writer(&mut *out, &annotation)?;
        }
        Ok(())
    }

    fn end(&mut self, pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        if pass == 1 {
            out.extend(b"\n]}\n");
        }
        Ok(())
    }
}
