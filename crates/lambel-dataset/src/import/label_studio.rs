//! JSON of Label Studio: tasks with annotations and predictions, as it exports and imports them.

use std::{
    fmt,
    io::{self, Read},
};

use lambel_core::{FileName, OperatorId, Timestamp, consensus::Confidence, subtask::Abstention};
use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

use super::{ImportLimits, Plan, PlannedImage, PlannedLabel, Planner, address, from_address, label, named};
use crate::{
    ContentId,
    export::DECISION,
    row::{RowVote, VoteAnswer, Weight},
};

/// How to read tasks of Label Studio.
///
/// * An annotation is the vote of a person: of `operator` where Lambel has written it, else of `completed_by`, by its
///   number if it has one.
///   Several of one person: the latest counts. One that was cancelled or is empty is an abstention. One that is
///   called the ground truth is the label too.
/// * A prediction is the vote of a model, `model:` and its version; Lambel's own decision is the label.
/// * Of the results, those of type `choices` count; each must have one choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelStudio {
    /// Which field of `data` has the address of the image.
    pub image_key: String,
    /// Which control has the label. Without it, any `choices`.
    pub from_name: Option<String>,
    /// What it may have at most.
    pub limits: ImportLimits,
}

impl Default for LabelStudio {
    fn default() -> Self {
        Self { image_key: "image".to_owned(), from_name: None, limits: ImportLimits::default() }
    }
}

#[derive(Deserialize)]
struct Task {
    data: Map<String, Value>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    #[serde(default)]
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    result: Vec<Item>,
    #[serde(default)]
    was_cancelled: bool,
    #[serde(default)]
    ground_truth: bool,
    created_at: Option<jiff::Timestamp>,
    lead_time: Option<f64>,
    completed_by: Option<User>,
    operator: Option<OperatorId>,
    abstain: Option<Abstention>,
    weight: Option<Weight>,
}

#[derive(Deserialize)]
struct Prediction {
    #[serde(default)]
    result: Vec<Item>,
    model_version: Option<String>,
    score: Option<f64>,
    created_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    from_name: Option<String>,
    #[serde(default)]
    value: Map<String, Value>,
}

/// A user: a number, or an object with more.
#[derive(Deserialize)]
#[serde(untagged)]
enum User {
    Number(u64),
    Details { id: Option<u64>, email: Option<String> },
}

impl LabelStudio {
    /// Reads an array of tasks. An error is one of the input; what is wrong with its tasks is in the plan. After a
    /// task that is no JSON at all nothing more can be read, and the plan says so.
    pub fn read(&self, input: impl Read) -> io::Result<Plan> {
        let mut planner = Planner::new(self.limits);
        let mut number = 0;
        let input = io::BufReader::with_capacity(1 << 16, input.take(self.limits.bytes));
        let mut json = serde_json::Deserializer::from_reader(input);
        let tasks = Tasks {
            take: |raw: &RawValue| {
                number += 1;
                planner.take(number, self.task(raw.get()))
            },
        };
        let read = json.deserialize_seq(tasks).and_then(|()| json.end());
        match read {
            Err(error) if error.is_io() => return Err(error.into()),
            // What was stopped on purpose has said why.
            Err(_) if number > self.limits.elements => {}
            Err(error) => planner.problem(number + 1, format!("this is not an array of JSON objects: {error}")),
            Ok(()) => {}
        }
        Ok(planner.plan)
    }

    fn task(&self, json: &str) -> Result<PlannedImage, String> {
        let task: Task = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let uri = match task.data.get(&self.image_key) {
            Some(Value::String(uri)) => address(uri)?,
            Some(_) => return Err(format!("`data.{}` is not text", self.image_key)),
            None => return Err(format!("it has no `data.{}`", self.image_key)),
        };
        let (from_uri, mut names) = from_address(&uri);
        let image = match task.data.get("sha256").and_then(Value::as_str).map(str::parse) {
            Some(Ok(image)) => Some(image),
            _ => from_uri,
        };
        if let Some(Value::Array(given)) = task.data.get("names") {
            let given = given.iter().filter_map(Value::as_str).map(FileName::parse);
            names = given.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        }
        let mut found = Found::default();
        for annotation in task.annotations {
            self.annotation(annotation, &mut found)?;
        }
        for prediction in task.predictions {
            self.prediction(prediction, &mut found)?;
        }
        let Found { mut votes, label } = found;
        votes.sort_by(|a, b| (a.at, &a.operator).cmp(&(b.at, &b.operator)));
        Ok(PlannedImage { number: 0, id: ContentId::of(uri.as_bytes()), uri, image, names, label, votes })
    }

