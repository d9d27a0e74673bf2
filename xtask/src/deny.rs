//! What comes in with dependencies: licences, sources, versions, known holes. See `deny.toml`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::instance::{home, root};
use crate::step::{run_logged, step};

const VERSION: &str = "0.20.2";
/// The advisories lie on a git host that not every machine reaches.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// Finds the pinned version of cargo-deny, or builds it: two minutes, once.
pub(crate) fn install() -> Result<PathBuf> {
    let ours = home().join("tools").join("bin").join("cargo-deny");
    if let Some(found) = [Path::new("cargo-deny"), &ours].into_iter().find(|program| is_pinned(program)) {
        return Ok(found.to_owned());
    }
    step(&format!("installing cargo-deny {VERSION}"), || {
        let tools = home().join("tools");
        fs::create_dir_all(&tools)?;
        let build = tools.join("build");
        let mut command = Command::new(env!("CARGO"));
        command.args(["install", "cargo-deny", "--locked", "--force", "--version", VERSION]);
        command.arg("--root").arg(&tools).arg("--target-dir").arg(&build);
        run_logged(&mut command, &tools.join("cargo-deny.log"))?;
        fs::remove_dir_all(build)?;
        Ok(ours)
    })
}

fn is_pinned(program: &Path) -> bool {
    let output = Command::new(program).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == format!("cargo-deny {VERSION}"))
}

/// Whether all is in order. Advisories are looked at where there are any: a machine that cannot fetch them takes
/// those it fetched before, and one that has none says so.
pub(crate) fn check(program: &Path) -> Result<bool> {
    let check = |which: &[&str]| -> Result<bool> {
        let mut command = deny(program);
        Ok(command.args(["check", "--hide-inclusion-graph"]).args(which).status()?.success())
    };
    let passed = check(&["licenses", "bans", "sources"])?;
    let fetched = fetch(program)?;
    if !fetched && !has_advisories() {
        eprintln!("advisories NOT CHECKED: their database cannot be reached");
        return Ok(passed);
    }
    let mut command = deny(program);
    if !fetched {
        eprintln!("advisories as they were fetched the last time: their database cannot be reached now");
        command.arg("--offline");
    }
    Ok(command.args(["check", "advisories"]).status()?.success() && passed)
}

fn deny(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).env("CARGO", env!("CARGO"));
    command
}

/// Fetches the advisories, if they come in time.
fn fetch(program: &Path) -> Result<bool> {
    let mut command = deny(program);
    command.args(["fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + FETCH_LIMIT;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        sleep(Duration::from_millis(50));
    }
}

/// Whether they were fetched before, into the folder that `deny.toml` names.
fn has_advisories() -> bool {
    let entries = fs::read_dir(home().join("advisories")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).any(|path| path.is_dir())
}
