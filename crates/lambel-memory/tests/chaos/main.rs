//! Random schedules under faults: nothing is lost and nothing counted twice, whatever fails.
//!
//! `docs/reliability.md` says what is varied, what is checked, and how to run more of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod flaws;
mod model;
mod regressions;
mod run;
mod sim;

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use flaws::Flaw;
use run::{Options, Tally, run, shrink, try_run};

/// Runs of `cargo test`: together far more than 100,000 operations.
const SEEDS: u64 = 500;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_lost_and_nothing_counted_twice() {
    for options in regressions::all() {
        run(options);
    }
    let first = number("LAMBEL_FIRST_SEED", 0);
    let seeds = number("LAMBEL_SEEDS", SEEDS);
    let next = AtomicU64::new(first);
    let all = Mutex::new((Tally::default(), Vec::new()));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    let outcome = try_run(&Options::of(seed));
                    let (tally, failures) = &mut *all.lock().unwrap();
                    match outcome {
                        Ok(more) => tally.add(&more),
                        Err(failure) => {
                            tally.add(&failure.tally);
                            println!("seed {seed}: {}", failure.what.text);
                            failures.push(failure);
                        }
                    }
                }
            });
        }
    });
    let (tally, mut failures) = all.into_inner().unwrap();
    println!("{tally}");
    failures.sort_by_key(|failure| failure.options.seed);
    if let Some(failure) = failures.into_iter().next() {
        panic!("{}", shrink(failure));
    }
    assert!(seeds < SEEDS || tally.operations() >= 100_000, "{} operations are too few", tally.operations());
}

#[test]
fn the_same_seed_plays_the_same_run() {
    for seed in 0..12 {
        let [first, second] = [(), ()].map(|()| run(Options::of(seed)));
        assert_eq!(first.fingerprint, second.fingerprint, "seed {seed}");
        assert_eq!(first.faults, second.faults, "seed {seed}");
    }
}

/// Runs that it may take to find a flaw.
const FEW: u64 = 60;

/// A flaw is found within few runs, and what is found says what is wrong.
fn finds(flaw: Flaw, words: &str) {
    for seed in 0..FEW {
        let Err(failure) = try_run(&Options { flaw: Some(flaw), ..Options::of(seed) }) else { continue };
        println!("{flaw:?}: seed {seed}, call {}: {}", failure.ops, failure.what.text);
        if failure.what.text.contains(words) {
            return;
        }
    }
    panic!("in {FEW} runs nobody has said of {flaw:?} that \"{words}\"");
}

/// One test for each flaw, with what the checks must say of it.
macro_rules! flaws_are_found {
    ($($name:ident: $flaw:ident says $words:literal;)+) => {
        $(#[test]
        fn $name() {
            finds(Flaw::$flaw, $words);
        })+

        #[test]
        fn every_flaw_has_its_test() {
            assert_eq!(Flaw::ALL, [$(Flaw::$flaw),+]);
        }
    };
}

flaws_are_found! {
    leases_without_a_condition_are_found: LeaseWithoutCondition says "live leases, and only";
    redeliveries_that_count_again_are_found: CountsRedeliveries says "counted Counts";
    votes_that_count_again_are_found: CountsClosesTwice says "counted Counts";
    votes_that_are_forgotten_are_found: ForgetsVotes says "LOST an acknowledged vote";
    records_that_are_forgotten_are_found: ForgetsRecords says "uploaded, and never recorded";
    decisions_on_old_votes_are_found: ClosesOnOldVotes says "does not follow from";
    leases_that_cannot_be_given_back_are_found: KeepsLeases says "given back, and is still there";
    leases_that_are_not_there_are_found: LeasesNothing says "without a lease";
    votes_that_claims_do_not_see_are_found: HidesVotes says "who has voted on it";
    tasks_that_are_replaced_blindly_are_found: ReplacesBlindly says "it was over";
    late_votes_that_are_said_to_count_are_found: CountsLateVotes says "acknowledged as their first";
    names_for_two_images_are_found: TakesNamesTwice says "a name was granted for two images";
    tasks_that_are_missing_in_their_list_are_found: MissesTasks says "is paused, and holds";
    new_subtasks_that_get_lost_are_found: LosesNewSubtasks says "never opened";
    events_that_get_lost_are_found: LosesEvents says "announced under 0 ids";
    events_with_another_id_each_time_are_found: AnnouncesUnderNewIds says "announced under several ids";
    votes_that_are_dropped_by_opening_again_are_found: DropsVotesOfReopened says "opened again without";
    counters_that_keep_what_is_opened_again_are_found: KeepsCountOfReopened says "counted Counts";
    counters_that_keep_what_is_reviewed_are_found: KeepsCountOfReviewed says "counted Counts";
    reviews_over_what_has_changed_are_found: ReviewsBlindly says "rev ";
}
