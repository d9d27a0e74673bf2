//! Tasks that are decided by other rules than a fixed quorum.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use lambel_core::{
    ImageId,
    api::{ImageState, PolicyFields, RuleName},
};
use lambel_system_tests::{Cloud, Terminal, pictures};

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
