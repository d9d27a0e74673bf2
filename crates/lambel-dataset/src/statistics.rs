//! What there is to count in a set of rows.

use std::collections::BTreeMap;

use lambel_core::Label;
use serde::{Deserialize, Serialize};

use crate::row::{Row, Status};

/// Counts over all rows of a tree. They are whole numbers that a row adds to or is taken from, so a commit of a
/// few changes has them without reading the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Images, whatever became of them.
    pub images: u64,
    /// Their file names.
    pub names: u64,
    /// The bytes of their files, as far as they are known.
    pub image_bytes: u64,
    /// Images that have their label.
    pub complete: u64,
    /// Images that ran out of votes without an answer.
    pub disputed: u64,
    /// Images of which nothing is decided.
    pub unlabelled: u64,
    /// Files that were no pictures.
    pub rejected: u64,
    /// Votes with a label that came in time.
    pub votes: u64,
    /// Abstentions that came in time.
    pub abstentions: u64,
    /// Votes and abstentions that came after the decision.
    pub late: u64,
    /// How many images have which label, without disputes.
    pub labels: BTreeMap<Label, u64>,
}

impl Statistics {
    /// Counts the rows of another part of the same set.
    pub fn merge(&mut self, other: &Self) {
        self.images += other.images;
        self.names += other.names;
        self.image_bytes += other.image_bytes;
        self.complete += other.complete;
        self.disputed += other.disputed;
        self.unlabelled += other.unlabelled;
        self.rejected += other.rejected;
        self.votes += other.votes;
        self.abstentions += other.abstentions;
        self.late += other.late;
        for (label, images) in &other.labels {
            *self.labels.entry(label.clone()).or_default() += images;
        }
    }

    /// Counts a row.
    pub fn add(&mut self, row: &Row) {
        self.count(row, u64::saturating_add);
    }

    /// Takes a row off that was counted. Where a row takes the place of another, the new one is added first.
    pub fn remove(&mut self, row: &Row) {
        self.count(row, u64::saturating_sub);
        self.labels.retain(|_, images| *images > 0);
    }

    fn count(&mut self, row: &Row, by: fn(u64, u64) -> u64) {
        let change = |number: &mut u64, amount: u64| *number = by(*number, amount);
        change(&mut self.images, 1);
        change(&mut self.names, row.names.len() as u64);
        change(&mut self.image_bytes, row.bytes.unwrap_or(0));
        change(
            match row.outcome.status() {
                Status::Complete => &mut self.complete,
                Status::Disputed => &mut self.disputed,
                Status::Unlabelled => &mut self.unlabelled,
                Status::Rejected => &mut self.rejected,
            },
            1,
        );
        for vote in &row.votes {
            let number = match (vote.late, vote.answer.label()) {
                (true, _) => &mut self.late,
                (false, Some(_)) => &mut self.votes,
                (false, None) => &mut self.abstentions,
            };
            change(number, 1);
        }
        if let Some((label, _)) = row.decided_label() {
            if !self.labels.contains_key(label) {
                self.labels.insert(label.clone(), 0);
            }
            if let Some(images) = self.labels.get_mut(label) {
                change(images, 1);
            }
        }
    }
}
