//! What every [`Exports`] and every [`ExportFiles`] must do.

use bytes::Bytes;
use lambel_core::{
    Actor, TaskId,
    api::exports::{ExportFile, ExportFormat, ExportId, ExportOptions, ExportState},
};
use lambel_dataset::{CommitId, export::Numbers};
use lambel_service::{
    exports::Export,
    ports::{ExportFiles, ExportKey, Exports, PieceNote, Segment},
};

use super::{later, now};

/// Runs every case for the records of exports.
pub async fn exports(store: &dyn Exports) {
    an_export_changes_only_from_what_it_was(store).await;
    what_comes_of_a_piece_is_noted_once(store).await;
    notes_of_another_run_are_not_taken(store).await;
    of_many_notes_at_once_all_are_counted(store).await;
}

/// Runs every case for the files of exports.
pub async fn export_files(files: &dyn ExportFiles) {
    a_file_is_there_when_it_is_whole(files).await;
    joined_segments_follow_each_other(files).await;
}

fn id(n: u8) -> ExportId {
    ExportId::from_bytes([n; 16])
}

fn new_export(task: TaskId, n: u8) -> Export {
    Export {
        task,
        id: id(n),
        commit: CommitId::of(&[n]),
        format: ExportFormat::Coco,
        options: ExportOptions {
            min_confidence: Some(0.1),
            each_name: true,
            address_prefix: Some("s3://b/ü/".to_owned()),
            ..ExportOptions::default()
        },
        state: ExportState::Waiting,
        run: 1,
        rows: 123,
        pieces: 0,
        counted: 0,
        written: 0,
        rows_done: 0,
        requested_at: now(),
        requested_by: Actor { id: "somebody".to_owned(), name: Some("anna".to_owned()) },
        moved_at: now(),
        ended_at: None,
        reason: None,
        files: Vec::new(),
        rev: 1,
    }
}

/// An export that is running.
async fn running(store: &dyn Exports, task: TaskId, pieces: u32) -> Export {
    let waiting = new_export(task, 1);
    assert!(store.put_export(&waiting).await.expect("put"));
    let export = Export { state: ExportState::Running, pieces, rev: 2, ..waiting };
    assert!(store.put_export(&export).await.expect("put"));
    export
}

async fn read(store: &dyn Exports, task: TaskId) -> Export {
    store.export(task, id(1)).await.expect("export").expect("it is there")
}

async fn an_export_changes_only_from_what_it_was(store: &dyn Exports) {
    let task = TaskId::random();
    assert_eq!(store.export(task, id(1)).await, Ok(None));
    assert_eq!(store.exports(task, 10).await, Ok(Vec::new()));
    let export = new_export(task, 1);
    assert_eq!(store.put_export(&Export { rev: 2, ..export.clone() }).await, Ok(false), "there is none to change");
    assert_eq!(store.put_export(&export).await, Ok(true));
    assert_eq!(store.put_export(&export).await, Ok(false), "there is one already");
    assert_eq!(read(store, task).await, export);

    let file = ExportFile { name: "ü.csv".to_owned(), bytes: 5 << 40, images: 7, sha256: "0".repeat(64), url: None };
    let complete = Export {
        state: ExportState::Complete,
        ended_at: Some(later(5)),
        reason: Some("why: ü".to_owned()),
        files: vec![file.clone(), file],
        pieces: 4,
        counted: 3,
        written: 2,
        rows_done: 1,
        rev: 2,
        ..export
    };
    assert_eq!(store.put_export(&complete).await, Ok(true));
    assert_eq!(read(store, task).await, complete);
    let again = Export { run: 2, rev: 3, ..new_export(task, 1) };
    assert_eq!(store.put_export(&Export { rev: 2, ..again.clone() }).await, Ok(false));
    assert_eq!(store.put_export(&again).await, Ok(true));
    assert_eq!(read(store, task).await, again, "nothing of what it was is left");

    for n in [3, 2] {
        assert_eq!(store.put_export(&new_export(task, n)).await, Ok(true));
    }
    assert_eq!(store.put_export(&new_export(TaskId::random(), 2)).await, Ok(true), "of another task");
    let listed = async |limit| store.exports(task, limit).await.expect("exports");
    assert_eq!(listed(10).await, [again.clone(), new_export(task, 2), new_export(task, 3)]);
    assert_eq!(listed(2).await.len(), 2);
}

fn counted(piece: u32) -> PieceNote {
    PieceNote::Counted { piece, numbers: Numbers { images: 3, annotations: u64::from(piece) } }
}

fn written(piece: u32) -> PieceNote {
    let segment = |bytes| Segment { bytes, sha256: format!("{piece:064x}") };
    PieceNote::Written { piece, rows: 100, images: 90, segments: vec![segment(1), segment(0)] }
}

async fn what_comes_of_a_piece_is_noted_once(store: &dyn Exports) {
    let task = TaskId::random();
    let export = running(store, task, 12).await;
    assert_eq!(store.notes(&export).await, Ok(Vec::new()));
    for note in [written(11), counted(2), written(2), counted(2), written(11)] {
        store.note(&export, &note, later(7)).await.expect("note");
    }
    let after = Export { counted: 1, written: 2, rows_done: 200, moved_at: later(7), rev: 5, ..export.clone() };
    assert_eq!(read(store, task).await, after);
    assert_eq!(store.notes(&export).await, Ok(vec![counted(2), written(2), written(11)]));
    // Who has not seen the notes does not change the record.
    let stale = Export { state: ExportState::Complete, rev: 3, ..export };
    assert_eq!(store.put_export(&stale).await, Ok(false));
    assert_eq!(store.put_export(&Export { rev: 6, state: ExportState::Complete, ..after }).await, Ok(true));
}

