//! The use cases together, in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod datasets;
mod main_job;
mod recovery;
mod rules;
mod skills;
mod world;
