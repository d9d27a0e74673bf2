//! Notes of versions over HTTP.

use axum::http::Method;
use lambel_core::limits;
use lambel_http::Caller;
use lambel_service::Role;
use serde_json::{Value, json};

use crate::support::{Answer, World, admin, alice, operator};

/// A task with a version, and the path of that version's notes.
async fn versioned(world: &World) -> String {
    let task = world.task().await;
    world.upload(&task, 1).await;
    format!("/api/tasks/{task}/dataset/commits/live/notes")
}

async fn get(world: &World, path: &str) -> Answer {
    world.send(alice(), Method::GET, path, None).await
}

async fn put(world: &World, who: Option<Caller>, path: &str, value: Value) -> Answer {
    world.send(who, Method::PUT, path, Some(json!({ "value": value }))).await
}

#[tokio::test]
async fn a_version_is_noted_upon_and_the_last_word_stands() {
    let world = World::new();
    let notes = versioned(&world).await;
    let live = get(&world, notes.strip_suffix("/notes").unwrap()).await.json()["commit"].clone();
    assert_eq!(get(&world, &notes).await.json(), json!({"commit": live, "notes": []}));
    assert_eq!(get(&world, &format!("{notes}/f1")).await.problem(), "note-not-found");

    let anna = Caller::new("alice", [Role::Client]).named("anna".parse().ok());
    let first = put(&world, Some(anna), &format!("{notes}/f1"), json!({"macro": 0.91})).await;
    assert_eq!(first.status, 200, "{}", first.text);
    assert_eq!((&first.json()["commit"], &first.json()["note"]["by"]["name"]), (&live, &json!("anna")));
    put(&world, alice(), &format!("{notes}/checked"), json!("by hand")).await;
    let at = first.json()["note"]["at"].clone();
    world.clock.pass(std::time::Duration::from_secs(60));
    // An admin may, and the note says so.
    let second = put(&world, admin(), &format!("{notes}/f1"), json!({"macro": 0.93})).await.json()["note"].clone();
    assert_eq!(second["by"], json!({"id": "root"}));
    assert!(second["at"].as_str() > at.as_str(), "{second}");

    assert_eq!(get(&world, &format!("{notes}/f1")).await.json(), second);
    let listed = get(&world, &notes).await.json();
    let keys: Vec<_> = listed["notes"].as_array().unwrap().iter().map(|note| (&note["key"], &note["value"])).collect();
    assert_eq!(keys, [(&json!("checked"), &json!("by hand")), (&json!("f1"), &json!({"macro": 0.93}))]);
    // The version itself is what it was, and is found by its id too.
    let by_id = notes.replace("live", live.as_str().unwrap());
    assert_eq!(get(&world, &by_id).await.json(), listed);
}

#[tokio::test]
async fn notes_are_their_clients_business() {
    let world = World::new();
    let notes = versioned(&world).await;
    put(&world, alice(), &format!("{notes}/f1"), json!(1)).await;
    let bob = Some(Caller::new("bob", [Role::Client]));
    for (who, problem) in [(bob, "task-not-found"), (operator(1), "not-allowed")] {
        let note = format!("{notes}/f1");
        assert_eq!(put(&world, who.clone(), &note, json!(2)).await.problem(), problem);
        for path in [&notes, &note] {
            assert_eq!(world.send(who.clone(), Method::GET, path, None).await.problem(), problem);
        }
    }
    assert_eq!(get(&world, &format!("{notes}/f1")).await.json()["value"], 1);
}

#[tokio::test]
async fn notes_that_cannot_be_are_refused() {
    let world = World::new();
    let notes = versioned(&world).await;
    let long = "k".repeat(limits::NOTE_KEY_CHARS + 1);
    for key in ["-a", "..a", "a%20b", "%00", "%C3%A4", &long] {
        let path = format!("{notes}/{key}");
        let refused = put(&world, alice(), &path, json!(1)).await;
        assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (422, "invalid"), "{key}");
        assert_eq!(get(&world, &path).await.problem(), "note-not-found", "{key}");
    }
    let missing = notes.replace("live", "nothing");
    assert_eq!(put(&world, alice(), &format!("{missing}/a"), json!(1)).await.problem(), "version-not-found");
    assert_eq!(get(&world, &missing).await.problem(), "version-not-found");

    // As JSON a text has its quotes too.
    let text = "x".repeat(limits::NOTE_BYTES - 2);
    assert_eq!(put(&world, alice(), &format!("{notes}/k00"), json!(text)).await.status, 200);
    let too_long = put(&world, alice(), &format!("{notes}/k00"), json!(text + "x")).await;
    assert_eq!(too_long.problem(), "invalid");
    assert!(too_long.text.contains("32000 bytes of JSON at most, not 32001"), "{}", too_long.text);

    for n in 1..limits::NOTES_PER_VERSION {
        assert_eq!(put(&world, alice(), &format!("{notes}/k{n:02}"), json!(n)).await.status, 200);
    }
    assert_eq!(put(&world, alice(), &format!("{notes}/more"), json!(1)).await.problem(), "conflict");
    assert_eq!(put(&world, alice(), &format!("{notes}/k07"), json!("again")).await.status, 200, "it is there already");
    assert_eq!(get(&world, &notes).await.json()["notes"].as_array().unwrap().len(), limits::NOTES_PER_VERSION);
}
