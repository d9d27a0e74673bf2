//! Webhooks: others are told of events by HTTP.
//!
//! | module | what |
//! |---|---|
//! | `manage` | what clients do with webhooks: make, change, test, look at the log, send again |
//! | `hear` | an event of a topic becomes a delivery for each webhook that wants it |
//! | `deliver` | a delivery becomes a call, an entry of the log, and another delivery where it has failed |
//! | `known` | webhooks that are remembered for some seconds |
//! | `breaker` | targets that do not answer are left alone for a while |

mod breaker;
mod deliver;
mod hear;
mod known;
mod manage;

pub use deliver::Sender;
pub use hear::{Announced, Router};
pub use known::Known;
pub use manage::Webhooks;
