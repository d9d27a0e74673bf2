//! `lambel admin machine`: programs with a client id and a secret of their own.

use clap::ValueEnum;
use serde_json::json;

use super::{PoolArgs, pool::MachineClient};
use crate::{context::Context, exit::Outcome, output::columns};

#[derive(clap::Subcommand)]
pub(crate) enum MachineCommand {
    /// Make a machine, and show its id and its secret, once
    ///
    /// The gate lets it in after the next deployment, with its id in the parameter MachineClientIds.
    Add(AddArgs),
    /// List the machines and what they may do
    List(PoolArgs),
    /// Delete a machine; its last token is good for up to an hour
    Remove(RemoveArgs),
}

#[derive(clap::Args)]
pub(crate) struct AddArgs {
    /// A name, for people
    name: String,
    /// What the machine may do; once for each scope
    #[arg(long = "scope", value_enum, required = true, value_name = "SCOPE")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    pool: PoolArgs,
}

#[derive(clap::Args)]
pub(crate) struct RemoveArgs {
    /// Its client id
    id: String,
    #[command(flatten)]
    pool: PoolArgs,
}

/// What a machine may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scope {
    /// What the group `clients` may: make tasks and read their results
    Tasks,
    /// What the group `operators` may: label
    Labels,
}

impl Scope {
    /// Its name in the user pool.
    fn full_name(self) -> &'static str {
        match self {
            Self::Tasks => "lambel/tasks",
            Self::Labels => "lambel/labels",
        }
    }
}

pub(super) async fn run(context: &Context, command: MachineCommand) -> Outcome {
    match command {
        MachineCommand::Add(args) => add(context, args).await,
        MachineCommand::List(pool) => list(context, pool).await,
        MachineCommand::Remove(args) => remove(context, args).await,
    }
}

async fn add(context: &Context, mut args: AddArgs) -> Outcome {
    args.scopes.sort_unstable();
    args.scopes.dedup();
    let scopes: Vec<_> = args.scopes.iter().map(|scope| scope.full_name().to_owned()).collect();
    let pool = args.pool.pool(context).await?;
    let (id, secret) = pool.add_machine(&args.name, &scopes).await?;
    // The secret first: whatever goes wrong now, it cannot be shown again here.
    context.out.show(&json!({"name": args.name, "id": id, "secret": secret, "scopes": scopes}), |_| {
        let head = format!("{}: made, may do {}", args.name, scopes.join(", "));
        format!("{head}\nid      {id}\nsecret  {secret}\nThe secret is not shown again.")
    })?;
    advise(context, &pool.machines().await?);
    Ok(())
}

async fn list(context: &Context, pool: PoolArgs) -> Outcome {
    let machines = pool.pool(context).await?.machines().await?;
    if context.out.json {
        return machines.iter().try_for_each(|machine| context.out.json(machine));
    }
    let rows: Vec<_> = machines.into_iter().map(|m| vec![m.name, m.id, m.scopes.join(", ")]).collect();
    if rows.is_empty() { Ok(()) } else { context.out.line(&columns(&rows)) }
}

async fn remove(context: &Context, args: RemoveArgs) -> Outcome {
    let pool = args.pool.pool(context).await?;
    let machine = pool.delete_machine(&args.id).await?;
    context.out.show(&json!({"name": machine.name, "id": machine.id, "done": "removed"}), |_| {
        format!("{}: removed; a token that was given out already is good for up to an hour", machine.name)
    })?;
    advise(context, &pool.machines().await?);
    Ok(())
}

/// Says with what the next deployment makes the gate know the machines that there are.
fn advise(context: &Context, machines: &[MachineClient]) {
    context.out.note(&format!("The gate knows of it after a deployment with\n  {}", deploy_command(machines)));
}

fn deploy_command(machines: &[MachineClient]) -> String {
    let ids: Vec<_> = machines.iter().map(|machine| machine.id.as_str()).collect();
    // In quotation marks that reach the command: it overlooks an empty value without them.
    format!("sam deploy --parameter-overrides 'MachineClientIds=\"{}\"'", ids.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_gets_to_know_all_machines() {
        let machine = |id: &str| MachineClient { id: id.to_owned(), name: String::new(), scopes: Vec::new() };
        assert!(deploy_command(&[machine("a1"), machine("b2")]).ends_with("'MachineClientIds=\"a1,b2\"'"));
        assert!(deploy_command(&[]).ends_with("'MachineClientIds=\"\"'"));
    }
}
