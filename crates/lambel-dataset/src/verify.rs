//! Is everything there, and is it what its id says?

use std::collections::HashMap;

use serde::Serialize;

use crate::{
    Commit, CommitId, ContentId, Error, ObjectStore, Range, Statistics, Tree, TreeId, canonical,
    error::Result,
    pack,
    store::ObjectKey,
    tree::{ChunkEntry, Parts, decode_chunk, divide, encode_chunk, parts, read_node},
    write::fits,
};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Commits that were checked.
    pub commits: u64,
    /// Trees that were checked.
    pub trees: u64,
    /// Chunks that were read, each once.
    pub chunks: u64,
    /// Rows in them.
    pub rows: u64,
    /// What is wrong; nothing if all is well.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The path of the object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// How far to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The commit itself.
    ThisCommit,
    /// The commit and all that it follows.
    Ancestors,
}

/// Checks commits, their trees, and every row: each object hashes to its id and has its canonical form, the rows
/// of each chunk are in order and within its range, the cuts are where they belong, and every count is right. A
/// chunk that several trees share is read once. What is wrong is listed; an error means that the store failed.
pub async fn verify(objects: &dyn ObjectStore, from: &[CommitId], depth: Depth) -> Result<Verification> {
    let mut check = Check { objects, found: Verification::default(), chunks: HashMap::new(), trees: HashMap::new() };
    let mut waiting: Vec<CommitId> = from.to_vec();
    let mut seen: std::collections::HashSet<CommitId> = from.iter().copied().collect();
    while let Some(id) = waiting.pop() {
        let Some(commit) = check.commit(id).await? else { continue };
        if depth == Depth::Ancestors {
            waiting.extend(commit.parents.iter().filter(|parent| seen.insert(**parent)));
        }
    }
    Ok(check.found)
}

struct Check<'a> {
    objects: &'a dyn ObjectStore,
    found: Verification,
    /// What is in each chunk that was good; none for one that was not.
    chunks: HashMap<ContentId, Option<(ChunkCounts, Statistics)>>,
    trees: HashMap<TreeId, Option<Statistics>>,
}

#[derive(Clone, Copy)]
struct ChunkCounts {
    rows: u64,
    bytes: u64,
    first: lambel_core::ImageId,
    last: lambel_core::ImageId,
}

impl Check<'_> {
    fn problem(&mut self, key: ObjectKey, problem: impl Into<String>) {
        self.found.problems.push(Problem { object: key.to_string(), problem: problem.into() });
    }

    /// Notes what is wrong with an object; hands on what is wrong with the store.
    fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Error::Missing(key)) => {
                self.problem(key, "it is missing");
                Ok(None)
            }
            Err(Error::Damaged { key, problem }) => {
                self.problem(key, problem);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn commit(&mut self, id: CommitId) -> Result<Option<Commit>> {
        let key = ObjectKey::commit(id);
        let Some(commit) = self.note(Commit::read(self.objects, id).await)? else { return Ok(None) };
        self.found.commits += 1;
        if commit.encode()?.0 != id {
            self.problem(key, "it is not in its canonical form");
        }
        if let Some(statistics) = self.tree(commit.tree).await?
            && statistics != commit.statistics
        {
            self.problem(key, "its statistics are not those of its tree");
        }
        Ok(Some(commit))
    }

    async fn tree(&mut self, id: TreeId) -> Result<Option<Statistics>> {
        if let Some(known) = self.trees.get(&id) {
            return Ok(known.clone());
        }
        let key = ObjectKey::tree(id);
        let Some(tree) = self.note(Tree::read(self.objects, id).await)? else { return Ok(None) };
        self.found.trees += 1;
        let mut entries = Vec::new();
        let mut whole = true;
        match &tree.parts {
            Parts::Chunks(chunks) => entries.clone_from(chunks),
            Parts::Nodes(nodes) => {
                for node in nodes {
                    match self.note(read_node(self.objects, node).await)? {
                        Some(chunks) => entries.extend(chunks),
                        None => whole = false,
                    }
                }
            }
        }
        let mut statistics = Statistics::default();
        for entry in &entries {
            match self.chunk(entry).await? {
                Some(counted) => statistics.merge(&counted),
                None => whole = false,
            }
        }
        if whole {
            self.cuts(key, &tree, &entries)?;
            if statistics != tree.statistics {
                self.problem(key, "its statistics are not those of its rows");
            }
        }
        self.trees.insert(id, Some(tree.statistics.clone()));
        Ok(Some(tree.statistics))
    }

    /// Whether the ring is cut where the rows say, and the root is what its parts give.
    fn cuts(&mut self, key: ObjectKey, tree: &Tree, entries: &[ChunkEntry]) -> Result<()> {
        let mut groups = Vec::new();
        let all_fit = |chunks: &[ChunkEntry]| {
            fits(chunks.iter().map(|chunk| chunk.rows).sum(), chunks.iter().map(|chunk| chunk.bytes).sum())
        };
        divide(Range::WHOLE, entries, &|entry| entry.range, &all_fit, &mut groups);
        let good = |(range, group): &(Range, &[ChunkEntry])| matches!(group, [entry] if entry.range == *range);
        if !groups.iter().all(good) || !entries.is_sorted_by(|a, b| a.range < b.range && !a.range.covers(&b.range)) {
            self.problem(key, "its rows are not cut where they should be");
        }
        let (parts, _) = parts(entries.to_vec())?;
        if Tree::encode(tree.statistics.clone(), parts)?.0.id != tree.id {
            self.problem(key, "its parts are not listed as they should be");
        }
        Ok(())
    }

    async fn chunk(&mut self, entry: &ChunkEntry) -> Result<Option<Statistics>> {
        let key = ObjectKey::chunk(entry.id);
        if !self.chunks.contains_key(&entry.id) {
            let read = self.read(key).await;
            let read = self.note(read)?;
            self.chunks.insert(entry.id, read);
        }
        let Some(Some((counts, statistics))) = self.chunks.get(&entry.id) else { return Ok(None) };
        let (counts, statistics) = (*counts, statistics.clone());
        if (counts.rows, counts.bytes) != (entry.rows, entry.bytes) {
            self.problem(key, "it does not have the rows and bytes that its tree says");
        }
        if !entry.range.contains(&counts.first) || !entry.range.contains(&counts.last) {
            self.problem(key, format!("it has rows outside its range {}", entry.range));
        }
        Ok(Some(statistics))
    }

    async fn read(&mut self, key: ObjectKey) -> Result<(ChunkCounts, Statistics)> {
        let bytes = pack::fetch(self.objects, key).await?;
        let rows = decode_chunk(key, &bytes)?;
        let damaged = |problem: &str| Error::Damaged { key, problem: problem.to_owned() };
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(damaged("it has no rows"));
        };
        if !rows.is_sorted_by(|a, b| a.image < b.image) {
            return Err(damaged("its rows are not in order"));
        }
        let mut lines = Vec::with_capacity(bytes.len());
        let mut statistics = Statistics::default();
        for row in &rows {
            statistics.add(row);
            lines.extend(canonical::bytes(row)?);
            lines.push(b'\n');
        }
        let counts =
            ChunkCounts { rows: rows.len() as u64, bytes: lines.len() as u64, first: first.image, last: last.image };
        if encode_chunk(&lines) != bytes {
            return Err(damaged("its rows are not in their canonical form"));
        }
        self.found.chunks += 1;
        self.found.rows += counts.rows;
        Ok((counts, statistics))
    }
}
