//! Who may do what, and what an upload address is good for.

use std::time::Duration;

use anyhow::{Context, Result};
use lambel_core::api::{Claim, CreateTask, FileGrant, Grant, Header, PolicyFields};
use lambel_system_tests::{Cloud, pictures, wait_for};
use reqwest::{Method, StatusCode, header};
use serde_json::json;

#[tokio::test]
async fn an_operators_token_cannot_create_tasks_and_a_clients_cannot_label() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operator = &cloud.operators(1).await?[0];
    let request = CreateTask {
        name: "mine".to_owned(),
        labels: vec!["a".to_owned(), "b".to_owned()],
        instructions: None,
        policy: None,
        audience: None,
        expected_images: None,
    };
    let refused = operator.client.create_task(&request).await.map(|task| task.task);
    assert!(refused.is_err_and(|error| error.to_string().contains("clients")));
    let task = client.client.create_task(&request).await?.task;
    let refused = client.client.claim(&Claim { task: Some(task), count: 1 }).await.map(drop);
    assert!(refused.is_err_and(|error| error.to_string().contains("operators")));

    // Another client cannot tell this task from one that does not exist.
    let other = cloud.client().await?;
    let theirs = other.client.task(task).await.map(drop);
    let none = other.client.task(lambel_core::TaskId::random()).await.map(drop);
    assert_eq!(format!("{theirs:?}"), format!("{none:?}"));
    assert!(theirs.is_err());
    Ok(())
}

#[tokio::test]
async fn the_gate_lets_nobody_in_without_a_good_token() -> Result<()> {
    let cloud = Cloud::running()?;
    let operator = &cloud.operators(1).await?[0];
    let http = reqwest::Client::new();
    let (head, rest) = operator.id_token.split_once('.').context("a token has parts")?;
    let (payload, signature) = rest.split_once('.').context("a token has parts")?;
    let altered = format!("{head}.{}.{signature}", payload.chars().rev().collect::<String>());
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let tokens = [None, Some("nonsense"), Some(altered.as_str()), Some(unsigned.as_str())];
    let routes = [
        (Method::GET, "/api/tasks"),
        (Method::POST, "/api/tasks"),
        (Method::GET, "/api/tasks/019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11/results"),
        (Method::GET, "/api/subtasks/work"),
        (Method::POST, "/api/subtasks/claims"),
        (Method::GET, "/api/operators/somebody"),
        (Method::PUT, "/api/operators/somebody/pause"),
        // Paths that are no route of the gate fall through to the open one, which must not serve them.
        (Method::GET, "/api/tasks/"),
        (Method::GET, "/api//tasks"),
        (Method::GET, "/API/tasks"),
        (Method::GET, "/x/../api/tasks"),
    ];
    for (method, route) in &routes {
        for token in &tokens {
            let mut request = http.request(method.clone(), format!("{}{route}", cloud.api_url));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let status = request.send().await?.status();
            assert!(
                matches!(status, StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND),
                "{method} {route} {token:?}: {status}"
            );
        }
    }
    for open in ["/", "/openapi.json", "/config.json"] {
        assert_eq!(http.get(format!("{}{open}", cloud.api_url)).send().await?.status(), StatusCode::OK, "{open}");
    }
    Ok(())
}

