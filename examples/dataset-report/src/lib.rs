//! A sample of a pipeline that a release starts: class balance of the version that was released, confusion with the one
//! that it follows, statuses, mean confidence; the answer goes into the notes of the version.
//!
//! | module | what |
//! |---|---|
//! | `report` | what there is to say of a version: computed, and nothing else |
//! | `reporter` | a message comes in, a note comes out: what a pipeline of one's own would keep |
//!
//! `src/bin/dataset-report-function.rs` is the Lambda function around it, and `template.yaml` the stack; `src/main.rs`
//! says the same of versions in a folder.

mod report;
mod reporter;

pub use report::{Balance, Confusion, LabelShare, Relabelled, Report, Summary, balance, confusion, report};
pub use reporter::{PROGRAM, Reporter};
