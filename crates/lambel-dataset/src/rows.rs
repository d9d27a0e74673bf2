//! Reading the rows of a tree, in the order of their images.

use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};

use crate::{
    Error, ObjectStore, Tree,
    error::Result,
    row::Row,
    tree::{ChunkEntry, NodeEntry, Parts, read_chunk, read_node},
};

/// Chunks that are read ahead.
const AHEAD: usize = 8;

/// The rows of some chunks, a chunk at a time.
pub(crate) fn chunk_rows<'a>(
    objects: &'a dyn ObjectStore,
    chunks: Vec<ChunkEntry>,
) -> impl Stream<Item = Result<Vec<Row>>> + Send + 'a {
    stream::iter(chunks).map(move |chunk| async move { read_chunk(objects, &chunk).await }).buffered(AHEAD)
}

impl Tree {
    /// All rows, a chunk at a time. It holds the rows of some chunks and the lists of a node, not the tree.
    pub fn rows<'a>(&self, objects: &'a dyn ObjectStore) -> BoxStream<'a, Result<Vec<Row>>> {
        self.parts.rows(objects)
    }

    /// All rows at once, for small sets and tests.
    pub async fn all_rows(&self, objects: &dyn ObjectStore) -> Result<Vec<Row>> {
        self.rows(objects).try_concat().await
    }
}

impl Parts {
    /// The rows of these parts, in the same way.
    pub(crate) fn rows<'a>(&self, objects: &'a dyn ObjectStore) -> BoxStream<'a, Result<Vec<Row>>> {
        let lists = match self {
            Self::Chunks(chunks) => vec![List::Chunks(chunks.clone())],
            Self::Nodes(nodes) => nodes.iter().copied().map(List::Node).collect(),
        };
        let chunks = stream::iter(lists)
            .map(move |list| async move {
                Ok::<_, Error>(match list {
                    List::Chunks(chunks) => chunks,
                    List::Node(node) => read_node(objects, &node).await?,
                })
            })
            .buffered(2)
            .map_ok(|chunks| stream::iter(chunks.into_iter().map(Ok)))
            .try_flatten();
        chunks.map_ok(move |chunk| async move { read_chunk(objects, &chunk).await }).try_buffered(AHEAD).boxed()
    }
}

enum List {
    Chunks(Vec<ChunkEntry>),
    Node(NodeEntry),
}
