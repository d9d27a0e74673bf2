//! The steps: what each process does next, one request to a table or a queue at a time, and what can go wrong
//! with it.

use lambel_core::{SubtaskState, TaskState};
use stateright::{Model, Property};

use crate::{
    bugs::Bug,
    operate, promises,
    records::{DeskRow, IMAGES, Kit, OPERATORS, Reply, Tally, moment},
    state::{
        AdvanceStage, Budget, Claim, ClaimStage, Ghost, News, PauseStage, Process, State, SweepStage, ValidateStage,
        VoteStage, bits,
    },
    tables::Tables,
};

/// A world to be checked.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Its name.
    pub name: &'static str,
    /// How many operators there are.
    pub operators: u8,
    /// How many images.
    pub images: u8,
    /// Which of them are no pictures, as a mask.
    pub bad: u8,
    /// Whether the images are in the pool when the world begins, and the task is sealed.
    pub labelling: bool,
    /// The policy: votes with a label that are always asked for.
    pub quorum: u32,
    /// The policy: votes with a label after which a tie is a dispute.
    pub max_labels: u32,
    /// What operators may say.
    pub replies: &'static [Reply],
    /// How many requests one operator may have under way at the same time.
    pub tabs: u8,
    /// What may happen.
    pub budget: Budget,
    /// Whether the sweep runs each day.
    pub swept: bool,
    /// Whether a batch read may see one record before a pause and another one after it.
    pub torn: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The client uploads the next image, and S3 says so.
    Upload,
    /// Uploads are received, by a mask of images; again, if the message stays.
    ReceiveUploads(u8, Again),
    /// A message of new subtasks is received.
    ReceiveNew(u8, Again),
    /// A change of the stream is published.
    Publish(News, Again),
    /// The message of a decision is received.
    ReceiveDecision(Again),
    /// An operator asks for work.
    Claim(u8),
    /// An operator answers.
    Vote(u8, u8, Reply),
    /// An operator gives everything back.
    Return(u8),
    /// An operator goes home for good.
    Leave(u8),
    /// An admin pauses the operator 0.
    Pause,
    /// The client seals the task.
    Seal,
    /// The client calls the task off.
    Cancel,
    /// The sweep begins.
    Sweep,
    /// The length of a lease passes.
    Tick,
    /// A process takes its next step.
    Run(Process, Fate),
    /// Nothing more can happen today.
    NewDay,
}

/// Whether a message stays where it is and will be received again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Again {
    /// It is received once.
    No,
    /// It will come again.
    Yes,
}

/// How a step of a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// As it should.
    Done,
    /// The write is done, and the process stops before anything else.
    Stopped,
    /// The write is done, its answer is lost, and it is sent again.
    AnswerLost,
    /// The index does not name this image yet.
    IndexLacks(u8),
    /// The index still names this image.
    IndexKeeps(u8),
    /// The record of this image is read as it was before its last change.
    OldRead(u8),
}

/// The protocol in one world, perhaps with a bug.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// Ids and policy.
    pub kit: Kit,
    /// The world.
    pub world: World,
    /// The bug.
    pub bug: Option<Bug>,
}

/// What a process has come to by a step.
pub(crate) struct Went {
    /// The process as it goes on; none if it is done.
    pub(crate) next: Option<Process>,
    /// Whether something was written.
    pub(crate) wrote: bool,
}

pub(crate) fn on(next: Process) -> Went {
    Went { next: Some(next), wrote: false }
}

pub(crate) fn wrote(next: Process) -> Went {
    Went { next: Some(next), wrote: true }
}

pub(crate) const OVER: Went = Went { next: None, wrote: false };
pub(crate) const WROTE_LAST: Went = Went { next: None, wrote: true };

