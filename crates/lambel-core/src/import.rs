//! Votes from outside: what other tools have collected, brought into a task.
//!
//! A task is told of an import first, so that its trail says who has brought in what; then votes come in under the
//! import's id. Nobody holds a lease for them. They take slots like any other vote, and never one that is promised to
//! somebody. Bringing in the same votes again changes nothing.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    OperatorId, Policy, Task, TaskState, Timestamp, Vote,
    consensus::Verdict,
    limits,
    subtask::{Cast, Subtask, SubtaskState},
};

/// How the ids of people begin who have voted in another tool: `import:TOOL:NAME`.
const PERSON: &str = "import:";
/// How the ids of models begin: `model:NAME@VERSION`.
const MODEL: &str = "model:";

/// A text that is no name of an import or of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has 1 to {} characters out of a-z 0-9 - and begins with none of the last", limits::IMPORT_NAME_CHARS)]
pub struct ParseImportNameError;

/// The id of an import, or the name of what it comes from. Its client chooses both; the id is best made of what is
/// imported, so that the same import has the same id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,63}$", example = "label-studio")]
pub struct ImportName(String);

impl ImportName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImportName {
    type Err = ParseImportNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let long = text.len() > limits::IMPORT_NAME_CHARS;
        if text.is_empty() || long || text.starts_with('-') || !text.bytes().all(good) {
            return Err(ParseImportNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ImportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ImportName {
    type Error = ParseImportNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImportName> for String {
    fn from(name: ImportName) -> Self {
        name.0
    }
}

impl OperatorId {
    /// Whether this is the id of somebody outside: a person of another tool, `import:TOOL:NAME`, or a model,
    /// `model:NAME@VERSION`. No account has such an id, since those of accounts have no colon; so votes under it
    /// cannot be taken for those of an account.
    pub fn is_outside(&self) -> bool {
        let full = |pair: Option<(&str, &str)>| pair.is_some_and(|(left, right)| !left.is_empty() && !right.is_empty());
        match (self.as_str().strip_prefix(PERSON), self.as_str().strip_prefix(MODEL)) {
            (Some(person), _) => full(person.split_once(':')),
            (None, Some(model)) => full(model.split_once('@')),
            (None, None) => false,
        }
    }
}

/// Why a task cannot be told of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is over.
    #[error("the task is {}", .0.as_str())]
    Ended(TaskState),
    /// It knows of too many.
    #[error("a task takes {} imports at most", limits::IMPORTS_PER_TASK)]
    TooMany,
}

impl Task {
    /// Tells the task of an import. False, and no change, if it knows of it already.
    pub fn begin_import(&mut self, import: &ImportName) -> Result<bool, ImportError> {
        if self.imports.contains(import) {
            return Ok(false);
        }
        if self.state.is_final() {
            return Err(ImportError::Ended(self.state));
        }
        if self.imports.len() >= limits::IMPORTS_PER_TASK {
            return Err(ImportError::TooMany);
        }
        self.imports.insert(import.clone());
        self.rev += 1;
        Ok(true)
    }
}

/// Why a vote from outside was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBroughtIn {
    /// The picture is not in the pool yet.
    #[error("the image is not open yet; bring the vote in again in a moment")]
    NotOpen,
    /// The file is no picture that can be labelled.
    #[error("the file was refused: there is nothing to vote on")]
    Refused,
    /// What the rule still wants is promised to operators who look at the image now.
    #[error("operators look at the image now and no slot is free; bring the vote in again later")]
    NoSlot,
    /// The votes that are there decide, and nobody has closed the subtask yet. Once it is closed the vote is late.
    #[error("the image is decided, and is being closed")]
    Decided,
    /// There are as many late votes as a record keeps.
    #[error("the image is decided and has {} late votes, which is the limit", limits::LATE_VOTES_BROUGHT_IN)]
    TooManyLate,
}

impl Subtask {
    /// Brings in votes from outside, one after the other, and says what became of each. All that changes is one
    /// change: `rev` rises by one, or not at all.
    ///
    /// As with [`Subtask::cast`], the same again is unchanged, another answer of the same operator replaces the first
    /// while the subtask is open, and what comes after the decision is late. Without a lease a vote with a label takes
    /// a slot that is free: one that the rule wants and that no lease holds, not even one that has expired. Votes that
    /// come behind the one that decides have to wait until the subtask is closed.
    pub fn bring_in<'a>(
        &mut self,
        votes: impl IntoIterator<Item = (&'a OperatorId, Vote)>,
        policy: &Policy,
        labels: usize,
    ) -> Vec<Result<Cast, NotBroughtIn>> {
        let mut changed = false;
        let outcomes = votes.into_iter().map(|(operator, vote)| {
            let outcome = self.bring_in_one(operator, vote, policy, labels);
            changed |= matches!(outcome, Ok((_, true)));
            outcome.map(|(cast, _)| cast)
        });
        let outcomes = outcomes.collect();
        self.rev += u64::from(changed);
        outcomes
    }

    /// What became of one vote, and whether that changed anything.
    fn bring_in_one(
        &mut self,
        operator: &OperatorId,
        vote: Vote,
        policy: &Policy,
        labels: usize,
    ) -> Result<(Cast, bool), NotBroughtIn> {
        let earlier = self.votes.get(operator).map(|earlier| earlier.answer);
        match self.state {
            SubtaskState::Preparing => Err(NotBroughtIn::NotOpen),
            SubtaskState::Rejected => Err(NotBroughtIn::Refused),
            SubtaskState::Open | SubtaskState::Complete | SubtaskState::Disputed if earlier == Some(vote.answer) => {
                Ok((Cast::Unchanged, false))
            }
            SubtaskState::Open => {
                if matches!(self.judge(policy, labels), Verdict::Decided(_)) {
                    return Err(NotBroughtIn::Decided);
                }
                // An abstention takes no slot, and has none to give to the label that takes its place.
                let takes_slot = vote.answer.label().is_some() && earlier.is_none_or(|answer| answer.label().is_none());
                if takes_slot && self.free_slots(policy, labels, Timestamp::default()) == 0 {
                    return Err(NotBroughtIn::NoSlot);
                }
                self.votes.insert(operator.clone(), vote);
                Ok((if earlier.is_some() { Cast::Replaced } else { Cast::Counted }, true))
            }
            SubtaskState::Complete | SubtaskState::Disputed => {
                let late = self.late.get(operator).map(|late| late.answer);
                if late == Some(vote.answer) {
                    return Ok((Cast::Late, false));
                }
                if late.is_none() && self.late.len() >= limits::LATE_VOTES_BROUGHT_IN {
                    return Err(NotBroughtIn::TooManyLate);
                }
                self.late.insert(operator.clone(), vote);
                Ok((Cast::Late, true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        ImageId, LabelIndex, TaskId,
        api::PolicyFields,
        subtask::{Abstention, Answer, Picture, Preview},
    };

    const LABELS: usize = 3;

    fn policy(quorum: u32) -> Policy {
        Policy::parse(&PolicyFields { quorum: Some(quorum), ..PolicyFields::default() }).unwrap()
    }

    fn open() -> Subtask {
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let (task, image, at) = (TaskId::random(), ImageId::of(b"x"), Timestamp::default());
        let mut subtask = Subtask::preparing(task, image, 1, picture, Preview::NotNeeded, at);
        assert!(subtask.open(None));
        subtask
    }

    fn who(n: usize) -> OperatorId {
        format!("import:label-studio:{n}").parse().unwrap()
    }

    fn said(answer: Answer) -> Vote {
        Vote { answer, at: Timestamp::from_millis(9), elapsed_ms: None, earned: None }
    }

    fn label(place: u16) -> Vote {
        said(Answer::Label(LabelIndex(place)))
    }

    fn bring(subtask: &mut Subtask, votes: &[(usize, Vote)], quorum: u32) -> Vec<Result<Cast, NotBroughtIn>> {
        let votes: Vec<_> = votes.iter().map(|(n, vote)| (who(*n), *vote)).collect();
        subtask.bring_in(votes.iter().map(|(operator, vote)| (operator, *vote)), &policy(quorum), LABELS)
    }

    fn close(subtask: &mut Subtask, quorum: u32) {
        let Verdict::Decided(decision) = subtask.judge(&policy(quorum), LABELS) else { panic!("it is decided") };
        subtask.close(decision, policy(quorum).disputed, Timestamp::from_millis(10));
    }

    #[test]
    fn ids_from_outside_are_no_ids_of_accounts() {
        for good in ["import:label-studio:7", "import:lambel:a:b", "model:tiny@1.2", "model:a@b@c"] {
            assert!(good.parse::<OperatorId>().unwrap().is_outside(), "{good}");
        }
        let account = "b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c5d";
        for bad in [account, "anna", "import:", "import:x", "import::7", "import:x:", "model:m", "model:@1", "model:m@"]
        {
            assert!(!bad.parse::<OperatorId>().unwrap().is_outside(), "{bad}");
        }
    }

    #[test]
    fn names_of_imports_are_plain() {
        assert!("0".repeat(64).parse::<ImportName>().is_ok());
        for bad in ["", "-a", "A", "a b", "a/b", "ä", &"0".repeat(65)] {
            assert!(bad.parse::<ImportName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn votes_fill_the_slots_and_twice_is_once() {
        let mut subtask = open();
        let votes = [(1, label(0)), (2, label(0)), (3, label(1))];
        let rev = subtask.rev;
        assert_eq!(bring(&mut subtask, &votes, 2), [Ok(Cast::Counted), Ok(Cast::Counted), Err(NotBroughtIn::Decided)]);
        assert_eq!((subtask.rev, subtask.votes.len()), (rev + 1, 2), "one change");
        close(&mut subtask, 2);
        let rev = subtask.rev;
        assert_eq!(bring(&mut subtask, &votes, 2), [Ok(Cast::Unchanged), Ok(Cast::Unchanged), Ok(Cast::Late)]);
        assert_eq!(subtask.rev, rev + 1);
        let before = subtask.clone();
        assert_eq!(bring(&mut subtask, &votes, 2), [Ok(Cast::Unchanged), Ok(Cast::Unchanged), Ok(Cast::Late)]);
        assert_eq!(subtask, before, "the second time nothing changes");
    }

    #[test]
    fn a_slot_that_is_promised_is_not_taken() {
        let mut subtask = open();
        let now = Timestamp::from_millis(5);
        subtask.lease(&"op-1".parse().unwrap(), now.plus(Duration::from_secs(1)), now);
        assert_eq!(
            bring(&mut subtask, &[(1, label(0)), (2, label(0))], 2),
            [Ok(Cast::Counted), Err(NotBroughtIn::NoSlot)]
        );
        let abstention = said(Answer::Abstain(Abstention::Unclear));
        assert_eq!(bring(&mut subtask, &[(2, abstention)], 2), [Ok(Cast::Counted)], "it takes no slot");
        assert_eq!(bring(&mut subtask, &[(2, label(0))], 2), [Err(NotBroughtIn::NoSlot)], "and has none to give");
        assert_eq!(bring(&mut subtask, &[(1, label(1))], 2), [Ok(Cast::Replaced)]);
    }

    #[test]
    fn what_is_no_open_picture_takes_no_votes() {
        let mut subtask = open();
        subtask.state = SubtaskState::Preparing;
        let before = subtask.clone();
        assert_eq!(bring(&mut subtask, &[(1, label(0))], 2), [Err(NotBroughtIn::NotOpen)]);
        assert_eq!(subtask, before);
        subtask.state = SubtaskState::Rejected;
        assert_eq!(bring(&mut subtask, &[(1, label(0))], 2), [Err(NotBroughtIn::Refused)]);
    }

    #[test]
    fn late_votes_have_a_limit() {
        let mut subtask = open();
        bring(&mut subtask, &[(0, label(0))], 1);
        close(&mut subtask, 1);
        let votes: Vec<_> = (1..=limits::LATE_VOTES_BROUGHT_IN + 1).map(|n| (n, label(1))).collect();
        let outcomes = bring(&mut subtask, &votes, 1);
        assert_eq!(outcomes.last(), Some(&Err(NotBroughtIn::TooManyLate)));
        assert_eq!(subtask.late.len(), limits::LATE_VOTES_BROUGHT_IN);
        assert_eq!(bring(&mut subtask, &votes[..1], 1), [Ok(Cast::Late)]);
    }

    proptest! {
        /// Whatever comes in, in whatever pieces: votes with a label and live leases never exceed the slots, and the
        /// same votes again, once everything is closed, change nothing.
        #[test]
        fn slots_hold_and_twice_is_once(
            quorum in 1_u32..4,
            leases in 0_usize..3,
            votes in prop::collection::vec((0_usize..6, prop::option::of(0_u16..3)), 0..12),
            pieces in 1_usize..5,
        ) {
            let mut subtask = open();
            let now = Timestamp::from_millis(5);
            let policy = policy(quorum);
            for n in 0..leases {
                if subtask.free_slots(&policy, LABELS, now) > 0 {
                    subtask.lease(&format!("op-{n}").parse().unwrap(), now.plus(Duration::from_secs(9)), now);
                }
            }
            // One answer of each: an import has no two.
            let votes: std::collections::BTreeMap<_, _> = votes.into_iter().collect();
            let votes: Vec<_> = votes.into_iter().map(|(n, place)| {
                (n, place.map_or(said(Answer::Abstain(Abstention::Unclear)), label))
            }).collect();
            for piece in votes.chunks(pieces) {
                bring(&mut subtask, piece, quorum);
                let labelled = subtask.votes.values().filter(|vote| vote.answer.label().is_some()).count();
                prop_assert!(labelled + subtask.leases.len() <= policy.rule.max_labels() as usize);
                if subtask.state == SubtaskState::Open && matches!(subtask.judge(&policy, LABELS), Verdict::Decided(_)) {
                    close(&mut subtask, quorum);
                }
            }
            // Once everything is in that finds a place.
            for _ in 0..3 {
                bring(&mut subtask, &votes, quorum);
                if subtask.state == SubtaskState::Open && matches!(subtask.judge(&policy, LABELS), Verdict::Decided(_)) {
                    close(&mut subtask, quorum);
                }
            }
            let before = subtask.clone();
            let outcomes = bring(&mut subtask, &votes, quorum);
            prop_assert!(!outcomes.iter().any(|outcome| matches!(outcome, Ok(Cast::Counted | Cast::Replaced))));
            prop_assert_eq!(subtask, before);
        }
    }
}
