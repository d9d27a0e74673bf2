//! Quiet moments, and the end of a run.

use std::{collections::BTreeMap, time::Duration};

use lambel_core::{
    AuditEntry, LabelIndex, Task, TaskId, Timestamp,
    api::{PageQuery, SubmittedVote},
};
use lambel_service::{
    ports::{Clock, Desks, Store, Trail},
    survey::Surveyor,
};

use super::people::{everyone, operator_id};
use crate::{
    model::Check,
    sim::{Sim, WILLING},
};

impl Sim {
    pub(super) fn finish_running(&mut self) -> Check {
        while !self.running.is_empty() {
            self.poll_something()?;
        }
        Ok(())
    }

    /// Lets everything arrive that waits. Faults go on for a while, then they stop.
    pub(super) fn settle(&mut self) -> Check {
        self.finish_running()?;
        let mut rounds = 0;
        let mut swept = false;
        loop {
            if rounds == 60 {
                self.faults.set(false);
                self.deadly = 0;
            }
            rounds += 1;
            if rounds > 2_000 {
                return Err("deliveries never come to an end".to_owned().into());
            }
            if rounds % 8 == 0 {
                self.release();
                self.drain()?;
            }
            let begun = [
                self.deliver_uploads(),
                self.deliver_new_subtasks(),
                self.deliver_changes(),
                self.deliver_events(),
                self.deliver_estimates(),
            ];
            self.finish_running()?;
            if rounds % 60 == 0 {
                self.give_up_batches();
            }
            if begun.iter().any(Option::is_some) {
                continue;
            }
            self.faults.set(false);
            self.deadly = 0;
            self.release();
            self.drain()?;
            let waiting = self.to_validate.len()
                + self.to_open.len()
                + self.to_publish.len()
                + self.to_hear.len()
                + self.to_finish.len();
            if waiting == 0 && swept {
                return Ok(());
            }
            if waiting == 0 {
                // Closes and completes what was stopped in the middle; once, and what follows from it.
                self.sweep();
                self.finish_running()?;
                self.give_up_batches();
                self.look();
                self.finish_running()?;
                swept = true;
            }
        }
    }

    /// Waits until batches that were stopped in the middle are given up.
    fn give_up_batches(&mut self) {
        let tasks: Vec<TaskId> = self.model.tasks.keys().copied().collect();
        let begun = tasks.into_iter().any(|task| {
            let mark = self.now(self.memory.skill_mark(task)).unwrap();
            mark.begun > Timestamp::default()
        });
        if begun {
            self.clock.pass(Duration::from_secs(17 * 60));
        }
    }

    pub(super) fn quiet(&mut self) -> Check {
        let deadly = self.deadly;
        self.settle()?;
        self.check()?;
        self.faults.set(true);
        self.deadly = deadly;
        Ok(())
    }

    pub(super) fn check(&mut self) -> Check {
        let now = self.clock.now();
        let tasks: Vec<Task> = self.model.tasks.values().cloned().collect();
        let mut stored = BTreeMap::new();
        for task in &tasks {
            stored.extend(self.memory.all_subtasks(task.id).into_iter().map(|s| ((s.task, s.image), s)));
            let trail = self.trail(&Trail::Task(task.id));
            self.model.check_trail(task.id, &trail)?;
        }
        self.check_counts()?;
        self.model.check_quiet(&stored, now)?;
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        for operator in 0..self.options.operators {
            let who = operator_id(operator);
            let Desks { standing, desks } = self.now(self.memory.desks(&ids, &who)).unwrap();
            let trail = self.trail(&Trail::Operator(who.clone()));
            self.model.check_standing(&who, standing.is_paused(), &trail)?;
            for (_, desk) in desks {
                let live = desk.leases.values().filter(|until| **until > now).count();
                if live > 100 {
                    return Err(format!("{who} has {live} live leases in one task").into());
                }
                // The record may list what was taken back in the meantime, by a claim that had read it before. What is
                // held is what the subtask says.
                let held = desk.leases.keys().filter(|image| self.model.holds(&who, desk.task, **image, now)).count();
                if held > 0 && self.model.must_hold_nothing(&who) {
                    return Err(format!("{who} is paused, and holds {held} leases").into());
                }
            }
        }
        Ok(())
    }

