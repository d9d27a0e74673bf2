//! An operator's walk through the pool of a task.

use lambel_core::{
    ImageId, Shards, Task,
    ring::{Stretch, next_place},
};

/// Stretches of the ring that one claim looks into. The walk goes on from there with the next claim.
const STRETCHES_PER_CLAIM: usize = 20;

/// One round through the ring, from the operator's place, a stretch at a time.
pub(crate) struct Walk {
    shards: Shards,
    stretches: Box<dyn Iterator<Item = Stretch> + Send>,
    current: Option<Stretch>,
    looked_into: usize,
    /// Whether the whole round is done.
    pub(crate) came_round: bool,
    /// Where the next claim goes on.
    pub(crate) place: ImageId,
    /// Where the walk has looked up to.
    looked: ImageId,
}

impl Walk {
    pub(crate) fn new(task: &Task, place: ImageId) -> Self {
        let stretches = Box::new(task.shards.round(&place));
        Self { shards: task.shards, stretches, current: None, looked_into: 0, came_round: false, place, looked: place }
    }

    /// The stretch to look into next.
    pub(crate) fn next(&mut self) -> Option<Stretch> {
        if self.looked_into >= STRETCHES_PER_CLAIM {
            return None;
        }
        if self.current.is_none() {
            self.current = self.stretches.next();
            self.came_round = self.current.is_none();
        }
        self.looked_into += usize::from(self.current.is_some());
        self.current
    }

    /// Candidates up to this one were found; there may be more behind it.
    pub(crate) fn looked_up_to(&mut self, image: &ImageId) {
        self.looked = next_place(image);
        let wrapped = self.looked == ImageId::MIN;
        match &mut self.current {
            Some(stretch) if !wrapped => stretch.from = self.looked,
            _ => self.current = None,
        }
    }

    /// Nothing more in the current stretch.
    pub(crate) fn exhausted(&mut self) {
        if let Some(Stretch { shard, before, .. }) = self.current.take() {
            let next_shard = (shard + 1) % self.shards.count();
            self.looked = before.unwrap_or_else(|| self.shards.first_place(next_shard));
        }
    }

    /// The current stretch is known to be empty: it cost nothing.
    pub(crate) fn skipped(&mut self) {
        self.looked_into -= 1;
        self.exhausted();
    }

    /// The candidates up to this one are dealt with.
    pub(crate) fn pass(&mut self, image: &ImageId) {
        self.place = next_place(image);
    }

    /// All that was found is dealt with.
    pub(crate) fn pass_all(&mut self) {
        self.place = self.looked;
    }

    pub(crate) fn ended(&self) -> bool {
        self.came_round || self.looked_into >= STRETCHES_PER_CLAIM
    }
}
