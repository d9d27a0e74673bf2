//! Random schedules under faults: nothing is lost and nothing counted twice, whatever fails.
//!
//! `docs/reliability.md` says what is injected, what is checked, and how to run more of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod flaws;
mod model;
mod sim;

use flaws::Flaw;
use sim::{Options, Tally, run, try_run};

/// Runs of `cargo test`: together more than 100,000 operations.
const SEEDS: u64 = 250;

#[test]
fn nothing_is_lost_and_nothing_counted_twice() {
    let seeds = std::env::var("LAMBEL_SEEDS").ok().map_or(SEEDS, |text| text.parse().unwrap());
    let first = std::env::var("LAMBEL_FIRST_SEED").ok().map_or(0, |text| text.parse().unwrap());
    let mut all = Tally::default();
    for seed in first..first + seeds {
        all.add(&run(Options::of(seed)));
    }
    println!("{all}");
    assert!(seeds < SEEDS || all.operations() >= 100_000, "{} operations are too few", all.operations());
}

#[test]
fn the_same_seed_plays_the_same_run() {
    for seed in 0..6 {
        let [first, second] = [(), ()].map(|()| run(Options::of(seed)));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(first.faults, second.faults, "seed {seed}");
    }
}

#[test]
fn each_flaw_is_found() {
    for flaw in Flaw::ALL {
        let found = (0..60).find_map(|seed| try_run(&Options { flaw: Some(flaw), ..Options::of(seed) }).err());
        let found = found.unwrap_or_else(|| panic!("{flaw:?} was not found"));
        println!("{flaw:?}: seed {}, call {}: {}", found.options.seed, found.ops, found.what);
    }
}
