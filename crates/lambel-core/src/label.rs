//! Labels: what an image can be said to be.

use std::{collections::HashSet, fmt};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits;

/// One label of a task: text without control characters and without space at its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[schema(
    value_type = String,
    pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]{0,254}[^\\s\\x00-\\x1f\\x7f-\\x9f])?$",
    example = "cat"
)]
pub struct Label(String);

impl Label {
    /// Reads a label.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        if text.is_empty() {
            return Err(LabelError::Empty);
        }
        if text.chars().count() > limits::LABEL_CHARS {
            return Err(LabelError::TooLong);
        }
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err(LabelError::Untidy(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The place of a label in its task's set. Votes are stored by it: the set never changes, and a subtask stays
/// below the kilobyte that one write unit pays for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelIndex(pub u16);

/// The labels of a task: at least two, all different, in the order in which operators see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct LabelSet(Vec<Label>);

impl LabelSet {
    /// Reads a set of labels.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, LabelError> {
        if texts.len() < 2 {
            return Err(LabelError::TooFew);
        }
        if texts.len() > limits::LABELS_PER_TASK {
            return Err(LabelError::TooMany(texts.len()));
        }
        let bytes: usize = texts.iter().map(|text| text.as_ref().len()).sum();
        if bytes > limits::LABEL_SET_BYTES {
            return Err(LabelError::SetTooLong(bytes));
        }
        let mut seen = HashSet::new();
        let mut labels = Vec::with_capacity(texts.len());
        for text in texts {
            let label = Label::parse(text.as_ref())?;
            if !seen.insert(text.as_ref()) {
                return Err(LabelError::Twice(label));
            }
            labels.push(label);
        }
        Ok(Self(labels))
    }

    /// How many labels there are, *K* in the formulas.
    #[expect(clippy::len_without_is_empty, reason = "a set of labels is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The labels, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Label> {
        self.0.iter()
    }

    /// The place of a label, if it is in the set.
    pub fn index_of(&self, text: &str) -> Option<LabelIndex> {
        let place = self.0.iter().position(|label| label.as_str() == text)?;
        u16::try_from(place).ok().map(LabelIndex)
    }

    /// The label at a place. None only for a place that is not of this set.
    pub fn get(&self, index: LabelIndex) -> Option<&Label> {
        self.0.get(usize::from(index.0))
    }
}

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Vec::<String>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// What can be wrong with labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A label without text.
    #[error("a label is empty")]
    Empty,
    /// A label over the limit.
    #[error("a label is longer than {} characters", limits::LABEL_CHARS)]
    TooLong,
    /// A label with control characters or with space at its ends.
    #[error("the label {0:?} has control characters, or space at its ends")]
    Untidy(String),
    /// The same label again.
    #[error("the label {:?} is there twice", .0.as_str())]
    Twice(Label),
    /// Not a choice.
    #[error("a task needs at least 2 labels")]
    TooFew,
    /// More than the limit.
    #[error("a task has {max} labels at most, not {0}", max = limits::LABELS_PER_TASK)]
    TooMany(usize),
    /// More text than one record can hold.
    #[error("the labels of a task have {max} bytes at most together, not {0}", max = limits::LABEL_SET_BYTES)]
    SetTooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_choice_of_different_tidy_labels() {
        let set = LabelSet::parse(&["cat", "dog"]).unwrap();
        assert_eq!(set.index_of("dog"), Some(LabelIndex(1)));
        assert_eq!(set.index_of("cow"), None);
        assert_eq!(set.get(LabelIndex(0)).unwrap().as_str(), "cat");
        assert_eq!(set.get(LabelIndex(2)), None);

        assert_eq!(LabelSet::parse(&["cat"]), Err(LabelError::TooFew));
        assert!(matches!(LabelSet::parse(&["cat", "cat"]), Err(LabelError::Twice(_))));
        assert!(matches!(LabelSet::parse(&["cat", " dog"]), Err(LabelError::Untidy(_))));
        assert!(matches!(LabelSet::parse(&["cat", "d\nog"]), Err(LabelError::Untidy(_))));
        assert_eq!(LabelSet::parse(&["cat", ""]), Err(LabelError::Empty));
    }

    #[test]
    fn limits_hold_to_the_number() {
        let label = "ä".repeat(limits::LABEL_CHARS);
        assert!(Label::parse(&label).is_ok());
        assert_eq!(Label::parse(&format!("{label}x")), Err(LabelError::TooLong));

        let many: Vec<_> = (0..=limits::LABELS_PER_TASK).map(|n| n.to_string()).collect();
        assert!(LabelSet::parse(&many[1..]).is_ok());
        assert_eq!(LabelSet::parse(&many), Err(LabelError::TooMany(1_001)));
        let long: Vec<_> = (0..900).map(|n| format!("{n:0>250}")).collect();
        assert_eq!(LabelSet::parse(&long), Err(LabelError::SetTooLong(225_000)));
    }
}
