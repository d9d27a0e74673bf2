//! Gold: images whose true label is known, mixed into the work to measure operators.
//!
//! An image of gold is decided, so it is no work: it waits for nobody, and what operators say of it counts nowhere but
//! in their own record. A [`GoldDesk`] holds what one operator has of it in one task, apart from the subtasks. To the
//! operator it has to look like any other image, so [`GoldDesk::cast`] answers in the words of
//! [`Subtask::cast`](crate::Subtask::cast), and [`how_many`] puts gold among the work where nobody outside can tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ImageId, LabelIndex, OperatorId, Policy, Task, TaskId, TaskState, Timestamp, Vote,
    consensus::Verdict,
    limits,
    subtask::{Answer, Cast, NotLeased, Votes},
};

/// How much of what is handed out is gold: a share of the images, from 0 to 0.5.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct GoldRate(f64);

impl GoldRate {
    /// A share, if it is within [`limits::GOLD_RATES`].
    pub fn parse(share: f64) -> Option<Self> {
        limits::GOLD_RATES.contains(&share).then_some(Self(share))
    }

    /// The share.
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether no gold is handed out.
    pub fn is_none(&self) -> bool {
        self.0 <= 0.0
    }
}

// It is a number, always: see `GoldRate::parse`.
impl Eq for GoldRate {}

impl TryFrom<f64> for GoldRate {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, Self::Error> {
        Self::parse(share).ok_or_else(|| format!("{share} is no share of gold"))
    }
}

impl From<GoldRate> for f64 {
    fn from(rate: GoldRate) -> Self {
        rate.0
    }
}

/// An image whose true label is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gold {
    /// The image.
    pub image: ImageId,
    /// Its true label.
    pub label: LabelIndex,
    /// When it became gold, or got this label.
    pub added_at: Timestamp,
}

/// What an operator said of an image of gold. Whether it was right is not kept: it follows from the true label, which
/// the client may correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoldAnswer {
    /// What was said.
    pub answer: Answer,
    /// When it arrived.
    pub at: Timestamp,
    /// How long the operator looked, in milliseconds, as their page says.
    pub elapsed_ms: Option<u32>,
}

/// What one operator has of the gold of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldDesk {
    /// The task.
    pub task: TaskId,
    /// The operator.
    pub operator: OperatorId,
    /// What they hold, and until when. Some that have expired stay for a while, so that a late answer can be honoured.
    pub leases: BTreeMap<ImageId, Timestamp>,
    /// What they have said. An answer on an image that is gold no more stays, and counts no more.
    pub answers: BTreeMap<ImageId, GoldAnswer>,
    /// Images of gold on which they have voted when those were work: they shall not see them again.
    pub barred: BTreeSet<ImageId>,
    /// The number of changes so far; 0 if it was never stored.
    pub rev: u64,
}

/// An operator's answers on gold, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoldRecord {
    /// Answers with a label.
    pub answered: u32,
    /// Those that were right.
    pub right: u32,
    /// Abstentions.
    pub abstained: u32,
}

impl GoldRecord {
    /// Counts one answer.
    pub fn feed(&mut self, answer: Answer, truth: LabelIndex) {
        match answer.label() {
            Some(label) => {
                self.answered += 1;
                self.right += u32::from(label == truth);
            }
            None => self.abstained += 1,
        }
    }
}

impl GoldDesk {
    /// The record of an operator who has seen no gold yet.
    pub fn new(task: TaskId, operator: OperatorId) -> Self {
        Self { task, operator, leases: BTreeMap::new(), answers: BTreeMap::new(), barred: BTreeSet::new(), rev: 0 }
    }

    /// Whether an image was handed to them as gold, and they may answer or have answered.
    pub fn knows(&self, image: &ImageId) -> bool {
        self.leases.contains_key(image) || self.answers.contains_key(image)
    }

    /// Whether an image can be handed to them as gold, for the first time or again since its lease has expired.
    pub fn may_get(&self, image: &ImageId, now: Timestamp) -> bool {
        !self.answers.contains_key(image)
            && !self.barred.contains(image)
            && self.leases.get(image).is_none_or(|until| *until <= now)
    }

    /// What they hold and have not answered.
    pub fn held(&self, now: Timestamp) -> impl Iterator<Item = (ImageId, Timestamp)> {
        self.leases.iter().filter(move |(_, until)| **until > now).map(|(image, until)| (*image, *until))
    }

    /// Drops leases that have expired so long ago that nothing is owed to them any more.
    pub fn forget(&mut self, now: Timestamp, remembered_for: Duration) {
        self.leases.retain(|_, until| until.plus(remembered_for) > now);
    }