impl Protocol {
    /// The protocol as it is.
    pub fn new(world: World) -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { kit: Kit::new(world.quorum, world.max_labels, 2)?, world, bug: None })
    }

    /// The same with a bug.
    pub fn with(self, bug: Bug) -> Self {
        Self { bug: Some(bug), ..self }
    }

    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(crate) fn all_images(&self) -> impl Iterator<Item = usize> + use<> {
        0..usize::from(self.world.images)
    }

    /// The steps that are open, a new day apart.
    pub(crate) fn steps(&self, s: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        let again = |s: &State| if s.left.repeats > 0 { &[Again::No, Again::Yes][..] } else { &[Again::No] };
        if s.sent < self.world.images {
            steps.push(Step::Upload);
        }
        let waiting: u8 = (0..IMAGES).filter(|image| s.uploads[*image] > 0).map(|image| 1 << image).sum();
        for images in (1..1 << IMAGES).filter(|images| images & !waiting == 0) {
            steps.extend(again(s).iter().map(|again| Step::ReceiveUploads(images, *again)));
        }
        for images in (0..s.fresh.len()).filter(|images| s.fresh[*images] > 0) {
            steps.extend(again(s).iter().map(|again| Step::ReceiveNew(images as u8, *again)));
        }
        for news in &s.stream {
            steps.extend(again(s).iter().map(|again| Step::Publish(*news, *again)));
        }
        if s.heard > 0 {
            steps.extend(again(s).iter().map(|again| Step::ReceiveDecision(*again)));
        }
        let over = s.tables.task.state.is_final();
        for operator in (0..self.world.operators).filter(|operator| s.home >> operator & 1 == 0) {
            let o = usize::from(operator);
            if s.left.leaves > 0 {
                steps.push(Step::Leave(operator));
            }
            if s.processes.iter().filter(|process| operator_of(process) == Some(operator)).count()
                >= usize::from(self.world.tabs)
            {
                continue;
            }
            if s.left.claims[o] > 0 && !over && !s.tables.paused[o] {
                steps.push(Step::Claim(operator));
            }
            let mut answerable = s.screens[o];
            if s.left.changes > 0 {
                answerable |= s.ghost.acknowledged[o];
            }
            for image in bits(answerable) {
                steps.extend(self.world.replies.iter().map(|reply| Step::Vote(operator, image as u8, *reply)));
            }
            if s.left.returns > 0 && s.screens[o] != 0 {
                steps.push(Step::Return(operator));
            }
        }
        if s.left.pauses > 0 {
            steps.push(Step::Pause);
        }
        if s.left.seals > 0 {
            steps.push(Step::Seal);
        }
        if s.left.cancels > 0 && !over {
            steps.push(Step::Cancel);
        }
        if s.left.sweeps > 0 && !over && s.tables.task.images.is_some() {
            steps.push(Step::Sweep);
        }
        if s.left.ticks > 0 && s.tables.rows.iter().flatten().any(|row| row.leases.iter().flatten().any(|u| *u > s.now))
        {
            steps.push(Step::Tick);
        }
        for (place, process) in s.processes.iter().enumerate() {
            if place > 0 && s.processes[place - 1] == *process {
                continue;
            }
            steps.push(Step::Run(*process, Fate::Done));
            if s.left.crashes > 0 {
                steps.push(Step::Run(*process, Fate::Stopped));
            }
            if s.left.lost > 0 {
                steps.push(Step::Run(*process, Fate::AnswerLost));
            }
            if s.left.stale > 0 && matches!(process, Process::Claim(Claim { stage: ClaimStage::Look, .. })) {
                for image in self.all_images().map(|image| image as u8) {
                    let fates = [Fate::IndexLacks(image), Fate::IndexKeeps(image), Fate::OldRead(image)];
                    steps.extend(fates.map(|fate| Step::Run(*process, fate)));
                }
            }
        }
        steps
    }

    /// The state after a step; none where the step makes no difference to another one.
    fn after(&self, last: &State, step: Step) -> Option<State> {
        let mut s = last.clone();
        let before = last.tables.clone();
        let mut kept_quiet = false;
        match step {
            Step::Upload => {
                s.uploads[usize::from(s.sent)] += 1;
                s.sent += 1;
            }
            Step::ReceiveUploads(images, again) => {
                for image in bits(images) {
                    s.uploads[image] -= u8::from(again == Again::No);
                }
                s.left.repeats -= u8::from(again == Again::Yes);
                if !s.tables.task.state.is_final() {
                    s.processes.push(Process::Validate { images, stage: ValidateStage::Record });
                }
            }
            Step::ReceiveNew(images, again) => {
                s.fresh[usize::from(images)] -= u8::from(again == Again::No);
                s.left.repeats -= u8::from(again == Again::Yes);
                let preparing = |image: &usize| {
                    let row = s.tables.rows[*image];
                    row.is_some_and(|row| row.state == SubtaskState::Preparing || self.has(Bug::OpenUnconditional))
                };
                let waiting = bits(images).filter(preparing).map(|image| 1 << image).sum();
                if waiting != 0 && !s.tables.task.state.is_final() {
                    s.processes.push(Process::Open { images, waiting });
                }
            }
            Step::Publish(news, again) => {
                if again == Again::Yes {
                    s.left.repeats -= 1;
                } else {
                    s.stream.retain(|other| *other != news);
                }
                self.announce(&mut s, news);
            }
            Step::ReceiveDecision(again) => {
                s.heard -= u8::from(again == Again::No);
                s.left.repeats -= u8::from(again == Again::Yes);
                s.processes.push(Process::Advance { heard: true, stage: AdvanceStage::Task });
                self.run(&mut s, Process::Advance { heard: true, stage: AdvanceStage::Task }, Fate::Done)?;
            }
            Step::Claim(operator) => {
                let o = usize::from(operator);
                s.left.claims[o] -= 1;
                let mut claim = Claim {
                    operator,
                    stage: ClaimStage::Desk,
                    now: s.now,
                    voted: self.voted(&s, o),
                    desk: DeskRow::default(),
                    read: [None; IMAGES],
                    is_new: false,
                    first_try: true,
                    tries: 0,
                    free: 0,
                    revs: [0; IMAGES],
                    closings: [None; IMAGES],
                    handed: 0,
                    untils: [0; IMAGES],
                    fresh: 0,
                    gone: 0,
                };
                if !self.world.torn {
                    operate::sit_down(&s, &mut claim);
                }
                s.processes.push(Process::Claim(claim));
            }
            Step::Vote(operator, image, reply) => {
                let (o, i) = (usize::from(operator), usize::from(image));
                if s.screens[o] >> image & 1 == 0 {
                    s.left.changes -= 1;
                }
                if s.tables.paused[o] || s.tables.task.state == TaskState::Cancelled {
                    // Refused. They see it, and do not send it again.
                    s.screens[o] &= !(1 << image);
                } else {
                    let held = s.tables.desks[o].leases[i].is_some();
                    s.processes.push(Process::Vote { operator, image, reply, held, stage: VoteStage::Cast });
                }
            }
            Step::Return(operator) => {
                let o = usize::from(operator);
                s.left.returns -= 1;
                let images = std::mem::take(&mut s.screens[o]);
                let desk = s.tables.desks[o];
                s.processes.push(Process::Return { operator, todo: images, images, desk, read: desk.leases });
            }
            Step::Leave(operator) => {
                s.left.leaves -= 1;
                s.home |= 1 << operator;
                s.screens[usize::from(operator)] = 0;
            }
            Step::Pause => {
                s.left.pauses -= 1;
                let stage = if self.has(Bug::PauseFromBehind) { PauseStage::Read } else { PauseStage::Standing };
                s.processes.push(Process::Pause { operator: 0, stage });
            }
            Step::Seal => {
                s.left.seals -= 1;
                s.processes.push(Process::Seal { task: s.tables.task, after: None });
            }
            Step::Cancel => {
                s.left.cancels -= 1;
                s.processes.push(Process::Cancel { task: s.tables.task });
            }
            Step::Sweep => {
                s.left.sweeps -= 1;
                s.processes.push(Process::Sweep { stage: SweepStage::Counts });
            }
            Step::Tick => {
                s.left.ticks -= 1;
                s.now += 1;
            }
            Step::NewDay => {
                let Budget { claims, days, changes, returns, pauses, cancels, seals, sweeps, .. } = s.left;
                let more = |n: u8| n + u8::from(n == 0);
                let sweeps = sweeps + u8::from(self.world.swept && !self.has(Bug::NoSweep));
                let claims = claims.map(more);
                // Faults are over: what they have left behind must be mended without luck.
                s.left = Budget {
                    claims,
                    days: days - 1,
                    changes,
                    returns,
                    pauses,
                    cancels,
                    seals,
                    sweeps,
                    ..Budget::default()
                };
                s.now += 1;
            }
            Step::Run(process, fate) => {
                let by_hand = [Bug::PublishedAfter, Bug::PublishedFirst].iter().any(|bug| self.has(*bug));
                kept_quiet = by_hand && matches!(process, Process::Vote { .. });
                self.run(&mut s, process, fate)?;
            }
        }
        self.note(&before, &mut s, kept_quiet);
        s.processes.sort_unstable();
        s.stream.sort_unstable();
        Some(s)
    }

    /// One step of one process.
    fn run(&self, s: &mut State, process: Process, fate: Fate) -> Option<()> {
        let place = s.processes.iter().position(|other| *other == process)?;
        s.processes.swap_remove(place);
        let went = match process {
            Process::Validate { images, stage } => self.validate(s, images, stage),
            Process::Open { images, waiting } => self.open(s, images, waiting),
            Process::Claim(claim) => self.claim(s, claim, fate)?,
            Process::Vote { operator, image, reply, held, stage } => {
                self.vote(s, (operator, image, reply, held), stage, fate)
            }
            Process::Return { operator, todo, images, desk, read } => {
                self.give_back(s, operator, (todo, images), desk, read)
            }
            Process::Pause { operator, stage } => self.pause(s, operator, stage, fate),
            Process::Seal { task, after } => self.seal(s, task, after),
            Process::Cancel { mut task } => {
                if !self.kit.change_task(&mut task, |task| task.cancel(moment(1)) == Ok(true)) {
                    OVER
                } else if s.tables.replace_task(task) {
                    WROTE_LAST
                } else {
                    on(Process::Cancel { task: s.tables.task })
                }
            }
            Process::Advance { heard, stage } => self.advance(s, heard, stage),
            Process::Sweep { stage } => self.sweep(s, stage),
        };
        match fate {
            Fate::Stopped | Fate::AnswerLost if !went.wrote => return None,
            Fate::Stopped => {
                s.left.crashes -= 1;
                self.comes_back(s, process);
            }
            Fate::AnswerLost => {
                s.left.lost -= 1;
                s.processes.push(process);
            }
            Fate::Done => s.processes.extend(went.next),
            Fate::IndexLacks(_) | Fate::IndexKeeps(_) | Fate::OldRead(_) => {
                s.left.stale -= 1;
                s.processes.extend(went.next);
            }
        }
        Some(())
    }

    /// What was received and not deleted is received again.
    fn comes_back(&self, s: &mut State, process: Process) {
        if self.has(Bug::DeletedOnReceipt) {
            return;
        }
        match process {
            Process::Validate { images, .. } => bits(images).for_each(|image| s.uploads[image] += 1),
            Process::Open { images, .. } => s.fresh[usize::from(images)] += 1,
            Process::Advance { heard: true, .. } => s.heard += 1,
            // The admin sees that it failed, and pauses again.
            Process::Pause { .. } => s.left.pauses += 1,
            _ => {}
        }
    }
}

