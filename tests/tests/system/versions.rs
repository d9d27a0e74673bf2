//! Versions of a task's data set that the service makes and keeps.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use lambel_core::api::{PolicyFields, ReleaseWhen};
use lambel_system_tests::{Cloud, Terminal, pictures, wait_for};
use serde_json::{Value, json};

const IMAGES: u32 = 9;

/// A queue of this test's own that hears of the moves of one task's branches.
struct Ear {
    sqs: aws_sdk_sqs::Client,
    queue: String,
}

impl Ear {
    async fn of(cloud: &Cloud, task: &str) -> Result<Self> {
        let sqs = cloud.sqs().await;
        let name = format!("moves-{task}");
        let queue = sqs.create_queue().queue_name(name).send().await?.queue_url.context("a queue")?;
        let ask = sqs.get_queue_attributes().queue_url(&queue).attribute_names("QueueArn".into()).send().await?;
        let arn = ask.attributes().and_then(|all| all.values().next()).context("its ARN")?;
        let subscribe = cloud.sns().await.subscribe().topic_arn(&cloud.dataset_moved_topic_arn).protocol("sqs");
        // The topic has to be let in.
        let policy = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": cloud.dataset_moved_topic_arn}},
        }]});
        let name = aws_sdk_sqs::types::QueueAttributeName::Policy;
        sqs.set_queue_attributes().queue_url(&queue).attributes(name, policy.to_string()).send().await?;
        let filter = json!({"task": [task]}).to_string();
        let subscribe = subscribe.attributes("RawMessageDelivery", "true").attributes("FilterPolicy", filter);
        subscribe.endpoint(arn).send().await?;
        Ok(Self { sqs, queue })
    }

    /// What has come, until there are so many different events.
    async fn events(&self, count: usize) -> Result<Vec<Value>> {
        let mut found: Vec<Value> = Vec::new();
        let mut ids = BTreeSet::new();
        while ids.len() < count {
            let came = wait_for("the move of a branch is told", || async {
                let receive = self.sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10);
                let messages = receive.send().await?.messages.unwrap_or_default();
                Ok((!messages.is_empty()).then_some(messages))
            });
            for message in came.await? {
                let event: Value = serde_json::from_str(message.body().context("a body")?)?;
                if ids.insert(event["id"].as_str().context("an id")?.to_owned()) {
                    found.push(event);
                }
                let delete = self.sqs.delete_message().queue_url(&self.queue);
                delete.receipt_handle(message.receipt_handle().context("a receipt")?).send().await?;
            }
        }
        Ok(found)
    }
}

