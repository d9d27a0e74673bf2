//! A row: one image of a data set, with all that is known of it.
//!
//! A row has one canonical line of JSON. Its fields, in this order; those that have no value are left out:
//! `image`, `names`, `uri`, `object_version`, `bytes`, `media_type`, `width`, `height`, `status`, `label`,
//! `confidence`, `reason`, `detail`, `decided_at`, `votes`. A vote has `operator`, `label` or `abstain`, `at`,
//! `elapsed_ms`, `weight`, and `late` where it is true.

use lambel_core::{
    FileName, ImageId, Label, OperatorId, Timestamp,
    consensus::{Confidence, Dispute},
    subtask::{Abstention, Refusal},
};
use serde::{Deserialize, Serialize, de::Error as _, ser::SerializeStruct};

/// One image of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The image.
    pub image: ImageId,
    /// Every name the client gave it, sorted, each once. There may be none.
    pub names: Vec<FileName>,
    /// Where the file is, such as `s3://bucket/key`.
    pub uri: Option<String>,
    /// Which version of the object there.
    pub object_version: Option<String>,
    /// The length of the file in bytes; none if it is not known.
    pub bytes: Option<u64>,
    /// The media type, from the bytes themselves; none where the file is no picture.
    pub media_type: Option<String>,
    /// Width in pixels, as shown.
    pub width: Option<u32>,
    /// Height in pixels, as shown.
    pub height: Option<u32>,
    /// What came out.
    pub outcome: Outcome,
    /// When it was decided or refused.
    pub decided_at: Option<Timestamp>,
    /// Every vote, sorted by time and operator.
    pub votes: Vec<RowVote>,
}

/// What came out of the labelling of an image.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It has its label.
    Complete {
        /// The label.
        label: Label,
        /// How sure it is.
        confidence: Confidence,
        /// Why its votes have found no answer, if they have not: then its task takes the best label there is.
        reason: Option<Dispute>,
    },
    /// It ran out of votes without an answer.
    Disputed {
        /// The best there is; none where nobody gave one.
        label: Option<Label>,
        /// How sure that is.
        confidence: Confidence,
        /// Why no answer was found.
        reason: Dispute,
    },
    /// Nothing is decided yet.
    Unlabelled,
    /// No picture that could be labelled.
    Rejected {
        /// Why.
        refusal: Refusal,
    },
}

impl Outcome {
    /// The status, as it is written.
    pub fn status(&self) -> Status {
        match self {
            Self::Complete { .. } => Status::Complete,
            Self::Disputed { .. } => Status::Disputed,
            Self::Unlabelled => Status::Unlabelled,
            Self::Rejected { .. } => Status::Rejected,
        }
    }

    /// The label, or in a dispute the best there is.
    pub fn label(&self) -> Option<&Label> {
        match self {
            Self::Complete { label, .. } => Some(label),
            Self::Disputed { label, .. } => label.as_ref(),
            Self::Unlabelled | Self::Rejected { .. } => None,
        }
    }

    /// How sure the label is.
    pub fn confidence(&self) -> Option<Confidence> {
        match self {
            Self::Complete { confidence, .. } | Self::Disputed { confidence, .. } => Some(*confidence),
            Self::Unlabelled | Self::Rejected { .. } => None,
        }
    }
}

/// Where an image stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It has its label.
    Complete,
    /// It ran out of votes without an answer.
    Disputed,
    /// Nothing is decided yet.
    Unlabelled,
    /// No picture that could be labelled.
    Rejected,
}

impl Status {
    /// The status as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Disputed => "disputed",
            Self::Unlabelled => "unlabelled",
            Self::Rejected => "rejected",
        }
    }
}

/// The weight that a rule gave to a vote: a finite number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Weight(f64);

impl Weight {
    /// A weight. None for what is no finite number.
    pub fn new(weight: f64) -> Option<Self> {
        // Adding zero takes the sign off minus zero.
        weight.is_finite().then_some(Self(weight + 0.0))
    }

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Weight {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value).ok_or_else(|| format!("{value} is no weight"))
    }
}

impl From<Weight> for f64 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

