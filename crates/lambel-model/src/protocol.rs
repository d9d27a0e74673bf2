//! The steps: what each process does next, one request to a table or a queue at a time, and what can go wrong
//! with it.

use lambel_core::{
    SubtaskState, TaskState,
    subtask::{Cast, Unavailable},
};
use stateright::{Model, Property};

use crate::{
    bugs::Bug,
    promises,
    records::{DeskRow, IMAGES, Kit, OPERATORS, Reply, moment},
    state::{
        AdvanceStage, Budget, Claim, ClaimStage, Ghost, News, PauseStage, Process, State, SweepStage, ValidateStage,
        VoteStage, Wrong, bits,
    },
    tables::{Closing, Tables},
};

/// How often a claim tries to store the operator's record: as in the service.
const DESK_TRIES: u8 = 3;

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
struct Went {
    /// The process as it goes on; none if it is done.
    next: Option<Process>,
    /// Whether something was written.
    wrote: bool,
}

fn on(next: Process) -> Went {
    Went { next: Some(next), wrote: false }
}

fn wrote(next: Process) -> Went {
    Went { next: Some(next), wrote: true }
}

const OVER: Went = Went { next: None, wrote: false };
const WROTE_LAST: Went = Went { next: None, wrote: true };

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

    fn all_images(&self) -> impl Iterator<Item = usize> + use<> {
        0..usize::from(self.world.images)
    }

    /// The steps that are open, a new day apart.
    fn steps(&self, s: &State) -> Vec<Step> {
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
                    sit_down(&s, &mut claim);
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

    fn voted(&self, s: &State, operator: usize) -> u8 {
        let voted = |image: &usize| s.tables.rows[*image].is_some_and(|row| row.votes[operator].is_some());
        self.all_images().filter(voted).map(|image| 1 << image).sum()
    }

    fn validate(&self, s: &mut State, images: u8, stage: ValidateStage) -> Went {
        let at = |stage| Process::Validate { images, stage };
        match stage {
            ValidateStage::Record => {
                if self.has(Bug::PutAlways) {
                    bits(images).for_each(|image| s.tables.rows[image] = None);
                }
                // Images that are there already make the transaction fail, without effect; it is tried again
                // without them. Only the last try is a step here.
                let new = s.tables.record(&self.kit, bits(images), self.world.bad);
                if self.has(Bug::CountedOnDelivery) {
                    for row in bits(images).filter(|image| !new.contains(image)).filter_map(|i| s.tables.rows[i]) {
                        s.tables.tally.add_new(&row);
                    }
                }
                let named = |image: &usize| !self.has(Bug::NewOnesNamedOnly) || new.contains(image);
                let good = bits(images & !self.world.bad).filter(named).map(|image| 1 << image).sum();
                let written = !new.is_empty() || self.has(Bug::CountedOnDelivery);
                let next = (good != 0).then_some(at(ValidateStage::Send(good)));
                Went { next, wrote: written }
            }
            ValidateStage::Count(_) => OVER,
            ValidateStage::Send(good) => {
                s.fresh[usize::from(good)] += 1;
                WROTE_LAST
            }
        }
    }

    fn open(&self, s: &mut State, images: u8, waiting: u8) -> Went {
        let Some(image) = bits(waiting).next() else { return OVER };
        let left = waiting & !(1 << image);
        let mut opened = s.tables.open(&self.kit, image);
        if self.has(Bug::OpenUnconditional)
            && let Some(row) = &mut s.tables.rows[image]
        {
            row.state = SubtaskState::Open;
            row.rev += 1;
            opened = true;
        }
        Went { next: (left != 0).then_some(Process::Open { images, waiting: left }), wrote: opened }
    }

    fn claim(&self, s: &mut State, mut c: Claim, fate: Fate) -> Option<Went> {
        let o = usize::from(c.operator);
        let mut written = false;
        match c.stage {
            ClaimStage::Desk => sit_down(s, &mut c),
            ClaimStage::Look => {
                self.look(s, &mut c, fate)?;
                c.stage = ClaimStage::Lease;
            }
            ClaimStage::Lease => {
                if let Some(image) = bits(c.free).next() {
                    let until = c.now + 1;
                    let current = s.tables.rows[image].map_or(0, |row| row.rev);
                    let unconditional = self.has(Bug::LeaseUnconditional) || self.has(Bug::IndexTrusted);
                    let seen = if unconditional { current } else { c.revs[image] };
                    let now = if self.has(Bug::LeaseForEver) { 0 } else { c.now };
                    written = s.tables.lease(&self.kit, image, seen, o, until, now);
                    // An answer that got lost makes the write go out again: then the lease that is there is this
                    // one.
                    let mine = |row: &crate::records::Row| row.rev == seen + 1 && row.leases[o] == Some(until);
                    if written || s.tables.rows[image].as_ref().is_some_and(mine) {
                        c.handed |= 1 << image;
                        c.fresh |= 1 << image;
                        c.untils[image] = until;
                    }
                    c.free &= !(1 << image);
                    c.revs[image] = 0;
                }
            }
            ClaimStage::Close => {
                if let Some(image) = (0..IMAGES).find(|image| c.closings[*image].is_some())
                    && let Some(closing) = c.closings[image]
                {
                    written = self.close(s, image, &closing);
                    c.closings[image] = again(written, &self.kit, s, image);
                }
            }
            ClaimStage::Keep => {
                let gone = c.gone;
                match self.keep(s, &mut c, gone) {
                    Kept::Stored => written = true,
                    Kept::Unchanged => {}
                    Kept::Changed if c.tries < DESK_TRIES => return Some(on(Process::Claim(c))),
                    Kept::Changed => {}
                }
                let missed = (c.is_new || !c.first_try) && c.fresh != 0;
                // Nobody is ever paused in worlds without it: then that look sees nothing.
                if missed && !self.has(Bug::StandingReadOnce) {
                    c.stage = ClaimStage::Standing;
                    return Some(Went { next: Some(Process::Claim(tidy(c))), wrote: written });
                }
                if fate == Fate::Done {
                    self.hand_out(s, &c);
                }
                return Some(Went { next: None, wrote: written });
            }
            ClaimStage::Standing => {
                if !s.tables.paused[o] {
                    self.hand_out(s, &c);
                    return Some(OVER);
                }
                c.desk = s.tables.desks[o];
                c.read = c.desk.leases;
                c.tries = 0;
                c.stage = ClaimStage::HandBack(c.handed);
            }
            ClaimStage::HandBack(todo) => {
                let Some(image) = bits(todo).next() else { return Some(OVER) };
                written = s.tables.give_back(&self.kit, image, o);
                let left = todo & !(1 << image);
                c.stage = if left == 0 { ClaimStage::KeepBack } else { ClaimStage::HandBack(left) };
            }
            ClaimStage::KeepBack => {
                let gone = std::mem::take(&mut c.handed);
                match self.keep(s, &mut c, gone) {
                    Kept::Changed if c.tries < DESK_TRIES => {
                        c.handed = gone;
                        return Some(on(Process::Claim(c)));
                    }
                    Kept::Stored => return Some(WROTE_LAST),
                    Kept::Unchanged | Kept::Changed => return Some(OVER),
                }
            }
        }
        if c.stage == ClaimStage::Lease && c.free == 0 {
            c.stage = ClaimStage::Close;
        }
        if c.stage == ClaimStage::Close && c.closings.iter().all(Option::is_none) {
            c.stage = ClaimStage::Keep;
        }
        Some(Went { next: Some(Process::Claim(tidy(c))), wrote: written })
    }

    /// The index is queried and the records that it names are read. None if that would be no other look.
    fn look(&self, s: &State, c: &mut Claim, fate: Fate) -> Option<()> {
        let o = usize::from(c.operator);
        let operator = &self.kit.operators[o];
        let held: u8 = bits_where(|image| c.desk.leases[image].is_some_and(|until| until > c.now));
        for image in bits(held) {
            match s.tables.rows[image] {
                Some(row) if row.state == SubtaskState::Open && row.leases[o].is_some_and(|until| until > c.now) => {
                    c.handed |= 1 << image;
                    c.untils[image] = row.leases[o].unwrap_or_default();
                }
                _ => c.gone |= 1 << image,
            }
        }
        let mut index: u8 =
            bits_where(|image| s.tables.rows[image].is_some_and(|row| row.state == SubtaskState::Open));
        let mut rows = s.tables.rows;
        match fate {
            Fate::IndexLacks(image) if index >> image & 1 == 1 => index &= !(1 << image),
            Fate::IndexKeeps(image) if s.tables.rows[usize::from(image)].is_some_and(|row| row.is_decided()) => {
                index |= 1 << image;
            }
            // Where the operator holds something the read is consistent.
            Fate::OldRead(image) if held == 0 && s.old[usize::from(image)].is_some() => {
                rows[usize::from(image)] = s.old[usize::from(image)];
            }
            Fate::IndexLacks(_) | Fate::IndexKeeps(_) | Fate::OldRead(_) => return None,
            Fate::Done | Fate::Stopped | Fate::AnswerLost => {}
        }
        for image in bits(index & !held) {
            if self.has(Bug::IndexTrusted) {
                c.free |= 1 << image;
                continue;
            }
            let Some(row) = rows[image].filter(|row| row.state == SubtaskState::Open) else { continue };
            if let Some(closing) = Closing::of(&self.kit, &row) {
                c.closings[image] = Some(closing);
                continue;
            }
            let now = if self.has(Bug::LeaseForEver) { 0 } else { c.now };
            let subtask = self.kit.subtask(image, &row);
            let available = subtask.availability(operator, &self.kit.task.policy, self.kit.labels(), moment(now));
            let passes = match available {
                Ok(()) => true,
                Err(Unavailable::Voted) => {
                    self.has(Bug::VotedHandedOut)
                        && subtask.free_slots(&self.kit.task.policy, self.kit.labels(), moment(now)) > 0
                }
                Err(_) => false,
            };
            if !passes {
                continue;
            }
            if let Some(until) = row.leases[o].filter(|until| *until > c.now && self.has(Bug::LeftoverTrusted)) {
                c.handed |= 1 << image;
                c.fresh |= 1 << image;
                c.untils[image] = until;
            } else {
                c.free |= 1 << image;
                c.revs[image] = row.rev;
            }
        }
        Some(())
    }

    /// Stores the operator's record after a claim, without what is gone and with what is handed out.
    fn keep(&self, s: &mut State, c: &mut Claim, gone: u8) -> Kept {
        let o = usize::from(c.operator);
        let before = c.desk;
        let mut desk = before;
        for image in bits(gone) {
            if self.has(Bug::TakenOffUnseen) || desk.leases[image] == c.read[image] {
                desk.leases[image] = None;
            }
        }
        for image in bits(c.handed) {
            desk.leases[image] = Some(c.untils[image]);
        }
        if desk == before {
            return Kept::Unchanged;
        }
        desk.rev = before.rev + 1;
        if self.has(Bug::DeskUnconditional) {
            desk.rev = s.tables.desks[o].rev + 1;
        }
        if s.tables.put_desk(o, desk) {
            return Kept::Stored;
        }
        // It is read again: at once here, since a write that fails could as well have failed a moment later.
        c.first_try = false;
        c.tries += 1;
        c.desk = s.tables.desks[o];
        Kept::Changed
    }

    fn hand_out(&self, s: &mut State, c: &Claim) {
        let o = usize::from(c.operator);
        if c.handed & c.voted != 0 {
            s.ghost.wrong.add(Wrong::HandedVoted);
        }
        if s.home >> c.operator & 1 == 0 {
            s.screens[o] |= c.handed;
        }
    }

    fn close(&self, s: &mut State, image: usize, closing: &Closing) -> bool {
        let mut closing = *closing;
        if self.has(Bug::CloseUnconditional)
            && let Some(row) = s.tables.rows[image]
        {
            closing.rev = row.rev;
        }
        if self.has(Bug::CountedApart) {
            let tally = s.tables.tally;
            let closed = s.tables.close(&self.kit, image, &closing);
            s.tables.tally = tally;
            return closed;
        }
        let closed = s.tables.close(&self.kit, image, &closing);
        if !closed
            && self.has(Bug::RetryCountedAgain)
            && let Some(row) = s.tables.rows[image]
            && row.rev == closing.rev + 1
            && row.is_decided()
        {
            s.tables.tally.add_closed(&row);
        }
        closed
    }

    fn vote(
        &self,
        s: &mut State,
        (operator, image, reply, held): (u8, u8, Reply, bool),
        stage: VoteStage,
        fate: Fate,
    ) -> Went {
        let (o, i) = (usize::from(operator), usize::from(image));
        let at = |stage| Process::Vote { operator, image, reply, held, stage };
        let decided = |closing| {
            at(if self.has(Bug::PublishedFirst) { VoteStage::Announce(closing) } else { VoteStage::Close(closing) })
        };
        let went = match stage {
            VoteStage::Cast => {
                if self.has(Bug::VoteCountedAgain)
                    && let Some(row) = s.tables.rows[i].as_mut().filter(|row| row.state == SubtaskState::Open)
                    && row.votes[o].take().is_some()
                {
                    row.leases[o] = Some(s.now);
                }
                let rev = s.tables.rows[i].map(|row| row.rev);
                match s.tables.cast(&self.kit, i, o, reply, held) {
                    None | Some(Err(_)) => {
                        // Refused. They see it, and do not send it again.
                        s.screens[o] &= !(1 << image);
                        return OVER;
                    }
                    Some(Ok((cast, row))) => {
                        s.ghost.counted[o][i] += u8::from(cast == Cast::Counted);
                        Went { next: Closing::of(&self.kit, &row).map(decided), wrote: rev != Some(row.rev) }
                    }
                }
            }
            VoteStage::Announce(closing) => {
                self.announce(s, News { image: Some(image), rev: closing.rev + 1 });
                wrote(at(VoteStage::Close(closing)))
            }
            VoteStage::Close(closing) => {
                let closed = self.close(s, i, &closing);
                if closed && self.has(Bug::PublishedAfter) {
                    wrote(at(VoteStage::Tell))
                } else if closed && self.has(Bug::CountedApart) {
                    wrote(at(VoteStage::Count))
                } else {
                    Went { next: again(closed, &self.kit, s, i).map(decided), wrote: closed }
                }
            }
            VoteStage::Count => {
                if let Some(row) = s.tables.rows[i] {
                    s.tables.tally.add_closed(&row);
                }
                WROTE_LAST
            }
            VoteStage::Tell => {
                if let Some(row) = s.tables.rows[i] {
                    self.announce(s, News { image: Some(image), rev: row.rev });
                }
                WROTE_LAST
            }
        };
        if went.next.is_none() && fate == Fate::Done {
            s.ghost.acknowledged[o] |= 1 << image;
            s.screens[o] &= !(1 << image);
        }
        went
    }

    fn give_back(
        &self,
        s: &mut State,
        operator: u8,
        (todo, images): (u8, u8),
        mut desk: DeskRow,
        read: [Option<u8>; IMAGES],
    ) -> Went {
        let o = usize::from(operator);
        if let Some(image) = bits(todo).next() {
            let written = s.tables.give_back(&self.kit, image, o);
            let next = Process::Return { operator, todo: todo & !(1 << image), images, desk, read };
            return Went { next: Some(next), wrote: written };
        }
        let before = desk;
        for image in bits(images) {
            if self.has(Bug::TakenOffUnseen) || desk.leases[image] == read[image] {
                desk.leases[image] = None;
            }
        }
        if desk == before {
            return OVER;
        }
        desk.rev += 1;
        if s.tables.put_desk(o, desk) {
            return WROTE_LAST;
        }
        on(Process::Return { operator, todo, images, desk: s.tables.desks[o], read })
    }

    fn pause(&self, s: &mut State, operator: u8, stage: PauseStage, fate: Fate) -> Went {
        let o = usize::from(operator);
        let at = |stage| Process::Pause { operator, stage };
        let behind = self.has(Bug::PauseFromBehind);
        let went = match stage {
            PauseStage::Standing => {
                let changed = !std::mem::replace(&mut s.tables.paused[o], true);
                Went { next: (!behind).then_some(at(PauseStage::Read)), wrote: changed }
            }
            PauseStage::Read => {
                let desk = s.tables.desks[o];
                let todo = bits_where(|image| desk.leases[image].is_some());
                let none = behind.then_some(at(PauseStage::Standing));
                let next = if desk.rev > 0 { Some(at(PauseStage::Empty { desk, todo, done: 0 })) } else { none };
                Went { next, wrote: false }
            }
            PauseStage::Empty { desk, todo, done } => {
                if let Some(image) = bits(todo).next() {
                    let written = s.tables.give_back(&self.kit, image, o);
                    let (todo, done) = (todo & !(1 << image), done | 1 << image);
                    return Went { next: Some(at(PauseStage::Empty { desk, todo, done })), wrote: written };
                }
                if s.tables.put_desk(o, DeskRow { rev: desk.rev + 1, leases: [None; IMAGES] }) {
                    Went { next: behind.then_some(at(PauseStage::Standing)), wrote: true }
                } else {
                    let desk = s.tables.desks[o];
                    let todo = bits_where(|image| desk.leases[image].is_some());
                    let todo = if self.has(Bug::GivenBackOnce) { todo & !done } else { todo };
                    on(at(PauseStage::Empty { desk, todo, done }))
                }
            }
        };
        if went.next.is_none() && fate == Fate::Done {
            s.ghost.paused |= 1 << operator;
        }
        went
    }

    fn seal(&self, s: &mut State, mut task: crate::records::TaskRow, after: Option<crate::records::TaskRow>) -> Went {
        let look = (!self.has(Bug::SealDoesNotLook))
            .then_some(Process::Advance { heard: false, stage: AdvanceStage::Task });
        let Some(after) = after else {
            let before = task;
            let counts = s.tables.tally.counts();
            let images = u64::from(self.world.images);
            return match self.kit.change_task(&mut task, |task| task.seal(images, &counts, moment(1))) {
                Err(_) => OVER,
                Ok(false) => Went { next: look, wrote: false },
                Ok(true) => on(Process::Seal { task: before, after: Some(task) }),
            };
        };
        if s.tables.replace_task(after) {
            return Went { next: look, wrote: true };
        }
        on(Process::Seal { task: s.tables.task, after: None })
    }

    fn advance(&self, s: &mut State, heard: bool, stage: AdvanceStage) -> Went {
        let at = |stage| Process::Advance { heard, stage };
        match stage {
            AdvanceStage::Task => {
                let task = s.tables.task;
                if task.images.is_none() || task.state.is_final() {
                    return OVER;
                }
                on(at(AdvanceStage::Counts(task)))
            }
            AdvanceStage::Counts(mut task) => {
                let mut counts = s.tables.tally.counts();
                if self.has(Bug::CompleteTooEarly) && counts.checked() > 0 {
                    counts.rejected = u64::from(self.world.images);
                }
                if self.kit.change_task(&mut task, |task| task.complete(&counts, moment(1))) {
                    on(at(AdvanceStage::Write(task)))
                } else {
                    OVER
                }
            }
            AdvanceStage::Write(mut task) => {
                if self.has(Bug::CompleteUnconditional) {
                    task.rev = s.tables.task.rev + 1;
                }
                if s.tables.replace_task(task) { WROTE_LAST } else { on(at(AdvanceStage::Task)) }
            }
        }
    }

    fn sweep(&self, s: &mut State, stage: SweepStage) -> Went {
        let look = Process::Advance { heard: false, stage: AdvanceStage::Task };
        match stage {
            SweepStage::Counts => {
                let undecided = s.tables.tally.counts().undecided() > 0;
                on(if undecided { Process::Sweep { stage: SweepStage::Pool } } else { look })
            }
            SweepStage::Pool => {
                let closings = s.tables.rows.map(|row| Closing::of(&self.kit, &row?));
                let any = closings.iter().any(Option::is_some);
                on(if any { Process::Sweep { stage: SweepStage::Close(closings) } } else { look })
            }
            SweepStage::Close(mut closings) => {
                let mut written = false;
                if let Some(image) = (0..IMAGES).find(|image| closings[*image].is_some())
                    && let Some(closing) = closings[image].take()
                {
                    written = self.close(s, image, &closing);
                }
                let any = closings.iter().any(Option::is_some);
                let next = if any { Process::Sweep { stage: SweepStage::Close(closings) } } else { look };
                Went { next: Some(next), wrote: written }
            }
        }
    }

    /// An event is published, and the queue of decisions gets it.
    fn announce(&self, s: &mut State, news: News) {
        let known = match news.image {
            Some(image) => {
                s.heard += 1;
                let image = usize::from(image);
                if !s.tables.rows[image].is_some_and(|row| row.state.is_final()) {
                    s.ghost.wrong.add(Wrong::Untrue);
                }
                &mut s.ghost.announced[image]
            }
            None => {
                if !s.tables.task.state.is_final() {
                    s.ghost.wrong.add(Wrong::Untrue);
                }
                &mut s.ghost.task_announced
            }
        };
        if known.replace(news.rev).is_some_and(|rev| rev != news.rev) {
            s.ghost.wrong.add(Wrong::TwoIds);
        }
    }

    /// What a step has changed goes into the stream, and to those who look on.
    fn note(&self, before: &Tables, s: &mut State, kept_quiet: bool) {
        for image in self.all_images() {
            let (old, new) = (before.rows[image], s.tables.rows[image]);
            let Some(row) = new.filter(|_| old != new) else { continue };
            if self.world.budget.stale > 0 && s.left.stale > 0 {
                s.old[image] = old;
            }
            let said = |row: &crate::records::Row| (row.state, row.votes, row.outcome);
            if old.is_some_and(|old| old.state.is_final() && said(&old) != said(&row)) {
                s.ghost.wrong.add(Wrong::Redecided);
            }
            if let Some(event) = self.kit.event(image, old.map(|old| old.state), &row) {
                s.ghost.decided[image] += 1;
                if !kept_quiet {
                    s.stream.push(News { image: Some(image as u8), rev: number(event.id()) });
                }
            }
        }
        if s.left.stale == 0 {
            s.old = [None; IMAGES];
        }
        let (old, new) = (before.task, s.tables.task);
        if old != new {
            if old.state.is_final() {
                s.ghost.wrong.add(Wrong::Revived);
            }
            if new.state.is_final() {
                s.ghost.ended += 1;
            }
            if new.state == TaskState::Complete {
                let done = s.tables.rows.iter().flatten().filter(|row| row.state.is_final()).count();
                if new.images.is_none_or(|images| done < usize::from(images)) {
                    s.ghost.wrong.add(Wrong::TooEarly);
                }
            }
            if let Some(event) = self.kit.task_event(old.state, &new) {
                s.stream.push(News { image: None, rev: number(event.id()) });
            }
        }
    }

    /// Whether nothing is left to be done.
    pub fn is_settled(&self, s: &State) -> bool {
        let t = &s.tables;
        let announced = s.stream.is_empty()
            && self.all_images().all(|image| {
                !t.rows[image].is_some_and(|row| row.state.is_final()) || s.ghost.announced[image].is_some()
            })
            && (!t.task.state.is_final() || s.ghost.task_announced.is_some());
        if !announced || t.task.state == TaskState::Cancelled {
            return announced;
        }
        let may_vote = |row: &crate::records::Row| {
            (0..self.world.operators).any(|operator| {
                let o = usize::from(operator);
                s.home >> operator & 1 == 0 && !t.paused[o] && row.votes[o].is_none()
            })
        };
        let mut finals = 0;
        for image in 0..usize::from(s.sent) {
            let Some(row) = t.rows[image] else { return false };
            if row.state.is_final() {
                finals += 1;
            } else if row.state != SubtaskState::Open || Closing::of(&self.kit, &row).is_some() || may_vote(&row) {
                return false;
            }
        }
        t.task.state == TaskState::Complete || t.task.images.is_none_or(|images| finals < images)
    }

    /// Whether nothing can happen any more, in all the days that are left.
    pub fn is_over(&self, s: &State) -> bool {
        s.processes.is_empty() && self.steps(s).is_empty() && (s.left.days == 0 || self.is_settled(s))
    }
}

