//! The end of a task that reviews its disputes: every state, and every flaw found.

use lambel_model::review::{Flaw, Reviews};
use stateright::{Checker, Model};

#[test]
fn whoever_decides_what_and_whatever_is_stopped_the_task_ends_well() {
    let checker = Reviews::default().checker().spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(checker.unique_state_count() > 5_000, "{} states only", checker.unique_state_count());
}

#[test]
fn flaws_are_found() {
    for (flaw, property) in [
        (Flaw::DecidesBlindly, "an image is decided once"),
        (Flaw::DecidesBlindly, "no late vote is lost"),
        (Flaw::DecidesAfterTheEnd, "a task completes once, and nothing is written when it is over"),
        (Flaw::CountsApart, "counters equal a recount"),
        (Flaw::CompletesWithDisputes, "nothing is disputed in a complete task"),
        (Flaw::EntersAfterwards, "who decides is on the trail"),
        (Flaw::NobodyLooks, "a task in which everything was reviewed is over in the end"),
    ] {
        let checker = Reviews { flaw: Some(flaw) }.checker().spawn_bfs().join();
        assert!(checker.discovery(property).is_some(), "{flaw:?} does not break \"{property}\"");
    }
}
