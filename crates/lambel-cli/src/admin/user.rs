//! `lambel admin user`: the accounts of people.

use clap::ValueEnum;
use serde_json::json;

use super::{Life, PoolArgs};
use crate::{context::Context, exit::Outcome, output::columns, password};

/// How many characters of chance are in a temporary password.
const TEMPORARY_CHARS: usize = 16;

#[derive(clap::Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account, or set password and groups of one that is there
    Add(AddArgs),
    /// List the accounts and their groups
    List(PoolArgs),
    /// Take groups away from an account, and sign it out everywhere
    Revoke(RevokeArgs),
    /// Let nobody sign in with an account any more, and sign it out everywhere
    Disable(NameArgs),
    /// Let an account sign in again
    Enable(NameArgs),
    /// Sign an account out everywhere
    SignOut(NameArgs),
    /// Turn the second factor of an account off, for somebody who has lost theirs
    ResetTotp(NameArgs),
    /// Delete an account; what it has made and voted stays
    Remove(NameArgs),
}

#[derive(clap::Args)]
pub(crate) struct AddArgs {
    /// User name
    name: String,
    /// What the account may do; once for each group
    #[arg(long = "group", value_enum, required = true, value_name = "GROUP")]
    groups: Vec<Group>,
    /// Read the password from standard input [otherwise: LAMBEL_PASSWORD, else asked for]
    #[arg(long)]
    password_stdin: bool,
    /// Print a password of chance that is good for one sign-in within a week, which asks for a lasting one
    #[arg(long, conflicts_with = "password_stdin")]
    temporary: bool,
    #[command(flatten)]
    pool: PoolArgs,
}

#[derive(clap::Args)]
pub(crate) struct RevokeArgs {
    #[command(flatten)]
    of: NameArgs,
    /// What the account may no longer do; once for each group
    #[arg(long = "group", value_enum, required = true, value_name = "GROUP")]
    groups: Vec<Group>,
}

#[derive(clap::Args)]
pub(crate) struct NameArgs {
    /// User name
    name: String,
    #[command(flatten)]
    pool: PoolArgs,
}

/// The groups of the user pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    Clients,
    Operators,
    Admins,
}

impl Group {
    pub(super) const ALL: [Self; 3] = [Self::Clients, Self::Operators, Self::Admins];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Operators => "operators",
            Self::Admins => "admins",
        }
    }
}

/// Said wherever a right is taken away.
const UNTIL_THEN: &str = "tokens that were given out already are good for up to an hour";

pub(super) async fn run(context: &Context, command: UserCommand) -> Outcome {
    match command {
        UserCommand::Add(args) => add(context, args).await,
        UserCommand::List(pool) => list(context, pool).await,
        UserCommand::Revoke(args) => revoke(context, args).await,
        UserCommand::Disable(NameArgs { name, pool }) => {
            let pool = pool.pool(context).await?;
            pool.set_enabled(&name, false).await?;
            pool.sign_out(&name).await?;
            done(context, &name, "disabled", Some(UNTIL_THEN))
        }
        UserCommand::Enable(NameArgs { name, pool }) => {
            pool.pool(context).await?.set_enabled(&name, true).await?;
            done(context, &name, "enabled", None)
        }
        UserCommand::SignOut(NameArgs { name, pool }) => {
            pool.pool(context).await?.sign_out(&name).await?;
            done(context, &name, "signed out", Some(UNTIL_THEN))
        }
        UserCommand::ResetTotp(NameArgs { name, pool }) => {
            pool.pool(context).await?.disable_totp(&name).await?;
            done(context, &name, "second factor off", None)
        }
        UserCommand::Remove(NameArgs { name, pool }) => {
            pool.pool(context).await?.delete_account(&name).await?;
            done(context, &name, "removed", Some(UNTIL_THEN))
        }
    }
}

fn done(context: &Context, name: &str, what: &str, but: Option<&str>) -> Outcome {
    context.out.show(&json!({"name": name, "done": what}), |_| match but {
        Some(but) => format!("{name}: {what}; {but}"),
        None => format!("{name}: {what}"),
    })
}

fn tidy(mut groups: Vec<Group>) -> (Vec<Group>, Vec<&'static str>) {
    groups.sort_unstable();
    groups.dedup();
    let names = groups.iter().map(|group| group.as_str()).collect();
    (groups, names)
}

async fn add(context: &Context, args: AddArgs) -> Outcome {
    let (groups, names) = tidy(args.groups);
    let pool = args.pool.pool(context).await?;
    let (password, life) = if args.temporary {
        (password::random(TEMPORARY_CHARS), Life::Temporary)
    } else {
        (password::read(args.password_stdin, &format!("Password for {}: ", args.name))?, Life::Lasting)
    };
    let created = pool.ensure_account(&args.name, &password, life, &groups).await?;
    let mut shown = json!({"name": args.name, "groups": names, "user_pool": pool.id, "created": created});
    if life == Life::Temporary {
        shown["temporary_password"] = password.as_str().into();
    }
    context.out.show(&shown, |_| {
        let what = if created { "made" } else { "was there already; set the password" };
        let line = format!("{}: {what}, in {}", args.name, names.join(", "));
        match life {
            Life::Lasting => line,
            Life::Temporary => {
                format!("{line}\ntemporary password  {password}\nThe first `lambel login` asks for another.")
            }
        }
    })
}

async fn list(context: &Context, pool: PoolArgs) -> Outcome {
    let accounts = pool.pool(context).await?.accounts().await?;
    if context.out.json {
        return accounts.iter().try_for_each(|account| context.out.json(account));
    }
    let rows: Vec<_> = accounts
        .into_iter()
        .map(|account| {
            let state = match (account.enabled, account.temporary) {
                (false, _) => "disabled",
                (true, true) => "has not chosen a password yet",
                (true, false) => "",
            };
            vec![account.name, account.groups.join(", "), state.to_owned()]
        })
        .collect();
    if rows.is_empty() { Ok(()) } else { context.out.line(&columns(&rows)) }
}

async fn revoke(context: &Context, RevokeArgs { of, groups }: RevokeArgs) -> Outcome {
    let (groups, names) = tidy(groups);
    let pool = of.pool.pool(context).await?;
    pool.leave_groups(&of.name, &groups).await?;
    pool.sign_out(&of.name).await?;
    context.out.show(&json!({"name": of.name, "done": "revoked", "groups": names}), |_| {
        format!("{}: no longer in {}, and signed out; {UNTIL_THEN}", of.name, names.join(", "))
    })
}
