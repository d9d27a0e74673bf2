//! `metadata.jsonl` of Hugging Face's ImageFolder. It lies beside the folders of the images, which
//! [`super::copy_images`] lays out; every line has every column, so that the reader finds one type for each.

use serde::Serialize;

use super::{
    Encoder, ExportError, json_line,
    path::{FileNames, metadata_folder},
};
use crate::row::Row;

#[derive(Default)]
pub(super) struct ImageFolder {
    names: FileNames,
}

#[derive(Serialize)]
struct Line<'a> {
    file_name: String,
    label: Option<&'a str>,
    confidence: Option<f64>,
    status: &'static str,
    sha256: String,
    original_name: Option<&'a str>,
    width: Option<u32>,
    height: Option<u32>,
    votes: usize,
}

impl Encoder for ImageFolder {
    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let label = row.decided_label();
        let line = Line {
            file_name: format!("{}/{}", metadata_folder(&row.image), self.names.of(row)),
            label: label.map(|(label, _)| label.as_str()),
            confidence: label.map(|(_, confidence)| confidence.get()),
            status: row.outcome.status().as_str(),
            sha256: row.image.to_string(),
            original_name: row.name().map(|name| name.as_str()),
            width: row.width,
            height: row.height,
            votes: row.votes.iter().filter(|vote| !vote.late).count(),
        };
        json_line(out, &line)
    }
}
