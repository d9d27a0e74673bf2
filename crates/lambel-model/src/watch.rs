//! What is announced, what is noted for the properties, and when a world has come to its end.

use lambel_core::{SubtaskState, TaskState};

use crate::{
    bugs::Bug,
    protocol::Protocol,
    records::{IMAGES, Row},
    state::{News, State, Wrong},
    tables::{Closing, Tables},
};

impl Protocol {
    /// An event is published, and the queue of decisions gets it.
    pub(crate) fn announce(&self, s: &mut State, news: News) {
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
    pub(crate) fn note(&self, before: &Tables, s: &mut State, kept_quiet: bool) {
        for image in self.all_images() {
            let (old, new) = (before.rows[image], s.tables.rows[image]);
            let Some(row) = new.filter(|_| old != new) else { continue };
            if self.world.budget.stale > 0 && s.left.stale > 0 {
                s.old[image] = old;
            }
            let said = |row: &Row| (row.state, row.votes, row.outcome);
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
        if self.has(Bug::CountsReadLate) && before.tally != s.tables.tally {
            s.old_tally = before.tally;
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
        let may_vote = |row: &Row| {
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

/// The number at the end of an event's id.
fn number(id: &str) -> u8 {
    id.rsplit('/').next().and_then(|number| number.parse().ok()).unwrap_or(u8::MAX)
}
