//! All votes of a task, read into one table.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    ImageId, LabelIndex, OperatorId, Subtask, SubtaskState, Task,
    consensus::{Ballot, Standing, VoteTable},
    ring::next_place,
    subtask::DecidedBy,
};

use crate::{
    ports::{Store, StoreError, StoreResult},
    quality::Tallies,
};

/// Rows of one page.
const PAGE: u32 = 1_000;
/// Shards read at the same time. Each has a page in memory, of some megabytes.
const SHARDS_AT_ONCE: usize = 8;

/// The votes with a label of a task, in its open and its decided images.
pub(super) struct Votes {
    /// Who has voted. An operator's place here is their number in the table.
    pub(super) operators: Vec<OperatorId>,
    /// The images with votes. An image's place here is its number in the table.
    pub(super) images: Vec<Place>,
    /// The votes.
    pub(super) table: VoteTable,
    /// Images that were decided, now or before they were opened again; those that nobody gave a label too.
    pub(super) decided: u64,
    /// What each operator has said of the images that are decided now.
    pub(super) tallies: Tallies,
}

/// An image as it was when its votes were read: no more than a review needs, since there may be millions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The image.
    pub(super) image: ImageId,
    /// The number of its last change.
    pub(super) rev: u64,
    label: Option<LabelIndex>,
    is_open: bool,
    disputed: bool,
    /// Whether a person has decided it: then nothing that a batch finds changes that.
    pub(super) reviewed: bool,
    /// Whether it could be decided, if it is open; whether it could be opened again, if it is decided.
    pub(super) movable: bool,
}

impl Place {
    fn of(task: &Task, subtask: &Subtask) -> Self {
        Self {
            image: subtask.image,
            rev: subtask.rev,
            label: subtask.decision.and_then(|decision| decision.label),
            is_open: subtask.state == SubtaskState::Open,
            // Also where its task takes the best label there is: it may have an answer by now.
            disputed: subtask.decision.is_some_and(|decision| decision.dispute.is_some()),
            reviewed: subtask.decided_by == DecidedBy::Review,
            movable: match subtask.state {
                SubtaskState::Open => subtask.labelled() >= subtask.floor,
                _ => subtask.can_reopen(&task.policy),
            },
        }
    }

    /// Where it stands before the review.
    pub(super) fn standing(&self) -> Standing {
        match self.is_open {
            true => Standing::Open,
            false => Standing::Decided { label: self.label, disputed: self.disputed },
        }
    }
}

/// The votes of one shard. Operators are numbered by their first vote in it.
#[derive(Default)]
struct Shard {
    operators: Vec<OperatorId>,
    images: Vec<Place>,
    votes: Vec<(u32, Ballot)>,
    decided: u64,
    tallies: Tallies,
}

impl Votes {
    /// Reads all votes of a task.
    pub(super) async fn read(store: &dyn Store, task: &Task) -> StoreResult<Self> {
        let shards = (0..task.shards.count()).map(|shard| Shard::read(store, task, shard));
        let shards: Vec<Shard> = stream::iter(shards).buffered(SHARDS_AT_ONCE).try_collect().await?;
        let mut operators = Vec::new();
        let mut known: HashMap<OperatorId, u32> = HashMap::new();
        let mut votes = Vec::with_capacity(shards.iter().map(|shard| shard.votes.len()).sum());
        let mut images = Vec::with_capacity(shards.iter().map(|shard| shard.images.len()).sum());
        let mut decided = 0;
        let mut tallies = Tallies::default();
        for shard in shards {
            tallies.merge(shard.tallies);
            let numbers: Vec<u32> = shard
                .operators
                .into_iter()
                .map(|operator| {
                    *known.entry(operator).or_insert_with_key(|operator| {
                        operators.push(operator.clone());
                        (operators.len() - 1) as u32
                    })
                })
                .collect();
            let first = images.len() as u32;
            let all = shard.votes.into_iter().map(|(image, ballot)| {
                let operator = numbers[ballot.operator as usize];
                (first + image, Ballot { operator, ..ballot })
            });
            votes.extend(all);
            images.extend(shard.images);
            decided += shard.decided;
        }
        let table = VoteTable::new(task.labels.len(), images.len(), &votes);
        let table = table.map_err(|error| StoreError::Failed(format!("votes are no table: {error}")))?;
        Ok(Self { operators, images, table, decided, tallies })
    }
}

impl Shard {
    /// Reads the votes of one shard, a page at a time.
    async fn read(store: &dyn Store, task: &Task, shard: u16) -> StoreResult<Self> {
        let mut found = Self::default();
        let mut known: HashMap<OperatorId, u32> = HashMap::new();
        let mut from = ImageId::MIN;
        loop {
            let page = store.list(task, shard, from, PAGE).await?;
            let last = page.last().map(|subtask| subtask.image).filter(|_| page.len() == PAGE as usize);
            for subtask in page {
                // The votes that gold had have no effect; what was answered on it since is told by its own records.
                if subtask.decided_by == DecidedBy::Gold {
                    found.decided += 1;
                    continue;
                }
                match subtask.state {
                    SubtaskState::Preparing | SubtaskState::Rejected => continue,
                    SubtaskState::Open => found.decided += u64::from(subtask.reopenings > 0),
                    SubtaskState::Complete | SubtaskState::Disputed => {
                        found.decided += 1;
                        found.tallies.see(&subtask);
                    }
                }
                if subtask.labelled() == 0 {
                    continue;
                }
                let image = found.images.len() as u32;
                found.images.push(Place::of(task, &subtask));
                for (operator, vote) in subtask.votes {
                    let Some(label) = vote.answer.label() else { continue };
                    let operator = *known.entry(operator).or_insert_with_key(|operator| {
                        found.operators.push(operator.clone());
                        (found.operators.len() - 1) as u32
                    });
                    found.votes.push((image, Ballot { operator, label }));
                }
            }
            match last {
                Some(last) if last != ImageId::MAX => from = next_place(&last),
                _ => return Ok(found),
            }
        }
    }
}