/// What one operator said of the image.
#[derive(Clone, Debug, PartialEq)]
pub struct RowVote {
    /// Who.
    pub operator: OperatorId,
    /// What.
    pub answer: VoteAnswer,
    /// When; none where it came from a file that does not say.
    pub at: Option<Timestamp>,
    /// How long they looked, in milliseconds.
    pub elapsed_ms: Option<u32>,
    /// How much it counted, where the rule weighs votes.
    pub weight: Option<Weight>,
    /// Whether it came after the decision: evidence, without effect.
    pub late: bool,
}

/// A label, or none and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteAnswer {
    /// A label.
    Label(Label),
    /// None, and why.
    Abstain(Abstention),
}

impl VoteAnswer {
    /// The label, if one was given.
    pub fn label(&self) -> Option<&Label> {
        match self {
            Self::Label(label) => Some(label),
            Self::Abstain(_) => None,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Label(label) => label.as_str(),
            Self::Abstain(reason) => reason.as_str(),
        }
    }
}

impl RowVote {
    /// Whether a model gave it. Their ids are `model:name@version`.
    pub fn is_model(&self) -> bool {
        self.operator.as_str().starts_with("model:")
    }

    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |vote: &Self| (vote.at, vote.late, vote.elapsed_ms);
        self.at
            .cmp(&other.at)
            .then_with(|| self.operator.cmp(&other.operator))
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| self.answer.text().cmp(other.answer.text()))
            .then_with(|| self.answer.label().is_some().cmp(&other.answer.label().is_some()))
            .then_with(|| {
                let bits = |vote: &Self| vote.weight.map(|weight| weight.get().to_bits());
                bits(self).cmp(&bits(other))
            })
    }
}

impl Row {
    /// An image of which nothing but its id is known.
    pub fn new(image: ImageId) -> Self {
        Self {
            image,
            names: Vec::new(),
            uri: None,
            object_version: None,
            bytes: None,
            media_type: None,
            width: None,
            height: None,
            outcome: Outcome::Unlabelled,
            decided_at: None,
            votes: Vec::new(),
        }
    }

    /// Brings names and votes into their order, so that equal rows have equal bytes.
    pub fn tidy(&mut self) {
        self.names.sort();
        self.names.dedup();
        self.votes.sort_by(RowVote::order);
        if let Outcome::Complete { confidence, .. } | Outcome::Disputed { confidence, .. } = &mut self.outcome {
            // Adding zero takes the sign off minus zero.
            *confidence = Confidence::new(confidence.get() + 0.0);
        }
    }

    /// The label of an image that has one. Not what a dispute was about.
    pub fn decided_label(&self) -> Option<(&Label, Confidence)> {
        match &self.outcome {
            Outcome::Complete { label, confidence, .. } => Some((label, *confidence)),
            _ => None,
        }
    }

    /// The first of its names.
    pub fn name(&self) -> Option<&FileName> {
        self.names.first()
    }
}

impl Serialize for Row {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_struct("Row", 15)?;
        row.serialize_field("image", &self.image)?;
        row.serialize_field("names", &self.names)?;
        optional(&mut row, "uri", &self.uri)?;
        optional(&mut row, "object_version", &self.object_version)?;
        optional(&mut row, "bytes", &self.bytes)?;
        optional(&mut row, "media_type", &self.media_type)?;
        optional(&mut row, "width", &self.width)?;
        optional(&mut row, "height", &self.height)?;
        row.serialize_field("status", &self.outcome.status())?;
        optional(&mut row, "label", &self.outcome.label())?;
        optional(&mut row, "confidence", &self.outcome.confidence())?;
        match &self.outcome {
            Outcome::Complete { reason: Some(reason), .. } | Outcome::Disputed { reason, .. } => {
                row.serialize_field("reason", reason)?;
            }
            Outcome::Rejected { refusal } => {
                row.serialize_field("reason", &refusal.code)?;
                row.serialize_field("detail", &refusal.detail)?;
            }
            Outcome::Complete { reason: None, .. } | Outcome::Unlabelled => {}
        }
        optional(&mut row, "decided_at", &self.decided_at)?;
        row.serialize_field("votes", &self.votes)?;
        row.end()
    }
}

