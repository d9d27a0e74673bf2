//! `cargo xtask probe`: schemathesis asks the interface what the OpenAPI document allows and what it does not, as
//! each role, on a local cloud that is started for it and empty. `localstack/probe.py` does the asking.

use std::fs;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::accounts;
use crate::deploy;
use crate::instance::{Instance, root};
use crate::python::Venv;

/// How much to ask.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Requests made up for each operation and role, besides those that the document gives rise to by itself
    #[arg(long, default_value_t = 20)]
    examples: u32,
    /// What the made-up requests come from: the same number asks the same things
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// When to stop, in seconds, the start of the cloud not counted. Who is not done then has failed
    #[arg(long, default_value_t = 600)]
    seconds: u32,
    /// Only as this role, of client, operator, admin, machine, stranger (an account in no group), nobody (no token);
    /// can be said more than once [default: all]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Leave the local cloud running afterwards, to look at what came of it
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let instance = Instance::probe()?;
    Venv::Probe.install()?;
    let status = deploy::on_an_empty_cloud(&instance, args.keep, |cloud, deployment, _| {
        let pool = deployment.outputs.get("user_pool_id").map(String::as_str).unwrap_or_default();
        let stranger = accounts::stranger();
        accounts::create_one(cloud, pool, &stranger)?;
        let reports = instance.dir.join("reports");
        fs::create_dir_all(&reports).with_context(|| format!("failed to create {}", reports.display()))?;
        let mut command = Command::new(Venv::Probe.bin("python"));
        command.arg(root().join("localstack").join("probe.py"));
        for (name, value) in [("--examples", args.examples), ("--seed", args.seed), ("--seconds", args.seconds)] {
            command.arg(name).arg(value.to_string());
        }
        for role in &args.roles {
            command.args(["--role", role]);
        }
        command
            .env("LAMBEL_CLOUD", instance.cloud_json())
            .env("LAMBEL_PROBE_DIR", &reports)
            .env("LAMBEL_PROBE_STRANGER", serde_json::to_string(&stranger)?)
            .stdin(Stdio::null())
            .status()
            .context("failed to start the probe")
    })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
