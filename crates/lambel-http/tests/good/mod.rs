//! A request of every operation that has a body: good ones, to be spoiled.

use std::time::Duration;

use axum::http::Method;
use lambel_core::{ImageId, limits};
use lambel_http::Caller;
use serde_json::{Value, json};

use crate::support::{Answer, World, admin, alice, operator};

// What those are called that are spoiled in ways of their own.
pub(crate) const TASKS: &str = "POST /api/tasks";
pub(crate) const UPLOADS: &str = "POST /api/tasks/{task}/uploads";
pub(crate) const SEAL: &str = "POST /api/tasks/{task}/seal";
pub(crate) const AUDIENCE: &str = "PUT /api/tasks/{task}/audience";
pub(crate) const CLAIMS: &str = "POST /api/subtasks/claims";
pub(crate) const RETURNS: &str = "DELETE /api/subtasks/claims";
pub(crate) const LABELS: &str = "POST /api/subtasks/labels";
pub(crate) const PAUSE: &str = "PUT /api/operators/{operator}/pause";
pub(crate) const IMPORTS: &str = "POST /api/tasks/{task}/imports";
pub(crate) const VOTES: &str = "POST /api/tasks/{task}/votes";
pub(crate) const WEBHOOKS: &str = "POST /api/webhooks";
pub(crate) const TASK_WEBHOOKS: &str = "POST /api/tasks/{task}/webhooks";
pub(crate) const WEBHOOK: &str = "PATCH /api/webhooks/{webhook}";
pub(crate) const REDELIVERIES: &str = "POST /api/webhooks/{webhook}/redeliveries";
pub(crate) const PAUSE_IN_TASK: &str = "PUT /api/tasks/{task}/operators/{operator}/pause";
pub(crate) const GOLD: &str = "POST /api/tasks/{task}/gold";

/// The import that votes from outside belong to.
pub(crate) const IMPORT: &str = "of-today";

/// The path of a note, which may say anything.
pub(crate) const NOTE: &str = "/api/tasks/{task}/dataset/commits/{version}/notes/{key}";

/// A request that would go through as it is.
pub(crate) struct Good {
    pub(crate) caller: Option<Caller>,
    pub(crate) method: Method,
    /// Its path, as the interface document has it.
    pub(crate) template: &'static str,
    pub(crate) path: String,
    pub(crate) body: Value,
}

impl Good {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) async fn with(&self, world: &World, body: impl Into<axum::body::Body>) -> Answer {
        // So slowly that no request is counted, which would be stored.
        world.clock.pass(Duration::from_secs(limits::REQUEST_WINDOW_SECONDS.into()));
        let path = self.path.replace("{webhook}", world.hook.get().map_or("none", String::as_str));
        world.send_text(self.caller.clone(), self.method.clone(), &path, body, "*/*").await
    }
}

/// A cursor of a webhook's log.
pub(crate) const CURSOR: &str = "msg_019aa5a05c1e80be2ca64eef1f7aa759f498.001795250820000";

fn webhook() -> Value {
    json!({"url": "https://hooks.example.org/lambel", "kinds": ["task.complete", "subtask.disputed"]})
}

/// One request of every operation that has a body.
pub(crate) fn bodies(task: &str) -> Vec<Good> {
    let good = |caller: Option<Caller>, method, template: &'static str, body| {
        let path = template.replace("{task}", task).replace("{operator}", "op-1");
        let path = path.replace("{version}", "live").replace("{key}", "report");
        Good { caller, method, template, path, body }
    };
    let (image, label) = (ImageId::MIN, "cat");
    vec![
        good(
            alice(),
            Method::POST,
            "/api/tasks",
            json!({
                "name": "t", "labels": ["cat", "dog"], "instructions": "look", "expected_images": 5,
                "policy": {
                    "rule": "majority", "quorum": 2, "max_labels": 5, "max_abstentions": 3, "lease_seconds": 60,
                    "pause_flagged": true, "disputed": "review",
                    "commit_every_decisions": 10, "commit_every_minutes": 60, "release_when": "complete",
                },
                "audience": {"everyone": false, "operators": ["anna"], "teams": ["birds"]},
            }),
        ),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/uploads",
            json!({"files": [{"name": "a.png", "bytes": 5, "media_type": "image/png", "sha256": image}]}),
        ),
        good(alice(), Method::POST, "/api/tasks/{task}/seal", json!({"images": 5})),
        good(alice(), Method::PUT, "/api/tasks/{task}/audience", json!({"operators": ["anna"], "teams": ["birds"]})),
        good(operator(1), Method::POST, "/api/subtasks/claims", json!({"task": task, "count": 1})),
        good(
            operator(1),
            Method::DELETE,
            "/api/subtasks/claims",
            json!({"subtasks": [{"task": task, "image": image}]}),
        ),
        good(
            operator(1),
            Method::POST,
            "/api/subtasks/labels",
            json!({"votes": [
                {"task": task, "image": image, "label": label, "elapsed_ms": 5},
                {"task": task, "image": image, "abstain": "unclear"},
            ]}),
        ),
        good(admin(), Method::PUT, "/api/operators/{operator}/pause", json!({"reason": "asked for"})),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/imports",
            json!({"import": IMPORT, "source": "label-studio", "images": 1, "votes": 2}),
        ),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/votes",
            json!({"import": IMPORT, "votes": [
                {"image": image, "operator": "import:label-studio:1", "label": label, "elapsed_ms": 5},
                {"image": image, "operator": "model:tiny@1", "abstain": "unclear", "at": "2026-11-21T08:47:00.123Z"},
            ]}),
        ),
        good(alice(), Method::POST, "/api/webhooks", webhook()),
        good(alice(), Method::POST, "/api/tasks/{task}/webhooks", webhook()),
        good(
            alice(),
            Method::PATCH,
            "/api/webhooks/{webhook}",
            json!({"url": "https://hooks.example.org/b", "kinds": ["task.cancelled"], "enabled": true}),
        ),
        good(alice(), Method::POST, "/api/webhooks/{webhook}/redeliveries", json!({"cursor": CURSOR})),
        good(alice(), Method::PUT, "/api/tasks/{task}/operators/{operator}/pause", json!({"reason": "asked for"})),
        good(alice(), Method::POST, "/api/tasks/{task}/dataset/commits", json!({"message": "now"})),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/dataset/rollback",
            json!({"version": "live", "branch": "live", "message": "back"}),
        ),
        good(alice(), Method::POST, "/api/tasks/{task}/dataset/tags", json!({"tag": "v1", "version": "live"})),
        good(alice(), Method::POST, "/api/tasks/{task}/dataset/release", json!({"version": "live", "message": "good"})),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/gold",
            json!({"gold": [{"name": "a.png", "label": label}, {"image": image, "label": label}]}),
        ),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/dataset/exports",
            json!({"version": "live", "format": "manifest", "options": {
                "only_labelled": true, "attribute": "label", "address_prefix": "s3://b/",
            }}),
        ),
        good(alice(), Method::PUT, NOTE, json!({"value": "looked at"})),
        good(
            alice(),
            Method::POST,
            "/api/tasks/{task}/reviews",
            json!({"reviews": [{"image": image, "label": label}, {"name": "a.png", "keep": true}]}),
        ),
    ]
}

/// The one of this name: its method and its path, as the interface document has it.
pub(crate) fn the<'a>(bodies: &'a [Good], name: &str) -> &'a Good {
    bodies.iter().find(|good| format!("{} {}", good.method, good.template) == name).unwrap()
}
