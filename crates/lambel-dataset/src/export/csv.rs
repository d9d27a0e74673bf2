//! CSV (RFC 4180, UTF-8, a header): a table for people and pandas. Votes are counted, not listed.
//!
//! A cell is empty where a row has no such value; `status` tells what is unlabelled. Text stands as it is: labels
//! and names are not changed for programs that take `=` for a formula.

use csv::WriterBuilder;

use super::{Encoder, ExportError};
use crate::row::{Outcome, Row};

const COLUMNS: [&str; 18] = [
    "image",
    "name",
    "names",
    "uri",
    "object_version",
    "bytes",
    "media_type",
    "width",
    "height",
    "status",
    "label",
    "confidence",
    "reason",
    "detail",
    "decided_at",
    "votes",
    "abstentions",
    "late",
];

pub(super) struct Csv;

fn text<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn record(out: &mut Vec<u8>, cells: &[&str]) -> Result<(), ExportError> {
    // A writer ends its last record when it is flushed; the buffer is ours.
    let mut writer = WriterBuilder::new().buffer_capacity(1 << 10).from_writer(out);
    writer.write_record(cells)?;
    Ok(writer.flush()?)
}

impl Encoder for Csv {
    fn begin(&mut self, _pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        record(out, &COLUMNS)
    }

    fn row(&mut self, _pass: usize, row: &Row, name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let reason = match &row.outcome {
            Outcome::Complete { reason: Some(reason), .. } | Outcome::Disputed { reason, .. } => {
                match serde_json::to_value(reason)? {
                    serde_json::Value::String(reason) => Some(reason),
                    _ => None,
                }
            }
            Outcome::Rejected { refusal } => Some(refusal.code.clone()),
            _ => None,
        };
        let detail = match &row.outcome {
            Outcome::Rejected { refusal } => refusal.detail.as_str(),
            _ => "",
        };
        let count = |late: bool, label: bool| {
            let counted = row.votes.iter().filter(|vote| vote.late == late && vote.answer.label().is_some() == label);
            counted.count().to_string()
        };
        let late = row.votes.iter().filter(|vote| vote.late).count();
        record(
            out,
            &[
                &row.image.to_string(),
                if row.names.is_empty() { "" } else { name },
                &row.names.len().to_string(),
                row.uri.as_deref().unwrap_or_default(),
                row.object_version.as_deref().unwrap_or_default(),
                &text(row.bytes),
                row.media_type.as_deref().unwrap_or_default(),
                &text(row.width),
                &text(row.height),
                row.outcome.status().as_str(),
                &text(row.outcome.label()),
                &text(row.outcome.confidence().map(|confidence| confidence.get())),
                reason.as_deref().unwrap_or_default(),
                detail,
                &text(row.decided_at),
                &count(false, true),
                &count(false, false),
                &late.to_string(),
            ],
        )
    }
}
