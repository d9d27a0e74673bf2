//! Imports: what other tools have written, as a plan of images, names, votes and labels.
//!
//! An input is read as a stream, an element at a time, and becomes a [`Plan`]. Whoever acts on it calls
//! [`Plan::accept`] first: if a single element is broken it hands out nothing but the list of what is broken, so
//! nothing is imported by half. A plan does no I/O and follows from the input alone: the same input gives the same
//! plan with the same ids, and importing it again changes nothing.

mod ground_truth;
mod label_studio;

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    io::{self, BufRead},
};

use lambel_core::{FileName, ImageId, Label, OperatorId, Timestamp, consensus::Confidence};
use serde::Serialize;

pub use self::{ground_truth::GroundTruth, label_studio::LabelStudio};
use crate::{
    ContentId,
    row::{Outcome, Row, RowVote},
};

/// What an input may have at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportLimits {
    /// Its bytes.
    pub bytes: u64,
    /// Its elements.
    pub elements: u64,
    /// How many broken elements are listed; the others are counted.
    pub problems: usize,
}

impl Default for ImportLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, elements: 1_000_000, problems: 1_000 }
    }
}

/// Characters of an address at most.
const ADDRESS_CHARS: usize = 2_048;
/// Characters of a line at most: the limit of Ground Truth.
const LINE_BYTES: usize = 100_000;

/// A label that an input has for an image as its result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedLabel {
    /// The label.
    pub label: Label,
    /// How sure it is, if the input says.
    pub confidence: Option<Confidence>,
    /// When it was decided, if the input says.
    pub decided_at: Option<Timestamp>,
    /// Whether the input calls it the truth: fit for a gold image.
    pub truth: bool,
    /// Whose vote it can be taken for, where the input has no votes: the job that has found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<OperatorId>,
}

/// An image of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedImage {
    /// Which element of the input it is, or which line: from 1.
    #[serde(skip)]
    pub number: u64,
    /// Its id within imports: the SHA-256 of its address.
    pub id: ContentId,
    /// Where the file is, as the input says.
    pub uri: String,
    /// The image, where the input tells: from Lambel's own exports and addresses.
    pub image: Option<ImageId>,
    /// Its names.
    pub names: Vec<FileName>,
    /// What came out, if the input has a result.
    pub label: Option<PlannedLabel>,
    /// Who said what.
    pub votes: Vec<RowVote>,
}

impl PlannedImage {
    /// The row of this image, once its bytes are known. A label without a confidence is taken for sure.
    pub fn row(&self, image: ImageId) -> Row {
        let mut row = Row::new(image);
        row.names.clone_from(&self.names);
        row.uri = Some(self.uri.clone());
        row.votes.clone_from(&self.votes);
        if let Some(planned) = &self.label {
            let confidence = planned.confidence.unwrap_or(Confidence::new(1.0));
            row.outcome = Outcome::Complete { label: planned.label.clone(), confidence, reason: None };
            row.decided_at = planned.decided_at;
        }
        row.tidy();
        row
    }
}

/// An element that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{number}: {reason}")]
pub struct ImportProblem {
    /// Which element of the input, or which line: from 1.
    pub number: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// What an input comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Its images, in the order of the input, each once.
    pub images: Vec<PlannedImage>,
    /// Every label that occurs.
    pub labels: BTreeSet<Label>,
    /// Elements that said again, word for word, what another had said.
    pub repeated: u64,
    /// What cannot be taken.
    pub problems: Vec<ImportProblem>,
    /// How many elements cannot be taken, those among them that are not listed.
    pub broken: u64,
}

impl Plan {
    /// The images, if every element is good; otherwise what is broken, and nothing else.
    pub fn accept(self) -> Result<Vec<PlannedImage>, Vec<ImportProblem>> {
        if self.broken == 0 { Ok(self.images) } else { Err(self.problems) }
    }

    /// An id that follows from what is planned: an import that was done before can be told by it.
    pub fn id(&self) -> Result<ContentId, serde_json::Error> {
        Ok(ContentId::of(&serde_json::to_vec(&self.images)?))
    }
}

/// A plan in the making.
struct Planner {
    limits: ImportLimits,
    plan: Plan,
    places: HashMap<ContentId, usize>,
}

impl Planner {
    fn new(limits: ImportLimits) -> Self {
        Self { limits, plan: Plan::default(), places: HashMap::new() }
    }

    fn problem(&mut self, number: u64, reason: impl Into<String>) {
        self.plan.broken += 1;
        if self.plan.problems.len() < self.limits.problems {
            self.plan.problems.push(ImportProblem { number, reason: reason.into() });
        }
    }

    /// Takes an element, or what is wrong with it. False where no more can be taken.
    fn take(&mut self, number: u64, element: Result<PlannedImage, String>) -> bool {
        if number > self.limits.elements {
            self.problem(number, format!("there are more than {} elements", self.limits.elements));
            return false;
        }
        match element {
            Ok(mut image) => {
                image.number = number;
                image.names.sort();
                image.names.dedup();
                self.image(image);
            }
            Err(reason) => self.problem(number, reason),
        }
        true
    }

