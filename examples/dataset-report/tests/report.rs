//! The report of versions that are made here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use dataset_report::{confusion, report};
use lambel_core::{
    ImageId, Label,
    consensus::{Confidence, Dispute},
};
use lambel_dataset::{MemoryObjectStore, Row, Tree, row::Outcome, write_rows};
use serde_json::json;

fn row(n: u32, label: Option<&str>) -> Row {
    let mut row = Row::new(ImageId::of(&n.to_be_bytes()));
    if let Some(label) = label {
        let label = Label::parse(label).unwrap();
        row.outcome = Outcome::Complete { label, confidence: Confidence::new(1.0), reason: None };
    }
    row
}

async fn tree(objects: &MemoryObjectStore, labels: &[Option<&str>]) -> Tree {
    let mut rows: Vec<_> = labels.iter().enumerate().map(|(n, label)| row(n as u32, *label)).collect();
    rows.sort_by_key(|row| row.image);
    write_rows(objects, rows, None).await.unwrap().0
}

const CAT: Option<&str> = Some("cat");
const DOG: Option<&str> = Some("dog");

#[tokio::test]
async fn labels_are_counted_and_what_has_changed_is_told_from_what_has_stayed() {
    let objects = MemoryObjectStore::default();
    let before = tree(&objects, &[CAT, CAT, CAT, CAT, DOG, DOG, None, DOG]).await;
    // One cat is a dog now, one dog a bird, one image has got a label and one has lost it; one is new.
    let after = tree(&objects, &[CAT, CAT, CAT, DOG, DOG, Some("bird"), CAT, None, CAT]).await;
    let found = serde_json::to_value(report(&objects, Some(&before), &after).await.unwrap()).unwrap();
    assert_eq!((&found["images"], &found["complete"]), (&json!(9), &json!(8)));
    let shares: Vec<_> = found["balance"]["labels"].as_array().unwrap().iter().map(|l| &l["images"]).collect();
    assert_eq!(shares, [5, 2, 1]);
    assert_eq!(found["balance"]["imbalance"], 5.0);
    let since = &found["since"];
    assert_eq!(since["labels"], json!(["bird", "cat", "dog"]));
    assert_eq!(since["matrix"], json!([[0, 0, 0], [0, 3, 1], [1, 0, 1]]));
    assert_eq!((&since["compared"], &since["gained"], &since["lost"]), (&json!(6), &json!(2), &json!(1)));
    let changed = [("cat", "dog"), ("dog", "bird")].map(|(then, now)| json!({"then": then, "now": now, "images": 1}));
    assert_eq!(since["relabelled"], json!(changed));
    assert_eq!((&found["before"]["images"], &found["before"]["unlabelled"]), (&json!(8), &json!(1)));
    assert_eq!(found["before"]["balance"]["labels"][0]["images"], 4);
    // Four of six agree; by chance (4·3 + 2·2) of 36 would.
    let (agreement, kappa) = (since["agreement"].as_f64().unwrap(), since["kappa"].as_f64().unwrap());
    assert!((agreement - 4.0 / 6.0).abs() < 1e-12 && (kappa - 0.4).abs() < 1e-12, "{since}");
}

#[tokio::test]
async fn versions_with_nothing_to_compare_have_no_shares_that_mean_nothing() {
    let objects = MemoryObjectStore::default();
    let (empty, one) = (tree(&objects, &[]).await, tree(&objects, &[CAT, CAT]).await);
    let found = serde_json::to_value(report(&objects, None, &empty).await.unwrap()).unwrap();
    let nothing = json!({
        "images": 0, "complete": 0, "disputed": 0, "unlabelled": 0, "rejected": 0, "balance": {"labels": []},
    });
    assert_eq!(found, nothing);
    let found = report(&objects, Some(&empty), &one).await.unwrap().since.unwrap();
    assert_eq!((found.compared, found.agreement, found.kappa, found.gained), (0, None, None, 2));
    let same = report(&objects, Some(&one), &one).await.unwrap().since.unwrap();
    assert_eq!((same.compared, same.agreement, same.kappa), (2, Some(1.0), None), "chance alone agrees");
}

