//! `lambel admin`: accounts and machines, by the admin interface of the user pool. It needs AWS credentials, not
//! a sign-in.

mod machine;
mod pool;
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
    }
}
