//! Gold: images whose label is known measure operators.

use std::fs;

use anyhow::{Context, Result};
use lambel_core::{
    ImageId, TaskState,
    api::{AddGold, GoldFields, GoldOutcome, ImageState, PolicyFields, VoteOutcome},
    subtask::DecidedBy,
};
use lambel_system_tests::{Cloud, Terminal, pictures};

/// What everybody answers for an image.
fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

#[tokio::test]
async fn a_new_operator_sees_gold_first_and_is_measured_by_it() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let operator = cloud.operators(1).await?.remove(0);
    let policy = PolicyFields { quorum: Some(1), gold_rate: Some(0.2), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    let files = pictures(30, 43);
    client.upload(task, &files).await?;

    // The command waits for what was just uploaded.
    let id = task.to_string();
    let csv = terminal.home.join("gold.csv");
    let path = csv.to_string_lossy().into_owned();
    let lines = files.iter().take(6).map(|(name, bytes)| format!("{name},{}\n", truth(ImageId::of(bytes))));
    let good = format!("file,label\n{}", lines.collect::<String>());
    fs::write(&csv, &good)?;
    let add = ["task", "gold", "add", &id, "--csv", &path];
    let report = &terminal.lambel(0, &add).await?[0];
    assert_eq!((&report["added"], &report["unchanged"]), (&6.into(), &0.into()), "{report}");
    fs::write(&csv, good + "no-such-file.png,cat\n")?;
    let report = &terminal.lambel(5, &add).await?[0];
    assert_eq!((&report["unchanged"], &report["refused"][0]["line"]), (&6.into(), &8.into()), "{report}");

    // A name can stand in a request twice.
    let label = truth(ImageId::of(&files[0].1));
    let twice = GoldFields { name: Some(files[0].0.clone()), image: None, label };
    let receipts = client.client.add_gold(task, &AddGold { gold: vec![twice.clone(), twice] }).await?.gold;
    assert!(receipts.iter().all(|receipt| receipt.outcome == GoldOutcome::Unchanged), "{receipts:?}");

    client.fill(task, &files).await?;
    let progress = client.client.task(task).await?.progress.context("progress")?;
    assert_eq!((progress.complete, progress.open), (6, 24));
    let gold: Vec<_> = files.iter().take(6).map(|(_, bytes)| ImageId::of(bytes)).collect();
    let first = operator.claim_some(task, 5).await?;
    assert!(first.iter().all(|image| gold.contains(image)), "the first five are gold");
    for (n, image) in first.iter().enumerate() {
        let said = if n == 0 { if truth(*image) == "cat" { "dog" } else { "cat" } } else { &*truth(*image) };
        assert_eq!(operator.vote(task, &[*image], said).await?, [VoteOutcome::Counted]);
    }
    let listed = terminal.lambel(0, &["task", "gold", "list", &id]).await?;
    let sum = |key: &str| listed.iter().filter_map(|gold| gold[key].as_u64()).sum::<u64>();
    assert_eq!((listed.len(), sum("answered"), sum("right")), (6, 5, 4));

    operator.work(task, 6, truth).await?;
    assert_eq!(client.completed(task).await?.state, TaskState::Complete);
    for row in client.results(task).await? {
        let by = if gold.contains(&row.image) { DecidedBy::Gold } else { DecidedBy::Votes };
        assert_eq!((row.status.state, row.status.decided_by), (ImageState::Complete, Some(by)));
        assert_eq!(row.status.label.context("label")?.as_str(), truth(row.image));
    }
    // Answers on gold are counted nowhere else.
    terminal.lambel(0, &["admin", "check", &id]).await?;
    let name = &files[0].0;
    assert_eq!(terminal.lambel(0, &["task", "gold", "remove", &id, name]).await?[0]["removed"], true);
    assert_eq!(terminal.lambel(0, &["task", "gold", "list", &id]).await?.len(), 5);
    Ok(())
}
