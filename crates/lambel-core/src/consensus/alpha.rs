//! Krippendorff's alpha: how far the operators agree beyond chance.
//!
//! K. Krippendorff, "Computing Krippendorff's Alpha-Reliability" (University of Pennsylvania, 2011), section C:
//! nominal data, any number of observers, missing values. With the coincidences
//! `o_cc = Σ_u n_uc (n_uc − 1) / (m_u − 1)`, the values `n_c` that can be paired, and their number `n`:
//!
//! ```text
//! α = 1 − (n − 1)·(n − Σ_c o_cc) / (n² − Σ_c n_c²)
//! ```
//!
//! The interval is the jackknife over images (B. Efron, C. Stein, "The Jackknife Estimate of Variance", Annals of
//! Statistics 9, 1981): alpha is computed again without each image, which needs no chance and one more pass.

use serde::{Deserialize, Serialize};

use super::{Ballot, Plurality, VoteTable};

/// Agreement between operators.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alpha {
    /// 1 is full agreement, 0 is chance, below it is systematic disagreement.
    pub alpha: f64,
    /// The interval that holds it in 95 of 100 cases. With fewer than two images it is as wide as can be.
    pub low: f64,
    /// Its upper end: 1 at most.
    pub high: f64,
    /// Images with two votes or more: the others say nothing of agreement.
    pub images: usize,
}

/// What one image adds to the sums.
struct Unit<'a> {
    votes: &'a [Ballot],
    /// How often each label was given, by label.
    counts: Vec<(usize, f64)>,
    agreeing: f64,
}

impl<'a> Unit<'a> {
    fn of(votes: &'a [Ballot]) -> Option<Self> {
        if votes.len() < 2 {
            return None;
        }
        let mut labels: Vec<usize> = votes.iter().map(|vote| usize::from(vote.label.0)).collect();
        labels.sort_unstable();
        let groups = labels.chunk_by(PartialEq::eq);
        let counts: Vec<(usize, f64)> =
            groups.filter_map(|group| Some((*group.first()?, group.len() as f64))).collect();
        let pairs: f64 = counts.iter().map(|(_, count)| count * (count - 1.0)).sum();
        Some(Self { votes, counts, agreeing: pairs / (votes.len() - 1) as f64 })
    }
}

/// Computes alpha over all images with two votes or more. None where there is no such image, or where only one
/// label was ever given: agreement cannot be told from there being nothing to disagree on.
pub fn krippendorff_alpha(table: &VoteTable) -> Option<Alpha> {
    let mut values = vec![0.0; table.labels()];
    let (mut n, mut agreeing, mut images) = (0.0, 0.0, 0_usize);
    for unit in table.iter().filter_map(Unit::of) {
        unit.counts.iter().for_each(|(label, count)| values[*label] += count);
        n += unit.votes.len() as f64;
        agreeing += unit.agreeing;
        images += 1;
    }
    let squares: f64 = values.iter().map(|value| value * value).sum();
    let alpha = from_sums(n, agreeing, squares)?;
    let (mut sum, mut sum_of_squares) = (0.0, 0.0);
    for unit in table.iter().filter_map(Unit::of) {
        let change: f64 = unit.counts.iter().map(|(label, count)| count * (2.0 * values[*label] - count)).sum();
        // Where nothing is left to disagree on without this image, it alone says what is known.
        let without = from_sums(n - unit.votes.len() as f64, agreeing - unit.agreeing, squares - change);
        let off = without.unwrap_or(alpha) - alpha;
        sum += off;
        sum_of_squares += off * off;
    }
    let (low, high) = if images < 2 {
        (-1.0, 1.0)
    } else {
        let count = images as f64;
        let variance = (count - 1.0) / count * (sum_of_squares - sum * sum / count).max(0.0);
        let half = 1.96 * variance.sqrt();
        (alpha - half, (alpha + half).min(1.0))
    };
    Some(Alpha { alpha, low, high, images })
}

fn from_sums(n: f64, agreeing: f64, squares: f64) -> Option<f64> {
    let expected = n * n - squares;
    (expected > 0.5).then(|| 1.0 - (n - 1.0) * (n - agreeing) / expected)
}

