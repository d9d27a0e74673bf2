//! The stores of this crate, held to the suite.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, thread};

use lambel_core::{Actor, Timestamp};
use lambel_dataset::{
    CommitId, DirectoryObjectStore, DirectoryRefs, MemoryObjectStore, MemoryRefs, RefName, Refs, StoreError,
    conformance,
    store::{Moved, Reason},
};

#[tokio::test]
async fn memory_conforms() {
    conformance::objects(&MemoryObjectStore::default()).await;
    conformance::refs(&MemoryRefs::default()).await;
}

#[tokio::test]
async fn a_folder_conforms() {
    let folder = tempfile::tempdir().unwrap();
    conformance::objects(&DirectoryObjectStore::open(folder.path()).unwrap()).await;
}

#[tokio::test]
async fn the_refs_of_a_folder_conform() {
    let folder = tempfile::tempdir().unwrap();
    let refs = DirectoryRefs::create(folder.path()).unwrap();
    conformance::refs(&refs).await;
    // What is there is there for whoever comes later too.
    let again = DirectoryRefs::open(folder.path()).unwrap().unwrap();
    assert_eq!(again.branches().await.unwrap(), refs.branches().await.unwrap());
    assert_eq!(again.tags().await.unwrap(), refs.tags().await.unwrap());
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "refs.json" || name == "refs.lock"), "no drafts are left: {names:?}");
}

#[tokio::test]
async fn refs_are_there_or_not_and_never_half() {
    let folder = tempfile::tempdir().unwrap();
    assert!(DirectoryRefs::open(folder.path()).unwrap().is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "looking makes nothing");
    let refs = DirectoryRefs::create(folder.path()).unwrap();
    for (text, what) in [
        (r#"{"v":1,"kind":"refs","branches":{},"#, "damaged"),
        (r#"{"v":2,"kind":"refs","branches":{},"tags":[]}"#, "version 2"),
        (r#"{"v":1,"kind":"refs","branches":{},"tags":[],"notes":[]}"#, "notes"),
    ] {
        fs::write(folder.path().join("refs.json"), text).unwrap();
        let found = refs.branch(&RefName::live()).await;
        assert!(matches!(&found, Err(StoreError::Failed(why)) if why.contains(what)), "{found:?}");
    }
}

/// What processes do: each has its own view of the folder. No move may be lost, whoever makes it.
#[test]
fn moves_by_many_at_once_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    DirectoryRefs::create(folder.path()).unwrap();
    let (writers, moves) = (6_u32, 20_u32);
    let branch = RefName::live();
    thread::scope(|scope| {
        for writer in 0..writers {
            let (folder, branch) = (folder.path(), &branch);
            scope.spawn(move || {
                let refs = DirectoryRefs::open(folder).unwrap().unwrap();
                let by = Actor { id: writer.to_string(), name: None };
                let reason = Reason { by, at: Timestamp::from_millis(0), why: String::new() };
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (0..moves).for_each(|n| runtime.block_on(until_moved(&refs, branch, writer * moves + n, &reason)));
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refs = DirectoryRefs::open(folder.path()).unwrap().unwrap();
    let log = runtime.block_on(refs.moves(&branch, None, 1_000)).unwrap();
    assert_eq!(log.len() as u32, writers * moves, "an entry for each move");
    for pair in log.windows(2) {
        assert_eq!((pair[0].from, pair[0].seq), (Some(pair[1].to), pair[1].seq + 1), "each from where the last led");
    }
}

/// Moves a branch from wherever it stands, as often as others are faster.
async fn until_moved(refs: &DirectoryRefs, branch: &RefName, n: u32, reason: &Reason) {
    loop {
        let from = refs.branch(branch).await.unwrap().map(|last| last.to);
        match refs.advance(branch, from, CommitId::of(&n.to_be_bytes()), reason).await.unwrap() {
            Moved::Done(_) => return,
            Moved::Lost { .. } => tokio::task::yield_now().await,
        }
    }
}
