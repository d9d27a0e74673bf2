//! Writes JPEG files of every kind that the standard knows and some that it does not, with the simplest of codes.

/// What is to be written.
#[derive(Clone)]
pub(super) struct Jpeg {
    pub(super) width: u16,
    pub(super) height: u16,
    /// Horizontal and vertical sampling of each component.
    pub(super) sampling: Vec<(u8, u8)>,
    /// The last byte of the marker of the frame header.
    pub(super) frame: u8,
    pub(super) precision: u8,
    /// Each component in a scan of its own.
    pub(super) split: bool,
    /// Units between two restart markers; 0 for none.
    pub(super) restart: u16,
    /// The colour transform of an Adobe segment.
    pub(super) adobe: Option<u8>,
    /// Segments that come before all others, whole.
    pub(super) before: Vec<u8>,
    /// Scans of a progressive picture that say nothing new.
    pub(super) idle_scans: usize,
}

impl Jpeg {
    pub(super) fn new(width: u16, height: u16) -> Self {
        Self {
            width,
            height,
            sampling: vec![(1, 1); 3],
            frame: 0xc0,
            precision: 8,
            split: false,
            restart: 0,
            adobe: None,
            before: Vec::new(),
            idle_scans: 0,
        }
    }

    pub(super) fn progressive(mut self) -> Self {
        self.frame = 0xc2;
        self
    }

    pub(super) fn sampled(mut self, sampling: &[(u8, u8)]) -> Self {
        self.sampling = sampling.to_vec();
        self
    }

    pub(super) fn with(mut self, segment: &[u8]) -> Self {
        self.before.extend(segment);
        self
    }

    /// All that comes before the first scan, and the header of a scan of all components.
    pub(super) fn head_only(&self) -> Vec<u8> {
        let mut out = self.head();
        let mut scan = vec![self.sampling.len() as u8];
        (1..=self.sampling.len() as u8).for_each(|id| scan.extend([id, 0]));
        scan.extend([0, if self.frame == 0xc2 { 0 } else { 63 }, 0]);
        out.extend(segment(0xda, &scan));
        out
    }

    fn head(&self) -> Vec<u8> {
        let mut out = vec![0xff, 0xd8];
        out.extend(&self.before);
        match self.adobe {
            Some(transform) => {
                out.extend(segment(0xee, &[b"Adobe".as_slice(), &[0, 100, 0, 0, 0, 0, transform]].concat()));
            }
            None => out.extend(segment(0xe0, b"JFIF\0\x01\x02\0\0\x01\0\x01\0\0")),
        }
        out.extend(segment(0xdb, &[&[0u8][..], &[8; 64]].concat()));
        let mut frame = vec![self.precision];
        frame.extend(self.height.to_be_bytes());
        frame.extend(self.width.to_be_bytes());
        frame.push(self.sampling.len() as u8);
        for (id, (h, v)) in (1..).zip(&self.sampling) {
            frame.extend([id, h << 4 | v, 0]);
        }
        out.extend(segment(self.frame, &frame));
        out.extend(tables());
        if self.restart > 0 {
            out.extend(segment(0xdd, &self.restart.to_be_bytes()));
        }
        out
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = self.head();
        let all: Vec<usize> = (0..self.sampling.len()).collect();
        if self.frame != 0xc2 {
            match self.split {
                true => all.iter().for_each(|c| self.scan(&mut out, &[*c], [0, 63, 0], Kind::Sequential)),
                false => self.scan(&mut out, &all, [0, 63, 0], Kind::Sequential),
            }
        } else {
            self.scan(&mut out, &all, [0, 0, 0x01], Kind::DcFirst);
            for c in &all {
                self.scan(&mut out, &[*c], [1, 5, 0x01], Kind::AcFirst);
            }
            for n in 0..1 + self.idle_scans {
                self.scan(&mut out, &[all[n % all.len()]], [6, 63, 0], Kind::Nothing);
            }
            self.scan(&mut out, &all, [0, 0, 0x10], Kind::DcRefine);
            for c in &all {
                self.scan(&mut out, &[*c], [1, 5, 0x10], Kind::AcRefine);
            }
        }
        out.extend([0xff, 0xd9]);
        out
    }

