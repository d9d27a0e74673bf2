//! Whether the coded data of a JPEG are all there.
//!
//! Decoders fill up what is missing with grey and say nothing: a file whose data stop in the middle, but which ends
//! with a proper end marker, decodes "well". So the Huffman codes are read here once more, only to be counted: every
//! scan must hold all the blocks that its header promises. Nothing is computed of the values, hence this costs a part
//! of a decoding. The last unit of a scan may lack bits, since some encoders are sloppy at the very end and nobody
//! would see it.
//!
//! The walk has been over the file before: all segments lie within it, and the frame header is sound.

use crate::{Format, Refusal};

/// Looks at all scans of a JPEG. Before this is called, [`Layout::read`](crate::structure::Layout::read) must have
/// found nothing to object to. Says whether there are bytes among the data that belong to no block.
pub(crate) fn check(picture: &[u8]) -> Result<bool, Refusal> {
    let mut state = State::default();
    let mut at = 2;
    loop {
        // Any number of 0xff may stand before a marker.
        while picture.get(at) == Some(&0xff) {
            at += 1;
        }
        let Some(&marker) = picture.get(at) else {
            return Err(damaged("it has no end"));
        };
        if marker == 0xd9 {
            break;
        }
        let length = picture.get(at + 1..at + 3).map_or(0, |l| usize::from(u16::from_be_bytes([l[0], l[1]])));
        let data = picture.get(at + 3..at + 1 + length).ok_or_else(|| damaged("a segment reaches beyond its end"))?;
        at += 1 + length;
        match marker {
            0xc0..=0xc2 => state.frame(marker == 0xc2, data)?,
            0xc4 => state.tables(data)?,
            0xdd => {
                let interval = data.first_chunk().ok_or_else(|| damaged("a restart interval is too short"))?;
                state.restart_interval = u16::from_be_bytes(*interval).into();
            }
            0xda => at = state.scan(picture, at, data)?,
            _ => {}
        }
    }
    match state.components.iter().all(|component| component.seen) {
        true => Ok(state.surplus),
        false => Err(damaged("it lacks the data of a colour")),
    }
}

fn damaged(detail: impl std::fmt::Display) -> Refusal {
    Refusal::corrupt(Format::Jpeg, detail)
}

/// What can be wrong with a block. As small as can be, since it is a part of every answer in the innermost loop.
#[derive(Clone, Copy)]
enum Bad {
    Code,
    BeyondBlock,
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        damaged(match bad {
            Bad::Code => "its data hold a code that does not exist",
            Bad::BeyondBlock => "its data reach beyond the end of a block",
        })
    }
}

/// Bits that are looked at in one step. Longer codes are rare.
const LOOK: u32 = 9;

/// What a code stands for.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The length of the code in bits; 0 where there is no such code, or where it is longer than [`LOOK`].
    code: u8,
    /// The code together with the bits that follow it and belong to it.
    all: u8,
    symbol: u8,
    /// How many coefficients a sequential picture goes on by.
    advance: u8,
}

/// Past any coefficient: the block is over.
const END_OF_BLOCK: u8 = 128;
/// Sixteen zeros. It may reach beyond the end of a block; a value may not.
const SIXTEEN_ZEROS: u8 = 0xf0;

impl Entry {
    fn new(code: u8, symbol: u8, is_dc: bool) -> Self {
        let (run, size) = (symbol >> 4, symbol & 15);
        let advance = match (run, size) {
            _ if is_dc => 1,
            (15, 0) => 16,
            (_, 0) => END_OF_BLOCK,
            _ => run + 1,
        };
        Self { code, all: code + size, symbol, advance }
    }
}

/// A Huffman table.
#[derive(Clone)]
struct Table {
    short: [Entry; 1 << LOOK],
    /// For each length of a code: the first code that is too large for it, and what to add to get its place.
    long: [(u32, i32); 17],
    symbols: Vec<u8>,
    is_dc: bool,
}

