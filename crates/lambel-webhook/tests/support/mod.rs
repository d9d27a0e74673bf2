//! A target on this machine that answers what it is told to, and a sender that calls it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use lambel_core::{
    ClientId, TaskId, TaskState, Timestamp,
    event::{CloudEvent, TaskChanged},
    webhook::{Attempt, Delivery, EventKind, Scope, Webhook, WebhookId, signature::Secret, target::TargetRules},
};
use lambel_memory::{ManualClock, MemoryWebhookQueue, MemoryWebhooks};
use lambel_service::{
    ports::{Clock, WebhookStore},
    webhooks::{Announced, Known, Router, Sender},
};
use lambel_webhook::HttpTargets;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// This machine may be called.
pub(crate) const LOCAL: TargetRules = TargetRules { loopback: true };
/// How long a target has for its answer in tests.
const LIMIT: Duration = Duration::from_secs(2);

/// A request as the target got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// A target on this machine.
pub(crate) struct FakeTarget {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    serving: JoinHandle<()>,
}

impl Drop for FakeTarget {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeTarget {
    /// A target that gives these answers, one after the other, and then the last one for ever. An answer is what goes
    /// over the wire; an empty one never comes.
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let answers: Vec<String> = answers.iter().map(|answer| (*answer).to_owned()).collect();
        let seen = got.clone();
        let serving = tokio::spawn(async move {
            let mut answers = answers.into_iter().peekable();
            while let Ok((stream, _)) = listener.accept().await {
                let answer = match answers.next() {
                    Some(answer) if answers.peek().is_some() => answer,
                    Some(last) => {
                        let again = last.clone();
                        answers = vec![last].into_iter().peekable();
                        again
                    }
                    None => return,
                };
                tokio::spawn(serve(stream, answer, seen.clone()));
            }
        });
        Self { url, got, serving }
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

/// An answer of a status with a body.
pub(crate) fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

async fn serve(mut stream: TcpStream, answer: String, got: Arc<Mutex<Vec<Got>>>) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length =
                head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            break (head, end + 4 + length.unwrap_or(0));
        }
    };
    while bytes.len() < length {
        stream.read_buf(&mut bytes).await.unwrap();
    }
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_lowercase(), value.into()));
    let body = String::from_utf8(bytes[head.len() + 4..].to_vec()).unwrap();
    got.lock().unwrap().push(Got { path, headers: headers.collect(), body });
    if answer.is_empty() {
        std::future::pending::<()>().await;
    }
    // Who is not listened to any more may have hung up.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The way from a topic to a target, in memory but for the call itself.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryWebhooks>,
    pub(crate) queue: Arc<MemoryWebhookQueue>,
    pub(crate) clock: Arc<ManualClock>,
    router: Router,
    sender: Sender,
}

impl World {
    pub(crate) fn new(rules: TargetRules) -> Self {
        let (store, queue) = (Arc::new(MemoryWebhooks::default()), Arc::new(MemoryWebhookQueue::default()));
        let clock = Arc::new(ManualClock::new());
        let known = Known::new(store.clone(), clock.clone());
        let targets = Arc::new(HttpTargets::with_limit(rules, LIMIT).unwrap());
        Self {
            router: Router::new(known.clone(), queue.clone(), clock.clone()),
            sender: Sender::new(known, store.clone(), queue.clone(), targets, clock.clone()),
            store,
            queue,
            clock,
        }
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// A webhook for the ends of tasks.
    pub(crate) async fn webhook(&self, scope: Scope, url: &str) -> Webhook {
        let webhook = Webhook {
            id: WebhookId::random(),
            scope,
            owner: owner(),
            url: url.to_owned(),
            kinds: [EventKind::TaskComplete, EventKind::TaskCancelled].into(),
            secret: Secret::of([7; 32]),
            previous: None,
            disabled: None,
            failing_since: None,
            created_at: self.clock.now(),
            rev: 1,
        };
        assert!(self.store.create_webhook(&webhook).await.unwrap());
        webhook
    }

    /// What a topic says.
    pub(crate) async fn hear(&self, bodies: &[String]) {
        let announced = |body| Announced { body, owner: Some("client"), task: None };
        let events: Vec<_> = bodies.iter().map(|body| announced(body.as_str())).collect();
        assert!(self.router.hear(&events).await.is_empty());
    }

    /// Sends what is in the queue.
    pub(crate) async fn send(&self, deliveries: &[Delivery]) {
        let bodies: Vec<_> = deliveries.iter().map(|delivery| serde_json::to_string(delivery).unwrap()).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        assert!(self.sender.deliver(&bodies).await.is_empty());
    }

    /// Lets time pass to the moment at which the only delivery of the queue is due, and sends it.
    pub(crate) async fn send_next(&self) {
        let deliveries = self.queue.take();
        let [delivery] = &deliveries[..] else { panic!("one delivery, not {deliveries:?}") };
        self.clock.pass(self.clock.now().until(delivery.due));
        self.send(&deliveries).await;
    }

    pub(crate) async fn log(&self, webhook: &Webhook) -> Vec<Attempt> {
        self.store.attempts(webhook.id, None, 1_000).await.unwrap()
    }

    pub(crate) async fn stored(&self, webhook: &Webhook) -> Webhook {
        self.store.webhook(webhook.id).await.unwrap().unwrap()
    }
}

pub(crate) fn owner() -> ClientId {
    "client".parse().unwrap()
}

pub(crate) fn all_tasks() -> Scope {
    Scope::Owner(owner())
}

/// The body of the event that a task is complete, so many seconds after the epoch.
pub(crate) fn complete(task: TaskId, seconds: i64) -> String {
    event("task.complete", TaskState::Complete, task, seconds)
}

pub(crate) fn event(kind: &str, state: TaskState, task: TaskId, seconds: i64) -> String {
    let event = CloudEvent {
        specversion: "1.0".into(),
        kind: format!("lambel.{kind}"),
        source: format!("/tasks/{task}"),
        id: format!("{task}/{seconds}"),
        time: Timestamp::from_millis(seconds * 1_000),
        subject: None,
        datacontenttype: "application/json".into(),
        data: TaskChanged { task, name: "cats".into(), state, images: Some(5) },
    };
    serde_json::to_string(&event).unwrap()
}
