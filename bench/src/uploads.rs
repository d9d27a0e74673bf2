//! From upload to open: one picture alone, and many.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use lambel_core::{ImageId, SubtaskState, TaskId, api::PolicyFields};
use lambel_service::ports::Store;
use lambel_system_tests::{File, User, pictures};
use tokio::time::sleep;

use crate::Bench;

/// How long many pictures may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn run(bench: &Bench, folder: Option<&Path>) -> Result<()> {
    let client = bench.cloud.client().await?;
    let task = client.task(PolicyFields::default()).await?;
    let mut times = Vec::new();
    for file in pictures(bench.amount(20), 5) {
        client.upload(task, std::slice::from_ref(&file)).await?;
        let begin = Instant::now();
        wait_open(bench, task, &[ImageId::of(&file.1)]).await?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64();
    println!("\nOne picture alone, uploaded to open: median {:.2} s, slowest {:.2} s.", at(0.5), at(1.0));

    println!(
        "\n| pictures | upload, s | first upload to last open, s | uploaded, validated and open, a second |\n|---|---|---|---|"
    );
    let drawn = pictures(bench.amount(1_000), 6);
    many(bench, &client, "drawn, 32 × 32 PNG", &drawn).await?;
    if let Some(folder) = folder {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_file() {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                files.push((name, fs::read(&path)?));
            }
        }
        many(bench, &client, "of the folder", &files).await?;
    }
    Ok(())
}

async fn many(bench: &Bench, client: &User, what: &str, files: &[File]) -> Result<()> {
    let task = client.task(PolicyFields::default()).await?;
    let images: Vec<_> = files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect();
    let begin = Instant::now();
    for chunk in files.chunks(1_000) {
        client.upload(task, chunk).await?;
    }
    let uploaded = begin.elapsed();
    wait_open(bench, task, &images).await?;
    let open = begin.elapsed().as_secs_f64();
    let count = files.len();
    println!("| {count} {what} | {:.1} | {open:.1} | {:.0} |", uploaded.as_secs_f64(), count as f64 / open);
    Ok(())
}

async fn wait_open(bench: &Bench, id: TaskId, images: &[ImageId]) -> Result<()> {
    let task = bench.store.task(id).await?.context("the task is gone")?;
    let deadline = Instant::now() + PATIENCE;
    let mut left = images.to_vec();
    while !left.is_empty() {
        if Instant::now() > deadline {
            bail!("{} of {} pictures are not open", left.len(), images.len());
        }
        let some = &left[..left.len().min(1_000)];
        let known = bench.store.subtasks(&task, some, true).await?;
        let done: Vec<_> =
            known.iter().filter(|s| s.state != SubtaskState::Preparing).map(|subtask| subtask.image).collect();
        left.retain(|image| !done.contains(image));
        if done.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
