//! What Lambel *is*, without any of what it runs on: the words, the state machines of tasks and subtasks, the
//! rules of consensus, and the shapes that travel over HTTP, queues and topics.
//!
//! Nothing here does I/O, waits, or reads a clock, so nothing here can fail for a reason that is not in its
//! arguments. Times come in as values, chance does not come in at all.

pub mod api;
pub mod audience;
pub mod audit;
pub mod consensus;
pub mod disputes;
pub mod event;
pub mod file;
pub mod gold;
pub mod id;
pub mod import;
pub mod label;
pub mod limits;
pub mod note;
pub mod policy;
pub mod ring;
pub mod standing;
pub mod subtask;
pub mod task;
pub mod time;
pub mod versions;
pub mod webhook;

pub use audience::{AccountName, Audience, TeamName};
pub use audit::{Actor, AuditEntry, Deed};
pub use disputes::OnDispute;
pub use file::{AnnouncedFile, FileName};
pub use gold::{Gold, GoldDesk, GoldRate};
pub use id::{ClientId, ImageId, OperatorId, ParseIdError, TaskId};
pub use import::ImportName;
pub use label::{Label, LabelIndex, LabelSet};
pub use note::NoteKey;
pub use policy::Policy;
pub use ring::Shards;
pub use standing::Standing;
pub use subtask::{Subtask, SubtaskState, Vote};
pub use task::{Counts, CountsChange, Tally, Task, TaskState};
pub use time::Timestamp;
pub use versions::Versions;
