//! What a client asks and says of the versions of their task's data set.

use futures::TryStreamExt;
use lambel_core::{
    FileName, ImageId, TaskId,
    api::dataset::{
        AnsweredView, BlameQuery, BlameView, BranchMoved, BranchView, ChangeView, CommitAsked, CommitFields,
        CommitView, ConsensusView, DiffPage, DiffQuery, LogPage, LogQuery, ModelView, RefsView, ReleaseFields,
        RollbackFields, StatisticsView, TagFields, TagSet, TagView,
    },
    event::CommitRequest,
    limits,
};
use lambel_dataset::{
    Change, Commit, CommitId, Dataset, RefName, Row, Statistics, blame, diff_after, log,
    store::{Moved, Reason, RefMove, Tag, Tagged},
};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    PROGRAM,
    name::{Names, find},
};
use crate::{
    caller::Caller,
    error::{Error, Result},
    ports::{SharedCommitQueue, SharedDatasets, StoreError},
    results::page_limit,
    tasks::Tasks,
};

/// What is said of a version where nothing is.
const ON_DEMAND: &str = "on demand";

/// The versions of the data sets of tasks, towards their clients.
#[derive(Clone)]
pub struct Versions {
    tasks: Tasks,
    datasets: SharedDatasets,
    queue: SharedCommitQueue,
}

impl Versions {
    /// Over these ports.
    pub fn new(tasks: Tasks, datasets: SharedDatasets, queue: SharedCommitQueue) -> Self {
        Self { tasks, datasets, queue }
    }

    async fn open(&self, caller: &Caller, task: TaskId) -> Result<(Dataset, Names)> {
        self.tasks.owned(caller, task).await?;
        let dataset = self.datasets.of(task);
        let names = Names::read(&dataset).await?;
        Ok((dataset, names))
    }

    /// Asks for a version of what there is now.
    pub async fn ask(&self, caller: &Caller, task: TaskId, fields: &CommitFields) -> Result<CommitAsked> {
        self.tasks.owned(caller, task).await?;
        let message = message(fields.message.as_deref(), ON_DEMAND)?;
        let asked_at = self.tasks.clock.now();
        let request = CommitRequest { task, author: caller.actor(), message, asked_at, if_due: false };
        self.queue.ask(&request).await?;
        Ok(CommitAsked { task, asked_at, look_at: format!("/api/tasks/{task}/dataset/refs") })
    }

    /// The branches and tags.
    pub async fn refs(&self, caller: &Caller, task: TaskId) -> Result<RefsView> {
        let (_, names) = self.open(caller, task).await?;
        let answered = self.datasets.answered(task).await?;
        Ok(RefsView {
            branches: names.branches.iter().map(|(name, last)| branch_view(name, last)).collect(),
            tags: names.tags.iter().map(tag_view).collect(),
            answered: answered.map(|answered| AnsweredView {
                asked_at: answered.asked_at,
                at: answered.at,
                commit: answered.commit.to_string(),
                new: answered.new,
            }),
        })
    }

    /// A version and what came before it, the newest first.
    pub async fn log(&self, caller: &Caller, task: TaskId, query: &LogQuery) -> Result<LogPage> {
        let limit = query.limit.unwrap_or(limits::VERSIONS_PER_PAGE);
        if !(1..=limits::VERSIONS_PER_PAGE).contains(&limit) {
            return Err(Error::invalid("limit", format!("1 to {}", limits::VERSIONS_PER_PAGE)));
        }
        let (dataset, names) = self.open(caller, task).await?;
        let from = find(&dataset, &names, "from", query.from.as_deref().unwrap_or("live")).await?;
        let mut entries = log(&*dataset.objects, from, limit as usize + 1).await?;
        let more = entries.len() > limit as usize;
        let next = if more { entries.pop().map(|entry| entry.id.to_string()) } else { None };
        let commits = entries.iter().map(|entry| view(entry.id, &entry.commit, &names)).collect();
        Ok(LogPage { commits, next })
    }

    /// One version.
    pub async fn show(&self, caller: &Caller, task: TaskId, version: &str) -> Result<CommitView> {
        let (dataset, names) = self.open(caller, task).await?;
        let id = find(&dataset, &names, "version", version).await?;
        Ok(view(id, &Commit::read(&*dataset.objects, id).await?, &names))
    }

