//! The augmented manifest of SageMaker Ground Truth: JSON Lines that Rekognition Custom Labels and SageMaker
//! training read.
//!
//! An image that is `complete` has the attribute (the place of its label in the list of labels) and
//! `…-metadata`; any other picture is a line with nothing but its `source-ref`, as the input had it.

use lambel_core::Timestamp;
use serde::Serialize;
use serde::ser::SerializeMap;

use super::{About, Encoder, ExportError, json_line};
use crate::row::Row;

/// A name that no label attribute can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be the name of a label attribute: 1 to 127 letters, digits and hyphens, without `-metadata` in it \
     and `-ref` at its end"
)]
pub struct BadAttribute(pub String);

pub(super) struct Manifest {
    attribute: String,
    metadata: String,
    job: String,
    about: About,
}

impl Manifest {
    pub(super) fn new(attribute: &str, about: About) -> Result<Self, ExportError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let plain = !attribute.is_empty() && attribute.len() <= 127 && attribute.bytes().all(good);
        if !plain || attribute.contains("-metadata") || attribute.ends_with("-ref") || attribute == "source" {
            return Err(BadAttribute(attribute.to_owned()).into());
        }
        Ok(Self {
            attribute: attribute.to_owned(),
            metadata: format!("{attribute}-metadata"),
            job: format!("labeling-job/{}", about.task),
            about,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata<'a> {
    class_name: &'a str,
    confidence: f64,
    #[serde(rename = "type")]
    kind: &'a str,
    job_name: &'a str,
    human_annotated: &'a str,
    creation_date: String,
}

struct Line<'a> {
    source_ref: String,
    label: Option<(&'a str, usize, &'a str, Metadata<'a>)>,
}

impl Serialize for Line<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("source-ref", &self.source_ref)?;
        if let Some((attribute, index, metadata_name, metadata)) = &self.label {
            line.serialize_entry(attribute, index)?;
            line.serialize_entry(metadata_name, metadata)?;
        }
        line.end()
    }
}

/// ISO 8601 without a zone and with microseconds, as Ground Truth writes it.
fn creation_date(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}000", text.strip_suffix('Z').unwrap_or(&text))
}

impl Encoder for Manifest {
    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let source_ref = self.about.address(row)?;
        let label = match row.decided_label() {
            Some((label, confidence)) => {
                let human = row.votes.iter().any(|vote| !vote.late && !vote.is_model());
                let metadata = Metadata {
                    class_name: label.as_str(),
                    confidence: confidence.get(),
                    kind: "groundtruth/image-classification",
                    job_name: &self.job,
                    human_annotated: if human { "yes" } else { "no" },
                    creation_date: creation_date(row.decided_at.unwrap_or(self.about.at)),
                };
                Some((self.attribute.as_str(), self.about.index_of(row, label)?, self.metadata.as_str(), metadata))
            }
            None => None,
        };
        json_line(out, &Line { source_ref, label })
    }
}
