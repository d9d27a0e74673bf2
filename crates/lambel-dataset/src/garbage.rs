//! Objects that no ref reaches: left behind by commits that were not finished, or lost the race for their branch.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use lambel_core::Timestamp;

use crate::{
    Commit, CommitId, ObjectKey, ObjectStore, Refs, Tree,
    error::Result,
    store::{Kind, Listed},
    tree::{Parts, read_node},
};

/// Objects that a list asks for at once.
const PAGE: usize = 1_000;

/// What could be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// What no ref reaches and what has been there for longer than the grace period.
    pub objects: Vec<Listed>,
    /// Objects that no ref reaches, but too young to go: they may belong to a commit that is being made.
    pub young: u64,
    /// Objects that a ref reaches.
    pub reached: u64,
}

impl Garbage {
    /// The bytes that would be freed.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.bytes).sum()
    }
}

/// Every commit that a branch or a tag names.
pub async fn roots(refs: &dyn Refs) -> Result<Vec<CommitId>> {
    let mut roots: Vec<CommitId> = refs.branches().await?.into_iter().map(|(_, last)| last.to).collect();
    roots.extend(refs.tags().await?.into_iter().map(|tag| tag.commit));
    Ok(roots)
}

/// Every object that these commits reach, over their ancestors, trees and nodes.
pub async fn reachable(objects: &dyn ObjectStore, roots: &[CommitId]) -> Result<HashSet<ObjectKey>> {
    let mut reached = HashSet::new();
    let mut waiting = roots.to_vec();
    while let Some(id) = waiting.pop() {
        if !reached.insert(ObjectKey::commit(id)) {
            continue;
        }
        let commit = Commit::read(objects, id).await?;
        waiting.extend(&commit.parents);
        if !reached.insert(ObjectKey::tree(commit.tree)) {
            continue;
        }
        match Tree::read(objects, commit.tree).await?.parts {
            Parts::Chunks(chunks) => reached.extend(chunks.iter().map(|chunk| ObjectKey::chunk(chunk.id))),
            Parts::Nodes(nodes) => {
                for node in nodes {
                    if reached.insert(ObjectKey::node(node.id)) {
                        let chunks = read_node(objects, &node).await?;
                        reached.extend(chunks.iter().map(|chunk| ObjectKey::chunk(chunk.id)));
                    }
                }
            }
        }
    }
    Ok(reached)
}

/// Looks for garbage, and removes nothing. If something that a ref reaches is missing or damaged, that is an error
/// and nothing is garbage: what cannot be followed cannot be told from what is not needed.
///
/// The grace period must be longer than a commit can take, from its first chunk to the move of its branch.
pub async fn find_garbage(
    objects: &dyn ObjectStore,
    refs: &dyn Refs,
    now: Timestamp,
    grace: Duration,
) -> Result<Garbage> {
    // What is put while we look is young. So the list comes first, and the refs after it.
    let mut listed = Vec::new();
    for kind in Kind::ALL {
        let mut after = None;
        loop {
            let page = objects.list(kind, after, PAGE).await?;
            after = page.last().map(|object| object.key.id);
            let last = page.len() < PAGE;
            listed.extend(page);
            if last {
                break;
            }
        }
    }
    let reached = reachable(objects, &roots(refs).await?).await?;
    let mut garbage = Garbage::default();
    for object in listed {
        if reached.contains(&object.key) {
            garbage.reached += 1;
        } else if object.put_at.until(now) < grace {
            garbage.young += 1;
        } else {
            garbage.objects.push(object);
        }
    }
    Ok(garbage)
}

/// Removes what was found before and is garbage still. What it names is removed after what names it, so that a
/// removal that stops half-way leaves nothing that points into the void.
pub async fn remove_garbage(
    objects: &dyn ObjectStore,
    refs: &dyn Refs,
    found: &Garbage,
    now: Timestamp,
    grace: Duration,
) -> Result<Garbage> {
    let before: HashSet<ObjectKey> = found.objects.iter().map(|object| object.key).collect();
    let mut still = find_garbage(objects, refs, now, grace).await?;
    still.objects.retain(|object| before.contains(&object.key));
    let mut by_kind: BTreeMap<u8, Vec<ObjectKey>> = BTreeMap::new();
    for object in &still.objects {
        let turn = match object.key.kind {
            Kind::Commit => 0,
            Kind::Tree => 1,
            Kind::Node => 2,
            Kind::Chunk => 3,
        };
        by_kind.entry(turn).or_default().push(object.key);
    }
    for key in by_kind.into_values().flatten() {
        objects.delete(key).await?;
    }
    Ok(still)
}
