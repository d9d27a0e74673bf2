//! Exports in pieces: each is written by itself, and all of them, one after the other, are the file.
//!
//! A piece is a stretch of the chunks of a commit. Where the cuts lie follows from the tree and the size alone, and
//! what a piece says follows from its rows, so a piece that is written again, by whomever, has the same bytes. A
//! format with several passes is a list of segments: every piece of the first pass, then every piece of the second.
//!
//! Two things reach over a cut. Numbers of images and annotations run on: who writes a piece is told how many came
//! before ([`Numbers`]), which [`Exporting::count`] finds for each piece. And of two images whose ids share twelve
//! digits the second has a longer file name (`path`): no cut lies between two such images, since the ranges of
//! pieces differ in their first [`CUT_BITS`] bits.

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use super::{BLOCK, Encoder, Exported, Format, Options, Output, about, default_name, encoder, hand_on};
use crate::{
    Commit, CommitId, ObjectStore, Tree,
    error::Result,
    range::Range,
    tree::{ChunkEntry, NodeEntry, Parts},
};

/// Bits of an id within which two pieces differ: twelve hexadecimal digits.
const CUT_BITS: u16 = 48;

/// How large a piece may be, unless a single part of the tree is larger: a node has 32,768 rows at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceSize {
    /// Its rows.
    pub rows: u64,
    /// The bytes of its rows, as they are stored but not compressed.
    pub bytes: u64,
}

/// How many images and annotations have been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// Images, or lines for them.
    pub images: u64,
    /// Annotations.
    pub annotations: u64,
}

impl std::ops::Add for Numbers {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { images: self.images + other.images, annotations: self.annotations + other.annotations }
    }
}

impl std::iter::Sum for Numbers {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, numbers| sum + numbers)
    }
}

/// A part of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its rows, whether the export takes them or not.
    pub rows: u64,
    parts: Parts,
    is_first: bool,
    is_last: bool,
}

/// An export on its way: what there is to know before a row is read.
pub struct Exporting<'a> {
    objects: &'a dyn ObjectStore,
    id: CommitId,
    commit: Commit,
    tree: Tree,
    format: &'a Format,
    options: &'a Options,
}

impl<'a> Exporting<'a> {
    /// Reads the commit and the root of its tree.
    pub async fn open(
        objects: &'a dyn ObjectStore,
        id: CommitId,
        format: &'a Format,
        options: &'a Options,
    ) -> Result<Self> {
        let commit = Commit::read(objects, id).await?;
        let tree = Tree::read(objects, commit.tree).await?;
        let exporting = Self { objects, id, commit, tree, format, options };
        // A format that cannot be is refused before anything is written.
        exporting.encoder()?;
        Ok(exporting)
    }

    fn encoder(&self) -> Result<Box<dyn Encoder>> {
        Ok(encoder(self.format, about(self.id, self.commit.clone(), self.options))?)
    }

    /// The commit.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }

    /// All of it as one piece.
    pub fn whole(&self) -> Piece {
        let rows = self.tree.statistics.images;
        Piece { rows, parts: self.tree.parts.clone(), is_first: true, is_last: true }
    }

    /// All of it in pieces of a size, in the order of the file: one at least.
    pub fn pieces(&self, size: PieceSize) -> Vec<Piece> {
        let lists: Vec<Parts> = match &self.tree.parts {
            Parts::Chunks(chunks) => cut(chunks, size).map(|part| Parts::Chunks(part.to_vec())).collect(),
            Parts::Nodes(nodes) => cut(nodes, size).map(|part| Parts::Nodes(part.to_vec())).collect(),
        };
        let last = lists.len().saturating_sub(1);
        let piece = |(place, parts): (usize, Parts)| Piece {
            rows: match &parts {
                Parts::Chunks(chunks) => chunks.iter().map(|chunk| chunk.rows).sum(),
                Parts::Nodes(nodes) => nodes.iter().map(|node| node.rows).sum(),
            },
            parts,
            is_first: place == 0,
            is_last: place == last,
        };
        let pieces: Vec<Piece> = lists.into_iter().enumerate().map(piece).collect();
        if pieces.is_empty() { vec![self.whole()] } else { pieces }
    }

