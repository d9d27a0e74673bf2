//! What a moment of a world is: records, messages, requests under way, and what faults may still happen.

use crate::{
    records::{DeskRow, IMAGES, OPERATORS, Reply, Row, Tally, TaskRow},
    tables::{Closing, Tables},
};

/// What may still be done, and what may still go wrong. Every number only falls, but for the few things that a
/// new day brings, and days are counted too: so each run ends, and the graph of states has no cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Budget {
    /// Claims of each operator.
    pub claims: [u8; OPERATORS],
    /// Votes for what an operator has answered already.
    pub changes: u8,
    /// Requests that give leases back.
    pub returns: u8,
    /// Operators who go home for good, whatever they hold.
    pub leaves: u8,
    /// Times at which a lease's length passes while others are at work.
    pub ticks: u8,
    /// Processes that are stopped right after a write: before the answer, before the message is deleted.
    pub crashes: u8,
    /// Messages and changes of a stream that are delivered again.
    pub repeats: u8,
    /// Writes whose answer is lost, so that they are sent again.
    pub lost: u8,
    /// Reads that lag behind.
    pub stale: u8,
    /// Whether the operator 0 is to be paused.
    pub pauses: u8,
    /// Whether the client calls the task off.
    pub cancels: u8,
    /// Whether the client seals the task.
    pub seals: u8,
    /// Runs of the sweep.
    pub sweeps: u8,
    /// New days: when nothing more can happen, leases end, everybody may claim once more and the sweep runs.
    pub days: u8,
}

/// A request or a message that is being dealt with, and how far it has come. What stands here is lost when its
/// process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Process {
    /// Uploads, by a mask of images.
    Validate {
        /// The images.
        images: u8,
        /// How far.
        stage: ValidateStage,
    },
    /// New subtasks.
    Open {
        /// The images of the message.
        images: u8,
        /// Those that have to be opened.
        waiting: u8,
    },
    /// An operator's claim.
    Claim(Claim),
    /// An operator's vote.
    Vote {
        /// Who.
        operator: u8,
        /// For what.
        image: u8,
        /// What they say.
        reply: Reply,
        /// Whether their own record shows a lease.
        held: bool,
        /// How far.
        stage: VoteStage,
    },
    /// An operator gives leases back.
    Return {
        /// Who.
        operator: u8,
        /// What is not given back yet.
        todo: u8,
        /// All of it.
        images: u8,
        /// Their record.
        desk: DeskRow,
        /// The leases on it when it was read first.
        read: [Option<u8>; IMAGES],
    },
    /// An admin pauses an operator.
    Pause {
        /// Whom.
        operator: u8,
        /// How far.
        stage: PauseStage,
    },
    /// The client seals the task.
    Seal {
        /// The task as it was read.
        task: TaskRow,
        /// What it becomes, once the counters are read.
        after: Option<TaskRow>,
    },
    /// The client calls the task off.
    Cancel {
        /// The task as it was read.
        task: TaskRow,
    },
    /// Somebody looks whether the task is done.
    Advance {
        /// Whether a message made them look, which is deleted at the end.
        heard: bool,
        /// How far.
        stage: AdvanceStage,
    },
    /// The sweep.
    Sweep {
        /// How far.
        stage: SweepStage,
    },
}

/// How far a validation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValidateStage {
    /// The transaction is next.
    Record,
    /// The message is next.
    Send(u8),
}

/// How far a vote is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoteStage {
    /// The conditional update is next.
    Cast,
    /// Only in a seeded bug: the event is published before the decision is written.
    Announce(Closing),
    /// The transaction that closes the subtask is next.
    Close(Closing),
    /// Only in a seeded bug: the counter is next, after the record.
    Count,
    /// Only in a seeded bug: the event is published after the decision was written.
    Tell,
}

/// How far a pause is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseStage {
    /// The standing is written next.
    Standing,
    /// The operator's record is read next.
    Read,
    /// Leases are given back, and the record is emptied.
    Empty {
        /// The record as it was read.
        desk: DeskRow,
        /// Leases to be given back.
        todo: u8,
        /// Leases that were given back.
        done: u8,
    },
}

/// How far a look at the task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdvanceStage {
    /// The task is read next.
    Task,
    /// The counters are read next.
    Counts(TaskRow),
    /// The task is written next.
    Write(TaskRow),
}

/// How far the sweep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SweepStage {
    /// The counters are read next.
    Counts,
    /// The pool is read next.
    Pool,
    /// Decided subtasks are closed next.
    Close([Option<Closing>; IMAGES]),
}