    /// A page of what is not the same in two versions.
    pub async fn diff(&self, caller: &Caller, task: TaskId, query: &DiffQuery) -> Result<DiffPage> {
        let limit = page_limit(query.limit)?;
        let parse =
            |text: &String| text.parse::<ImageId>().map_err(|_| Error::invalid("cursor", "this is not a cursor"));
        let after = query.cursor.as_ref().map(parse).transpose()?;
        let (dataset, names) = self.open(caller, task).await?;
        let objects = &*dataset.objects;
        let a = find(&dataset, &names, "a", &query.a).await?;
        let b = find(&dataset, &names, "b", &query.b).await?;
        let old = Commit::read(objects, a).await?.tree(objects).await?;
        let new = Commit::read(objects, b).await?.tree(objects).await?;
        let mut differences = diff_after(objects, &old, &new, after);
        let mut page = DiffPage { a: a.to_string(), b: b.to_string(), changes: Vec::new(), next: None };
        let mut bytes = 0;
        while let Some(change) = differences.try_next().await? {
            let change = change_view(&change)?;
            bytes += serde_json::to_vec(&change).map_or(0, |json| json.len());
            if let Some(last) = page.changes.last()
                && (page.changes.len() == limit as usize || bytes > limits::RESPONSE_BYTES)
            {
                page.next = Some(last.image.to_string());
                break;
            }
            page.changes.push(change);
        }
        Ok(page)
    }

    /// Which version gave an image what it has.
    pub async fn blame(&self, caller: &Caller, task: TaskId, query: &BlameQuery) -> Result<BlameView> {
        let (dataset, names) = self.open(caller, task).await?;
        let at = find(&dataset, &names, "at", query.at.as_deref().unwrap_or("live")).await?;
        let image = self.image(caller, task, &query.image).await?;
        let found = blame(&*dataset.objects, at, &image).await?;
        Ok(BlameView {
            image,
            status: found.status.as_str().to_owned(),
            label: found.label,
            commit: found.commit.to_string(),
            at: found.at,
            by: found.by,
            message: found.message,
            commits_read: found.commits_read,
        })
    }

    /// An image by its id or the name of its file.
    async fn image(&self, caller: &Caller, task: TaskId, text: &str) -> Result<ImageId> {
        if let Ok(image) = text.parse() {
            return Ok(image);
        }
        let name = FileName::parse(text).map_err(|_| Error::ImageNotFound)?;
        let task = self.tasks.owned(caller, task).await?;
        let found = self.tasks.store.names(&task, &[name]).await?;
        found.into_iter().next().flatten().ok_or(Error::ImageNotFound)
    }

    /// Makes the rows of an old version those of the newest of a branch. Nothing is lost.
    pub async fn rollback(&self, caller: &Caller, task: TaskId, fields: &RollbackFields) -> Result<BranchMoved> {
        let branch = match fields.branch.as_deref() {
            None | Some("live") => RefName::live(),
            Some("released") => RefName::released(),
            Some(_) => return Err(Error::invalid("branch", "the branches are `live` and `released`")),
        };
        let (dataset, names) = self.open(caller, task).await?;
        let to = find(&dataset, &names, "version", &fields.version).await?;
        let message = message(fields.message.as_deref(), &format!("rollback to {}", short(to)))?;
        let (author, at) = (caller.actor(), self.tasks.clock.now());
        let done = dataset.rollback(&branch, to, author, at, PROGRAM.to_owned(), message).await?;
        tracing::info!(%task, commit = %done.id, commit.new = done.moved.is_some(), "version rolled back");
        self.moved(&dataset, branch, done.moved.is_some(), done.id, &done.commit).await
    }

    /// Makes `released` stand at a version.
    pub async fn release(&self, caller: &Caller, task: TaskId, fields: &ReleaseFields) -> Result<BranchMoved> {
        let (dataset, names) = self.open(caller, task).await?;
        let to = find(&dataset, &names, "version", &fields.version).await?;
        let commit = Commit::read(&*dataset.objects, to).await?;
        let released = RefName::released();
        let stands = dataset.refs.branch(&released).await.map_err(StoreError::from)?;
        // Who says it once more takes it over from the rule that has released it.
        if stands.as_ref().is_some_and(|last| last.to == to && last.by == caller.actor()) {
            return self.moved(&dataset, released, false, to, &commit).await;
        }
        let why = message(fields.message.as_deref(), "release")?;
        let reason = Reason { by: caller.actor(), at: self.tasks.clock.now(), why };
        let from = stands.map(|last| last.to);
        match dataset.refs.advance(&released, from, to, &reason).await.map_err(StoreError::from)? {
            Moved::Done(_) => {
                tracing::info!(%task, commit = %to, "version released");
                self.moved(&dataset, released, from != Some(to), to, &commit).await
            }
            Moved::Lost { stands: Some(other) } if other == to => {
                self.moved(&dataset, released, false, to, &commit).await
            }
            Moved::Lost { .. } => Err(Error::Contended),
        }
    }

