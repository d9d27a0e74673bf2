//! What somebody may begin, and the calls that come of it.

use std::{future::Future, pin::Pin};

use lambel_core::{
    TaskId,
    api::{ClaimAnswer, Grants, LeaseRef, ReviewReceipts, TaskView, VoteAnswer},
    event::NewSubtasks,
    subtask::Answer,
};
use lambel_service::{Error, error::Comeback, ports::ObjectKey, publish::Change};

use crate::model::VoteKey;

pub(super) type Outcome<T> = Result<T, Error>;
pub(super) type Job = Pin<Box<dyn Future<Output = Done>>>;

/// A call of a use case, and what is needed to make sense of its answer.
#[derive(Clone)]
pub(super) enum Call {
    Create,
    Announce { task: TaskId, files: Vec<(String, usize)> },
    Seal { task: TaskId, images: u64 },
    Cancel { task: TaskId },
    OpenTo,
    Read,
    Claim { operator: usize, copy: usize },
    Vote { operator: usize, copy: usize, votes: Vec<(VoteKey, Option<Answer>)> },
    GiveBack { operator: usize, leases: Vec<LeaseRef> },
    Review { task: TaskId },
    Pause { operator: usize },
    Resume { operator: usize },
    Validate { keys: Vec<ObjectKey> },
    Open { message: NewSubtasks },
    Publish { changes: Vec<Change> },
    Hear { bodies: Vec<String> },
    Sweep,
    Finish { bodies: Vec<String> },
    Look,
}

impl Call {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Create => "create task",
            Self::Announce { .. } => "announce files",
            Self::Seal { .. } => "seal",
            Self::Cancel { .. } => "cancel",
            Self::OpenTo => "open to others",
            Self::Read => "read",
            Self::Claim { .. } => "claim",
            Self::Vote { .. } => "vote",
            Self::GiveBack { .. } => "give back",
            Self::Review { .. } => "review disputes",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Validate { .. } => "validate uploads",
            Self::Open { .. } => "open subtasks",
            Self::Publish { .. } => "publish changes",
            Self::Hear { .. } => "hear events",
            Self::Sweep => "sweep",
            Self::Finish { .. } => "last batches",
            Self::Look => "batches when due",
        }
    }

    /// Whether it may change the counters.
    pub(super) fn counts(&self) -> bool {
        matches!(
            self,
            Self::Validate { .. }
                | Self::Claim { .. }
                | Self::Vote { .. }
                | Self::Review { .. }
                | Self::Sweep
                | Self::Finish { .. }
                | Self::Look
        )
    }

    /// Whether it may decode pictures, on another thread.
    pub(super) fn decodes(&self) -> bool {
        matches!(self, Self::Validate { .. } | Self::Open { .. })
    }
}

/// The answer of a call.
pub(super) enum Done {
    Create(Outcome<TaskView>),
    Announce(Outcome<Grants>),
    Change(Outcome<TaskView>),
    Read,
    Claim(Outcome<ClaimAnswer>),
    Vote(Outcome<VoteAnswer>),
    GiveBack(bool),
    Review(Outcome<ReviewReceipts>),
    Pause(Outcome<()>),
    /// The places of what must come back.
    Deliver(Vec<ObjectKey>, bool),
    Hear(Vec<(usize, Comeback)>),
}

pub(super) struct Running {
    pub(super) number: u32,
    pub(super) call: Call,
    pub(super) job: Job,
    /// Polls until it is struck dead.
    pub(super) fuse: Option<u32>,
    pub(super) began: u64,
}

/// What somebody may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Create,
    Announce,
    Seal,
    Cancel,
    OpenTo,
    Read,
    Claim,
    Vote,
    GiveBack,
    Review,
    Forget,
    Pause,
    Resume,
    Validate,
    Open,
    Publish,
    Hear,
    Sweep,
    Finish,
    Look,
    Tick,
    Release,
}

pub(super) const WISHES: [(Wish, u32); 22] = [
    (Wish::Create, 4),
    (Wish::Announce, 8),
    (Wish::Seal, 3),
    (Wish::Cancel, 1),
    (Wish::OpenTo, 2),
    (Wish::Read, 4),
    (Wish::Claim, 30),
    (Wish::Vote, 45),
    (Wish::GiveBack, 6),
    (Wish::Review, 4),
    (Wish::Forget, 2),
    (Wish::Pause, 3),
    (Wish::Resume, 6),
    (Wish::Validate, 10),
    (Wish::Open, 10),
    (Wish::Publish, 12),
    (Wish::Hear, 8),
    (Wish::Sweep, 2),
    (Wish::Finish, 6),
    (Wish::Look, 2),
    (Wish::Tick, 10),
    (Wish::Release, 2),
];