    /// Transactions happen at once here, so there is none in flight between two steps.
    pub(super) fn check_counts(&mut self) -> Check {
        let tasks: Vec<Task> = self.model.tasks.values().cloned().collect();
        for task in tasks {
            let counts = self.now(self.plain.counts(&task)).unwrap();
            self.model.check_counts(task.id, &counts)?;
        }
        Ok(())
    }

    pub(super) fn trail(&self, trail: &Trail) -> Vec<AuditEntry> {
        let rows = self.now(self.memory.audit(trail, None, 10_000)).unwrap();
        rows.into_iter().map(|(_, entry)| entry).collect()
    }

    /// No more faults: whatever goes on must come to its end by willing operators.
    pub(super) fn finish(&mut self) -> Check {
        self.faults.set(false);
        self.deadly = 0;
        let goes_on = |sim: &Self| -> Vec<Task> {
            sim.model.tasks.values().filter(|task| !task.state.is_final()).cloned().collect()
        };
        for task in goes_on(self) {
            self.open_to(&task, everyone());
            self.finish_running()?;
            let records = self.model.records.keys().filter(|(of, _)| *of == task.id).count() as u64;
            match records {
                0 => self.cancel(&task),
                records => self.seal_with(&task, records),
            };
            self.finish_running()?;
        }
        // Leases that were forgotten end.
        self.clock.pass(Duration::from_secs(4_000));
        for _ in 0..40 {
            self.settle()?;
            let tasks = goes_on(self);
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                self.review_all(&task)?;
                for willing in self.options.operators..self.options.operators + WILLING {
                    if self.model.tasks[&task.id].state.is_final() {
                        break;
                    }
                    self.claim(willing, Some(task.id), 100);
                    self.finish_running()?;
                    let hand = std::mem::take(&mut self.people[willing].hand);
                    let votes: Vec<_> = hand
                        .into_iter()
                        .map(|(task, image)| {
                            let labels = &self.model.tasks[&task].labels;
                            let label = labels.get(LabelIndex(Self::truth(&image, labels.len())));
                            let label = label.map(|label| label.as_str().to_owned());
                            SubmittedVote { task, image, label, abstain: None, elapsed_ms: None }
                        })
                        .collect();
                    for some in votes.chunks(100) {
                        self.send_votes(willing, some.to_vec());
                        self.finish_running()?;
                    }
                }
            }
            self.clock.pass(Duration::from_secs(5));
        }
        self.check()?;
        match goes_on(self).first() {
            Some(task) => Err(format!("task {} never came to its end: {:?}", task.id, task.state).into()),
            None => {
                self.survey()?;
                self.check_results()
            }
        }
    }

    /// What an owner would ask in the end: a recount of everything by the service's own means finds nothing amiss.
    fn survey(&mut self) -> Check {
        let surveyor = Surveyor::new(self.plain.clone(), self.uploads.clone(), self.clock.clone());
        let tasks: Vec<TaskId> = self.model.tasks.keys().copied().collect();
        for task in tasks {
            let report = self.now(surveyor.survey(task)).map_err(|error| error.to_string())?;
            if report.found > 0 {
                return Err(format!("a survey of task {task} finds {:?}", report.findings).into());
            }
        }
        Ok(())
    }

    /// What the clients read in the end: each name that was granted, with the image that it was granted for.
    pub(super) fn check_results(&mut self) -> Check {
        for task in self.model.tasks.values() {
            let mut rows = BTreeMap::new();
            let mut query = PageQuery { cursor: None, limit: Some(7) };
            loop {
                let page = self.now(self.tasks.results(&Self::owner(task), task.id, &query)).map_err(|e| e.to_string());
                let page = page?;
                for row in page.rows {
                    if rows.insert(row.name.clone(), row.image).is_some() {
                        return Err(format!("{}: `{}` is twice in the results", task.id, row.name).into());
                    }
                }
                match page.next {
                    Some(next) => query.cursor = Some(next),
                    None => break,
                }
            }
            let granted = self.model.names.iter().filter(|((of, _), _)| *of == task.id);
            for ((_, name), image) in granted {
                if rows.get(name) != Some(image) {
                    return Err(format!("{}: `{name}` is not in the results as it was granted", task.id).into());
                }
            }
        }
        Ok(())
    }
}