#[tokio::test]
async fn a_complete_task_has_a_version_that_is_told_of_and_can_be_asked_about() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operator = cloud.operators(1).await?.remove(0);
    let policy = PolicyFields {
        quorum: Some(1),
        commit_every_decisions: Some(2),
        release_when: Some(ReleaseWhen::Complete),
        ..PolicyFields::default()
    };
    let task = client.task(policy).await?;
    let id = task.to_string();
    let ear = Ear::of(&cloud, &id).await?;
    let files = pictures(IMAGES, 91);
    client.fill(task, &files).await?;
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let lambel = async |words: &[&str]| -> Result<Vec<Value>> {
        terminal.lambel(0, &[&["dataset"], words, &["--task", &id]].concat()).await
    };
    let one = async |words: &[&str]| lambel(words).await?.pop().context("an answer");

    // On demand, and because the policy says so.
    let first = one(&["commit", "-m", "before anybody looks"]).await?;
    assert_eq!((&first["new"], &first["statistics"]["unlabelled"]), (&json!(true), &json!(IMAGES)));
    let leased = operator.claim_some(task, 3).await?;
    operator.vote(task, &leased, "cat").await?;
    assert!(cloud.call(&cloud.dataset_committer_name).await?["asked"].as_u64() >= Some(1));
    let regular = wait_for("the version that is due", || async {
        let shown = one(&["show"]).await?;
        Ok((shown["statistics"]["complete"] == json!(leased.len())).then_some(shown))
    })
    .await?;
    assert_eq!((&regular["author"]["id"], &regular["parents"]), (&json!("lambel"), &json!([first["commit"]])));

    // Complete: by itself, and released.
    operator.work(task, 4, |_| "dog".to_owned()).await?;
    client.completed(task).await?;
    let released = wait_for("the released version", || async {
        let refs = one(&["refs"]).await?;
        let released = refs["branches"].as_array().context("branches")?.iter().find(|b| b["branch"] == "released");
        Ok(released.cloned())
    })
    .await?;
    let live = one(&["show", "live"]).await?;
    assert_eq!((&released["commit"], &live["statistics"]["complete"]), (&live["commit"], &json!(IMAGES)));
    assert_eq!(live["message"], "the task is complete");
    assert_eq!(lambel(&["log"]).await?.len(), 3);

    // Every move is told, with an id that says which one it is.
    let told: BTreeSet<_> = ear.events(4).await?.into_iter().map(|event| event["id"].to_string()).collect();
    let text = |commit: &Value| commit.as_str().unwrap_or_default().to_owned();
    let expected = [(&first, "live/1"), (&regular, "live/2"), (&live, "live/3"), (&live, "released/1")];
    let expected = expected.map(|(version, place)| json!(format!("{}/{place}", text(&version["commit"]))).to_string());
    assert_eq!(told, expected.into_iter().collect());

    // Questions.
    let changes = lambel(&["diff", "live~1", "live"]).await?;
    assert_eq!(changes.len(), IMAGES as usize - leased.len());
    let row = &changes[0]["after"];
    assert_eq!((&row["label"], &row["votes"][0]["operator"]), (&json!("dog"), &json!(operator.subject)));
    let address = text(&row["uri"]);
    let (bucket, key) = address.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).context("an address")?;
    let object = cloud.s3().await.get_object().bucket(bucket).key(key).version_id(text(&row["object_version"]));
    let bytes = object.send().await?.body.collect().await?.into_bytes();
    assert_eq!(json!(lambel_core::ImageId::of(&bytes)), row["image"]);
    let of_first = files.iter().find(|(_, bytes)| lambel_core::ImageId::of(bytes) == leased[0]).context("its file")?;
    assert_eq!(one(&["blame", &of_first.0]).await?["commit"], regular["commit"]);

    // By hand.
    assert_eq!(one(&["tag", "v1"]).await?["commit"], live["commit"]);
    let back = one(&["rollback", "live~1", "-m", "too early"]).await?;
    assert_eq!((&back["new"], &back["statistics"]), (&json!(true), &regular["statistics"]));
    assert_eq!(one(&["release", "live"]).await?["commit"], back["commit"]);
    let moved = ear.events(2).await?;
    assert!(moved.iter().all(|event| event["data"]["author"]["id"] == client.subject.as_str()), "{moved:?}");
    let again = one(&["commit"]).await?;
    assert_eq!((&again["new"], &again["statistics"]), (&json!(true), &live["statistics"]), "live follows the labels");

    // Nobody else's business, and nothing that is not there.
    terminal.lambel(4, &["dataset", "show", "no-such-version", "--task", &id]).await?;
    terminal.lambel(6, &["dataset", "tag", "v1", "live~1", "--task", &id]).await?;
    let stranger = Terminal::new(&cloud)?;
    stranger.sign_in(&cloud.client().await?).await?;
    stranger.lambel(4, &["dataset", "log", "--task", &id]).await?;

    // Straight on bucket and tables.
    let stack = cloud.stack()?;
    let verified = terminal.lambel(0, &["admin", "dataset", "verify", &id, "--stack", stack]).await?;
    assert_eq!((&verified[0]["versions"]["problems"], &verified[0]["disagreements"]), (&json!([]), &json!([])));
    let garbage = terminal.lambel(0, &["admin", "dataset", "gc", &id, "--stack", stack]).await?;
    assert_eq!((&garbage[0]["objects"], &garbage[0]["young"]), (&json!(0), &json!(0)), "{garbage:?}");
    Ok(())
}
