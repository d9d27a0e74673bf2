//! Reading the trail of who did what.

use lambel_core::api::{AuditPage, PageQuery};

use crate::{
    error::{Error, Result},
    ports::{Store, Trail},
    results::page_limit,
};

/// A page of a trail. Whether the caller may see it is for the use case to say.
pub(crate) async fn audit_page(store: &dyn Store, trail: &Trail, query: &PageQuery) -> Result<AuditPage> {
    let limit = page_limit(query.limit)?;
    let parse = |text: &String| text.parse::<u64>().map_err(|_| Error::invalid("cursor", "this is not a cursor"));
    let before = query.cursor.as_ref().map(parse).transpose()?;
    let found = store.audit(trail, before, limit).await?;
    let next = found.last().filter(|_| found.len() == limit as usize).map(|(number, _)| number.to_string());
    Ok(AuditPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
}
