//! Ranges of the ring of image ids that are named by the first bits that their ids share.

use std::{cmp::Ordering, fmt, str::FromStr};

use lambel_core::ImageId;
use serde::{Deserialize, Serialize};

/// All images whose id, in binary, begins with the same digits. Two ranges lie apart or one in the other.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Range {
    /// The digits, from the highest bit on; the rest is zero.
    prefix: [u8; 32],
    bits: u16,
}

impl Range {
    /// The whole ring.
    pub const WHOLE: Self = Self { prefix: [0; 32], bits: 0 };

    /// How many digits all its ids share: 0 to 256.
    pub fn bits(&self) -> u16 {
        self.bits
    }

    /// The first id of the range.
    pub fn first(&self) -> ImageId {
        ImageId::from_digest(self.prefix)
    }

    /// Whether an image lies in it.
    pub fn contains(&self, image: &ImageId) -> bool {
        shared_bits(&self.prefix, image.digest()) >= self.bits
    }

    /// Whether another range lies in it, or is it.
    pub fn covers(&self, other: &Self) -> bool {
        other.bits >= self.bits && shared_bits(&self.prefix, &other.prefix) >= self.bits
    }

    /// Its two halves. None for the range of a single id.
    pub fn halves(&self) -> Option<(Self, Self)> {
        if self.bits == 256 {
            return None;
        }
        let left = Self { prefix: self.prefix, bits: self.bits + 1 };
        let mut right = left;
        let (byte, bit) = (usize::from(self.bits / 8), self.bits % 8);
        if let Some(byte) = right.prefix.get_mut(byte) {
            *byte |= 0x80 >> bit;
        }
        Some((left, right))
    }
}

/// How many leading bits two ids share.
fn shared_bits(a: &[u8; 32], b: &[u8; 32]) -> u16 {
    let mut shared = 0;
    for (a, b) in a.iter().zip(b) {
        let differ = a ^ b;
        if differ != 0 {
            return shared + differ.leading_zeros() as u16;
        }
        shared += 8;
    }
    shared
}

impl Ord for Range {
    /// As on the ring; a range comes before those that lie in it.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.prefix, self.bits).cmp(&(other.prefix, other.bits))
    }
}

impl PartialOrd for Range {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in 0..self.bits {
            let byte = self.prefix.get(usize::from(place / 8)).copied().unwrap_or(0);
            f.write_str(if byte & (0x80 >> (place % 8)) == 0 { "0" } else { "1" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

/// A text that names no range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a range is named by up to 256 binary digits")]
pub struct NotARange;

impl FromStr for Range {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 256 {
            return Err(NotARange);
        }
        let mut range = Self::WHOLE;
        for digit in text.bytes() {
            let (left, right) = range.halves().ok_or(NotARange)?;
            range = match digit {
                b'0' => left,
                b'1' => right,
                _ => return Err(NotARange),
            };
        }
        Ok(range)
    }
}

impl Serialize for Range {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_divide_a_range() {
        let range: Range = "0110".parse().unwrap();
        let (left, right) = range.halves().unwrap();
        assert_eq!((left.to_string().as_str(), right.to_string().as_str()), ("01100", "01101"));
        assert!(range.covers(&left) && range.covers(&right) && !left.covers(&range) && !left.covers(&right));
        assert!(range < left && left < right);

        let image = ImageId::from_digest([0b0110_1000; 32]);
        assert!(Range::WHOLE.contains(&image) && range.contains(&image) && right.contains(&image));
        assert!(!left.contains(&image));
    }

    #[test]
    fn the_smallest_range_is_one_image() {
        let image = ImageId::of(b"x");
        let mut range = Range::WHOLE;
        while let Some((left, right)) = range.halves() {
            range = if left.contains(&image) { left } else { right };
        }
        assert_eq!((range.bits(), range.first()), (256, image));
        assert_eq!(range.to_string().parse(), Ok(range));
        assert!("2".parse::<Range>().is_err());
        assert!("0".repeat(257).parse::<Range>().is_err());
    }
}
