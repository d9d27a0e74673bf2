//! The checker finds what is wrong: each seeded bug breaks a property in a small world.

use std::collections::BTreeSet;

use lambel_model::{
    bugs::{self, Bug},
    promises::*,
    protocol::{Protocol, World},
    report::check_one,
    worlds::*,
};
use stateright::Model;

/// The bug, where it shows, and what it breaks.
const FOUND: &[(Bug, World, &str)] = &[
    (Bug::LeaseUnconditional, LEASES, SLOTS),
    (Bug::LeaseUnconditional, TABS, NOT_AGAIN),
    (Bug::IndexTrusted, LEASES, SLOTS),
    (Bug::VotedHandedOut, MINDS, NOT_AGAIN),
    (Bug::LeasesNotCounted, LEASES, SLOTS),
    (Bug::VoteCountedAgain, VOTES, ONE_VOTE),
    (Bug::CloseUnconditional, MINDS, DECISION_FOLLOWS),
    (Bug::CloseUnconditional, VOTES, COUNTERS),
    (Bug::RetryCountedAgain, VOTES, COUNTERS),
    (Bug::CountedApart, MINDS, COUNTERS),
    (Bug::CountedOnDelivery, DELIVERY, COUNTERS),
    (Bug::PutAlways, DELIVERY, NO_VOTE_LOST),
    (Bug::OpenUnconditional, DELIVERY, DECIDED_ONCE),
    (Bug::NewOnesNamedOnly, DELIVERY, SETTLED),
    (Bug::DeletedOnReceipt, DELIVERY, SETTLED),
    (Bug::PublishedFirst, MINDS, ONE_ID),
    (Bug::PublishedAfter, DELIVERY, SETTLED),
    (Bug::CompleteUnconditional, TABS, ENDS_ONCE),
    (Bug::CompleteTooEarly, QUIET, ENDS_ONCE),
    (Bug::CountsReadLate, QUIET, SETTLED),
    (Bug::SealDoesNotLook, QUIET, SETTLED),
    (Bug::NoSweep, DELIVERY, SETTLED),
    (Bug::LeaseForEver, LEASES, SETTLED),
    (Bug::DeskUnconditional, PAUSE, PAUSED),
    (Bug::StandingReadOnce, PAUSE, PAUSED),
    (Bug::PauseFromBehind, PAUSE, PAUSED),
    (Bug::LeftoverTrusted, TABS, NOT_AGAIN),
    (Bug::GivenBackOnce, PAUSE, PAUSED),
    (Bug::TakenOffUnseen, PAUSE, PAUSED),
];

#[test]
fn each_bug_breaks_what_it_should() {
    let mut missed = Vec::new();
    for (bug, world, property) in FOUND {
        let report = check_one(&Protocol::new(*world).unwrap().with(*bug), property);
        let broken = report.broken.iter().find(|broken| broken.property == *property);
        let steps = broken.map_or(0, |broken| broken.steps.len());
        let (states, time) = (report.states, report.time.as_secs_f32());
        println!("{bug:?} in {}: {property}, {steps} steps, {states} states, {time:.1} s", world.name);
        if broken.is_none() {
            missed.push((bug, world.name, property));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

#[test]
fn no_bug_and_no_property_is_left_out() {
    for bug in bugs::ALL {
        assert!(FOUND.iter().any(|(found, ..)| found == bug), "{bug:?}");
    }
    let shown: BTreeSet<&str> = FOUND.iter().map(|(.., property)| *property).collect();
    let all: BTreeSet<&str> = Protocol::new(QUIET).unwrap().properties().iter().map(|property| property.name).collect();
    assert_eq!(shown, all);
}
