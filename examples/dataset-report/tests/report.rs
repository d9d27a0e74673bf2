//! The report of versions that are made here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use dataset_report::report;
use lambel_core::{ImageId, Label, consensus::Confidence};
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
    // Four of six agree; by chance (4·3 + 2·2) of 36 would.
    let (agreement, kappa) = (since["agreement"].as_f64().unwrap(), since["kappa"].as_f64().unwrap());
    assert!((agreement - 4.0 / 6.0).abs() < 1e-12 && (kappa - 0.4).abs() < 1e-12, "{since}");
}

#[tokio::test]
async fn versions_with_nothing_to_compare_have_no_shares_that_mean_nothing() {
    let objects = MemoryObjectStore::default();
    let (empty, one) = (tree(&objects, &[]).await, tree(&objects, &[CAT, CAT]).await);
    let found = serde_json::to_value(report(&objects, None, &empty).await.unwrap()).unwrap();
    assert_eq!(found, json!({"images": 0, "complete": 0, "balance": {"labels": []}}));
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
    let found = report(&objects, Some(&before), &after).await.unwrap().since.unwrap();
    let (all, read) = (after.chunks(&objects).await.unwrap().len() as u64, objects.reads() - reads);
    assert!(read < all / 4, "{read} reads where there are {all} chunks");
    assert_eq!((found.compared, found.matrix[0][1]), (20_000, 1));
}
