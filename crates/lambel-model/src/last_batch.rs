//! The end of a task whose rule weighs votes, as a model of its own: last batches, of which some are stopped, some come
//! twice and some are given up too early, beside votes and a client who cancels.
//!
//! What a batch finds out about an image is not modelled: whenever it looks at one that may be opened again, it does so
//! or it does not. A step is one request to a table, as in [`crate::protocol`]. The names are those of `skills/mod.rs` in
//! `lambel-service`.

use stateright::{Model, Property};

/// Images of the task.
pub const IMAGES: usize = 2;
/// How often an image is opened again. In the service it is [`lambel_core::limits::REOPENINGS`].
const REOPENINGS: u8 = 2;
/// Batches under way at the same time, at most.
const BATCHES: usize = 2;

/// Something that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A batch opens images again although it has lost the mark.
    RevisesWithoutMark,
    /// A batch completes the task although it has lost the mark.
    CompletesWithoutMark,
    /// A batch writes over what has changed since it was read.
    RevisesBlindly,
    /// Whoever hears of the last decision completes the task.
    AnybodyCompletes,
    /// An image opens again however often it was.
    OpensForEver,
}

/// The end of a task, with a flaw or without.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastBatch {
    /// What is wrong.
    pub flaw: Option<Flaw>,
}

/// Where the task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// It goes on.
    Sealed,
    /// It is complete.
    Complete,
    /// Its client has called it off.
    Cancelled,
}

/// A record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Image {
    open: bool,
    rev: u8,
    reopenings: u8,
    /// Late votes that it has taken.
    late: u8,
}

/// A batch under way: the number of its mark, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    mark: u8,
    stage: Stage,
}

/// What a batch does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reads whether the task goes on.
    Task,
    /// Reads all records.
    Read,
    /// Opens images again: those that have a record here, as it was read.
    Revise([Option<Image>; IMAGES]),
    /// Reads whether everything is decided still.
    Look,
    /// Completes the task.
    Complete,
    /// Lets the mark go.
    Release,
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    task: Task,
    images: [Image; IMAGES],
    /// The number of the mark, whether somebody holds it, and whether they are waited for no longer.
    mark: u8,
    held: bool,
    expired: bool,
    batches: Vec<Batch>,
    /// How many of each there may still be.
    crashes: u8,
    expiries: u8,
    late: u8,
    cancels: u8,
    /// Whether something was written in a task that was over, and late votes that are gone.
    wrote_after_end: bool,
    lost: bool,
    completions: u8,
    /// Somebody has heard of the last decision and is about to complete the task: a flaw.
    heard: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// An open image takes a vote, and is decided.
    Vote(usize),
    /// A decided image takes a late vote.
    Late(usize),
    /// A message or the schedule begins a batch.
    Begin,
    /// A batch makes its next request. What it finds may open again is opened where the bit of the image says so.
    Go(usize, u8),
    /// A batch is stopped.
    Crash(usize),
    /// Whoever holds the mark is waited for no longer.
    Expire,
    /// The client cancels.
    Cancel,
    /// Somebody hears of the last decision, and next completes the task: a flaw.
    Hear,
}

impl State {
    fn all_decided(&self) -> bool {
        self.images.iter().all(|image| !image.open)
    }

    fn has(&self, mark: u8) -> bool {
        self.held && self.mark == mark
    }

    /// Whether the holder of the mark is still at work.
    fn is_alive(&self) -> bool {
        self.batches.iter().any(|batch| self.has(batch.mark))
    }

    fn complete(&mut self) {
        self.wrote_after_end |= self.task != Task::Sealed;
        self.task = Task::Complete;
        self.completions += 1;
    }
}

