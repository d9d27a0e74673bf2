//! What lies between two versions.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use futures::{
    StreamExt, TryStreamExt,
    future::{ready, try_join},
    stream,
    stream::BoxStream,
};
use lambel_core::ImageId;
use serde::Serialize;

use crate::{
    ContentId, Error, ObjectStore, Tree,
    error::Result,
    row::Row,
    rows::chunk_rows,
    tree::{ChunkEntry, NodeEntry, Parts, read_nodes},
};

/// One image that is not the same in two versions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// The image.
    pub image: ImageId,
    /// Its row in the first version; none if it was not there.
    pub before: Option<Row>,
    /// Its row in the second version; none if it is not there any more.
    pub after: Option<Row>,
}

/// In what way an image is not the same. Several can be true of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is in the second version only.
    Added,
    /// It was in the first version only.
    Removed,
    /// It has a label in both, and not the same one.
    Relabelled,
    /// It is complete, disputed, unlabelled or rejected now, and was something else; or for another reason.
    StatusChanged,
    /// Its label is more or less sure than it was.
    ConfidenceMoved,
    /// There are other votes.
    VotesChanged,
    /// Something is different of the file: names, place, size.
    FileChanged,
}

impl Change {
    /// In what ways the image is not the same: at least one.
    pub fn kinds(&self) -> BTreeSet<ChangeKind> {
        let (before, after) = match (&self.before, &self.after) {
            (Some(before), Some(after)) => (before, after),
            (None, _) => return BTreeSet::from([ChangeKind::Added]),
            (_, None) => return BTreeSet::from([ChangeKind::Removed]),
        };
        let mut kinds = BTreeSet::new();
        let mut note = |is: bool, kind| {
            if is {
                kinds.insert(kind);
            }
        };
        let (old, new) = (&before.outcome, &after.outcome);
        let labels = (old.label(), new.label());
        note(matches!(labels, (Some(old), Some(new)) if old != new), ChangeKind::Relabelled);
        let confidences = (old.confidence(), new.confidence());
        note(matches!(confidences, (Some(old), Some(new)) if old != new), ChangeKind::ConfidenceMoved);
        let bare = |row: &Row| Row { outcome: crate::row::Outcome::Unlabelled, votes: Vec::new(), ..row.clone() };
        let decided_at = |row: &Row| Row { decided_at: None, ..bare(row) };
        note(decided_at(before) != decided_at(after), ChangeKind::FileChanged);
        note(before.votes != after.votes, ChangeKind::VotesChanged);
        if old.status() != new.status() || labels.0.is_some() != labels.1.is_some() {
            kinds.insert(ChangeKind::StatusChanged);
        }
        // Whatever else there is, a reason or a time, is of the status.
        if kinds.is_empty() {
            kinds.insert(ChangeKind::StatusChanged);
        }
        kinds
    }
}

/// How many images have changed, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiffSummary {
    /// Images that are not the same.
    pub images: u64,
    /// By the way in which they are not. An image counts for each.
    pub kinds: BTreeMap<ChangeKind, u64>,
}

impl DiffSummary {
    /// Counts a change.
    pub fn add(&mut self, change: &Change) {
        self.images += 1;
        for kind in change.kinds() {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }
}

/// Every image that is not the same in two trees, in the order of the ring. What both trees share is skipped by
/// its hash and not read: the cost follows the size of the difference. Of the rest, some chunks of each tree are
/// held at a time.
pub fn diff<'a>(objects: &'a dyn ObjectStore, a: &'a Tree, b: &'a Tree) -> BoxStream<'a, Result<Change>> {
    diff_after(objects, a, b, None)
}

/// The same, from behind an image on: so a long difference can be read in parts. What lies before is not read.
pub fn diff_after<'a>(
    objects: &'a dyn ObjectStore,
    a: &'a Tree,
    b: &'a Tree,
    after: Option<ImageId>,
) -> BoxStream<'a, Result<Change>> {
    stream::once(async move {
        let (mut lefts, mut rights) = differing(objects, a, b).await?;
        // Of ranges that begin at or before the image only the one that it lies in has more behind it.
        let is_ahead =
            |chunk: &ChunkEntry| after.is_none_or(|after| chunk.range.first() > after || chunk.range.contains(&after));
        lefts.retain(is_ahead);
        rights.retain(is_ahead);
        let left = Side::new(chunk_rows(objects, lefts).boxed());
        let right = Side::new(chunk_rows(objects, rights).boxed());
        Ok::<_, Error>(stream::try_unfold((left, right), |(mut left, mut right)| async move {
            let change = next_change(&mut left, &mut right).await?;
            Ok(change.map(|change| (change, (left, right))))
        }))
    })
    .try_flatten()
    .try_filter(move |change| ready(after.is_none_or(|after| change.image > after)))
    .boxed()
}

/// The rows of one side.
struct Side<'a> {
    chunks: BoxStream<'a, Result<Vec<Row>>>,
    rows: VecDeque<Row>,
}

impl<'a> Side<'a> {
    fn new(chunks: BoxStream<'a, Result<Vec<Row>>>) -> Self {
        Self { chunks, rows: VecDeque::new() }
    }

    async fn peek(&mut self) -> Result<Option<ImageId>> {
        while self.rows.is_empty() {
            match self.chunks.try_next().await? {
                Some(rows) => self.rows = rows.into(),
                None => return Ok(None),
            }
        }
        Ok(self.rows.front().map(|row| row.image))
    }
}

async fn next_change(left: &mut Side<'_>, right: &mut Side<'_>) -> Result<Option<Change>> {
    loop {
        let (image, from_left, from_right) = match (left.peek().await?, right.peek().await?) {
            (None, None) => return Ok(None),
            (Some(left), None) => (left, true, false),
            (None, Some(right)) => (right, false, true),
            (Some(left), Some(right)) => (left.min(right), left <= right, right <= left),
        };
        let before = if from_left { left.rows.pop_front() } else { None };
        let after = if from_right { right.rows.pop_front() } else { None };
        if before != after {
            return Ok(Some(Change { image, before, after }));
        }
    }
}

/// The chunks of two trees without those that both have.
async fn differing(objects: &dyn ObjectStore, a: &Tree, b: &Tree) -> Result<(Vec<ChunkEntry>, Vec<ChunkEntry>)> {
    if a.id == b.id {
        return Ok((Vec::new(), Vec::new()));
    }
    let (mut lefts, mut rights) = match (&a.parts, &b.parts) {
        (Parts::Nodes(lefts), Parts::Nodes(rights)) => {
            let id = |node: &NodeEntry| node.id;
            let (lefts, rights) = (without(lefts, rights, id), without(rights, lefts, id));
            try_join(read_nodes(objects, lefts), read_nodes(objects, rights)).await?
        }
        _ => try_join(a.chunks(objects), b.chunks(objects)).await?,
    };
    let id = |chunk: &ChunkEntry| chunk.id;
    let kept = without(&lefts, &rights, id);
    rights = without(&rights, &lefts, id);
    lefts = kept;
    Ok((lefts, rights))
}

fn without<T: Copy>(these: &[T], those: &[T], id: impl Fn(&T) -> ContentId) -> Vec<T> {
    let known: HashSet<ContentId> = those.iter().map(&id).collect();
    these.iter().filter(|part| !known.contains(&id(part))).copied().collect()
}
