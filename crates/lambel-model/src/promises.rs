//! What must hold in every state.

use lambel_core::{SubtaskState, consensus::Verdict};
use stateright::Property;

use crate::{
    protocol::Protocol,
    state::{Process, State, Wrong, bits},
};

/// A vote of an operator counts once.
pub const ONE_VOTE: &str = "an operator votes at most once per subtask";
/// Nobody is handed what they have voted on, and nobody holds a lease of it.
pub const NOT_AGAIN: &str = "nobody is handed what they have voted on";
/// Votes and live leases fit into the slots.
pub const SLOTS: &str = "votes plus live leases never exceed the slots";
/// Final is final.
pub const DECIDED_ONCE: &str = "a subtask is decided once";
/// Decisions are those of the rule.
pub const DECISION_FOLLOWS: &str = "a decision follows from the votes that are in it";
/// The counters are exact.
pub const COUNTERS: &str = "counters equal a recount";
/// What was acknowledged stays.
pub const NO_VOTE_LOST: &str = "no acknowledged vote is lost";
/// Events are true, and have one id.
pub const ONE_ID: &str = "what is announced is so, with the same id each time";
/// A task ends once, and not too early.
pub const ENDS_ONCE: &str = "a task ends once, and completes when all is decided";
/// A paused operator holds nothing.
pub const PAUSED: &str = "who is paused holds nothing";
/// Liveness.
pub const SETTLED: &str = "in the end all is decided, announced and completed";

/// All of them.
pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(ONE_VOTE, |_, s: &State| s.ghost.counted.iter().flatten().all(|count| *count <= 1)),
        Property::always(NOT_AGAIN, |_, s: &State| {
            let both = |row: &crate::records::Row| {
                row.state == SubtaskState::Open
                    && row.votes.iter().zip(row.leases).any(|(v, l)| v.is_some() && l.is_some())
            };
            !s.ghost.wrong.has(Wrong::HandedVoted) && !s.tables.rows.iter().flatten().any(both)
        }),
        Property::always(SLOTS, |m: &Protocol, s: &State| {
            s.tables.rows.iter().flatten().filter(|row| row.state == SubtaskState::Open).all(|row| {
                let live = row.leases.iter().flatten().filter(|until| **until > s.now).count();
                match m.kit.judge(&row.votes) {
                    Verdict::Undecided { wanted } => live <= wanted as usize,
                    Verdict::Decided(_) => true,
                }
            })
        }),
        Property::always(DECIDED_ONCE, |_, s: &State| {
            !s.ghost.wrong.has(Wrong::Redecided) && s.ghost.decided.iter().all(|count| *count <= 1)
        }),
        Property::always(DECISION_FOLLOWS, |m: &Protocol, s: &State| {
            let follows = |row: &crate::records::Row| row.outcome == m.kit.outcome(&row.votes);
            s.tables.rows.iter().flatten().filter(|row| row.is_decided()).all(follows)
        }),
        Property::always(COUNTERS, |_, s: &State| s.tables.tally == s.tables.recount()),
        Property::always(NO_VOTE_LOST, |_, s: &State| {
            s.ghost.acknowledged.iter().enumerate().all(|(operator, images)| {
                let kept = |row: &crate::records::Row| row.votes[operator].or(row.late[operator]).is_some();
                bits(*images).all(|image| s.tables.rows[image].as_ref().is_some_and(kept))
            })
        }),
        Property::always(ONE_ID, |_, s: &State| !s.ghost.wrong.has(Wrong::TwoIds) && !s.ghost.wrong.has(Wrong::Untrue)),
        Property::always(ENDS_ONCE, |_, s: &State| {
            s.ghost.ended <= 1 && !s.ghost.wrong.has(Wrong::Revived) && !s.ghost.wrong.has(Wrong::TooEarly)
        }),
        Property::always(PAUSED, |_, s: &State| {
            bits(s.ghost.paused).all(|operator| {
                let at_it = |process: &Process| match process {
                    Process::Claim(claim) => usize::from(claim.operator) == operator,
                    Process::Pause { .. } => true,
                    _ => false,
                };
                let holds = |row: &crate::records::Row| {
                    row.state == SubtaskState::Open && row.leases[operator].is_some_and(|until| until > s.now)
                };
                s.processes.iter().any(at_it)
                    || s.tables.task.state.is_final()
                    || !s.tables.rows.iter().flatten().any(holds)
            })
        }),
        Property::always(SETTLED, |m: &Protocol, s: &State| m.is_settled(s) || !m.is_over(s)),
    ]
}
