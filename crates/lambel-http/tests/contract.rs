//! The HTTP interface over the use cases in memory, and its OpenAPI document.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "contract/calibration.rs"]
mod calibration;
#[path = "contract/notes.rs"]
mod notes;
#[path = "contract/reviews.rs"]
mod reviews;
mod support;
#[path = "contract/webhooks.rs"]
mod webhooks;

use std::{collections::HashSet, path::Path, time::Duration};

use axum::http::{Method, StatusCode};
use lambel_core::{ImageId, limits};
use lambel_http::Caller;
use lambel_service::Role;
use serde_json::{Value, json};
use support::{World, admin, alice, operator};

/// The document is a file of the repository, so that a change of the interface shows in the diff.
/// `LAMBEL_BLESS=1` writes it anew.
#[test]
fn the_openapi_document_is_the_one_that_is_published() {
    let made = lambel_http::openapi().to_pretty_json().unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("LAMBEL_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == published,
        "docs/openapi.json is not what the code says; run with LAMBEL_BLESS=1 and look at the diff"
    );
}

#[test]
fn every_answer_of_every_operation_has_a_shape() {
    let document = serde_json::to_value(lambel_http::openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut operations = HashSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(operations.insert(id), "{id} is one operation");
            let what = format!("{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let (query, body) = (parameters.iter().any(|p| p["in"] == "query"), operation.get("requestBody").is_some());
            let mut expected = vec!["401", "403", "404", "429", "500", "503"];
            expected.extend((query || body).then_some(["400", "422"]).iter().flatten());
            expected.extend(body.then_some("413"));
            for status in expected {
                assert!(responses.contains_key(status), "{what} can answer with {status}");
            }
            assert!(!responses.contains_key("default"), "{what} says what it can answer with");
            for (status, response) in responses {
                let content = resolve(&document, response)["content"].as_object().unwrap_or_else(|| panic!("{what}"));
                for (media_type, media) in content {
                    let shape = resolve(&document, &media["schema"]);
                    let named = shape["type"].is_string() || shape["allOf"].is_array();
                    assert!(named, "{what} {status} {media_type}: {shape}");
                }
                let shape = |media_type: &str| content.get(media_type).map(|media| &media["schema"]["$ref"]);
                if !status.starts_with('2') {
                    let problem = json!("#/components/schemas/Problem");
                    assert_eq!(shape("application/problem+json"), Some(&problem), "{what} {status}");
                }
                if ["401", "429", "500", "503"].contains(&status.as_str()) {
                    let message = json!("#/components/schemas/GatewayMessage");
                    assert_eq!(shape("application/json"), Some(&message), "{what} {status}");
                }
            }
        }
    }
    assert_eq!(operations.len(), 55);
}

fn resolve<'a>(document: &'a Value, part: &'a Value) -> &'a Value {
    match part["$ref"].as_str() {
        Some(place) => document.pointer(place.trim_start_matches('#')).unwrap_or_else(|| panic!("{place} is there")),
        None => part,
    }
}

#[tokio::test]
async fn nothing_under_api_answers_without_a_caller() {
    let world = World::new();
    let id = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";
    let image = ImageId::MIN;
    let document = serde_json::to_value(lambel_http::openapi()).unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let path = path
            .replace("{task}", id)
            .replace("{image}", &image.to_string())
            .replace("{operator}", "op-1")
            .replace("{version}", "live")
            .replace("{key}", "report")
            .replace("{export}", &"0".repeat(32));
        let path = path.replace("{webhook}", id);
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = world.send(None, method.clone(), &path, None).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.problem(), "not-signed-in");
        }
    }
}

