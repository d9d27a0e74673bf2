//! Commits: a tree, and how it came to be.

use lambel_core::{Actor, ImageId, Label, TaskId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    CommitId, ObjectStore, Statistics, Tree, TreeId, canonical,
    error::Result,
    pack,
    store::ObjectKey,
    tree::{VERSION, parse},
};

/// How votes became labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consensus {
    /// The method, such as `majority`.
    pub method: String,
    /// Its parameters, with names of its own.
    pub parameters: Map<String, Value>,
}

/// A model that took part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelVersion {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// An immutable version of the labelled data set of a task. Equal commits have equal ids, on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// The task.
    pub task: TaskId,
    /// Its rows.
    pub tree: TreeId,
    /// The commits that it follows: none for the first, one as a rule.
    pub parents: Vec<CommitId>,
    /// Who made it.
    pub author: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub message: String,
    /// The labels of the task, in their order.
    pub labels: Vec<Label>,
    /// The policy of the task, as the interface shows it.
    pub policy: Map<String, Value>,
    /// How votes became labels.
    pub consensus: Consensus,
    /// Models that took part, sorted, each once.
    pub models: Vec<ModelVersion>,
    /// The program that made it, such as `lambel 0.1.0`.
    pub program: String,
    /// What there is to count in its rows.
    pub statistics: Statistics,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCommit {
    v: u32,
    kind: CommitKind,
    task: TaskId,
    tree: TreeId,
    parents: Vec<CommitId>,
    author: Actor,
    at: Timestamp,
    message: String,
    labels: Vec<Label>,
    policy: Map<String, Value>,
    consensus: Consensus,
    models: Vec<ModelVersion>,
    program: String,
    statistics: Statistics,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum CommitKind {
    Commit,
}

fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    match canonical::sorted(Value::Object(map)) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

impl Commit {
    /// Its canonical bytes, and the id they give.
    pub fn encode(&self) -> Result<(CommitId, Vec<u8>)> {
        let mut models = self.models.clone();
        models.sort();
        models.dedup();
        let Consensus { method, parameters } = self.consensus.clone();
        let stored = StoredCommit {
            v: VERSION,
            kind: CommitKind::Commit,
            task: self.task,
            tree: self.tree,
            parents: self.parents.clone(),
            author: self.author.clone(),
            at: self.at,
            message: self.message.clone(),
            labels: self.labels.clone(),
            policy: sorted(self.policy.clone()),
            consensus: Consensus { method, parameters: sorted(parameters) },
            models,
            program: self.program.clone(),
            statistics: self.statistics.clone(),
        };
        let bytes = canonical::bytes(&stored)?;
        Ok((CommitId::of(&bytes), bytes))
    }

    /// Stores it. Its tree and its parents must be there.
    pub async fn write(&self, objects: &dyn ObjectStore) -> Result<CommitId> {
        let (id, bytes) = self.encode()?;
        pack::store(objects, ObjectKey::commit(id), &bytes).await?;
        Ok(id)
    }

    /// Reads a commit.
    pub async fn read(objects: &dyn ObjectStore, id: CommitId) -> Result<Self> {
        let key = ObjectKey::commit(id);
        let bytes = pack::fetch(objects, key).await?;
        let stored: StoredCommit = parse(key, &bytes)?;
        Ok(Self {
            task: stored.task,
            tree: stored.tree,
            parents: stored.parents,
            author: stored.author,
            at: stored.at,
            message: stored.message,
            labels: stored.labels,
            policy: stored.policy,
            consensus: stored.consensus,
            models: stored.models,
            program: stored.program,
            statistics: stored.statistics,
        })
    }

    /// Its tree.
    pub async fn tree(&self, objects: &dyn ObjectStore) -> Result<Tree> {
        Tree::read(objects, self.tree).await
    }

    /// The row of an image in it.
    pub async fn row(&self, objects: &dyn ObjectStore, image: &ImageId) -> Result<Option<crate::Row>> {
        self.tree(objects).await?.row(objects, image).await
    }
}
