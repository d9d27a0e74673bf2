//! JSON for Label Studio: an array of tasks, votes of people as annotations, votes of models and the decision as
//! predictions.
//!
//! The labelling configuration has an `Image` named `image` and `Choices` named `choice`. Annotations carry no
//! `completed_by`: Label Studio refuses the import of one whose user it does not know. Who it was stands in
//! `operator`, which Label Studio ignores and Lambel reads. An abstention is an annotation that was cancelled and
//! is empty, which is what a skipped task is there. Votes that came too late are not exported.

use lambel_core::Timestamp;
use serde::Serialize;

use super::{About, Encoder, ExportError, Numbers};
use crate::row::{Row, RowVote, VoteAnswer};

/// The model version of the prediction that carries the decision, before the method.
pub(crate) const DECISION: &str = "lambel-consensus:";

pub(super) struct LabelStudio {
    about: About,
    tasks: u64,
    annotations: u64,
}

impl LabelStudio {
    pub(super) fn new(about: About) -> Self {
        Self { about, tasks: 0, annotations: 0 }
    }
}

#[derive(Serialize)]
struct Task<'a> {
    id: u64,
    data: Data<'a>,
    annotations: Vec<Annotation<'a>>,
    predictions: Vec<Prediction<'a>>,
}

#[derive(Serialize)]
struct Data<'a> {
    image: String,
    sha256: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<&'a str>,
    status: &'static str,
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: u64,
    result: Vec<Choices<'a>>,
    was_cancelled: bool,
    ground_truth: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<Timestamp>,
    /// In seconds.
    lead_time: Option<f64>,
    result_count: usize,
    task: u64,
    operator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    abstain: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    model_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    result: Vec<Choices<'a>>,
}

#[derive(Serialize)]
struct Choices<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    from_name: &'static str,
    to_name: &'static str,
    origin: &'static str,
    value: Chosen<'a>,
}

#[derive(Serialize)]
struct Chosen<'a> {
    choices: [&'a str; 1],
}

fn choices<'a>(row: &Row, place: usize, label: &'a str, origin: &'static str) -> Choices<'a> {
    let digest = row.image.to_string();
    Choices {
        id: format!("{}-{place}", digest.get(..10).unwrap_or(&digest)),
        kind: "choices",
        from_name: "choice",
        to_name: "image",
        origin,
        value: Chosen { choices: [label] },
    }
}

impl LabelStudio {
    fn annotation<'a>(&mut self, row: &Row, place: usize, vote: &'a RowVote) -> Annotation<'a> {
        self.annotations += 1;
        let (result, abstain) = match &vote.answer {
            VoteAnswer::Label(label) => (vec![choices(row, place, label.as_str(), "manual")], None),
            VoteAnswer::Abstain(reason) => (Vec::new(), Some(reason.as_str())),
        };
        Annotation {
            id: self.annotations,
            was_cancelled: result.is_empty(),
            result_count: result.len(),
            result,
            ground_truth: false,
            created_at: vote.at,
            updated_at: vote.at,
            lead_time: vote.elapsed_ms.map(|elapsed| f64::from(elapsed) / 1_000.0),
            task: self.tasks,
            operator: vote.operator.as_str(),
            abstain,
            weight: vote.weight.map(|weight| weight.get()),
        }
    }
}

impl Encoder for LabelStudio {
    fn go_on(&mut self, before: Numbers) {
        (self.tasks, self.annotations) = (before.images, before.annotations);
    }

    fn numbers(&self) -> Numbers {
        Numbers { images: self.tasks, annotations: self.annotations }
    }

    fn begin(&mut self, _pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        out.extend(b"[");
        Ok(())
    }

    fn row(&mut self, _pass: usize, row: &Row, _name: &str, out: &mut Vec<u8>) -> Result<(), ExportError> {
        let image = self.about.address(row)?;
        out.extend(if self.tasks == 0 { b"\n".as_slice() } else { b",\n" });
        self.tasks += 1;
        let votes = || row.votes.iter().enumerate().filter(|(_, vote)| !vote.late);
        let mut annotations = Vec::new();
        for (place, vote) in votes().filter(|(_, vote)| !vote.is_model()) {
            annotations.push(self.annotation(row, place, vote));
        }
        let mut predictions = Vec::new();
        for (place, vote) in votes().filter(|(_, vote)| vote.is_model()) {
            let model = vote.operator.as_str();
            predictions.push(Prediction {
                model_version: model.strip_prefix("model:").unwrap_or(model).to_owned(),
                score: None,
                created_at: vote.at,
                // A model that abstains has looked, and says nothing.
                result: vote
                    .answer
                    .label()
                    .map(|label| choices(row, place, label.as_str(), "prediction"))
                    .into_iter()
                    .collect(),
            });
        }
        if let Some((label, confidence)) = row.decided_label() {
            predictions.push(Prediction {
                model_version: format!("{DECISION}{}", self.about.method),
                score: Some(confidence.get()),
                created_at: row.decided_at,
                result: vec![choices(row, row.votes.len(), label.as_str(), "prediction")],
            });
        }
        let data = Data {
            image,
            sha256: row.image.to_string(),
            names: row.names.iter().map(|name| name.as_str()).collect(),
            status: row.outcome.status().as_str(),
        };
        serde_json::to_writer(&mut *out, &Task { id: self.tasks, data, annotations, predictions })?;
        Ok(())
    }

    fn end(&mut self, _pass: usize, out: &mut Vec<u8>) -> Result<(), ExportError> {
        out.extend(b"\n]\n");
        Ok(())
    }
}
