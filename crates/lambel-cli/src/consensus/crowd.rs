//! The crowd of a play: votes in a new order, and random clickers among those who cast them.

use lambel_core::{LabelIndex, consensus::Ballot};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::read::Votes;

/// One order of the votes of a file.
pub(super) struct Crowd {
    /// How many labels there are, *K*.
    pub(super) labels: usize,
    /// How many operators there are, with the random clickers.
    pub(super) operators: usize,
    /// The votes of each image, in the order in which they are cast.
    pub(super) votes: Vec<Vec<Ballot>>,
    /// What else chance has to decide.
    pub(super) chance: StdRng,
}

impl Crowd {
    /// Shuffles the votes of a file. Random clickers come on top: `share` of the number of annotators, each with
    /// as many votes as an annotator has in the mean, on images drawn at random, with labels drawn at random.
    pub(super) fn new(votes: &Votes, share: f64, seed: u64) -> Self {
        let table = &votes.table;
        let (images, labels, annotators) = (table.images(), table.labels(), table.operators());
        let mut chance = StdRng::seed_from_u64(seed);
        let mut by_image: Vec<Vec<Ballot>> = table.iter().map(<[Ballot]>::to_vec).collect();
        let clickers = (share * annotators as f64).round() as usize;
        let each = (table.votes() as f64 / annotators.max(1) as f64).round() as usize;
        let mut places: Vec<usize> = (0..images).collect();
        for clicker in 0..clickers {
            let operator = (annotators + clicker) as u32;
            let (chosen, _) = places.partial_shuffle(&mut chance, each.min(images));
            for image in chosen {
                let label = LabelIndex(chance.random_range(0..labels) as u16);
                by_image[*image].push(Ballot { operator, label });
            }
        }
        by_image.iter_mut().for_each(|votes| votes.shuffle(&mut chance));
        Self { labels, operators: annotators + clickers, votes: by_image, chance }
    }
}
