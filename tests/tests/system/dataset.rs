//! Versions of a task's labelled data set, as people keep them in a folder by the command line.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use lambel_core::{ImageId, api::PolicyFields};
use lambel_system_tests::{Cloud, File, Terminal, User, pictures};
use serde_json::{Value, json};

const IMAGES: u32 = 12;

/// What everybody answers for an image.
fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

/// Pictures, one of them under two names, and a file that is none.
fn files() -> Vec<File> {
    let mut files = pictures(IMAGES, 71);
    files.push(("twin/of-the-first.png".to_owned(), files[0].1.clone()));
    files.push(("text.png".to_owned(), b"no picture at all".to_vec()));
    files
}

/// A terminal of this account with a data set's folder in it.
struct Desk {
    terminal: Terminal,
    set: String,
}

impl Desk {
    async fn of(cloud: &Cloud, user: &User) -> Result<Self> {
        let terminal = Terminal::new(cloud)?;
        terminal.sign_in(user).await?;
        let set = terminal.home.join("set").to_string_lossy().into_owned();
        Ok(Self { terminal, set })
    }

    /// The one thing that a command on the folder says.
    async fn one(&self, words: &[&str]) -> Result<Value> {
        self.all(words).await?.pop().context("an answer")
    }

    async fn all(&self, words: &[&str]) -> Result<Vec<Value>> {
        let words = [&["dataset"], words, &["--in", &self.set]].concat();
        self.terminal.lambel(0, &words).await
    }

    async fn commit(&self, task: &str) -> Result<Value> {
        let words = ["dataset", "commit", task, "--into", &self.set];
        self.terminal.lambel(0, &words).await?.pop().context("a commit")
    }

    /// Exports, and reads what was written.
    async fn export(&self, format: &str, more: &[&str]) -> Result<String> {
        let out = self.terminal.home.join(format);
        let path = out.to_string_lossy().into_owned();
        let exported = self.one(&[&["export", "--format", format, "--out", &path], more].concat()).await?;
        let text = fs::read_to_string(&out)?;
        ensure!(exported["bytes"] == text.len(), "{exported}");
        Ok(text)
    }
}

#[tokio::test]
async fn a_task_becomes_versions_that_can_be_compared_and_exported() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(2).await?;
    let task = client.task(PolicyFields { quorum: Some(2), ..PolicyFields::default() }).await?;
    client.fill(task, &files()).await?;
    let id = task.to_string();
    let desk = Desk::of(&cloud, &client).await?;

    let before = desk.commit(&id).await?;
    let open = json!({"images": IMAGES + 1, "names": IMAGES + 2, "unlabelled": IMAGES, "rejected": 1, "complete": 0});
    for (name, count) in open.as_object().context("counts")? {
        assert_eq!(&before["statistics"][name], count, "{name}: {before}");
    }

    try_join_all(operators.iter().map(|operator| operator.work(task, 7, truth))).await?;
    client.completed(task).await?;
    let after = desk.commit(&id).await?;
    assert_eq!(after["parents"], json!([before["commit"]]));

    // The counts are those of the results.
    let results = client.results(task).await?;
    assert_eq!(after["statistics"]["names"], results.len());
    let images: BTreeMap<_, _> = results.iter().map(|row| (row.image, &row.status)).collect();
    assert_eq!(after["statistics"]["images"], images.len());
    let votes: usize = images.values().map(|status| status.votes.len()).sum();
    assert_eq!((votes, &after["statistics"]["votes"]), (2 * IMAGES as usize, &json!(votes)));
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    for label in images.values().filter_map(|status| status.label.as_ref()) {
        *labels.entry(label.to_string()).or_default() += 1;
    }
    assert_eq!(after["statistics"]["labels"], json!(labels));

    // Nothing has changed since: no new version, here or in a folder of its own.
    let again = desk.commit(&id).await?;
    assert_eq!((&again["commit"], &again["new"]), (&after["commit"], &json!(false)));
    assert_eq!(desk.all(&["log"]).await?.len(), 2);
    assert_eq!(desk.one(&["diff", "live", "live", "--summary"]).await?["images"], 0);
    let (one, other) = (Desk::of(&cloud, &client).await?, Desk::of(&cloud, &client).await?);
    assert_eq!(one.commit(&id).await?["commit"], other.commit(&id).await?["commit"]);

    // From open to complete, every good picture has changed, and the refused one has not.
    let changes = desk.all(&["diff", "live~1", "live"]).await?;
    assert_eq!(changes.len(), IMAGES as usize);
    let expected = json!(["status-changed", "votes-changed"]);
    assert!(changes.iter().all(|change| change["kinds"] == expected && change["before"]["votes"] == json!([])));
    let verified = desk.one(&["verify"]).await?;
    assert_eq!((&verified["commits"], &verified["problems"]), (&json!(2), &json!([])));
    let blamed = desk.one(&["blame", "twin/of-the-first.png"]).await?;
    assert_eq!((&blamed["commit"], &blamed["status"]), (&after["commit"], &json!("complete")));

    // Rows say who voted and how long it took.
    let rows = desk.export("jsonl", &[]).await?;
    let rows: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(rows.len(), images.len());
    for row in rows.iter().filter(|row| row["status"] != "rejected") {
        let image: ImageId = serde_json::from_value(row["image"].clone())?;
        assert_eq!(row["label"], truth(image).as_str());
        let votes = row["votes"].as_array().context("votes")?;
        assert_eq!(votes.len(), 2);
        for vote in votes {
            assert!(operators.iter().any(|operator| vote["operator"] == operator.subject.as_str()), "{vote}");
            assert_eq!(vote["elapsed_ms"], 700);
        }
    }
    let csv = desk.export("csv", &["--each-name", "--only-labelled"]).await?;
    assert_eq!(csv.lines().count(), 1 + IMAGES as usize + 1, "a heading, the pictures, and the second name of one");
    Ok(())
}
