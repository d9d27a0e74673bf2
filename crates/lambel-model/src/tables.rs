//! The tables of the model: what the conditional writes of the store do, each in one step.
//!
//! This is the part that is written by hand, since the service leaves it to DynamoDB. A test holds it to
//! `lambel-memory`, which a conformance suite holds to DynamoDB.

use lambel_core::{
    SubtaskState,
    subtask::{Cast, NotLeased},
};

use crate::records::{DeskRow, IMAGES, Kit, OPERATORS, Replies, Reply, Row, Tally, TaskRow, moment};

/// A subtask that is decided and open, as it was when the decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Closing {
    /// Its number of changes.
    pub rev: u8,
    /// Its votes.
    pub votes: Replies,
}

impl Closing {
    /// The closing of a subtask that is open and decided by its votes; none if it is not.
    pub fn of(kit: &Kit, row: &Row) -> Option<Self> {
        let decided = row.state == SubtaskState::Open && kit.decision(&row.votes).is_some();
        decided.then_some(Self { rev: row.rev, votes: row.votes })
    }
}

/// The records of a world: one task, its subtasks, its counters, and the records of operators.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tables {
    /// The subtasks.
    pub rows: [Option<Row>; IMAGES],
    /// The counters.
    pub tally: Tally,
    /// The task.
    pub task: TaskRow,
    /// The operators' records in this task.
    pub desks: [DeskRow; OPERATORS],
    /// Who is paused.
    pub paused: [bool; OPERATORS],
}

impl Tables {
    /// With a task and nothing else.
    pub fn new(kit: &Kit) -> Self {
        Self {
            rows: [None; IMAGES],
            tally: Tally::default(),
            task: kit.task_row(&kit.task),
            desks: [DeskRow::default(); OPERATORS],
            paused: [false; OPERATORS],
        }
    }

    /// Writes the records of these images that do not exist yet and counts them, in one step, and says which
    /// those were.
    pub fn record(&mut self, kit: &Kit, images: impl Iterator<Item = usize>, bad: u8) -> Vec<usize> {
        let mut new = Vec::new();
        for image in images {
            if self.rows[image].is_none() {
                let row = kit.row(&kit.new_subtask(image, bad >> image & 1 == 0));
                self.rows[image] = Some(row);
                self.tally.add_new(&row);
                new.push(image);
            }
        }
        new
    }

    /// Puts a subtask into the pool, if it waits for that.
    pub fn open(&mut self, kit: &Kit, image: usize) -> bool {
        let Some(row) = &mut self.rows[image] else { return false };
        kit.change(image, row, |subtask| subtask.open(None))
    }

    /// Leases a subtask, if the record is as it was seen.
    pub fn lease(&mut self, kit: &Kit, image: usize, seen: u8, operator: usize, until: u8, now: u8) -> bool {
        let Some(row) = self.rows[image].as_mut().filter(|row| row.rev == seen) else { return false };
        kit.change(image, row, |subtask| subtask.lease(&kit.operators[operator], moment(until), moment(now)));
        true
    }

    /// Gives a lease back, if there is one.
    pub fn give_back(&mut self, kit: &Kit, image: usize, operator: usize) -> bool {
        let Some(row) = &mut self.rows[image] else { return false };
        kit.change(image, row, |subtask| subtask.give_back(&kit.operators[operator]))
    }

    /// Casts a vote. None where there is no such record.
    pub fn cast(
        &mut self,
        kit: &Kit,
        image: usize,
        operator: usize,
        reply: Reply,
        held: bool,
    ) -> Option<Result<(Cast, Row), NotLeased>> {
        let row = self.rows[image].as_mut()?;
        let cast = kit.change(image, row, |subtask| {
            subtask.cast(&kit.operators[operator], kit.vote(reply), held, &kit.task.policy, kit.labels())
        });
        Some(cast.map(|cast| (cast, *row)))
    }

    /// Closes a subtask with the decision of the votes that were seen and counts it, in one step, if the record is
    /// as it was seen.
    pub fn close(&mut self, kit: &Kit, image: usize, closing: &Closing) -> bool {
        let Some(decision) = kit.decision(&closing.votes) else { return false };
        let Some(row) = self.rows[image].as_mut().filter(|row| row.rev == closing.rev) else { return false };
        kit.change(image, row, |subtask| subtask.close(decision, kit.task.policy.disputed, moment(1)));
        self.tally.add_closed(row);
        true
    }

    /// Stores an operator's record, if nobody has changed it.
    pub fn put_desk(&mut self, operator: usize, desk: DeskRow) -> bool {
        let won = self.desks[operator].rev + 1 == desk.rev;
        if won {
            self.desks[operator] = desk;
        }
        won
    }

    /// Replaces the task by what it has become, if nobody has changed it.
    pub fn replace_task(&mut self, task: TaskRow) -> bool {
        let won = self.task.rev + 1 == task.rev;
        if won {
            self.task = task;
        }
        won
    }

    /// What the counters should be.
    pub fn recount(&self) -> Tally {
        let mut tally = Tally::default();
        for row in self.rows.iter().flatten() {
            tally.add_new(row);
            if row.is_decided() {
                tally.add_closed(row);
            }
        }
        tally
    }
}
