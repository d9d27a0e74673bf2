//! `lambel operator`: what admins do about operators.

use lambel_core::{
    OperatorId,
    api::{OperatorView, PauseOperator},
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
        /// Why, for the trail
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let an operator work again
    Resume {
        /// The id of the operator
        operator: OperatorId,
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
        OperatorCommand::Pause { operator, reason } => {
            client.pause_operator(&operator, &PauseOperator { reason }).await?
        }
        OperatorCommand::Resume { operator } => client.resume_operator(&operator).await?,
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
