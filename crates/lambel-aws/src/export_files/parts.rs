//! How a file is joined of objects: a multipart upload, whose parts have 5 MiB at least, except for the last.
//!
//! Large stretches are copied within S3 and never come here. What is too small to be a part is read, and sent together
//! with as much of what follows as makes a part.

use std::ops::Range;

/// The least that a part has, except for the last. S3 copies stretches only of objects that are longer than this, so a
/// stretch of an object that is one part longer is copied, a shorter one sent.
pub(super) const LEAST: u64 = 5 << 20;
/// The most that is copied at once: a copy is one request, which has to end in time.
pub(super) const MOST: u64 = 64 << 20;

/// A stretch of one of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Which object.
    pub(super) object: usize,
    /// Which of its bytes.
    pub(super) bytes: Range<u64>,
}

/// A part of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Copied where it lies.
    Copied(Stretch),
    /// Read, and sent as one part.
    Sent(Vec<Stretch>),
}

/// The parts of a file that is made of objects of these lengths. None if there is not a single byte.
pub(super) fn parts(lengths: &[u64]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut small: Vec<Stretch> = Vec::new();
    let mut held = 0;
    for (object, length) in lengths.iter().copied().enumerate() {
        let mut at = 0;
        if held > 0 {
            at = length.min(LEAST - held);
            held += at;
            small.push(Stretch { object, bytes: 0..at });
            if held < LEAST {
                continue;
            }
            parts.push(Part::Sent(std::mem::take(&mut small)));
            held = 0;
        }
        let rest = length - at;
        if rest > LEAST {
            // Stretches of one size, so that the last is none that is too small.
            let count = rest.div_ceil(MOST);
            for n in 0..count {
                let bytes = at + rest * n / count..at + rest * (n + 1) / count;
                parts.push(Part::Copied(Stretch { object, bytes }));
            }
        } else if rest > 0 {
            held = rest;
            small.push(Stretch { object, bytes: at..length });
            if held == LEAST {
                parts.push(Part::Sent(std::mem::take(&mut small)));
                held = 0;
            }
        }
    }
    if held > 0 {
        parts.push(Part::Sent(small));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(part: &Part) -> u64 {
        let bytes = |stretch: &Stretch| stretch.bytes.end - stretch.bytes.start;
        match part {
            Part::Copied(stretch) => bytes(stretch),
            Part::Sent(stretches) => stretches.iter().map(bytes).sum(),
        }
    }

    /// Every byte once, in order; no part too small but the last; nothing copied that S3 would not copy.
    fn check(lengths: &[u64]) {
        let parts = parts(lengths);
        let mut at = (0, 0);
        for (place, part) in parts.iter().enumerate() {
            let size = length(part);
            assert!(size <= MOST.max(2 * LEAST), "{lengths:?}: {part:?}");
            assert!(size >= LEAST || place + 1 == parts.len(), "{lengths:?}: {part:?} is too small");
            let stretches = match part {
                Part::Copied(stretch) => {
                    assert!(lengths[stretch.object] > LEAST, "{lengths:?}: {part:?} cannot be copied");
                    std::slice::from_ref(stretch)
                }
                Part::Sent(stretches) => {
                    assert!(size <= LEAST, "{lengths:?}: {part:?} is more than need be sent");
                    stretches
                }
            };
            for Stretch { object, bytes } in stretches.iter().filter(|stretch| !stretch.bytes.is_empty()) {
                while at.1 == lengths[at.0] {
                    at = (at.0 + 1, 0);
                }
                assert_eq!(at, (*object, bytes.start), "{lengths:?}");
                at.1 = bytes.end;
            }
        }
        assert_eq!(parts.iter().map(length).sum::<u64>(), lengths.iter().sum::<u64>(), "{lengths:?}");
    }

    #[test]
    fn parts_are_the_bytes_in_their_order_and_none_is_too_small() {
        let sizes = [0, 1, LEAST - 1, LEAST, LEAST + 1, 2 * LEAST - 1, 2 * LEAST, MOST, MOST + 1, 3 * MOST + 7];
        for a in sizes {
            for b in sizes {
                for c in sizes {
                    for d in sizes {
                        check(&[a, b, c, d]);
                    }
                }
            }
        }
        check(&[]);
        assert_eq!(parts(&[0, 0]), []);
    }
}
