//! The routes of the versions of data sets.

use lambel_core::{
    TaskId,
    api::dataset::{
        BlameQuery, BlameView, BranchMoved, CommitAsked, CommitFields, CommitView, DiffPage, DiffQuery, LogPage,
        LogQuery, RefsView, ReleaseFields, RollbackFields, TagFields, TagSet,
    },
};

use crate::{
    client::{Call, Client},
    error::Result,
};

/// For clients: the versions of a task's data set.
impl Client {
    /// Asks for a version of what there is now. It is made in the background.
    pub async fn ask_for_version(&self, task: TaskId, fields: &CommitFields) -> Result<CommitAsked> {
        self.call("CommitAsked", Call::post(path(task, "commits"), fields)?).await
    }

    /// A version, by a branch, a tag, an id or the first digits of one.
    pub async fn version(&self, task: TaskId, version: &str) -> Result<CommitView> {
        self.call("CommitView", Call::get(version_path(task, version))).await
    }

    /// The branches and tags.
    pub async fn refs(&self, task: TaskId) -> Result<RefsView> {
        self.call("RefsView", Call::get(path(task, "refs"))).await
    }

    /// A page of a version and what came before it, the newest first.
    pub async fn version_log(&self, task: TaskId, query: &LogQuery) -> Result<LogPage> {
        let call = Call::get(path(task, "log")).query("from", query.from.as_deref()).query("limit", query.limit);
        self.call("LogPage", call).await
    }

    /// A page of what is not the same in two versions.
    pub async fn version_diff(&self, task: TaskId, query: &DiffQuery) -> Result<DiffPage> {
        let call = Call::get(path(task, "diff")).query("a", Some(&query.a)).query("b", Some(&query.b));
        let call = call.query("cursor", query.cursor.as_deref()).query("limit", query.limit);
        self.call("DiffPage", call).await
    }

    /// Which version gave an image what it has.
    pub async fn blame(&self, task: TaskId, query: &BlameQuery) -> Result<BlameView> {
        let call = Call::get(path(task, "blame")).query("image", Some(&query.image)).query("at", query.at.as_deref());
        self.call("BlameView", call).await
    }

    /// Makes the rows of an old version those of the newest. Done twice it comes to the same: the rows are there.
    pub async fn rollback(&self, task: TaskId, fields: &RollbackFields) -> Result<BranchMoved> {
        self.call("BranchMoved", Call::post(path(task, "rollback"), fields)?).await
    }

    /// Gives a version a name for good.
    pub async fn tag(&self, task: TaskId, fields: &TagFields) -> Result<TagSet> {
        self.call("TagSet", Call::post(path(task, "tags"), fields)?).await
    }

    /// Makes `released` stand at a version.
    pub async fn release(&self, task: TaskId, fields: &ReleaseFields) -> Result<BranchMoved> {
        self.call("BranchMoved", Call::post(path(task, "release"), fields)?).await
    }
}

/// The path of a version.
pub(crate) fn version_path(task: TaskId, version: &str) -> String {
    // What is no name of a version must not become another path.
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-~".contains(c);
    let version: String = version.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    path(task, &format!("commits/{version}"))
}

fn path(task: TaskId, rest: &str) -> String {
    format!("/api/tasks/{task}/dataset/{rest}")
}
