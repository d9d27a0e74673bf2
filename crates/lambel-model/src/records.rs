//! The records of the model, small enough to be kept by the million, and the bridge to the records of
//! `lambel-core`: every change of a subtask or a task is made by the function of `lambel-core` that makes it in
//! the service.

use std::collections::BTreeMap;

use lambel_core::{
    Audience, ClientId, ImageId, LabelIndex, LabelSet, OperatorId, ParseIdError, Policy, Shards, Subtask, SubtaskState,
    Task, TaskId, TaskState, Timestamp, Vote,
    consensus::{Decision, Dispute, Majority, Rule, Verdict},
    event::Event,
    subtask::{Abstention, Answer, Picture, Preview, Refusal, Votes},
};

/// The most operators of a world.
pub const OPERATORS: usize = 3;
/// The most images of a world.
pub const IMAGES: usize = 2;

/// What an operator may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reply {
    /// The first label of the task.
    First,
    /// The second.
    Second,
    /// Neither.
    Abstain,
}

impl Reply {
    fn answer(self) -> Answer {
        match self {
            Self::First => Answer::Label(LabelIndex(0)),
            Self::Second => Answer::Label(LabelIndex(1)),
            Self::Abstain => Answer::Abstain(Abstention::Unclear),
        }
    }

    fn of(answer: Answer) -> Self {
        match answer.label() {
            Some(LabelIndex(0)) => Self::First,
            Some(_) => Self::Second,
            None => Self::Abstain,
        }
    }
}

/// The answers to one image, by operator.
pub type Replies = [Option<Reply>; OPERATORS];

/// What a decision says, without its confidence, which follows from the votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// The label.
    pub label: Option<u16>,
    /// Whether it is a dispute, and of which kind: too many abstentions or no answer.
    pub dispute: Option<bool>,
}

impl Outcome {
    fn of(decision: &Decision) -> Self {
        let dispute = decision.dispute.map(|dispute| dispute == Dispute::Abstentions);
        Self { label: decision.label.map(|label| label.0), dispute }
    }
}

/// A subtask as the model keeps it. Moments are counted from 1, one for each tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Where it stands.
    pub state: SubtaskState,
    /// The number of changes.
    pub rev: u8,
    /// The votes that count.
    pub votes: Replies,
    /// Those that came too late.
    pub late: Replies,
    /// Until when each operator has it leased.
    pub leases: [Option<u8>; OPERATORS],
    /// The decision.
    pub outcome: Option<Outcome>,
}

impl Row {
    /// Whether it is complete or disputed.
    pub fn is_decided(&self) -> bool {
        matches!(self.state, SubtaskState::Complete | SubtaskState::Disputed)
    }

    /// How many votes it has.
    pub fn cast(&self) -> u8 {
        self.votes.iter().flatten().count() as u8
    }
}

/// A task as the model keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRow {
    /// Where it stands.
    pub state: TaskState,
    /// How many images its seal says.
    pub images: Option<u8>,
    /// The number of changes.
    pub rev: u8,
}

/// The sum of the counter slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tally {
    /// Good pictures.
    pub accepted: u8,
    /// Refused files.
    pub rejected: u8,
    /// Subtasks with a label.
    pub complete: u8,
    /// Subtasks in dispute.
    pub disputed: u8,
    /// Votes in the subtasks that are decided.
    pub votes: u8,
}

impl Tally {
    /// The same in the words of `lambel-core`.
    pub fn counts(self) -> lambel_core::Counts {
        lambel_core::Counts {
            accepted: self.accepted.into(),
            rejected: self.rejected.into(),
            complete: self.complete.into(),
            disputed: self.disputed.into(),
            votes: self.votes.into(),
        }
    }

    /// Counts a record that is new.
    pub fn add_new(&mut self, row: &Row) {
        match row.state {
            SubtaskState::Rejected => self.rejected += 1,
            _ => self.accepted += 1,
        }
    }

    /// Counts a record that was closed.
    pub fn add_closed(&mut self, row: &Row) {
        match row.state {
            SubtaskState::Disputed => self.disputed += 1,
            _ => self.complete += 1,
        }
        self.votes += row.cast();
    }
}

