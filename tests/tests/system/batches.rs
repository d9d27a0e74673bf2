//! The last batch of a task opens images again, and ends the task.

use std::{cell::RefCell, collections::BTreeMap};

use anyhow::{Context, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use lambel_core::{
    ImageId, TaskId,
    api::{ImageState, PolicyFields, RuleName, VoteOutcome},
    subtask::DecidedBy,
};
use lambel_system_tests::{Cloud, Terminal, pictures, wait_for};
use serde_json::{Value, json};

const IMAGES: u32 = 4;

/// What everybody answers for an image.
fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

/// A queue of the test's own that hears of decisions.
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
    let subscribe = sns.subscribe().topic_arn(&cloud.subtask_completed_topic_arn).protocol("sqs");
    let subscribe = subscribe.endpoint(arn.context("an ARN")?).attributes("RawMessageDelivery", "true");
    subscribe.send().await?;
    Ok(url)
}

/// What is told of the images of a task: the kind of each event by its id, by image.
type Told = BTreeMap<String, BTreeMap<String, String>>;

/// Takes what a queue has heard of a task.
async fn heard(cloud: &Cloud, url: &str, task: TaskId, told: &RefCell<Told>) -> Result<()> {
    let sqs = cloud.sqs().await;
    loop {
        let messages = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await?.messages;
        let Some(messages) = messages.filter(|messages| !messages.is_empty()) else { return Ok(()) };
        for message in messages {
            let event: Value = serde_json::from_str(message.body().context("a body")?)?;
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            if event["data"]["task"] == json!(task) {
                told.borrow_mut().entry(text("subject")).or_default().insert(text("id"), text("type"));
            }
            let receipt = message.receipt_handle().context("a receipt")?;
            sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await?;
        }
    }
}

#[tokio::test]
async fn what_is_not_sure_in_the_end_opens_again_and_the_task_completes_when_it_is() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let [first, second, third] = &cloud.operators(3).await?[..] else { panic!("three were asked for") };
    let queue = listen(&cloud).await?;
    // Two who agree decide while nobody is known. In the end that is less than this asks for.
    let policy = PolicyFields { rule: Some(RuleName::Adaptive), confidence: Some(0.999), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    client.fill(task, &pictures(IMAGES, 43)).await?;
    // The first votes on all images, the second on all but one, the third on that. Then each image opens again, and
    // somebody is left for it.
    for (operator, images) in [(first, IMAGES), (second, IMAGES - 1), (third, 1), (third, IMAGES - 1), (second, 1)] {
        let mut voted = 0;
        while voted < images {
            for image in operator.claim_some(task, images - voted).await? {
                assert_eq!(operator.vote(task, &[image], &truth(image)).await?, [VoteOutcome::Counted]);
                voted += 1;
            }
        }
    }
    client.completed(task).await?;

    let rows = client.results(task).await?;
    assert_eq!(rows.len(), IMAGES as usize);
    for row in &rows {
        let status = &row.status;
        assert_eq!((status.state, status.decided_by), (ImageState::Complete, Some(DecidedBy::Votes)));
        assert_eq!(status.label.as_ref().context("label")?.as_str(), truth(row.image));
        assert_eq!(status.votes.len(), 3, "two, and the one that it took when it was open again");
        assert!(
            status.votes.iter().filter(|vote| vote.phase.is_some()).count() >= 2,
            "their weights are those of then"
        );
    }
    let told = RefCell::new(Told::new());
    wait_for("everything is announced", || async {
        heard(&cloud, &queue, task, &told).await?;
        let told = told.borrow();
        Ok((told.len() == IMAGES as usize && told.values().all(|its| its.len() >= 3)).then_some(()))
    })
    .await?;
    for (image, its) in told.into_inner() {
        let mut kinds: Vec<_> = its.into_values().collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["lambel.subtask.complete", "lambel.subtask.complete", "lambel.subtask.reopened"], "{image}");
    }
    // Counters and decisions are what a recount finds.
    Terminal::new(&cloud)?.lambel(0, &["admin", "check", &task.to_string()]).await?;
    Ok(())
}
