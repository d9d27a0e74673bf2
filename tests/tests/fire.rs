//! The real thing under fire: functions killed in the middle of their work, the cloud restarted in the middle of a
//! task, messages twice and late, poison among them, operators that vanish, a client that uploads everything twice.
//!
//! A binary of its own, since it disturbs everybody on the same cloud: Cargo runs test binaries one after the other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    env,
    path::Path,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use futures::future::{join, join_all, try_join, try_join_all};
use lambel_client::UploadGrant;
use lambel_core::{
    ImageId, TaskId, TaskState,
    api::{PolicyFields, SealTask, SubmitVotes, SubmittedVote, VoteOutcome},
};
use lambel_system_tests::{Cloud, File, Terminal, User, pictures, wait_for};
use serde_json::{Value, json};
use tokio::time::sleep;

const IMAGES: u32 = 120;
const QUORUM: u32 = 3;
/// Processes that are killed, at most, and how long the fire lasts, at most.
const KILLS: u64 = 60;
const FIRE: Duration = Duration::from_secs(40);
/// How long the task may need from the last fault on.
const AFTERWARDS: Duration = Duration::from_secs(120);
/// Bodies that nobody can read.
const POISON: [&str; 3] = ["not json", "{}", r#"{"Records":[{"s3":{}}],"task":7}"#];

/// A process of the instance's functions.
fn function_processes() -> Result<Vec<u32>> {
    let cloud = env::var("LAMBEL_CLOUD")?;
    let folder = Path::new(&cloud).parent().context("the file of the cloud lies in its folder")?.join("tmp");
    let folder = folder.to_string_lossy().into_owned();
    let output = Command::new("ps").args(["-A", "-o", "pid=,args="]).output().context("failed to list processes")?;
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = list.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|word| word.starts_with(&folder)));
    Ok(ours.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect())
}

fn signal(name: &str, pid: u32) -> bool {
    // Not every system has a kill program, but every shell has it built in.
    let kill = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).output();
    kill.is_ok_and(|output| output.status.success())
}

/// Everything that an operator was told is kept.
type Acknowledged = Mutex<HashMap<(ImageId, String), String>>;

/// What an operator answers: mostly the same as the others.
fn answer(image: ImageId, who: usize) -> &'static str {
    let bytes = image.digest();
    let contrary = usize::from(bytes[30]).is_multiple_of(5) && who.is_multiple_of(2);
    if bytes[31].is_multiple_of(2) != contrary { "cat" } else { "dog" }
}

/// Works until the task is over, whatever goes wrong on the way.
async fn work(operator: &User, who: usize, task: TaskId, end: Instant, acknowledged: &Acknowledged) -> Result<()> {
    while Instant::now() < end {
        let claimed = match operator.claim(task, 10).await {
            Ok(answer) => answer.subtasks,
            Err(error) if error.to_string().contains("complete") => return Ok(()),
            Err(_) => {
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        if claimed.is_empty() {
            sleep(Duration::from_millis(200)).await;
            continue;
        }
        let vote = |image: ImageId| SubmittedVote {
            task,
            image,
            label: Some(answer(image, who).to_owned()),
            abstain: None,
            elapsed_ms: Some(500),
        };
        let votes: Vec<_> = claimed.iter().map(|subtask| vote(subtask.image)).collect();
        // The same request until somebody answers: an operator's page does the same.
        while Instant::now() < end {
            let Ok(receipts) = operator.client.vote(&SubmitVotes { votes: votes.clone() }).await else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let mut acknowledged = acknowledged.lock().expect("nobody has failed");
            for receipt in receipts.votes {
                let counts = [VoteOutcome::Counted, VoteOutcome::Unchanged, VoteOutcome::Replaced];
                if counts.contains(&receipt.outcome) {
                    let label = answer(receipt.image, who).to_owned();
                    acknowledged.insert((receipt.image, operator.subject.clone()), label);
                }
            }
            break;
        }
    }
    Ok(())
}

/// Uploads everything, twice, whatever goes wrong on the way.
async fn upload(client: &User, task: TaskId, files: &[File], end: Instant) -> Result<()> {
    let mut grants = None;
    while grants.is_none() {
        ensure!(Instant::now() < end, "the files could not be announced");
        grants = client.announce(task, files).await.ok();
    }
    let grants = grants.context("announced")?;
    for round in 0..2 {
        let puts = grants.iter().zip(files).map(|(file, (name, bytes))| async move {
            // What is recorded by now needs no upload; nor has it an address.
            let Some(grant) = UploadGrant::of(file.grant.clone()) else { return Ok(()) };
            while client.client.put_file(&grant, bytes.clone().into()).await.is_err() {
                ensure!(Instant::now() < end, "{name} could not be uploaded in round {round}");
                sleep(Duration::from_millis(100)).await;
            }
            anyhow::Ok(())
        });
        try_join_all(puts).await?;
    }
    let images = u64::from(IMAGES);
    while client.client.seal_task(task, &SealTask { images }).await.is_err() {
        ensure!(Instant::now() < end, "the task could not be sealed");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A queue of the test's own that hears of everything.
async fn listen(cloud: &Cloud) -> Result<String> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let (sqs, sns) = (cloud.sqs().await, aws_sdk_sns::Client::new(&config));
    let name = format!("test-{}", uuid::Uuid::now_v7());
    let url = sqs.create_queue().queue_name(name).send().await?.queue_url.context("an address")?;
    let attributes = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::QueueArn);
    let arn = attributes.send().await?.attributes.unwrap_or_default().remove(&QueueAttributeName::QueueArn);
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn,
    }]});
    let allow = sqs.set_queue_attributes().queue_url(&url);
    allow.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;
    for topic in [&cloud.subtask_completed_topic_arn, &cloud.task_completed_topic_arn] {
        let subscribe = sns.subscribe().topic_arn(topic).protocol("sqs").endpoint(arn.clone().context("an ARN")?);
        subscribe.attributes("RawMessageDelivery", "true").send().await?;
    }
    Ok(url)
}

