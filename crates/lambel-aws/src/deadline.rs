//! The end of an invocation. A function that Lambda stops tells nobody why; one that stops its own work in time
//! says so, in its log and in its answer. What was under way is as if the function had been killed there, which may
//! happen at any moment anyway.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is kept for the answer: setting the waits of a batch is one call of up to four seconds.
const MARGIN: Duration = Duration::from_secs(6);

/// How much time there is for work until the end of the invocation, which Lambda gives in milliseconds since 1970.
pub fn left(deadline: u64) -> Duration {
    let end = UNIX_EPOCH + Duration::from_millis(deadline);
    end.duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(MARGIN)
}

/// Does work as long as there is time for it. None if it was not through by then; it goes on no further.
pub async fn in_time<T>(deadline: u64, work: impl Future<Output = T>) -> Option<T> {
    let done = tokio::time::timeout(left(deadline), work).await.ok();
    if done.is_none() {
        tracing::error!("work stopped: the time of the function is over");
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_while(millis: u64) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::try_from((now + MARGIN).as_millis()).unwrap() + millis
    }

    #[tokio::test]
    async fn work_that_hangs_is_stopped_before_the_function_is() {
        assert_eq!(in_time(in_a_while(20), std::future::pending::<()>()).await, None);
        assert_eq!(in_time(in_a_while(60_000), async { 7 }).await, Some(7));
        assert_eq!(left(0), Duration::ZERO);
        assert!(left(in_a_while(20)) < Duration::from_secs(1));
    }
}
