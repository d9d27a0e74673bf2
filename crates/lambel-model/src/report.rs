//! A check of one world, and what came of it.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model};

use crate::{
    protocol::{Protocol, Step},
    state::State,
};

/// A property that does not hold, and the steps to a state in which it does not.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Which property.
    pub property: &'static str,
    /// From the beginning of the world.
    pub steps: Vec<Step>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken: {}", self.property)?;
        self.steps.iter().enumerate().try_for_each(|(place, step)| write!(f, "\n  {:>2}. {step:?}", place + 1))
    }
}

/// What a check came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Different states that were visited.
    pub states: usize,
    /// Steps that were taken to get there: several may lead to one state.
    pub steps: usize,
    /// The most steps from the beginning to a state.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Properties that do not hold.
    pub broken: Vec<Broken>,
}

fn report(model: &Protocol, when: HasDiscoveries) -> Report {
    let begin = Instant::now();
    let checker = model.clone().checker().finish_when(when).spawn_bfs().join();
    let broken =
        |(property, path): (&'static str, stateright::Path<_, _>)| Broken { property, steps: path.into_actions() };
    Report {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        time: begin.elapsed(),
        broken: checker.discoveries().into_iter().map(broken).collect(),
    }
}

/// Visits every state of the world, unless all properties are broken before.
pub fn check(model: &Protocol) -> Report {
    report(model, HasDiscoveries::All)
}

/// Visits states until one breaks this property.
pub fn check_one(model: &Protocol, property: &'static str) -> Report {
    report(model, HasDiscoveries::AnyOf(BTreeSet::from([property])))
}

/// Looks for a run without an end: a cycle in the graph of states, which is finite. Returns how many states there
/// are, or a state that leads to itself.
pub fn look_for_cycle(model: &Protocol) -> Result<usize, Box<State>> {
    let fingerprint = |state: &State| BuildHasherDefault::<DefaultHasher>::default().hash_one(state);
    // False while the search is below the state, true once all that can follow was looked at.
    let mut done = HashMap::new();
    for first in model.init_states() {
        let mut above = Vec::new();
        done.insert(fingerprint(&first), false);
        above.push((fingerprint(&first), model.next_states(&first)));
        while let Some((place, left)) = above.last_mut() {
            let Some(state) = left.pop() else {
                done.insert(*place, true);
                above.pop();
                continue;
            };
            let place = fingerprint(&state);
            match done.get(&place) {
                Some(true) => {}
                Some(false) => return Err(Box::new(state)),
                None => {
                    done.insert(place, false);
                    above.push((place, model.next_states(&state)));
                }
            }
        }
    }
    Ok(done.len())
}
