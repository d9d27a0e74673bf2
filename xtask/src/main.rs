//! The developer's commands: `cargo xtask up | down | demo | bench | test | check | package`.
//!
//! What they make lies in the ignored folder `.lambel/` of the checkout, see [`instance`].
//! They know AWS only through its command line, so that `xtask` itself builds in seconds.

mod accounts;
mod bench;
mod check;
mod cloud;
mod demo;
mod deny;
mod deploy;
mod instance;
mod package;
mod python;
mod step;
mod template;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::instance::Instance;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Lambel's commands for developers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the local cloud, deploy to it and keep it running; a second call redeploys what changed
    Up(UpArgs),
    /// Stop the local cloud; its data stays
    Down {
        /// Delete its data too
        #[arg(long)]
        wipe: bool,
    },
    /// Show the whole job on the local cloud: upload, label, results
    Demo(demo::Args),
    /// Put load on the local cloud and print what it shows
    Bench(bench::Args),
    /// Run all tests, on a local cloud of their own
    Test(test::Args),
    /// Formatting, lints, documentation, the template and the rights in it, dependencies
    Check,
    /// Build the functions and lay them out beside the template, ready to deploy
    Package,
}

#[derive(clap::Args)]
struct UpArgs {
    /// Port of the local cloud [default: the one it had last, or 4566]
    #[arg(long)]
    port: Option<u16>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Up(UpArgs { port }) => deploy::up(&Instance::dev()?, port)?.0.print(),
        Command::Down { wipe } => cloud::down_all(wipe)?,
        Command::Demo(args) => demo::run(&args)?,
        Command::Bench(args) => return bench::run(&args),
        Command::Test(args) => return test::run(&args),
        Command::Check => return check::run(),
        Command::Package => {
            let package = package::build(&Instance::dev()?)?;
            println!("{}", package.template.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
