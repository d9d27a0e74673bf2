//! `cargo xtask demo`: the whole job on the local cloud, from upload to results.
//!
//! Everything is done by the `lambel` command, as a user would do it. What comes out is held against the truth
//! and against a count of the votes made here, outside the system.

mod lambel;
mod recount;
mod report;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::deploy::{self, Deployment};
use crate::instance::Instance;
use crate::step::{read, step};

use lambel::Lambel;
use recount::{Table, recount};
use report::Report;

/// How long the demo waits for what must come by itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What to show.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with images/, labels.txt, votes.csv and truth.csv [default: a sample set drawn for the demo]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Write everything that was measured to this file, as JSON
    #[arg(long)]
    report: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyArgs,
    /// Operators that label at the same time
    #[arg(long, default_value_t = 6)]
    operators: u16,
}

/// How the task comes to its labels: passed on to `lambel task create`.
#[derive(Debug, clap::Args)]
struct PolicyArgs {
    /// The rule that decides
    #[arg(long, default_value = "majority", value_parser = ["adaptive", "lead", "majority"])]
    rule: String,
    /// majority: votes that every image gets [default: 3]
    #[arg(long)]
    quorum: Option<u32>,
    /// lead: how many votes a label has to be ahead [default: 2]
    #[arg(long)]
    lead: Option<u32>,
    /// adaptive: how sure a label has to be [default: 0.95]
    #[arg(long)]
    confidence: Option<f64>,
    /// Votes after which an image without an answer is a dispute
    #[arg(long)]
    max_labels: Option<u32>,
}

impl PolicyArgs {
    fn words(&self) -> Vec<String> {
        let numbers = [
            ("--quorum", self.quorum.map(|number| number.to_string())),
            ("--lead", self.lead.map(|number| number.to_string())),
            ("--confidence", self.confidence.map(|number| number.to_string())),
            ("--max-labels", self.max_labels.map(|number| number.to_string())),
        ];
        let said = numbers.into_iter().filter_map(|(name, number)| Some([name.to_owned(), number?]));
        ["--rule".to_owned(), self.rule.clone()].into_iter().chain(said.flatten()).collect()
    }
}

/// The folder to work on.
struct Data {
    dir: PathBuf,
}

impl Data {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn check(self) -> Result<Self> {
        for name in ["images", "labels.txt", "votes.csv", "truth.csv"] {
            ensure!(self.file(name).exists(), "{} has no {name}", self.dir.display());
        }
        Ok(self)
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let instance = Instance::dev()?;
    // Before the minutes that building takes.
    let own = args.data.clone().map(|dir| Data { dir }.check()).transpose()?;
    let (deployment, package) = deploy::up(&instance, None)?;
    let home = instance.dir.join("demo");
    fs::create_dir_all(&home).with_context(|| format!("failed to create {}", home.display()))?;
    let data = match own {
        Some(data) => data,
        None => step("drawing the sample set", || draw(&package.draw_samples, &home.join("samples")))?,
    };
    let lambel = Lambel::new(&package.lambel, &home, &deployment);
    let report = job(args, &lambel, &data, &home, &deployment)?;
    report.print();
    if let Some(path) = &args.report {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .with_context(|| format!("failed to write {}", path.display()))?;
        println!("\nthe report is in {}", path.display());
    }
    report.verdict()
}

fn draw(draw_samples: &Path, dir: &Path) -> Result<Data> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("failed to remove {}", dir.display()))?;
    }
    read(Command::new(draw_samples).arg(dir))?;
    Data { dir: dir.to_owned() }.check()
}

