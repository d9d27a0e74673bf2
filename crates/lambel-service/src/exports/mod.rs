//! Exports of data sets: files in the bucket, made by a function.
//!
//! | module | what |
//! |---|---|
//! | `record` | what is known of an export, and what there is still to do |
//! | `ask` | what a client asks: a new export, how far it is, where its files are |
//! | `make` | the ear of `dataset-exporter`: plans, counts, writes, joins |
//!
//! ```text
//! asked ─▶ Begin ─▶ Count each piece ─▶ Write each piece ─▶ Join ─▶ complete
//!                   (numbered formats)                  (where a file has several segments)
//! ```
//!
//! A piece is some ten thousand rows; its bytes follow from the commit, so it may be written by anybody, twice, or
//! again after a crash. What came of it is noted once, and counted in the record of the export in the same step. Who
//! sees that the last piece is noted sends for what comes next. Should they die before, their message comes again,
//! and they see it again. So nothing has to remember who was the last.

mod ask;
mod make;
mod record;

use std::time::Duration;

use lambel_dataset::export::PieceSize;

pub use ask::DatasetExports;
pub use make::Exporter;
pub use record::Export;

/// How large a piece is, about. Reading and writing 50,000 rows takes seconds, hundreds of megabytes of rows less
/// than a minute, and a call of the function has ten; at ten million images it is still some hundred messages.
pub const PIECE: PieceSize = PieceSize { rows: 50_000, bytes: 256 << 20 };

/// How long files are there: a day less than the rule of the bucket says, which counts from when they were written.
pub const FILES_KEPT: Duration = Duration::from_secs(29 * 24 * 3_600);

/// How long nothing may have moved before asking for an export sends for what is missing again.
pub const STANDSTILL: Duration = Duration::from_secs(30 * 60);
