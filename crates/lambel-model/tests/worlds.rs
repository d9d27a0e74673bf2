//! Every property holds in every state of every small world.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use lambel_model::{
    promises,
    protocol::{Protocol, World},
    report::{check, look_for_cycle},
    worlds,
};

/// At least so many states: a world in which little happens holds everything.
fn holds(world: World, states: usize) {
    let report = check(&Protocol::new(world).unwrap());
    if let Some(broken) = report.broken.first() {
        panic!("{}: {broken}", world.name);
    }
    assert!(report.states >= states, "{} has {} states only", world.name, report.states);
    println!("{}: {} states, {:.1} s", world.name, report.states, report.time.as_secs_f32());
}

#[test]
fn quiet() {
    holds(worlds::QUIET, 2_000);
}

#[test]
fn delivery() {
    holds(worlds::DELIVERY, 3_000);
}

#[test]
fn uploads() {
    holds(worlds::UPLOADS, 500_000);
}

#[test]
fn votes() {
    holds(worlds::VOTES, 300_000);
}

#[test]
fn leases() {
    holds(worlds::LEASES, 300_000);
}

#[test]
fn minds() {
    holds(worlds::MINDS, 30_000);
}

#[test]
fn tabs() {
    holds(worlds::TABS, 200_000);
}

#[test]
fn pause() {
    holds(worlds::PAUSE, 100_000);
}

#[test]
fn cancel() {
    holds(worlds::CANCEL, 100_000);
}

/// That a paused operator holds nothing leans on the standing and the operator's record being read at one moment.
/// DynamoDB does not promise that of a batch; without it one lease may stay until it ends, as the model says.
#[test]
fn a_batch_read_that_is_torn_by_a_pause_leaves_a_lease() {
    let report = check(&Protocol::new(worlds::TORN).unwrap());
    let broken: Vec<_> = report.broken.iter().map(|broken| broken.property).collect();
    assert_eq!(broken, [promises::PAUSED]);
}

/// That everything is decided in the end is checked in the states that have no next one. That says something about
/// every run only if every run has an end.
#[test]
fn every_run_ends() {
    for world in worlds::SMALL {
        match look_for_cycle(&Protocol::new(*world).unwrap()) {
            Ok(states) => println!("{}: {states} states", world.name),
            Err(state) => panic!("{}: a run without an end goes through {state:?}", world.name),
        }
    }
}
