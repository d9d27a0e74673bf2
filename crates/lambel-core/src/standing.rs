//! Whether an operator may work.

use serde::{Deserialize, Serialize};

use crate::{OperatorId, Timestamp};

/// How an operator stands with the deployment. Who was never paused has the standing of [`Standing::new`], and
/// no record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The operator.
    pub operator: OperatorId,
    /// Since when they are paused: no claims, no votes. Votes that they have given stay.
    #[serde(default)]
    pub paused_at: Option<Timestamp>,
    /// The number of changes so far; 0 if it was never stored.
    pub rev: u64,
}

impl Standing {
    /// Of an operator of whom nothing was ever said.
    pub fn new(operator: OperatorId) -> Self {
        Self { operator, paused_at: None, rev: 0 }
    }

    /// Whether the operator is paused.
    pub fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// Pauses the operator. False, and no change, if they are paused.
    pub fn pause(&mut self, now: Timestamp) -> bool {
        let changed = self.paused_at.is_none();
        if changed {
            self.paused_at = Some(now);
            self.rev += 1;
        }
        changed
    }

    /// Lets the operator work again. False, and no change, if they may.
    pub fn resume(&mut self) -> bool {
        let changed = self.paused_at.take().is_some();
        self.rev += u64::from(changed);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pausing_twice_keeps_the_first_time() {
        let mut standing = Standing::new("op".parse().unwrap());
        assert!(!standing.resume());
        assert!(standing.pause(Timestamp::from_millis(1)));
        assert!(!standing.pause(Timestamp::from_millis(2)));
        assert_eq!((standing.paused_at, standing.rev), (Some(Timestamp::from_millis(1)), 1));
        assert!(standing.resume());
        assert_eq!((standing.is_paused(), standing.rev), (false, 2));
    }
}
