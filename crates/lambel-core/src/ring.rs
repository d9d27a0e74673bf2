//! The ring of image ids: shards, and the order in which an operator walks through them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{ImageId, OperatorId, TaskId};

/// The number of shards of a task: a power of two from 4 to 256. The first bits of an image id name its shard,
/// so the shards lie on the ring one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Shards(u16);

impl Shards {
    /// The shards for a task whose client expects this many images, or does not say.
    pub fn for_images(expected: Option<u64>) -> Self {
        match expected {
            Some(..=10_000) => Self(4),
            None | Some(..=1_000_000) => Self(16),
            Some(..=10_000_000) => Self(64),
            Some(_) => Self(256),
        }
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.0
    }

    /// Every shard, in the order of the ring.
    pub fn all(self) -> impl Iterator<Item = u16> {
        0..self.0
    }

    /// The shard of an image.
    pub fn of(self, image: &ImageId) -> u16 {
        let [first, second, ..] = *image.digest();
        let bits = self.0.trailing_zeros();
        u16::from_be_bytes([first, second]).checked_shr(16 - bits).unwrap_or(0)
    }

    /// The first place of a shard.
    pub fn first_place(self, shard: u16) -> ImageId {
        let mut digest = [0; 32];
        let bits = u32::from(shard) << (16 - self.0.trailing_zeros());
        digest[..2].copy_from_slice(&bits.to_be_bytes()[2..]);
        ImageId::from_digest(digest)
    }

    /// The last place of a shard.
    pub fn last_place(self, shard: u16) -> ImageId {
        let mut digest = *self.first_place(shard).digest();
        let below = u16::MAX.checked_shr(self.0.trailing_zeros()).unwrap_or(0);
        let [high, low] = below.to_be_bytes();
        digest[0] |= high;
        digest[1] |= low;
        digest[2..].fill(0xff);
        ImageId::from_digest(digest)
    }

    /// The stretches of the ring that make one full round from `place`: each within one shard, the first from
    /// `place` on, the last up to just before it.
    pub fn round(self, place: &ImageId) -> impl Iterator<Item = Stretch> + use<> {
        let first = self.of(place);
        let (count, place) = (self.0, *place);
        (0..=count).map(move |step| Stretch {
            shard: (first + step) % count,
            from: if step == 0 { place } else { ImageId::MIN },
            before: (step == count).then_some(place),
        })
    }
}

impl TryFrom<u16> for Shards {
    type Error = String;

    fn try_from(count: u16) -> Result<Self, Self::Error> {
        if count.is_power_of_two() && (4..=256).contains(&count) {
            Ok(Self(count))
        } else {
            Err(format!("{count} is not a power of two from 4 to 256"))
        }
    }
}

impl From<Shards> for u16 {
    fn from(shards: Shards) -> Self {
        shards.0
    }
}

/// A part of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The shard.
    pub shard: u16,
    /// The first image id that belongs to it.
    pub from: ImageId,
    /// The first image id that no longer does; none means the end of the shard.
    pub before: Option<ImageId>,
}

/// Where an operator's walk through a task begins: far from where others begin, and the same each time.
pub fn first_place(operator: &OperatorId, task: &TaskId) -> ImageId {
    let mut hash = Sha256::new();
    hash.update(task.to_string());
    hash.update(b"/");
    hash.update(operator.as_str());
    ImageId::from_digest(hash.finalize().into())
}

/// The place right after an image: where the walk goes on.
pub fn next_place(image: &ImageId) -> ImageId {
    let mut digest = *image.digest();
    for byte in digest.iter_mut().rev() {
        let (sum, carried) = byte.overflowing_add(1);
        *byte = sum;
        if !carried {
            break;
        }
    }
    ImageId::from_digest(digest)
}

/// The place right before an image. None before the first.
pub fn previous_place(image: &ImageId) -> Option<ImageId> {
    let mut digest = *image.digest();
    for byte in digest.iter_mut().rev() {
        let (less, borrowed) = byte.overflowing_sub(1);
        *byte = less;
        if !borrowed {
            return Some(ImageId::from_digest(digest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(first: u8) -> ImageId {
        let mut digest = [0; 32];
        digest[0] = first;
        ImageId::from_digest(digest)
    }

    #[test]
    fn first_bits_name_the_shard() {
        let four = Shards::for_images(Some(100));
        assert_eq!([0x00, 0x3f, 0x40, 0xff].map(|b| four.of(&image(b))), [0, 0, 1, 3]);
        let most = Shards::for_images(Some(u64::MAX));
        assert_eq!(most.of(&image(0xfe)), 254);
        assert_eq!(most.count(), 256);
        assert_eq!(Shards::for_images(None).count(), 16);
        for shards in [four, most] {
            for shard in shards.all() {
                let first = shards.first_place(shard);
                assert_eq!(shards.of(&first), shard);
                assert!(shard == 0 || Some(shards.last_place(shard - 1)) == previous_place(&first));
            }
        }
        assert_eq!(four.last_place(3), ImageId::MAX);
        assert_eq!(previous_place(&ImageId::MIN), None);
        assert_eq!(Shards::for_images(Some(2_000_000)).count(), 64);
    }

    #[test]
    fn a_round_passes_every_place_once() {
        let shards = Shards::for_images(Some(100));
        for place in [0x00, 0x01, 0x7f, 0x80, 0xff].map(image) {
            let round: Vec<_> = shards.round(&place).collect();
            for probe in (0..=255).map(image).chain([ImageId::MIN, ImageId::MAX, place]) {
                let hits = round
                    .iter()
                    .filter(|s| s.shard == shards.of(&probe) && s.from <= probe && s.before.is_none_or(|b| probe < b));
                assert_eq!(hits.count(), 1, "{probe} from {place}");
            }
        }
    }

    #[test]
    fn the_next_place_carries_and_wraps() {
        assert_eq!(next_place(&ImageId::MAX), ImageId::MIN);
        let mut digest = [0; 32];
        digest[31] = 0xff;
        let next = next_place(&ImageId::from_digest(digest));
        assert_eq!(next.digest()[30..], [1, 0]);
    }

    #[test]
    fn shard_counts_are_checked_when_read() {
        assert!(serde_json::from_str::<Shards>("16").is_ok());
        for bad in ["0", "2", "5", "512"] {
            assert!(serde_json::from_str::<Shards>(bad).is_err());
        }
    }
}