    async fn moved(
        &self,
        dataset: &Dataset,
        branch: RefName,
        new: bool,
        id: CommitId,
        commit: &Commit,
    ) -> Result<BranchMoved> {
        let names = Names::read(dataset).await?;
        Ok(BranchMoved { branch: branch.to_string(), new, version: view(id, commit, &names) })
    }

    /// Gives a version a name for good.
    pub async fn tag(&self, caller: &Caller, task: TaskId, fields: &TagFields) -> Result<TagSet> {
        let name: RefName = fields.tag.parse().map_err(|error| Error::invalid("tag", error))?;
        let (dataset, names) = self.open(caller, task).await?;
        if [RefName::live(), RefName::released()].contains(&name) {
            return Err(Error::Conflict(format!("`{name}` is the name of a branch")));
        }
        let version = fields.version.as_deref().unwrap_or("live");
        let commit = find(&dataset, &names, "version", version).await?;
        let tag = Tag { name, commit, by: caller.actor(), at: self.tasks.clock.now() };
        let new = match dataset.refs.tag(&tag).await.map_err(StoreError::from)? {
            Tagged::Set => true,
            Tagged::Known => false,
            Tagged::Taken(other) => {
                let detail = format!("`{}` stands for {} already, and a tag never moves", tag.name, short(other));
                return Err(Error::Conflict(detail));
            }
        };
        Ok(TagSet { tag: tag.name.to_string(), commit: commit.to_string(), new })
    }
}

/// What is said of a version, or what is said where nothing is.
fn message(said: Option<&str>, otherwise: &str) -> Result<String> {
    let text = said.map_or(otherwise, str::trim);
    let control = |c: char| c.is_control() && c != '\n';
    if text.is_empty() || text.chars().count() > limits::COMMIT_MESSAGE_CHARS || text.chars().any(control) {
        let detail =
            format!("1 to {} characters, line ends but no other control characters", limits::COMMIT_MESSAGE_CHARS);
        return Err(Error::invalid("message", detail));
    }
    Ok(text.to_owned())
}

/// The digits of an id that people read.
fn short(id: CommitId) -> String {
    let mut digits = id.to_string();
    digits.truncate(12);
    digits
}

fn branch_view(name: &RefName, last: &RefMove) -> BranchView {
    BranchView {
        branch: name.to_string(),
        commit: last.to.to_string(),
        seq: last.seq,
        from: last.from.map(|id| id.to_string()),
        by: last.by.clone(),
        at: last.at,
        message: last.why.clone(),
    }
}

fn tag_view(tag: &Tag) -> TagView {
    TagView { tag: tag.name.to_string(), commit: tag.commit.to_string(), by: tag.by.clone(), at: tag.at }
}

/// A version as it is shown, with its names.
pub fn view(id: CommitId, commit: &Commit, names: &Names) -> CommitView {
    let Commit { consensus, statistics, .. } = commit;
    let model =
        |model: &lambel_dataset::ModelVersion| ModelView { name: model.name.clone(), version: model.version.clone() };
    CommitView {
        commit: id.to_string(),
        branches: names.branches_of(id),
        tags: names.tags_of(id),
        task: commit.task,
        tree: commit.tree.to_string(),
        parents: commit.parents.iter().map(ToString::to_string).collect(),
        author: commit.author.clone(),
        at: commit.at,
        message: commit.message.clone(),
        labels: commit.labels.clone(),
        policy: commit.policy.clone(),
        consensus: ConsensusView { method: consensus.method.clone(), parameters: consensus.parameters.clone() },
        models: commit.models.iter().map(model).collect(),
        program: commit.program.clone(),
        statistics: statistics_view(statistics),
    }
}

fn statistics_view(of: &Statistics) -> StatisticsView {
    StatisticsView {
        images: of.images,
        names: of.names,
        image_bytes: of.image_bytes,
        complete: of.complete,
        disputed: of.disputed,
        unlabelled: of.unlabelled,
        rejected: of.rejected,
        votes: of.votes,
        abstentions: of.abstentions,
        late: of.late,
        labels: of.labels.clone(),
    }
}

/// A difference as it is shown.
fn change_view(change: &Change) -> Result<ChangeView> {
    let kinds = change.kinds().iter().map(word).collect();
    let row = |row: &Option<Row>| row.as_ref().map(object).transpose();
    Ok(ChangeView { image: change.image, kinds, before: row(&change.before)?, after: row(&change.after)? })
}

/// How serde writes a plain name.
fn word(of: &impl Serialize) -> String {
    match serde_json::to_value(of) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

fn object(row: &Row) -> Result<Map<String, Value>> {
    match serde_json::to_value(row) {
        Ok(Value::Object(fields)) => Ok(fields),
        _ => Err(Error::Store(StoreError::Failed(format!("the row of {} cannot be written", row.image)))),
    }
}
