//! The steps of the validator and the opener, in the order of `validate.rs` and `open.rs` of the service.

use lambel_core::SubtaskState;

use crate::{
    bugs::Bug,
    protocol::{OVER, Protocol, WROTE_LAST, Went},
    state::{Process, State, ValidateStage, bits},
};

impl Protocol {
    pub(crate) fn validate(&self, s: &mut State, images: u8, stage: ValidateStage) -> Went {
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
            ValidateStage::Send(good) => {
                s.fresh[usize::from(good)] += 1;
                WROTE_LAST
            }
        }
    }

    pub(crate) fn open(&self, s: &mut State, images: u8, waiting: u8) -> Went {
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
}