impl Table {
    fn new(counts: &[u8; 16], symbols: &[u8], is_dc: bool) -> Result<Self, Refusal> {
        let mut table =
            Self { short: [Entry::default(); 1 << LOOK], long: [(0, 0); 17], symbols: symbols.to_vec(), is_dc };
        if is_dc && symbols.iter().any(|symbol| *symbol > 15) {
            return Err(damaged("a Huffman table has impossible values"));
        }
        let (mut code, mut place) = (0u32, 0usize);
        for (length, count) in (1u32..).zip(counts) {
            let first = code;
            for _ in 0..*count {
                if length <= LOOK {
                    let from = (code << (LOOK - length)) as usize;
                    let entry = Entry::new(length as u8, symbols[place], is_dc);
                    let to = from + (1 << (LOOK - length));
                    table.short.get_mut(from..to).ok_or_else(|| damaged("a Huffman table is too full"))?.fill(entry);
                }
                code += 1;
                place += 1;
            }
            if code > 1 << length {
                return Err(damaged("a Huffman table is too full"));
            }
            table.long[length as usize] = (code, place as i32 - i32::from(*count) - first as i32);
            code <<= 1;
        }
        Ok(table)
    }

    /// What the next bits stand for; they are the upper bits of `window`.
    #[inline(always)]
    fn entry(&self, window: u64) -> Result<Entry, Bad> {
        let entry = self.short[(window >> (64 - LOOK)) as usize];
        if entry.code > 0 { Ok(entry) } else { self.long_entry(window) }
    }

    #[cold]
    fn long_entry(&self, window: u64) -> Result<Entry, Bad> {
        for length in LOOK + 1..=16 {
            let code = (window >> (64 - length)) as u32;
            let (end, offset) = self.long[length as usize];
            if code < end {
                let symbol = self.symbols.get((code as i32 + offset) as usize).ok_or(Bad::Code)?;
                return Ok(Entry::new(length as u8, *symbol, self.is_dc));
            }
        }
        Err(Bad::Code)
    }
}

