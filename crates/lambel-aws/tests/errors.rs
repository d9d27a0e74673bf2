//! Every error of AWS that can reach us, as the real client of the SDK meets it: what the adapters make of it.
//!
//! A small server answers as AWS does. The SDK tries again by itself where it knows that this helps, so a case that
//! passes may need several answers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use aws_config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig};
use lambel_aws::{Addresses, Aws, AwsMessages, DynamoStore, S3Objects};
use lambel_core::{Counts, ImageId, LabelSet, Policy, Shards, Subtask, Task, TaskId, TaskState, Timestamp};
use lambel_core::{
    event::NewSubtasks,
    subtask::{Picture, Preview},
};
use lambel_service::ports::{Fetched, Messages, ObjectKey, Objects, Store, StoreError};

/// What the server answers.
#[derive(Clone)]
enum Answer {
    /// A status and a body.
    Body(u16, String),
    /// It hangs up.
    HangUp,
}

/// A server that gives one answer after the other, and the last one again and again.
struct FakeAws {
    address: String,
    asked: Arc<Mutex<u32>>,
}

impl FakeAws {
    fn answering(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(0));
        let (count, answers) = (asked.clone(), Arc::new(Mutex::new(VecDeque::from(answers))));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (count, answers) = (count.clone(), answers.clone());
                // A client that went away is none of the server's business.
                thread::spawn(move || stream.and_then(|stream| serve(stream, &count, &answers)));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> u32 {
        *self.asked.lock().unwrap()
    }

    async fn aws(&self) -> Aws {
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(&self.address)
            .credentials_provider(aws_sdk_dynamodb::config::Credentials::new("key", "secret", None, None, "test"))
            .retry_config(
                RetryConfig::standard().with_max_attempts(3).with_initial_backoff(std::time::Duration::from_millis(1)),
            )
            .timeout_config(TimeoutConfig::disabled())
            .load()
            .await;
        Aws::of(config)
    }
}

/// Answers the requests of one connection.
fn serve(mut stream: TcpStream, count: &Mutex<u32>, answers: &Mutex<VecDeque<Answer>>) -> std::io::Result<()> {
    while read_request(&mut stream)? {
        *count.lock().unwrap() += 1;
        let mut answers = answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let Some(Answer::Body(status, body)) = answer else { return Ok(()) };
        let kind = if body.starts_with('<') { "application/xml" } else { "application/x-amz-json-1.0" };
        write!(
            stream,
            "HTTP/1.1 {status} Said\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
    }
    Ok(())
}

/// Reads a request, head and body. False at the end of the connection.
fn read_request(stream: &mut TcpStream) -> std::io::Result<bool> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(true)
}

/// An error as the JSON services write it.
fn json(code: &str) -> Answer {
    Answer::Body(400, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"said so"}}"#))
}

