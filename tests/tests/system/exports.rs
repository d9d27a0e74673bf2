//! Exports of a data set that the service makes.

use std::fs;

use anyhow::{Context, Result, ensure};
use lambel_core::{ImageId, api::PolicyFields};
use lambel_dataset::{
    CommitId, MemoryObjectStore, ObjectStore,
    export::{Format, Options, export},
};
use lambel_system_tests::{Cloud, Terminal, pictures};
use serde_json::{Value, json};

const IMAGES: u32 = 8;

/// The objects of a task's data set, out of the bucket, as anybody with nothing but the bucket has them.
async fn objects(cloud: &Cloud, task: &str) -> Result<MemoryObjectStore> {
    let (s3, bucket) = (cloud.s3().await, &cloud.dataset_bucket_name);
    let prefix = format!("{task}/");
    let store = MemoryObjectStore::default();
    for object in s3.list_objects_v2().bucket(bucket).prefix(&prefix).send().await?.contents() {
        let key = object.key().context("a key")?;
        let bytes = s3.get_object().bucket(bucket).key(key).send().await?.body.collect().await?.into_bytes();
        let path = key.strip_prefix(&prefix).context("the prefix")?;
        store.put(path.parse()?, bytes).await?;
    }
    Ok(store)
}

#[tokio::test]
async fn a_version_becomes_files_that_are_those_of_an_export_by_hand() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operator = cloud.operators(1).await?.remove(0);
    let task = client.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    client.fill(task, &pictures(IMAGES, 93)).await?;
    operator.work(task, 4, |image| if image.digest()[31] > 127 { "cat" } else { "dog" }.to_owned()).await?;
    client.completed(task).await?;
    let id = task.to_string();
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let one = async |words: &[&str]| -> Result<Value> {
        let words = [&["dataset"], words, &["--task", &id]].concat();
        terminal.lambel(0, &words).await?.pop().context("an answer")
    };
    let commit = one(&["commit"]).await?["commit"].as_str().context("its id")?.to_owned();
    let by_hand = objects(&cloud, &id).await?;
    let commit_id: CommitId = commit.parse()?;

    // COCO is two passes, so its file is joined; the others are written as they are.
    let manifest = Format::Manifest { attribute: "label".to_owned() };
    for (word, format) in [("csv", Format::Csv), ("manifest", manifest), ("coco", Format::Coco)] {
        let out = terminal.home.join(word);
        let path = out.to_string_lossy().into_owned();
        let exported = one(&["export", "--format", word, "--out", &path]).await?;
        assert_eq!((&exported["commit"], &exported["images"]), (&json!(commit), &json!(IMAGES)));
        let found = fs::read(&out)?;
        let mut expected = Vec::new();
        export(&by_hand, commit_id, &format, &Options::default(), &mut expected).await?;
        ensure!(found == expected, "{word}: {}", String::from_utf8_lossy(&found));
        assert_eq!(exported["files"][0]["sha256"], ImageId::of(&found).to_string());
        // The same once more is there already; what an interrupted command has left is gone on with.
        let part = terminal.home.join(format!("again.{}.part", exported["export"].as_str().context("an id")?));
        fs::write(&part, &expected[..expected.len() / 2])?;
        let again = terminal.home.join("again").to_string_lossy().into_owned();
        one(&["export", "--format", word, "--at", &commit[..8], "--out", &again]).await?;
        ensure!(fs::read(&again)? == expected && !part.exists(), "{word}");
        fs::remove_file(&again)?;
    }

    // The address is for this file, and says what it is.
    let exports = client.client.exports(task).await?.exports;
    assert_eq!(exports.len(), 3);
    let csv = client.client.export(task, exports[2].export).await?;
    let url = csv.files[0].url.clone().context("an address")?;
    let answer = reqwest::get(&url).await?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!(header("content-type"), "text/csv; charset=utf-8");
    assert_eq!(header("content-disposition"), "attachment; filename=\"rows.csv\"");
    let unsigned = url.split('?').next().context("a path")?;
    assert_eq!(reqwest::get(unsigned).await?.status().as_u16(), 403);

    // Nobody else knows of any of it, and an option that the format has not is refused.
    let stranger = Terminal::new(&cloud)?;
    stranger.sign_in(&cloud.client().await?).await?;
    let out = stranger.home.join("x").to_string_lossy().into_owned();
    stranger.lambel(4, &["dataset", "export", "--format", "csv", "--out", &out, "--task", &id]).await?;
    terminal
        .lambel(2, &["dataset", "export", "--format", "csv", "--attribute", "x", "--out", &out, "--task", &id])
        .await?;
    Ok(())
}
