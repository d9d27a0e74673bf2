//! Requests with a line for each image: which image a line means, and why a line is refused.

use std::collections::{BTreeSet, HashMap};

use lambel_core::{FileName, ImageId, Task};

use crate::{error::Result, tasks::Tasks};

/// Why a line is refused. The others of its request are not.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// A name for the reason that programs can rely on.
    pub(crate) code: &'static str,
    /// The reason, and what to do about it.
    pub(crate) detail: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

impl Tasks {
    /// The image that each line means by the name of a file or by an id, of which it has one.
    pub(crate) async fn images_meant(
        &self,
        task: &Task,
        lines: &[(Option<&str>, Option<ImageId>)],
    ) -> Result<Vec<Result<ImageId, Refusal>>> {
        let names: Vec<Option<FileName>> = lines.iter().map(|(name, _)| FileName::parse((*name)?).ok()).collect();
        // Each name once.
        let asked: BTreeSet<FileName> = names.iter().flatten().cloned().collect();
        let asked: Vec<FileName> = asked.into_iter().collect();
        let mut stands_for: HashMap<FileName, ImageId> = HashMap::new();
        if !asked.is_empty() {
            let found = self.store.names(task, &asked).await?;
            stands_for.extend(asked.into_iter().zip(found).filter_map(|(name, image)| Some((name, image?))));
        }
        let unknown = || Refusal::new("unknown-name", "the task has no file of this name");
        let read = |(line, name): (&(Option<&str>, Option<ImageId>), &Option<FileName>)| match *line {
            (Some(_), None) => name.as_ref().and_then(|name| stands_for.get(name)).copied().ok_or_else(unknown),
            (None, Some(image)) => Ok(image),
            _ => Err(Refusal::new("no-image", "say either the id of an image or the name of a file")),
        };
        Ok(lines.iter().zip(&names).map(read).collect())
    }
}
