//! When what a target did not take is tried again.

use std::time::Duration;

/// The waits that grow, in seconds.
const FIRST: [u64; 5] = [5, 30, 120, 600, 1_800];
/// What every further one is.
const THEN: u64 = 3_600;
/// How many of those: with the first ones they fill a day, but for a part of an hour.
const THEN_TIMES: usize = 23;

/// How often a delivery is tried in all.
pub const ATTEMPTS: u32 = (1 + FIRST.len() + THEN_TIMES) as u32;

/// How long nothing but failures has to come back until a webhook is disabled.
pub const PATIENCE: Duration = Duration::from_secs(5 * 24 * 3_600);

/// How long a delivery can take in all. The waits end before; what is held back, because its target does not answer
/// at all, ends here.
pub const LIFE: Duration = Duration::from_secs(24 * 3_600);

/// The wait behind so many attempts, before chance makes it a little longer or shorter; none if there are no more.
pub fn wait(tried: u32) -> Option<Duration> {
    let place = tried.checked_sub(1)? as usize;
    let seconds = match FIRST.get(place) {
        Some(first) => *first,
        None if place < FIRST.len() + THEN_TIMES => THEN,
        None => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_and_fill_a_day() {
        let waits: Vec<Duration> = (1..).map_while(wait).collect();
        assert_eq!(waits.len() as u32 + 1, ATTEMPTS);
        assert!(waits.is_sorted());
        assert_eq!(waits[..6].iter().map(Duration::as_secs).collect::<Vec<_>>(), [5, 30, 120, 600, 1_800, 3_600]);
        let all: Duration = waits.iter().sum();
        assert!(all < LIFE && all + Duration::from_secs(THEN) > LIFE, "{all:?}");
        assert_eq!((wait(0), wait(ATTEMPTS), wait(u32::MAX)), (None, None, None));
    }
}
