//! Writing trees: whole ones from a stream of rows, and ones that follow another by some changes.

use std::collections::{BTreeMap, HashSet};

use futures::{TryStreamExt, future::BoxFuture, stream::FuturesUnordered};
use lambel_core::ImageId;

use crate::{
    ContentId, Error, ObjectStore, Range, Statistics, Tree, Written, canonical,
    error::Result,
    pack,
    row::Row,
    store::ObjectKey,
    tree::{AT_ONCE, CHUNK_BYTES, CHUNK_ROWS, ChunkEntry, divide, encode_chunk, read_chunk},
};

/// Whether so many rows of so many bytes are one chunk.
pub(crate) fn fits(rows: u64, bytes: u64) -> bool {
    rows <= 1 || (rows <= CHUNK_ROWS as u64 && bytes <= CHUNK_BYTES)
}

/// A chunk that was cut.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) entry: ChunkEntry,
    pub(crate) bytes: Vec<u8>,
}

/// Cuts a stream of rows, sorted by image, at the places that follow from the rows alone. It holds the rows of
/// one chunk.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// The ranges that are still to come, the next one last.
    ranges: Vec<Range>,
    /// The lines of the rows that wait for the end of their chunk, with their images.
    lines: Vec<(ImageId, Vec<u8>)>,
    bytes: u64,
    last: Option<ImageId>,
}

impl Cutter {
    /// Cuts the rows of a range.
    pub(crate) fn new(range: Range) -> Self {
        Self { ranges: vec![range], lines: Vec::new(), bytes: 0, last: None }
    }

    /// Takes a row; hands out the chunks that are whole by it.
    pub(crate) fn push(&mut self, row: &Row, cuts: &mut Vec<Cut>) -> Result<()> {
        let image = row.image;
        if let Some(after) = self.last.filter(|last| *last >= image) {
            return Err(Error::OutOfOrder { image, after });
        }
        self.last = Some(image);
        let mut line = canonical::bytes(row)?;
        line.push(b'\n');
        while self.ranges.last().is_some_and(|range| !range.contains(&image)) {
            self.cut(cuts);
        }
        self.bytes += line.len() as u64;
        self.lines.push((image, line));
        while !fits(self.lines.len() as u64, self.bytes) {
            let Some((left, right)) = self.ranges.pop().and_then(|range| range.halves()) else { break };
            self.ranges.push(right);
            self.ranges.push(left);
            if right.contains(&image) {
                // What was there before this row did fit, and the left half is a part of that.
                let rights = self.lines.split_off(self.lines.partition_point(|(image, _)| left.contains(image)));
                self.cut(cuts);
                self.bytes = rights.iter().map(|(_, line)| line.len() as u64).sum();
                self.lines = rights;
            }
        }
        Ok(())
    }

    /// The last chunk.
    pub(crate) fn finish(mut self, cuts: &mut Vec<Cut>) {
        self.cut(cuts);
    }

    /// Ends the range that is under way.
    fn cut(&mut self, cuts: &mut Vec<Cut>) {
        let Some(range) = self.ranges.pop() else { return };
        if self.lines.is_empty() {
            return;
        }
        let mut lines = Vec::with_capacity(self.lines.iter().map(|(_, line)| line.len()).sum());
        let rows = self.lines.len() as u64;
        for (_, line) in self.lines.drain(..) {
            lines.extend(line);
        }
        self.bytes = 0;
        let bytes = encode_chunk(&lines);
        let entry = ChunkEntry { range, rows, bytes: lines.len() as u64, id: ContentId::of(&bytes) };
        cuts.push(Cut { entry, bytes });
    }
}

/// Writes a tree from rows that come sorted by image, each image once. It holds the rows of one chunk, the chunks
/// that are on their way, and the list of chunks.
pub struct TreeWriter<'a> {
    objects: &'a dyn ObjectStore,
    base: Option<&'a Tree>,
    /// What the base has: it need not be put again.
    known: HashSet<ContentId>,
    at_once: usize,
    cutter: Cutter,
    puts: FuturesUnordered<BoxFuture<'a, Result<u64>>>,
    chunks: Vec<ChunkEntry>,
    statistics: Statistics,
    written: Written,
}

