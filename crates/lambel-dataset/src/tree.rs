//! Trees: which chunks hold the rows of a version.
//!
//! **Where rows are cut.** The ring of image ids is halved until no range holds more than [`CHUNK_ROWS`] rows or
//! [`CHUNK_BYTES`] bytes of them (a single row may have more); each range that holds any is a chunk. So the cuts
//! follow from the rows alone, not from the order in which they came or from what was there before: equal rows
//! give equal chunks, and a change in one range leaves the chunks of all others as they are. Image ids are
//! uniform hashes, so chunks of one tree are of about the same size: half to all of what a chunk may hold.
//!
//! The list of chunks is cut by the same rule into nodes once it is longer than [`NODE_CHUNKS`]. Two levels are
//! enough: the root of a tree of ten million images lists some 600 nodes.

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::ImageId;
use serde::{Deserialize, Serialize};

use crate::{
    ContentId, Error, ObjectStore, Range, Statistics, TreeId, canonical, error::Result, pack, row::Row,
    store::ObjectKey,
};

/// The version of the shapes of chunks, nodes and trees that this program writes.
pub(crate) const VERSION: u32 = 1;

/// Rows that a chunk has at most. A commit of few changes writes a chunk for each of them, so chunks are to be
/// small; reading a whole version is a request for each chunk, so they are to be large. At 128, a hundred changes
/// in 200,000 images write a twentieth of the rows, and reading all is some 2,000 requests.
pub const CHUNK_ROWS: usize = 128;
/// Bytes of rows that a chunk has at most, before compression, unless a single row has more.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Chunks that a node lists at most, and a root that has no nodes.
pub const NODE_CHUNKS: usize = 256;
/// Objects that are read or written at the same time.
pub(crate) const AT_ONCE: usize = 16;

/// The first line of every chunk.
const CHUNK_HEADER: &[u8] = b"{\"v\":1,\"kind\":\"chunk\"}\n";

/// A chunk in the list of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkEntry {
    /// The images that it may hold.
    pub range: Range,
    /// How many it holds: at least 1.
    pub rows: u64,
    /// The bytes of its rows, before compression, without its first line.
    pub bytes: u64,
    /// Its id.
    pub id: ContentId,
}

/// A node in the list of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    /// The images under it.
    pub range: Range,
    /// How many chunks it lists.
    pub chunks: u64,
    /// How many rows they have.
    pub rows: u64,
    /// The bytes of those rows.
    pub bytes: u64,
    /// Its id.
    pub id: ContentId,
}

/// The parts of a tree: its chunks, or its nodes if the chunks are many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parts {
    /// The chunks themselves, in the order of the ring.
    Chunks(Vec<ChunkEntry>),
    /// Lists of chunks, in the order of the ring.
    Nodes(Vec<NodeEntry>),
}

/// The root of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// Its id.
    pub id: TreeId,
    /// What there is to count in its rows.
    pub statistics: Statistics,
    /// Its parts.
    pub parts: Parts,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTree {
    v: u32,
    kind: TreeKind,
    statistics: Statistics,
    parts: Parts,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TreeKind {
    Tree,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredNode {
    v: u32,
    kind: NodeKind,
    chunks: Vec<ChunkEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NodeKind {
    Node,
}

/// What every stored shape begins with, whatever else its version has.
#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Reads JSON whose version this program knows.
pub(crate) fn parse<'a, T: Deserialize<'a>>(key: ObjectKey, json: &'a [u8]) -> Result<T> {
    let damaged = |error: serde_json::Error| Error::Damaged { key, problem: error.to_string() };
    let Version { v } = serde_json::from_slice(json).map_err(damaged)?;
    if v != VERSION {
        return Err(Error::Newer { key, version: v });
    }
    serde_json::from_slice(json).map_err(damaged)
}

/// The canonical bytes of a chunk: a line that says what it is, and a line for each row.
pub(crate) fn encode_chunk(lines: &[u8]) -> Vec<u8> {
    [CHUNK_HEADER, lines].concat()
}

/// The rows of a chunk.
pub(crate) fn decode_chunk(key: ObjectKey, bytes: &[u8]) -> Result<Vec<Row>> {
    let damaged = |problem: &dyn ToString| Error::Damaged { key, problem: problem.to_string() };
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| damaged(&"it has no first line"))?;
    let (header, lines) = bytes.split_at(end + 1);
    if header != CHUNK_HEADER {
        let Version { v } = serde_json::from_slice(header).map_err(|error| damaged(&error))?;
        return Err(Error::Newer { key, version: v });
    }
    let mut rows = Vec::with_capacity(CHUNK_ROWS);
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").ok_or_else(|| damaged(&"its last line has no end"))?;
        rows.push(serde_json::from_slice(line).map_err(|error| damaged(&error))?);
    }
    Ok(rows)
}

/// Reads the rows of a chunk.
pub(crate) async fn read_chunk(objects: &dyn ObjectStore, entry: &ChunkEntry) -> Result<Vec<Row>> {
    let key = ObjectKey::chunk(entry.id);
    let rows = decode_chunk(key, &pack::fetch(objects, key).await?)?;
    if rows.len() as u64 != entry.rows {
        return Err(Error::Damaged { key, problem: format!("it has {} rows, not {}", rows.len(), entry.rows) });
    }
    Ok(rows)
}

/// Reads the list of a node.
pub(crate) async fn read_node(objects: &dyn ObjectStore, entry: &NodeEntry) -> Result<Vec<ChunkEntry>> {
    let key = ObjectKey::node(entry.id);
    let bytes = pack::fetch(objects, key).await?;
    let node: StoredNode = parse(key, &bytes)?;
    Ok(node.chunks)
}

/// Reads the lists of several nodes, one after the other.
pub(crate) async fn read_nodes(objects: &dyn ObjectStore, nodes: Vec<NodeEntry>) -> Result<Vec<ChunkEntry>> {
    let lists = stream::iter(nodes).map(move |node| async move { read_node(objects, &node).await });
    lists.buffered(AT_ONCE).try_concat().await
}

/// Divides sorted parts among the largest ranges that `fits` says yes to. What lies in no range is left out.
pub(crate) fn divide<'a, T>(
    range: Range,
    parts: &'a [T],
    range_of: &impl Fn(&T) -> Range,
    fits: &impl Fn(&[T]) -> bool,
    groups: &mut Vec<(Range, &'a [T])>,
) {
    if parts.is_empty() {
        return;
    }
    let Some((left, right)) = range.halves().filter(|_| !fits(parts)) else {
        groups.push((range, parts));
        return;
    };
    let (lefts, rights) = parts.split_at(parts.partition_point(|part| range_of(part) < right));
    divide(left, lefts, range_of, fits, groups);
    divide(right, rights, range_of, fits, groups);
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Objects that were put.
    pub objects: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
}

impl Written {
    pub(crate) fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
    }
}