/// The job of a client and their operators.
fn job(args: &Args, lambel: &Lambel, data: &Data, home: &Path, deployment: &Deployment) -> Result<Report> {
    let begin = Instant::now();
    lambel.sign_in("client", deployment)?;
    let labels = data.file("labels.txt");
    let policy = args.policy.words();
    let mut create = vec!["task", "create", "--name", "demo", "--labels-file", path_text(&labels)?];
    create.extend(["--instructions", "What is in the picture?"]);
    create.extend(policy.iter().map(String::as_str));
    let task = lambel.one(&create)?;
    let id = task["task"].as_str().context("a task without an id")?.to_owned();
    println!("task {id}: {} labels, {}", label_count(&task), task["policy"]);

    let images = data.file("images");
    let uploading = Instant::now();
    let upload = step("uploading", || lambel.one_of(&["upload", &id, path_text(&images)?], &[0, 5]))?;
    let uploaded = uploading.elapsed();
    let distinct = upload["distinct_images"].as_u64().context("an upload without a count")?;
    let opening = Instant::now();
    step("validating and opening", || opened(lambel, &id, distinct))?;
    let opened_after = opening.elapsed();
    lambel.one(&["task", "seal", &id, "--images", &distinct.to_string()])?;
    let refused = lambel.many(&["images", &id, "--state", "rejected"])?;

    let labelling = Instant::now();
    let votes = data.file("votes.csv");
    let concurrency = args.operators.to_string();
    let replay = step("labelling", || {
        lambel.one(&[
            "replay",
            &id,
            "--votes",
            path_text(&votes)?,
            "--images",
            path_text(&images)?,
            "--concurrency",
            &concurrency,
        ])
    })?;
    let complete = step("waiting for the task to complete by itself", || completed(lambel, &id))?;
    let labelled = labelling.elapsed();

    let out = home.join("results.jsonl");
    lambel.one(&["results", &id, "--out", path_text(&out)?])?;
    let rows: Vec<Value> = fs::read_to_string(&out)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let fixed_quorums = fixed_quorums(args, lambel, data)?;
    let truth = Table::read(&data.file("truth.csv"), ["item", "truth"])?;
    let votes = Table::read(&votes, ["item", "annotator", "label"])?;
    let recount = recount(&rows, &truth, &votes, &replay)?;
    let version = step("waiting for the version of the data set", || version(lambel, &id))?;
    Ok(Report {
        version,
        policy: task["policy"].clone(),
        task: id,
        progress: complete["progress"].clone(),
        upload,
        refused,
        replay,
        recount,
        fixed_quorums,
        seconds_upload: uploaded.as_secs_f64(),
        seconds_upload_to_open: opened_after.as_secs_f64(),
        seconds_labelling: labelled.as_secs_f64(),
        seconds_in_all: begin.elapsed().as_secs_f64(),
        results: out,
    })
}

/// What fixed quorums would have made of the same votes, played without a cloud; nothing where the rule is one.
fn fixed_quorums(args: &Args, lambel: &Lambel, data: &Data) -> Result<Vec<Value>> {
    if args.policy.rule == "majority" {
        return Ok(Vec::new());
    }
    let (votes, truth) = (data.file("votes.csv"), data.file("truth.csv"));
    let files = ["--votes", path_text(&votes)?, "--truth", path_text(&truth)?];
    let played = lambel.one(&[&["consensus", "stream", "--rule", "majority"], files.as_slice()].concat())?;
    let rows = played["rows"].as_array().into_iter().flatten();
    Ok(rows.filter(|row| row["rule"] == "majority").cloned().collect())
}

/// The version of the data set that the end of the task has brought about.
fn version(lambel: &Lambel, task: &str) -> Result<String> {
    wait("the data set has a version", || {
        let refs = lambel.one(&["dataset", "refs", "--task", task])?;
        let live = refs["branches"].as_array().into_iter().flatten().find(|branch| branch["branch"] == "live");
        Ok(live.and_then(|branch| branch["commit"].as_str()).map(str::to_owned))
    })
}

fn label_count(task: &Value) -> usize {
    task["labels"].as_array().map_or(0, Vec::len)
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Waits until every upload is validated and every good picture is in the pool.
fn opened(lambel: &Lambel, task: &str, images: u64) -> Result<()> {
    wait("every upload is validated and every good picture open", || {
        let progress = &lambel.one(&["task", "show", task])?["progress"];
        let count = |name: &str| progress[name].as_u64().unwrap_or(0);
        if count("accepted") + count("rejected") < images {
            return Ok(None);
        }
        let preparing = lambel.many(&["images", task, "--state", "preparing"])?;
        Ok(preparing.is_empty().then_some(()))
    })
}

fn completed(lambel: &Lambel, task: &str) -> Result<Value> {
    wait("the task is complete", || {
        let shown = lambel.one(&["task", "show", task])?;
        Ok((shown["state"] == "complete").then_some(shown))
    })
}

fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain until {what}", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(50));
    }
}