fn optional<R: SerializeStruct, T: Serialize>(
    row: &mut R,
    name: &'static str,
    value: &Option<T>,
) -> Result<(), R::Error> {
    match value {
        Some(value) => row.serialize_field(name, value),
        None => row.skip_field(name),
    }
}

impl Serialize for RowVote {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut vote = serializer.serialize_struct("Vote", 6)?;
        vote.serialize_field("operator", &self.operator)?;
        match &self.answer {
            VoteAnswer::Label(label) => vote.serialize_field("label", label)?,
            VoteAnswer::Abstain(reason) => vote.serialize_field("abstain", reason)?,
        }
        optional(&mut vote, "at", &self.at)?;
        optional(&mut vote, "elapsed_ms", &self.elapsed_ms)?;
        optional(&mut vote, "weight", &self.weight)?;
        optional(&mut vote, "late", &self.late.then_some(true))?;
        vote.end()
    }
}

/// A row as it is read, before its parts are held against one another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowFields {
    image: ImageId,
    names: Vec<FileName>,
    uri: Option<String>,
    object_version: Option<String>,
    bytes: Option<u64>,
    media_type: Option<String>,
    width: Option<u32>,
    height: Option<u32>,
    status: Status,
    label: Option<Label>,
    confidence: Option<Confidence>,
    reason: Option<String>,
    detail: Option<String>,
    decided_at: Option<Timestamp>,
    votes: Vec<RowVote>,
}

impl RowFields {
    fn outcome(&mut self) -> Result<Outcome, &'static str> {
        let parts = (self.label.take(), self.confidence.take(), self.reason.take(), self.detail.take());
        let dispute = |reason| {
            Dispute::deserialize(serde_json::Value::String(reason)).map_err(|_| "there is no such reason for a dispute")
        };
        match (self.status, parts) {
            (Status::Complete, (Some(label), Some(confidence), reason, None)) => {
                Ok(Outcome::Complete { label, confidence, reason: reason.map(dispute).transpose()? })
            }
            (Status::Disputed, (label, Some(confidence), Some(reason), None)) => {
                Ok(Outcome::Disputed { label, confidence, reason: dispute(reason)? })
            }
            (Status::Unlabelled, (None, None, None, None)) => Ok(Outcome::Unlabelled),
            (Status::Rejected, (None, None, Some(code), Some(detail))) => {
                Ok(Outcome::Rejected { refusal: Refusal { code, detail } })
            }
            (Status::Complete, _) => Err("what is complete has a label and a confidence"),
            (Status::Disputed, _) => Err("what is disputed has a confidence and a reason"),
            (Status::Unlabelled, _) => Err("what is unlabelled has no label, no confidence and no reason"),
            (Status::Rejected, _) => Err("what is rejected has a reason with a detail, and no label"),
        }
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = RowFields::deserialize(deserializer)?;
        let outcome = fields.outcome().map_err(D::Error::custom)?;
        let mut row = Self {
            image: fields.image,
            names: fields.names,
            uri: fields.uri,
            object_version: fields.object_version,
            bytes: fields.bytes,
            media_type: fields.media_type,
            width: fields.width,
            height: fields.height,
            outcome,
            decided_at: fields.decided_at,
            votes: fields.votes,
        };
        row.tidy();
        Ok(row)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VoteFields {
    operator: OperatorId,
    label: Option<Label>,
    abstain: Option<Abstention>,
    at: Option<Timestamp>,
    elapsed_ms: Option<u32>,
    weight: Option<Weight>,
    #[serde(default)]
    late: bool,
}

impl<'de> Deserialize<'de> for RowVote {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = VoteFields::deserialize(deserializer)?;
        let answer = match (fields.label, fields.abstain) {
            (Some(label), None) => VoteAnswer::Label(label),
            (None, Some(reason)) => VoteAnswer::Abstain(reason),
            _ => return Err(D::Error::custom("a vote has a label, or a reason for having none")),
        };
        Ok(Self {
            operator: fields.operator,
            answer,
            at: fields.at,
            elapsed_ms: fields.elapsed_ms,
            weight: fields.weight,
            late: fields.late,
        })
    }
}