    fn scan(&self, out: &mut Vec<u8>, components: &[usize], parameters: [u8; 3], kind: Kind) {
        let mut header = vec![components.len() as u8];
        for c in components {
            header.extend([*c as u8 + 1, 0]);
        }
        header.extend(parameters);
        out.extend(segment(0xda, &header));
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let h_max = self.sampling.iter().map(|s| usize::from(s.0)).max().unwrap_or(1);
        let v_max = self.sampling.iter().map(|s| usize::from(s.1)).max().unwrap_or(1);
        let (across, down) = match components {
            [alone] => {
                let (h, v) = self.sampling[*alone];
                ((width * usize::from(h)).div_ceil(8 * h_max), (height * usize::from(v)).div_ceil(8 * v_max))
            }
            _ => (width.div_ceil(8 * h_max), height.div_ceil(8 * v_max)),
        };
        let mut bits = Bits { out, held: 0, count: 0 };
        let total = across * down;
        let interval = if self.restart > 0 { usize::from(self.restart) } else { total.max(1) };
        for (number, begin) in (0..total).step_by(interval).enumerate() {
            let end = total.min(begin + interval);
            if begin > 0 {
                bits.flush();
                bits.out.extend([0xff, 0xd0 + ((number - 1) % 8) as u8]);
            }
            if kind == Kind::Nothing {
                bits.nothing(end - begin);
                continue;
            }
            let mut before = [0i32; 5];
            for unit in begin..end {
                for c in components {
                    let (h, v) = self.sampling[*c];
                    let blocks = if components.len() == 1 { 1 } else { h * v };
                    for n in 0..blocks {
                        let value = (((unit % across) * 7 + (unit / across) * 13 + c * 29) % 41) as i32 - 20;
                        let value = value + i32::from(n);
                        bits.block(kind, value - before[*c]);
                        before[*c] = value;
                    }
                }
            }
        }
        bits.flush();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sequential,
    DcFirst,
    AcFirst,
    /// The first scan for coefficients that are all zero.
    Nothing,
    DcRefine,
    AcRefine,
}

/// Symbols of the tables, all with codes of the same length: a code is the place in the list.
const DC_SYMBOLS: [u8; 12] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
const AC_SYMBOLS: [u8; 18] =
    [0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0x01, 0xf0, 0x11];
/// The place of the symbol for a value of one bit, directly after the one before.
const ONE_BIT: u32 = 15;

fn tables() -> Vec<u8> {
    let table = |head: u8, length: usize, symbols: &[u8]| {
        let mut counts = [0; 16];
        counts[length - 1] = symbols.len() as u8;
        segment(0xc4, &[&[head][..], &counts, symbols].concat())
    };
    [table(0x00, 4, &DC_SYMBOLS), table(0x10, 5, &AC_SYMBOLS)].concat()
}

/// A whole segment.
pub(super) fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u16 + 2).to_be_bytes();
    [&[0xff, marker][..], &length, data].concat()
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    count: u32,
}

impl Bits<'_> {
    fn put(&mut self, value: u32, count: u32) {
        self.held = self.held << count | u64::from(value);
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.held >> self.count) as u8;
            self.out.push(byte);
            if byte == 0xff {
                self.out.push(0);
            }
        }
    }

    /// Fills the last byte with ones.
    fn flush(&mut self) {
        if self.count > 0 {
            let missing = 8 - self.count;
            self.put((1 << missing) - 1, missing);
        }
    }

    fn dc(&mut self, difference: i32) {
        let size = 32 - difference.unsigned_abs().leading_zeros();
        self.put(size, 4);
        let bits = if difference < 0 { difference - 1 } else { difference };
        self.put(bits as u32 & ((1 << size) - 1), size);
    }

    fn block(&mut self, kind: Kind, difference: i32) {
        match kind {
            Kind::Sequential | Kind::AcFirst => {
                if kind == Kind::Sequential {
                    self.dc(difference);
                }
                self.put(ONE_BIT, 5);
                self.put(1, 1);
                self.put(0, 5);
            }
            Kind::DcFirst => self.dc(difference),
            Kind::DcRefine => self.put(1, 1),
            // The end of the block, and a bit for the one coefficient that is not zero.
            Kind::AcRefine => {
                self.put(0, 5);
                self.put(0, 1);
            }
            Kind::Nothing => {}
        }
    }

    /// That many blocks have only zeros.
    fn nothing(&mut self, mut blocks: usize) {
        while blocks > 0 {
            let size = (usize::BITS - 1 - blocks.leading_zeros()).min(14);
            let now = blocks.min((2 << size) - 1);
            self.put(size, 5);
            self.put((now - (1 << size)) as u32, size);
            blocks -= now;
        }
    }
}
