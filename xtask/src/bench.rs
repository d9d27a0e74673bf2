//! `cargo xtask bench`: load on the local cloud.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::deploy;
use crate::instance::{Instance, root};

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to hand on to the benchmarks; `--help` tells
    #[arg(last = true)]
    bench: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let instance = Instance::dev()?;
    let (deployment, _) = deploy::up(&instance, None)?;
    let output = |name: &str| deployment.outputs.get(name).cloned().unwrap_or_default();
    // Under the profile of the functions, so that all of them lie in one folder.
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root()).args(["build", "--quiet", "--profile", "local", "--package", "lambel-bench", "--bins"]);
    anyhow::ensure!(build.status().context("failed to start cargo")?.success(), "the benchmarks do not build");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["run", "--quiet", "--profile", "local", "--package", "lambel-bench", "--"]);
    command
        .args(&args.bench)
        .env("LAMBEL_CLOUD", instance.cloud_json())
        .env("LAMBEL_TASKS_TABLE", output("tasks_table_name"))
        .env("LAMBEL_SUBTASKS_TABLE", output("subtasks_table_name"))
        .env("AWS_ENDPOINT_URL", &deployment.endpoint)
        .env("AWS_REGION", &deployment.region)
        .env("AWS_ACCESS_KEY_ID", &deployment.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &deployment.secret_access_key);
    let status = command.status().context("failed to start the benchmarks")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
