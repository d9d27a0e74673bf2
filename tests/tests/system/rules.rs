//! Tasks that are decided by other rules than a fixed quorum.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use lambel_core::{
    ImageId, TaskId, TaskState,
    api::{ImageState, PageQuery, PolicyFields, RuleName},
};
use lambel_system_tests::{Cloud, Terminal, pictures};
use serde_json::Value;

#[tokio::test]
async fn a_lead_takes_two_votes_where_operators_agree_and_more_where_they_do_not() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(6).await?;
    let policy = PolicyFields { rule: Some(RuleName::Lead), max_labels: Some(5), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    assert_eq!(client.client.task(task).await?.policy.lead, Some(2), "the default is filled in");
    client.fill(task, &pictures(30, 41)).await?;
    let hard = |image: ImageId| image.digest()[31].is_multiple_of(3);
    let said = |image: ImageId, dissents: bool| if hard(image) && dissents { "dog" } else { "cat" }.to_owned();
    let work = operators.iter().enumerate();
    let work = work.map(|(n, operator)| operator.work(task, 5, move |image| said(image, n.is_multiple_of(2))));
    try_join_all(work).await?;
    client.completed(task).await?;
    for row in client.results(task).await? {
        let votes = row.status.votes.len();
        match row.status.state {
            ImageState::Complete if hard(row.image) => assert!((2..=5).contains(&votes), "{votes}"),
            ImageState::Complete => {
                assert_eq!(row.status.label.context("label")?.as_str(), "cat");
                assert_eq!(votes, 2);
            }
            ImageState::Disputed => assert_eq!((votes, hard(row.image)), (5, true)),
            other => panic!("{other:?}"),
        }
    }
    // Each decision follows from its votes, and nothing was counted twice.
    Terminal::new(&cloud)?.lambel(0, &["admin", "check", &task.to_string()]).await?;
    Ok(())
}

/// What everybody answers for an image.
fn truth(image: ImageId) -> String {
    if image.digest()[31].is_multiple_of(2) { "cat" } else { "dog" }.to_owned()
}

/// Has operators measured, and says how one task was seen.
async fn measure(cloud: &Cloud, task: TaskId) -> Result<Value> {
    let looks = cloud.call(&cloud.skill_estimator_name).await?;
    let id = task.to_string();
    let looks = looks.as_array().context("a list of looks")?;
    Ok(looks.iter().find(|look| look["task"] == id).cloned().unwrap_or_default())
}

#[tokio::test]
async fn votes_weigh_what_their_operators_have_earned() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(3).await?;
    let policy = PolicyFields { rule: Some(RuleName::Adaptive), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    client.fill(task, &pictures(60, 42)).await?;
    assert_eq!(measure(&cloud, task).await?, Value::Null, "nothing is decided");
    while client.client.task(task).await?.progress.context("progress")?.complete < 20 {
        for operator in &operators {
            let images: Vec<_> = operator.claim(task, 10).await?.subtasks.into_iter().map(|s| s.image).collect();
            let (cats, dogs): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| truth(*image) == "cat");
            for (images, label) in [(cats, "cat"), (dogs, "dog")] {
                if !images.is_empty() {
                    operator.vote(task, &images, label).await?;
                }
            }
        }
    }
    // Its schedule may have come before.
    let look = measure(&cloud, task).await?;
    assert!(look.is_null() || (look["phase"] == "cold" && look["operators"].as_u64() >= Some(2)), "{look}");
    assert_eq!(measure(&cloud, task).await?, Value::Null, "nothing was decided since");
    try_join_all(operators.iter().map(|operator| operator.work(task, 10, truth))).await?;
    assert_eq!(client.completed(task).await?.state, TaskState::Complete);

    let rows = client.results(task).await?;
    let votes: Vec<_> = rows.iter().flat_map(|row| &row.status.votes).collect();
    assert!(votes.iter().all(|vote| vote.weight.is_some()), "each is shown with its weight");
    let unknown = votes.iter().filter(|vote| vote.phase.is_none());
    assert!(unknown.clone().count() > 0 && unknown.clone().all(|vote| vote.weight == Some(1.386)));
    let measured: Vec<_> = votes.iter().filter(|vote| vote.phase.is_some()).collect();
    assert!(!measured.is_empty() && measured.iter().all(|vote| vote.weight > Some(1.386)), "they were always right");
    for row in &rows {
        assert_eq!(row.status.label.as_ref().context("label")?.as_str(), truth(row.image));
    }
    // Each decision follows from its votes and their weights.
    Terminal::new(&cloud)?.lambel(0, &["admin", "check", &task.to_string()]).await?;
    Ok(())
}