    fn annotation(&self, annotation: Annotation, found: &mut Found) -> Result<(), String> {
        let chosen = self.choice(&annotation.result)?;
        let answer = match (chosen, annotation.was_cancelled) {
            (Some(text), false) => VoteAnswer::Label(label(&text)?),
            (_, true) => VoteAnswer::Abstain(annotation.abstain.unwrap_or(Abstention::Unclear)),
            (None, false) => VoteAnswer::Abstain(annotation.abstain.unwrap_or(Abstention::NoneFits)),
        };
        let at = annotation.created_at.map(|at| Timestamp::from_millis(at.as_millisecond()));
        if let (true, VoteAnswer::Label(label)) = (annotation.ground_truth, &answer) {
            found.label =
                Some(PlannedLabel { label: label.clone(), confidence: None, decided_at: at, truth: true, by: None });
        }
        let operator = match (annotation.operator, annotation.completed_by) {
            (Some(operator), _) => Ok(operator),
            // The number where there is one: some exports have no addresses.
            (None, Some(User::Number(id) | User::Details { id: Some(id), .. })) => {
                named("label-studio:", &id.to_string())
            }
            (None, Some(User::Details { email: Some(email), .. })) => named("label-studio:", &email),
            (None, Some(User::Details { id: None, email: None }) | None) => named("label-studio:", "unknown"),
        }?;
        let elapsed_ms = annotation.lead_time.map(|seconds| (seconds * 1_000.0).round() as u32);
        found.vote(RowVote { operator, answer, at, elapsed_ms, weight: annotation.weight, late: false });
        Ok(())
    }

    fn prediction(&self, prediction: Prediction, found: &mut Found) -> Result<(), String> {
        let Some(text) = self.choice(&prediction.result)? else { return Ok(()) };
        let label = label(&text)?;
        let at = prediction.created_at.map(|at| Timestamp::from_millis(at.as_millisecond()));
        let version = prediction.model_version.as_deref().unwrap_or("unknown");
        if version.starts_with(DECISION) {
            let confidence = prediction.score.map(Confidence::try_from).transpose()?;
            if found.label.is_none() {
                found.label = Some(PlannedLabel { label, confidence, decided_at: at, truth: false, by: None });
            }
            return Ok(());
        }
        let operator = named("model:", version)?;
        let answer = VoteAnswer::Label(label);
        found.vote(RowVote { operator, answer, at, elapsed_ms: None, weight: None, late: false });
        Ok(())
    }

    /// The one choice of some results; none if nothing was chosen.
    fn choice(&self, items: &[Item]) -> Result<Option<String>, String> {
        let wanted = |item: &&Item| {
            item.kind == "choices" && self.from_name.as_ref().is_none_or(|name| item.from_name.as_ref() == Some(name))
        };
        let mut chosen = Vec::new();
        for item in items.iter().filter(wanted) {
            match item.value.get("choices") {
                Some(Value::Array(choices)) => chosen.extend(choices.iter().map(Value::as_str)),
                _ => return Err("a result of type `choices` has no list of choices".to_owned()),
            }
        }
        match (chosen.as_slice(), items) {
            // Boxes, texts and the like: nobody has said that there is nothing to choose.
            ([], [first, ..]) if self.from_name.is_none() && items.iter().all(|item| item.kind != "choices") => {
                Err(format!("it has a result of type `{}` and none of type `choices`", first.kind))
            }
            ([], _) => Ok(None),
            ([Some(choice)], _) => Ok(Some((*choice).to_owned())),
            ([None], _) => Err("a choice is not text".to_owned()),
            (several, _) => Err(format!("it has {} choices where one was expected", several.len())),
        }
    }
}

#[derive(Default)]
struct Found {
    votes: Vec<RowVote>,
    label: Option<PlannedLabel>,
}

impl Found {
    /// Takes a vote. The latest of an operator counts; of two at the same time the later one in the file.
    fn vote(&mut self, vote: RowVote) {
        match self.votes.iter_mut().find(|known| known.operator == vote.operator) {
            Some(known) if known.at > vote.at => {}
            Some(known) => *known = vote,
            None => self.votes.push(vote),
        }
    }
}

/// Hands over the elements of an array, one at a time.
struct Tasks<F> {
    take: F,
}

impl<'de, F: FnMut(&RawValue) -> bool> Visitor<'de> for Tasks<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of tasks")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut tasks: A) -> Result<(), A::Error> {
        while let Some(task) = tasks.next_element::<Box<RawValue>>()? {
            if !(self.take)(&task) {
                return Err(serde::de::Error::custom("there are too many tasks"));
            }
        }
        Ok(())
    }
}
