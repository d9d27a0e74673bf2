//! The whole system on the local cloud, as clients and operators see it.

#[path = "system/cli.rs"]
mod cli;
#[path = "system/identity.rs"]
mod identity;
#[path = "system/job.rs"]
mod job;
#[path = "system/trust.rs"]
mod trust;
