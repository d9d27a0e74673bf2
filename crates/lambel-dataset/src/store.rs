//! What a data set needs from the world: a place for objects, and refs.
//!
//! Each task has a store of its own. [`crate::conformance`] holds every implementation to what is written here.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{Actor, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{CommitId, ContentId};

/// The world did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It may go better in a moment: throttled, timed out, unreachable.
    #[error("storage is busy: {0}")]
    Busy(String),
    /// Trying again cannot help.
    #[error("storage failed: {0}")]
    Failed(String),
}

/// The result of asking a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Rows.
    Chunk,
    /// A tree, and how it came to be.
    Commit,
    /// A list of chunks that a large tree has in parts.
    Node,
    /// The root of a tree.
    Tree,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chunk, Self::Commit, Self::Node, Self::Tree];

    /// The folder and the ending of its objects.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Chunk => ("chunks", ".jsonl.gz"),
            Self::Commit => ("commits", ".json"),
            Self::Node => ("nodes", ".json.gz"),
            Self::Tree => ("trees", ".json.gz"),
        }
    }
}

/// The key of an object: what it is, and the hash of its bytes before compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: ContentId,
}

impl ObjectKey {
    /// The key of a chunk.
    pub fn chunk(id: ContentId) -> Self {
        Self { kind: Kind::Chunk, id }
    }

    /// The key of a node.
    pub fn node(id: ContentId) -> Self {
        Self { kind: Kind::Node, id }
    }

    /// The key of a tree.
    pub fn tree(id: crate::TreeId) -> Self {
        Self { kind: Kind::Tree, id: id.into() }
    }

    /// The key of a commit.
    pub fn commit(id: CommitId) -> Self {
        Self { kind: Kind::Commit, id: id.into() }
    }
}

impl fmt::Display for ObjectKey {
    /// The path of the object within the store of its task, such as `chunks/…64 digits….jsonl.gz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folder, ending) = self.kind.parts();
        write!(f, "{folder}/{}{ending}", self.id)
    }
}

/// A path that is not that of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the path of an object of a data set")]
pub struct NotAKey(pub String);

impl FromStr for ObjectKey {
    type Err = NotAKey;

    fn from_str(path: &str) -> Result<Self, Self::Err> {
        let key = Kind::ALL.into_iter().find_map(|kind| {
            let (folder, ending) = kind.parts();
            let id = path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(ending)?;
            Some(Self { kind, id: id.parse().ok()? })
        });
        key.ok_or_else(|| NotAKey(path.to_owned()))
    }
}

/// An object in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length as it is stored.
    pub bytes: u64,
    /// When it was last put.
    pub put_at: Timestamp,
}

/// Where the objects of one task's data set lie.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Stores an object. What is put again is as good as new: its time is that of the last time.
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> StoreResult<()>;

    /// Reads an object; none if it is not there. What was put is there for the very next read.
    async fn get(&self, key: ObjectKey) -> StoreResult<Option<Bytes>>;

    /// The objects of a kind in the order of their ids, from behind `after`, at most `limit`. Fewer only at the
    /// end.
    async fn list(&self, kind: Kind, after: Option<ContentId>, limit: usize) -> StoreResult<Vec<Listed>>;

    /// Removes an object. One that is not there is removed.
    async fn delete(&self, key: ObjectKey) -> StoreResult<()>;
}

/// The name of a branch or a tag: 1 to 100 characters out of `A-Z a-z 0-9 . _ -`, the first a letter or a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(String);

impl RefName {
    /// The branch that follows the labels: a task's own commits go to it.
    pub fn live() -> Self {
        Self("live".to_owned())
    }

    /// The branch that others follow: it moves when somebody says so, or a rule does.
    pub fn released() -> Self {
        Self("released".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not the name of a branch or a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a branch or tag has a name of 1 to 100 characters out of A-Z a-z 0-9 . _ - that begins with a letter or digit"
)]
pub struct BadRefName;

impl FromStr for RefName {
    type Err = BadRefName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !first || text.len() > 100 || !text.bytes().all(good) {
            return Err(BadRefName);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for RefName {
    type Error = BadRefName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One move of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMove {
    /// The place in the log of the branch: 1 for the first.
    pub seq: u64,
    /// Where the branch stood before.
    pub from: Option<CommitId>,
    /// Where it stands now.
    pub to: CommitId,
    /// Who moved it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why: `commit`, `rollback`, `import`, or what else a person would want to read.
    pub why: String,
}

/// Who moves a ref, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Who.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// What became of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The branch stands where it should; this is the entry of its log.
    Done(RefMove),
    /// It stood elsewhere, and has not been moved.
    Lost {
        /// Where it stands.
        stands: Option<CommitId>,
    },
}

/// A tag: a name for a commit, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Its name.
    pub name: RefName,
    /// The commit.
    pub commit: CommitId,
    /// Who has set it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
}

/// What became of a new tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tagged {
    /// It is set.
    Set,
    /// It was there, for the same commit.
    Known,
    /// The name stands for another commit, for good.
    Taken(CommitId),
}

/// The branches and tags of one task's data set. Reads are consistent.
#[async_trait]
pub trait Refs: Send + Sync {
    /// The last move of a branch: where it stands. None if there is no such branch.
    async fn branch(&self, name: &RefName) -> StoreResult<Option<RefMove>>;

    /// Every branch by its name, with its last move.
    async fn branches(&self) -> StoreResult<Vec<(RefName, RefMove)>>;

    /// Moves a branch to a commit if it stands where `from` says; none stands for a branch that is not there yet.
    /// The log gets its entry in the same step. Of several moves from the same place one is done, the others are
    /// lost.
    async fn advance(
        &self,
        name: &RefName,
        from: Option<CommitId>,
        to: CommitId,
        reason: &Reason,
    ) -> StoreResult<Moved>;

    /// The moves of a branch, the newest first, from before place `before`, at most `limit`.
    async fn moves(&self, name: &RefName, before: Option<u64>, limit: usize) -> StoreResult<Vec<RefMove>>;

    /// Sets a tag. It never moves.
    async fn tag(&self, tag: &Tag) -> StoreResult<Tagged>;

    /// Every tag by its name.
    async fn tags(&self) -> StoreResult<Vec<Tag>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_paths_and_back() {
        for kind in Kind::ALL {
            let key = ObjectKey { kind, id: ContentId::of(b"x") };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for bad in ["", "chunks/", "chunks/00.jsonl.gz", "chunk/x", "chunks/../x"] {
            assert!(bad.parse::<ObjectKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_refs_are_harmless() {
        for good in ["live", "v1.0", "2026-11_b"] {
            assert!(good.parse::<RefName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "-x", "a/b", "a b", "ä", "#", &"x".repeat(101)] {
            assert!(bad.parse::<RefName>().is_err(), "{bad}");
        }
    }
}
