//! Showing a trail of who did what.

use lambel_client::ClientError;
use lambel_core::{
    AuditEntry, Deed,
    api::{AudienceFields, AuditPage, PageQuery},
    limits,
};

use crate::{
    context::Context,
    exit::Outcome,
    output::{columns, printable},
};

/// Reads a trail, page by page, and prints it.
pub(crate) async fn show(
    context: &Context,
    read: impl AsyncFn(&PageQuery) -> Result<AuditPage, ClientError>,
) -> Outcome {
    let mut rows = Vec::new();
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS) };
    loop {
        let answer = read(&page).await?;
        for entry in &answer.entries {
            match context.out.json {
                true => context.out.json(entry)?,
                false => rows.push(row(entry)),
            }
        }
        match answer.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    if context.out.json {
        return Ok(());
    }
    if rows.is_empty() {
        context.out.note("nothing was done yet");
        return Ok(());
    }
    context.out.line(&columns(&rows))
}

fn row(entry: &AuditEntry) -> Vec<String> {
    let who = entry.actor.name.as_deref().unwrap_or(&entry.actor.id);
    let more = match &entry.deed {
        Deed::TaskSealed { images }
        | Deed::DisputesReviewed { images }
        | Deed::GoldAdded { images }
        | Deed::GoldRemoved { images } => format!("{images} images"),
        Deed::TaskCreated { audience } | Deed::AudienceChanged { audience } => open_to(audience),
        Deed::OperatorPaused { reason } => reason.clone().unwrap_or_default(),
        Deed::ImportBegun { source, images, votes, .. } => format!("{votes} votes on {images} images from {source}"),
        Deed::OperatorPausedInTask { operator, reason: Some(reason) } => format!("{operator}: {reason}"),
        Deed::OperatorPausedInTask { operator, reason: None } | Deed::OperatorResumedInTask { operator } => {
            operator.to_string()
        }
        Deed::TaskCancelled | Deed::TaskCompleted | Deed::OperatorResumed => String::new(),
    };
    vec![entry.at.to_string(), printable(who), entry.deed.name().to_owned(), printable(&more)]
}

fn open_to(audience: &AudienceFields) -> String {
    if audience.everyone {
        return "open to every operator".to_owned();
    }
    let teams = audience.teams.iter().map(|team| format!("team {team}"));
    let names: Vec<_> = audience.operators.iter().cloned().chain(teams).collect();
    format!("open to {}", names.join(", "))
}
