//! Moving in: what another tool has, or Lambel itself has exported, becomes a task with the same labels.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use lambel_core::{ImageId, Label, TaskId, TaskState, api::PolicyFields};
use lambel_system_tests::{Cloud, Terminal, User, pictures};
use serde_json::{Value, json};

const IMAGES: u32 = 12;

fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

/// The label of each name.
async fn labels(client: &User, task: TaskId) -> Result<BTreeMap<String, Option<Label>>> {
    let rows = client.results(task).await?.into_iter();
    Ok(rows.map(|row| (row.name, row.status.label)).collect())
}

/// What an import has said, and its task.
async fn import(terminal: &Terminal, words: &[&str]) -> Result<(Value, TaskId)> {
    let said = terminal.lambel(0, &[&["task", "import"], words].concat()).await?.pop().context("a report")?;
    let task = said["task"].as_str().context("a task")?.parse()?;
    Ok((said, task))
}

#[tokio::test]
async fn what_was_exported_is_imported_with_the_same_labels_and_twice_is_once() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(3).await?;
    let first = client.task(PolicyFields { quorum: Some(2), ..PolicyFields::default() }).await?;
    let files = pictures(IMAGES, 73);
    client.fill(first, &files).await?;
    try_join_all(operators[..2].iter().map(|operator| operator.work(first, 7, truth))).await?;
    client.completed(first).await?;

    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let path = |name: &str| terminal.home.join(name).to_string_lossy().into_owned();
    let (set, folder, json, manifest) = (path("set"), path("pictures"), path("export.json"), path("out.manifest"));
    for (name, bytes) in &files {
        let file = terminal.home.join("pictures").join(name);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        fs::write(file, bytes)?;
    }
    terminal.lambel(0, &["dataset", "commit", &first.to_string(), "--into", &set]).await?;
    for (format, out) in [("label-studio", &json), ("manifest", &manifest)] {
        let to = ["--format", format, "--out", out, "--address-prefix", "s3://elsewhere/batch/"];
        terminal.lambel(0, &[&["dataset", "export", "--in", &set][..], &to].concat()).await?;
    }

    // A run that was killed when it had made the task has left this behind: the import takes it.
    let create = ["task", "create", "--name", "moved", "--label", "cat", "--label", "dog", "--quorum", "2"];
    let left = terminal.lambel(0, &create).await?.pop().context("a task")?;
    // Label Studio: each vote comes in, and the votes decide as they did.
    let studio = [&json, "--format", "label-studio", "--images", &folder, "--name", "moved", "--quorum", "2"];
    let (said, second) = import(&terminal, &studio).await?;
    let votes = 2 * IMAGES;
    assert_eq!((&said["brought"]["counted"], &said["task"]), (&json!(votes), &left["task"]), "{said}");
    assert_eq!(labels(&client, second).await?, labels(&client, first).await?);
    let shown = client.client.task(second).await?;
    let progress = shown.progress.context("progress")?;
    assert_eq!(
        (progress.complete, progress.votes, shown.state),
        (u64::from(IMAGES), u64::from(votes), TaskState::Open)
    );
    let operator = &client.results(second).await?[0].status.votes[0].operator;
    ensure!(operator.as_str().starts_with("import:lambel:"), "{operator}");

    // The same command again finds the task, and there is nothing to do; then it is sealed, and over.
    let (again, same) = import(&terminal, &studio).await?;
    assert_eq!((same, &again["nothing_new"], &again["found"]), (second, &json!(true), &json!(true)), "{again}");
    assert_eq!((&again["brought"]["unchanged"], &again["upload"]["uploaded"]), (&json!(votes), &json!(0)));
    let sealed = [&studio[..], &["--seal"]].concat();
    assert_eq!(import(&terminal, &sealed).await?.1, second);
    client.completed(second).await?;
    let (over, same) = import(&terminal, &sealed).await?;
    assert_eq!((same, &over["state"], &over["nothing_new"]), (second, &json!("complete"), &json!(true)));
    let trail = terminal.lambel(0, &["task", "audit", &second.to_string()]).await?;
    let begun: Vec<_> = trail.iter().filter(|entry| entry["action"] == "import-begun").collect();
    assert_eq!(begun.len(), 1, "{trail:?}");
    assert_eq!((&begun[0]["votes"], &begun[0]["source"]), (&json!(votes), &json!("label-studio")));

    // Ground Truth has one label to an image, the job's. Two votes are wanted: people give the other.
    let lines =
        [&manifest, "--format", "ground-truth", "--images", &folder, "--name", "jobs", "--quorum", "2", "--seal"];
    let (said, third) = import(&terminal, &lines).await?;
    assert_eq!((&said["brought"]["counted"], &said["found"]), (&json!(IMAGES), &json!(false)), "{said}");
    assert_eq!(client.client.task(third).await?.progress.context("progress")?.open, u64::from(IMAGES));
    operators[2].work(third, 7, truth).await?;
    assert_eq!(labels(&client, third).await?, labels(&client, first).await?);
    Ok(())
}

#[tokio::test]
async fn votes_from_outside_are_for_the_owner_to_bring() -> Result<()> {
    let cloud = Cloud::running()?;
    let (owner, other, operator) = (cloud.client().await?, cloud.client().await?, cloud.operators(1).await?.remove(0));
    let task = owner.task(PolicyFields::default()).await?;
    let terminal = Terminal::new(&cloud)?;
    let folder = terminal.home.join("pictures");
    fs::create_dir_all(&folder)?;
    let (name, bytes) = pictures(1, 74).remove(0);
    let last = name.rsplit('/').next().context("a name")?;
    fs::write(folder.join(last), bytes)?;
    let export = json!([{"data": {"image": format!("s3://b/{last}")}, "annotations": [{"completed_by": 1, "result": [
        {"type": "choices", "value": {"choices": ["cat"]}}]}]}]);
    let file = terminal.home.join("export.json");
    fs::write(&file, export.to_string())?;
    let (file, folder, id) = (file.to_string_lossy(), folder.to_string_lossy(), task.to_string());
    let words = ["task", "import", &file, "--format", "label-studio", "--images", &folder, "--task", &id];
    for (user, code) in [(&other, 4), (&operator, 3), (&owner, 0)] {
        terminal.sign_in(user).await?;
        terminal.lambel(code, &words).await?;
    }
    terminal.lambel(0, &["task", "cancel", &id]).await?;
    terminal.lambel(6, &words).await?;
    Ok(())
}
