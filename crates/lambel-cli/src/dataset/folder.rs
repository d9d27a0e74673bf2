//! The folder of a data set, and versions by their names.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use lambel_core::{TaskId, api::dataset::CommitView};
use lambel_dataset::{
    Commit, CommitId, Dataset, DirectoryObjectStore, DirectoryRefs, ObjectKey, ObjectStore, RefName, Refs,
    store::{Kind, RefMove, Tag},
};

use super::service::Service;
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
};

/// Digits of an id that have to be given at least.
const DIGITS: usize = 4;
/// Commits that a list asks for at once.
const PAGE: usize = 1_000;

/// Where the data set is.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The folder of the data set
    #[arg(long = "in", value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// Where the data set is: in a folder, or where the service keeps it.
#[derive(clap::Args)]
pub(super) struct Source {
    #[command(flatten)]
    place: Place,
    /// The task whose versions, kept by the service, are meant
    #[arg(long, value_name = "TASK", conflicts_with = "folder")]
    task: Option<TaskId>,
}

impl Source {
    /// The service, if it is meant.
    pub(super) fn service<'a>(&self, context: &'a Context) -> Outcome<Option<Service<'a>>> {
        self.task.map(|task| Service::new(context, task)).transpose()
    }

    /// The task, if its versions that the service keeps are meant.
    pub(super) fn task(&self) -> Option<TaskId> {
        self.task
    }

    pub(super) fn open(&self) -> Outcome<Folder> {
        self.place.open()
    }
}

impl Place {
    pub(super) fn open(&self) -> Outcome<Folder> {
        Folder::open(&self.folder)
    }
}

/// A data set in a folder.
pub(super) struct Folder {
    pub(super) dataset: Dataset,
}

impl Folder {
    /// The data set that is there.
    pub(super) fn open(path: &Path) -> Outcome<Self> {
        let missing = || {
            let path = path.display();
            let advice = "`lambel dataset commit TASK --into DIR` makes one; `--in DIR` says where one is";
            Failure::new(Exit::NotFound, format!("there is no data set in {path}; {advice}"))
        };
        let refs = DirectoryRefs::open(path)?.ok_or_else(missing)?;
        Self::of(path, refs)
    }

    /// The data set that is there, or a new one where there is nothing yet.
    pub(super) fn open_or_make(path: &Path) -> Outcome<Self> {
        if DirectoryRefs::open(path)?.is_none() {
            let failure = |error: &io::Error| Failure::io(path.display(), error);
            match fs::read_dir(path) {
                Ok(mut entries) => {
                    if let Some(entry) = entries.next() {
                        entry.map_err(|error| failure(&error))?;
                        let message = format!("{} has other files and no data set; name a new folder", path.display());
                        return Err(Failure::usage(message));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failure(&error)),
            }
        }
        Self::of(path, DirectoryRefs::create(path)?)
    }

    fn of(path: &Path, refs: DirectoryRefs) -> Outcome<Self> {
        let objects = DirectoryObjectStore::open(path)?;
        Ok(Self { dataset: Dataset { objects: Arc::new(objects), refs: Arc::new(refs) } })
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        &*self.dataset.objects
    }

    pub(super) fn refs(&self) -> &dyn Refs {
        &*self.dataset.refs
    }

    pub(super) async fn commit(&self, id: CommitId) -> Outcome<Commit> {
        Ok(Commit::read(self.objects(), id).await?)
    }

    /// The task that this is the data set of; none as long as there is no commit.
    pub(super) async fn task(&self) -> Outcome<Option<TaskId>> {
        match self.refs().branches().await?.first() {
            Some((_, last)) => Ok(Some(self.commit(last.to).await?.task)),
            None => Ok(None),
        }
    }

    /// The commit that a version stands for: a branch, a tag, an id or the beginning of one, and how many commits
    /// before it.
    pub(super) async fn version(&self, text: &str) -> Outcome<CommitId> {
        let (name, back) = match text.split_once('~') {
            Some((name, back)) => {
                let back: u32 = back.parse().map_err(|_| {
                    Failure::usage(format!("{text:?}: behind `~` stands how many commits to go back, such as `live~1`"))
                })?;
                (name, back)
            }
            None => (text, 0),
        };
        let mut id = self.named(name).await?;
        for _ in 0..back {
            let parents = self.commit(id).await?.parents;
            id = *parents.first().ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("{text:?}: there are not so many commits before it"))
            })?;
        }
        Ok(id)
    }

    async fn named(&self, text: &str) -> Outcome<CommitId> {
        let names = self.names().await?;
        let missing = || {
            let known = match names.all().join(", ") {
                known if known.is_empty() => "there is no commit yet".to_owned(),
                known => format!("the names that there are: {known}"),
            };
            Failure::new(Exit::NotFound, format!("there is no branch, tag or commit {text:?}; {known}"))
        };
        if let Ok(id) = text.parse::<CommitId>() {
            let is_there = self.objects().get(ObjectKey::commit(id)).await?.is_some();
            return if is_there { Ok(id) } else { Err(missing()) };
        }
        if let Some(id) = names.find(text) {
            return Ok(id);
        }
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() < DIGITS || !text.bytes().all(hexadecimal) {
            return Err(missing());
        }
        let found: Vec<_> = self.commits().await?.into_iter().filter(|id| id.to_string().starts_with(text)).collect();
        match found.as_slice() {
            [id] => Ok(*id),
            [] => Err(missing()),
            several => Err(Failure::usage(format!("{} commits begin with {text:?}; give more digits", several.len()))),
        }
    }

    /// Every commit that is stored, whether a name leads to it or not.
    async fn commits(&self) -> Outcome<Vec<CommitId>> {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let page = self.objects().list(Kind::Commit, after, PAGE).await?;
            ids.extend(page.iter().map(|listed| CommitId::from(listed.key.id)));
            match page.last() {
                Some(last) if page.len() == PAGE => after = Some(last.key.id),
                _ => return Ok(ids),
            }
        }
    }

    pub(super) async fn names(&self) -> Outcome<Names> {
        Ok(Names { branches: self.refs().branches().await?, tags: self.refs().tags().await? })
    }
}

/// Branches and tags, to be shown beside the commits that they stand for.
pub(super) struct Names {
    pub(super) branches: Vec<(RefName, RefMove)>,
    pub(super) tags: Vec<Tag>,
}

impl Names {
    /// A version as it is shown, with its names.
    pub(super) fn view(&self, id: CommitId, commit: &Commit) -> CommitView {
        let names = lambel_service::dataset::Names { branches: self.branches.clone(), tags: self.tags.clone() };
        lambel_service::dataset::view(id, commit, &names)
    }

    pub(super) fn is_branch(&self, name: &RefName) -> bool {
        self.branches.iter().any(|(known, _)| known == name)
    }

    pub(super) fn is_tag(&self, name: &RefName) -> bool {
        self.tags.iter().any(|tag| tag.name == *name)
    }

    /// The commit that a branch, or else a tag, stands for.
    fn find(&self, text: &str) -> Option<CommitId> {
        let branch = self.branches.iter().find(|(name, _)| name.as_str() == text).map(|(_, last)| last.to);
        branch.or_else(|| self.tags.iter().find(|tag| tag.name.as_str() == text).map(|tag| tag.commit))
    }

    fn all(&self) -> Vec<&str> {
        let branches = self.branches.iter().map(|(name, _)| name.as_str());
        branches.chain(self.tags.iter().map(|tag| tag.name.as_str())).collect()
    }
}