async fn notes_of_another_run_are_not_taken(store: &dyn Exports) {
    let task = TaskId::random();
    let first = running(store, task, 2).await;
    store.note(&first, &written(0), later(1)).await.expect("note");
    let before = read(store, task).await;
    let failed = Export { state: ExportState::Failed, rev: before.rev + 1, ..before };
    assert!(store.put_export(&failed).await.expect("put"));
    store.note(&first, &written(1), later(2)).await.expect("note");
    assert_eq!(read(store, task).await, failed, "it is over");

    let second = Export { run: 2, state: ExportState::Running, pieces: 2, rev: failed.rev + 1, ..new_export(task, 1) };
    assert!(store.put_export(&second).await.expect("put"));
    store.note(&first, &written(1), later(3)).await.expect("note");
    assert_eq!(read(store, task).await, second, "of an earlier attempt");
    assert_eq!(store.notes(&second).await, Ok(Vec::new()));
    store.note(&second, &written(0), later(4)).await.expect("note");
    assert_eq!(store.notes(&second).await, Ok(vec![written(0)]));
    // Nobody knows of an export that is not there.
    store.note(&new_export(TaskId::random(), 1), &written(0), later(4)).await.expect("note");
}

async fn of_many_notes_at_once_all_are_counted(store: &dyn Exports) {
    let task = TaskId::random();
    let export = running(store, task, 20).await;
    let notes: Vec<_> = (0..20).chain(0..20).map(written).collect();
    let noted = futures::future::join_all(notes.iter().map(|note| async {
        // Transactions that meet may be refused as busy; a message would come again.
        while store.note(&export, note, later(1)).await.is_err() {}
    }));
    noted.await;
    let after = read(store, task).await;
    assert_eq!((after.written, after.rows_done, after.rev), (20, 2_000, 22));
    assert_eq!(store.notes(&export).await.expect("notes").len(), 20);
}

fn segment(task: TaskId, piece: u32) -> ExportKey {
    ExportKey::Segment { task, export: id(1), run: 1, pass: 0, piece }
}

fn bytes(length: usize, seed: u8) -> Bytes {
    (0..length).map(|n| (n as u8).wrapping_mul(31).wrapping_add(seed).wrapping_add((n >> 8) as u8)).collect()
}

async fn put(files: &dyn ExportFiles, key: &ExportKey, blocks: &[Bytes]) {
    let mut writer = files.create(key, "text/csv; charset=utf-8").await.expect("create");
    for block in blocks {
        writer.write(block.clone()).await.expect("write");
    }
    writer.finish().await.expect("finish");
}

async fn a_file_is_there_when_it_is_whole(files: &dyn ExportFiles) {
    let task = TaskId::random();
    let key = ExportKey::File { task, export: id(1), name: "rows.csv".to_owned() };
    let mut begun = files.create(&key, "text/csv").await.expect("create");
    begun.write(bytes(9 << 20, 1)).await.expect("write");
    drop(begun);
    assert!(files.read(&key, 0..1).await.is_err(), "what is not finished is not there");

    // A small file, one larger than what is sent at once, and an empty one.
    for blocks in [vec![bytes(10, 1)], vec![bytes(3 << 20, 2); 7], vec![]] {
        put(files, &key, &blocks).await;
        let whole: Vec<u8> = blocks.concat();
        if whole.len() >= 10 {
            let end = whole.len() as u64;
            let last = files.read(&key, end - 10..end).await.expect("read");
            assert_eq!(last, whole[whole.len() - 10..]);
            assert!(files.read(&key, 0..end).await.expect("read") == whole);
        }
        let address = files.presign(&key, "rows.csv", std::time::Duration::from_secs(60)).await.expect("an address");
        assert!(address.contains("rows.csv"), "{address}");
    }
}

async fn joined_segments_follow_each_other(files: &dyn ExportFiles) {
    let task = TaskId::random();
    let to = ExportKey::File { task, export: id(1), name: "joined.csv".to_owned() };
    const MIB: usize = 1 << 20;
    // Lengths around the least that a part of an upload may have, which is 5 MiB.
    for lengths in [
        vec![0],
        vec![0, 0, 0],
        vec![1, 2, 3],
        vec![5 * MIB, 1],
        vec![1, 5 * MIB],
        vec![12 * MIB, 0, 3 * MIB, 3 * MIB, 11 * MIB, 1],
        vec![4 * MIB, 6 * MIB, 5 * MIB, 5 * MIB - 1],
    ] {
        let mut parts = Vec::new();
        let mut whole = Vec::new();
        for (place, length) in lengths.iter().enumerate() {
            let content = bytes(*length, place as u8 + 1);
            let key = segment(task, place as u32);
            put(files, &key, std::slice::from_ref(&content)).await;
            whole.extend_from_slice(&content);
            parts.push((key, *length as u64));
        }
        files.join(&parts, &to, "text/csv").await.expect("join");
        if !whole.is_empty() {
            let found = files.read(&to, 0..whole.len() as u64).await.expect("read");
            assert!(found == whole, "{lengths:?}");
        }
        assert!(files.read(&to, whole.len() as u64..whole.len() as u64 + 1).await.is_err(), "nothing is behind it");
    }
}
