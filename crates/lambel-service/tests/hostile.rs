//! One batch of every hostile file there is, with good ones among them: each is recorded as it should be, and none of
//! them harms its neighbours.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use lambel_core::{
    ImageId, SubtaskState,
    api::CreateTask,
    subtask::{Preview, Subtask},
};
use lambel_memory::{ManualClock, MemoryMessages, MemoryObjects, MemoryStore};
use lambel_samples::{SECRET, Verdict, hostile, numbered};
use lambel_service::{Caller, Role, open::Opener, ports::ObjectKey, tasks::Tasks, validate::Validator};

#[tokio::test]
async fn a_batch_with_hostile_files_harms_no_good_one() {
    let (store, objects, messages, clock) = (
        Arc::new(MemoryStore::default()),
        Arc::new(MemoryObjects::default()),
        Arc::new(MemoryMessages::default()),
        Arc::new(ManualClock::new()),
    );
    let tasks = Tasks::new(store.clone(), objects.clone(), clock.clone());
    let validator = Validator::new(store.clone(), objects.clone(), messages.clone(), clock);
    let opener = Opener::new(store.clone(), objects.clone());
    let request = CreateTask {
        name: "all there is".to_owned(),
        labels: vec!["cat".to_owned(), "dog".to_owned()],
        instructions: None,
        policy: None,
        audience: None,
        expected_images: None,
    };
    let task = tasks.create(&Caller::new("alice", [Role::Client]), &request).await.unwrap().task;

    // A good file after each hostile one.
    let files = hostile();
    let good: Vec<_> = numbered(files.len() as u32, 5).collect();
    let mut keys = Vec::new();
    for (file, (_, good)) in files.iter().zip(&good) {
        for bytes in [&file.bytes, good] {
            let key = ObjectKey { task, image: ImageId::of(bytes) };
            objects.upload(key, bytes.clone());
            keys.push(key);
        }
    }
    assert_eq!(validator.validate(&keys).await, [], "nothing comes back");
    for message in messages.take_new_subtasks() {
        let body = serde_json::to_string(&message).unwrap();
        opener.open(&body, Instant::now() + Duration::from_secs(60)).await.unwrap();
    }

    let recorded: HashMap<ImageId, Subtask> =
        store.all_subtasks(task).into_iter().map(|subtask| (subtask.image, subtask)).collect();
    assert_eq!(recorded.len(), 2 * files.len());
    for (name, bytes) in &good {
        assert_eq!(recorded[&ImageId::of(bytes)].state, SubtaskState::Open, "{name}, a good neighbour");
    }
    for file in &files {
        let subtask = &recorded[&ImageId::of(&file.bytes)];
        let code = subtask.refusal.as_ref().map(|refusal| refusal.code.as_str());
        match file.verdict {
            Verdict::Refused(expected) => {
                assert_eq!((subtask.state, code), (SubtaskState::Rejected, Some(expected)), "{}", file.name);
            }
            Verdict::Accepted { width, height, preview } => {
                assert_eq!((subtask.state, code), (SubtaskState::Open, None), "{}", file.name);
                let picture = subtask.picture.as_ref().unwrap();
                assert_eq!((picture.width, picture.height), (width, height), "{}", file.name);
                let made = objects.preview(ObjectKey { task, image: subtask.image });
                assert_eq!(made.is_some(), preview, "{}", file.name);
                assert_eq!(matches!(subtask.preview, Preview::Made { .. }), preview, "{}", file.name);
                let shown = made.map_or_else(|| file.bytes.clone(), |(bytes, _)| bytes.to_vec());
                let secret = shown.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
                assert!(!secret, "{}: the secret is out", file.name);
            }
        }
    }
}