/// Takes what a queue has heard of a task.
async fn heard(cloud: &Cloud, url: &str, task: TaskId, into: &mut Vec<Value>) -> Result<()> {
    let sqs = cloud.sqs().await;
    loop {
        let messages = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await?.messages;
        let Some(messages) = messages.filter(|messages| !messages.is_empty()) else { return Ok(()) };
        for message in messages {
            let event: Value = serde_json::from_str(message.body().context("a body")?)?;
            if event["data"]["task"] == json!(task) {
                into.push(event);
            }
            let receipt = message.receipt_handle().context("a receipt")?;
            sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await?;
        }
    }
}

/// Sets how long a message stays away after a function was killed with it. On AWS minutes; here nobody has time.
async fn come_back_after(cloud: &Cloud, queues: &[(&str, &str)]) -> Result<Vec<(String, String)>> {
    let sqs = cloud.sqs().await;
    let mut before = Vec::new();
    for (url, seconds) in queues {
        let name = QueueAttributeName::VisibilityTimeout;
        let now = sqs.get_queue_attributes().queue_url(*url).attribute_names(name.clone()).send().await?;
        let now = now.attributes.unwrap_or_default().remove(&name).context("a time")?;
        before.push(((*url).to_owned(), now));
        sqs.set_queue_attributes().queue_url(*url).attributes(name, *seconds).send().await?;
    }
    Ok(before)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_comes_through_fire() -> Result<()> {
    let cloud = Cloud::running()?;
    let queues = [&cloud.uploads_queue_url, &cloud.new_subtasks_queue_url, &cloud.task_progress_queue_url];
    let before = come_back_after(&cloud, &queues.map(|url| (url.as_str(), "3"))).await?;
    let outcome = through_fire(&cloud).await;
    let before: Vec<_> = before.iter().map(|(url, time)| (url.as_str(), time.as_str())).collect();
    come_back_after(&cloud, &before).await?;
    outcome
}

async fn through_fire(cloud: &Cloud) -> Result<()> {
    let client = cloud.client().await?;
    let operators = cloud.operators(9).await?;
    let (workers, vanishing) = operators.split_at(6);
    let ears = listen(cloud).await?;
    let policy = PolicyFields { quorum: Some(QUORUM), lease_seconds: Some(3), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    let files = pictures(IMAGES, 77);
    let images: Vec<_> = files.iter().map(|(_, bytes)| ImageId::of(bytes)).collect();

    let (begin, acknowledged) = (Instant::now(), Acknowledged::default());
    let (burning, kills) = (AtomicBool::new(true), AtomicU64::new(0));
    let end = begin + FIRE + AFTERWARDS;

    // Kills whatever works at the moment, and restarts the cloud once.
    let killer = async {
        let mut restarted = false;
        let mut n = 0_u64;
        while begin.elapsed() < FIRE && kills.load(Ordering::Relaxed) < KILLS && burning.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(250)).await;
            let alive = function_processes()?;
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let Some(pid) = alive.get(usize::try_from(n >> 33)? % alive.len().max(1)) else { continue };
            kills.fetch_add(u64::from(signal("KILL", *pid)), Ordering::Relaxed);
            if !restarted && kills.load(Ordering::Relaxed) >= 12 {
                restarted = true;
                ensure!(signal("HUP", cloud.pid), "the cloud could not be restarted");
            }
        }
        burning.store(false, Ordering::Relaxed);
        anyhow::Ok(restarted)
    };
    // Tells the queues what they know, and what nobody can know.
    let teller = async {
        let sqs = cloud.sqs().await;
        let notice =
            |image: &ImageId| json!({"Records": [{"s3": {"object": {"key": format!("{task}/{image}")}}}]}).to_string();
        let mut poisoned = 0;
        for (n, image) in images.iter().cycle().enumerate().take(2 * images.len()) {
            if !burning.load(Ordering::Relaxed) {
                break;
            }
            let known = json!({"task": task, "images": [image]}).to_string();
            let _ = sqs.send_message().queue_url(&cloud.uploads_queue_url).message_body(notice(image)).send().await;
            let _ = sqs.send_message().queue_url(&cloud.new_subtasks_queue_url).message_body(known).send().await;
            if n.is_multiple_of(40) {
                let poison = POISON[(n / 40) % POISON.len()];
                let sent = sqs.send_message().queue_url(&cloud.uploads_queue_url).message_body(poison).send().await;
                poisoned += u64::from(sent.is_ok());
            }
            sleep(Duration::from_millis(40)).await;
        }
        poisoned
    };
    // Claims, and is never seen again.
    let vanish = join_all(vanishing.iter().map(|operator| async {
        while burning.load(Ordering::Relaxed) {
            let _ = operator.claim(task, 15).await;
            sleep(Duration::from_millis(700)).await;
        }
    }));
    let working =
        try_join_all(workers.iter().enumerate().map(|(who, operator)| work(operator, who, task, end, &acknowledged)));
    let fire = join(killer, join(teller, vanish));
    let (done, (restarted, (poisoned, _))) = join(try_join(upload(&client, task, &files, end), working), fire).await;
    let after_fire = Instant::now();
    done?;
    let restarted = restarted?;

    let view = wait_for("the task is complete", || async {
        let view = client.client.task(task).await.ok();
        Ok(view.filter(|view| view.state == TaskState::Complete))
    })
    .await?;
    let recovery = after_fire.elapsed();
    let progress = view.progress.context("progress")?;
    assert_eq!((progress.accepted, progress.complete + progress.disputed), (u64::from(IMAGES), u64::from(IMAGES)));

    // Late, when all is over: nothing changes.
    let sqs = cloud.sqs().await;
    for image in images.iter().take(10) {
        let body = json!({"task": task, "images": [image]}).to_string();
        sqs.send_message().queue_url(&cloud.new_subtasks_queue_url).message_body(body).send().await?;
    }

    // Every vote that was acknowledged is there, once, as it was given.
    let rows = client.results(task).await?;
    assert_eq!(rows.len(), files.len());
    let mut kept = BTreeMap::new();
    for row in &rows {
        for vote in &row.status.votes {
            let label = vote.label.as_ref().map(ToString::to_string);
            let twice = kept.insert((row.image, vote.operator.to_string()), label);
            assert_eq!(twice, None, "one vote of an operator on an image");
        }
        let counted = row.status.votes.iter().filter(|vote| !vote.late).count();
        assert!(counted >= QUORUM as usize, "{}: {counted} votes", row.image);
    }
    let acknowledged = acknowledged.into_inner().expect("nobody has failed");
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|((image, operator), label)| {
            kept.get(&(*image, operator.clone())).and_then(Option::as_deref) != Some(label.as_str())
        })
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(acknowledged.len() >= (IMAGES * QUORUM) as usize - KILLS as usize, "{}", acknowledged.len());

    // Everybody was told, each time with the same id.
    let mut events = Vec::new();
    let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let all = IMAGES as usize + 1;
    let waited = Instant::now();
    while ids.len() < all {
        ensure!(waited.elapsed() < Duration::from_secs(30), "{} of {all} were announced", ids.len());
        events.clear();
        heard(cloud, &ears, task, &mut events).await?;
        for event in &events {
            let about = event["data"]["image"].as_str().unwrap_or("the task").to_owned();
            ids.entry(about).or_default().insert(event["id"].as_str().context("an id")?.to_owned());
        }
        sleep(Duration::from_millis(200)).await;
    }
    assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
    sqs.delete_queue().queue_url(&ears).send().await?;

    // A recount of everything finds nothing amiss.
    let terminal = Terminal::new(cloud)?;
    let report = &terminal.lambel(0, &["admin", "check", &task.to_string()]).await?[0];
    assert_eq!((&report["found"], &report["uploads"]), (&json!(0), &json!(IMAGES)), "{report}");

    // The poison lies in the dead letters, and an owner can see and remove it.
    let lying = wait_for("the poison is put aside", || async {
        let list = terminal.lambel(0, &["admin", "dlq", "list"]).await?;
        let uploads = list.iter().find(|row| row["queue"] == "uploads").context("the queue")?;
        Ok(uploads["messages"].as_u64().filter(|messages| *messages >= poisoned))
    })
    .await?;
    let redriven = wait_for("the poison is removed", || async {
        let words = ["admin", "dlq", "redrive", "uploads", "--discard-unreadable"];
        let redriven = terminal.lambel(0, &words).await?.remove(0);
        Ok(redriven["discarded"].as_u64().filter(|discarded| *discarded >= poisoned))
    })
    .await?;
    println!(
        "{} processes killed, restarted: {restarted}, {} acknowledged votes, 0 lost, 0 doubled; {lying} dead letters, \
         {redriven} of them poison; complete {recovery:.1?} after the last fault, {:.1?} in all",
        kills.load(Ordering::Relaxed),
        acknowledged.len(),
        begin.elapsed(),
    );
    assert!(restarted && kills.load(Ordering::Relaxed) >= 12, "there was hardly any fire");
    Ok(())
}
