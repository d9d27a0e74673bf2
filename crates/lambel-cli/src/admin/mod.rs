//! `lambel admin`: accounts and machines, by the admin interface of the user pool; tasks, by their records; dead
//! letters, by their queues. It needs AWS credentials, not a sign-in.

mod check;
mod dataset;
mod dead_letters;
mod machine;
mod pool;
mod stack;
mod user;

use crate::{context::Context, exit::Outcome};

pub(crate) use pool::{Life, Pool};
pub(crate) use user::Group;

#[derive(clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Manage the accounts of people
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage machines: programs that sign in with a client id and a secret of their own
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// Count everything of a task again, and say what is not as it should be
    Check(check::CheckArgs),
    /// Do what a check has proved to be needed; without --apply only say it
    Repair(check::RepairArgs),
    /// Check the data set of a task, and remove what no version needs
    #[command(subcommand)]
    Dataset(dataset::DatasetCommand),
    /// Look at what the queues gave up on, and send it back
    #[command(subcommand)]
    Dlq(dead_letters::DlqCommand),
}

/// Which pool is meant.
#[derive(clap::Args)]
pub(crate) struct PoolArgs {
    /// The user pool [default: the one that the service names]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
}

impl PoolArgs {
    async fn pool(self, context: &Context) -> Outcome<Pool> {
        Ok(match self.user_pool {
            Some(id) => Pool::of_environment(id).await,
            None => Pool::of_service(&context.open_client()?.config().await?).await,
        })
    }
}

pub(crate) async fn run(context: &Context, command: AdminCommand) -> Outcome {
    match command {
        AdminCommand::User(command) => user::run(context, command).await,
        AdminCommand::Machine(command) => machine::run(context, command).await,
        AdminCommand::Check(args) => check::check(context, args).await,
        AdminCommand::Repair(args) => check::repair(context, args).await,
        AdminCommand::Dataset(command) => dataset::run(context, command).await,
        AdminCommand::Dlq(command) => dead_letters::run(context, command).await,
    }
}
