//! The data set of one task: its objects, its refs, and the steps that need both.

use std::{collections::BTreeMap, sync::Arc};

use futures::{Stream, TryStreamExt};
use lambel_core::{Actor, ImageId, Label, TaskId, Timestamp};
use serde_json::{Map, Value};

use crate::{
    Commit, CommitId, Consensus, Error, ModelVersion, ObjectStore, RefName, Refs, Tree, TreeWriter, Written,
    error::Result,
    row::Row,
    store::{Moved, Reason, RefMove},
    write::write_changes,
};

/// The data set of one task.
#[derive(Clone)]
pub struct Dataset {
    /// Where its objects lie.
    pub objects: Arc<dyn ObjectStore>,
    /// Its branches and tags.
    pub refs: Arc<dyn Refs>,
}

/// A commit before it has its tree and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// The task.
    pub task: TaskId,
    /// Who makes it.
    pub author: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub message: String,
    /// The labels of the task.
    pub labels: Vec<Label>,
    /// The policy of the task, as the interface shows it.
    pub policy: Map<String, Value>,
    /// How votes became labels.
    pub consensus: Consensus,
    /// Models that took part.
    pub models: Vec<ModelVersion>,
    /// The program.
    pub program: String,
}

/// What a commit has come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Its id.
    pub id: CommitId,
    /// The commit.
    pub commit: Commit,
    /// The move of the branch; none where its head had the same tree already, and stays.
    pub moved: Option<RefMove>,
    /// What was written, but for the commit itself.
    pub written: Written,
}

impl Dataset {
    /// Where a branch stands.
    pub async fn head(&self, branch: &RefName) -> Result<Option<CommitId>> {
        Ok(self.refs.branch(branch).await?.map(|last| last.to))
    }

    async fn head_tree(&self, branch: &RefName) -> Result<Option<(CommitId, Commit, Tree)>> {
        let Some(id) = self.head(branch).await? else { return Ok(None) };
        let commit = Commit::read(&*self.objects, id).await?;
        let tree = commit.tree(&*self.objects).await?;
        Ok(Some((id, commit, tree)))
    }

    /// Commits all rows, which come sorted by image. If the head of the branch has the very same rows, nothing is
    /// committed. An error of the rows, or [`Error::Moved`] where somebody else was faster, leaves the branch as
    /// it was; what was written by then is garbage.
    pub async fn commit_rows(
        &self,
        branch: &RefName,
        draft: Draft,
        rows: impl Stream<Item = Result<Row>> + Send,
    ) -> Result<Committed> {
        let now = draft.at;
        self.commit_rows_then(branch, rows, || (draft, now)).await
    }

    /// The same, with a draft that is made when all rows have been seen: what follows from them, such as the models
    /// that took part, need not be known before. With it comes the time that the log of the branch gets, which may
    /// be another than that of the commit.
    pub async fn commit_rows_then(
        &self,
        branch: &RefName,
        rows: impl Stream<Item = Result<Row>> + Send,
        draft: impl FnOnce() -> (Draft, Timestamp) + Send,
    ) -> Result<Committed> {
        let head = self.head_tree(branch).await?;
        let base = head.as_ref().map(|(_, _, tree)| tree);
        let mut writer = TreeWriter::begin(&*self.objects, base).await?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await? {
            writer.push(row).await?;
        }
        let (tree, written) = writer.finish().await?;
        let (draft, now) = draft();
        self.conclude(branch, head, draft, now, tree, written).await
    }

    /// Commits the rows of the head with changes: for each image its row, or none to take it out.
    pub async fn commit_changes(
        &self,
        branch: &RefName,
        draft: Draft,
        changes: BTreeMap<ImageId, Option<Row>>,
    ) -> Result<Committed> {
        let Some(head) = self.head_tree(branch).await? else { return Err(Error::NoBranch(branch.clone())) };
        let (tree, written) = write_changes(&*self.objects, &head.2, changes).await?;
        let now = draft.at;
        self.conclude(branch, Some(head), draft, now, tree, written).await
    }

    /// Commits the tree of an earlier commit, with its labels, policy and consensus, as the newest of the branch.
    /// Nothing is lost: what is rolled back stays in the history.
    pub async fn rollback(
        &self,
        branch: &RefName,
        to: CommitId,
        author: Actor,
        at: Timestamp,
        program: String,
        message: String,
    ) -> Result<Committed> {
        let old = Commit::read(&*self.objects, to).await?;
        let Some(head) = self.head_tree(branch).await? else { return Err(Error::NoBranch(branch.clone())) };
        let tree = old.tree(&*self.objects).await?;
        let Commit { task, labels, policy, consensus, models, .. } = old;
        let draft = Draft { task, author, at, message, labels, policy, consensus, models, program };
        self.conclude(branch, Some(head), draft, at, tree, Written::default()).await
    }

    async fn conclude(
        &self,
        branch: &RefName,
        head: Option<(CommitId, Commit, Tree)>,
        draft: Draft,
        now: Timestamp,
        tree: Tree,
        written: Written,
    ) -> Result<Committed> {
        if let Some((id, commit, head_tree)) = &head {
            if commit.task != draft.task {
                return Err(Error::OtherTask(*id));
            }
            if head_tree.id == tree.id {
                return Ok(Committed { id: *id, commit: commit.clone(), moved: None, written });
            }
        }
        let parent = head.map(|(id, _, _)| id);
        let why = draft.message.clone();
        let reason = Reason { by: draft.author.clone(), at: now, why };
        let commit = Commit {
            task: draft.task,
            tree: tree.id,
            parents: parent.into_iter().collect(),
            author: draft.author,
            at: draft.at,
            message: draft.message,
            labels: draft.labels,
            policy: draft.policy,
            consensus: draft.consensus,
            models: draft.models,
            program: draft.program,
            statistics: tree.statistics,
        };
        let id = commit.write(&*self.objects).await?;
        match self.refs.advance(branch, parent, id, &reason).await? {
            Moved::Done(entry) => Ok(Committed { id, commit, moved: Some(entry), written }),
            // Sent again after an answer that was lost: the branch stands where it should.
            Moved::Lost { stands } if stands == Some(id) => Ok(Committed { id, commit, moved: None, written }),
            Moved::Lost { stands } => Err(Error::Moved { branch: branch.clone(), stands }),
        }
    }
}
