//! Runs that have found something once: in the code under test, or in the model that judges it. They are played before
//! any other. The seed of a failing test belongs here.

use crate::run::Options;

/// A record read as it was a moment ago handed out again what its operator had voted on.
const OLD_RECORD: [u64; 1] = [472];
/// A pause did not take back what a claim had leased again while it was taking back.
const LEASED_AGAIN: [u64; 2] = [1_850, 5_150];
/// A claim took off the operator's record what another claim of theirs had leased again.
const TAKEN_OFF: [u64; 1] = [14_415];
/// The model: leases on what is decided are of no concern.
const DECIDED: [u64; 5] = [927, 1_192, 1_465, 3_742, 3_922];
/// The model: what a claim has leased that fails while somebody pauses the operator is not taken back.
const FAILED_CLAIMS: [u64; 5] = [420, 546, 564, 1_164, 1_593];

pub(crate) fn all() -> impl Iterator<Item = Options> {
    let seeds = OLD_RECORD.into_iter().chain(LEASED_AGAIN).chain(TAKEN_OFF).chain(DECIDED).chain(FAILED_CLAIMS);
    seeds.map(Options::of)
}
