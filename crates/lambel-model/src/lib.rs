//! The protocol of Lambel as a model that is checked exhaustively for small worlds. A developer's tool: no part of
//! the system uses it.
//!
//! [`worlds`] says who and what there is and what may happen, [`protocol`] which steps there are in a state and what
//! they do (in modules named as those of `lambel-service`), [`promises`] what must hold, [`bugs`] what can be
//! broken on purpose to see that it is found. [`last_batch`] is the end of a task whose rule weighs votes, on its own, and
//! [`review`] that of a task that reviews its disputes.
//! `docs/reliability.md` tells the whole story.

pub mod bugs;
mod intake;
pub mod last_batch;
mod manage;
mod operate;
pub mod promises;
pub mod protocol;
pub mod records;
pub mod report;
pub mod review;
pub mod state;
pub mod tables;
mod watch;
pub mod worlds;