/// Reads coded data bit by bit up to the next marker; behind it come zeros without end.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bits, from the highest down.
    window: u64,
    /// How many bits of the window are filled.
    held: u32,
    /// How many of these are zeros that the file does not have.
    lent: u32,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, window: 0, held: 0, lent: 0 }
    }

    /// Makes sure that there are 32 bits: enough for the longest code with what belongs to it.
    #[inline(always)]
    fn fill(&mut self) {
        if self.held >= 32 {
            return;
        }
        if let Some(four) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<4>()) {
            let four = u32::from_be_bytes(*four);
            // No byte of the four is 0xff, which would have a meaning.
            let inverted = !four;
            if inverted.wrapping_sub(0x0101_0101) & !inverted & 0x8080_8080 == 0 {
                self.window |= u64::from(four) << (32 - self.held);
                self.held += 32;
                self.at += 4;
                return;
            }
        }
        self.fill_slowly();
    }

    fn fill_slowly(&mut self) {
        while self.held < 32 {
            let byte = match self.bytes.get(self.at..).unwrap_or_default() {
                [0xff, 0x00, ..] => {
                    self.at += 2;
                    0xff
                }
                [] | [0xff, ..] => {
                    self.lent += 32;
                    self.held += 32;
                    return;
                }
                [byte, ..] => {
                    self.at += 1;
                    *byte
                }
            };
            self.window |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
    }

    #[inline(always)]
    fn drop(&mut self, count: u32) {
        self.window <<= count;
        self.held -= count;
    }

    /// Up to 14 bits as a number. To be called after `fill` and at most one code.
    fn take(&mut self, count: u32) -> u32 {
        let number = (self.window >> 32 >> (32 - count)) as u32;
        self.drop(count);
        number
    }

    fn drop_many(&mut self, mut count: u32) {
        while count > 0 {
            self.fill();
            let now = count.min(32);
            self.drop(now);
            count -= now;
        }
    }

    /// Whether more bits were used than the file has.
    fn overdrawn(&self) -> bool {
        self.held < self.lent
    }

    /// One block of a sequential picture.
    #[inline(always)]
    fn block(&mut self, dc: &Table, ac: &Table) -> Result<(), Bad> {
        self.fill();
        let entry = dc.entry(self.window)?;
        self.drop(entry.all.into());
        let mut k = 1;
        let mut last = 0;
        while k < 64 {
            self.fill();
            let entry = ac.entry(self.window)?;
            self.drop(entry.all.into());
            k += u32::from(entry.advance);
            last = entry.symbol;
        }
        if k > 64 && k < u32::from(END_OF_BLOCK) && last != SIXTEEN_ZEROS { Err(Bad::BeyondBlock) } else { Ok(()) }
    }

    /// One block of the first scan for some coefficients. Notes in `set` which of them are not zero, and returns how
    /// many blocks after this one have none.
    fn first(&mut self, ac: &Table, band: &Band, set: &mut u64) -> Result<u32, Bad> {
        let mut k = band.start;
        while k <= band.end {
            self.fill();
            let entry = ac.entry(self.window)?;
            let (run, size) = (u32::from(entry.symbol >> 4), entry.symbol & 15);
            if size == 0 && run < 15 {
                self.drop(entry.code.into());
                return Ok((1 << run) - 1 + self.take(run));
            }
            self.drop(entry.all.into());
            k += run;
            if size > 0 {
                if k > 63 {
                    return Err(Bad::BeyondBlock);
                }
                *set |= 1 << k;
            }
            k += 1;
        }
        Ok(0)
    }

    /// One block of a scan that makes coefficients more exact: one bit for each that is not zero already, codes for
    /// those that no longer are. `run` is how many blocks from this one on have no codes.
    fn refine(&mut self, ac: &Table, band: &Band, set: &mut u64, run: &mut u32) -> Result<(), Bad> {
        let before = *set;
        let mut k = band.start;
        while *run == 0 && k <= band.end {
            self.fill();
            let entry = ac.entry(self.window)?;
            self.drop(entry.code.into());
            let (mut zeros, size) = (u32::from(entry.symbol >> 4), entry.symbol & 15);
            if size == 0 && zeros < 15 {
                *run = (1 << zeros) + self.take(zeros);
                break;
            }
            if size > 0 {
                self.drop(1);
            }
            while k <= band.end {
                if before >> k & 1 == 1 {
                    self.fill();
                    self.drop(1);
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                k += 1;
            }
            if size > 0 {
                if k > band.end {
                    return Err(Bad::BeyondBlock);
                }
                *set |= 1 << k;
            }
            k += 1;
        }
        if *run > 0 {
            *run -= 1;
            let rest = if k <= band.end { before >> k << k & u64::MAX >> (63 - band.end) } else { 0 };
            self.drop_many(rest.count_ones());
        }
        Ok(())
    }
}

/// The part of the coefficients that a scan of a progressive picture is about.
struct Band {
    start: u32,
    end: u32,
    refines: bool,
}

/// What the frame header says of a colour.
struct Component {
    id: u8,
    h: usize,
    v: usize,
    /// Size in blocks, where the component stands alone in a scan.
    blocks: (usize, usize),
    /// A bit for each coefficient of each block: whether it is not zero. Only for progressive pictures.
    set: Vec<u64>,
    seen: bool,
}

/// A component in a scan.
struct Part {
    component: usize,
    dc: usize,
    ac: usize,
}

#[derive(Default)]
struct State {
    progressive: bool,
    height: usize,
    h_max: usize,
    v_max: usize,
    /// Size in units of all components together.
    units: (usize, usize),
    components: Vec<Component>,
    restart_interval: usize,
    surplus: bool,
    dc: [Option<Box<Table>>; 4],
    ac: [Option<Box<Table>>; 4],
}

impl State {
    fn frame(&mut self, progressive: bool, data: &[u8]) -> Result<(), Refusal> {
        let (Some(&[_, h1, h0, w1, w0, _]), Some(components)) = (data.first_chunk(), data.get(6..)) else {
            return Err(damaged("its header is too short"));
        };
        let sampled = |c: &[u8]| (usize::from(c[1] >> 4), usize::from(c[1] & 15));
        let components = components.chunks_exact(3);
        self.progressive = progressive;
        self.height = u16::from_be_bytes([h1, h0]).into();
        self.h_max = components.clone().map(|c| sampled(c).0).max().unwrap_or(1);
        self.v_max = components.clone().map(|c| sampled(c).1).max().unwrap_or(1);
        let (width, height) = (usize::from(u16::from_be_bytes([w1, w0])), self.height);
        let (across, down) = (8 * self.h_max, 8 * self.v_max);
        self.units = (width.div_ceil(across), height.div_ceil(down));
        self.components = components
            .map(|c| {
                let (h, v) = sampled(c);
                let blocks = ((width * h).div_ceil(across), (height * v).div_ceil(down));
                Component { id: c[0], h, v, blocks, set: Vec::new(), seen: false }
            })
            .collect();
        Ok(())
    }

    fn tables(&mut self, mut data: &[u8]) -> Result<(), Refusal> {
        while let Some((&[head, ref counts @ ..], rest)) = data.split_first_chunk::<17>() {
            let count = counts.iter().map(|n| usize::from(*n)).sum();
            let symbols = rest.get(..count).ok_or_else(|| damaged("a Huffman table is too short"))?;
            let (class, place) = (head >> 4, usize::from(head & 15));
            let tables = if class == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(place).filter(|_| class < 2);
            *table.ok_or_else(|| damaged("a Huffman table has no place"))? =
                Some(Box::new(Table::new(counts, symbols, class == 0)?));
            data = &rest[count..];
        }
        Ok(())
    }

    /// Goes through a scan that begins at `at` and returns where the next marker is.
    fn scan(&mut self, picture: &[u8], at: usize, header: &[u8]) -> Result<usize, Refusal> {
        let count = usize::from(header.first().copied().unwrap_or(0));
        let (Some(parts), Some(&[start, end, precision])) =
            (header.get(1..1 + 2 * count), header.get(1 + 2 * count..).and_then(|rest| rest.first_chunk()))
        else {
            return Err(damaged("the header of a scan is too short"));
        };
        let mut scan = Vec::with_capacity(count);
        for part in parts.chunks_exact(2) {
            let component = self.components.iter().position(|component| component.id == part[0]);
            let component = component.ok_or_else(|| damaged("a scan is about a colour that it does not have"))?;
            scan.push(Part { component, dc: usize::from(part[1] >> 4), ac: usize::from(part[1] & 15) });
        }
        if scan.is_empty() || scan.len() > 4 {
            return Err(damaged("a scan has an impossible number of colours"));
        }
        let band = Band { start: start.into(), end: end.into(), refines: precision >> 4 > 0 };
        if self.progressive && (band.end > 63 || band.start > band.end || (band.start == 0) != (band.end == 0)) {
            return Err(damaged("a scan is about impossible coefficients"));
        }
        if self.progressive && band.start > 0 && scan.len() > 1 {
            return Err(damaged("a scan mixes what may not be mixed"));
        }
        if !self.progressive || (band.start == 0 && !band.refines) {
            for part in &scan {
                self.components[part.component].seen = true;
            }
        }
        let (across, down) = match scan.as_slice() {
            [alone] => self.components[alone.component].blocks,
            _ => self.units,
        };
        let total = across * down;
        let rows_of_unit = match scan.as_slice() {
            [alone] => 8 * self.v_max / self.components[alone.component].v,
            _ => 8 * self.v_max,
        };
        let mut next = at;
        let mut done = 0;
        while done < total {
            let stop = if self.restart_interval > 0 { total.min(done + self.restart_interval) } else { total };
            let mut bits = Bits::new(picture, next);
            let got = self.units(&mut bits, &scan, &band, across, done..stop, total)?;
            next = next_marker(picture, bits.at);
            // A few bytes have been read ahead; some fill up what they write to a round number.
            self.surplus |= next > bits.at + 8;
            done = stop;
            let goes_on = matches!(picture.get(next + 1), Some(0xd0..=0xd7));
            if got < stop || (done < total && !goes_on) {
                let row = got / across * rows_of_unit;
                return Err(damaged(format_args!("its data end at row {row} of {}", self.height)));
            }
            if done < total {
                next += 2;
            }
        }
        // Some write a restart marker too many at the end.
        while matches!(picture.get(next + 1), Some(0xd0..=0xd7)) {
            next = next_marker(picture, next + 2);
        }
        Ok(next)
    }

    /// Reads some units of a scan and says how far it came.
    fn units(
        &mut self,
        bits: &mut Bits<'_>,
        scan: &[Part],
        band: &Band,
        across: usize,
        units: std::ops::Range<usize>,
        total: usize,
    ) -> Result<usize, Refusal> {
        let short = |bits: &Bits<'_>, unit: usize| bits.lent > 0 && bits.overdrawn() && unit + 1 < total;
        if self.progressive && band.start > 0 {
            let (part, Some(ac)) = (&scan[0], self.ac.get(scan[0].ac).and_then(Option::as_deref)) else {
                return Ok(units.end);
            };
            let component = &mut self.components[part.component];
            if component.set.is_empty() {
                component.set = vec![0; component.blocks.0 * component.blocks.1];
            }
            let mut run = 0;
            let mut unit = units.start;
            while unit < units.end {
                let set = &mut component.set[unit];
                if band.refines {
                    bits.refine(ac, band, set, &mut run)?;
                } else {
                    run = bits.first(ac, band, set)?;
                }
                if short(bits, unit) {
                    return Ok(unit);
                }
                unit += 1;
                if !band.refines {
                    unit += run as usize;
                }
            }
            return Ok(units.end);
        }
        // The blocks of a unit, with their tables.
        let mut blocks = Vec::with_capacity(10);
        for part in scan {
            let component = &self.components[part.component];
            let count = if scan.len() == 1 { 1 } else { component.h * component.v };
            let dc = self.dc.get(part.dc).and_then(Option::as_deref);
            let ac = self.ac.get(part.ac).and_then(Option::as_deref);
            // A file that defines no tables may mean those that moving pictures have. Whether it may, the decoder
            // decides.
            match (dc, ac) {
                (Some(dc), Some(ac)) if !self.progressive => blocks.extend(std::iter::repeat_n((dc, ac), count)),
                (Some(dc), _) if self.progressive => blocks.extend(std::iter::repeat_n((dc, dc), count)),
                _ if self.progressive && band.refines => {}
                _ => return Ok(units.end),
            }
        }
        let bits_of_unit: usize = match scan {
            [_] => 1,
            _ => scan.iter().map(|part| self.components[part.component].h * self.components[part.component].v).sum(),
        };
        debug_assert!(across > 0);
        for unit in units.clone() {
            if !self.progressive {
                for (dc, ac) in &blocks {
                    bits.block(dc, ac)?;
                }
            } else if band.refines {
                bits.drop_many(bits_of_unit as u32);
            } else {
                for (dc, _) in &blocks {
                    bits.fill();
                    let entry = dc.entry(bits.window)?;
                    bits.drop(entry.all.into());
                }
            }
            if short(bits, unit) {
                return Ok(unit);
            }
        }
        Ok(units.end)
    }
}

/// Where the next marker begins, looked for from `at` on.
fn next_marker(picture: &[u8], mut at: usize) -> usize {
    loop {
        let rest = picture.get(at..).unwrap_or_default();
        let Some(found) = rest.iter().position(|byte| *byte == 0xff) else {
            return picture.len();
        };
        at += found;
        match picture.get(at + 1) {
            Some(0x00) => at += 2,
            Some(0xff) => at += 1,
            _ => return at,
        }
    }
}
