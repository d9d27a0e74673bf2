//! What a pipeline may want to know of a new version of a data set before it trains on it: how many images each label
//! has, and which labels have become which since the version before.
//!
//! It reads only what is not the same in the two versions. What has stayed is worked out from the counts that each
//! version carries, so the cost follows the size of the change and not that of the set.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use lambel_core::Label;
use lambel_dataset::{ObjectStore, Result, Row, Statistics, Tree, diff};
use serde::Serialize;

/// What there is to say of a version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Images, whatever became of them.
    pub images: u64,
    /// Images that have their label.
    pub complete: u64,
    /// How the labels are spread.
    pub balance: Balance,
    /// What has become of the labels of an earlier version, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Confusion>,
}

/// How the labels of a version are spread.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Balance {
    /// Each label that some image has, the most frequent first.
    pub labels: Vec<LabelShare>,
    /// How many images the most frequent label has for each one of the least frequent; none without labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imbalance: Option<f64>,
    /// The entropy of the labels over that of as many labels with equal shares, from 0 to 1 (Pielou's evenness, 1966);
    /// none with fewer than two labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evenness: Option<f64>,
}

/// One label of a version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelShare {
    /// The label.
    pub label: Label,
    /// Images that have it.
    pub images: u64,
    /// Their share of the images that have a label, from 0 to 1.
    pub share: f64,
}

/// What has become of the labels of one version in another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Confusion {
    /// Images that have a label in both.
    pub compared: u64,
    /// The share of these whose label is the same; none where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement: Option<f64>,
    /// Cohen's kappa (1960): the agreement beyond what the spread of labels would give by chance, 1 at best. None
    /// where chance alone agrees always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kappa: Option<f64>,
    /// Images that have a label only in the newer version.
    pub gained: u64,
    /// Images that had one only in the older version.
    pub lost: u64,
    /// The labels, in order, for the rows and the columns of the matrix.
    pub labels: Vec<Label>,
    /// In the row of the older label and the column of the newer one, how many images.
    pub matrix: Vec<Vec<u64>>,
}

/// The report of a version, compared with an earlier one if there is one.
pub async fn report(objects: &dyn ObjectStore, before: Option<&Tree>, after: &Tree) -> Result<Report> {
    let since = match before {
        Some(before) => Some(confusion(objects, before, after).await?),
        None => None,
    };
    let Statistics { images, complete, .. } = after.statistics;
    Ok(Report { images, complete, balance: balance(&after.statistics), since })
}

/// How the labels of a version are spread.
pub fn balance(statistics: &Statistics) -> Balance {
    let all: u64 = statistics.labels.values().sum();
    let share = |images: u64| images as f64 / all as f64;
    let mut labels: Vec<_> = statistics
        .labels
        .iter()
        .map(|(label, images)| LabelShare { label: label.clone(), images: *images, share: share(*images) })
        .collect();
    labels.sort_by(|a, b| b.images.cmp(&a.images).then_with(|| a.label.cmp(&b.label)));
    let imbalance = labels.first().zip(labels.last()).map(|(most, least)| most.images as f64 / least.images as f64);
    let entropy: f64 = labels.iter().map(|label| -label.share * label.share.ln()).sum();
    let evenness = (labels.len() > 1).then(|| entropy / (labels.len() as f64).ln());
    Balance { labels, imbalance, evenness }
}

/// What has become of the labels of one version in another.
pub async fn confusion(objects: &dyn ObjectStore, before: &Tree, after: &Tree) -> Result<Confusion> {
    let mut pairs: BTreeMap<(Label, Label), u64> = BTreeMap::new();
    let mut came: BTreeMap<Label, u64> = BTreeMap::new();
    let (mut gained, mut lost) = (0, 0);
    let mut changes = diff(objects, before, after);
    while let Some(change) = changes.try_next().await? {
        let label = |row: Option<&Row>| row.and_then(|row| row.decided_label().map(|(label, _)| label.clone()));
        match (label(change.before.as_ref()), label(change.after.as_ref())) {
            (Some(old), Some(new)) => {
                *came.entry(new.clone()).or_default() += 1;
                *pairs.entry((old, new)).or_default() += 1;
            }
            (None, Some(new)) => {
                gained += 1;
                *came.entry(new).or_default() += 1;
            }
            (Some(_), None) => lost += 1,
            (None, None) => {}
        }
    }
    // Whatever has a label now and is not among the changes has had it before.
    for (label, images) in &after.statistics.labels {
        let stayed = images.saturating_sub(came.get(label).copied().unwrap_or(0));
        if stayed > 0 {
            *pairs.entry((label.clone(), label.clone())).or_default() += stayed;
        }
    }
    let labels: BTreeSet<Label> = pairs.keys().flat_map(|(old, new)| [old, new]).cloned().collect();
    let labels: Vec<Label> = labels.into_iter().collect();
    let count = |old: &Label, new: &Label| pairs.get(&(old.clone(), new.clone())).copied().unwrap_or(0);
    let matrix: Vec<Vec<u64>> = labels.iter().map(|old| labels.iter().map(|new| count(old, new)).collect()).collect();
    let (compared, agreement, kappa) = agreement(&matrix);
    Ok(Confusion { compared, agreement, kappa, gained, lost, labels, matrix })
}

/// How many are compared, the share that agrees, and kappa: (share − chance) / (1 − chance), where chance is the sum
/// over labels of the product of their shares in the two versions.
fn agreement(matrix: &[Vec<u64>]) -> (u64, Option<f64>, Option<f64>) {
    let all: u64 = matrix.iter().flatten().sum();
    if all == 0 {
        return (0, None, None);
    }
    let places = || (0..matrix.len()).filter_map(|place| Some((place, matrix.get(place)?)));
    let same: u64 = places().filter_map(|(place, row)| row.get(place)).sum();
    let chance: f64 = places()
        .map(|(place, row)| {
            let column: u64 = matrix.iter().filter_map(|row| row.get(place)).sum();
            row.iter().sum::<u64>() as f64 * column as f64
        })
        .sum::<f64>()
        / (all as f64 * all as f64);
    let share = same as f64 / all as f64;
    (all, Some(share), (chance < 1.0).then(|| (share - chance) / (1.0 - chance)))
}
