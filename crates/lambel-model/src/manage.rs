//! The steps of a pause, a seal, and of whoever looks whether the task is done: `supervise.rs`, `tasks.rs` and
//! `progress.rs` of the service.

use crate::{
    bugs::Bug,
    protocol::{Fate, OVER, Protocol, WROTE_LAST, Went, on},
    records::{DeskRow, IMAGES, TaskRow, moment},
    state::{AdvanceStage, PauseStage, Process, State, SweepStage, bits, bits_where},
    tables::Closing,
};

impl Protocol {
    pub(crate) fn pause(&self, s: &mut State, operator: u8, stage: PauseStage, fate: Fate) -> Went {
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
                // Only tasks that go on are looked into.
                let next = if desk.rev > 0 && !s.tables.task.state.is_final() {
                    Some(at(PauseStage::Empty { desk, todo, done: 0 }))
                } else {
                    none
                };
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

    pub(crate) fn seal(&self, s: &mut State, mut task: TaskRow, after: Option<TaskRow>) -> Went {
        let look =
            (!self.has(Bug::SealDoesNotLook)).then_some(Process::Advance { heard: false, stage: AdvanceStage::Task });
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

    pub(crate) fn advance(&self, s: &mut State, heard: bool, stage: AdvanceStage) -> Went {
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
                let late = heard && self.has(Bug::CountsReadLate);
                let mut counts = if late { s.old_tally.counts() } else { s.tables.tally.counts() };
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

    pub(crate) fn sweep(&self, s: &mut State, stage: SweepStage) -> Went {
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
}
