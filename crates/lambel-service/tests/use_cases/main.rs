//! The use cases together, in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod batches;
mod calibration;
mod datasets;
mod gold;
mod imports;
mod main_job;
mod quality;
mod recovery;
mod reviews;
mod rules;
mod skills;
mod world;
