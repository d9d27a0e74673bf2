//! The main job, and what must not disturb it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::try_join_all;
use lambel_core::{
    ImageId, Shards, SubtaskState, TaskState,
    api::{Grant, ImageState, LeaseRef, PolicyFields, ReturnLeases, SealTask, VoteOutcome},
};
use lambel_system_tests::{Cloud, File, Terminal, pictures, wait_for};
use serde_json::{Value, json};

fn quorum(quorum: u32) -> PolicyFields {
    PolicyFields { quorum: Some(quorum), ..PolicyFields::default() }
}

/// What everybody answers for an image.
fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

#[tokio::test]
async fn uploads_become_results() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(6).await?;
    let task = client.task(quorum(3)).await?;
    let mut files = pictures(40, 1);
    files.push(("twin.png".to_owned(), files[0].1.clone()));
    files.push(("text.png".to_owned(), b"no picture at all".to_vec()));
    files.push(("cut.png".to_owned(), files[1].1[..files[1].1.len() / 2].to_vec()));
    let sealed = client.fill(task, &files).await?;
    let progress = sealed.progress.context("progress")?;
    assert_eq!((progress.accepted, progress.rejected, sealed.state), (40, 2, TaskState::Sealed));

    let seen = try_join_all(operators.iter().map(|operator| operator.work(task, 7, truth))).await?;
    let mut votes: BTreeMap<ImageId, usize> = BTreeMap::new();
    for mut own in seen {
        for image in &own {
            *votes.entry(*image).or_default() += 1;
        }
        let handed = own.len();
        own.sort_unstable();
        own.dedup();
        assert_eq!(own.len(), handed, "nobody sees an image twice");
    }
    assert_eq!(votes.len(), 40);
    assert!(votes.values().all(|count| *count == 3), "never over the quorum: {votes:?}");

    let done = client.completed(task).await?;
    let progress = done.progress.context("progress")?;
    assert_eq!((progress.complete, progress.disputed, progress.open, progress.votes), (40, 0, 0, 120));
    let rows = client.results(task).await?;
    assert_eq!(rows.len(), files.len(), "a row for each name");
    let subjects: Vec<_> = operators.iter().map(|operator| operator.subject.as_str()).collect();
    for row in rows {
        match row.name.as_str() {
            "text.png" | "cut.png" => {
                assert_eq!(row.status.state, ImageState::Rejected);
                assert!(row.status.refusal.is_some());
            }
            _ => {
                assert_eq!(row.status.state, ImageState::Complete);
                assert_eq!(row.status.label.context("label")?.as_str(), truth(row.image));
                assert_eq!(row.status.votes.len(), 3);
                assert!(row.status.votes.iter().all(|vote| subjects.contains(&vote.operator.as_str())));
            }
        }
    }
    Ok(())
}

/// The news of a task, taken from the queue that is subscribed to the topic. News of others are put back.
async fn news_of(cloud: &Cloud, task: &str) -> Result<Vec<Value>> {
    let sqs = cloud.sqs().await;
    let mut found = Vec::new();
    let receive = sqs.receive_message().queue_url(&cloud.task_news_queue_url).max_number_of_messages(10);
    for message in receive.visibility_timeout(1).send().await?.messages() {
        let event: Value = serde_json::from_str(message.body().context("body")?)?;
        if event["data"]["task"] == task {
            found.push(event);
            let delete = sqs.delete_message().queue_url(&cloud.task_news_queue_url);
            delete.receipt_handle(message.receipt_handle().context("receipt")?).send().await?;
        }
    }
    Ok(found)
}

#[tokio::test]
async fn the_end_of_a_task_is_announced_and_refusals_alone_end_it_too() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(quorum(1)).await?;
    let files: Vec<File> =
        (0..3).map(|n| (format!("{n}.png"), format!("no picture {n} {task}").into_bytes())).collect();
    client.fill(task, &files).await?;
    client.completed(task).await?;
    let id = task.to_string();
    let news = wait_for("the news of the task", || async {
        let news = news_of(&cloud, &id).await?;
        Ok((!news.is_empty()).then_some(news))
    })
    .await?;
    assert_eq!(news.len(), 1);
    assert_eq!(news[0]["type"], "lambel.task.complete");
    assert_eq!(news[0]["specversion"], "1.0");
    assert_eq!(news[0]["data"]["state"], "complete");
    Ok(())
}