#[tokio::test]
async fn a_clicker_is_flagged_and_paused_in_the_task() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operators = cloud.operators(3).await?;
    let clicker = &operators[2];
    let policy = PolicyFields { quorum: Some(3), pause_flagged: Some(true), ..PolicyFields::default() };
    let task = client.task(policy).await?;
    let files = pictures(60, 43);
    client.fill(task, &files).await?;
    let report = async || client.client.task_operators(task, &PageQuery::default()).await;
    assert_eq!(report().await?.measured_at, None);
    for _ in 0..8 {
        for (n, operator) in operators.iter().enumerate() {
            let claim = match operator.claim(task, 8).await {
                // The schedule came before us.
                Err(error) if error.to_string().contains("paused in this task") => continue,
                claim => claim?,
            };
            let images: Vec<_> = claim.subtasks.into_iter().map(|subtask| subtask.image).collect();
            let (cats, dogs): (Vec<_>, Vec<_>) = images.into_iter().partition(|image| n == 2 || truth(*image) == "cat");
            for (images, label) in [(cats, "cat"), (dogs, "dog")] {
                if !images.is_empty() {
                    operator.vote(task, &images, label).await?;
                }
            }
        }
        measure(&cloud, task).await?;
        if report().await?.operators.iter().any(|one| one.paused) {
            break;
        }
    }
    let found = report().await?;
    let alpha = found.agreement.context("agreement")?;
    assert!(found.measured_at.is_some() && alpha.interval.low <= alpha.alpha && alpha.alpha < 0.9, "{alpha:?}");
    assert_eq!(found.operators.iter().filter(|one| one.paused).count(), 1, "{:?}", found.operators);
    let paused = found.operators.iter().find(|one| one.paused).context("somebody is paused")?;
    assert!(paused.flags.iter().any(|flag| flag.reason.starts_with("says `cat` in 100.00 %")), "{:?}", paused.flags);
    let refused = clicker.claim(task, 8).await.map(drop);
    assert!(
        refused.is_err_and(|error| error.to_string().contains("paused in this task")),
        "the clicker is who was paused"
    );

    // The same on the command line, where the client lets them go on.
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let (id, operator) = (task.to_string(), paused.operator.to_string());
    let folder = std::env::temp_dir().join(format!("lambel-confusions-{task}"));
    let folder_name = folder.to_str().context("a name")?;
    let shown = terminal.lambel(0, &["operators", &id, "--flagged", "--svg", folder_name]).await?;
    assert_eq!(shown[0]["operators"][0]["operator"], operator.as_str());
    let picture = std::fs::read_to_string(folder.join(format!("{operator}.svg")))?;
    std::fs::remove_dir_all(&folder)?;
    assert!(picture.contains("decided dog, said cat"), "{picture}");
    let trail = terminal.lambel(0, &["task", "audit", &id]).await?;
    assert_eq!((&trail[0]["action"], &trail[0]["actor"]["id"]), (&"operator-paused-in-task".into(), &"lambel".into()));
    terminal.lambel(0, &["operator", "resume", &operator, "--task", &id]).await?;
    clicker.claim(task, 8).await?;

    // And why an image was decided as it was.
    let rows = client.results(task).await?;
    let decided = rows.iter().find(|row| row.status.state == ImageState::Complete).context("some are decided")?;
    let image = terminal.lambel(0, &["task", "image", &id, &decided.name]).await?.remove(0);
    assert_eq!((&image["explained"]["rule"], &image["explained"]["agrees"]), (&"majority".into(), &true.into()));
    assert_eq!(image["explained"]["labels"][0]["label"], image["label"]);
    Ok(())
}
