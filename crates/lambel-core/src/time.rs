//! Moments, to the millisecond.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize, de};
use utoipa::ToSchema;

/// A moment: milliseconds since 1970-01-01T00:00:00Z. In JSON it is RFC 3339 text, in DynamoDB a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T08:47:00.123Z")]
pub struct Timestamp(i64);

impl Timestamp {
    /// The latest moment that RFC 3339 text can name here, 9999-01-01T00:00:00Z.
    pub const MAX: Self = Self(253_370_764_800_000);

    /// From milliseconds since the epoch, held between the epoch and [`Timestamp::MAX`].
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// The moment that lies `duration` after this one, or [`Timestamp::MAX`].
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The time from this moment to a later one; zero where the other is not later.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => Err(fmt::Error),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(de::Error::custom)?;
        Ok(Self::from_millis(moment.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_rfc_3339_with_milliseconds() {
        let moment = Timestamp::from_millis(1_795_250_820_120);
        let json = serde_json::to_string(&moment).unwrap();
        assert_eq!(json, "\"2026-11-21T08:47:00.120Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), moment);
    }

    #[test]
    fn arithmetic_saturates() {
        let now = Timestamp::from_millis(5);
        assert_eq!(now.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MAX.until(now), Duration::ZERO);
        assert!(serde_json::to_string(&Timestamp::MAX).is_ok());
    }
}