#[tokio::test]
async fn bad_requests_get_a_problem_that_names_what_is_wrong() {
    let world = World::new();
    let task = world.task().await;
    let before = world.stored();
    let good = json!({"name": "t", "labels": ["cat", "dog"]});
    let with = |key: &str, value: Value| {
        let mut body = good.clone();
        body[key] = value;
        body
    };
    let many: Vec<_> = (0..1_001).map(|n| n.to_string()).collect();
    for (body, status, says) in [
        (with("nmae", json!("x")), 400, "nmae"),
        (json!({"labels": ["a", "b"]}), 400, "name"),
        (with("name", json!("")), 422, "name: 1 to 200"),
        (with("labels", json!(["cat"])), 422, "at least 2"),
        (with("labels", json!(many)), 422, "1000 labels at most, not 1001"),
        (with("labels", json!(["cat", "cat"])), 422, "twice"),
        (with("policy", json!({"quorum": 0})), 422, "policy: quorum is 1 to 100, not 0"),
        (with("policy", json!({"rule": "dictator"})), 400, "dictator"),
        (with("policy", json!({"rule": "lead", "lead": 0})), 422, "policy: lead is 1 to 100, not 0"),
        (
            with("policy", json!({"rule": "adaptive", "confidence": 1})),
            422,
            "policy: confidence is 0.5 to 0.999, not 1",
        ),
        (with("policy", json!({"rule": "adaptive", "confidence": "high"})), 400, "confidence"),
        (with("policy", json!({"gold_rate": 0.6})), 422, "policy: gold_rate is 0 to 0.5, not 0.6"),
        (with("policy", json!({"lead": 2})), 422, "policy: lead does not belong to the rule `majority`"),
        (with("instructions", json!("x".repeat(20_001))), 422, "20000"),
        (with("expected_images", json!(0)), 422, "expected_images"),
    ] {
        let answer = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await;
        assert_eq!(answer.status.as_u16(), status, "{says}: {}", answer.text);
        answer.problem();
        assert!(answer.text.contains(says), "{says}: {}", answer.text);
    }
    for text in ["", "{", "[]", "null"] {
        let answer = world.send_text(alice(), Method::POST, "/api/tasks", text, "*/*").await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, "bad-request"), "{text}");
    }
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(1_000_000));
    let answer = world.send_text(alice(), Method::POST, "/api/tasks", huge, "*/*").await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (413, "body-too-large"));

    let get = async |path: String| {
        let answer = world.send(alice(), Method::GET, &path, None).await;
        (answer.status.as_u16(), answer.problem())
    };
    assert_eq!(get("/api/tasks/nonsense".into()).await, (404, "task-not-found".into()));
    assert_eq!(get(format!("/api/tasks/{task}/images/xyz")).await, (404, "image-not-found".into()));
    assert_eq!(get(format!("/api/tasks/{task}/images?state=weird")).await, (400, "bad-request".into()));
    assert_eq!(get(format!("/api/tasks/{task}/images?colour=red")).await, (400, "bad-request".into()));
    assert_eq!(get(format!("/api/tasks/{task}/results?limit=1001")).await, (422, "invalid".into()));
    assert_eq!(get(format!("/api/tasks/{task}/results?cursor=..")).await, (422, "invalid".into()));
    assert_eq!(get("/api/nothing".into()).await, (404, "route-not-found".into()));
    let put = world.send(alice(), Method::PUT, "/api/tasks", None).await;
    assert_eq!((put.status.as_u16(), put.problem().as_str()), (405, "method-not-allowed"));
    let claim = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(json!({"count": 101}))).await;
    assert_eq!((claim.status.as_u16(), claim.problem().as_str()), (422, "invalid"));
    assert_eq!(world.stored(), before, "nothing of it is stored");
}

#[tokio::test]
async fn roles_are_checked_beside_the_rule() {
    let world = World::new();
    let task = world.task().await;
    let body = json!({"name": "t", "labels": ["a", "b"]});
    for caller in [operator(1), Some(Caller::new("nobody", []))] {
        let answer = world.send(caller, Method::POST, "/api/tasks", Some(body.clone())).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (403, "not-allowed"));
    }
    let claim = json!({"task": task, "count": 1});
    let answer = world.send(alice(), Method::POST, "/api/subtasks/claims", Some(claim)).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (403, "not-allowed"));

    let pause = "/api/operators/op-1/pause";
    for caller in [alice(), operator(1)] {
        for (method, path, body) in [
            (Method::PUT, pause, Some(json!({}))),
            (Method::DELETE, pause, None),
            (Method::GET, "/api/operators/op-1", None),
            (Method::GET, "/api/operators/op-1/audit", None),
        ] {
            let answer = world.send(caller.clone(), method, path, body).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (403, "not-allowed"), "{path}");
            assert!(answer.text.contains("admins"), "{}", answer.text);
        }
    }

    // Somebody else's task answers exactly as one that does not exist.
    let mallory = || Some(Caller::new("mallory", [Role::Client]));
    let theirs = world.send(mallory(), Method::GET, &format!("/api/tasks/{task}"), None).await;
    let nobodys = "/api/tasks/019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";
    let none = world.send(mallory(), Method::GET, nobodys, None).await;
    assert_eq!((theirs.status, theirs.text), (none.status, none.text));
}

