//! Disputed images: a task waits until its client has reviewed them, by the command line.

use std::fs;

use anyhow::{Context, Result};
use lambel_core::{
    OnDispute, TaskState,
    api::{ImageState, PolicyFields},
    subtask::DecidedBy,
};
use lambel_system_tests::{Cloud, Terminal, pictures};

const IMAGES: u32 = 4;

#[tokio::test]
async fn a_task_waits_until_what_is_disputed_is_reviewed() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let [first, second] = &cloud.operators(2).await?[..] else { panic!("two were asked for") };
    let disputed = Some(OnDispute::Review);
    let policy = PolicyFields { quorum: Some(2), max_labels: Some(2), disputed, ..PolicyFields::default() };
    let task = client.task(policy).await?;
    let files = pictures(IMAGES, 47);
    client.fill(task, &files).await?;
    for (operator, says) in [(first, "cat"), (second, "dog")] {
        let mut voted = 0;
        while voted < IMAGES as usize {
            let images = operator.claim_some(task, IMAGES).await?;
            operator.vote(task, &images, says).await?;
            voted += images.len();
        }
    }
    let id = task.to_string();
    let listed = terminal.lambel(0, &["task", "review", &id, "--list"]).await?;
    assert_eq!(listed.len(), IMAGES as usize);
    assert!(listed.iter().all(|image| image["label"] == "cat" && image["votes"][1]["label"] == "dog"), "{listed:?}");
    assert_eq!(client.client.task(task).await?.state, TaskState::Sealed, "it waits");

    let csv = terminal.home.join("answers.csv");
    let path = csv.to_string_lossy().into_owned();
    let name = &files[0].0;
    fs::write(&csv, format!("file,label\n{name},dog\nno-such-file.png,cat\n"))?;
    let by_file = ["task", "review", &id, "--csv", &path];
    let report = &terminal.lambel(5, &by_file).await?[0];
    assert_eq!((&report["reviewed"], &report["refused"][0]["line"]), (&1.into(), &3.into()), "{report}");
    let report = &terminal.lambel(5, &by_file).await?[0];
    assert_eq!((&report["reviewed"], &report["unchanged"]), (&0.into(), &1.into()), "{report}");
    // Counters and records agree while some still wait.
    terminal.lambel(0, &["admin", "check", &id]).await?;

    let report = &terminal.lambel(0, &["task", "review", &id, "--keep-best"]).await?[0];
    assert_eq!(report["reviewed"], IMAGES - 1, "{report}");
    let task_view = client.completed(task).await?;
    assert_eq!((task_view.state, task_view.progress.context("progress")?.disputed), (TaskState::Complete, 0));
    for row in client.results(task).await? {
        let status = &row.status;
        assert_eq!((status.state, status.decided_by), (ImageState::Complete, Some(DecidedBy::Review)));
        let expected = if row.name == *name { "dog" } else { "cat" };
        assert_eq!(status.label.as_ref().context("label")?.as_str(), expected);
        assert_eq!((status.reviewed_by.is_some(), status.votes.len()), (true, 2));
    }
    let trail = terminal.lambel(0, &["task", "audit", &id]).await?;
    let reviews: Vec<_> = trail.iter().filter(|entry| entry["action"] == "disputes-reviewed").collect();
    assert_eq!(reviews.len(), 2, "{trail:?}");
    terminal.lambel(0, &["admin", "check", &id]).await?;
    // It is over.
    terminal.lambel(6, &by_file).await?;
    Ok(())
}