impl Tree {
    /// Reads the root of a tree.
    pub async fn read(objects: &dyn ObjectStore, id: TreeId) -> Result<Self> {
        let key = ObjectKey::tree(id);
        let bytes = pack::fetch(objects, key).await?;
        let StoredTree { statistics, parts, .. } = parse(key, &bytes)?;
        Ok(Self { id, statistics, parts })
    }

    /// The entry of the chunk that would hold an image.
    pub async fn chunk_of(&self, objects: &dyn ObjectStore, image: &ImageId) -> Result<Option<ChunkEntry>> {
        let of_node;
        let chunks = match &self.parts {
            Parts::Chunks(chunks) => chunks,
            Parts::Nodes(nodes) => match nodes.iter().find(|node| node.range.contains(image)) {
                Some(node) => {
                    of_node = read_node(objects, node).await?;
                    &of_node
                }
                None => return Ok(None),
            },
        };
        Ok(chunks.iter().find(|chunk| chunk.range.contains(image)).copied())
    }

    /// The row of an image.
    pub async fn row(&self, objects: &dyn ObjectStore, image: &ImageId) -> Result<Option<Row>> {
        let Some(entry) = self.chunk_of(objects, image).await? else { return Ok(None) };
        let rows = read_chunk(objects, &entry).await?;
        Ok(rows.into_iter().find(|row| row.image == *image))
    }

    /// All chunks, in the order of the ring: some hundred bytes each.
    pub async fn chunks(&self, objects: &dyn ObjectStore) -> Result<Vec<ChunkEntry>> {
        match &self.parts {
            Parts::Chunks(chunks) => Ok(chunks.clone()),
            Parts::Nodes(nodes) => read_nodes(objects, nodes.clone()).await,
        }
    }

    /// Stores the lists of chunks that a tree has, but for the nodes of a tree that is there already.
    pub(crate) async fn write(
        objects: &dyn ObjectStore,
        chunks: Vec<ChunkEntry>,
        statistics: Statistics,
        base: Option<&Self>,
        written: &mut Written,
    ) -> Result<Self> {
        let (parts, nodes) = parts(chunks)?;
        let known = |id: &ContentId| match base.map(|base| &base.parts) {
            Some(Parts::Nodes(nodes)) => nodes.iter().any(|node| node.id == *id),
            _ => false,
        };
        let nodes = nodes.into_iter().filter(|(id, _)| !known(id)).map(|(id, bytes)| (ObjectKey::node(id), bytes));
        written.add(pack::store_all(objects, nodes.collect()).await?);
        let (tree, bytes) = Self::encode(statistics, parts)?;
        // The root is put after all it names.
        if base.is_none_or(|base| base.id != tree.id) {
            written.bytes += pack::store(objects, ObjectKey::tree(tree.id), &bytes).await?;
            written.objects += 1;
        }
        Ok(tree)
    }

    /// A root with its canonical bytes.
    pub(crate) fn encode(statistics: Statistics, parts: Parts) -> Result<(Self, Vec<u8>)> {
        let stored = StoredTree { v: VERSION, kind: TreeKind::Tree, statistics, parts };
        let bytes = canonical::bytes(&stored)?;
        Ok((Self { id: TreeId::of(&bytes), statistics: stored.statistics, parts: stored.parts }, bytes))
    }
}

/// A node on its way to the store.
type EncodedNode = (ContentId, Vec<u8>);

/// What the root lists, and the nodes that have to be there for it.
pub(crate) fn parts(chunks: Vec<ChunkEntry>) -> Result<(Parts, Vec<EncodedNode>)> {
    if chunks.len() <= NODE_CHUNKS {
        return Ok((Parts::Chunks(chunks), Vec::new()));
    }
    let mut groups = Vec::new();
    divide(Range::WHOLE, &chunks, &|chunk| chunk.range, &|chunks| chunks.len() <= NODE_CHUNKS, &mut groups);
    let (mut nodes, mut encoded) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
    for (range, chunks) in groups {
        let node = StoredNode { v: VERSION, kind: NodeKind::Node, chunks: chunks.to_vec() };
        let bytes = canonical::bytes(&node)?;
        let id = ContentId::of(&bytes);
        nodes.push(NodeEntry {
            range,
            chunks: chunks.len() as u64,
            rows: chunks.iter().map(|chunk| chunk.rows).sum(),
            bytes: chunks.iter().map(|chunk| chunk.bytes).sum(),
            id,
        });
        encoded.push((id, bytes));
    }
    Ok((Parts::Nodes(nodes), encoded))
}
