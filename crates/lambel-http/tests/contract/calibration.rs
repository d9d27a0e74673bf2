//! Calibrated confidences over HTTP: wherever one is read.

use axum::http::Method;
use lambel_core::{
    Timestamp,
    consensus::{Alarm, Calibrated, Calibration},
};
use lambel_service::ports::{QualityStore, TaskQuality};
use serde_json::{Value, json};

use super::support::{World, alice, operator};

async fn get(world: &World, path: &str) -> Value {
    world.send(alice(), Method::GET, path, None).await.json()
}

fn is_about(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|number| (number - expected).abs() < 1e-3)
}

/// A task with one image on which two have said `cat`, decided for it.
async fn decided(world: &World, policy: Value) -> (String, String) {
    let body = json!({"name": "t", "labels": ["cat", "dog"], "policy": policy});
    let made = world.send(alice(), Method::POST, "/api/tasks", Some(body)).await.json();
    let task = made["task"].as_str().unwrap().to_owned();
    world.upload(&task, 1).await;
    let mut image = String::new();
    for who in [1, 2] {
        let claim = json!({"task": task, "count": 1});
        let claimed = world.send(operator(who), Method::POST, "/api/subtasks/claims", Some(claim)).await.json();
        image = claimed["subtasks"][0]["image"].as_str().unwrap().to_owned();
        let votes = json!({"votes": [{"task": task, "image": image, "label": "cat"}]});
        world.send(operator(who), Method::POST, "/api/subtasks/labels", Some(votes)).await;
    }
    (task, image)
}

/// Half the heat is twice the temperature, and a tenth of the images is taken to say nothing.
async fn calibrate(world: &World, task: &str) {
    let calibrated = Calibrated {
        gold: 61,
        calibration: Some(Calibration { temperature: 2.0, epsilon: 0.1 }),
        alarm: Some(Alarm { majority_only: 9, model_only: 1, p: 0.010_742 }),
    };
    let measured_at = Timestamp::from_millis(1);
    let quality = TaskQuality { images: 1, votes: 2, agreement: None, calibrated: Some(calibrated), measured_at };
    world.store.put_task_quality(task.parse().unwrap(), &quality).await.unwrap();
}

#[tokio::test]
async fn a_confidence_is_calibrated_wherever_it_is_read() {
    let world = World::new();
    let (task, image) = decided(&world, json!({"rule": "adaptive", "gold_rate": 0.1})).await;
    let path = format!("/api/tasks/{task}");
    // Two whom nobody knows: each is right four times in five.
    let posterior = 16.0 / 17.0;
    let row = get(&world, &format!("{path}/results")).await["rows"][0].clone();
    assert!(is_about(&row["confidence"], posterior), "{row}");
    let explained = get(&world, &format!("{path}/images/{image}")).await["explained"].clone();
    assert!(is_about(&explained["posterior"], posterior) && explained.get("calibration").is_none(), "{explained}");
    let before = get(&world, &format!("{path}/operators")).await;
    assert!(before.get("calibration").is_none() && before.get("alarm").is_none(), "{before}");

    calibrate(&world, &task).await;
    let expected = 0.9 * 0.8 + 0.05;
    for (path, place) in [
        (format!("{path}/results"), "/rows/0/confidence"),
        (format!("{path}/images"), "/images/0/confidence"),
        (format!("{path}/images/{image}"), "/confidence"),
    ] {
        let answer = get(&world, &path).await;
        assert!(is_about(answer.pointer(place).unwrap(), expected), "{answer}");
    }
    let lines = format!("{path}/results");
    let lines = world.send_text(alice(), Method::GET, &lines, "", "application/x-ndjson").await;
    assert!(is_about(&lines.json()["confidence"], expected), "{}", lines.text);

    let explained = get(&world, &format!("{path}/images/{image}")).await["explained"].clone();
    assert!(is_about(&explained["posterior"], posterior), "{explained}");
    assert!(is_about(&explained["labels"][0]["confidence"], posterior), "{explained}");
    let calibration = json!({"gold": 61, "temperature": 2.0, "epsilon": 0.1});
    assert_eq!((&explained["calibration"], &explained["agrees"]), (&calibration, &json!(true)));
    let summary = get(&world, &format!("{path}/operators")).await;
    assert_eq!(summary["calibration"], calibration);
    assert_eq!(summary["alarm"], json!({"majority_only": 9, "model_only": 1, "p": 0.010_742}));
}

#[tokio::test]
async fn where_nothing_is_weighed_or_there_is_no_gold_nothing_is_calibrated() {
    let world = World::new();
    for (policy, expected) in
        [(json!({"rule": "majority", "quorum": 2, "gold_rate": 0.1}), 1.0), (json!({"rule": "adaptive"}), 16.0 / 17.0)]
    {
        let (task, image) = decided(&world, policy).await;
        calibrate(&world, &task).await;
        let view = get(&world, &format!("/api/tasks/{task}/images/{image}")).await;
        assert!(is_about(&view["confidence"], expected), "{view}");
        assert!(view["explained"].get("calibration").is_none(), "{view}");
    }
}
