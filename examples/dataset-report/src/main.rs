//! `dataset-report DIR COMMIT [EARLIER]`: the report of a version in a folder of `lambel dataset`, as JSON.

use anyhow::{Context, Result, bail};
use dataset_report::report;
use lambel_dataset::{Commit, CommitId, DirectoryObjectStore, Tree};

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (folder, after, before) = match words.as_slice() {
        [folder, after] => (folder, after, None),
        [folder, after, before] => (folder, after, Some(before)),
        _ => bail!("usage: dataset-report DIR COMMIT [EARLIER]"),
    };
    let objects = DirectoryObjectStore::open(folder)?;
    let tree = async |id: &String| -> Result<Tree> {
        let id: CommitId = id.parse().with_context(|| format!("{id:?} is not the id of a commit"))?;
        Ok(Commit::read(&objects, id).await?.tree(&objects).await?)
    };
    let before = match before {
        Some(id) => Some(tree(id).await?),
        None => None,
    };
    let found = report(&objects, before.as_ref(), &tree(after).await?).await?;
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(())
}
