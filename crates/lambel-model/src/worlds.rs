//! The worlds that are checked.

use crate::{
    protocol::World,
    records::{OPERATORS, Reply},
    state::Budget,
};

const BOTH: &[Reply] = &[Reply::First, Reply::Second];
const ONE: &[Reply] = &[Reply::First];
/// All that an operator may say.
pub const ALL_REPLIES: &[Reply] = &[Reply::First, Reply::Second, Reply::Abstain];

const fn claims(each: u8) -> [u8; OPERATORS] {
    [each; OPERATORS]
}

const NOTHING: Budget = Budget {
    claims: [0; OPERATORS],
    changes: 0,
    returns: 0,
    leaves: 0,
    ticks: 0,
    crashes: 0,
    repeats: 0,
    lost: 0,
    stale: 0,
    pauses: 0,
    cancels: 0,
    seals: 0,
    sweeps: 0,
    days: 4,
};

const LABELLING: World = World {
    name: "labelling",
    operators: 2,
    images: 1,
    bad: 0,
    labelling: true,
    quorum: 2,
    max_labels: 2,
    replies: BOTH,
    tabs: 1,
    budget: NOTHING,
    swept: true,
    torn: false,
};

const INTAKE: World = World {
    name: "intake",
    operators: 1,
    images: 2,
    bad: 0b10,
    labelling: false,
    quorum: 1,
    max_labels: 1,
    replies: ONE,
    ..LABELLING
};

/// Without faults and without the sweep: the sweep mends, it is not needed.
pub const QUIET: World =
    World { name: "quiet", swept: false, bad: 0, budget: Budget { claims: claims(1), seals: 1, ..NOTHING }, ..INTAKE };

/// One image, from the upload to the end, with messages that come again and processes that stop.
pub const DELIVERY: World = World {
    name: "delivery",
    images: 1,
    bad: 0,
    budget: Budget { claims: claims(1), seals: 1, crashes: 1, repeats: 1, ..NOTHING },
    ..INTAKE
};

/// From the upload to the end, with every fault of delivery.
pub const UPLOADS: World = World {
    name: "uploads",
    budget: Budget { claims: claims(1), seals: 1, crashes: 1, repeats: 1, lost: 1, ..NOTHING },
    ..INTAKE
};

/// Two operators, one image, disagreement and faults.
pub const VOTES: World = World {
    name: "votes",
    budget: Budget { claims: claims(1), changes: 1, ticks: 1, crashes: 1, lost: 1, repeats: 1, ..NOTHING },
    ..LABELLING
};

/// Three operators for two slots: leases that end, operators who go home.
pub const LEASES: World = World {
    name: "leases",
    operators: 3,
    max_labels: 3,
    replies: ONE,
    budget: Budget { claims: claims(1), ticks: 1, leaves: 1, crashes: 1, ..NOTHING },
    ..LABELLING
};

/// Abstentions and changes of mind.
pub const MINDS: World = World {
    name: "minds",
    max_labels: 3,
    replies: ALL_REPLIES,
    budget: Budget { claims: claims(1), changes: 2, ticks: 1, ..NOTHING },
    ..LABELLING
};

/// One operator with two tabs, reads that lag behind, leases given back.
pub const TABS: World = World {
    name: "tabs",
    operators: 1,
    images: 2,
    quorum: 1,
    max_labels: 1,
    replies: ONE,
    tabs: 2,
    budget: Budget { claims: claims(2), ticks: 1, returns: 1, stale: 1, ..NOTHING },
    ..LABELLING
};

/// An operator is paused while they claim.
pub const PAUSE: World = World {
    name: "pause",
    operators: 2,
    images: 1,
    quorum: 1,
    max_labels: 1,
    replies: ONE,
    tabs: 2,
    budget: Budget { claims: [2, 1, 0], ticks: 1, pauses: 1, ..NOTHING },
    ..LABELLING
};

/// The same, where a batch read is no snapshot.
pub const TORN: World = World { name: "torn", torn: true, ..PAUSE };

/// The client calls the task off while it is sealed, labelled and completed.
pub const CANCEL: World = World {
    name: "cancel",
    images: 1,
    bad: 0,
    budget: Budget { claims: claims(1), seals: 1, cancels: 1, sweeps: 1, repeats: 1, crashes: 1, ..NOTHING },
    ..INTAKE
};

/// What `cargo test` checks.
pub const SMALL: &[World] = &[QUIET, DELIVERY, UPLOADS, VOTES, LEASES, MINDS, TABS, PAUSE, CANCEL];

/// Worlds with more people and more faults, of some millions of states each.
pub const LARGE: &[World] = &[
    World { name: "uploads-large", budget: Budget { crashes: 2, ..UPLOADS.budget }, ..UPLOADS },
    World {
        name: "votes-large",
        operators: 3,
        max_labels: 3,
        budget: Budget { changes: 0, lost: 0, repeats: 0, ..VOTES.budget },
        ..VOTES
    },
    World { name: "leases-large", replies: BOTH, budget: Budget { ticks: 2, returns: 1, ..LEASES.budget }, ..LEASES },
    World {
        name: "minds-large",
        replies: ALL_REPLIES,
        operators: 3,
        budget: Budget { changes: 1, ..MINDS.budget },
        ..MINDS
    },
    World { name: "pause-large", budget: Budget { lost: 1, ..PAUSE.budget }, ..PAUSE },
    World { name: "cancel-large", budget: Budget { crashes: 2, repeats: 2, ..CANCEL.budget }, ..CANCEL },
];
