//! The `lambel` command, as people type it.

use std::{env, fs, path::PathBuf, process::Output};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{Cloud, User};

/// Somebody at a terminal, in a home of their own.
pub struct Terminal {
    /// Where it keeps its sign-ins.
    pub home: PathBuf,
    /// The service.
    pub api: String,
}

impl Terminal {
    /// A terminal for this cloud.
    pub fn new(cloud: &Cloud) -> Result<Self> {
        let home = env::temp_dir().join(format!("lambel-cli-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&home)?;
        Ok(Self { home, api: cloud.api_url.clone() })
    }

    /// The command, ready to be run.
    pub fn command(&self, words: &[&str]) -> Result<Command> {
        let program = env::var("LAMBEL_BIN").context("LAMBEL_BIN is not set: `cargo xtask test` sets it")?;
        let mut command = Command::new(program);
        command.args(words).arg("--json").env("LAMBEL_HOME", &self.home).env("LAMBEL_API", &self.api);
        Ok(command)
    }

    /// Runs a command with a password in its environment.
    pub async fn run(&self, words: &[&str], password: &str) -> Result<Output> {
        Ok(self.command(words)?.env("LAMBEL_PASSWORD", password).output().await?)
    }

    /// A command that must end with this exit code; what it printed, as JSON Lines.
    pub async fn lambel(&self, code: i32, words: &[&str]) -> Result<Vec<Value>> {
        self.lambel_with(code, words, &[]).await
    }

    /// The same, with more in its environment.
    pub async fn lambel_with(&self, code: i32, words: &[&str], with: &[(&str, &str)]) -> Result<Vec<Value>> {
        let output = self.command(words)?.envs(with.iter().copied()).output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.code() == Some(code), "{words:?}: {}: {said}", output.status);
        let text = String::from_utf8(output.stdout)?;
        if let Ok(one) = serde_json::from_str(&text) {
            return Ok(vec![one]);
        }
        text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }

    /// Signs in.
    pub async fn sign_in(&self, user: &User) -> Result<()> {
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