    /// Gives a lease back. False, and no change, where there was none.
    pub fn give_back(&mut self, image: &ImageId) -> bool {
        self.leases.remove(image).is_some()
    }

    /// Takes an answer, as a subtask takes a vote; the outcome must not tell the two apart.
    ///
    /// An answer can be changed as a vote can while an image is open. That ends at once where this one vote would have
    /// decided the image, else with the time that a lease lasts, by when others would have voted. Where the task is
    /// complete, every image is decided. What comes later is `late` and without effect.
    pub fn cast(&mut self, image: ImageId, vote: Vote, task: &Task) -> Result<Cast, NotLeased> {
        let earlier = self.answers.get(&image).copied();
        if earlier.is_some_and(|earlier| earlier.answer == vote.answer) {
            return Ok(Cast::Unchanged);
        }
        if earlier.is_none() && !self.leases.contains_key(&image) {
            return Err(NotLeased);
        }
        let decided = earlier.is_some_and(|earlier| {
            let alone = Vote { answer: earlier.answer, ..vote };
            vote.at >= earlier.at.plus(task.policy.lease())
                || decides(&task.policy, task.labels.len(), &self.operator, alone)
        });
        self.leases.remove(&image);
        if decided || task.state == TaskState::Complete {
            return Ok(Cast::Late);
        }
        let answer = GoldAnswer { answer: vote.answer, at: vote.at, elapsed_ms: vote.elapsed_ms };
        self.answers.insert(image, answer);
        Ok(if earlier.is_some() { Cast::Replaced } else { Cast::Counted })
    }

    /// Their answers on what is gold now, each with the true label. `gold` is sorted by image.
    pub fn judged<'a>(
        &'a self,
        gold: &'a [Gold],
    ) -> impl Iterator<Item = (ImageId, &'a GoldAnswer, LabelIndex)> + Clone + 'a {
        self.answers.iter().filter_map(|(image, answer)| {
            let place = gold.binary_search_by_key(image, |gold| gold.image).ok()?;
            Some((*image, answer, gold.get(place)?.label))
        })
    }

    /// The same, counted.
    pub fn record(&self, gold: &[Gold]) -> GoldRecord {
        let mut record = GoldRecord::default();
        self.judged(gold).for_each(|(_, answer, truth)| record.feed(answer.answer, truth));
        record
    }
}

/// Whether a single vote decides an image.
fn decides(policy: &Policy, labels: usize, operator: &OperatorId, vote: Vote) -> bool {
    matches!(policy.judge(labels, &Votes::from([(operator.clone(), vote)])), Verdict::Decided(_))
}

/// How many of the next `fresh` images that an operator gets are gold.
///
/// The first [`limits::GOLD_FIRST`] are, so that nobody works for long without being measured; after that each is with
/// the probability of the task's rate. The draw is made of what the operator does not know, the task's client, and of
/// `turn`, which changes with each claim: the same at the same turn, so that it can be repeated, and not to be
/// foreseen by who is measured.
pub fn how_many(task: &Task, desk: &GoldDesk, turn: u64, fresh: usize, now: Timestamp) -> usize {
    if task.policy.gold_rate.is_none() {
        return 0;
    }
    let seen = desk.answers.len() + desk.held(now).count();
    let first = limits::GOLD_FIRST.saturating_sub(seen).min(fresh);
    let drawn = (first..fresh).filter(|slot| draw(task, desk, turn, *slot) < task.policy.gold_rate.get()).count();
    first + drawn
}

/// A number from 0 to below 1.
fn draw(task: &Task, desk: &GoldDesk, turn: u64, slot: usize) -> f64 {
    let mut hash = Sha256::new();
    hash.update(format!("{}/{}/{}/{turn}/{}/{slot}", task.owner, task.id, desk.operator, desk.rev));
    let [a, b, c, d, e, f, g, ..] = <[u8; 32]>::from(hash.finalize());
    // 53 bits are what a float holds exactly.
    let bits = u64::from_be_bytes([0, a, b, c, d, e, f, g]) >> 3;
    bits as f64 / (1_u64 << 53) as f64
}

/// Gold in the order in which an operator comes upon it: from their place on the ring on, once round. So it lies near
/// the work that they get at the same time. `gold` is sorted by image.
pub fn from_place<'a>(gold: &'a [Gold], place: &ImageId) -> impl Iterator<Item = &'a Gold> + use<'a> {
    let (before, behind) = gold.split_at(gold.partition_point(|gold| gold.image < *place));
    behind.iter().chain(before)
}

#[cfg(test)]
#[path = "gold_tests.rs"]
mod tests;
