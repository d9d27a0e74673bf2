//! Questions to the history of a commit.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashSet},
};

use lambel_core::{ImageId, Label};
use serde::Serialize;

use crate::{
    Commit, CommitId, Error, ObjectStore, Tree,
    error::Result,
    row::{Row, Status},
    tree::{ChunkEntry, read_chunk},
};

/// A commit of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogEntry {
    /// Its id.
    pub id: CommitId,
    /// The commit.
    pub commit: Commit,
}

/// What waits to be listed: the latest first; at the same time by id, so that a log is always the same.
struct Waiting(LogEntry);

impl Waiting {
    fn key(&self) -> (lambel_core::Timestamp, CommitId) {
        (self.0.commit.at, self.0.id)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// A commit and what it follows, the newest first, at most `limit`. It reads commits, no rows.
pub async fn log(objects: &dyn ObjectStore, from: CommitId, limit: usize) -> Result<Vec<LogEntry>> {
    let mut seen = HashSet::from([from]);
    let mut waiting = BinaryHeap::from([Waiting(LogEntry { id: from, commit: Commit::read(objects, from).await? })]);
    let mut entries = Vec::new();
    while entries.len() < limit {
        let Some(Waiting(entry)) = waiting.pop() else { break };
        for parent in &entry.commit.parents {
            if entries.len() + 1 < limit && seen.insert(*parent) {
                waiting.push(Waiting(LogEntry { id: *parent, commit: Commit::read(objects, *parent).await? }));
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Who gave an image the label that it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Blame {
    /// The image.
    pub image: ImageId,
    /// What it is now.
    pub status: Status,
    /// The label that it has now.
    pub label: Option<Label>,
    /// The first commit in which it was so.
    pub commit: CommitId,
    /// When that was made.
    pub at: lambel_core::Timestamp,
    /// Who made it.
    pub by: lambel_core::Actor,
    /// Why.
    pub message: String,
    /// Commits that were looked at.
    pub commits_read: u64,
}

/// What blame compares: not the confidence, nor the votes.
fn verdict(row: &Row) -> (Status, Option<&Label>) {
    (row.outcome.status(), row.outcome.label())
}

/// Which commit gave an image the label that it has in this one. It follows the first parent in which the label is
/// the same. As long as the chunk of the image is the same its rows are not read again.
pub async fn blame(objects: &dyn ObjectStore, from: CommitId, image: &ImageId) -> Result<Blame> {
    let mut commit = Commit::read(objects, from).await?;
    let (mut id, mut commits_read) = (from, 1);
    let Some((mut chunk, row)) = find(objects, &commit, image, None).await? else { return Err(Error::NoImage) };
    'older: loop {
        for parent in commit.parents.clone() {
            let earlier = Commit::read(objects, parent).await?;
            commits_read += 1;
            if let Some((earlier_chunk, earlier_row)) = find(objects, &earlier, image, Some((&chunk, &row))).await?
                && verdict(&earlier_row) == verdict(&row)
            {
                (id, commit, chunk) = (parent, earlier, earlier_chunk);
                continue 'older;
            }
        }
        let (status, label) = verdict(&row);
        return Ok(Blame {
            image: *image,
            status,
            label: label.cloned(),
            commit: id,
            at: commit.at,
            by: commit.author,
            message: commit.message,
            commits_read,
        });
    }
}

/// The chunk and the row of an image in a commit. Of a chunk that is known the row is known too.
async fn find(
    objects: &dyn ObjectStore,
    commit: &Commit,
    image: &ImageId,
    known: Option<(&ChunkEntry, &Row)>,
) -> Result<Option<(ChunkEntry, Row)>> {
    let tree = Tree::read(objects, commit.tree).await?;
    let Some(chunk) = tree.chunk_of(objects, image).await? else { return Ok(None) };
    if let Some((_, row)) = known.filter(|(known, _)| known.id == chunk.id) {
        return Ok(Some((chunk, row.clone())));
    }
    let rows = read_chunk(objects, &chunk).await?;
    Ok(rows.into_iter().find(|row| row.image == *image).map(|row| (chunk, row)))
}