impl LastBatch {
    fn go(self, s: &mut State, place: usize, choice: u8) {
        let Batch { mark, stage } = s.batches[place];
        let is_flaw = |flaw| self.flaw == Some(flaw);
        let next = match stage {
            Stage::Task if s.task == Task::Sealed => Stage::Read,
            Stage::Task => Stage::Release,
            Stage::Read if !s.all_decided() => Stage::Release,
            Stage::Read => {
                let may = |image: &Image| image.reopenings < REOPENINGS || is_flaw(Flaw::OpensForEver);
                let chosen = |i: usize| Some(s.images[i]).filter(|image| choice & (1 << i) != 0 && may(image));
                match std::array::from_fn(chosen) {
                    [None, None] => Stage::Look,
                    seen => Stage::Revise(seen),
                }
            }
            Stage::Revise(seen) => {
                let held = s.has(mark) || is_flaw(Flaw::RevisesWithoutMark);
                if held && s.task == Task::Sealed {
                    for (image, seen) in s.images.iter_mut().zip(seen) {
                        let Some(seen) = seen else { continue };
                        if image.rev == seen.rev || is_flaw(Flaw::RevisesBlindly) {
                            s.lost |= image.late > seen.late;
                            let reopenings = seen.reopenings.saturating_add(1);
                            *image = Image { open: true, rev: image.rev + 1, reopenings, late: seen.late };
                        }
                    }
                }
                // Whatever was lost to others, the next batch meets it.
                Stage::Release
            }
            Stage::Look if s.all_decided() && s.task == Task::Sealed => Stage::Complete,
            Stage::Look => Stage::Release,
            Stage::Complete => {
                let held = s.has(mark) || is_flaw(Flaw::CompletesWithoutMark);
                if held && s.task == Task::Sealed {
                    s.complete();
                }
                Stage::Release
            }
            Stage::Release => {
                if s.has(mark) {
                    (s.mark, s.held, s.expired) = (s.mark + 1, false, false);
                }
                s.batches.remove(place);
                return;
            }
        };
        s.batches[place].stage = next;
    }
}

impl Model for LastBatch {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            task: Task::Sealed,
            images: [Image::default(); IMAGES],
            mark: 0,
            held: false,
            expired: false,
            batches: Vec::new(),
            crashes: 1,
            expiries: 1,
            late: 1,
            cancels: 1,
            wrote_after_end: false,
            lost: false,
            completions: 0,
            heard: false,
        }]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Step>) {
        for (place, image) in s.images.iter().enumerate() {
            if image.open && s.task == Task::Sealed {
                actions.push(Step::Vote(place));
            } else if !image.open && s.late > 0 {
                actions.push(Step::Late(place));
            }
        }
        // Between its parts, the look at whether the task is due is one read, which others can only make vain.
        if s.task == Task::Sealed && s.all_decided() && (!s.held || s.expired) && s.batches.len() < BATCHES {
            actions.push(Step::Begin);
        }
        for (place, batch) in s.batches.iter().enumerate() {
            let choices = if batch.stage == Stage::Read { 1 << IMAGES } else { 1 };
            actions.extend((0..choices).map(|choice| Step::Go(place, choice)));
            if s.crashes > 0 {
                actions.push(Step::Crash(place));
            }
        }
        // Of somebody who was stopped it is only a matter of time.
        if s.held && !s.expired && (s.expiries > 0 || !s.is_alive()) {
            actions.push(Step::Expire);
        }
        if s.cancels > 0 && s.task == Task::Sealed {
            actions.push(Step::Cancel);
        }
        if self.flaw == Some(Flaw::AnybodyCompletes) && s.task == Task::Sealed && (s.heard || s.all_decided()) {
            actions.push(Step::Hear);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut s = before.clone();
        match step {
            Step::Vote(place) => {
                s.images[place].open = false;
                s.images[place].rev += 1;
            }
            Step::Late(place) => {
                s.late -= 1;
                s.images[place].late += 1;
                s.images[place].rev += 1;
            }
            Step::Begin => {
                (s.mark, s.held, s.expired) = (s.mark + 1, true, false);
                s.batches.push(Batch { mark: s.mark, stage: Stage::Task });
            }
            Step::Go(place, choice) => self.go(&mut s, place, choice),
            Step::Crash(place) => {
                s.crashes -= 1;
                s.batches.remove(place);
            }
            Step::Expire => {
                s.expiries = s.expiries.saturating_sub(u8::from(s.is_alive()));
                s.expired = true;
            }
            Step::Cancel => {
                s.cancels -= 1;
                s.task = Task::Cancelled;
            }
            Step::Hear if s.heard => s.complete(),
            Step::Hear => s.heard = true,
        }
        (s != *before).then_some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is open in a complete task", |_, s: &State| {
                s.task != Task::Complete || s.all_decided()
            }),
            Property::always("a task completes once, and nothing is written when it is over", |_, s: &State| {
                s.completions <= 1 && !s.wrote_after_end
            }),
            Property::always("no late vote is lost", |_, s: &State| !s.lost),
            Property::always("an image opens again so many times at most", |_, s: &State| {
                s.images.iter().all(|image| image.reopenings <= REOPENINGS)
            }),
            Property::eventually("the task comes to its end", |_, s: &State| s.task != Task::Sealed),
        ]
    }

    /// With the flaw that opens images for ever there are states without end.
    fn within_boundary(&self, s: &State) -> bool {
        s.images.iter().all(|image| image.reopenings <= REOPENINGS + 1)
    }
}