/// A cancelled transaction.
fn cancelled(reasons: &[&str]) -> Answer {
    let reasons: Vec<_> = reasons.iter().map(|code| format!(r#"{{"Code":"{code}"}}"#)).collect();
    Answer::Body(
        400,
        format!(
            r#"{{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"cancelled","CancellationReasons":[{}]}}"#,
            reasons.join(",")
        ),
    )
}

/// An error as S3 writes it.
fn xml(status: u16, code: &str) -> Answer {
    Answer::Body(status, format!("<Error><Code>{code}</Code><Message>said so</Message></Error>"))
}

fn done() -> Answer {
    Answer::Body(200, "{}".to_owned())
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It went well in the end.
    Well,
    /// Later.
    Busy,
    /// Never.
    Failed,
}

fn outcome<T>(result: Result<T, StoreError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Well,
        Err(StoreError::Busy(_)) => Outcome::Busy,
        Err(StoreError::Failed(_)) => Outcome::Failed,
    }
}

fn task() -> Task {
    Task {
        id: TaskId::random(),
        owner: "client".parse().unwrap(),
        name: "errors".to_owned(),
        labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
        instructions: String::new(),
        policy: Policy::default(),
        audience: lambel_core::Audience::Everyone,
        shards: Shards::for_images(None),
        state: TaskState::Open,
        images: None,
        imports: Default::default(),
        created_at: Timestamp::default(),
        sealed_at: None,
        ended_at: None,
        rev: 0,
    }
}

fn record(task: &Task) -> Subtask {
    let picture = Picture { media_type: "image/png".to_owned(), width: 1, height: 1 };
    Subtask::preparing(task.id, ImageId::of(b"x"), 1, picture, Preview::NotNeeded, Timestamp::default())
}

#[tokio::test]
async fn errors_of_dynamodb_on_a_read() {
    use Outcome::{Busy, Failed, Well};
    let empty = || Answer::Body(200, r#"{"Items":[],"Count":0}"#.to_owned());
    for (answers, expected) in [
        // Throttled, and then not any more: the SDK has waited.
        (vec![json("ProvisionedThroughputExceededException"), empty()], Well),
        (vec![json("ThrottlingException"), empty()], Well),
        (vec![json("ProvisionedThroughputExceededException")], Busy),
        (vec![json("ThrottlingException")], Busy),
        (vec![json("RequestLimitExceeded")], Busy),
        (vec![json("InternalServerError")], Busy),
        (vec![Answer::Body(503, "<html>sorry</html>".to_owned())], Busy),
        (vec![Answer::Body(500, "{}".to_owned()), empty()], Well),
        (vec![Answer::HangUp], Busy),
        (vec![Answer::HangUp, empty()], Well),
        // Nothing that could be read: nobody knows what was done.
        (vec![Answer::Body(200, "<html>a proxy's own page</html>".to_owned())], Busy),
        // Credentials that have ended.
        (vec![json("ExpiredTokenException")], Busy),
        // Refusals.
        (vec![json("AccessDeniedException")], Failed),
        (vec![json("UnrecognizedClientException")], Failed),
        (vec![json("ResourceNotFoundException")], Failed),
        (vec![json("ValidationException")], Failed),
        (vec![json("SomethingNew")], Failed),
    ] {
        let text = format!("{:?}", answers.iter().map(told).collect::<Vec<_>>());
        let fake = FakeAws::answering(answers);
        let store = DynamoStore::new(&fake.aws().await, "tasks", "subtasks");
        let found = store.counts(&task()).await;
        if let Ok(counts) = &found {
            assert_eq!(*counts, Counts::default());
        }
        assert_eq!(outcome(found), expected, "{text}");
    }
}

fn told(answer: &Answer) -> String {
    match answer {
        Answer::Body(status, body) => format!("{status} {body}"),
        Answer::HangUp => "hang up".to_owned(),
    }
}

#[tokio::test]
async fn errors_of_dynamodb_on_a_transaction() {
    use Outcome::{Busy, Failed, Well};
    for (answers, expected) in [
        (vec![done()], Well),
        // Somebody else's transaction was in the way: asked again at once, which the SDK does not do.
        (vec![cancelled(&["TransactionConflict", "None"]), cancelled(&["None", "TransactionConflict"]), done()], Well),
        (vec![cancelled(&["ThrottlingError", "None"]), done()], Well),
        (vec![cancelled(&["ProvisionedThroughputExceeded", "None"]), done()], Well),
        (vec![json("TransactionInProgressException"), done()], Well),
        (vec![cancelled(&["TransactionConflict", "None"])], Busy),
        // The record was there: then there is nothing left to write.
        (vec![cancelled(&["ConditionalCheckFailed", "None"])], Well),
        // A reason that never passes, whatever else there is.
        (vec![cancelled(&["ValidationError", "TransactionConflict"])], Failed),
        (vec![cancelled(&["ItemCollectionSizeLimitExceeded", "None"])], Failed),
        (vec![json("IdempotentParameterMismatchException")], Failed),
    ] {
        let text = format!("{:?}", answers.iter().map(told).collect::<Vec<_>>());
        let fake = FakeAws::answering(answers);
        let store = DynamoStore::new(&fake.aws().await, "tasks", "subtasks");
        let task = task();
        assert_eq!(outcome(store.record(&task, &[record(&task)]).await), expected, "{text}");
    }
}

#[tokio::test]
async fn a_write_in_conflict_is_tried_again_so_many_times() {
    let fake = FakeAws::answering(vec![json("TransactionConflictException")]);
    let store = DynamoStore::new(&fake.aws().await, "tasks", "subtasks");
    assert_eq!(outcome(store.open(&task(), ImageId::of(b"x"), None).await), Outcome::Busy);
    assert_eq!(fake.asked(), 11, "once, and ten times again");
    let fake = FakeAws::answering(vec![json("TransactionConflictException"), done()]);
    let store = DynamoStore::new(&fake.aws().await, "tasks", "subtasks");
    assert_eq!(store.open(&task(), ImageId::of(b"x"), None).await, Ok(true));
}

#[tokio::test]
async fn errors_of_s3() {
    use Outcome::{Busy, Failed, Well};
    let key = ObjectKey { task: TaskId::random(), image: ImageId::of(b"x") };
    for (answers, expected) in [
        (vec![Answer::Body(200, "x".to_owned())], Well),
        (vec![xml(503, "SlowDown"), Answer::Body(200, "x".to_owned())], Well),
        (vec![xml(503, "SlowDown")], Busy),
        (vec![xml(500, "InternalError")], Busy),
        (vec![xml(400, "RequestTimeout")], Busy),
        (vec![xml(400, "ExpiredToken")], Busy),
        (vec![Answer::HangUp], Busy),
        (vec![xml(403, "AccessDenied")], Failed),
        (vec![xml(404, "NoSuchBucket")], Failed),
    ] {
        let text = format!("{:?}", answers.iter().map(told).collect::<Vec<_>>());
        let fake = FakeAws::answering(answers);
        let objects = S3Objects::new(&fake.aws().await, "uploads", "previews");
        assert_eq!(outcome(objects.fetch(key, 10).await), expected, "{text}");
    }
    let fake = FakeAws::answering(vec![xml(404, "NoSuchKey")]);
    let objects = S3Objects::new(&fake.aws().await, "uploads", "previews");
    assert_eq!(objects.fetch(key, 10).await, Ok(Fetched::Missing), "an answer, and no error");
}

#[tokio::test]
async fn errors_of_sqs() {
    use Outcome::{Busy, Failed};
    let body = NewSubtasks { task: TaskId::random(), images: vec![ImageId::of(b"x")] };
    for (code, expected) in [
        ("RequestThrottled", Busy),
        ("KmsThrottled", Busy),
        ("QueueDoesNotExist", Failed),
        ("AccessDeniedException", Failed),
        ("InvalidMessageContents", Failed),
    ] {
        let fake = FakeAws::answering(vec![json(code)]);
        let addresses = Addresses { new_subtasks_queue: format!("{}/1/queue", fake.address), ..Addresses::default() };
        let messages = AwsMessages::new(&fake.aws().await, addresses);
        assert_eq!(outcome(messages.send_new_subtasks(&body).await), expected, "{code}");
    }
}
