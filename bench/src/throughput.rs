//! Eight operators who label as fast as they can, on tasks of different size.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use lambel_core::{
    Actor, Audience, AuditEntry, ClientId, Deed, ImageId, LabelSet, Policy, Shards, Subtask, SubtaskState, Task,
    TaskId, TaskState,
    api::PolicyFields,
    subtask::{Picture, Preview},
};
use lambel_service::ports::{Clock, Store, SystemClock};

use crate::Bench;

/// Operators at the same time.
const OPERATORS: usize = 8;
/// Images of one claim.
const BATCH: u32 = 20;
/// No request of the local cloud at rest takes longer.
const CALM: Duration = Duration::from_millis(25);
/// How long the local cloud may take to come to rest.
const SETTLED_IN: Duration = Duration::from_secs(180);
/// How long each measurement lasts, at most.
const LONG: Duration = Duration::from_secs(20);

/// A task whose subtasks are open already. Uploads are measured elsewhere.
pub(crate) async fn open_task(bench: &Bench, images: u32, quorum: u32) -> Result<TaskId> {
    let id = TaskId::random();
    // Each task has a client of its own: one client has no more than a hundred at the same time.
    let owner: ClientId = format!("bench-{id}").parse()?;
    let now = SystemClock.now();
    let policy = PolicyFields { quorum: Some(quorum), ..PolicyFields::default() };
    let task = Task {
        id,
        owner,
        name: "bench".to_owned(),
        labels: LabelSet::parse(&["cat", "dog"])?,
        instructions: String::new(),
        policy: Policy::parse(&policy)?,
        audience: Audience::Everyone,
        shards: Shards::for_images(Some(images.into())),
        state: TaskState::Open,
        images: None,
        imports: Default::default(),
        created_at: now,
        sealed_at: None,
        ended_at: None,
        rev: 0,
    };
    let deed = Deed::TaskCreated { audience: (&task.audience).into() };
    bench.store.create_task(&task, &AuditEntry { at: now, actor: Actor::lambel(), deed }).await?;
    let open = |n: u32| {
        let picture = Picture { media_type: "image/png".to_owned(), width: 32, height: 32 };
        let image = ImageId::of(format!("{}/{n}", task.id).as_bytes());
        let mut subtask = Subtask::preparing(task.id, image, 2_000, picture, Preview::NotNeeded, now);
        subtask.open(None);
        subtask
    };
    let subtasks: Vec<_> = (0..images).map(open).collect();
    let records: Vec<_> = subtasks.chunks(99).map(|chunk| bench.store.record(&task, chunk)).collect();
    stream::iter(records).buffer_unordered(8).try_collect::<Vec<_>>().await?;
    settle(bench).await?;
    Ok(task.id)
}

/// Waits until the local cloud is at rest: after many writes it is busy for a while with the streams of its
/// tables, in the same process that answers requests.
async fn settle(bench: &Bench) -> Result<()> {
    let http = reqwest::Client::new();
    let address = format!("{}/config.json", bench.cloud.api_url);
    let begin = Instant::now();
    let mut calm = 0;
    while calm < 4 {
        ensure!(begin.elapsed() < SETTLED_IN, "the local cloud does not come to rest");
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begin = Instant::now();
            http.get(&address).send().await?.error_for_status()?.bytes().await?;
            slowest = slowest.max(begin.elapsed());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        calm = if slowest < CALM { calm + 1 } else { 0 };
    }
    Ok(())
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    println!(
        "\n| images of the task | operators | votes | seconds | images a second | over the quorum | seen twice |\n\
         |---|---|---|---|---|---|---|"
    );
    for (images, quorum) in [(1_000, 3), (50_000, 3)] {
        let task = open_task(bench, images, quorum).await?;
        let operators = bench.cloud.operators(OPERATORS).await?;
        let long = if bench.quick { LONG / 10 } else { LONG };
        let begin = Instant::now();
        let seen = try_join_all(operators.iter().map(async |operator| {
            let mut seen = Vec::new();
            while begin.elapsed() < long {
                let leased = operator.claim(task, BATCH).await?.subtasks;
                if leased.is_empty() {
                    break;
                }
                let images: Vec<_> = leased.into_iter().map(|subtask| subtask.image).collect();
                operator.vote(task, &images, "cat").await?;
                seen.extend(images);
            }
            anyhow::Ok(seen)
        }))
        .await?;
        let seconds = begin.elapsed().as_secs_f64();
        let votes: usize = seen.iter().map(Vec::len).sum();
        let twice = seen.iter().map(|own| own.len() - own.iter().collect::<HashSet<_>>().len()).sum::<usize>();
        let (over, recorded) = recount(bench, task, quorum).await?;
        ensure!(recorded == votes, "{votes} votes were acknowledged, {recorded} are there");
        let rate = votes as f64 / seconds;
        println!("| {images} | {OPERATORS} | {votes} | {seconds:.1} | {rate:.0} | {over} | {twice} |");
    }
    Ok(())
}

/// How many subtasks have more votes than the quorum, and how many votes there are.
async fn recount(bench: &Bench, id: TaskId, quorum: u32) -> Result<(usize, usize)> {
    let task = bench.store.task(id).await?.ok_or_else(|| anyhow::anyhow!("the task is gone"))?;
    let (mut over, mut votes) = (0, 0);
    for shard in task.shards.all() {
        let mut from = ImageId::MIN;
        loop {
            let page = bench.store.list(&task, shard, from, 1_000).await?;
            let Some(last) = page.last() else { break };
            from = lambel_core::ring::next_place(&last.image);
            over +=
                page.iter().filter(|s| s.votes.len() > quorum as usize && s.state != SubtaskState::Rejected).count();
            votes += page.iter().map(|subtask| subtask.votes.len()).sum::<usize>();
        }
    }
    Ok((over, votes))
}
