//! Disputed images as clients see them.

use axum::http::{Method, StatusCode};
use lambel_http::Caller;
use lambel_service::Role;
use serde_json::{Value, json};

use crate::support::{Answer, World, admin, alice, operator};

/// A task that waits for reviews, with images on which two operators disagree: the path of the task, and the images.
async fn disputed(world: &World, images: u32) -> (String, Vec<Value>) {
    let policy = json!({"quorum": 2, "max_labels": 2, "disputed": "review"});
    let body = json!({"name": "t", "labels": ["cat", "dog"], "policy": policy});
    let made = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await.json();
    assert_eq!(made["policy"]["disputed"], "review");
    let task = made["task"].as_str().unwrap();
    world.upload(task, images).await;
    for (who, label) in [(1, "cat"), (2, "dog")] {
        let claim = json!({"task": task, "count": images});
        let claimed = world.send(operator(who), Method::POST, "/api/subtasks/claims", Some(claim)).await.json();
        let vote = |handed: &Value| json!({"task": task, "image": handed["image"], "label": label});
        let votes: Vec<Value> = claimed["subtasks"].as_array().unwrap().iter().map(vote).collect();
        let voted =
            world.send(operator(who), Method::POST, "/api/subtasks/labels", Some(json!({"votes": votes}))).await;
        assert_eq!(voted.status, StatusCode::OK, "{}", voted.text);
    }
    let path = format!("/api/tasks/{task}");
    let list = world.send(alice(), Method::GET, &format!("{path}/images?state=disputed"), None).await.json();
    let images = list["images"].as_array().unwrap().iter().map(|image| image["image"].clone()).collect();
    (path, images)
}

async fn review(world: &World, who: Option<Caller>, task: &str, reviews: Value) -> Answer {
    world.send(who, Method::POST, &format!("{task}/reviews"), Some(json!({ "reviews": reviews }))).await
}

#[tokio::test]
async fn what_waits_is_listed_and_decided() {
    let world = World::new();
    let (task, images) = disputed(&world, 2).await;
    assert_eq!(images.len(), 2);
    let sealed = world.send(alice(), Method::POST, &format!("{task}/seal"), Some(json!({"images": 2}))).await;
    assert_eq!(sealed.json()["state"], "sealed", "it waits");
    let reviews = json!([{"image": images[0], "label": "dog"}, {"image": images[1], "keep": true}]);
    let answer = review(&world, alice(), &task, reviews.clone()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let said = answer.json();
    assert_eq!(said["reviews"][0], json!({"image": images[0], "outcome": "reviewed", "label": "dog"}));
    assert_eq!(said["reviews"][1], json!({"image": images[1], "outcome": "reviewed", "label": "cat"}));
    let shown = world.send(alice(), Method::GET, &task, None).await.json();
    assert_eq!((&shown["state"], &shown["progress"]["disputed"]), (&json!("complete"), &json!(0)));
    let image = images[0].as_str().unwrap();
    let shown = world.send(alice(), Method::GET, &format!("{task}/images/{image}"), None).await.json();
    assert_eq!((&shown["state"], &shown["label"]), (&json!("complete"), &json!("dog")));
    assert_eq!((&shown["decided_by"], &shown["reviewed_by"]), (&json!("review"), &json!("alice")));
    let trail = world.send(alice(), Method::GET, &format!("{task}/audit"), None).await.json();
    assert_eq!(trail["entries"][1]["action"], "disputes-reviewed");
    assert_eq!(trail["entries"][1]["images"], 2);
    let over = review(&world, alice(), &task, reviews).await;
    assert_eq!((over.status.as_u16(), over.problem().as_str()), (409, "task-ended"));
}

#[tokio::test]
async fn who_and_how_much_is_checked() {
    let world = World::new();
    let (task, images) = disputed(&world, 1).await;
    let before = world.stored();
    let one = json!([{"image": images[0], "keep": true}]);
    let mallory = Some(Caller::new("mallory", [Role::Client]));
    for (who, status, problem) in [(mallory, 404, "task-not-found"), (operator(1), 403, "not-allowed")] {
        let refused = review(&world, who, &task, one.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (status, problem));
    }
    for reviews in [json!([]), Value::Array(vec![one[0].clone(); 101])] {
        let refused = review(&world, alice(), &task, reviews).await;
        assert_eq!(refused.status.as_u16(), 422, "{}", refused.text);
        assert!(refused.text.contains("reviews: 1 to 100 images in one request"), "{}", refused.text);
    }
    // Each alone: what it says is refused with a reason, and the request is not.
    for (fields, code) in [
        (json!({"image": images[0]}), "no-label"),
        (json!({"image": images[0], "label": "cow"}), "unknown-label"),
        (json!({"image": images[0], "label": "dog", "keep": true}), "no-label"),
        (json!({"image": "0".repeat(64), "keep": true}), "image-not-found"),
        (json!({"name": "", "keep": true}), "unknown-name"),
        (json!({"name": "../a\u{0}b", "keep": true}), "unknown-name"),
        (json!({"keep": true}), "no-image"),
    ] {
        let answer = review(&world, alice(), &task, json!([fields])).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let receipt = &answer.json()["reviews"][0];
        assert_eq!((&receipt["outcome"], &receipt["code"]), (&json!("refused"), &json!(code)), "{fields}");
        assert!(receipt["detail"].is_string());
    }
    assert_eq!(world.stored(), before, "nothing of this is written");
    let decided = review(&world, admin(), &task, one).await.json();
    assert_eq!(decided["reviews"][0]["outcome"], "reviewed", "admins may");
}

#[tokio::test]
async fn a_policy_says_one_of_three_things() {
    let world = World::new();
    for disputed in [json!("maybe"), json!(""), json!(1), json!(["review"])] {
        let body = json!({"name": "t", "labels": ["cat", "dog"], "policy": {"disputed": disputed}});
        let refused = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await;
        assert!(refused.status.is_client_error(), "{disputed}: {}", refused.text);
        refused.problem();
    }
    let body = json!({"name": "t", "labels": ["cat", "dog"]});
    let made = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await.json();
    assert_eq!(made["policy"]["disputed"], "marked", "as it always was");
}