enum Kept {
    Stored,
    Unchanged,
    Changed,
}

/// The number at the end of an event's id.
fn number(id: &str) -> u8 {
    id.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(u8::MAX)
}

fn bits_where(holds: impl Fn(usize) -> bool) -> u8 {
    (0..IMAGES).filter(|image| holds(*image)).map(|image| 1 << image).sum()
}

/// What is to be closed after a try: nothing if it was closed, else what the record is now. It is read at once,
/// since a write that fails could as well have failed a moment later.
fn again(closed: bool, kit: &Kit, s: &State, image: usize) -> Option<Closing> {
    s.tables.rows[image].filter(|_| !closed).and_then(|row| Closing::of(kit, &row))
}

fn sit_down(s: &State, c: &mut Claim) {
    c.desk = s.tables.desks[usize::from(c.operator)];
    c.read = c.desk.leases;
    c.is_new = c.desk.rev == 0;
    c.stage = ClaimStage::Look;
}

/// What a claim will not look at again does not tell two claims apart.
fn tidy(mut c: Claim) -> Claim {
    for image in 0..IMAGES {
        if c.handed >> image & 1 == 0 {
            c.untils[image] = 0;
        }
    }
    if matches!(c.stage, ClaimStage::Lease | ClaimStage::Close | ClaimStage::Keep) {
        for image in 0..IMAGES {
            if c.gone >> image & 1 == 0 {
                c.read[image] = None;
            }
        }
    }
    if matches!(c.stage, ClaimStage::Standing) {
        c.desk = DeskRow::default();
        c.read = [None; IMAGES];
        c.tries = 0;
        c.gone = 0;
    }
    c
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