    fn image(&mut self, image: PlannedImage) {
        let number = image.number;
        match self.places.entry(image.id) {
            Entry::Vacant(place) => {
                place.insert(self.plan.images.len());
                let voted = image.votes.iter().filter_map(|vote| vote.answer.label());
                let labels = voted.chain(image.label.as_ref().map(|planned| &planned.label));
                for label in labels {
                    if !self.plan.labels.contains(label) {
                        self.plan.labels.insert(label.clone());
                    }
                }
                self.plan.images.push(image);
            }
            Entry::Occupied(place) => match self.plan.images.get(*place.get()) {
                Some(known) if PlannedImage { number: known.number, ..image.clone() } == *known => {
                    self.plan.repeated += 1;
                }
                known => {
                    let first = known.map_or(0, |known| known.number);
                    self.problem(number, format!("the same image as {first}, with other things said of it"));
                }
            },
        }
    }
}

/// Reads an address.
fn address(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the address of the image is empty".to_owned());
    }
    if text.chars().count() > ADDRESS_CHARS {
        return Err(format!("the address of the image has more than {ADDRESS_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("the address of the image has control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// The last part of an address, without what a presigned one has behind it.
fn last_part(uri: &str) -> &str {
    let path = if uri.starts_with("s3://") { uri } else { uri.split(['?', '#']).next().unwrap_or(uri) };
    path.rsplit('/').next().unwrap_or(path)
}

/// What an address says of its image: the id, if it is one of Lambel's own, and else a name.
fn from_address(uri: &str) -> (Option<ImageId>, Vec<FileName>) {
    let last = last_part(uri);
    match last.parse() {
        Ok(image) => (Some(image), Vec::new()),
        Err(_) => (None, FileName::parse(last).into_iter().collect()),
    }
}

fn label(text: &str) -> Result<Label, String> {
    Label::parse(text).map_err(|error| error.to_string())
}

/// An operator called as the input calls them; where that cannot be an id, by a part of its hash.
fn named(prefix: &str, name: &str) -> Result<OperatorId, String> {
    let plain = format!("{prefix}{name}").parse::<OperatorId>();
    plain.or_else(|_| {
        let hash = ContentId::of(name.as_bytes()).to_string();
        format!("{prefix}{}", hash.get(..16).unwrap_or(&hash)).parse().map_err(|error| format!("{error}"))
    })
}

/// The id under which votes of an operator of an import come into a task: one that no account can have. Whoever is
/// called so already keeps the name, so that what is exported and imported again has the same ids. An error only for a
/// name that is none even by its hash.
pub fn outside(operator: &OperatorId) -> Result<OperatorId, String> {
    if operator.is_outside() {
        return Ok(operator.clone());
    }
    let name = operator.as_str();
    let hash = ContentId::of(name.as_bytes()).to_string();
    let hash = hash.get(..16).unwrap_or(&hash);
    let (plain, hashed) = match (name.strip_prefix("label-studio:"), name.strip_prefix("model:")) {
        (Some(user), _) => (format!("import:label-studio:{user}"), format!("import:label-studio:{hash}")),
        (None, Some(model)) => (format!("model:{model}@unknown"), format!("model:{hash}@unknown")),
        (None, None) => (format!("import:lambel:{name}"), format!("import:lambel:{hash}")),
    };
    match plain.parse::<OperatorId>() {
        Ok(id) if id.is_outside() => Ok(id),
        _ => hashed.parse().map_err(|error| format!("{error}")),
    }
}

/// Hands over each line that is not empty, with its number. A line that is too long or no UTF-8 is an error of its
/// own; what stops is the input. False from `take` ends it.
fn lines(
    input: impl BufRead,
    limits: ImportLimits,
    mut take: impl FnMut(u64, Result<&str, String>) -> bool,
) -> io::Result<()> {
    let mut input = input.take(limits.bytes.saturating_add(1));
    let mut line = Vec::new();
    let (mut number, mut read) = (0, 0);
    loop {
        line.clear();
        number += 1;
        // One byte more than a line may have, so that a longer one shows.
        let mut bytes = io::Read::take(&mut input, LINE_BYTES as u64 + 2).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            return Ok(());
        }
        let too_long = line.strip_suffix(b"\n").unwrap_or(&line).len() > LINE_BYTES;
        if too_long && !line.ends_with(b"\n") {
            bytes += input.skip_until(b'\n')?;
        }
        read += bytes as u64;
        if read > limits.bytes {
            take(number, Err(format!("the input has more than {} bytes", limits.bytes)));
            return Ok(());
        }
        let go_on = match std::str::from_utf8(&line) {
            _ if too_long => take(number, Err(format!("the line has more than {LINE_BYTES} bytes"))),
            Err(_) => take(number, Err("the line is not UTF-8".to_owned())),
            Ok(text) if text.trim().is_empty() => true,
            Ok(text) => take(number, Ok(text)),
        };
        if !go_on {
            return Ok(());
        }
    }
}

/// Reads the rows of a JSON Lines export. A broken line is a problem; the rows are in the order of the lines.
pub fn read_rows(input: impl BufRead, limits: ImportLimits) -> io::Result<(Vec<Row>, Vec<ImportProblem>)> {
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    lines(input, limits, |number, line| {
        let row = line.and_then(|line| serde_json::from_str(line).map_err(|error| error.to_string()));
        match row {
            Ok(row) => rows.push(row),
            Err(reason) if problems.len() < limits.problems => problems.push(ImportProblem { number, reason }),
            Err(_) => return false,
        }
        number < limits.elements
    })?;
    Ok((rows, problems))
}
