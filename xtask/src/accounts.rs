//! The accounts that every local cloud has.

use std::thread;

use anyhow::{Result, anyhow};
use serde::Serialize;

use crate::cloud::Cloud;
use crate::deploy::{Deployment, aws};
use crate::step::read;

/// One account, its only group, and its password, which is no secret.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) password: String,
}

/// Two operators, since it takes two to meet.
pub(crate) fn test_accounts() -> Vec<Account> {
    [("client", "clients"), ("operator-1", "operators"), ("operator-2", "operators"), ("admin", "admins")]
        .map(|(name, group)| Account {
            name: name.to_owned(),
            group: group.to_owned(),
            password: format!("Local-password-1-of-{name}"),
        })
        .into()
}

/// Makes the accounts that are not there yet.
pub(crate) fn create(cloud: Cloud, deployment: &Deployment) -> Result<()> {
    let pool = deployment.outputs.get("user_pool_id").map(String::as_str).unwrap_or_default();
    let there = read(aws(cloud).args(["cognito-idp", "list-users", "--user-pool-id", pool]).args([
        "--query",
        "Users[?UserStatus=='CONFIRMED'].Username",
        "--output",
        "text",
    ]))?;
    let missing =
        deployment.accounts.iter().filter(|account| !there.split_whitespace().any(|user| user == account.name));
    // The command line takes half a second for each call, mostly to start.
    thread::scope(|scope| {
        let made: Vec<_> = missing.map(|account| scope.spawn(|| create_one(cloud, pool, account))).collect();
        made.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("making an account panicked"))?)
    })
}

fn create_one(cloud: Cloud, pool: &str, Account { name, group, password }: &Account) -> Result<()> {
    let call = |action: &str, options: &[&str]| {
        read(aws(cloud).args(["cognito-idp", action, "--user-pool-id", pool, "--username", name]).args(options))
    };
    match call("admin-create-user", &["--message-action", "SUPPRESS"]) {
        // A run that was broken off may have left the account without a password.
        Err(error) if !error.to_string().contains("UsernameExistsException") => return Err(error),
        _ => {}
    }
    call("admin-add-user-to-group", &["--group-name", group])?;
    // Last, since it makes the account one that is there.
    call("admin-set-user-password", &["--password", password, "--permanent"])?;
    Ok(())
}
