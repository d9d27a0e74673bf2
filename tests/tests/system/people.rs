//! Who may work on what: teams, operators who are paused, and the trail of it.

use anyhow::{Context, Result};
use lambel_core::{
    api::{AudienceFields, Claim, CreateTask, PageQuery, PauseOperator, PolicyFields},
    subtask::SubtaskState,
};
use lambel_system_tests::{Cloud, pictures};

#[tokio::test]
async fn a_task_is_open_to_whom_its_client_says() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let otto = &cloud.operators(1).await?[0];
    let anna = &cloud.operators(1).await?[0];
    let tina = cloud.account(&["operators", "team:system-tests"]).await?;
    let request = CreateTask {
        name: "for some".to_owned(),
        labels: vec!["cat".to_owned(), "dog".to_owned()],
        instructions: None,
        policy: Some(PolicyFields { quorum: Some(2), ..PolicyFields::default() }),
        audience: Some(AudienceFields {
            everyone: false,
            operators: vec![anna.name.clone()],
            teams: vec!["system-tests".to_owned()],
        }),
        expected_images: None,
    };
    let task = client.client.create_task(&request).await?.task;
    client.fill(task, &pictures(4, 41)).await?;

    let refused = otto.claim(task, 4).await.map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("no task with this id")));
    assert!(!otto.client.work().await?.tasks.iter().any(|work| work.task == task));
    let any = otto.client.claim(&Claim { task: None, count: 100 }).await?;
    assert!(any.subtasks.iter().all(|subtask| subtask.task != task));
    assert!(tina.client.work().await?.tasks.iter().any(|work| work.task == task));

    let images = anna.claim_some(task, 4).await?;
    anna.vote(task, &images, "cat").await?;
    let shown = client.results(task).await?;
    assert!(shown.iter().all(|row| row.status.votes.is_empty()), "tina could still be told what anna said");
    let images = tina.claim_some(task, 4).await?;
    tina.vote(task, &images, "cat").await?;
    client.completed(task).await?;
    assert!(client.results(task).await?.iter().all(|row| row.status.votes.len() == 2));

    let trail = client.client.task_audit(task, &PageQuery::default()).await?.entries;
    let deeds: Vec<_> = trail.iter().map(|entry| (entry.actor.name.as_deref(), entry.deed.name())).collect();
    let alice = Some(client.name.as_str());
    assert_eq!(deeds, [(None, "task-completed"), (alice, "task-sealed"), (alice, "task-created")]);
    Ok(())
}

#[tokio::test]
async fn a_paused_operator_gives_back_what_they_hold() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let admin = cloud.account(&["admins"]).await?;
    let operators = cloud.operators(2).await?;
    let task = client.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    client.fill(task, &pictures(6, 42)).await?;
    let held = operators[0].claim_some(task, 6).await?;
    operators[0].vote(task, &held[..1], "dog").await?;

    let paused = operators[0].subject.parse()?;
    let because = PauseOperator { reason: Some("asked for a break".to_owned()) };
    let refused = client.client.pause_operator(&paused, &because).await.map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("admins")));
    let view = admin.client.pause_operator(&paused, &because).await?;
    assert_eq!((view.paused, view.returned), (true, Some(held.len() as u32 - 1)));
    let refused = operators[0].claim(task, 1).await.map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("paused")));

    let rest = operators[1].claim_some(task, 6).await?;
    assert_eq!(rest.len(), 5, "the others need not wait for the end of a lease");
    operators[1].vote(task, &rest, "dog").await?;
    client.completed(task).await?;
    let rows = client.results(task).await?;
    assert!(rows.iter().all(|row| row.status.state == SubtaskState::Complete.into()), "the vote counts");

    let trail = admin.client.operator_audit(&paused, &PageQuery::default()).await?.entries;
    let entry = trail.first().context("an entry")?;
    assert_eq!((entry.actor.name.as_deref(), entry.deed.name()), (Some(admin.name.as_str()), "operator-paused"));
    assert!(!admin.client.resume_operator(&paused).await?.paused);
    assert!(operators[0].client.work().await.is_ok());
    Ok(())
}
