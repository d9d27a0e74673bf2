//! `cargo xtask test`: all tests of the workspace, on a local cloud that is started for them and empty.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::deploy;
use crate::instance::{Instance, root};
use crate::python::Venv;

/// How to run the tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave the local cloud running afterwards, to look at what the tests left there
    #[arg(long)]
    keep: bool,
    /// What to hand on to `cargo test`; without a package among it, the whole workspace is tested
    #[arg(last = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let instance = Instance::test()?;
    Venv::Readers.install()?;
    let status = deploy::on_an_empty_cloud(&instance, args.keep, |cloud, _, package| {
        let mut command = Command::new(env!("CARGO"));
        cloud.apply_to(&mut command);
        command.current_dir(root()).arg("test").args(&args.cargo);
        if !args
            .cargo
            .iter()
            .take_while(|word| *word != "--")
            .any(|word| word.starts_with("-p") || word.starts_with("--package"))
        {
            command.arg("--workspace");
        }
        command
            .env("LAMBEL_CLOUD", instance.cloud_json())
            .env("LAMBEL_BIN", &package.lambel)
            .env("LAMBEL_EXAMPLES", &package.examples)
            .env("LAMBEL_AWS", Venv::Tools.bin("aws"))
            .env("LAMBEL_READERS", Venv::Readers.bin("python"))
            .status()
            .context("failed to start cargo test")
    })?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
