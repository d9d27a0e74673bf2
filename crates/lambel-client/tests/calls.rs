//! How calls behave when the service does not: against a listener that answers from a script.

#![expect(clippy::unwrap_used, reason = "a test may fail where a helper of it does")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use lambel_client::{
    Client, ClientError, DownloadError, Machine, PutError, Retries, Session, SignIn, SignInError, TokenSource,
    UploadGrant,
};
use lambel_core::{
    Timestamp,
    api::{CreateTask, Grant, Header, PageQuery, PublicConfig},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

/// Answers one request after the other from a script, and remembers what was asked.
struct Script {
    address: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Script {
    async fn new(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<_> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        let ears = heard.clone();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut piece = [0; 4_096];
                    let n = stream.read(&mut piece).await.unwrap();
                    assert!(n > 0, "the request ends early");
                    request.extend_from_slice(&piece[..n]);
                }
                ears.lock().unwrap().push(String::from_utf8(request).unwrap());
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, heard }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    fn config(&self) -> PublicConfig {
        let text = |text: &str| text.to_owned();
        PublicConfig {
            region: text("us-east-1"),
            user_pool_id: text("pool"),
            user_pool_client_id: text("app"),
            sign_in_endpoint: self.address.clone(),
            token_endpoint: Some(format!("{}/oauth2/token", self.address)),
            version: text("1"),
        }
    }

    /// A client of a service below a path, as a session that has this long to live.
    fn client(&self, life: Duration) -> Client {
        let session = Session {
            id_token: Some("old-token".to_owned()),
            access_token: String::new(),
            refresh_token: Some("refresh".to_owned()),
            expires_at: in_(life),
        };
        let tokens = TokenSource::session(SignIn::new(&self.config()).unwrap(), session);
        quick(Client::new(&format!("{}/stage/$default/", self.address), tokens).unwrap())
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:").map(str::to_owned));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

fn quick(client: Client) -> Client {
    let pause = Duration::from_millis(1);
    client.with_retries(Retries { tries: 3, first_pause: pause, longest_pause: pause })
}

fn in_(life: Duration) -> Timestamp {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::default().plus(now + life)
}

const HOUR: Duration = Duration::from_secs(3_600);
const TASKS: &str = r#"{"tasks":[]}"#;
const NEW_TOKEN: &str = r#"{"AuthenticationResult":{"IdToken":"new-token","AccessToken":"a","ExpiresIn":3600}}"#;

fn a_task() -> CreateTask {
    let labels = vec!["a".to_owned(), "b".to_owned()];
    CreateTask { name: "n".to_owned(), labels, instructions: None, policy: None, audience: None, expected_images: None }
}

#[tokio::test]
async fn passing_troubles_are_sat_out() {
    let script = Script::new(&[(503, ""), (429, ""), (200, TASKS)]).await;
    let page = PageQuery { cursor: Some("a/b c".to_owned()), limit: Some(5) };
    script.client(HOUR).tasks(&page).await.unwrap();
    let heard = script.heard();
    assert_eq!(heard.len(), 3);
    for request in heard {
        assert!(request.starts_with("GET /stage/$default/api/tasks?cursor=a%2Fb+c&limit=5 "), "{request}");
        assert!(request.contains("authorization: Bearer old-token\r\n"));
    }
}

#[tokio::test]
async fn troubles_that_do_not_pass_are_told() {
    let script = Script::new(&[(503, ""), (503, ""), (503, "")]).await;
    let error = script.client(HOUR).tasks(&PageQuery::default()).await.unwrap_err();
    assert_eq!(error.status(), Some(503));
}

#[tokio::test]
async fn a_task_is_not_made_twice() {
    let script = Script::new(&[(503, ""), (201, TASKS)]).await;
    let error = script.client(HOUR).create_task(&a_task()).await.unwrap_err();
    assert_eq!((error.status(), script.heard().len()), (Some(503), 1));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let script = Script::new(&[(401, ""), (200, NEW_TOKEN), (200, TASKS)]).await;
    script.client(HOUR).tasks(&PageQuery::default()).await.unwrap();
    let heard = script.heard();
    assert!(heard[1].contains("AWSCognitoIdentityProviderService.InitiateAuth"));
    assert!(heard[1].contains("REFRESH_TOKEN_AUTH") && heard[2].contains("Bearer new-token"));

    let script = Script::new(&[(401, ""), (200, NEW_TOKEN), (401, "")]).await;
    let error = script.client(HOUR).tasks(&PageQuery::default()).await.unwrap_err();
    assert_eq!((error.status(), script.heard().len()), (Some(401), 3));
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_first() {
    let script = Script::new(&[(200, NEW_TOKEN), (200, TASKS)]).await;
    script.client(Duration::ZERO).tasks(&PageQuery::default()).await.unwrap();
    assert!(script.heard()[1].contains("Bearer new-token"));

    let script = Script::new(&[(400, r#"{"__type":"NotAuthorizedException","message":"Refresh Token has expired"}"#)]);
    let error = script.await.client(Duration::ZERO).tasks(&PageQuery::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::SignIn(SignInError::Ended)), "{error}");
}

#[tokio::test]
async fn a_machine_asks_again_with_its_secret() {
    const TOKEN: &str = r#"{"access_token":"new-token","expires_in":3600,"token_type":"Bearer"}"#;
    const SHORT: &str = r#"{"access_token":"short-token","expires_in":30,"token_type":"Bearer"}"#;
    let script = Script::new(&[(200, SHORT), (503, ""), (200, TOKEN), (200, TASKS), (200, TASKS)]).await;
    let machine = Machine::new(&script.config(), "4k2j", "s3cret").unwrap();
    assert!(!format!("{machine:?}").contains("s3cret"));
    let session = machine.sign_in().await.unwrap();
    let client = quick(Client::new(&script.address, TokenSource::session(machine, session)).unwrap());
    client.tasks(&PageQuery::default()).await.unwrap();
    client.tasks(&PageQuery::default()).await.unwrap();
    let heard = script.heard();
    for request in &heard[..3] {
        assert!(request.starts_with("POST /oauth2/token "), "{request}");
        // The id and the secret, in base 64, and nowhere else.
        assert!(request.contains("authorization: Basic NGsyajpzM2NyZXQ=\r\n") && !request.contains("s3cret"));
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials"), "{request}");
    }
    assert!(heard[3].contains("Bearer new-token") && heard[4].contains("Bearer new-token"));

    let script = Script::new(&[(400, r#"{"error":"invalid_client"}"#)]).await;
    let error = Machine::new(&script.config(), "4k2j", "s3cret").unwrap().sign_in().await.unwrap_err();
    assert!(matches!(error, ClientError::SignIn(SignInError::WrongSecret)) && !error.to_string().contains("s3cret"));
    let without = PublicConfig { token_endpoint: None, ..script.config() };
    let error = Machine::new(&without, "4k2j", "s3cret").unwrap_err();
    assert!(matches!(error, ClientError::SignIn(SignInError::NoMachines)));
}

#[tokio::test]
async fn something_else_is_no_service() {
    let script = Script::new(&[(200, "<html>")]).await;
    let error = script.client(HOUR).tasks(&PageQuery::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Decode { expected: "TaskPage", .. }));
    let nobody = Client::new(&script.address, TokenSource::none()).unwrap();
    assert!(matches!(nobody.tasks(&PageQuery::default()).await, Err(ClientError::NotSignedIn)));
    assert!(matches!(Client::new("ftp://x", TokenSource::none()), Err(ClientError::Address { .. })));
}

#[tokio::test]
async fn an_upload_is_what_was_granted() {
    let script = Script::new(&[(500, ""), (200, "")]).await;
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    let headers = vec![
        header("content-length", "3"),
        header("content-type", "image/png"),
        header("x-amz-checksum-sha256", "abc="),
    ];
    let url = format!("{}/key?signature=secret", script.address);
    let grant = |url: &str, life| {
        let grant = Grant::Upload { url: url.to_owned(), headers: headers.clone(), expires_at: in_(life) };
        UploadGrant::of(grant).unwrap()
    };
    let client = quick(Client::new(&script.address, TokenSource::none()).unwrap());
    client.put_file(&grant(&url, HOUR), Bytes::from_static(b"png")).await.unwrap();
    let heard = script.heard();
    assert_eq!(heard.len(), 2);
    assert!(heard[1].starts_with("PUT /key?signature=secret ") && heard[1].ends_with("\r\n\r\npng"));
    assert_eq!(heard[1].to_lowercase().matches("content-length: 3").count(), 1);
    assert!(heard[1].contains("content-type: image/png") && heard[1].contains("x-amz-checksum-sha256: abc="));
    assert!(!heard[1].to_lowercase().contains("authorization"));

    let late = client.put_file(&grant(&url, Duration::ZERO), Bytes::from_static(b"png")).await;
    assert!(matches!(late, Err(PutError::Expired)));
    let nowhere = grant("http://127.0.0.1:1/key?signature=secret", HOUR);
    let error = client.put_file(&nowhere, Bytes::from_static(b"png")).await.unwrap_err().to_string();
    assert!(!error.contains("secret"), "{error}");
}

async fn all_of(client: &Client, url: &str, from: u64) -> Result<Vec<u8>, DownloadError> {
    let mut download = client.download(url, from).await?;
    let mut all = Vec::new();
    while let Some(bytes) = download.next().await? {
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

#[tokio::test]
async fn a_file_is_read_from_where_it_was_left() {
    let script =
        Script::new(&[(200, "a,b\n"), (206, "b\n"), (200, "a,b\n"), (403, "<Error/>"), (503, ""), (404, "")]).await;
    let client = script.client(HOUR);
    let url = format!("{}/bucket/rows.csv?X-Amz-Signature=s", script.address);
    assert_eq!(all_of(&client, &url, 0).await.unwrap(), b"a,b\n");
    assert_eq!(all_of(&client, &url, 2).await.unwrap(), b"b\n");
    // Whoever sends the whole again has not understood.
    assert!(matches!(all_of(&client, &url, 2).await, Err(DownloadError::Refused(200))));
    assert!(matches!(all_of(&client, &url, 2).await, Err(DownloadError::Expired)));
    assert!(matches!(all_of(&client, &url, 2).await, Err(DownloadError::Transport(_))));
    assert!(matches!(all_of(&client, &url, 2).await, Err(DownloadError::Refused(404))));
    let heard = script.heard();
    assert!(!heard[0].contains("range:") && heard[1].contains("range: bytes=2-\r\n"), "{heard:?}");
    assert!(heard.iter().all(|request| !request.contains("authorization")), "the storage gets no token");
}

#[tokio::test]
async fn a_note_is_of_the_version_that_was_named_and_of_nothing_else() {
    let note = r#"{"commit":"c","note":{"key":"f1","value":null,"by":{"id":"a"},"at":"2026-11-21T08:47:00.123Z"}}"#;
    let script = Script::new(&[(503, ""), (200, note), (200, r#"{"commit":"c","notes":[]}"#)]).await;
    let client = script.client(HOUR);
    let (task, key) = (lambel_core::TaskId::random(), "f1".parse().unwrap());
    let fields = lambel_core::api::notes::NoteFields { value: 0.91.into() };
    client.put_note(task, "live~1", &key, &fields).await.unwrap();
    client.notes(task, "../../x?a=b#c").await.unwrap();
    let heard = script.heard();
    let commits = format!("/stage/$default/api/tasks/{task}/dataset/commits");
    assert!(heard[1].starts_with(&format!("PUT {commits}/live~1/notes/f1 ")), "{}", heard[1]);
    assert!(heard[1].ends_with(r#"{"value":0.91}"#), "done twice it comes to the same");
    assert!(heard[2].starts_with(&format!("GET {commits}/.._.._x_a_b_c/notes ")), "{}", heard[2]);
}
