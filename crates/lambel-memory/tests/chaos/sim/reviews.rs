//! Clients who decide what is disputed.

use lambel_core::{
    ImageId, LabelIndex, OnDispute, SubtaskState, Task,
    api::{ReviewFields, ReviewImages},
    limits,
};

use super::{
    calls::{Call, Done},
    people::short,
};
use crate::{model::Check, sim::Sim};

impl Sim {
    fn disputed(&self, task: &Task) -> Vec<ImageId> {
        let of_task = self.model.records.values().filter(|record| record.task == task.id);
        of_task.filter(|record| record.state == SubtaskState::Disputed).map(|record| record.image).collect()
    }

    pub(super) fn review(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let disputed = self.disputed(&task);
        let mut reviews = Vec::new();
        for _ in 0..=self.chance.below(3) {
            let image = match self.chance.below(8) {
                // Sometimes one that is not disputed, or is not any more.
                0 => self.model.records.values().find(|record| record.task == task.id).map(|record| record.image),
                _ => self.chance.pick(&disputed).copied(),
            };
            let Some(image) = image else { continue };
            let label = task.labels.get(LabelIndex(self.chance.below(task.labels.len()) as u16));
            let label = label.map(|label| label.as_str().to_owned()).filter(|_| self.chance.below(3) > 0);
            let keep = label.is_none();
            reviews.push(ReviewFields { image: Some(image), name: None, label, keep });
        }
        self.send_reviews(&task, reviews)
    }

    /// Decides everything that the end of a task waits for.
    pub(super) fn review_all(&mut self, task: &Task) -> Check {
        if task.policy.disputed != OnDispute::Review {
            return Ok(());
        }
        for some in self.disputed(task).chunks(limits::REVIEWS_PER_REQUEST) {
            let fields = |image: &ImageId| {
                let label = task.labels.get(LabelIndex(Self::truth(image, task.labels.len())));
                let label = label.map(|label| label.as_str().to_owned());
                ReviewFields { image: Some(*image), label, ..ReviewFields::default() }
            };
            self.send_reviews(task, some.iter().map(fields).collect());
            self.finish_running()?;
        }
        Ok(())
    }

    fn send_reviews(&mut self, task: &Task, reviews: Vec<ReviewFields>) -> Option<()> {
        (!reviews.is_empty()).then_some(())?;
        let what: Vec<_> = reviews.iter().filter_map(|fields| fields.image.as_ref().map(short)).collect();
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let job = async move { Done::Review(tasks.review(&caller, id, &ReviewImages { reviews }).await) };
        self.begin(Call::Review { task: id }, job, format_args!("{id} {}", what.join(" ")));
        Some(())
    }
}
