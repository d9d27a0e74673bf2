//! The size of each function, and how long it takes from its start until it asks for its first event.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// Starts of each function.
const STARTS: usize = 15;

pub(crate) fn run() -> Result<()> {
    let here = env::current_exe().context("where am I?")?;
    let folder = here.parent().context("a program lies in a folder")?;
    println!("\n| function | size, MiB | init, median ms | beside an empty one |\n|---|---|---|---|");
    let empty = measure(&folder.join("empty-function"))?;
    let names = [
        "task-api",
        "operator-api",
        "image-validator",
        "subtask-opener",
        "event-publisher",
        "task-progress",
        "sweeper",
        "skill-estimator",
        "webhook-sender",
        "dataset-committer",
        "dataset-exporter",
    ];
    let all = std::iter::once("empty-function").chain(names);
    for name in all {
        let program: PathBuf = folder.join(name);
        let size = fs::metadata(&program).with_context(|| format!("no {}", program.display()))?.len();
        let init = measure(&program)?;
        let (mib, ms) = (size as f64 / 1_048_576.0, init.as_secs_f64() * 1_000.0);
        println!("| {name} | {mib:.1} | {ms:.1} | {:.1} × |", init.as_secs_f64() / empty.as_secs_f64());
    }
    Ok(())
}

/// From the start of the process until it connects to the runtime's interface.
fn measure(program: &Path) -> Result<Duration> {
    let runtime = TcpListener::bind("127.0.0.1:0")?;
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut child = Command::new(program)
            .env("AWS_LAMBDA_RUNTIME_API", runtime.local_addr()?.to_string())
            .envs([("AWS_LAMBDA_FUNCTION_NAME", "bench"), ("AWS_LAMBDA_FUNCTION_VERSION", "1")])
            .envs([("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"), ("AWS_LAMBDA_LOG_GROUP_NAME", "bench")])
            .envs([("AWS_LAMBDA_LOG_STREAM_NAME", "bench"), ("RUST_LOG", "error")])
            // Addresses of nothing: what is measured ends before they are used.
            .envs(["UPLOADS_BUCKET", "PREVIEWS_BUCKET", "DATASET_BUCKET"].map(|name| (name, "bench")))
            .envs(
                ["NEW_SUBTASKS_QUEUE_URL", "UPLOADS_QUEUE_URL", "TASK_PROGRESS_QUEUE_URL", "COMMITS_QUEUE_URL"]
                    .map(|name| (name, "bench")),
            )
            .env("EXPORTS_QUEUE_URL", "bench")
            .envs(
                ["SUBTASK_TOPIC_ARN", "TASK_TOPIC_ARN", "DATASET_TOPIC_ARN", "USER_POOL_ID", "USER_POOL_CLIENT_ID"]
                    .map(|name| (name, "bench")),
            )
            .envs(["WEBHOOKS_TABLE", "WEBHOOKS_QUEUE_URL", "WEBHOOK_DELIVERIES_QUEUE_URL"].map(|name| (name, "bench")))
            .env("TASKS_TABLE", env::var("LAMBEL_TASKS_TABLE").unwrap_or_default())
            .env("SUBTASKS_TABLE", env::var("LAMBEL_SUBTASKS_TABLE").unwrap_or_default())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("failed to start {}", program.display()))?;
        runtime.accept()?;
        times.push(started.elapsed());
        child.kill()?;
        child.wait()?;
    }
    times.sort_unstable();
    Ok(times[STARTS / 2])
}
