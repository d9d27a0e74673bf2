//! The end of a task that reviews its disputes, as a model of its own: a client and an admin who decide the same images,
//! beside late votes, processes that stop, answers that get lost, and a client who cancels.
//!
//! A step is one request to a table, as in [`crate::protocol`]. The names are those of `reviews.rs` and `progress.rs` in
//! `lambel-service`. That a review has been heard of stands for the event that its transaction leads to.

use stateright::{Model, Property};

/// Images of the task.
pub const IMAGES: usize = 2;
/// Requests under way at the same time, at most: of the client and of an admin.
const REVIEWERS: u8 = 2;

/// Something that is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// A review is written whatever has become of the record since it was read.
    DecidesBlindly,
    /// A review does not look whether the task goes on.
    DecidesAfterTheEnd,
    /// The counters are changed after the transaction that decides, not in it.
    CountsApart,
    /// The task completes when everything is decided or disputed, as a task that does not review.
    CompletesWithDisputes,
    /// Images are decided first, and the entry of the trail is written then.
    EntersAfterwards,
    /// Neither the request looks whether the task is done, nor anybody who hears of it.
    NobodyLooks,
}

/// The end of a task, with a flaw or without.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reviews {
    /// What is wrong.
    pub flaw: Option<Flaw>,
}

/// Where the task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskState {
    /// It goes on.
    Sealed,
    /// It is complete.
    Complete,
    /// Its client has called it off.
    Cancelled,
}

/// The task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task {
    state: TaskState,
    rev: u8,
}

/// A record. In the beginning it is disputed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Image {
    /// Who has decided it.
    decided_by: Option<u8>,
    rev: u8,
    /// Late votes that it has taken.
    late: u8,
}

/// A request that decides all images, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    who: u8,
    /// Whether the entry of the trail is written.
    entered: bool,
    stage: Stage,
}

/// What a request does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Reads the images.
    Read,
    /// Reads the task, for the entry of its trail.
    Task([Option<Image>; IMAGES]),
    /// Writes the entry, if the task is as it was read.
    Enter(Task, [Option<Image>; IMAGES]),
    /// Decides those images that are as they were read.
    Decide([Option<Image>; IMAGES]),
    /// Only in a flaw: counts what was decided.
    Count(u8),
    /// Looks whether the task is done.
    Look,
}

/// Somebody who looks whether the task is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Looking {
    /// The counters are read next.
    Counts(Task),
    /// The task is completed next.
    Complete(Task),
}

/// Everything there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    task: Task,
    images: [Image; IMAGES],
    /// The counters.
    disputed: u8,
    complete: u8,
    /// Who has an entry on the trail.
    trail: u8,
    requests: Vec<Request>,
    lookers: Vec<Looking>,
    /// Events of decisions that nobody has heard of yet.
    events: u8,
    /// How many of each there may still be.
    begins: [u8; REVIEWERS as usize],
    late: u8,
    /// Requests that are stopped, and writes whose answer is lost.
    faults: u8,
    cancels: u8,
    /// What must not have happened.
    wrong: Wrongs,
    completions: u8,
}

/// What must not have happened and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrongs {
    decided_twice: bool,
    lost_vote: bool,
    after_end: bool,
    not_on_trail: bool,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The client or an admin sends a request for all images.
    Begin(u8),
    /// A request takes its next step.
    Go(usize),
    /// A request is stopped after its next step; whoever sent it may send it again.
    Crash(usize),
    /// The answer to a write is lost, and it is sent again.
    Again(usize),
    /// An image takes a late vote.
    Late(usize),
    /// Somebody hears of a decision.
    Hear,
    /// Whoever looks whether the task is done takes their next step.
    Look(usize),
    /// The client cancels.
    Cancel,
}

impl State {
    fn is_over(&self) -> bool {
        self.task.state != TaskState::Sealed
    }

    fn end(&mut self, state: TaskState) {
        self.wrong.after_end |= self.is_over();
        self.task = Task { state, rev: self.task.rev + 1 };
        self.completions += u8::from(state == TaskState::Complete);
    }

    /// What the counters should be: disputed, complete.
    fn recount(&self) -> (u8, u8) {
        let complete = self.images.iter().filter(|image| image.decided_by.is_some()).count() as u8;
        (IMAGES as u8 - complete, complete)
    }
}

