//! Runs that have found something once: in the code under test, or in the model that judges it. They are played before
//! any other. A failing test prints the line that belongs here.

use crate::run::Options;

pub(crate) fn all() -> Vec<Options> {
    let code = [
        // A pause did not take back what a claim had leased again while it was taking back.
        1850, 5150, // A claim took off the operator's record what another claim of theirs had leased again.
        14_415,
    ];
    let model = [
        // Leases on what is decided are of no concern.
        927, 1_192, 1_465, 3_742, 3_922,
        // What a claim has leased that fails while somebody pauses the operator is not taken back.
        420, 546, 564, 1_164, 1_593,
    ];
    code.into_iter().chain(model).map(Options::of).collect()
}
