//! What every [`NoteStore`] must do.

use lambel_core::{Actor, NoteKey, TaskId};
use lambel_dataset::CommitId;
use lambel_service::ports::{Note, NoteStore};
use serde_json::{Value, json};

use super::{later, now};

/// Runs every case for notes, of versions that there are not: notes know nothing of what they are about.
pub async fn notes(store: &dyn NoteStore) {
    notes_are_found_by_key_and_listed_in_order(store).await;
    who_writes_last_wins(store).await;
    whatever_is_json_comes_back(store).await;
}

fn note(key: &str, value: Value) -> Note {
    let key = key.parse::<NoteKey>().expect("a good key");
    Note { key, value, by: Actor { id: "anna-1".to_owned(), name: Some("anna".to_owned()) }, at: now() }
}

async fn notes_are_found_by_key_and_listed_in_order(store: &dyn NoteStore) {
    let (task, commit) = (TaskId::random(), CommitId::of(b"1"));
    assert_eq!(store.notes_of(task, commit, 10).await, Ok(Vec::new()));
    let all = ["A", "b", "b.c", "c"].map(|key| note(key, json!(key)));
    for place in [2, 0, 3, 1] {
        store.put_note(task, commit, &all[place]).await.expect("put");
    }
    assert_eq!(store.notes_of(task, commit, 10).await, Ok(all.to_vec()));
    assert_eq!(store.notes_of(task, commit, 3).await, Ok(all[..3].to_vec()));
    assert_eq!(store.note_of(task, commit, &all[1].key).await, Ok(Some(all[1].clone())));
    assert_eq!(store.note_of(task, commit, &"d".parse().expect("a good key")).await, Ok(None));
    // Another version, and another task.
    assert_eq!(store.notes_of(task, CommitId::of(b"2"), 10).await, Ok(Vec::new()));
    assert_eq!(store.note_of(TaskId::random(), commit, &all[1].key).await, Ok(None));
}

async fn who_writes_last_wins(store: &dyn NoteStore) {
    let (task, commit) = (TaskId::random(), CommitId::of(b"1"));
    store.put_note(task, commit, &note("report", json!("first"))).await.expect("put");
    let by = Actor { id: "pipeline:report".to_owned(), name: None };
    let second = Note { by, at: later(5), ..note("report", json!("second")) };
    store.put_note(task, commit, &second).await.expect("put");
    assert_eq!(store.notes_of(task, commit, 10).await, Ok(vec![second]), "nothing is left of the first, nor its name");
}

async fn whatever_is_json_comes_back(store: &dyn NoteStore) {
    let (task, commit) = (TaskId::random(), CommitId::of(b"1"));
    let long = "ü".repeat(15_000);
    let values = [json!(null), json!(""), json!("a\u{0}\n\""), json!([1, -2, 0.1, true, {"": {}}]), json!(long)];
    for value in values {
        let note = note("any", value);
        store.put_note(task, commit, &note).await.expect("put");
        assert_eq!(store.note_of(task, commit, &note.key).await, Ok(Some(note)));
    }
}