impl Reviews {
    fn is(self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// The next step of a request: what it does then, if anything, and whether it has written.
    fn go(self, s: &mut State, request: Request) -> (Option<Request>, bool) {
        let to = |stage| Some(Request { stage, ..request });
        match request.stage {
            Stage::Read => {
                let seen = s.images.map(|image| Some(image).filter(|image| image.decided_by.is_none()));
                let next = match seen {
                    [None, None] => Stage::Look,
                    seen if request.entered || self.is(Flaw::EntersAfterwards) => Stage::Decide(seen),
                    seen => Stage::Task(seen),
                };
                (to(next), false)
            }
            Stage::Task(_) if s.is_over() => (None, false),
            Stage::Task(seen) => (to(Stage::Enter(s.task, seen)), false),
            Stage::Enter(task, seen) if task.rev != s.task.rev => (to(Stage::Task(seen)), false),
            Stage::Enter(_, seen) => {
                s.task.rev += 1;
                s.trail |= 1 << request.who;
                (Some(Request { entered: true, stage: Stage::Decide(seen), ..request }), true)
            }
            Stage::Decide(_) if s.is_over() && !self.is(Flaw::DecidesAfterTheEnd) => (None, false),
            Stage::Decide(seen) => {
                let mut decided = 0;
                for (image, seen) in s.images.iter_mut().zip(seen) {
                    let Some(seen) = seen else { continue };
                    if image.rev != seen.rev && !self.is(Flaw::DecidesBlindly) {
                        continue;
                    }
                    s.wrong.decided_twice |= image.decided_by.is_some();
                    s.wrong.lost_vote |= image.late > seen.late;
                    s.wrong.not_on_trail |= s.trail & 1 << request.who == 0;
                    *image = Image { decided_by: Some(request.who), rev: image.rev + 1, late: seen.late };
                    decided += 1;
                }
                s.wrong.after_end |= decided > 0 && s.is_over();
                s.events += decided;
                if self.is(Flaw::CountsApart) && decided > 0 {
                    return (to(Stage::Count(decided)), true);
                }
                (s.disputed, s.complete) = (s.disputed.saturating_sub(decided), s.complete + decided);
                // What has changed in between is read again.
                (to(Stage::Read), decided > 0)
            }
            Stage::Count(decided) => {
                (s.disputed, s.complete) = (s.disputed.saturating_sub(decided), s.complete + decided);
                (to(Stage::Read), true)
            }
            Stage::Look => {
                if !self.is(Flaw::NobodyLooks) && !s.is_over() {
                    s.lookers.push(Looking::Counts(s.task));
                }
                (None, false)
            }
        }
    }

    fn look(self, s: &mut State, looking: Looking) -> Option<Looking> {
        match looking {
            Looking::Counts(task) => {
                let waits = s.disputed > 0 && !self.is(Flaw::CompletesWithDisputes);
                (!waits).then_some(Looking::Complete(task))
            }
            Looking::Complete(task) if task.rev == s.task.rev => {
                s.end(TaskState::Complete);
                None
            }
            // Somebody has changed the task: look again.
            Looking::Complete(_) => (!s.is_over()).then_some(Looking::Counts(s.task)),
        }
    }
}

impl Model for Reviews {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            task: Task { state: TaskState::Sealed, rev: 0 },
            images: [Image::default(); IMAGES],
            disputed: IMAGES as u8,
            complete: 0,
            trail: 0,
            requests: Vec::new(),
            // Whoever has heard of the last dispute looks too.
            lookers: vec![Looking::Counts(Task { state: TaskState::Sealed, rev: 0 })],
            events: 0,
            begins: [1, 1],
            late: 1,
            faults: 1,
            cancels: 1,
            wrong: Wrongs::default(),
            completions: 0,
        }]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Step>) {
        for who in 0..REVIEWERS {
            let is_busy = s.requests.iter().any(|request| request.who == who);
            if s.begins[usize::from(who)] > 0 && !is_busy && !s.is_over() {
                actions.push(Step::Begin(who));
            }
        }
        for place in 0..s.requests.len() {
            actions.push(Step::Go(place));
            if s.faults > 0 {
                actions.extend([Step::Crash(place), Step::Again(place)]);
            }
        }
        actions.extend((0..s.lookers.len()).map(Step::Look));
        if s.late > 0 {
            actions.extend((0..IMAGES).map(Step::Late));
        }
        if s.events > 0 {
            actions.push(Step::Hear);
        }
        if s.cancels > 0 && !s.is_over() {
            actions.push(Step::Cancel);
        }
    }

    fn next_state(&self, before: &State, step: Step) -> Option<State> {
        let mut s = before.clone();
        match step {
            Step::Begin(who) => {
                s.begins[usize::from(who)] -= 1;
                s.requests.push(Request { who, entered: false, stage: Stage::Read });
            }
            Step::Go(place) => {
                let request = s.requests.remove(place);
                let (next, _) = self.go(&mut s, request);
                s.requests.extend(next);
            }
            Step::Crash(place) => {
                let request = s.requests.remove(place);
                let (_, wrote) = self.go(&mut s, request);
                if !wrote {
                    return None;
                }
                s.faults -= 1;
                s.begins[usize::from(request.who)] += 1;
            }
            Step::Again(place) => {
                let request = s.requests.remove(place);
                let (_, wrote) = self.go(&mut s, request);
                if !wrote {
                    return None;
                }
                s.faults -= 1;
                s.requests.push(request);
            }
            Step::Late(place) => {
                s.late -= 1;
                s.images[place].late += 1;
                s.images[place].rev += 1;
            }
            Step::Hear => {
                s.events -= 1;
                if !self.is(Flaw::NobodyLooks) && !s.is_over() {
                    s.lookers.push(Looking::Counts(s.task));
                }
            }
            Step::Look(place) => {
                let looking = s.lookers.remove(place);
                let next = self.look(&mut s, looking);
                s.lookers.extend(next);
            }
            Step::Cancel => {
                s.cancels -= 1;
                s.end(TaskState::Cancelled);
            }
        }
        s.requests.sort_unstable();
        s.lookers.sort_unstable();
        s.lookers.dedup();
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing is disputed in a complete task", |_, s: &State| {
                s.task.state != TaskState::Complete || s.images.iter().all(|image| image.decided_by.is_some())
            }),
            Property::always("an image is decided once", |_, s: &State| !s.wrong.decided_twice),
            Property::always("no late vote is lost", |_, s: &State| !s.wrong.lost_vote),
            Property::always("counters equal a recount", |_, s: &State| (s.disputed, s.complete) == s.recount()),
            Property::always("who decides is on the trail", |_, s: &State| !s.wrong.not_on_trail),
            Property::always("a task completes once, and nothing is written when it is over", |_, s: &State| {
                s.completions <= 1 && !s.wrong.after_end
            }),
            Property::always("a task in which everything was reviewed is over in the end", |_, s: &State| {
                let is_still = s.requests.is_empty() && s.lookers.is_empty() && s.events == 0;
                !is_still || s.disputed > 0 || s.is_over()
            }),
        ]
    }
}