/// An operator's own record, without the place of the walk: a ring of two images is walked at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeskRow {
    /// The number of changes.
    pub rev: u8,
    /// What they have claimed, and until when.
    pub leases: [Option<u8>; IMAGES],
}

/// What all records of a world have in common: ids, the policy, and with them the way to `lambel-core` and back.
#[derive(Clone, Debug)]
pub struct Kit {
    /// The operators.
    pub operators: Vec<OperatorId>,
    /// The images.
    pub images: Vec<ImageId>,
    /// The task, before anything happened to it.
    pub task: Task,
    verdicts: Vec<Verdict>,
}

const MILLIS: i64 = 1_000;

/// A moment of the model as a moment of the service. None of them is the epoch, which stands for "before
/// everything" there.
pub fn moment(at: u8) -> Timestamp {
    Timestamp::from_millis(i64::from(at) * MILLIS)
}

fn tick(at: Timestamp) -> u8 {
    u8::try_from(at.millis() / MILLIS).unwrap_or(u8::MAX)
}

fn place(replies: &Replies) -> usize {
    replies.iter().fold(0, |sum, reply| sum * 4 + reply.map_or(0, |reply| reply as usize + 1))
}

impl Kit {
    /// With this quorum, this many labels at most before a tie is a dispute, and this many abstentions.
    pub fn new(quorum: u32, max_labels: u32, max_abstentions: u32) -> Result<Self, Box<dyn std::error::Error>> {
        let policy = Policy {
            rule: Rule::Majority(Majority { quorum, max_labels }),
            max_abstentions,
            lease_seconds: 1,
            versions: Default::default(),
        };
        let task = Task {
            id: "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse::<TaskId>()?,
            owner: "client".parse::<ClientId>()?,
            name: "cats".to_owned(),
            labels: LabelSet::parse(&["cat", "dog"])?,
            instructions: String::new(),
            policy,
            audience: Audience::Everyone,
            shards: Shards::for_images(Some(1)),
            state: TaskState::Open,
            images: None,
            created_at: moment(1),
            sealed_at: None,
            ended_at: None,
            rev: 0,
        };
        let operators = (0..OPERATORS).map(|n| format!("op-{n}").parse()).collect::<Result<_, ParseIdError>>()?;
        let images = (0..IMAGES as u8).map(|n| ImageId::of(&[n])).collect();
        let mut kit = Self { operators, images, task, verdicts: Vec::new() };
        // The rule is a pure function of the votes, and there are few: it is asked about each once.
        let all = [None, Some(Reply::First), Some(Reply::Second), Some(Reply::Abstain)];
        for code in 0..all.len().pow(OPERATORS as u32) {
            let mut replies = [None; OPERATORS];
            for (operator, reply) in replies.iter_mut().rev().enumerate() {
                *reply = all[code / 4_usize.pow(operator as u32) % 4];
            }
            debug_assert_eq!(place(&replies), code);
            let verdict = kit.task.policy.judge(kit.task.labels.len(), &kit.votes(&replies));
            kit.verdicts.push(verdict);
        }
        Ok(kit)
    }

    /// What `Policy::judge` says of these votes.
    pub fn judge(&self, votes: &Replies) -> Verdict {
        self.verdicts[place(votes)]
    }

    /// The decision that these votes come to, if they come to one.
    pub fn decision(&self, votes: &Replies) -> Option<Decision> {
        match self.judge(votes) {
            Verdict::Decided(decision) => Some(decision),
            Verdict::Undecided { .. } => None,
        }
    }

    /// The outcome that these votes come to, if they come to one.
    pub fn outcome(&self, votes: &Replies) -> Option<Outcome> {
        self.decision(votes).as_ref().map(Outcome::of)
    }

    /// A vote as it is sent.
    pub fn vote(&self, reply: Reply) -> Vote {
        Vote { answer: reply.answer(), at: moment(1), elapsed_ms: None, earned: None }
    }

    /// How many labels the task has.
    pub fn labels(&self) -> usize {
        self.task.labels.len()
    }

