//! `cargo xtask check`: what can be said about the code without running it.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cloud::REGION;
use crate::instance::root;
use crate::python::Venv;

pub(crate) fn run() -> Result<ExitCode> {
    Venv::Tools.install()?;
    let cargo = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO"));
        command.args(args);
        command
    };
    let mut docs = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    let mut template = Command::new(Venv::Tools.bin("sam"));
    template.args(["validate", "--lint"]).env("AWS_DEFAULT_REGION", REGION).env("SAM_CLI_TELEMETRY", "0");
    let checks = [
        ("formatting", cargo(&["fmt", "--all", "--check"])),
        ("template", template),
        ("lints", cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])),
        ("documentation", docs),
    ];
    let mut failed = Vec::new();
    for (name, mut command) in checks {
        eprintln!("---- {name}");
        // What they print is what the reader came for, so it is not hidden in a log.
        if !command.current_dir(root()).status().with_context(|| format!("failed to check {name}"))?.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        eprintln!("all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("not in order: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}
