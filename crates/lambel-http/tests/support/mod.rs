//! The interface over the use cases in memory, for the tests.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use lambel_core::{
    ImageId, Timestamp,
    api::PublicConfig,
    webhook::{Attempt, Delivery, DeliveryId, Outcome, Scope, TEST, target::TargetRules},
};
use lambel_http::{Caller, TaskManager};
use lambel_memory::{
    ManualClock, MemoryDatasets, MemoryExportFiles, MemoryExportQueue, MemoryExports, MemoryMessages, MemoryNotes,
    MemoryObjects, MemoryStore, MemoryWebhookQueue, MemoryWebhooks,
};
use lambel_service::{
    Role,
    dataset::{Committer, DatasetNotes, Place, Versions},
    exports::{DatasetExports, Exporter},
    import::VoteImports,
    open::Opener,
    operate::Operators,
    pace::Pace,
    ports::{ObjectKey, WebhookStore},
    quality::Quality,
    supervise::Supervisors,
    tasks::Tasks,
    validate::Validator,
    webhooks::Webhooks,
};
use serde_json::{Value, json};
use tower::ServiceExt;

/// The interface over the use cases in memory, and what belongs to it.
pub(crate) struct World {
    tasks: Router,
    operators: Router,
    pub(crate) store: Arc<MemoryStore>,
    objects: Arc<MemoryObjects>,
    messages: Arc<MemoryMessages>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) webhooks: Arc<MemoryWebhooks>,
    /// The webhook that paths name, if one was made.
    pub(crate) hook: OnceLock<String>,
    pub(crate) deliveries: Arc<MemoryWebhookQueue>,
    validator: Validator,
    opener: Opener,
    datasets: Arc<MemoryDatasets>,
    committer: Committer,
    export_queue: Arc<MemoryExportQueue>,
    exporter: Exporter,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The problem document, checked for its shape.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.media_type(), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["detail"].is_string());
        body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

pub(crate) fn alice() -> Option<Caller> {
    Some(Caller::new("alice", [Role::Client]))
}

pub(crate) fn admin() -> Option<Caller> {
    Some(Caller::new("root", [Role::Admin]))
}

pub(crate) fn operator(n: usize) -> Option<Caller> {
    Some(Caller::new(format!("op-{n}"), [Role::Operator]))
}