#[tokio::test]
async fn an_upload_event_delivered_three_times_more_counts_once() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(quorum(1)).await?;
    let files = pictures(3, 2);
    client.fill(task, &files).await?;
    let sqs = cloud.sqs().await;
    for (_, bytes) in files.iter().chain(&files).chain(&files) {
        let object = json!({"key": format!("{task}/{}", ImageId::of(bytes)), "size": bytes.len()});
        let bucket = json!({"name": cloud.uploads_bucket_name});
        let body = json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": bucket, "object": object}}]});
        sqs.send_message().queue_url(&cloud.uploads_queue_url).message_body(body.to_string()).send().await?;
    }
    // One more upload, behind them in the queue: when it is there they were dealt with, or are just now.
    let mark = pictures(1, 77);
    let marked = client.task(quorum(1)).await?;
    client.fill(marked, &mark).await?;
    wait_for("the queue is empty", || async {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let names = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
        let ask = sqs.get_queue_attributes().queue_url(&cloud.uploads_queue_url);
        let answer = ask.set_attribute_names(Some(names.to_vec())).send().await?;
        let counts = answer.attributes().context("attributes")?;
        Ok(counts.values().all(|count| count == "0").then_some(()))
    })
    .await?;
    let progress = client.client.task(task).await?.progress.context("progress")?;
    assert_eq!((progress.accepted, progress.rejected), (3, 0));
    let operator = &cloud.operators(1).await?[0];
    assert_eq!(operator.claim(task, 10).await?.subtasks.len(), 3);
    Ok(())
}

#[tokio::test]
async fn two_operators_never_get_over_the_quorum_between_them() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(4).await?;
    let task = client.task(quorum(1)).await?;
    client.fill(task, &pictures(40, 3)).await?;
    let claims = try_join_all(operators.iter().map(|operator| operator.claim(task, 20))).await?;
    let mut images: Vec<_> = claims.iter().flat_map(|claim| &claim.subtasks).map(|s| s.image).collect();
    let handed = images.len();
    images.sort_unstable();
    images.dedup();
    assert_eq!(images.len(), handed, "no image went to two of them");
    assert!(handed > 0);
    Ok(())
}

#[tokio::test]
async fn an_expired_lease_goes_to_somebody_else() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(2).await?;
    let task = client.task(PolicyFields { lease_seconds: Some(1), ..quorum(1) }).await?;
    client.fill(task, &pictures(1, 4)).await?;
    let first = operators[0].claim_some(task, 1).await?;
    let second = operators[1].claim_some(task, 1).await?;
    assert_eq!(first, second);
    assert_eq!(operators[0].vote(task, &first, "cat").await?, [VoteOutcome::Refused], "the slot is taken");
    assert_eq!(operators[1].vote(task, &first, "dog").await?, [VoteOutcome::Counted]);
    assert_eq!(operators[0].vote(task, &first, "cat").await?, [VoteOutcome::Late]);
    client.completed(task).await?;
    assert_eq!(client.results(task).await?[0].status.label.as_ref().context("label")?.as_str(), "dog");
    Ok(())
}

#[tokio::test]
async fn a_lease_given_back_is_free_at_once_and_a_vote_can_be_undone() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(3).await?;
    let task = client.task(quorum(2)).await?;
    client.fill(task, &pictures(1, 5)).await?;
    let image = operators[0].claim_some(task, 1).await?[0];
    operators[1].claim_some(task, 1).await?;
    assert!(operators[2].claim(task, 1).await?.subtasks.is_empty());
    let back = ReturnLeases { subtasks: vec![LeaseRef { task, image }] };
    assert_eq!(operators[0].client.return_leases(&back).await?.returned, 1);
    operators[2].claim_some(task, 1).await?;
    assert_eq!(operators[1].vote(task, &[image], "cat").await?, [VoteOutcome::Counted]);
    assert_eq!(operators[1].vote(task, &[image], "cat").await?, [VoteOutcome::Unchanged]);
    assert_eq!(operators[1].vote(task, &[image], "dog").await?, [VoteOutcome::Replaced]);
    assert_eq!(operators[2].vote(task, &[image], "dog").await?, [VoteOutcome::Counted]);
    client.completed(task).await?;
    let rows = client.results(task).await?;
    assert_eq!(rows[0].status.label.as_ref().context("label")?.as_str(), "dog");
    assert_eq!(rows[0].status.votes.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_interrupted_upload_goes_on_where_it_stopped() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(quorum(1)).await?;
    let files = pictures(8, 6);
    assert_eq!(client.upload(task, &files[..5]).await?, 5);
    wait_for("the first five are there", || async {
        let progress = client.client.task(task).await?.progress.context("progress")?;
        Ok((progress.accepted == 5).then_some(()))
    })
    .await?;
    assert_eq!(client.upload(task, &files).await?, 3, "only what is missing");
    let grants = client.announce(task, &files[..1]).await?;
    assert!(matches!(grants[0].grant, Grant::AlreadyPresent { state: SubtaskState::Preparing | SubtaskState::Open }));
    Ok(())
}

