//! The whole system on the local cloud, as clients and operators see it.

#[path = "system/batches.rs"]
mod batches;
#[path = "system/cli.rs"]
mod cli;
#[path = "system/dataset.rs"]
mod dataset;
#[path = "system/exports.rs"]
mod exports;
#[path = "system/gold.rs"]
mod gold;
#[path = "system/hostile.rs"]
mod hostile;
#[path = "system/identity.rs"]
mod identity;
#[path = "system/imports.rs"]
mod imports;
#[path = "system/job.rs"]
mod job;
#[path = "system/people.rs"]
mod people;
#[path = "system/pipeline.rs"]
mod pipeline;
#[path = "system/reviews.rs"]
mod reviews;
#[path = "system/rights.rs"]
mod rights;
#[path = "system/rules.rs"]
mod rules;
#[path = "system/trust.rs"]
mod trust;
#[path = "system/versions.rs"]
mod versions;
#[path = "system/webhooks.rs"]
mod webhooks;