/// The share of images with two votes or more on which all votes are the same.
pub fn unanimous_share(table: &VoteTable) -> f64 {
    let counted = table.iter().filter(|votes| votes.len() >= 2);
    let pluralities: Vec<Plurality> =
        counted.map(|votes| Plurality::count(votes.iter().map(|vote| vote.label))).collect();
    let unanimous = pluralities.iter().filter(|plurality| plurality.most == plurality.cast).count();
    unanimous as f64 / pluralities.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::LabelIndex;

    fn table(labels: usize, rows: &[&[Option<u16>]]) -> VoteTable {
        let images = rows.first().map_or(0, |row| row.len());
        let mut votes = Vec::new();
        for (operator, row) in (0..).zip(rows) {
            for (image, value) in (0..).zip(*row) {
                votes.extend(value.map(|label| (image, Ballot { operator, label: LabelIndex(label) })));
            }
        }
        VoteTable::new(labels, images, &votes).unwrap()
    }

    /// Krippendorff 2011, section C: four observers, twelve units, five values, α = 0.743.
    #[test]
    fn the_published_example_with_missing_values() {
        const X: Option<u16> = None;
        const fn v(value: u16) -> Option<u16> {
            Some(value - 1)
        }
        let a = [v(1), v(2), v(3), v(3), v(2), v(1), v(4), v(1), v(2), X, X, X];
        let b = [v(1), v(2), v(3), v(3), v(2), v(2), v(4), v(1), v(2), v(5), X, v(3)];
        let c = [X, v(3), v(3), v(3), v(2), v(3), v(4), v(2), v(2), v(5), v(1), X];
        let d = [v(1), v(2), v(3), v(3), v(2), v(4), v(4), v(1), v(2), v(5), v(1), X];
        let alpha = krippendorff_alpha(&table(5, &[&a, &b, &c, &d])).unwrap();
        assert!((alpha.alpha - 0.743).abs() < 0.0005, "{alpha:?}");
        // The unit with a single value is no pair.
        assert_eq!(alpha.images, 11);
        assert!(alpha.low > 0.3 && alpha.low < 0.743 && alpha.high > 0.743 && alpha.high <= 1.0, "{alpha:?}");
    }

    /// Krippendorff 2011, section A: two observers, ten units, two values, α = 0.095.
    #[test]
    fn the_published_example_of_two_observers() {
        let row = |values: [u16; 10]| values.map(Some);
        let a = row([0, 1, 0, 0, 0, 0, 0, 0, 1, 0]);
        let b = row([1, 1, 1, 0, 0, 1, 0, 0, 0, 0]);
        let alpha = krippendorff_alpha(&table(2, &[&a, &b])).unwrap();
        assert!((alpha.alpha - 0.095).abs() < 0.0005, "{alpha:?}");
    }

    #[test]
    fn without_anything_to_disagree_on_there_is_no_alpha() {
        assert_eq!(krippendorff_alpha(&table(2, &[])), None);
        assert_eq!(krippendorff_alpha(&table(2, &[&[Some(0), Some(1)]])), None, "one voter");
        assert_eq!(krippendorff_alpha(&table(2, &[&[Some(1)], &[Some(1)]])), None, "one label");
        let one_image = krippendorff_alpha(&table(2, &[&[Some(0)], &[Some(1)]])).unwrap();
        assert_eq!((one_image.low, one_image.high), (-1.0, 1.0));
        let agree = table(2, &[&[Some(0), Some(1)], &[Some(0), Some(1)]]);
        assert_eq!(krippendorff_alpha(&agree).unwrap().alpha, 1.0);
        assert_eq!(unanimous_share(&agree), 1.0);
    }

    proptest! {
        #[test]
        fn alpha_is_finite_and_at_most_one(votes in prop::collection::btree_map((0_u32..12, 0_u32..5), 0_u16..4, 0..60)) {
            let votes = votes.into_iter().map(|((image, operator), label)| (image, Ballot { operator, label: LabelIndex(label) }));
            let table = VoteTable::new(4, 12, &votes.collect::<Vec<_>>()).unwrap();
            if let Some(alpha) = krippendorff_alpha(&table) {
                prop_assert!(alpha.alpha.is_finite() && alpha.alpha <= 1.0 + 1e-12);
                prop_assert!(alpha.low <= alpha.alpha && alpha.alpha <= alpha.high + 1e-12);
            }
        }
    }
}
