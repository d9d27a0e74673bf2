//! `cargo xtask bench`: load on the local cloud. Each part prints a table in Markdown; `docs/benchmarks.md` has
//! what they showed, with the machine they ran on.
//!
//! Times vary; what they are good for is to be held beside one another in one run. Every part ends by itself.

mod functions;
mod load;
mod throughput;
mod uploads;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use lambel_aws::{Aws, DynamoStore, setting};
use lambel_system_tests::Cloud;

/// Load on the local cloud.
#[derive(Parser)]
struct Args {
    /// Only a tenth of the work, to see that it works
    #[arg(long)]
    quick: bool,
    /// A folder with real pictures to upload, beside those that are drawn
    #[arg(long)]
    images: Option<PathBuf>,
    /// Only these parts [default: all]
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

/// What every part works with.
struct Bench {
    cloud: Cloud,
    store: DynamoStore,
    quick: bool,
}

impl Bench {
    /// A number of the full run, or a tenth of it.
    fn amount(&self, full: u32) -> u32 {
        if self.quick { (full / 10).max(1) } else { full }
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let aws = Aws::from_env().await;
    let cloud = Cloud::running()?;
    let store = DynamoStore::new(&aws, setting("LAMBEL_TASKS_TABLE")?, setting("LAMBEL_SUBTASKS_TABLE")?);
    let bench = Bench { cloud, store, quick: args.quick };
    let wanted = |part: &str| args.only.is_empty() || args.only.iter().any(|only| only == part);
    if wanted("functions") {
        functions::run()?;
    }
    if wanted("load") {
        load::run(&bench).await?;
    }
    if wanted("throughput") {
        throughput::run(&bench).await?;
    }
    if wanted("uploads") {
        uploads::run(&bench, args.images.as_deref()).await?;
    }
    Ok(())
}