#[tokio::test]
async fn a_task_that_was_cancelled_hands_out_nothing() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(1).await?;
    let task = client.task(quorum(1)).await?;
    client.fill(task, &pictures(2, 8)).await?;
    let images = operators[0].claim_some(task, 1).await?;
    assert_eq!(client.client.cancel_task(task).await?.state, TaskState::Cancelled);
    assert!(operators[0].claim(task, 1).await.is_err());
    assert_eq!(operators[0].vote(task, &images, "cat").await?, [VoteOutcome::Refused]);
    let work = operators[0].client.work().await?;
    assert!(work.tasks.iter().all(|work| work.task != task));
    let seal = client.client.seal_task(task, &SealTask { images: 5 }).await;
    assert!(seal.is_err_and(|error| error.to_string().contains("cancelled")));
    Ok(())
}

#[tokio::test]
async fn a_picture_that_cannot_be_read_as_an_event_does_not_harm_its_neighbours() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(quorum(1)).await?;
    let sqs = cloud.sqs().await;
    for body in ["poison", "{\"Records\":[{}]}"] {
        sqs.send_message().queue_url(&cloud.uploads_queue_url).message_body(body).send().await?;
    }
    client.fill(task, &pictures(5, 9)).await?;
    tokio::time::timeout(Duration::from_secs(30), client.client.task(task)).await??;
    Ok(())
}

#[tokio::test]
async fn twenty_operators_vote_on_the_same_images_at_the_same_time() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(20).await?;
    let task = client.task(quorum(20)).await?;
    let files = pictures(5, 78);
    client.fill(task, &files).await?;
    let claimed = try_join_all(operators.iter().map(|operator| operator.claim_some(task, 5))).await?;
    let votes = operators.iter().zip(&claimed).map(|(operator, images)| operator.vote(task, images, "cat"));
    for outcomes in try_join_all(votes).await? {
        assert!(outcomes.iter().all(|outcome| *outcome == VoteOutcome::Counted), "{outcomes:?}");
    }
    // Who lost races for leases has not seen all of them yet.
    try_join_all(operators.iter().map(|operator| operator.work(task, 5, |_| "cat".to_owned()))).await?;
    client.completed(task).await?;
    for row in client.results(task).await? {
        assert_eq!(row.status.votes.len(), 20);
    }
    let terminal = Terminal::new(&cloud)?;
    terminal.lambel(0, &["admin", "check", &task.to_string()]).await?;
    Ok(())
}

#[tokio::test]
async fn the_sweep_closes_what_was_left_open_and_completes_the_task() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(quorum(1)).await?;
    let files = pictures(1, 79);
    client.fill(task, &files).await?;
    // Whoever took the vote was stopped before they closed the image: the table alone has it.
    let image = ImageId::of(&files[0].1);
    let shard = Shards::for_images(Some(1_000)).of(&image);
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let (number, text) = (|n: &str| AttributeValue::N(n.to_owned()), |s: String| AttributeValue::S(s));
    let vote = [("a".to_owned(), number("1")), ("t".to_owned(), number("1795250820000"))];
    aws_sdk_dynamodb::Client::new(&config)
        .update_item()
        .table_name(&cloud.subtasks_table_name)
        .key("pk", text(format!("{task}#{shard}")))
        .key("sk", text(image.to_string()))
        .update_expression("SET votes.#who = :vote, rev = rev + :one")
        .expression_attribute_names("#who", "somebody")
        .expression_attribute_values(":vote", AttributeValue::M(vote.into()))
        .expression_attribute_values(":one", number("1"))
        .send()
        .await?;
    let terminal = Terminal::new(&cloud)?;
    let report = &terminal.lambel(6, &["admin", "check", &task.to_string()]).await?[0];
    assert_eq!(report["findings"][0]["finding"], "not-closed", "{report}");

    cloud.call(&cloud.sweeper_name).await?;
    let view = client.completed(task).await?;
    assert_eq!(view.progress.context("progress")?.complete, 1);
    let rows = client.results(task).await?;
    assert_eq!(rows[0].status.label.as_ref().context("a label")?.as_str(), "dog");
    terminal.lambel(0, &["admin", "check", &task.to_string()]).await?;
    let again = cloud.call(&cloud.sweeper_name).await?;
    assert!(!again["completed"].to_string().contains(&task.to_string()), "{again}");
    Ok(())
}
