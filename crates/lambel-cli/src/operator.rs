//! `lambel operator`: what admins do about operators, and clients in their tasks.

use lambel_core::{
    OperatorId, TaskId,
    api::{OperatorView, PauseInTaskView, PauseOperator},
};

use crate::{audit, context::Context, exit::Outcome, output::columns};

#[derive(clap::Subcommand)]
pub(crate) enum OperatorCommand {
    /// Show whether an operator may work
    Show {
        /// The id of the operator, as votes and `lambel admin user list` show it
        operator: OperatorId,
    },
    /// Stop an operator: no claims, no votes, and what they hold goes back. Their votes stay
    Pause {
        /// The id of the operator
        operator: OperatorId,
        /// In this task only, which is yours
        #[arg(long)]
        task: Option<TaskId>,
        /// Why, for the trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let an operator work again
    Resume {
        /// The id of the operator
        operator: OperatorId,
        /// In this task, which is yours; the policy does not pause them again for the flags that they have now
        #[arg(long)]
        task: Option<TaskId>,
    },
    /// Show who has paused an operator, and when, the newest first
    Audit {
        /// The id of the operator
        operator: OperatorId,
    },
}

pub(crate) async fn run(context: &Context, command: OperatorCommand) -> Outcome {
    let client = context.client()?;
    let view = match command {
        OperatorCommand::Show { operator } => client.operator(&operator).await?,
        OperatorCommand::Pause { operator, task: Some(task), reason } => {
            let view = client.pause_in_task(task, &operator, &PauseOperator { reason }).await?;
            return context.out.show(&view, describe_in_task);
        }
        OperatorCommand::Resume { operator, task: Some(task) } => {
            return context.out.show(&client.resume_in_task(task, &operator).await?, describe_in_task);
        }
        OperatorCommand::Pause { operator, task: None, reason } => {
            client.pause_operator(&operator, &PauseOperator { reason }).await?
        }
        OperatorCommand::Resume { operator, task: None } => client.resume_operator(&operator).await?,
        OperatorCommand::Audit { operator } => {
            return audit::show(context, async |page| client.operator_audit(&operator, page).await).await;
        }
    };
    context.out.show(&view, describe)
}

fn describe(view: &OperatorView) -> String {
    let state = match view.paused_at {
        Some(at) => format!("paused since {at}"),
        None => "may work".to_owned(),
    };
    let mut rows = vec![vec!["operator".to_owned(), view.operator.to_string()], vec!["state".to_owned(), state]];
    rows.extend(view.returned.map(|returned| vec!["given back".to_owned(), format!("{returned} leases")]));
    columns(&rows)
}

fn describe_in_task(view: &PauseInTaskView) -> String {
    let state = match view.paused_at {
        Some(at) => format!("paused in this task since {at}"),
        None => "may work in this task".to_owned(),
    };
    let mut rows = vec![vec!["operator".to_owned(), view.operator.to_string()], vec!["state".to_owned(), state]];
    rows.extend(view.returned.map(|returned| vec!["given back".to_owned(), format!("{returned} leases")]));
    columns(&rows)
}