#[tokio::test]
async fn only_what_has_changed_is_read() {
    let objects = MemoryObjectStore::default();
    let mut labels: Vec<_> = (0..20_000).map(|n| if n % 3 == 0 { CAT } else { DOG }).collect();
    let before = tree(&objects, &labels).await;
    labels[0] = DOG;
    let after = tree(&objects, &labels).await;
    let reads = objects.reads();
    let found = confusion(&objects, &before, &after).await.unwrap();
    let (all, read) = (after.chunks(&objects).await.unwrap().len() as u64, objects.reads() - reads);
    assert!(read < all / 4, "{read} reads where there are {all} chunks");
    assert_eq!((found.compared, found.matrix[0][1]), (20_000, 1));
}

/// A row that is decided so surely, or disputed.
fn decided(n: u32, confidence: Option<f64>) -> Row {
    let mut row = row(n, CAT);
    row.outcome = match confidence {
        Some(confidence) => {
            let label = Label::parse("cat").unwrap();
            Outcome::Complete { label, confidence: Confidence::new(confidence), reason: None }
        }
        None => Outcome::Disputed { reason: Dispute::NoAnswer, label: None, confidence: Confidence::new(0.4) },
    };
    row
}

#[tokio::test]
async fn the_mean_confidence_of_both_versions_is_that_of_all_their_rows() {
    let objects = MemoryObjectStore::default();
    let sorted = |mut rows: Vec<Row>| {
        rows.sort_by_key(|row| row.image);
        rows
    };
    let many = || (10..1_000).map(|n| decided(n, Some(f64::from(n % 7) / 10.0 + 0.3)));
    let old: Vec<_> = many().chain([decided(1, Some(0.5)), decided(2, None), row(3, None)]).collect();
    let new: Vec<_> = many().chain([decided(1, Some(0.9)), decided(2, Some(0.8)), decided(4, None)]).collect();
    let mean = |rows: &[Row]| {
        let of = |row: &Row| row.decided_label().map_or(0.0, |(_, confidence)| confidence.get());
        let decided = rows.iter().filter(|row| row.outcome.confidence().is_some());
        decided.clone().map(of).sum::<f64>() / decided.count() as f64
    };
    let (expected_old, expected_new) = (mean(&old), mean(&new));
    let old = write_rows(&objects, sorted(old), None).await.unwrap().0;
    let new = write_rows(&objects, sorted(new), None).await.unwrap().0;
    let found = report(&objects, Some(&old), &new).await.unwrap();
    let is = |found: Option<f64>, expected: f64| assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?}");
    is(found.version.mean_confidence, expected_new);
    is(found.before.unwrap().mean_confidence, expected_old);
    assert_eq!((found.version.complete, found.version.disputed), (992, 1));
}

#[tokio::test]
async fn a_report_of_many_labels_can_be_made_as_short_as_it_has_to_be() {
    let objects = MemoryObjectStore::default();
    let labels: Vec<String> = (0..1_000).map(|n| format!("{n:04}{}", "ü".repeat(200))).collect();
    let with = |shift: usize| -> Vec<Option<&str>> {
        (0..1_500).map(|n| Some(labels[(n * n + shift) % labels.len()].as_str())).collect()
    };
    let (before, after) = (tree(&objects, &with(0)).await, tree(&objects, &with(1)).await);
    let whole = report(&objects, Some(&before), &after).await.unwrap();
    let bytes = |report: &dataset_report::Report| serde_json::to_vec(report).unwrap().len();
    assert!(bytes(&whole) > 200_000 && !whole.shortened && whole.within(usize::MAX).unwrap() == whole);
    for limit in [100_000, 31_000, 1_000] {
        let short = whole.within(limit).unwrap();
        assert!(bytes(&short) <= limit && short.shortened, "{} bytes of {limit}", bytes(&short));
        let (since, counted) = (short.since.unwrap(), whole.since.as_ref().unwrap());
        assert_eq!((since.compared, since.kappa, since.matrix.len()), (counted.compared, counted.kappa, 0));
        assert_eq!(short.version.images, 1_500);
        let kept = short.version.balance.labels;
        assert_eq!(kept, whole.version.balance.labels[..kept.len()], "the most frequent stay");
    }
}
