//! Who did what: the trail that is kept of every deed that a person may have to answer for.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{ImportName, OperatorId, Timestamp, api::AudienceFields};

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Actor {
    /// The `sub` of their token, or `lambel` for what the service does by itself.
    pub id: String,
    /// The name of their account at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Actor {
    /// The service itself.
    pub fn lambel() -> Self {
        Self { id: "lambel".to_owned(), name: None }
    }
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Deed {
    /// A task was made.
    TaskCreated {
        /// Who may label it.
        audience: AudienceFields,
    },
    /// A task was sealed, or its seal was corrected.
    TaskSealed {
        /// How many distinct images it has.
        images: u64,
    },
    /// A task was opened to other operators.
    AudienceChanged {
        /// Who may label it from then on.
        audience: AudienceFields,
    },
    /// Votes from outside were announced, and come in from then on.
    ImportBegun {
        /// The id of the import.
        import: ImportName,
        /// What it comes from.
        source: ImportName,
        /// On how many images there are votes, as the client says.
        images: u64,
        /// How many votes there are, as the client says.
        votes: u64,
    },
    /// Disputed images were reviewed by the client or an admin: each says by whom.
    DisputesReviewed {
        /// How many the request was about to decide.
        images: u64,
    },
    /// Images became gold, or gold with another label: they are decided for what the client or an admin knows.
    GoldAdded {
        /// How many the request was about to change.
        images: u64,
    },
    /// Images are no gold any more.
    GoldRemoved {
        /// How many.
        images: u64,
    },
    /// A task was cancelled.
    TaskCancelled,
    /// A task was completed.
    TaskCompleted,
    /// An operator was paused.
    OperatorPaused {
        /// Why, in the admin's words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator may work again.
    OperatorResumed,
    /// An operator was paused in one task: by its client, by an admin, or by its policy.
    OperatorPausedInTask {
        /// Who.
        operator: OperatorId,
        /// Why: in somebody's words, or by which flags.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator may work in the task again.
    OperatorResumedInTask {
        /// Who.
        operator: OperatorId,
    },
}

impl Deed {
    /// Its name, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::TaskCreated { .. } => "task-created",
            Self::TaskSealed { .. } => "task-sealed",
            Self::AudienceChanged { .. } => "audience-changed",
            Self::ImportBegun { .. } => "import-begun",
            Self::DisputesReviewed { .. } => "disputes-reviewed",
            Self::GoldAdded { .. } => "gold-added",
            Self::GoldRemoved { .. } => "gold-removed",
            Self::TaskCancelled => "task-cancelled",
            Self::TaskCompleted => "task-completed",
            Self::OperatorPaused { .. } => "operator-paused",
            Self::OperatorResumed => "operator-resumed",
            Self::OperatorPausedInTask { .. } => "operator-paused-in-task",
            Self::OperatorResumedInTask { .. } => "operator-resumed-in-task",
        }
    }
}

/// One line of the trail. It is written in the same transaction as the change that it speaks of; where that takes
/// several, before them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    #[serde(flatten)]
    pub deed: Deed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deed_is_written_by_its_name() {
        let deeds = [
            Deed::TaskCreated { audience: AudienceFields { everyone: true, ..AudienceFields::default() } },
            Deed::TaskSealed { images: 4 },
            Deed::AudienceChanged { audience: AudienceFields { teams: vec!["a".into()], ..AudienceFields::default() } },
            Deed::ImportBegun {
                import: "a1".parse().unwrap(),
                source: "label-studio".parse().unwrap(),
                images: 2,
                votes: 5,
            },
            Deed::DisputesReviewed { images: 3 },
            Deed::GoldAdded { images: 50 },
            Deed::GoldRemoved { images: 1 },
            Deed::TaskCancelled,
            Deed::TaskCompleted,
            Deed::OperatorPaused { reason: Some("too fast".into()) },
            Deed::OperatorResumed,
            Deed::OperatorPausedInTask { operator: "op-1".parse().unwrap(), reason: None },
            Deed::OperatorResumedInTask { operator: "op-1".parse().unwrap() },
        ];
        for deed in deeds {
            let entry = AuditEntry { at: Timestamp::from_millis(1), actor: Actor::lambel(), deed };
            let json = serde_json::to_value(&entry).unwrap();
            assert_eq!(json["action"], entry.deed.name());
            assert_eq!(serde_json::from_value::<AuditEntry>(json).unwrap(), entry);
        }
    }
}
