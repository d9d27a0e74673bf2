//! The data sets of tasks: versions that are made when a task is complete, on demand, and as its policy says.
//!
//! | module | what |
//! |---|---|
//! | `rows` | the rows of a task, out of the tables, in the order of the ring |
//! | `commit` | making versions, and releasing one |
//! | `schedule` | which tasks are due for a version |
//! | `name` | finding a version by what people call it |
//! | `ask` | what a client asks and says of versions |
//! | `notes` | what a client says of a version afterwards |
//! | `check` | is a data set whole, and is it what the tables say? what is in it for nothing? |

mod ask;
mod check;
mod commit;
mod name;
mod notes;
mod rows;
mod schedule;

pub use ask::{Versions, view};
pub use check::{Checked, Checker, Disagreement, LEAST_GRACE};
pub(crate) use commit::task_of;
pub use commit::{Committer, consensus, policy_of};
pub use name::{Names, find};
pub use notes::DatasetNotes;
pub use rows::Place;

/// What versions name as the program that made them.
pub const PROGRAM: &str = concat!("lambel ", env!("CARGO_PKG_VERSION"));
