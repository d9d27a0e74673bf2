//! The protocol of Lambel as a model that is checked exhaustively for small worlds.

pub mod bugs;
mod intake;
mod manage;
mod operate;
pub mod promises;
pub mod protocol;
pub mod records;
pub mod report;
pub mod state;
pub mod tables;
mod watch;
pub mod worlds;
