//! The `lambel` command, as people type it.

use std::{env, fs, path::PathBuf, process::Output};

use anyhow::{Context, Result, ensure};
use lambel_system_tests::{Cloud, User, wait_for};
use serde_json::Value;
use tokio::process::Command;

/// Somebody at a terminal, in a home of their own.
pub(crate) struct Terminal {
    pub(crate) home: PathBuf,
    api: String,
}

impl Terminal {
    pub(crate) fn new(cloud: &Cloud) -> Result<Self> {
        let home = env::temp_dir().join(format!("lambel-cli-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&home)?;
        Ok(Self { home, api: cloud.api_url.clone() })
    }

    /// The command, ready to be run.
    pub(crate) fn command(&self, words: &[&str]) -> Result<Command> {
        let program = env::var("LAMBEL_BIN").context("LAMBEL_BIN is not set: `cargo xtask test` sets it")?;
        let mut command = Command::new(program);
        command.args(words).arg("--json").env("LAMBEL_HOME", &self.home).env("LAMBEL_API", &self.api);
        Ok(command)
    }

    async fn run(&self, words: &[&str], password: &str) -> Result<Output> {
        Ok(self.command(words)?.env("LAMBEL_PASSWORD", password).output().await?)
    }

    /// A command that must end with this exit code; what it printed, as JSON Lines.
    pub(crate) async fn lambel(&self, code: i32, words: &[&str]) -> Result<Vec<Value>> {
        self.lambel_with(code, words, &[]).await
    }

    /// The same, with more in its environment.
    pub(crate) async fn lambel_with(&self, code: i32, words: &[&str], with: &[(&str, &str)]) -> Result<Vec<Value>> {
        let output = self.command(words)?.envs(with.iter().copied()).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(code), "{words:?}: {}: {said}", output.status);
        let text = String::from_utf8(output.stdout)?;
        if let Ok(one) = serde_json::from_str(&text) {
            return Ok(vec![one]);
        }
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    async fn sign_in(&self, user: &User) -> Result<()> {
        let output = self.run(&["login", "--username", &user.name], &user.password).await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // What cannot be removed lies in the folder for temporary files.
        drop(fs::remove_dir_all(&self.home));
    }
}

#[tokio::test]
async fn a_folder_becomes_results_by_the_command_line() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    terminal.lambel(3, &["task", "list"]).await?;
    terminal.sign_in(&cloud.client().await?).await?;
    let set = lambel_samples::write_sample_set(&terminal.home.join("samples"), 11)?;
    let path = |name: &str| set.folder.join(name).to_string_lossy().into_owned();
    let (images, labels, votes) = (path("images"), path("labels.txt"), path("votes.csv"));

    let create = ["task", "create", "--name", "cli", "--labels-file", &labels, "--quorum", "3"];
    let task = terminal.lambel(0, &create).await?[0]["task"].as_str().context("an id")?.to_owned();
    let upload = &terminal.lambel(0, &["upload", &task, &images, "--seal"]).await?[0];
    let distinct = set.distinct_good() + set.refused.len();
    assert_eq!(upload["distinct_images"], distinct);
    assert_eq!(upload["sealed"]["state"], "sealed");

    wait_for("every upload is validated", || async {
        let shown = &terminal.lambel(0, &["task", "show", &task]).await?[0]["progress"];
        let count = |name: &str| shown[name].as_u64().unwrap_or(0) as usize;
        Ok((count("accepted") + count("rejected") == distinct).then_some(()))
    })
    .await?;
    // A second run finds everything there.
    let again = &terminal.lambel(0, &["upload", &task, &images]).await?[0];
    assert_eq!(again["uploaded"], 0, "{again}");

    let refused = terminal.lambel(0, &["images", &task, "--state", "rejected"]).await?;
    assert_eq!(refused.len(), set.refused.len());
    for file in &set.refused {
        let found = refused.iter().find(|image| image["names"][0] == file.name.as_str()).context("a refusal")?;
        assert_eq!(found["refusal"]["code"], file.code);
    }

    let replay = &terminal.lambel(0, &["replay", &task, "--votes", &votes, "--images", &images]).await?[0];
    assert_eq!(replay["stop"], "task-over", "{replay}");
    assert_eq!(replay["state"], "complete");
    assert_eq!(replay["violations"], serde_json::json!([]));
    assert!(replay["annotators"].as_array().context("annotators")?.len() > 3, "they take turns");

    let rows = terminal.lambel(0, &["results", &task]).await?;
    assert_eq!(rows.len(), set.files());
    let labelled = rows.iter().filter(|row| row["state"] == "complete").count();
    assert!(labelled > 50 && rows.iter().all(|row| row["state"] == "rejected" || row["votes"].is_array()));
    let csv = terminal.home.join("results.csv");
    let out = csv.to_string_lossy().into_owned();
    terminal.lambel(0, &["results", &task, "--format", "csv", "--out", &out]).await?;
    assert_eq!(fs::read_to_string(&csv)?.lines().count(), set.files() + 1);
    // It is over: there is nothing to cancel and nothing to play.
    terminal.lambel(6, &["task", "cancel", &task]).await?;
    terminal.lambel(6, &["replay", &task, "--votes", &votes, "--images", &images]).await?;
    Ok(())
}

#[tokio::test]
async fn exit_codes_say_what_went_wrong() -> Result<()> {
    let cloud = Cloud::running()?;
    let terminal = Terminal::new(&cloud)?;
    let operator = cloud.operators(1).await?.remove(0);
    terminal.sign_in(&operator).await?;
    let create = ["task", "create", "--name", "x", "--label", "a", "--label", "b"];
    terminal.lambel(3, &create).await?;
    terminal.lambel(2, &["task", "show", "nonsense"]).await?;
    terminal.lambel(2, &["nonsense"]).await?;
    terminal.sign_in(&cloud.client().await?).await?;
    terminal.lambel(4, &["task", "show", "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11"]).await?;
    let wrong = terminal.run(&["login", "--username", &operator.name], "Wrong-password-1").await?;
    assert_eq!(wrong.status.code(), Some(3));
    let nowhere = Terminal { home: terminal.home.join("other"), api: "http://127.0.0.1:9".to_owned() };
    let unreachable = nowhere.run(&["login", "--username", "x"], "Wrong-password-1").await?;
    assert_eq!(unreachable.status.code(), Some(7));
    Ok(())
}
