//! The `lambel` command, as a user calls it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::deploy::Deployment;

pub(super) struct Lambel {
    program: PathBuf,
    /// Where it keeps its sessions: not where the user's own are.
    home: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl Lambel {
    pub(super) fn new(program: &Path, home: &Path, deployment: &Deployment) -> Self {
        let environment = vec![
            ("LAMBEL_API", deployment.api_url.clone()),
            ("AWS_ENDPOINT_URL", deployment.endpoint.clone()),
            ("AWS_REGION", deployment.region.clone()),
            ("AWS_ACCESS_KEY_ID", deployment.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", deployment.secret_access_key.clone()),
        ];
        Self { program: program.to_owned(), home: home.join("home"), environment }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--json").args(words).env("LAMBEL_HOME", &self.home).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, mut command: Command, words: &[&str], good: &[i32]) -> Result<String> {
        let output = command.output().with_context(|| format!("failed to start {}", self.program.display()))?;
        if !output.status.code().is_some_and(|code| good.contains(&code)) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("lambel {} ended with {}:\n{}", words[0], output.status, said.trim());
        }
        String::from_utf8(output.stdout).context("lambel printed something that is not UTF-8")
    }

    /// Signs one of the test accounts in.
    pub(super) fn sign_in(&self, name: &str, deployment: &Deployment) -> Result<()> {
        let account = deployment.accounts.iter().find(|account| account.name == name);
        let account = account.with_context(|| format!("there is no test account {name}"))?;
        let words = ["login", "--username", name];
        let mut command = self.command(&words);
        command.env("LAMBEL_PASSWORD", &account.password);
        self.run(command, &words, &[0]).map(drop)
    }

    /// A command that answers with one object.
    pub(super) fn one(&self, words: &[&str]) -> Result<Value> {
        self.one_of(words, &[0])
    }

    /// The same, where other exit codes are fine too.
    pub(super) fn one_of(&self, words: &[&str], good: &[i32]) -> Result<Value> {
        let text = self.run(self.command(words), words, good)?;
        serde_json::from_str(&text).with_context(|| format!("lambel {} printed no JSON", words[0]))
    }

    /// A command that answers with an object on each line.
    pub(super) fn many(&self, words: &[&str]) -> Result<Vec<Value>> {
        let text = self.run(self.command(words), words, &[0])?;
        let lines: Result<_, _> = text.lines().map(serde_json::from_str).collect();
        lines.with_context(|| format!("lambel {} printed no JSON", words[0]))
    }
}
