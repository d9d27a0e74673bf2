//! `cargo xtask test`: all tests of the workspace, on a local cloud that is started for them and empty.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::cloud::{self, Life};
use crate::deploy::deploy;
use crate::instance::{Instance, root};
use crate::package;
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
    if let Some(running) = cloud::running(&instance) {
        bail!(
            "a local cloud for tests is running (port {}): it was kept, or other tests are using it. \
             Stop it with `cargo xtask down`",
            running.port
        );
    }
    Venv::Cloud.install()?;
    Venv::Tools.install()?;
    let package = package::build(&instance)?;
    cloud::wipe_data(&instance)?;
    let life = if args.keep { Life::Free } else { Life::Tethered };
    let (cloud, child) = cloud::start(&instance, Some(cloud::free_port()?), life)?;
    let result = deploy(&instance, cloud, &package).and_then(|_| {
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
            .env("LAMBEL_AWS", Venv::Tools.bin("aws"))
            .status()
            .context("failed to start cargo test")
    });
    if args.keep {
        eprintln!("the local cloud stays: {}; `cargo xtask down` stops it", instance.cloud_json().display());
    } else {
        cloud::stop(&instance)?;
        // The child is ours to collect, and its standard input to close.
        if let Some(mut child) = child {
            child.wait()?;
        }
    }
    Ok(if result?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
