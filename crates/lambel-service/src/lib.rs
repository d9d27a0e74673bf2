//! What Lambel does: one module for each use case, over the ports of [`ports`].
//!
//! Nothing here knows AWS. A function of the cloud builds its clients once and hands over to one of these
//! types; a test hands over ports that live in memory.

mod audit;
pub mod caller;
mod confidence;
pub mod dataset;
pub mod dead_letters;
pub mod error;
pub mod exports;
pub mod gold;
pub mod import;
mod known;
mod lines;
pub mod open;
pub mod operate;
pub mod pace;
pub mod ports;
pub mod progress;
pub mod publish;
pub mod quality;
pub mod repair;
pub mod results;
pub mod reviews;
pub mod skills;
pub mod supervise;
pub mod survey;
pub mod sweep;
pub mod tasks;
pub mod validate;
mod walk;
pub mod webhooks;

pub use caller::{Caller, Role};
pub use error::{Error, Result};