#[tokio::test]
async fn a_paused_operator_is_told_so() {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 2).await;
    let claim = json!({"task": task, "count": 2});
    let claimed = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim.clone())).await;
    assert_eq!(claimed.json()["subtasks"].as_array().unwrap().len(), 2);
    let path = "/api/operators/op-1/pause";
    let paused = world.send(admin(), Method::PUT, path, Some(json!({"reason": "asked for"}))).await.json();
    assert_eq!((&paused["paused"], &paused["returned"]), (&json!(true), &json!(2)));
    let refused = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim.clone())).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (403, "paused"));
    assert!(!refused.text.contains("asked for"), "the reason is for the trail");
    let resumed = world.send(admin(), Method::DELETE, path, None).await.json();
    assert_eq!(resumed, json!({"operator": "op-1", "paused": false}));
    let again = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim)).await;
    assert_eq!(again.status, StatusCode::OK);
    let trail = world.send(admin(), Method::GET, "/api/operators/op-1/audit", None).await.json();
    let actions: Vec<_> = trail["entries"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["operator-resumed", "operator-paused"]);
    assert_eq!(
        (&trail["entries"][1]["reason"], &trail["entries"][1]["actor"]["id"]),
        (&json!("asked for"), &json!("root"))
    );
    for bad in ["a b", "%20", "x%00"] {
        let answer =
            world.send(admin(), Method::GET, &format!("/api/operators/{}", bad.replace(' ', "%20")), None).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "invalid"), "{bad}");
    }
}

#[tokio::test]
async fn an_operator_who_is_paused_in_a_task_is_told_so() {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 2).await;
    let claim = json!({"task": task, "count": 2});
    world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim.clone())).await;
    let operators = format!("/api/tasks/{task}/operators");
    let before = world.send(alice(), Method::GET, &operators, None).await.json();
    assert_eq!((&before["measured_at"], &before["operators"]), (&Value::Null, &json!([])));
    assert!(before["explanation"].as_str().unwrap().contains("20 images"));

    let pause = format!("{operators}/op-1/pause");
    let paused = world.send(alice(), Method::PUT, &pause, Some(json!({"reason": "asked for"}))).await.json();
    assert_eq!((&paused["paused"], &paused["returned"]), (&json!(true), &json!(2)));
    let refused = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim.clone())).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (403, "paused-in-task"));
    assert!(!refused.text.contains("asked for"), "the reason is for the trail");
    let shown = world.send(admin(), Method::GET, &format!("{operators}/op-1"), None).await.json();
    assert_eq!((&shown["paused"], &shown["confusions"]), (&json!(true), &json!([])));
    let resumed = world.send(alice(), Method::DELETE, &pause, None).await.json();
    assert_eq!(resumed, json!({"operator": "op-1", "paused": false}));

    for (method, path, body) in [
        (Method::GET, operators.clone(), None),
        (Method::GET, format!("{operators}/op-1"), None),
        (Method::PUT, pause.clone(), Some(json!({}))),
        (Method::DELETE, pause, None),
    ] {
        let own = world.send(operator(1), method.clone(), &path, body.clone()).await;
        assert_eq!((own.status.as_u16(), own.problem().as_str()), (403, "not-allowed"), "{method} {path}");
        let mallory = Some(Caller::new("mallory", [Role::Client]));
        let others = world.send(mallory, method.clone(), &path, body).await;
        assert_eq!((others.status.as_u16(), others.problem().as_str()), (404, "task-not-found"), "{method} {path}");
    }
    let nobody = world.send(alice(), Method::GET, &format!("{operators}/op-9"), None).await;
    assert_eq!((nobody.status.as_u16(), nobody.problem().as_str()), (404, "operator-not-found"));
}

