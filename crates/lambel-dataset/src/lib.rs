//! Labelled data sets: immutable versions that share what has not changed, questions to them, and the formats in
//! which they leave and come in.
//!
//! ```text
//! branch ─▶ commit ─▶ tree ─▶ node ─▶ chunk      (small trees: tree ─▶ chunk)
//!              └─▶ parent commit ─▶ tree ─▶ …
//! ```
//!
//! A [`row`] is one image with its votes and what came of them. A chunk is the rows of a range of image ids, a
//! tree is all chunks of a version, a commit is a tree with its history. Each is known by the SHA-256 of its
//! canonical bytes, before compression: equal content has an equal id on any machine, and what two versions have
//! in common is stored once. Nothing that is stored ever changes; only branches move, each by one conditional step
//! ([`store::Refs`]).
//!
//! The crate knows no cloud: storage stands behind [`ObjectStore`] and [`Refs`], with implementations in memory and
//! in a folder, and a [`conformance`] suite for every other. It reads no clock: times are arguments.
//!
//! # Who can read which shape
//!
//! Every stored object says its version, `v`. A reader refuses a version that it does not know, and a field that it
//! does not know: half a row must not be taken for a whole one. So every change of a shape, a new field too, is a
//! new version; older objects stay as they are and are read for good.
//!
//! | shape | version | written since | read by |
//! |---|---|---|---|
//! | chunk: a line `{"v":1,"kind":"chunk"}`, then a row on each line | 1 | 0.1.0 | 0.1.0 on |
//! | node, tree, commit: one JSON object with `v` and `kind` | 1 | 0.1.0 | 0.1.0 on |
//! | refs of a folder: `refs.json` | 1 | 0.1.0 | 0.1.0 on |
//! | exports | those of the formats | 0.1.0 | the tools they are for |
//!
//! The cuts between chunks belong to version 1 too: with other numbers equal rows would have other trees.

mod canonical;
mod commit;
pub mod conformance;
mod dataset;
mod diff;
mod directory;
mod directory_refs;
mod error;
pub mod export;
mod garbage;
mod history;
mod id;
pub mod import;
mod memory;
mod pack;
mod range;
pub mod row;
mod rows;
mod statistics;
pub mod store;
mod tree;
mod verify;
mod write;

pub use commit::{Commit, Consensus, ModelVersion};
pub use dataset::{Committed, Dataset, Draft};
pub use diff::{Change, ChangeKind, DiffSummary, diff, diff_after};
pub use directory::DirectoryObjectStore;
pub use directory_refs::DirectoryRefs;
pub use error::{Error, Result};
pub use garbage::{Garbage, find_garbage, reachable, remove_garbage, roots};
pub use history::{Blame, LogEntry, blame, log};
pub use id::{CommitId, ContentId, NotAnId, TreeId};
pub use memory::{MemoryObjectStore, MemoryRefs};
pub use range::Range;
pub use row::Row;
pub use statistics::Statistics;
pub use store::{ObjectKey, ObjectStore, RefName, Refs, StoreError};
pub use tree::{CHUNK_BYTES, CHUNK_ROWS, ChunkEntry, NODE_CHUNKS, NodeEntry, Parts, Tree, Written};
pub use verify::{Depth, Problem, Verification, verify};
pub use write::{TreeWriter, write_changes, write_rows};
