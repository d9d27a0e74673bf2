//! Hostile and odd files through the whole system: each gets its verdict, and operators see nothing of what is
//! stowed away in them.

use std::collections::HashMap;

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use lambel_client::UploadGrant;
use lambel_core::{
    ImageId,
    api::{AnnounceFiles, FileAnnouncement, ImageState, ImagesQuery, PolicyFields},
};
use lambel_samples::{HostileFile, SECRET, Verdict, hostile};
use lambel_system_tests::{Cloud, wait_for};
use reqwest::header;

#[tokio::test]
async fn every_hostile_file_gets_its_verdict_and_no_secret_reaches_an_operator() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operator = &cloud.operators(1).await?[0];
    let task = client.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    // An empty file is refused when it is announced.
    let (empty, files): (Vec<_>, Vec<_>) = hostile().into_iter().partition(|file| file.bytes.is_empty());
    assert!(!empty.is_empty());
    let announced = |file: &HostileFile| FileAnnouncement {
        name: file.name.clone(),
        bytes: file.bytes.len() as u64,
        media_type: file.media_type.to_owned(),
        sha256: ImageId::of(&file.bytes).to_string(),
    };
    let request = AnnounceFiles { files: files.iter().map(announced).collect() };
    let grants = client.client.announce(task, &request).await?.files;
    let mut puts = Vec::new();
    for (grant, file) in grants.into_iter().zip(&files) {
        let grant = UploadGrant::of(grant.grant).with_context(|| format!("{} is not granted", file.name))?;
        let client = &client.client;
        puts.push(async move { client.put_file(&grant, file.bytes.clone().into()).await });
    }
    stream::iter(puts).buffer_unordered(8).try_collect::<Vec<_>>().await?;
    let count = files.len() as u64;
    wait_for("every file is judged and every good one is open", || async {
        let progress = client.client.task(task).await?.progress.context("progress")?;
        let query = ImagesQuery { state: Some(ImageState::Preparing), cursor: None, limit: Some(1_000) };
        let preparing = client.client.images(task, &query).await?.images.len();
        Ok((progress.accepted + progress.rejected == count && preparing == 0).then_some(()))
    })
    .await?;

    let query = ImagesQuery { state: None, cursor: None, limit: Some(1_000) };
    let images = client.client.images(task, &query).await?.images;
    let mut found: HashMap<_, _> = images.into_iter().map(|view| (view.image, view.status)).collect();
    let mut wrong = Vec::new();
    let mut good = HashMap::new();
    for file in &files {
        let image = ImageId::of(&file.bytes);
        let status = found.remove(&image).with_context(|| format!("{} is not there", file.name))?;
        let right = match file.verdict {
            Verdict::Accepted { width, height, .. } => {
                good.insert(image, file.name.clone());
                status.state == ImageState::Open && (status.width, status.height) == (Some(width), Some(height))
            }
            Verdict::Refused(code) => status.refusal.as_ref().is_some_and(|refusal| refusal.code == code),
        };
        if !right {
            wrong.push(format!("{}: {:?}, not {status:?}", file.name, file.verdict));
        }
    }
    assert!(wrong.is_empty(), "{} of {count}: {wrong:#?}", wrong.len());

    let http = reqwest::Client::new();
    while !good.is_empty() {
        let answer = operator.claim(task, 100).await?;
        assert!(!answer.subtasks.is_empty(), "not handed out: {:?}", good.values());
        let mut votes = Vec::new();
        for leased in answer.subtasks {
            let name = good.remove(&leased.image).context("handed out twice")?;
            let shown = http.get(&leased.url).send().await?;
            let media_type = shown.headers()[header::CONTENT_TYPE].to_str()?.to_owned();
            assert!(media_type.starts_with("image/"), "{name}: {media_type}");
            let disposition = shown.headers().get(header::CONTENT_DISPOSITION).context("a disposition")?;
            assert_eq!(disposition, "inline", "{name}");
            let bytes = shown.bytes().await?;
            let leaks = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!bytes.is_empty() && !leaks, "{name} shows what is nobody's business");
            votes.push(leased.image);
        }
        operator.vote(task, &votes, "cat").await?;
    }
    Ok(())
}
