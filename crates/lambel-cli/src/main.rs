//! `lambel`, the command line of Lambel: for clients, operators and admins.
//!
//! With `--json`, standard output has JSON and nothing else: one object for one thing, JSON Lines (one object a
//! line) for lists. Messages and progress go to standard error.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed, for a reason that has no code of its own |
//! | 2 | the command, or a value in it, is not what it should be |
//! | 3 | nobody is signed in, or the account may not do this |
//! | 4 | there is no such thing |
//! | 5 | done, but some files were refused or have failed |
//! | 6 | it contradicts what is there, for instance because the task is over |
//! | 7 | the service cannot be reached, or is not done: try again |
//! | 130 | interrupted |
//!
//! Every command has a module. `exit` and `output` are what all of them lean on; `profile` keeps sessions on
//! disk; `context` brings them together.

mod account;
mod admin;
mod audit;
mod consensus;
mod context;
mod dataset;
mod exit;
mod gold;
mod image;
mod images;
mod import;
mod login;
mod operator;
mod operators;
mod output;
mod password;
mod profile;
mod progress;
mod replay;
mod results;
mod review;
mod task;
mod upload;
mod webhook;
mod work;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{context::Context, exit::Outcome, profile::ProfileName};

/// Label images with many hands: make tasks, upload images, fetch results, manage accounts.
#[derive(Parser)]
#[command(name = "lambel", version, after_help = exit::HELP, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(clap::Args)]
struct Global {
    /// Address of the service [default: the one the profile has signed in to]
    #[arg(long, global = true, env = "LAMBEL_API", value_name = "URL")]
    api: Option<String>,
    /// Which of the saved sign-ins to use
    #[arg(long, global = true, env = "LAMBEL_PROFILE", value_name = "NAME", default_value = "default")]
    profile: ProfileName,
    /// Write JSON to standard output: one object, or one a line for lists
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no messages, except errors
    #[arg(long, short, global = true)]
    quiet: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Sign in, and stay so under this profile
    Login(login::LoginArgs),
    /// Forget the sign-in of this profile
    Logout,
    /// Look after your own account: password and second factor
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Make, list, show, seal and cancel tasks
    #[command(subcommand)]
    Task(task::TaskCommand),
    /// Upload the pictures of a folder; a second run goes on where the first stopped
    Upload(upload::Args),
    /// List the images of a task
    Images(images::Args),
    /// Fetch the results of a task
    Results(results::Args),
    /// Keep versions of a task's labelled data set in a folder: compare, trace, check and export them
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// List the tasks that have work for you
    Work,
    /// Play operators with the votes of a CSV file
    Replay(replay::Args),
    /// Find labels in the votes of a CSV file; this needs no service
    #[command(subcommand)]
    Consensus(consensus::ConsensusCommand),
    /// Have addresses of yours told of events, and look at what came of it
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Show how the operators of a task work, and how far they agree
    Operators(operators::Args),
    /// Pause operators and let them work again: in a task of yours, or everywhere, which is for admins
    #[command(subcommand)]
    Operator(operator::OperatorCommand),
    /// Manage accounts and machines; this needs AWS credentials
    #[command(subcommand)]
    Admin(admin::AdminCommand),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let context = Context::new(cli.global);
    match run(&context, cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            context.out.failure(&failure);
            failure.exit.into()
        }
    }
}

async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        Command::Login(args) => login::login(context, args).await,
        Command::Logout => login::logout(context).await,
        Command::Account(command) => account::run(context, command).await,
        Command::Task(command) => task::run(context, command).await,
        Command::Upload(args) => exit::interruptible(upload::run(context, args), upload::INTERRUPTED).await,
        Command::Images(args) => images::run(context, args).await,
        Command::Results(args) => results::run(context, args).await,
        Command::Dataset(command) => dataset::run(context, command).await,
        Command::Work => work::run(context).await,
        Command::Replay(args) => exit::interruptible(replay::run(context, args), replay::INTERRUPTED).await,
        Command::Consensus(command) => consensus::run(context, command),
        Command::Webhook(command) => webhook::run(context, command).await,
        Command::Operators(args) => operators::run(context, args).await,
        Command::Operator(command) => operator::run(context, command).await,
        Command::Admin(command) => admin::run(context, command).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_table_of_exit_codes_is_in_the_help() {
        let help = Cli::command().render_help().to_string();
        for code in 0..=7 {
            assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}");
        }
    }
}
