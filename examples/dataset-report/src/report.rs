//! What there is to say of a version, and of how it came from an earlier one.
//!
//! How labels are spread is in the counts that each version carries. Which labels have become which follows from those
//! and from the rows that are not the same in both. Only for the mean confidence every row of the newer version is
//! read, once; that of the earlier one follows from it and from what differs.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use futures::TryStreamExt;
use lambel_core::Label;
use lambel_dataset::{ObjectStore, Result, Row, Statistics, Tree, diff, row::Outcome};
use serde::Serialize;

/// Changes of a label that are listed.
const RELABELLED: usize = 20;

/// What there is to say of a version.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version itself.
    #[serde(flatten)]
    pub version: Summary,
    /// An earlier version, if one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Summary>,
    /// What has become of the labels of that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Confusion>,
    /// Whether labels were left out, so that the report is as short as it has to be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
}

/// What there is to say of one version alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Images, whatever became of them.
    pub images: u64,
    /// Images that have their label.
    pub complete: u64,
    /// Images that ran out of votes without an answer.
    pub disputed: u64,
    /// Images of which nothing is decided.
    pub unlabelled: u64,
    /// Files that were no pictures.
    pub rejected: u64,
    /// The mean confidence of the images that are decided, where a dispute counts as 0; none without any. The task's
    /// policy means the same by `release_min_confidence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_confidence: Option<f64>,
    /// How the labels are spread.
    pub balance: Balance,
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
    /// The labels that have become others most often, the most frequent change first: 20 at most.
    pub relabelled: Vec<Relabelled>,
    /// The labels, in order, for the rows and the columns of the matrix.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// In the row of the older label and the column of the newer one, how many images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub matrix: Vec<Vec<u64>>,
}

/// One label that has become another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relabelled {
    /// The label in the older version.
    pub then: Label,
    /// The label in the newer version.
    pub now: Label,
    /// Images that had the one and have the other.
    pub images: u64,
}

/// How sure the decisions of some rows are.
#[derive(Clone, Copy, Debug, Default)]
struct Sureness {
    decided: u64,
    confidences: f64,
}

impl Sureness {
    fn add(&mut self, row: &Row) {
        match &row.outcome {
            Outcome::Complete { confidence, .. } => {
                self.decided += 1;
                self.confidences += confidence.get();
            }
            Outcome::Disputed { .. } => self.decided += 1,
            Outcome::Unlabelled | Outcome::Rejected { .. } => {}
        }
    }

    /// What is left without some rows, with others in their place.
    fn with(self, these: Self, instead_of: Self) -> Self {
        Self {
            decided: (self.decided + these.decided).saturating_sub(instead_of.decided),
            confidences: self.confidences + these.confidences - instead_of.confidences,
        }
    }

    /// Sums and differences of shares may be off by less than anybody reads, and yet be below 0 or over 1.
    fn mean(self) -> Option<f64> {
        (self.decided > 0).then(|| (self.confidences / self.decided as f64).clamp(0.0, 1.0))
    }
}

/// What a walk through the rows that differ has found.
struct Compared {
    confusion: Confusion,
    /// Of the rows that differ, as they were in the older version.
    then: Sureness,
    /// The same rows in the newer version.
    now: Sureness,
}

/// The report of a version, compared with an earlier one if there is one.
pub async fn report(objects: &dyn ObjectStore, before: Option<&Tree>, after: &Tree) -> Result<Report> {
    let mut sure = Sureness::default();
    let mut chunks = after.rows(objects);
    while let Some(rows) = chunks.try_next().await? {
        rows.iter().for_each(|row| sure.add(row));
    }
    let version = summary(&after.statistics, sure);
    let Some(before) = before else { return Ok(Report { version, before: None, since: None, shortened: false }) };
    let Compared { confusion, then, now } = compare(objects, before, after).await?;
    let before = summary(&before.statistics, sure.with(then, now));
    Ok(Report { version, before: Some(before), since: Some(confusion), shortened: false })
}

fn summary(statistics: &Statistics, sure: Sureness) -> Summary {
    let Statistics { images, complete, disputed, unlabelled, rejected, .. } = *statistics;
    let (mean_confidence, balance) = (sure.mean(), balance(statistics));
    Summary { images, complete, disputed, unlabelled, rejected, mean_confidence, balance }
}

impl Report {
    /// The report in so many bytes of JSON: if it is longer, rare labels and then the matrix are left out. Without any
    /// label it has some 700 bytes, and less than that it cannot have.
    pub fn within(&self, bytes: usize) -> serde_json::Result<Self> {
        let mut report = self.clone();
        let mut labels = self.version.balance.labels.len().max(RELABELLED);
        while labels > 0 && serde_json::to_vec(&report)?.len() > bytes {
            labels /= 2;
            report = self.shortened_to(labels);
        }
        Ok(report)
    }

    fn shortened_to(&self, labels: usize) -> Self {
        let mut report = Self { shortened: true, ..self.clone() };
        for version in std::iter::once(&mut report.version).chain(&mut report.before) {
            version.balance.labels.truncate(labels);
        }
        if let Some(since) = &mut report.since {
            since.relabelled.truncate(labels);
            if since.labels.len() > labels {
                since.labels.clear();
                since.matrix.clear();
            }
        }
        report
    }
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
    Ok(compare(objects, before, after).await?.confusion)
}

/// Walks through what is not the same in two versions.
async fn compare(objects: &dyn ObjectStore, before: &Tree, after: &Tree) -> Result<Compared> {
    let mut pairs: BTreeMap<(Label, Label), u64> = BTreeMap::new();
    let mut came: BTreeMap<Label, u64> = BTreeMap::new();
    let (mut gained, mut lost) = (0, 0);
    let (mut then, mut now) = (Sureness::default(), Sureness::default());
    let mut changes = diff(objects, before, after);
    while let Some(change) = changes.try_next().await? {
        change.before.iter().for_each(|row| then.add(row));
        change.after.iter().for_each(|row| now.add(row));
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
    let relabelled = relabelled(pairs);
    let confusion = Confusion { compared, agreement, kappa, gained, lost, relabelled, labels, matrix };
    Ok(Compared { confusion, then, now })
}

/// The most frequent changes of a label.
fn relabelled(pairs: BTreeMap<(Label, Label), u64>) -> Vec<Relabelled> {
    let changed = pairs.into_iter().filter(|((then, now), _)| then != now);
    let mut changed: Vec<_> = changed.map(|((then, now), images)| Relabelled { then, now, images }).collect();
    // What is equally frequent stays in the order of the labels.
    changed.sort_by_key(|change| Reverse(change.images));
    changed.truncate(RELABELLED);
    changed
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