impl<'a> TreeWriter<'a> {
    /// Begins a tree. Chunks that a base has are not written again; the base must be one that a ref reaches.
    pub async fn begin(objects: &'a dyn ObjectStore, base: Option<&'a Tree>) -> Result<Self> {
        let known = match base {
            Some(base) => base.chunks(objects).await?.into_iter().map(|chunk| chunk.id).collect(),
            None => HashSet::new(),
        };
        Ok(Self {
            objects,
            base,
            known,
            at_once: AT_ONCE,
            cutter: Cutter::new(Range::WHOLE),
            puts: FuturesUnordered::new(),
            chunks: Vec::new(),
            statistics: Statistics::default(),
            written: Written::default(),
        })
    }

    /// How many chunks are put at the same time. It makes no difference to what comes out.
    pub fn at_once(mut self, at_once: usize) -> Self {
        self.at_once = at_once.max(1);
        self
    }

    /// Takes the next row.
    pub async fn push(&mut self, mut row: Row) -> Result<()> {
        row.tidy();
        self.statistics.add(&row);
        let mut cuts = Vec::new();
        self.cutter.push(&row, &mut cuts)?;
        self.put(cuts).await
    }

    async fn put(&mut self, cuts: Vec<Cut>) -> Result<()> {
        for Cut { entry, bytes } in cuts {
            self.chunks.push(entry);
            if !self.known.insert(entry.id) {
                continue;
            }
            while self.puts.len() >= self.at_once {
                self.settle().await?;
            }
            let objects = self.objects;
            self.puts.push(Box::pin(async move { pack::store(objects, ObjectKey::chunk(entry.id), &bytes).await }));
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<()> {
        if let Some(bytes) = self.puts.try_next().await? {
            self.written.objects += 1;
            self.written.bytes += bytes;
        }
        Ok(())
    }

    /// Writes what is left: the last chunk, the lists, and the root after all of them.
    pub async fn finish(mut self) -> Result<(Tree, Written)> {
        let mut cuts = Vec::new();
        std::mem::replace(&mut self.cutter, Cutter::new(Range::WHOLE)).finish(&mut cuts);
        self.put(cuts).await?;
        while !self.puts.is_empty() {
            self.settle().await?;
        }
        let mut written = self.written;
        let tree = Tree::write(self.objects, self.chunks, self.statistics, self.base, &mut written).await?;
        Ok((tree, written))
    }
}

/// Writes a tree from rows in any order, each image once.
pub async fn write_rows(objects: &dyn ObjectStore, mut rows: Vec<Row>, base: Option<&Tree>) -> Result<(Tree, Written)> {
    rows.sort_by_key(|row| row.image);
    let mut writer = TreeWriter::begin(objects, base).await?;
    for row in rows {
        writer.push(row).await?;
    }
    writer.finish().await
}

/// A piece of the tree that is being made: as it was, or new.
struct Piece {
    entry: ChunkEntry,
    /// The bytes, where it is new.
    bytes: Option<Vec<u8>>,
}

/// Writes the tree that follows from another by changes: for each image its row, or none to take it out. Only the
/// chunks that hold a changed image are read and written. The tree is the very one that all its rows give.
pub async fn write_changes(
    objects: &dyn ObjectStore,
    base: &Tree,
    changes: BTreeMap<ImageId, Option<Row>>,
) -> Result<(Tree, Written)> {
    let chunks = base.chunks(objects).await?;
    let known: HashSet<ContentId> = chunks.iter().map(|chunk| chunk.id).collect();
    let mut statistics = base.statistics.clone();
    let mut pieces = Vec::with_capacity(chunks.len() + 1);
    for task in affected(&chunks, changes) {
        match task {
            Affected::Kept(entry) => pieces.push(Piece { entry, bytes: None }),
            Affected::Changed(range, entry, changes) => {
                let before = match &entry {
                    Some(entry) => read_chunk(objects, entry).await?,
                    None => Vec::new(),
                };
                let after = change(before, changes, &mut statistics);
                pieces.extend(cut_all(range, &after)?);
            }
        }
    }
    // Ranges that have become small are joined with their neighbours.
    let mut groups = Vec::new();
    let all_fit = |pieces: &[Piece]| {
        let sum = |of: fn(&ChunkEntry) -> u64| pieces.iter().map(|piece| of(&piece.entry)).sum();
        fits(sum(|entry| entry.rows), sum(|entry| entry.bytes))
    };
    divide(Range::WHOLE, &pieces, &|piece| piece.entry.range, &all_fit, &mut groups);
    let mut entries = Vec::with_capacity(groups.len());
    let mut puts: Vec<Cut> = Vec::new();
    for (range, group) in groups {
        match group {
            [Piece { entry, bytes }] => {
                let entry = ChunkEntry { range, ..*entry };
                entries.push(entry);
                puts.extend(bytes.clone().map(|bytes| Cut { entry, bytes }));
            }
            several => {
                let mut rows = Vec::new();
                for piece in several {
                    let key = ObjectKey::chunk(piece.entry.id);
                    rows.extend(match &piece.bytes {
                        Some(bytes) => crate::tree::decode_chunk(key, bytes)?,
                        None => read_chunk(objects, &piece.entry).await?,
                    });
                }
                for Piece { entry, bytes } in cut_all(range, &rows)? {
                    entries.push(entry);
                    puts.extend(bytes.map(|bytes| Cut { entry, bytes }));
                }
            }
        }
    }
    puts.retain(|cut| !known.contains(&cut.entry.id));
    let puts = puts.into_iter().map(|cut| (ObjectKey::chunk(cut.entry.id), cut.bytes)).collect();
    let mut written = pack::store_all(objects, puts).await?;
    let tree = Tree::write(objects, entries, statistics, Some(base), &mut written).await?;
    Ok((tree, written))
}

/// What happens to a stretch of the ring.
enum Affected {
    Kept(ChunkEntry),
    Changed(Range, Option<ChunkEntry>, Vec<(ImageId, Option<Row>)>),
}

/// Puts chunks and changes together, in the order of the ring. An image for which no chunk is there yet gets the
/// range of itself alone; it is joined with its neighbours later.
fn affected(chunks: &[ChunkEntry], changes: BTreeMap<ImageId, Option<Row>>) -> Vec<Affected> {
    let mut all: Vec<Affected> = Vec::with_capacity(chunks.len() + changes.len());
    let mut changes = changes.into_iter().peekable();
    for chunk in chunks {
        while let Some((image, row)) = changes.next_if(|(image, _)| *image < chunk.range.first()) {
            all.push(Affected::Changed(alone(&image), None, vec![(image, row)]));
        }
        let mut within = Vec::new();
        while let Some(change) = changes.next_if(|(image, _)| chunk.range.contains(image)) {
            within.push(change);
        }
        all.push(match within.is_empty() {
            true => Affected::Kept(*chunk),
            false => Affected::Changed(chunk.range, Some(*chunk), within),
        });
    }
    all.extend(changes.map(|(image, row)| Affected::Changed(alone(&image), None, vec![(image, row)])));
    all
}

/// The range of one image.
fn alone(image: &ImageId) -> Range {
    let mut range = Range::WHOLE;
    while let Some((left, right)) = range.halves() {
        range = if left.contains(image) { left } else { right };
    }
    range
}

/// Rows after changes, and the statistics with them.
fn change(before: Vec<Row>, changes: Vec<(ImageId, Option<Row>)>, statistics: &mut Statistics) -> Vec<Row> {
    let mut rows: BTreeMap<ImageId, Row> = before.into_iter().map(|row| (row.image, row)).collect();
    for (image, row) in changes {
        let before = match row {
            Some(mut row) => {
                row.tidy();
                // The key says which image it is.
                row.image = image;
                statistics.add(&row);
                rows.insert(image, row)
            }
            None => rows.remove(&image),
        };
        if let Some(before) = before {
            statistics.remove(&before);
        }
    }
    rows.into_values().collect()
}

/// The chunks of all the rows of a range.
fn cut_all(range: Range, rows: &[Row]) -> Result<Vec<Piece>> {
    let mut cuts = Vec::new();
    let mut cutter = Cutter::new(range);
    for row in rows {
        cutter.push(row, &mut cuts)?;
    }
    cutter.finish(&mut cuts);
    Ok(cuts.into_iter().map(|cut| Piece { entry: cut.entry, bytes: Some(cut.bytes) }).collect())
}
