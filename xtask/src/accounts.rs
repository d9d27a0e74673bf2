//! The accounts and the machines that every local cloud has.

use std::thread;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

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

/// A program that signs in with a client id and a secret, and its only scope.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) scope: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
}

/// One machine for each scope.
const TEST_MACHINES: [(&str, &str); 2] = [("pipeline", "lambel/tasks"), ("model", "lambel/labels")];

/// An app client of the pool.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Client {
    client_id: String,
    client_name: String,
    /// In the answers that describe one client.
    #[serde(default)]
    client_secret: String,
}

/// Makes the machines that are not there yet. The second result are the client ids of all machines in the pool,
/// also of those that somebody has added since: the gate shall let them in.
pub(crate) fn create_machines(cloud: Cloud, pool: &str, people: &str) -> Result<(Vec<Machine>, Vec<String>)> {
    let call = |action: &str, options: &[&str], query: &str| {
        read(
            aws(cloud)
                .args(["cognito-idp", action, "--user-pool-id", pool, "--output", "json"])
                .args(options)
                .args(["--query", query]),
        )
    };
    let client = |text: String| serde_json::from_str::<Client>(&text).context("failed to read an app client");
    let list = call("list-user-pool-clients", &[], "UserPoolClients")?;
    let there: Vec<Client> = serde_json::from_str(&list).context("failed to read the app clients")?;
    let machine = |(name, scope): (&str, &str)| -> Result<Machine> {
        let found = there.iter().find(|client| client.client_name == name);
        let Client { client_id, client_secret, .. } = match found {
            Some(found) => call("describe-user-pool-client", &["--client-id", &found.client_id], "UserPoolClient"),
            None => call(
                "create-user-pool-client",
                &[
                    "--client-name",
                    name,
                    "--generate-secret",
                    "--allowed-o-auth-flows-user-pool-client",
                    "--allowed-o-auth-flows",
                    "client_credentials",
                    "--allowed-o-auth-scopes",
                    scope,
                    "--explicit-auth-flows",
                    "ALLOW_REFRESH_TOKEN_AUTH",
                ],
                "UserPoolClient",
            ),
        }
        .and_then(client)?;
        Ok(Machine { name: name.to_owned(), scope: scope.to_owned(), client_id, client_secret })
    };
    let machines: Vec<_> = thread::scope(|scope| {
        let made = TEST_MACHINES.map(|of| scope.spawn(move || machine(of)));
        made.into_iter().map(|one| one.join().map_err(|_| anyhow!("making a machine panicked"))?).collect::<Result<_>>()
    })?;
    let mut ids: Vec<_> = machines.iter().map(|machine| machine.client_id.clone()).collect();
    ids.extend(there.into_iter().map(|client| client.client_id).filter(|id| id != people));
    ids.sort_unstable();
    ids.dedup();
    Ok((machines, ids))
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
