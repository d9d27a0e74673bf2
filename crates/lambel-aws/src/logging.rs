//! What reaches the logs, and what cannot.
//!
//! A line is an object of JSON on standard output: level, message, target, and fields.
//! Only fields of [`FIELDS`] are written; of any other the line says that it was left out, so that a secret that
//! somebody logs by mistake does not get there. Values that look like a signature or a token are taken out all the
//! same. Libraries are heard only when they warn: at finer levels some of them print whole requests, with headers.

use std::{fmt, io::Write};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{EnvFilter, Layer, layer::Context, layer::SubscriberExt, util::SubscriberInitExt};

/// The fields that a line may have. Each is an id, a count, a code, or the words of an error.
const FIELDS: &[&str] = &[
    "accepted",
    "because",
    "caller",
    "comeback",
    "deliveries",
    "commit",
    "commit.new",
    "error",
    "events",
    "gold",
    "gold.majority",
    "gold.model",
    "image",
    "image.found",
    "images",
    "images.new",
    "images.rejected",
    "labels",
    "leases",
    "last",
    "limit_s",
    "message",
    "message.id",
    "message.receives",
    "object.key",
    "operator",
    "operators",
    "outcome",
    "pieces",
    "refusal.code",
    "rejected",
    "status",
    "reopened",
    "revised",
    "subtasks",
    "task",
    "task.known",
    "tries",
    "uploads",
    "votes",
    "walks",
    "webhook",
];

/// Our own programs, by the beginnings of their targets.
const OURS: &[&str] = &[
    "lambel",
    "task_api",
    "image_validator",
    "subtask_opener",
    "operator_api",
    "event_publisher",
    "task_progress",
    "dataset_committer",
    "dataset_exporter",
    "dataset_report",
    "skill_estimator",
    "sweeper",
    "webhook_sender",
];

/// What a value must not contain: parts of presigned addresses, headers and tokens.
const SECRETS: &[&str] = &[
    "x-amz-signature",
    "x-amz-security-token",
    "x-amz-credential",
    "whsec_",
    "bearer ",
    "authorization",
    "eyj",
    "password",
];

/// Starts writing events as lines of JSON, from the level that `RUST_LOG` says.
pub fn start_logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    if tracing_subscriber::registry().with(filter).with(Lines).try_init().is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Writes each event as a line.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(line) = line(event) {
            // There is nobody to tell that the log is gone.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

/// The line of an event; none if it is not to be written.
fn line(event: &Event<'_>) -> Option<Value> {
    let about = event.metadata();
    let ours = OURS.iter().any(|prefix| about.target().starts_with(prefix));
    if !ours && *about.level() > Level::WARN {
        return None;
    }
    let mut fields = Fields::default();
    event.record(&mut fields);
    let mut line = Map::new();
    // Lambda adds the time to each line itself.
    line.insert("level".to_owned(), about.level().as_str().into());
    line.insert("target".to_owned(), about.target().into());
    line.extend(fields.written);
    if !fields.left_out.is_empty() {
        line.insert("left_out".to_owned(), fields.left_out.into());
    }
    Some(line.into())
}

#[derive(Default)]
struct Fields {
    written: Map<String, Value>,
    left_out: Vec<&'static str>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match FIELDS.contains(&field.name()) {
            true => drop(self.written.insert(field.name().to_owned(), value)),
            false => self.left_out.push(field.name()),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, clean(value).into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, clean(&format!("{value:?}")).into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// A text without its words that look like secrets.
fn clean(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if !SECRETS.iter().any(|secret| lower.contains(secret)) {
        return text.to_owned();
    }
    "(left out: it holds something like a secret)".to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Collects lines instead of writing them.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Value>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().unwrap().extend(line(event));
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept.clone()), log);
        let lines = kept.0.lock().unwrap();
        lines.clone()
    }

    #[test]
    fn only_fields_of_the_list_are_written() {
        let lines = lines(|| tracing::info!(task = %"t", images = 3, token = "s3cret", "images recorded"));
        let expected = serde_json::json!({
            "level": "INFO", "target": module_path!(), "message": "images recorded", "task": "t", "images": 3,
            "left_out": ["token"],
        });
        assert_eq!(lines, [expected]);
    }

    /// Every field that the programs log, read out of their sources, so that none is left out by mistake.
    #[test]
    fn the_list_has_every_field_that_is_logged() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut folders: Vec<_> =
            ["crates/lambel-aws/src", "crates/lambel-service/src", "crates/lambel-http/src", "functions"]
                .map(|folder| root.join(folder))
                .into();
        let mut calls = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|extension| extension == "rs") {
                    let source = std::fs::read_to_string(&entry).unwrap();
                    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
                    for call in ["error!(", "warn!(", "info!(", "debug!("].iter().flat_map(|name| {
                        let name = format!("tracing::{name}");
                        source
                            .split(&name)
                            .skip(1)
                            .map(|rest| rest.split('"').next().unwrap_or_default())
                            .collect::<Vec<_>>()
                    }) {
                        calls += 1;
                        // Before the message stand fields: `%name`, `?name`, `name`, or `name = value`.
                        for part in call.split(',').map(str::trim).filter(|part| !part.is_empty()) {
                            let name = part.split(" = ").next().unwrap_or_default().trim_start_matches(['%', '?']);
                            assert!(FIELDS.contains(&name), "{}: `{name}` is not on the list", entry.display());
                        }
                    }
                }
            }
        }
        assert!(calls > 25, "{calls} calls were found");
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        for secret in [
            "https://bucket/key?X-Amz-Signature=abc",
            "Bearer abc",
            "invalid token eyJhbGciOiJSUzI1NiJ9.x.y",
            "{\"Password\":\"x\"}",
        ] {
            let lines = lines(|| tracing::error!(error = %secret, "it says {secret}"));
            let text = lines[0].to_string();
            assert!(!text.contains(secret) && text.contains("something like a secret"), "{text}");
        }
    }

    #[test]
    fn libraries_are_heard_only_when_they_warn() {
        let lines = lines(|| {
            tracing::debug!(target: "aws_smithy_runtime", "request: Request {{ headers: ... }}");
            tracing::info!(target: "hyper", "x");
            tracing::warn!(target: "hyper", "connection lost");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "connection lost");
    }
}
