//! Manifests of SageMaker Ground Truth: those that a job reads, and those that it has written, to go on from.

use std::io::{self, BufRead};

use lambel_core::{Label, Timestamp, consensus::Confidence};
use serde_json::{Map, Value};

use super::{ImportLimits, Plan, PlannedImage, PlannedLabel, Planner, address, from_address, label, lines, named};
use crate::ContentId;

const CLASSIFICATION: &str = "groundtruth/image-classification";

/// How to read a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroundTruth {
    /// The label attribute. Without it, the one attribute of a line whose metadata is of an image classification.
    pub attribute: Option<String>,
    /// What the numbers of labels mean, for lines whose metadata has no class name.
    pub labels: Vec<Label>,
    /// What it may have at most.
    pub limits: ImportLimits,
}

impl GroundTruth {
    /// Reads a manifest. An error is one of the input; what is wrong with its lines is in the plan.
    pub fn read(&self, input: impl BufRead) -> io::Result<Plan> {
        let mut planner = Planner::new(self.limits);
        lines(input, self.limits, |number, line| {
            let image = line.and_then(|line| self.line(line));
            planner.take(number, image)
        })?;
        Ok(planner.plan)
    }

    fn line(&self, line: &str) -> Result<PlannedImage, String> {
        let fields: Map<String, Value> =
            serde_json::from_str(line).map_err(|error| format!("this is not a JSON object: {error}"))?;
        let uri = match (fields.get("source-ref"), fields.get("source")) {
            (Some(Value::String(uri)), None) => address(uri)?,
            (Some(Value::String(_)), Some(_)) => return Err("it has both `source-ref` and `source`".to_owned()),
            (Some(_), _) => return Err("`source-ref` is not text".to_owned()),
            (None, Some(_)) => return Err("`source` is a text to be labelled, not an image".to_owned()),
            (None, None) => return Err("it has no `source-ref`".to_owned()),
        };
        let (image, names) = from_address(&uri);
        let label = self.label(&fields)?;
        Ok(PlannedImage { number: 0, id: ContentId::of(uri.as_bytes()), uri, image, names, label, votes: Vec::new() })
    }

    fn label(&self, fields: &Map<String, Value>) -> Result<Option<PlannedLabel>, String> {
        let attribute = match &self.attribute {
            Some(attribute) => attribute.as_str(),
            None => match classified(fields).as_slice() {
                [] => match multi_label(fields) {
                    Some(attribute) => return Err(format!("`{attribute}` can have several labels to an image")),
                    None => return Ok(None),
                },
                [attribute] => attribute,
                several => return Err(format!("it has several label attributes: {}", several.join(", "))),
            },
        };
        let metadata = match fields.get(&format!("{attribute}-metadata")) {
            Some(Value::Object(metadata)) => Some(metadata),
            Some(_) => return Err(format!("`{attribute}-metadata` is not an object")),
            None => None,
        };
        let Some(value) = fields.get(attribute) else {
            // A job that could not label an image says so in the metadata alone.
            return match metadata {
                Some(metadata) if !metadata.contains_key("failure-reason") => {
                    Err(format!("it has `{attribute}-metadata` and no `{attribute}`"))
                }
                _ => Ok(None),
            };
        };
        let text = |name: &str| metadata.and_then(|metadata| metadata.get(name)?.as_str());
        if let Some(kind) = text("type").filter(|kind| *kind != CLASSIFICATION) {
            return Err(format!("`{attribute}` is of the type {kind}, not {CLASSIFICATION}"));
        }
        if value.is_array() {
            return Err(format!("`{attribute}` has several labels"));
        }
        let chosen = match (text("class-name"), value) {
            (Some(name), _) => label(name)?,
            (None, Value::String(name)) => label(name)?,
            (None, value) => {
                let place = value.as_u64().and_then(|place| usize::try_from(place).ok());
                let known = place.and_then(|place| self.labels.get(place));
                known
                    .cloned()
                    .ok_or_else(|| format!("`{attribute}` is {value}, and nothing says which label that is"))?
            }
        };
        let confidence = match metadata.and_then(|metadata| metadata.get("confidence")) {
            None => None,
            Some(value) => {
                let number = value.as_f64().and_then(|number| Confidence::try_from(number).ok());
                Some(number.ok_or_else(|| format!("the confidence {value} is not from 0 to 1"))?)
            }
        };
        let decided_at = match text("creation-date") {
            None => None,
            Some(date) => Some(creation_date(date).ok_or_else(|| format!("{date:?} is not a date"))?),
        };
        let job = text("job-name").and_then(|job| job.rsplit('/').next()).filter(|job| !job.is_empty());
        let job = job.unwrap_or(attribute);
        // What a model has labelled by itself is no answer of people.
        let by = match text("human-annotated") {
            Some("no") => named("model:ground-truth@", job)?,
            _ => named("import:ground-truth:", job)?,
        };
        Ok(Some(PlannedLabel { label: chosen, confidence, decided_at, truth: false, by: Some(by) }))
    }
}

/// Attributes whose metadata is of a classification with a single label.
fn classified(fields: &Map<String, Value>) -> Vec<&str> {
    let kind = |metadata: &Value| metadata.get("type").and_then(Value::as_str) == Some(CLASSIFICATION);
    let found = fields.iter().filter(|(_, value)| kind(value)).filter_map(|(name, _)| name.strip_suffix("-metadata"));
    found.collect()
}

/// An attribute of a classification with several labels to an image.
fn multi_label(fields: &Map<String, Value>) -> Option<&str> {
    let several = |metadata: &Value| {
        let kind = metadata.get("type").and_then(Value::as_str).unwrap_or_default();
        kind.ends_with("-multilabel") || metadata.get("class-map").is_some_and(|_| kind.is_empty())
    };
    let mut found = fields.iter().filter(|(_, value)| several(value));
    found.find_map(|(name, _)| name.strip_suffix("-metadata"))
}

/// A date as Ground Truth writes it, which has no zone and means UTC; one with a zone is understood too.
fn creation_date(text: &str) -> Option<Timestamp> {
    let moment = text
        .parse::<jiff::Timestamp>()
        .or_else(|_| {
            text.parse::<jiff::civil::DateTime>()?.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp())
        })
        .ok()?;
    Some(Timestamp::from_millis(moment.as_millisecond()))
}