#[tokio::test]
async fn who_asks_without_end_gets_429_and_when_to_go_on() {
    let world = World::new();
    let most = limits::REQUESTS_PER_WINDOW + limits::REQUESTS_UNCOUNTED;
    for n in 0..most {
        let answer = world.send(alice(), Method::GET, "/api/tasks", None).await;
        assert_eq!(answer.status, StatusCode::OK, "{n}");
    }
    let refused = world.send(alice(), Method::GET, "/api/tasks", None).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (429, "too-many-requests"));
    assert!(refused.text.contains("300 requests in 10 seconds"), "{}", refused.text);
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    let other = world.send(Some(Caller::new("bob", [Role::Client])), Method::GET, "/api/tasks", None).await;
    assert_eq!(other.status, StatusCode::OK);
    world.clock.pass(Duration::from_secs(seconds.into()));
    let again = world.send(alice(), Method::GET, "/api/tasks", None).await;
    assert_eq!(again.status, StatusCode::OK, "the header says when");
}

#[tokio::test]
async fn who_may_label_is_said_when_a_task_is_made_and_later() {
    let world = World::new();
    let body = json!({"name": "t", "labels": ["a", "b"], "audience": {"operators": ["Anna"], "teams": ["birds"]}});
    let made = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await.json();
    assert_eq!(made["audience"], json!({"operators": ["anna"], "teams": ["birds"]}));
    let path = format!("/api/tasks/{}/audience", made["task"].as_str().unwrap());
    let opened = world.send(alice(), Method::PUT, &path, Some(json!({"everyone": true}))).await;
    assert_eq!(opened.json()["audience"], json!({"everyone": true}));
    let many: Vec<_> = (0..201).map(|n| format!("o{n}")).collect();
    for (bad, says) in [
        (json!({}), "everyone"),
        (json!({"operators": []}), "everyone"),
        (json!({"operators": many}), "200 operators at most"),
        (json!({"teams": ["Birds"]}), "team name"),
        (json!({"operators": ["a b"]}), "account name"),
    ] {
        let answer = world.send(alice(), Method::PUT, &path, Some(bad)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (422, "invalid"), "{says}");
        assert!(answer.text.contains(says), "{says}: {}", answer.text);
    }
    let unknown = world.send(alice(), Method::PUT, &path, Some(json!({"everybody": true}))).await;
    assert_eq!((unknown.status.as_u16(), unknown.problem().as_str()), (400, "bad-request"));
    assert!(unknown.text.contains("everybody"), "{}", unknown.text);
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let world = World::new();
    for path in ["/", "/config.json", "/openapi.json", "/api/tasks", "/nothing", "/problems/invalid"] {
        let answer = world.send(alice(), Method::GET, path, None).await;
        let header = |name: &str| answer.header(name).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert!(header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(header("strict-transport-security").contains("max-age="), "{path}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert!(header("permissions-policy").contains("camera=()"), "{path}");
    }
}

#[tokio::test]
async fn the_job_over_http() {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 5).await;
    let claim = json!({"task": task, "count": 5});
    let claimed = world.send(operator(1), Method::POST, "/api/subtasks/claims", Some(claim)).await.json();
    let subtasks = claimed["subtasks"].as_array().unwrap();
    assert_eq!(subtasks.len(), 5);
    assert_eq!(claimed["tasks"][0]["labels"], json!(["cat", "dog"]));
    assert!(!claimed.to_string().contains("alice"), "operators never learn who the client is");
    let back = json!({"subtasks": [{"task": task, "image": subtasks[4]["image"]}]});
    let back = world.send(operator(1), Method::DELETE, "/api/subtasks/claims", Some(back)).await;
    assert_eq!(back.json(), json!({"returned": 1}));
    let votes: Vec<_> =
        subtasks[..4].iter().map(|s| json!({"task": task, "image": s["image"], "label": "dog"})).collect();
    let voted = world.send(operator(1), Method::POST, "/api/subtasks/labels", Some(json!({ "votes": votes }))).await;
    assert!(voted.json()["votes"].as_array().unwrap().iter().all(|vote| vote["outcome"] == "counted"));
    let work = world.send(operator(2), Method::GET, "/api/subtasks/work", None).await.json();
    assert_eq!(work["tasks"][0]["undecided"], 1);

    let path = format!("/api/tasks/{task}/results");
    let page = world.send(alice(), Method::GET, &format!("{path}?limit=2"), None).await.json();
    assert_eq!(page["rows"].as_array().unwrap().len(), 2);
    assert!(page["next"].is_string());

    let lines = |path: String| {
        world.send_text(alice(), Method::GET, Box::leak(path.into_boxed_str()), "", "application/x-ndjson")
    };
    let whole = lines(path.clone()).await;
    assert_eq!((whole.media_type(), whole.header("link")), ("application/x-ndjson", None));
    let rows: Vec<Value> = whole.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!(rows.iter().filter(|row| row["label"] == "dog").count(), 4);
    let part = lines(format!("{path}?limit=3")).await;
    assert_eq!(part.text.lines().count(), 3);
    let link = part.header("link").unwrap();
    let query = link.strip_prefix('<').and_then(|rest| rest.split_once('>')).unwrap().0;
    let rest = lines(format!("{path}{query}")).await;
    assert_eq!(rest.header("link"), None);
    assert_eq!(part.text.clone() + &rest.text, whole.text, "the parts make the whole");

    let sealed =
        world.send(alice(), Method::POST, &format!("/api/tasks/{task}/seal"), Some(json!({"images": 5}))).await;
    assert_eq!(sealed.json()["state"], "sealed");
    let few = world.send(alice(), Method::POST, &format!("/api/tasks/{task}/seal"), Some(json!({"images": 4}))).await;
    assert_eq!((few.status.as_u16(), few.problem().as_str()), (409, "conflict"));
    let cancelled = world.send(alice(), Method::DELETE, &format!("/api/tasks/{task}"), None).await;
    assert_eq!(cancelled.json()["state"], "cancelled");
    let late = world.send(alice(), Method::POST, &format!("/api/tasks/{task}/seal"), Some(json!({"images": 6}))).await;
    assert_eq!((late.status.as_u16(), late.problem().as_str()), (409, "task-ended"));
}

#[tokio::test]
async fn the_open_pages() {
    let world = World::new();
    let start = world.send(None, Method::GET, "/", None).await;
    assert!(start.media_type().starts_with("text/html") && start.text.contains("Lambel"));
    let document = world.send(None, Method::GET, "/openapi.json", None).await;
    assert_eq!(document.json(), serde_json::to_value(lambel_http::openapi()).unwrap());
    let config = world.send(None, Method::GET, "/config.json", None).await;
    assert_eq!(config.json()["user_pool_id"], "pool");
    let problem = world.send(None, Method::GET, "/problems/task-not-found", None).await;
    assert_eq!(problem.status, StatusCode::OK);
    assert_eq!(world.send(None, Method::GET, "/problems/none", None).await.problem(), "route-not-found");
}

#[tokio::test]
async fn a_version_is_asked_for_and_shown() {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 2).await;
    let at = |rest: &str| format!("/api/tasks/{task}/dataset/{rest}");
    let get = async |rest: &str| world.send(alice(), Method::GET, &at(rest), None).await;
    let refs = get("refs").await.json();
    assert_eq!(refs["branches"][0]["branch"], "live");
    assert_eq!(refs["answered"]["commit"], refs["branches"][0]["commit"]);
    let shown = get("commits/live~0").await.json();
    assert_eq!((&shown["commit"], &shown["statistics"]["images"]), (&refs["branches"][0]["commit"], &json!(2)));
    assert_eq!(get("log").await.json()["commits"], json!([shown]));
    let body = json!({"version": "live"});
    let released = world.send(alice(), Method::POST, &at("release"), Some(body)).await;
    assert_eq!((released.status, &released.json()["new"]), (StatusCode::OK, &json!(true)));
    let image = world.send(admin(), Method::GET, &format!("/api/tasks/{task}/images"), None).await.json();
    let blame = get(&format!("blame?image={}", image["images"][0]["image"].as_str().unwrap())).await;
    assert_eq!(blame.json()["status"], "unlabelled");
    assert_eq!(get("diff?a=live&b=released").await.json()["changes"], json!([]));
}