fn operator_of(process: &Process) -> Option<u8> {
    match process {
        Process::Claim(claim) => Some(claim.operator),
        Process::Vote { operator, .. } | Process::Return { operator, .. } => Some(*operator),
        _ => None,
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut tables = Tables::new(&self.kit);
        let mut sent = 0;
        if self.world.labelling {
            tables.record(&self.kit, self.all_images(), self.world.bad);
            for image in self.all_images() {
                tables.open(&self.kit, image);
            }
            let counts = tables.tally.counts();
            let images = u64::from(self.world.images);
            self.kit.change_task(&mut tables.task, |task| task.seal(images, &counts, moment(1)).is_ok());
            sent = self.world.images;
        }
        let mut left = self.world.budget;
        left.claims = std::array::from_fn(|o| if o < usize::from(self.world.operators) { left.claims[o] } else { 0 });
        vec![State {
            tables,
            old: [None; IMAGES],
            old_tally: Tally::default(),
            sent,
            uploads: [0; IMAGES],
            fresh: [0; 1 << IMAGES],
            stream: Vec::new(),
            heard: 0,
            screens: [0; OPERATORS],
            home: 0,
            processes: Vec::new(),
            left,
            now: 1,
            ghost: Ghost::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Step>) {
        actions.extend(self.steps(state));
        if actions.is_empty() && state.left.days > 0 && !self.is_settled(state) {
            actions.push(Step::NewDay);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.after(state, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}