#[tokio::test]
async fn an_upload_address_takes_exactly_what_was_announced() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let task = client.task(PolicyFields::default()).await?;
    let files = pictures(1, 21);
    let other = &pictures(1, 22)[0].1;
    let FileGrant { grant: Grant::Upload { url, headers, .. }, .. } =
        client.announce(task, &files).await?.pop().context("a grant")?
    else {
        panic!("an upload")
    };
    let http = reqwest::Client::new();
    let put = |url: &str, changed: Option<(&str, String)>, body: Vec<u8>| {
        let mut request = http.put(url);
        for Header { name, value } in &headers {
            let value = changed.as_ref().filter(|(other, _)| other == name).map_or(value, |(_, value)| value);
            request = request.header(name, value);
        }
        request.body(body).send()
    };
    let bytes = files[0].1.clone();
    let same_length: Vec<u8> = bytes.iter().map(|byte| byte ^ 1).collect();
    let longer = [bytes.clone(), vec![0]].concat();
    let longer_length = Some(("content-length", longer.len().to_string()));
    let altered = |from: &str, to: &str| {
        let changed = url.replacen(from, to, 1);
        assert_ne!(changed, url, "the address has {from}");
        changed
    };
    let longer_life = altered("X-Amz-Expires=900", "X-Amz-Expires=90000");
    let other_signature = altered("X-Amz-Signature=", "X-Amz-Signature=0");
    let unsigned_header = altered("content-type%3B", "");
    let another_key = url.replacen(&task.to_string(), "another-key", 1);
    let refused = [
        ("other bytes", put(&url, None, same_length).await),
        ("another length", put(&url, longer_length, longer).await),
        ("another type", put(&url, Some(("content-type", "text/html".to_owned())), bytes.clone()).await),
        ("another file", put(&url, Some(("content-length", other.len().to_string())), other.clone()).await),
        ("another key", put(&another_key, None, bytes.clone()).await),
        ("a longer life", put(&longer_life, None, bytes.clone()).await),
        ("another signature", put(&other_signature, None, bytes.clone()).await),
        ("a header that is not signed", put(&unsigned_header, None, bytes.clone()).await),
    ];
    for (what, answer) in refused {
        // Some are refused before an answer comes: the connection is closed on a body that is too long.
        if let Ok(answer) = answer {
            assert!(answer.status().is_client_error(), "{what}: {}", answer.status());
        }
    }
    assert_eq!(put(&url, None, bytes.clone()).await?.status(), StatusCode::OK);
    let second: Vec<u8> = bytes.iter().rev().copied().collect();
    let answer = put(&url, None, second).await?;
    assert!(answer.status().is_client_error(), "a second, different body: {}", answer.status());
    Ok(())
}

/// The address that `task-api` signs says 900 seconds, see above. This one says a second.
#[tokio::test]
async fn an_upload_address_ends() -> Result<()> {
    let cloud = Cloud::running()?;
    let life = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(1))?;
    let put = cloud.s3().await.put_object().bucket(&cloud.uploads_bucket_name).key("ends");
    let signed = put.content_length(1).presigned(life).await?;
    let http = reqwest::Client::new();
    wait_for("the address ends", || async {
        let answer = http.put(signed.uri()).header("content-length", "1").body("x").send().await?;
        Ok((answer.status() == StatusCode::FORBIDDEN).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_picture_is_served_with_the_type_that_we_set() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let operator = &cloud.operators(1).await?[0];
    let task = client.task(PolicyFields::default()).await?;
    let files = pictures(1, 23);
    client.fill(task, &files).await?;
    operator.claim_some(task, 1).await?;
    let leased = operator.claim(task, 1).await?.subtasks.pop().context("a lease")?;
    let http = reqwest::Client::new();
    let answer = http.get(&leased.url).send().await?;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "image/png");
    assert_eq!(answer.bytes().await?, files[0].1);
    let bare = leased.url.split_once('?').context("a signature")?.0;
    assert_eq!(http.get(bare).send().await?.status(), StatusCode::FORBIDDEN);
    Ok(())
}

#[tokio::test]
async fn bad_requests_get_problem_documents_through_the_gate() -> Result<()> {
    let cloud = Cloud::running()?;
    let client = cloud.client().await?;
    let http = reqwest::Client::new();
    let post =
        |body: String| http.post(format!("{}/api/tasks", cloud.api_url)).bearer_auth(&client.id_token).body(body);
    for (body, status) in [
        ("{".to_owned(), StatusCode::BAD_REQUEST),
        (json!({"name": "x", "labels": ["a", "b"], "colour": 1}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"name": "x", "labels": ["a"]}).to_string(), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"name": "x".repeat(1_000_001), "labels": ["a", "b"]}).to_string(), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = post(body).send().await?;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    Ok(())
}
