//! The end of a task whose rule weighs votes: every state, and every flaw found.

use lambel_model::last_batch::{Flaw, LastBatch};
use stateright::{Checker, Model};

#[test]
fn whatever_is_stopped_comes_twice_or_is_given_up_the_task_ends_well() {
    let checker = LastBatch::default().checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 5_000, "{} states only", checker.unique_state_count());
}

#[test]
fn flaws_are_found() {
    for (flaw, property) in [
        (Flaw::RevisesWithoutMark, "nothing is open in a complete task"),
        (Flaw::CompletesWithoutMark, "nothing is open in a complete task"),
        (Flaw::RevisesBlindly, "no late vote is lost"),
        (Flaw::AnybodyCompletes, "nothing is open in a complete task"),
        (Flaw::OpensForEver, "an image opens again so many times at most"),
    ] {
        let checker = LastBatch { flaw: Some(flaw) }.checker().spawn_bfs().join();
        assert!(checker.discovery(property).is_some(), "{flaw:?} does not break \"{property}\"");
    }
}