/// A claim under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Who.
    pub operator: u8,
    /// How far.
    pub stage: ClaimStage,
    /// When it began: it reads the clock once.
    pub now: u8,
    /// What the operator had voted on by then. The claim does not know it: it is there for a property.
    pub voted: u8,
    /// Their record as it was read.
    pub desk: DeskRow,
    /// The leases on it when it was read first.
    pub read: [Option<u8>; IMAGES],
    /// Whether there was none.
    pub is_new: bool,
    /// Whether nobody changed it in between.
    pub first_try: bool,
    /// How often it could not be stored.
    pub tries: u8,
    /// Subtasks to be leased, and the number of changes of each when it was read.
    pub free: u8,
    /// See `free`.
    pub revs: [u8; IMAGES],
    /// Decided subtasks that nobody has closed.
    pub closings: [Option<Closing>; IMAGES],
    /// What will be handed out.
    pub handed: u8,
    /// Until when.
    pub untils: [u8; IMAGES],
    /// Which of it is newly leased.
    pub fresh: u8,
    /// What is to be taken off the record.
    pub gone: u8,
}

/// How far a claim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimStage {
    /// The operator's record is read next, after the standing: a batch read is no snapshot.
    Desk,
    /// The index and the records are read next.
    Look,
    /// Leases are taken.
    Lease,
    /// Decided subtasks are closed.
    Close,
    /// The operator's record is stored.
    Keep,
    /// The standing is read again.
    Standing,
    /// The operator was paused: leases are given back, by a mask.
    HandBack(u8),
    /// And taken off the record.
    KeepBack,
}

/// A change that the stream carries and that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct News {
    /// The image; none for the task.
    pub image: Option<u8>,
    /// The number in the event's id.
    pub rev: u8,
}

/// What nobody in the world knows, and properties are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ghost {
    /// How often a vote of an operator was counted, by operator and image.
    pub counted: [[u8; IMAGES]; OPERATORS],
    /// Votes whose operator was told that they are kept.
    pub acknowledged: [u8; OPERATORS],
    /// How often each subtask became final.
    pub decided: [u8; IMAGES],
    /// The number in the id of the event of each subtask, once it was announced.
    pub announced: [Option<u8>; IMAGES],
    /// The same of the task.
    pub task_announced: Option<u8>,
    /// How often the task ended.
    pub ended: u8,
    /// Operators whose pause was answered.
    pub paused: u8,
    /// What must not have happened and did.
    pub wrong: Wrongs,
}

/// What must not happen, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wrongs(u8);

/// One thing that must not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A final subtask got another state, other votes or another decision.
    Redecided = 1,
    /// An operator was handed what they had voted on before they asked.
    HandedVoted = 2,
    /// The same change was announced by two ids.
    TwoIds = 4,
    /// Something was announced that is not so.
    Untrue = 8,
    /// The task was completed before its images were decided.
    TooEarly = 16,
    /// A task that was over changed.
    Revived = 32,
}

impl Wrongs {
    /// Notes one.
    pub fn add(&mut self, wrong: Wrong) {
        self.0 |= wrong as u8;
    }

    /// Whether it happened.
    pub fn has(self, wrong: Wrong) -> bool {
        self.0 & wrong as u8 != 0
    }
}

/// A moment of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The records.
    pub tables: Tables,
    /// The subtasks as they were before their last change, where reads may lag behind.
    pub old: [Option<Row>; IMAGES],
    /// The counters as they were before their last change; only where a seeded bug reads them late.
    pub old_tally: Tally,
    /// How many images were uploaded.
    pub sent: u8,
    /// The queue of uploads: messages of each image.
    pub uploads: [u8; IMAGES],
    /// The queue of new subtasks: messages of each set of images.
    pub fresh: [u8; 1 << IMAGES],
    /// Changes that were not announced yet.
    pub stream: Vec<News>,
    /// The queue of decisions.
    pub heard: u8,
    /// What each operator has on their screen.
    pub screens: [u8; OPERATORS],
    /// Who has gone home.
    pub home: u8,
    /// What is under way, sorted: who is who does not matter.
    pub processes: Vec<Process>,
    /// What may still happen.
    pub left: Budget,
    /// The clock, in lengths of a lease.
    pub now: u8,
    /// What only properties know.
    pub ghost: Ghost,
}

/// The numbers in a mask.
pub fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |bit| mask >> bit & 1 == 1)
}

/// The images for which something holds, as a mask.
pub(crate) fn bits_where(holds: impl Fn(usize) -> bool) -> u8 {
    (0..IMAGES).filter(|image| holds(*image)).map(|image| 1 << image).sum()
}
