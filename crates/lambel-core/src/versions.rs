//! When the data set of a task gets a new version by itself, and when one is released.
//!
//! Whatever is said here, there is a version when the task is complete, and whenever its client asks for one.

use serde::{Deserialize, Serialize};

use crate::{
    api::{PolicyFields, ReleaseWhen},
    consensus::Confidence,
    limits,
    policy::{PolicyError, within},
};

/// When a task's data set gets versions before the task is complete, and when one is released.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// A version each time so many images more are decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_decisions: Option<u32>,
    /// A version when the last one is so many minutes old and something is decided since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<u32>,
    /// Whether the version of the complete task is released by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

/// What the version of a complete task must be for it to be released by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The least mean confidence of all images that are decided; a dispute counts as none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<Confidence>,
}

impl Versions {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there are versions before the task is complete.
    pub fn are_regular(&self) -> bool {
        self.every_decisions.is_some() || self.every_minutes.is_some()
    }

    /// Whether a version is due: so many images are decided that the last one does not have, which is so many
    /// minutes old. Without a decision there is nothing new.
    pub fn are_due(&self, new_decisions: u64, minutes: u64) -> bool {
        let reached = |bound: Option<u32>, value: u64| bound.is_some_and(|bound| value >= u64::from(bound));
        new_decisions > 0 && (reached(self.every_decisions, new_decisions) || reached(self.every_minutes, minutes))
    }

    pub(crate) fn parse(fields: &PolicyFields) -> Result<Self, PolicyError> {
        if let Some(decisions) = fields.commit_every_decisions {
            within("commit_every_decisions", decisions, 1, limits::COMMIT_EVERY_DECISIONS)?;
        }
        if let Some(minutes) = fields.commit_every_minutes {
            within(
                "commit_every_minutes",
                minutes,
                limits::COMMIT_EVERY_MINUTES_MIN,
                limits::COMMIT_EVERY_MINUTES_MAX,
            )?;
        }
        let min_confidence = match fields.release_min_confidence {
            Some(share) if !(0.0..=1.0).contains(&share) => {
                return Err(PolicyError::ReleaseConfidence { value: share });
            }
            share => share.map(Confidence::new),
        };
        let release = match fields.release_when {
            Some(ReleaseWhen::Complete) => Some(Release { min_confidence }),
            None if min_confidence.is_some() => return Err(PolicyError::NoRelease),
            None => None,
        };
        Ok(Self { every_decisions: fields.commit_every_decisions, every_minutes: fields.commit_every_minutes, release })
    }

    pub(crate) fn write_to(&self, fields: &mut PolicyFields) {
        fields.commit_every_decisions = self.every_decisions;
        fields.commit_every_minutes = self.every_minutes;
        fields.release_when = self.release.map(|_| ReleaseWhen::Complete);
        fields.release_min_confidence = self.release.and_then(|release| release.min_confidence).map(Confidence::get);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;

    #[test]
    fn what_is_said_comes_back() {
        let fields = PolicyFields {
            commit_every_decisions: Some(100),
            commit_every_minutes: Some(60),
            release_when: Some(ReleaseWhen::Complete),
            release_min_confidence: Some(0.9),
            ..PolicyFields::default()
        };
        let policy = Policy::parse(&fields).unwrap();
        assert_eq!(Policy::parse(&PolicyFields::from(&policy)).unwrap(), policy);
        assert_eq!(policy.versions.release.unwrap().min_confidence.unwrap().get(), 0.9);
        assert!(Policy::default().versions.is_default() && !Policy::default().versions.are_regular());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let usual = PolicyFields::default;
        let complete = Some(ReleaseWhen::Complete);
        for (fields, reason) in [
            (
                PolicyFields { commit_every_decisions: Some(0), ..usual() },
                "commit_every_decisions is 1 to 100000000, not 0",
            ),
            (PolicyFields { commit_every_minutes: Some(4), ..usual() }, "commit_every_minutes is 5 to 44640, not 4"),
            (
                PolicyFields { release_when: complete, release_min_confidence: Some(1.1), ..usual() },
                "release_min_confidence is 0 to 1, not 1.1",
            ),
            (
                PolicyFields { release_min_confidence: Some(0.5), ..usual() },
                "release_min_confidence says nothing without release_when",
            ),
        ] {
            assert_eq!(Policy::parse(&fields).unwrap_err().to_string(), reason);
        }
    }

    #[test]
    fn a_version_is_due_after_so_many_decisions_or_minutes() {
        let versions = Versions { every_decisions: Some(10), every_minutes: Some(60), release: None };
        assert!(!versions.are_due(9, 59) && versions.are_due(10, 0) && versions.are_due(1, 60));
        assert!(!versions.are_due(0, 10_000), "nothing is new");
        assert!(!Versions::default().are_due(1_000_000, 1_000_000));
    }
}
