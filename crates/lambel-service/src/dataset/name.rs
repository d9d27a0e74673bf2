//! Finding a version by what people call it.
//!
//! Every version that the service has made was once where a branch was moved to. So ids are looked for among the
//! moves of the branches, and nothing has to be listed in the bucket: what was written and never became a version is
//! not found.

use lambel_core::limits;
use lambel_dataset::{
    Commit, CommitId, Dataset, RefName,
    store::{RefMove, Tag},
};

use crate::{
    error::{Error, Result},
    ports::StoreError,
};

/// The digits of an id that are enough, if no other begins with them.
const DIGITS: usize = 4;
/// Moves of one page.
const PAGE: usize = 1_000;
/// How far `~` goes back.
const BACK: u32 = 1_000;

/// The branches and tags of a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// The branches, each with its last move.
    pub branches: Vec<(RefName, RefMove)>,
    /// The tags.
    pub tags: Vec<Tag>,
}

impl Names {
    /// Reads them.
    pub async fn read(dataset: &Dataset) -> Result<Self> {
        let (branches, tags) =
            futures::try_join!(dataset.refs.branches(), dataset.refs.tags()).map_err(StoreError::from)?;
        Ok(Self { branches, tags })
    }

    /// The branches that stand at a version.
    pub fn branches_of(&self, id: CommitId) -> Vec<String> {
        self.branches.iter().filter(|(_, last)| last.to == id).map(|(name, _)| name.to_string()).collect()
    }

    /// The tags that stand for a version.
    pub fn tags_of(&self, id: CommitId) -> Vec<String> {
        self.tags.iter().filter(|tag| tag.commit == id).map(|tag| tag.name.to_string()).collect()
    }

    fn find(&self, text: &str) -> Option<CommitId> {
        let branch = self.branches.iter().find(|(name, _)| name.as_str() == text).map(|(_, last)| last.to);
        branch.or_else(|| self.tags.iter().find(|tag| tag.name.as_str() == text).map(|tag| tag.commit))
    }

    fn all(&self) -> Vec<&str> {
        let branches = self.branches.iter().map(|(name, _)| name.as_str());
        branches.chain(self.tags.iter().map(|tag| tag.name.as_str())).collect()
    }
}

/// The version that a text stands for: a branch, a tag, an id or the first digits of one, and with `~2` behind it two
/// versions before that one.
pub async fn find(dataset: &Dataset, names: &Names, field: &'static str, text: &str) -> Result<CommitId> {
    let (name, back) = match text.split_once('~') {
        Some((name, back)) => {
            let back = back.parse().ok().filter(|back| *back <= BACK);
            let detail = || format!("behind `~` stands how many versions to go back, {BACK} at most");
            (name, back.ok_or_else(|| Error::invalid(field, detail()))?)
        }
        None => (text, 0),
    };
    let mut id = match names.find(name) {
        Some(id) => id,
        None => by_digits(dataset, names, field, name).await?,
    };
    for _ in 0..back {
        let parents = Commit::read(&*dataset.objects, id).await?.parents;
        let none = || Error::VersionNotFound(format!("there are not so many versions before {name:?}"));
        id = *parents.first().ok_or_else(none)?;
    }
    Ok(id)
}

async fn by_digits(dataset: &Dataset, names: &Names, field: &'static str, text: &str) -> Result<CommitId> {
    let missing = || {
        let known = match names.all().join(", ") {
            known if known.is_empty() => "there is no version yet".to_owned(),
            known => format!("the names that there are: {known}"),
        };
        // What they have sent may be long.
        let said: String = text.chars().take(100).collect();
        Error::VersionNotFound(format!("there is no branch, tag or commit {said:?}; {known}"))
    };
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if !(DIGITS..=64).contains(&text.len()) || !text.bytes().all(hexadecimal) {
        return Err(missing());
    }
    let mut found = None;
    for (branch, _) in &names.branches {
        let mut before = None;
        let mut seen = 0;
        while seen < limits::VERSIONS_KNOWN {
            let moves = dataset.refs.moves(branch, before, PAGE).await.map_err(StoreError::from)?;
            for id in moves.iter().map(|entry| entry.to).filter(|id| id.to_string().starts_with(text)) {
                if found.replace(id).is_some_and(|other| other != id) {
                    return Err(Error::invalid(field, "several versions begin with these digits; give more of them"));
                }
            }
            seen += moves.len();
            before = moves.last().map(|entry| entry.seq);
            if moves.len() < PAGE {
                break;
            }
        }
    }
    found.ok_or_else(missing)
}