    fn votes(&self, replies: &Replies) -> Votes {
        let given = self.operators.iter().zip(replies);
        given.filter_map(|(operator, reply)| Some((operator.clone(), self.vote((*reply)?)))).collect()
    }

    fn replies(&self, votes: &Votes) -> Replies {
        std::array::from_fn(|n| votes.get(&self.operators[n]).map(|vote| Reply::of(vote.answer)))
    }

    /// A new record, of a picture or of something else.
    pub fn new_subtask(&self, image: usize, good: bool) -> Subtask {
        let (task, image, now) = (self.task.id, self.images[image], moment(1));
        if good {
            let picture = Picture { media_type: "image/png".to_owned(), width: 1, height: 1 };
            Subtask::preparing(task, image, 1, picture, Preview::NotNeeded, now)
        } else {
            Subtask::rejected(task, image, 1, Refusal { code: "empty".to_owned(), detail: String::new() }, now)
        }
    }

    /// The record in the words of `lambel-core`.
    pub fn subtask(&self, image: usize, row: &Row) -> Subtask {
        let leases: BTreeMap<OperatorId, Timestamp> = self
            .operators
            .iter()
            .zip(row.leases)
            .filter_map(|(operator, until)| Some((operator.clone(), moment(until?))))
            .collect();
        // A decision is what its votes come to: a property of its own says that this is so.
        let decision = row.outcome.map(|outcome| Decision {
            label: outcome.label.map(LabelIndex),
            confidence: self.decision(&row.votes).map(|decision| decision.confidence).unwrap_or_default(),
            dispute: outcome.dispute.map(|many| if many { Dispute::Abstentions } else { Dispute::NoAnswer }),
        });
        Subtask {
            state: row.state,
            rev: row.rev.into(),
            votes: self.votes(&row.votes),
            late: self.votes(&row.late),
            leases,
            decision,
            decided_at: row.state.is_final().then(|| moment(1)),
            ..self.new_subtask(image, row.state != SubtaskState::Rejected)
        }
    }

    /// The record as the model keeps it.
    pub fn row(&self, subtask: &Subtask) -> Row {
        Row {
            state: subtask.state,
            rev: u8::try_from(subtask.rev).unwrap_or(u8::MAX),
            votes: self.replies(&subtask.votes),
            late: self.replies(&subtask.late),
            leases: std::array::from_fn(|n| subtask.leases.get(&self.operators[n]).copied().map(tick)),
            outcome: subtask.decision.as_ref().map(Outcome::of),
        }
    }

    /// Changes a record by a function of `lambel-core`.
    pub fn change<T>(&self, image: usize, row: &mut Row, change: impl FnOnce(&mut Subtask) -> T) -> T {
        let mut subtask = self.subtask(image, row);
        let outcome = change(&mut subtask);
        *row = self.row(&subtask);
        outcome
    }

    /// The task in the words of `lambel-core`.
    pub fn task(&self, row: &TaskRow) -> Task {
        Task { state: row.state, images: row.images.map(u64::from), rev: row.rev.into(), ..self.task.clone() }
    }

    /// The task as the model keeps it.
    pub fn task_row(&self, task: &Task) -> TaskRow {
        let small = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
        TaskRow { state: task.state, images: task.images.map(small), rev: small(task.rev) }
    }

    /// Changes a task by a function of `lambel-core`.
    pub fn change_task<T>(&self, row: &mut TaskRow, change: impl FnOnce(&mut Task) -> T) -> T {
        let mut task = self.task(row);
        let outcome = change(&mut task);
        *row = self.task_row(&task);
        outcome
    }

    /// The event of a subtask's change, as the publisher makes it from the stream.
    pub fn event(&self, image: usize, before: Option<SubtaskState>, after: &Row) -> Option<Event> {
        let after = self.subtask(image, after);
        Event::of_subtask(before, &after, &self.task.owner, &self.task.labels)
    }

    /// The event of a task's change.
    pub fn task_event(&self, before: TaskState, after: &TaskRow) -> Option<Event> {
        Event::of_task(Some(before), &self.task(after))
    }
}