#[tokio::test]
async fn an_export_is_asked_for_and_shown() {
    let world = World::new();
    let task = world.task().await;
    let at = |rest: &str| format!("/api/tasks/{task}/dataset/exports{rest}");
    let ask = async |body: Value| world.send(alice(), Method::POST, &at(""), Some(body)).await;
    let get = async |rest: &str| world.send(alice(), Method::GET, &at(rest), None).await;
    let early = ask(json!({"format": "csv"})).await;
    assert_eq!((early.status, early.problem()), (StatusCode::NOT_FOUND, "version-not-found".to_owned()));
    world.upload(&task, 2).await;

    let asked = ask(json!({"format": "csv"})).await;
    assert_eq!((asked.status, &asked.json()["state"]), (StatusCode::ACCEPTED, &json!("waiting")));
    let id = asked.json()["export"].as_str().unwrap().to_owned();
    world.export().await;
    let done = get(&format!("/{id}")).await.json();
    assert_eq!((&done["state"], &done["rows_done"], &done["rows"]), (&json!("complete"), &json!(2), &json!(2)));
    let file = &done["files"][0];
    assert_eq!((&file["name"], &file["images"]), (&json!("rows.csv"), &json!(2)));
    assert!(file["url"].is_string() && file["sha256"].as_str().unwrap().len() == 64);
    let listed = get("").await.json();
    assert_eq!((&listed["exports"][0]["export"], listed["exports"][0].get("files")), (&json!(id), None));
    assert_eq!(get("/00000000000000000000000000000000").await.problem(), "export-not-found");

    for (body, status, says) in [
        (json!({}), 400, "format"),
        (json!({"format": "xlsx"}), 400, "xlsx"),
        (json!({"format": "csv", "version": "nothing"}), 404, "nothing"),
        (json!({"format": "csv", "options": {"attribute": "x"}}), 422, "options.attribute"),
        (json!({"format": "coco", "options": {"min_confidence": 1.1}}), 422, "options.min_confidence"),
        (json!({"format": "manifest", "options": {"attribute": "a-metadata"}}), 422, "options.attribute"),
        (json!({"format": "manifest", "options": {"address_prefix": ""}}), 422, "options.address_prefix"),
        (json!({"format": "csv", "options": {"each": true}}), 400, "each"),
    ] {
        let answer = ask(body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text);
    }
    assert_eq!(get("").await.json()["exports"].as_array().unwrap().len(), 1, "nothing of it was kept");
}