impl World {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let objects = Arc::new(MemoryObjects::default());
        let messages = Arc::new(MemoryMessages::default());
        let clock = Arc::new(ManualClock::new());
        let operators = Operators::new(store.clone(), objects.clone(), clock.clone()).with_gold(store.clone());
        let (webhooks, deliveries) = (Arc::<MemoryWebhooks>::default(), Arc::<MemoryWebhookQueue>::default());
        let config = PublicConfig {
            region: "eu-central-1".into(),
            user_pool_id: "pool".into(),
            user_pool_client_id: "client".into(),
            sign_in_endpoint: "http://localhost".into(),
            token_endpoint: None,
            version: "0".into(),
        };
        let datasets = Arc::new(MemoryDatasets::default());
        let place = Place { bucket: "uploads".to_owned() };
        let tasks = Tasks::new(store.clone(), objects.clone(), clock.clone());
        let (records, files) = (Arc::<MemoryExports>::default(), Arc::<MemoryExportFiles>::default());
        let export_queue = Arc::new(MemoryExportQueue::default());
        let exporter =
            Exporter::new(records.clone(), files.clone(), export_queue.clone(), datasets.clone(), clock.clone());
        let manager = TaskManager {
            tasks: tasks.clone().with_gold(store.clone()).with_calibrations(store.clone()),
            quality: Quality::new(tasks.clone(), store.clone()),
            versions: Versions::new(tasks.clone(), datasets.clone(), datasets.clone()),
            notes: DatasetNotes::new(tasks.clone(), datasets.clone(), Arc::<MemoryNotes>::default()),
            exports: DatasetExports::new(tasks, records.clone(), files.clone(), export_queue.clone(), datasets.clone()),
            webhooks: Webhooks::new(
                store.clone(),
                webhooks.clone(),
                deliveries.clone(),
                clock.clone(),
                TargetRules::default(),
            ),
        };
        Self {
            committer: Committer::new(store.clone(), datasets.clone(), datasets.clone(), clock.clone(), place),
            datasets: datasets.clone(),
            exporter,
            tasks: lambel_http::tasks_app(manager, Pace::new(store.clone(), clock.clone()), config),
            operators: lambel_http::operators_app(
                operators.clone(),
                Supervisors::new(store.clone(), clock.clone()),
                VoteImports::new(store.clone(), store.clone(), clock.clone(), operators),
                Pace::new(store.clone(), clock.clone()),
            ),
            export_queue,
            validator: Validator::new(store.clone(), objects.clone(), messages.clone(), clock.clone()),
            opener: Opener::new(store.clone(), objects.clone(), clock.clone()),
            store,
            objects,
            messages,
            clock,
            webhooks,
            hook: OnceLock::new(),
            deliveries,
        }
    }

    pub(crate) async fn send(&self, caller: Option<Caller>, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.send_text(caller, method, path, body.map(|body| body.to_string()).unwrap_or_default(), "*/*").await
    }

    pub(crate) async fn send_text(
        &self,
        caller: Option<Caller>,
        method: Method,
        path: &str,
        body: impl Into<Body>,
        accept: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("accept", accept);
        if let Some(caller) = caller {
            request = request.extension(caller);
        }
        let request = request.body(body.into()).unwrap();
        let of_operators = ["/api/subtasks", "/api/operators"].iter().any(|prefix| path.starts_with(prefix));
        let of_operators = of_operators || path.ends_with("/votes");
        let app = if of_operators { &self.operators } else { &self.tasks };
        let response = app.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let answer = Answer { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() };
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        answer
    }

    /// All that is stored, to be compared.
    pub(crate) fn stored(&self) -> String {
        format!("{:?} {:?} {:?}", self.store, self.webhooks, self.deliveries)
    }

    pub(crate) async fn task(&self) -> String {
        let body = json!({"name": "t", "labels": ["cat", "dog"], "policy": {"quorum": 1}});
        let answer = self.send(alice(), Method::POST, "/api/tasks", Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        answer.json()["task"].as_str().unwrap().to_owned()
    }

    /// A webhook of alice's, and its secret.
    pub(crate) async fn webhook(&self) -> (String, String) {
        let body = json!({"url": "https://hooks.example.org/lambel", "kinds": ["task.complete"]});
        let answer = self.send(alice(), Method::POST, "/api/webhooks", Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
        // The first one made is the one that paths name.
        let _ = self.hook.set(text("webhook"));
        (text("webhook"), text("secret"))
    }

    /// An entry of a webhook's log, of the event of this number.
    pub(crate) fn attempt(&self, webhook: &str, n: i64, kind: &str, outcome: Outcome) -> Attempt {
        let webhook = webhook.parse().unwrap();
        let (event, time) = (format!("t/{n}"), Timestamp::from_millis(n));
        let at = Timestamp::from_millis(n + i64::from(outcome != Outcome::Failed));
        Attempt {
            at,
            delivery: Delivery {
                webhook,
                scope: Scope::Owner("alice".parse().unwrap()),
                id: DeliveryId::of(webhook, &event, time),
                event,
                kind: kind.to_owned(),
                body: "{}".to_owned(),
                tried: 1,
                begun: time,
                due: time,
            },
            outcome,
            status: Some(200),
            error: None,
            answer: None,
            took_ms: 1,
            next_at: None,
        }
    }

    /// A webhook of alice's with some events in its log: one delivered, one that came to nothing, a test that failed.
    /// The path of the log.
    pub(crate) async fn deliveries_of_some_events(&self) -> String {
        let (id, _) = self.webhook().await;
        for (n, kind, outcome) in [
            (1, "task.complete", Outcome::Delivered),
            (2, TEST, Outcome::Dead),
            (3, "task.complete", Outcome::Failed),
            (3, "task.complete", Outcome::Dead),
        ] {
            self.webhooks.log_attempt(&self.attempt(&id, n, kind, outcome)).await.unwrap();
        }
        format!("/api/webhooks/{id}/deliveries")
    }

    /// Makes a version of a task's data set.
    async fn commit(&self, task: &str) {
        let path = format!("/api/tasks/{task}/dataset/commits");
        let answer = self.send(alice(), Method::POST, &path, Some(json!({}))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
        for request in self.datasets.take_requests() {
            self.committer.hear(&serde_json::to_string(&request).unwrap()).await.unwrap();
        }
    }

    /// Makes the exports that were asked for.
    pub(crate) async fn export(&self) {
        loop {
            let steps = self.export_queue.take();
            if steps.is_empty() {
                return;
            }
            for step in steps {
                self.exporter.hear(&serde_json::to_string(&step).unwrap()).await.unwrap();
            }
        }
    }

    /// Uploads pictures, and makes a version of the data set with them.
    pub(crate) async fn upload(&self, task: &str, n: u32) {
        let files: Vec<_> = lambel_samples::numbered(n, 1).collect();
        let announced: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                json!({"name": name, "bytes": bytes.len(), "media_type": "image/png", "sha256": ImageId::of(bytes)})
            })
            .collect();
        let path = format!("/api/tasks/{task}/uploads");
        let answer = self.send(alice(), Method::POST, &path, Some(json!({ "files": announced }))).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let key = |bytes: &[u8]| ObjectKey { task: task.parse().unwrap(), image: ImageId::of(bytes) };
        let keys: Vec<_> = files.iter().map(|(_, bytes)| key(bytes)).collect();
        for (_, bytes) in files {
            self.objects.upload(key(&bytes), bytes);
        }
        assert!(self.validator.validate(&keys).await.is_empty());
        for message in self.messages.take_new_subtasks() {
            self.opener
                .open(&serde_json::to_string(&message).unwrap(), Instant::now() + Duration::from_secs(60))
                .await
                .unwrap();
        }
        self.commit(task).await;
    }
}
