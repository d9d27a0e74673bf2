//! `cargo xtask check`: what can be said about the code and the template without running them.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::cloud::REGION;
use crate::deny;
use crate::instance::{home, root};
use crate::python::Venv;
use crate::template;

pub(crate) fn run() -> Result<ExitCode> {
    Venv::Tools.install()?;
    Venv::Scan.install()?;
    let cargo_deny = deny::install()?;
    let checks: [(&str, &dyn Fn() -> Result<bool>); 8] = [
        ("formatting", &|| cargo(&["fmt", "--all", "--check"])),
        ("template", &|| lint("template.yaml")),
        ("template of the sample pipeline", &|| lint("examples/dataset-report/template.yaml")),
        ("rights", &rights),
        ("scan of the template", &scan),
        ("dependencies", &|| deny::check(&cargo_deny)),
        ("lints", &|| cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])),
        ("documentation", &|| {
            let mut docs = Command::new(env!("CARGO"));
            docs.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
            passes(docs)
        }),
    ];
    let mut failed = Vec::new();
    for (name, check) in checks {
        eprintln!("---- {name}");
        if !check().with_context(|| format!("failed to check {name}"))? {
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

/// Whether CloudFormation would take a template.
fn lint(template: &str) -> Result<bool> {
    let mut sam = Command::new(Venv::Tools.bin("sam"));
    sam.args(["validate", "--lint", "--template", template]);
    sam.env("AWS_DEFAULT_REGION", REGION).env("SAM_CLI_TELEMETRY", "0");
    passes(sam)
}

/// What a tool prints is what the reader came for, so it is not hidden in a log.
fn passes(mut command: Command) -> Result<bool> {
    Ok(command.current_dir(root()).status()?.success())
}

fn cargo(args: &[&str]) -> Result<bool> {
    let mut command = Command::new(env!("CARGO"));
    command.args(args);
    passes(command)
}

/// The rights of the functions against the table that explains them, and what else must be true of the template.
fn rights() -> Result<bool> {
    let problems = template::problems(&template::expand()?)?;
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(problems.is_empty())
}

/// What others hold to be commonly forgotten. `.checkov.yaml` says what we do not follow, and why.
fn scan() -> Result<bool> {
    let file = home().join("expanded.json");
    template::write(&template::expand()?, &file)?;
    let mut checkov = Command::new(Venv::Scan.bin("checkov"));
    checkov.args(["--config-file", ".checkov.yaml", "--file"]).arg(&file);
    passes(checkov)
}