#[tokio::test]
async fn versions_that_cannot_be_are_refused() {
    let world = World::new();
    let task = world.task().await;
    world.upload(&task, 1).await;
    let at = |rest: &str| format!("/api/tasks/{task}/dataset/{rest}");
    let long = "a".repeat(2_000);
    let versions =
        ["main", "%00", "%2e%2e", "live~", "live~-1", "live~1001", "live~1", "0000", "%ff", "LIVE", "~", &long];
    for version in versions {
        for path in [format!("commits/{version}"), format!("log?from={version}"), format!("diff?a=live&b={version}")] {
            let answer = world.send(alice(), Method::GET, &at(&path), None).await;
            assert!([400, 404, 422].contains(&answer.status.as_u16()), "{path:.60}: {}", answer.text);
            answer.problem();
        }
    }
    for (path, status) in [
        ("diff", 400),
        ("diff?a=live&b=live&limit=1001", 422),
        ("diff?a=live&b=live&cursor=x", 422),
        ("log?limit=101", 422),
        ("blame", 400),
        ("blame?image=nobody.png", 404),
        ("blame?image=..%2F..", 404),
    ] {
        let answer = world.send(alice(), Method::GET, &at(path), None).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text);
        answer.problem();
    }
    for (path, body, status, says) in [
        ("commits", json!({"message": ""}), 422, "message"),
        ("commits", json!({"message": "a\u{0}b"}), 422, "message"),
        ("commits", json!({"message": long}), 422, "message"),
        ("rollback", json!({"version": "live", "branch": "main"}), 422, "branch"),
        ("rollback", json!({"version": "nothing"}), 404, "nothing"),
        ("release", json!({}), 400, "version"),
        ("tags", json!({"tag": "a b"}), 422, "tag"),
        ("tags", json!({"tag": "released"}), 409, "branch"),
    ] {
        let answer = world.send(alice(), Method::POST, &at(path), Some(body.clone())).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {body:.60}: {}", answer.text);
        assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text);
    }
}
