//! A matrix of confusions: what an operator said where each label was decided.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::CONFUSION_LABELS;
use crate::LabelIndex;

/// One place of a matrix, as three numbers: decided, said, times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(LabelIndex, LabelIndex, u32)", into = "(LabelIndex, LabelIndex, u32)")]
pub struct Cell {
    /// The label that was decided.
    pub decided: LabelIndex,
    /// The label that the operator said.
    pub said: LabelIndex,
    /// How often: more than 0.
    pub times: u32,
}

impl From<(LabelIndex, LabelIndex, u32)> for Cell {
    fn from((decided, said, times): (LabelIndex, LabelIndex, u32)) -> Self {
        Self { decided, said, times }
    }
}

impl From<Cell> for (LabelIndex, LabelIndex, u32) {
    fn from(Cell { decided, said, times }: Cell) -> Self {
        (decided, said, times)
    }
}

/// How often an operator said each label where each was decided. Only what happened is in it.
///
/// Of a task with more than [`CONFUSION_LABELS`] labels it holds those that the operator mixed up most, as many as
/// that: more than some two hundred places nobody can look at, and they have to fit beside each other in one item.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// The places, sorted by what was decided and what was said.
    pub cells: Vec<Cell>,
    /// Whether labels were left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

impl Matrix {
    /// The matrix of a task with so many labels, out of how often each pair (decided, said) came.
    pub fn of(labels: usize, pairs: impl Iterator<Item = (LabelIndex, LabelIndex, u32)> + Clone) -> Self {
        let mut cells: Vec<Cell> = pairs.map(Cell::from).filter(|cell| cell.times > 0).collect();
        cells.sort_unstable();
        if labels <= CONFUSION_LABELS {
            return Self { cells, cut: false };
        }
        // By how often each label was on either side of a confusion, and then by how often it was there at all.
        let mut weights: BTreeMap<LabelIndex, (u64, u64)> = BTreeMap::new();
        for cell in &cells {
            let wrong = if cell.decided == cell.said { 0 } else { u64::from(cell.times) };
            for label in [cell.decided, cell.said] {
                let weight = weights.entry(label).or_default();
                *weight = (weight.0 + wrong, weight.1 + u64::from(cell.times));
            }
        }
        let mut order: Vec<LabelIndex> = weights.keys().copied().collect();
        order.sort_by_key(|label| std::cmp::Reverse(weights.get(label).copied()));
        let cut = order.len() > CONFUSION_LABELS;
        order.truncate(CONFUSION_LABELS);
        cells.retain(|cell| order.contains(&cell.decided) && order.contains(&cell.said));
        Self { cells, cut }
    }

    /// The labels that are in it, in the order of the task's set.
    pub fn labels(&self) -> Vec<LabelIndex> {
        let mut labels: Vec<LabelIndex> = self.cells.iter().flat_map(|cell| [cell.decided, cell.said]).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// How often `said` was said where `decided` was decided.
    pub fn times(&self, decided: LabelIndex, said: LabelIndex) -> u32 {
        let place = self.cells.binary_search_by_key(&(decided, said), |cell| (cell.decided, cell.said));
        place.ok().and_then(|place| self.cells.get(place)).map_or(0, |cell| cell.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(decided: u16, said: u16, times: u32) -> (LabelIndex, LabelIndex, u32) {
        (LabelIndex(decided), LabelIndex(said), times)
    }

    #[test]
    fn what_happened_is_in_it() {
        let matrix = Matrix::of(3, [cell(1, 0, 4), cell(0, 0, 9), cell(2, 2, 0)].into_iter());
        assert_eq!(matrix.cells, [cell(0, 0, 9).into(), cell(1, 0, 4).into()]);
        assert!(!matrix.cut);
        assert_eq!(matrix.labels(), [LabelIndex(0), LabelIndex(1)]);
        assert_eq!((matrix.times(LabelIndex(1), LabelIndex(0)), matrix.times(LabelIndex(0), LabelIndex(1))), (4, 0));
        let json = serde_json::to_value(&matrix).unwrap();
        assert_eq!(json, serde_json::json!({"cells": [[0, 0, 9], [1, 0, 4]]}));
        assert_eq!(serde_json::from_value::<Matrix>(json).unwrap(), matrix);
    }

    #[test]
    fn of_many_labels_those_that_are_mixed_up_most_are_kept() {
        // Forty labels that are always right, and three that are not.
        let mut all: Vec<_> = (0..40).map(|label| cell(label, label, 1_000)).collect();
        all.extend([cell(38, 39, 5), cell(37, 39, 3)]);
        let matrix = Matrix::of(100, all.into_iter());
        assert!(matrix.cut);
        let labels = matrix.labels();
        assert_eq!(labels.len(), CONFUSION_LABELS);
        assert!([37, 38, 39].iter().all(|label| labels.contains(&LabelIndex(*label))));
        assert_eq!(matrix.times(LabelIndex(38), LabelIndex(39)), 5);
        let few = Matrix::of(100, [cell(7, 8, 1), cell(8, 8, 2)].into_iter());
        assert!(!few.cut && few.cells.len() == 2, "nothing had to go");
    }
}
