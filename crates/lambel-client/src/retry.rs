//! How often, and after which pauses, a request is tried again.

use std::time::Duration;

use reqwest::{StatusCode, header::HeaderMap};

/// No pause that a server asks for is kept longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How often, and after which pauses, a request is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// Tries in all, the first among them: at least one is made.
    pub tries: u32,
    /// The longest pause after the first try. It doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause of all.
    pub longest_pause: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        Self { tries: 6, first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(5) }
    }
}

impl Retries {
    /// The pause before the next try, after `made` tries; none if it is enough.
    ///
    /// The pause is drawn by chance up to its limit, so that many callers do not come back at once. What the
    /// server asks for comes on top.
    pub(crate) fn pause(&self, made: u32, asked: Option<Duration>) -> Option<Duration> {
        if made >= self.tries {
            return None;
        }
        let doubled = self.first_pause.saturating_mul(2u32.saturating_pow(made.saturating_sub(1)));
        let limit = doubled.min(self.longest_pause);
        Some(asked.unwrap_or_default().min(LONGEST_PAUSE) + limit.mul_f64(rand::random::<f64>()))
    }
}

/// Whether the same request may work a little later.
pub(crate) fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The pause that an answer asks for, if it does so in seconds.
pub(crate) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    headers.get("retry-after")?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let retries = Retries::default();
        for made in 1..6 {
            let limit = Duration::from_millis(200 * 2u64.pow(made - 1)).min(Duration::from_secs(5));
            assert!(retries.pause(made, None).unwrap() <= limit);
        }
        assert_eq!(retries.pause(6, None), None);
        assert!(retries.pause(1, Some(Duration::from_secs(3))).unwrap() >= Duration::from_secs(3));
        assert!(retries.pause(1, Some(Duration::from_secs(3_000))).unwrap() < Duration::from_secs(21));
        assert_eq!(Retries { tries: 0, ..retries }.pause(1, None), None);
    }

    #[test]
    fn what_passes() {
        for (status, passing) in [(429, true), (503, true), (500, false), (409, false), (200, false)] {
            assert_eq!(is_passing(StatusCode::from_u16(status).unwrap()), passing, "{status}");
        }
    }
}
