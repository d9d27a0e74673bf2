//! What comes by queues, topics, streams and schedules: in any order, late, and sometimes again.

use std::time::{Duration, Instant};

use lambel_memory::faults::Chance;
use lambel_service::{open::Opener, ports::SharedMessages, sweep::Sweeper, validate::Validator};

use super::{
    calls::{Call, Done},
    people::short,
};
use crate::sim::Sim;

impl Sim {
    /// Takes some of what waits, in any order. What was taken may stay there too: it is delivered again.
    pub(super) fn take<T: Clone>(chance: &mut Chance, bag: &mut Vec<T>, most: usize, again: u32) -> Vec<T> {
        let mut taken = Vec::new();
        for _ in 0..=chance.below(most) {
            if bag.is_empty() {
                break;
            }
            let place = chance.below(bag.len());
            taken.push(if chance.happens(again) { bag[place].clone() } else { bag.swap_remove(place) });
        }
        taken
    }

    pub(super) fn again(&self) -> u32 {
        [0, 20, 60, 150][self.options.trouble.min(3) as usize] * u32::from(self.deadly > 0)
    }

    pub(super) fn deliver_uploads(&mut self) -> Option<()> {
        let again = self.again();
        let most = if self.options.images > 100 { 100 } else { 10 };
        let keys = Self::take(&mut self.chance, &mut self.to_validate, most, again);
        (!keys.is_empty()).then_some(())?;
        let messages: SharedMessages = self.late.clone();
        let validator = Validator::new(self.store.clone(), self.objects.clone(), messages, self.clock.clone());
        let given = keys.clone();
        let job = async move { Done::Deliver(validator.validate(&given).await, true) };
        let what = keys.iter().map(|key| short(&key.image)).collect::<Vec<_>>().join(" ");
        self.begin(Call::Validate { keys }, job, format_args!("{what}"));
        Some(())
    }

    pub(super) fn deliver_new_subtasks(&mut self) -> Option<()> {
        let again = self.again();
        let message = Self::take(&mut self.chance, &mut self.to_open, 1, again).pop()?;
        let body = serde_json::to_string(&message).unwrap();
        let opener = Opener::new(self.store.clone(), self.objects.clone(), self.clock.clone());
        let job = async move {
            let deadline = Instant::now() + Duration::from_secs(3_600);
            Done::Deliver(Vec::new(), opener.open(&body, deadline).await.is_ok())
        };
        let what = message.images.iter().map(short).collect::<Vec<_>>().join(" ");
        self.begin(Call::Open { message }, job, format_args!("{what}"));
        Some(())
    }

    pub(super) fn deliver_changes(&mut self) -> Option<()> {
        let again = self.again();
        let changes = Self::take(&mut self.chance, &mut self.to_publish, 12, again);
        (!changes.is_empty()).then_some(())?;
        let (publisher, given) = (self.publisher.clone(), changes.clone());
        let job = async move { Done::Deliver(Vec::new(), publisher.publish(&given).await.is_ok()) };
        let count = changes.len();
        self.begin(Call::Publish { changes }, job, format_args!("{count} changes"));
        Some(())
    }

    pub(super) fn deliver_events(&mut self) -> Option<()> {
        let again = self.again();
        let bodies = Self::take(&mut self.chance, &mut self.to_hear, 12, again);
        (!bodies.is_empty()).then_some(())?;
        let (progress, given) = (self.progress.clone(), bodies.clone());
        let job = async move {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            Done::Hear(progress.hear(&given).await)
        };
        let count = bodies.len();
        self.begin(Call::Hear { bodies }, job, format_args!("{count} events"));
        Some(())
    }

    pub(super) fn deliver_estimates(&mut self) -> Option<()> {
        let again = self.again();
        let bodies = Self::take(&mut self.chance, &mut self.to_finish, 1, again);
        (!bodies.is_empty()).then_some(())?;
        let (estimator, given) = (self.estimator.clone(), bodies.clone());
        let job = async move {
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            Done::Hear(estimator.hear(&given).await)
        };
        let what = bodies.join(" ");
        self.begin(Call::Finish { bodies }, job, format_args!("{what}"));
        Some(())
    }

    /// The schedule of the batches.
    pub(super) fn look(&mut self) -> Option<()> {
        let estimator = self.estimator.clone();
        let job = async move {
            let deadline = Instant::now() + Duration::from_secs(3_600);
            Done::Deliver(Vec::new(), estimator.run(deadline).await.is_ok())
        };
        self.begin(Call::Look, job, format_args!(""));
        Some(())
    }

    pub(super) fn sweep(&mut self) -> Option<()> {
        let messages: SharedMessages = self.late.clone();
        let sweeper = Sweeper::new(self.store.clone(), self.objects.clone(), messages, self.clock.clone());
        let job = async move {
            let deadline = Instant::now() + Duration::from_secs(3_600);
            Done::Deliver(Vec::new(), sweeper.sweep(deadline).await.is_ok())
        };
        self.begin(Call::Sweep, job, format_args!(""));
        Some(())
    }

    pub(super) fn release(&mut self) {
        let late = self.late.clone();
        self.now(async move { late.release().await.is_ok() });
        self.note(format_args!("what was held back arrives"));
    }
}