    /// How many images and annotations a piece of a numbered format has.
    pub async fn count(&self, piece: &Piece) -> Result<Numbers> {
        let mut encoder = self.encoder()?;
        self.encode(&mut *encoder, piece, self.format.passes() - 1, Numbers::default(), &mut Nowhere).await?;
        Ok(encoder.numbers())
    }

    /// Writes a pass of a piece, which has so many images and annotations before it.
    pub async fn write(
        &self,
        piece: &Piece,
        pass: usize,
        before: Numbers,
        output: &mut dyn Output,
    ) -> Result<Exported> {
        self.encode(&mut *self.encoder()?, piece, pass, before, output).await
    }

    async fn encode(
        &self,
        encoder: &mut dyn Encoder,
        piece: &Piece,
        pass: usize,
        before: Numbers,
        output: &mut dyn Output,
    ) -> Result<Exported> {
        let (format, options) = (self.format, self.options);
        let mut exported = Exported::default();
        let mut out = Vec::with_capacity(BLOCK * 2);
        encoder.go_on(before);
        if piece.is_first || !format.is_joined() {
            encoder.begin(pass, &mut out)?;
        }
        let mut chunks = piece.parts.rows(self.objects);
        while let Some(rows) = chunks.try_next().await? {
            for row in rows {
                if !options.takes(&row) || !format.has_place_for(&row) {
                    continue;
                }
                exported.images += 1;
                let row = options.renamed(row);
                if options.each_name && format.by_name() && row.names.len() > 1 {
                    for name in &row.names {
                        encoder.row(pass, &row, name.as_str(), &mut out)?;
                    }
                } else {
                    encoder.row(pass, &row, &default_name(&row), &mut out)?;
                }
                if out.len() >= BLOCK {
                    hand_on(&mut out, output, &mut exported).await?;
                }
            }
        }
        if piece.is_last || !format.is_joined() {
            encoder.end(pass, &mut out)?;
        }
        hand_on(&mut out, output, &mut exported).await?;
        Ok(exported)
    }
}

/// Where bytes go that only were to be counted.
struct Nowhere;

#[async_trait::async_trait]
impl Output for Nowhere {
    async fn write(&mut self, _bytes: bytes::Bytes) -> Result<(), super::ExportError> {
        Ok(())
    }
}

/// What chunks and nodes have in common.
trait Part {
    fn range(&self) -> Range;
    fn rows(&self) -> u64;
    fn bytes(&self) -> u64;
}

impl Part for ChunkEntry {
    fn range(&self) -> Range {
        self.range
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Part for NodeEntry {
    fn range(&self) -> Range {
        self.range
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Whether a cut may lie between two neighbours: their ids differ within the first bits.
fn may_cut(before: &impl Part, after: &impl Part) -> bool {
    let (before, after) = (before.range(), after.range());
    let (a, b) = (before.first(), after.first());
    let whole_bytes = usize::from(CUT_BITS / 8);
    // A range that is longer than the cut still has all its ids behind the same first bits.
    before.bits() <= CUT_BITS
        || after.bits() <= CUT_BITS
        || a.digest().get(..whole_bytes) != b.digest().get(..whole_bytes)
}

/// Cuts neighbours into stretches of a size.
fn cut<T: Part>(parts: &[T], size: PieceSize) -> impl Iterator<Item = &[T]> {
    let (mut rows, mut bytes) = (0, 0);
    parts.chunk_by(move |before, after| {
        rows += before.rows();
        bytes += before.bytes();
        let fits = rows + after.rows() <= size.rows && bytes + after.bytes() <= size.bytes;
        let together = fits || !may_cut(before, after);
        if !together {
            (rows, bytes) = (0, 0);
        }
        together
    })
}
