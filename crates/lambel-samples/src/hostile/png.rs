//! Writes PNG files chunk by chunk.

pub(super) const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What the header says.
#[derive(Clone, Copy)]
pub(super) struct Png {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) depth: u8,
    /// 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGB and alpha.
    pub(super) color: u8,
    pub(super) interlaced: bool,
}

impl Png {
    pub(super) fn new(width: u32, height: u32, depth: u8, color: u8) -> Self {
        Self { width, height, depth, color, interlaced: false }
    }

    pub(super) fn interlaced(self) -> Self {
        Self { interlaced: true, ..self }
    }

    /// Signature and header.
    pub(super) fn head(self) -> Vec<u8> {
        let mut header = [self.width.to_be_bytes(), self.height.to_be_bytes()].concat();
        header.extend([self.depth, self.color, 0, 0, self.interlaced.into()]);
        [SIGNATURE, &chunk(b"IHDR", &header)].concat()
    }

    /// The length of what `IDAT` inflates to.
    pub(super) fn raw_len(self) -> usize {
        const PASSES: [(u32, u32, u32, u32); 7] =
            [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];
        let channels = [1, 0, 3, 1, 2, 0, 4][usize::from(self.color)];
        let rows = |width: u32, height: u32| match width {
            0 => 0,
            _ => (1 + (width as usize * channels * usize::from(self.depth)).div_ceil(8)) * height as usize,
        };
        match self.interlaced {
            false => rows(self.width, self.height),
            true => PASSES
                .iter()
                .map(|(x, y, dx, dy)| {
                    rows(self.width.saturating_sub(*x).div_ceil(*dx), self.height.saturating_sub(*y).div_ceil(*dy))
                })
                .sum(),
        }
    }

    /// A whole file; `between` stands between the header and the data. Every sample is zero.
    pub(super) fn with(self, between: &[u8]) -> Vec<u8> {
        let palette = match self.color {
            3 => chunk(b"PLTE", &[200, 30, 30, 20, 90, 200]),
            _ => Vec::new(),
        };
        let data = chunk(b"IDAT", &zeros(self.raw_len()));
        [&self.head(), &palette, between, &data, &chunk(b"IEND", b"")].concat()
    }
}

pub(super) fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32).to_be_bytes().to_vec();
    out.extend(kind);
    out.extend(data);
    let checksum = crc32fast::hash(&out[4..]);
    out.extend(checksum.to_be_bytes());
    out
}

/// A zlib stream that holds the data as they are.
pub(super) fn stored(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut pieces = data.chunks(0xffff).peekable();
    while let Some(piece) = pieces.next() {
        out.push(u8::from(pieces.peek().is_none()));
        out.extend((piece.len() as u16).to_le_bytes());
        out.extend((!(piece.len() as u16)).to_le_bytes());
        out.extend(piece);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in data {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// A zlib stream that inflates to at least 300 zeros, a thousand and thirty-two for each of its bytes: as much as
/// the format can do. A gigabyte is one megabyte.
pub(super) fn zeros(count: usize) -> Vec<u8> {
    if count < 1000 {
        return stored(&vec![0; count]);
    }
    let mut bits = Vec::new();
    let mut put = |value: u32, count: u32| bits.extend((0..count).map(|bit| value >> bit & 1 == 1));
    // A last block with tables of its own: 286 codes for lengths and literals, 1 for distances, 18 for these.
    put(1, 1);
    put(2, 2);
    put(29, 5);
    put(0, 5);
    put(14, 4);
    // Lengths of the codes for lengths, in the order of the format: 16 17 18 0 8 7 9 6 10 5 11 4 12 3 13 2 14 1.
    for length in [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2] {
        put(length, 3);
    }
    // Codes go from the highest bit down. 18 is `0`, 1 is `10`, 2 is `11`.
    const MANY_ZEROS: (u32, u32) = (0b0, 1);
    const ONE: (u32, u32) = (0b01, 2);
    const TWO: (u32, u32) = (0b11, 2);
    for ((code, length), more) in [
        (TWO, None),
        (MANY_ZEROS, Some(138 - 11)),
        (MANY_ZEROS, Some(117 - 11)),
        (TWO, None),
        (MANY_ZEROS, Some(28 - 11)),
        (ONE, None),
        (ONE, None),
    ] {
        put(code, length);
        if let Some(more) = more {
            put(more, 7);
        }
    }
    // The literal 0 is `10`, the end `11`, and 258 times the byte before is `0` with a distance of `0`.
    let runs = (count - 1) / 258;
    for _ in 0..count - runs * 258 {
        put(0b01, 2);
    }
    // Zero bits up to the next whole byte, whole bytes, and the rest.
    let zero_bits = 2 * runs;
    let first = zero_bits.min((8 - bits.len() % 8) % 8);
    bits.resize(bits.len() + first, false);
    let mut out = vec![0x78, 0xda];
    let pack = |bits: &[bool], out: &mut Vec<u8>| {
        out.extend(bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |n, bit| n << 1 | u8::from(*bit))));
    };
    let whole = bits.len() / 8 * 8;
    pack(&bits[..whole], &mut out);
    let mut tail = bits[whole..].to_vec();
    if tail.is_empty() {
        out.resize(out.len() + (zero_bits - first) / 8, 0);
        tail.resize((zero_bits - first) % 8, false);
    }
    tail.extend([true, true]);
    pack(&tail, &mut out);
    out.extend(((count % 65_521) as u32 * 65_536 + 1).to_be_bytes());
    out
}
