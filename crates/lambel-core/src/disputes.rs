//! What becomes of images whose votes have found no answer: a task's policy says it, and a person may decide them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    ClientId, LabelIndex, Subtask, SubtaskState, Timestamp,
    consensus::{Confidence, Decision},
    subtask::DecidedBy,
};

/// What a task does with an image whose votes have found no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDispute {
    /// It is `disputed`, with the best label there is, and the task completes with it.
    #[default]
    Marked,
    /// It is `complete` with the best label there is, however unsure that is. Why there was no answer stays beside
    /// it. Without any label it is `disputed` all the same.
    Best,
    /// It is `disputed`, and the task does not complete before somebody has reviewed it.
    Review,
}

impl OnDispute {
    /// Every choice.
    pub const ALL: [Self; 3] = [Self::Marked, Self::Best, Self::Review];

    /// The choice as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Marked => "marked",
            Self::Best => "best",
            Self::Review => "review",
        }
    }

    /// Whether this is what a task does that says nothing of it.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The state of a subtask with this decision.
    pub fn state_of(self, decision: &Decision) -> SubtaskState {
        match (decision.dispute, decision.label) {
            (None, _) => SubtaskState::Complete,
            (Some(_), Some(_)) if self == Self::Best => SubtaskState::Complete,
            (Some(_), _) => SubtaskState::Disputed,
        }
    }
}

impl Subtask {
    /// Decides it as a person says who has reviewed it. From then on neither votes nor batches change it. False, and no
    /// change, unless it is disputed.
    ///
    /// Its confidence is 1: nobody is asked any more. That a person stands for it, and not its votes, is said by
    /// [`DecidedBy::Review`].
    pub fn review(&mut self, label: LabelIndex, reviewer: &ClientId, now: Timestamp) -> bool {
        let decision = Decision { label: Some(label), confidence: Confidence::new(1.0), dispute: None };
        let is_disputed = self.state == SubtaskState::Disputed;
        let reviewed = is_disputed && self.revise(decision, DecidedBy::Review, OnDispute::Review, now);
        if reviewed {
            self.reviewed_by = Some(reviewer.clone());
        }
        reviewed
    }

    /// Decides it anew for the label that its client knows to be true, where a person has decided it for another one:
    /// as gold before, or by a review. That was a mistake then. False, and no change, in all other cases: what votes
    /// have decided is what gold is compared with.
    pub fn correct(&mut self, label: LabelIndex, now: Timestamp) -> bool {
        let decision = Decision { label: Some(label), confidence: Confidence::new(1.0), dispute: None };
        let is_wrong = self.decision.is_some_and(|before| before.label != decision.label);
        if self.state != SubtaskState::Complete || !self.decided_by.is_person() || !is_wrong {
            return false;
        }
        self.close_by(decision, DecidedBy::Gold, OnDispute::default(), now);
        self.reviewed_by = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ImageId, Policy, TaskId,
        api::PolicyFields,
        consensus::Dispute,
        subtask::{Picture, Preview},
    };

    fn decision(label: Option<u16>, dispute: Option<Dispute>) -> Decision {
        Decision { label: label.map(LabelIndex), confidence: Confidence::new(0.5), dispute }
    }

    fn open() -> Subtask {
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let (task, image, at) = (TaskId::random(), ImageId::of(b"x"), Timestamp::default());
        let mut subtask = Subtask::preparing(task, image, 1, picture, Preview::NotNeeded, at);
        assert!(subtask.open(None));
        subtask
    }

    #[test]
    fn a_policy_says_what_a_dispute_comes_to() {
        let (answer, tie) = (decision(Some(1), None), decision(Some(1), Some(Dispute::NoAnswer)));
        let nothing = decision(None, Some(Dispute::Abstentions));
        for on in OnDispute::ALL {
            assert_eq!(on.state_of(&answer), SubtaskState::Complete);
            assert_eq!(on.state_of(&nothing), SubtaskState::Disputed, "there is no label to take");
            let mut subtask = open();
            subtask.close(tie, on, Timestamp::from_millis(2));
            let expected = if on == OnDispute::Best { SubtaskState::Complete } else { SubtaskState::Disputed };
            assert_eq!((subtask.state, subtask.decision), (expected, Some(tie)), "the reason stays");
        }
    }

    #[test]
    fn a_choice_is_written_by_its_name_and_left_out_where_it_is_the_usual_one() {
        for on in OnDispute::ALL {
            assert_eq!(serde_json::to_value(on).unwrap(), on.as_str());
            let fields = PolicyFields { disputed: Some(on), ..PolicyFields::default() };
            let policy = Policy::parse(&fields).unwrap();
            assert_eq!((policy.disputed, PolicyFields::from(&policy).disputed), (on, Some(on)));
            let json = serde_json::to_value(policy).unwrap();
            assert_eq!(json.get("disputed").is_some(), !on.is_default(), "{json}");
            assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), policy);
        }
    }

    #[test]
    fn a_review_decides_what_is_disputed_once_and_nothing_else() {
        let (who, other): (ClientId, ClientId) = ("client".parse().unwrap(), "other".parse().unwrap());
        let mut subtask = open();
        assert!(!subtask.review(LabelIndex(1), &who, Timestamp::from_millis(2)), "it takes votes");
        subtask.close(decision(Some(0), Some(Dispute::NoAnswer)), OnDispute::Review, Timestamp::from_millis(3));
        let rev = subtask.rev;
        assert!(subtask.review(LabelIndex(1), &who, Timestamp::from_millis(4)));
        assert_eq!((subtask.state, subtask.decided_by), (SubtaskState::Complete, DecidedBy::Review));
        let decided = subtask.decision.unwrap();
        assert_eq!((decided.label, decided.confidence.get(), decided.dispute), (Some(LabelIndex(1)), 1.0, None));
        assert_eq!((subtask.decided_rev, subtask.decided_at), (Some(rev + 1), Some(Timestamp::from_millis(4))));
        assert_eq!(subtask.reviewed_by, Some(who.clone()));
        let before = subtask.clone();
        assert!(!subtask.review(LabelIndex(0), &other, Timestamp::from_millis(5)), "it is decided");
        // Whatever is found out of its votes later.
        let answer = decision(Some(0), None);
        assert!(!subtask.revise(answer, DecidedBy::Batch, OnDispute::Review, Timestamp::from_millis(6)));
        assert!(!subtask.can_reopen(&Policy::default()));
        assert_eq!(subtask, before);
        // Its client may still know better.
        assert!(!subtask.correct(LabelIndex(1), Timestamp::from_millis(7)), "it is that");
        assert!(subtask.correct(LabelIndex(0), Timestamp::from_millis(7)));
        assert_eq!((subtask.decision.unwrap().label, subtask.decided_by), (Some(LabelIndex(0)), DecidedBy::Gold));
        assert_eq!((subtask.reviewed_by.as_ref(), subtask.decided_rev), (None, Some(rev + 2)));
        let mut voted = open();
        voted.close(answer, OnDispute::Review, Timestamp::from_millis(3));
        assert!(!voted.correct(LabelIndex(1), Timestamp::from_millis(7)), "its votes have decided it");
    }
}
