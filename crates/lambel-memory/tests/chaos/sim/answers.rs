//! What the answer of a call must be, and what follows from it.

use std::fmt::Write as _;

use lambel_core::{
    ImageId, OperatorId, TaskId, TaskState,
    api::{Grant, LeaseRef},
};
use lambel_service::{
    Error,
    error::Comeback,
    operate::Operators,
    ports::{Clock, ObjectKey},
};

use super::{
    calls::{Call, Done, Running},
    people::{operator_id, operator_name, short},
    pictures::PICTURES,
};
use crate::{model::Check, sim::Sim};

impl Sim {
    /// A call has ended, by an answer or by its death.
    pub(super) fn ended(&mut self, running: Running, done: Option<Done>) -> Check {
        if let Call::Claim { operator, .. } = running.call {
            self.people[operator].claim_ended = Some(self.model.step);
        }
        if running.call.counts() {
            self.check_counts()?;
        }
        let Running { number, call, began, .. } = running;
        let now = self.clock.now();
        match (call, done) {
            (Call::Create, Some(Done::Create(Ok(view)))) => {
                let there = self.model.tasks.contains_key(&view.task);
                self.ensure(there, number, "a task was made that is not there")
            }
            (Call::Announce { task, files }, Some(Done::Announce(Ok(grants)))) => {
                for ((name, picture), file) in files.into_iter().zip(grants.files) {
                    let (image, bytes) = &PICTURES[picture];
                    if matches!(file.grant, Grant::Refused { .. }) {
                        continue;
                    }
                    let granted = *self.model.names.entry((task, name)).or_insert(*image);
                    self.ensure(granted == *image, number, "a name was granted for two images")?;
                    if matches!(file.grant, Grant::Upload { .. }) && self.chance.below(10) > 0 {
                        let key = ObjectKey { task, image: *image };
                        self.uploads.upload(key, bytes.clone());
                        self.model.uploaded.insert((task, *image));
                        for _ in 0..=usize::from(self.chance.below(8) == 0) {
                            self.to_validate.push(key);
                        }
                    }
                }
                Ok(())
            }
            (Call::Seal { task, images }, Some(Done::Change(Ok(view)))) => {
                let sealed = self.model.has_deed(task, "task-sealed");
                self.note(format_args!("#{number} sealed: {:?}", view.state));
                self.ensure(sealed, number, "a seal was acknowledged that is not there")?;
                self.ensure(images > 0, number, "a task was sealed with nothing")
            }
            (Call::Cancel { task }, Some(Done::Change(Ok(_)))) => {
                let state = self.model.tasks[&task].state;
                self.ensure(state == TaskState::Cancelled, number, "a cancellation was acknowledged that is not there")
            }
            (Call::Claim { operator, .. }, Some(Done::Claim(Ok(answer)))) => {
                let who = operator_id(operator);
                for handed in &answer.subtasks {
                    let place = (handed.task, handed.image);
                    if !self.people[operator].hand.contains(&place) {
                        self.people[operator].hand.push(place);
                    }
                }
                let what = answer.subtasks.iter().map(|handed| short(&handed.image)).collect::<Vec<_>>().join(" ");
                self.note(format_args!("#{number} {who} is handed {what}"));
                self.model.handed(&who, &answer, began, now)
            }
            (Call::Claim { operator, copy }, failed) => {
                // Who is told that they are paused has given back what they had.
                if !matches!(failed, Some(Done::Claim(Err(Error::Paused)))) {
                    self.model.claim_failed(&operator_id(operator));
                }
                if let Some(Done::Claim(Err(error))) = &failed {
                    self.note(format_args!("#{number} {}: {error}", operator_name(operator)));
                } else {
                    self.copies[copy] = Operators::new(self.store.clone(), self.objects.clone(), self.clock.clone());
                }
                Ok(())
            }
            (Call::Vote { operator, votes, .. }, Some(Done::Vote(Ok(answer)))) => {
                let who = operator_id(operator);
                let paused = self.model.paused_before(&who, began);
                self.ensure(!paused, number, "votes of somebody who is paused were taken")?;
                let mut what = String::new();
                for ((key, given), receipt) in votes.into_iter().zip(&answer.votes) {
                    let _ = write!(what, " {}={:?}", short(&key.1), receipt.outcome);
                    let Some(given) = given else { continue };
                    self.model.heard(&key, given, began, Some((receipt.outcome, receipt.code.as_deref())))?;
                    self.people[operator].hand.retain(|place| *place != (key.0, key.1));
                }
                self.note(format_args!("#{number} {who} hears{what}"));
                Ok(())
            }
            (Call::Vote { operator, copy, votes }, failed) => {
                let refused = matches!(&failed, Some(Done::Vote(Err(Error::Paused))));
                if let Some(Done::Vote(Err(error))) = &failed {
                    self.note(format_args!("#{number} {}: {error}", operator_name(operator)));
                } else {
                    self.copies[copy] = Operators::new(self.store.clone(), self.objects.clone(), self.clock.clone());
                }
                for (key, given) in votes {
                    let Some(given) = given else { continue };
                    let outcome = refused.then_some((lambel_core::api::VoteOutcome::Refused, None));
                    self.model.heard(&key, given, began, outcome)?;
                }
                Ok(())
            }
            (Call::GiveBack { operator, leases }, Some(Done::GiveBack(true))) => {
                let given = |place: &(TaskId, ImageId)| leases.iter().any(|l| (l.task, l.image) == *place);
                self.people[operator].hand.retain(|place| !given(place));
                // A claim at the same time may have taken it again.
                let who = operator_id(operator);
                let claims =
                    |running: &Running| matches!(running.call, Call::Claim { operator: of, .. } if of == operator);
                let claimed = self.people[operator].claim_ended.is_some_and(|ended| ended >= began)
                    || self.running.iter().any(claims);
                let held = |lease: &LeaseRef| {
                    let record = self.model.records.get(&(lease.task, lease.image));
                    record.is_some_and(|record| record.leases.contains_key(&who))
                };
                let gone = claimed || !leases.iter().any(held);
                self.ensure(gone, number, "a lease was given back, and is still there")
            }
            (Call::Review { task }, Some(Done::Review(Ok(receipts)))) => {
                let what: Vec<_> = receipts.reviews.iter().map(|receipt| format!("{:?}", receipt.outcome)).collect();
                self.note(format_args!("#{number} reviewed: {}", what.join(" ")));
                self.model.review_heard(task, &receipts.reviews)
            }
            (Call::Pause { operator }, Some(Done::Pause(Ok(())))) => {
                let who = operator_id(operator);
                // A resumption that ran beside it has begun after `began`, or is still under way.
                let doubt = self.resumed_since(began, &who);
                self.model.pause_acknowledged(&who, began, doubt);
                self.note(format_args!("#{number} {who} is paused{}", if doubt { ", perhaps" } else { "" }));
                Ok(())
            }
            (Call::Resume { operator }, _) => {
                self.resumed.insert(operator_id(operator), self.model.step);
                Ok(())
            }
            (Call::Validate { keys }, done) => {
                match done {
                    Some(Done::Deliver(failed, _)) => {
                        let known = failed.iter().all(|key| keys.contains(key));
                        self.to_validate.extend(failed);
                        self.ensure(known, number, "an upload comes back that was not delivered")?;
                    }
                    _ => self.to_validate.extend(keys),
                }
                Ok(())
            }
            (Call::Open { message }, done) => {
                if !matches!(done, Some(Done::Deliver(_, true))) {
                    self.to_open.push(message);
                }
                Ok(())
            }
            (Call::Publish { changes }, done) => {
                if !matches!(done, Some(Done::Deliver(_, true))) {
                    self.to_publish.extend(changes);
                }
                Ok(())
            }
            (Call::Hear { bodies }, done) => {
                match done {
                    Some(Done::Hear(back)) => {
                        for (place, comeback) in back {
                            self.ensure(comeback == Comeback::Later, number, "an event could not be read")?;
                            self.to_hear.push(bodies[place].clone());
                        }
                    }
                    _ => self.to_hear.extend(bodies),
                }
                Ok(())
            }
            (Call::Finish { bodies }, done) => {
                match done {
                    Some(Done::Hear(back)) => {
                        for (place, comeback) in back {
                            self.ensure(comeback == Comeback::Later, number, "a message could not be read")?;
                            self.to_finish.push(bodies[place].clone());
                        }
                    }
                    _ => self.to_finish.extend(bodies),
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether somebody was letting an operator work again at some time since a step.
    pub(super) fn resumed_since(&self, step: u64, who: &OperatorId) -> bool {
        self.resumed.get(who).is_some_and(|resumed| *resumed >= step)
            || self
                .running
                .iter()
                .any(|running| matches!(&running.call, Call::Resume { operator } if operator_id(*operator) == *who))
    }

    pub(super) fn ensure(&self, holds: bool, number: u32, what: &str) -> Check {
        if holds { Ok(()) } else { Err(format!("#{number}: {what}").into()) }
    }
}
