//! What every [`ObjectStore`] and every [`Refs`] must do, whatever it is made of.
//!
//! The cases need a store of their own, which is empty at the beginning. They panic with what they found.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use lambel_core::{Actor, Timestamp};

use crate::{
    CommitId, ContentId, ObjectKey, ObjectStore, RefName, Refs,
    store::{Kind, Moved, Reason, Tag, Tagged},
};

/// Runs every case for objects.
pub async fn objects(store: &dyn ObjectStore) {
    what_is_put_is_there_until_it_is_deleted(store).await;
    lists_are_sorted_and_paged(store).await;
    putting_again_renews(store).await;
}

/// Runs every case for refs.
pub async fn refs(refs: &dyn Refs) {
    a_branch_moves_only_from_where_it_stands(refs).await;
    of_many_moves_one_is_done(refs).await;
    moves_are_paged_from_the_newest(refs).await;
    tags_do_not_move(refs).await;
}

fn key(kind: Kind, n: u32) -> ObjectKey {
    ObjectKey { kind, id: ContentId::of(&n.to_be_bytes()) }
}

async fn what_is_put_is_there_until_it_is_deleted(store: &dyn ObjectStore) {
    let (chunk, commit) = (key(Kind::Chunk, 1), key(Kind::Commit, 1));
    assert_eq!(store.get(chunk).await.expect("get"), None);
    store.put(chunk, Bytes::from_static(b"\0one\xff")).await.expect("put");
    assert_eq!(store.get(chunk).await.expect("get"), Some(Bytes::from_static(b"\0one\xff")));
    assert_eq!(store.get(commit).await.expect("get"), None, "the same id of another kind");
    store.put(commit, Bytes::new()).await.expect("put");
    store.delete(chunk).await.expect("delete");
    assert_eq!(store.get(chunk).await.expect("get"), None);
    assert_eq!(store.get(commit).await.expect("get"), Some(Bytes::new()));
    store.delete(chunk).await.expect("delete again");
    store.delete(commit).await.expect("delete");
}

async fn lists_are_sorted_and_paged(store: &dyn ObjectStore) {
    let mut keys: Vec<_> = (0..25).map(|n| key(Kind::Node, n)).collect();
    for key in &keys {
        store.put(*key, Bytes::from(vec![1; 7])).await.expect("put");
    }
    store.put(key(Kind::Tree, 0), Bytes::from_static(b"x")).await.expect("put");
    keys.sort();
    let mut listed = Vec::new();
    loop {
        let after = listed.last().map(|object: &crate::store::Listed| object.key.id);
        let page = store.list(Kind::Node, after, 10).await.expect("list");
        assert!(page.len() <= 10);
        let last = page.len() < 10;
        listed.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(listed.iter().map(|object| object.key).collect::<Vec<_>>(), keys);
    assert!(listed.iter().all(|object| object.bytes == 7));
    for key in keys.iter().chain([&key(Kind::Tree, 0)]) {
        store.delete(*key).await.expect("delete");
    }
    assert_eq!(store.list(Kind::Node, None, 10).await.expect("list"), []);
}

async fn putting_again_renews(store: &dyn ObjectStore) {
    let key = key(Kind::Chunk, 3);
    let put = || store.put(key, Bytes::from_static(b"x"));
    put().await.expect("put");
    let first = store.list(Kind::Chunk, None, 10).await.expect("list");
    put().await.expect("put");
    let second = store.list(Kind::Chunk, None, 10).await.expect("list");
    match (first.as_slice(), second.as_slice()) {
        ([first], [second]) => assert!(first.put_at <= second.put_at),
        _ => panic!("one object, put twice, is one object: {first:?}, {second:?}"),
    }
    store.delete(key).await.expect("delete");
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_250_820_000)
}

fn actor() -> Actor {
    Actor { id: "somebody".to_owned(), name: Some("anna".to_owned()) }
}

fn reason(n: u64) -> Reason {
    Reason { by: actor(), at: now().plus(Duration::from_secs(n)), why: format!("move {n}: ü") }
}

fn commit(n: u32) -> CommitId {
    CommitId::of(&n.to_be_bytes())
}

fn name(text: &str) -> RefName {
    text.parse().expect("a good name")
}

async fn a_branch_moves_only_from_where_it_stands(refs: &dyn Refs) {
    let branch = name("first");
    assert_eq!(refs.branch(&branch).await.expect("branch"), None);
    let lost = refs.advance(&branch, Some(commit(9)), commit(1), &reason(1)).await.expect("advance");
    assert_eq!(lost, Moved::Lost { stands: None });
    assert_eq!(refs.moves(&branch, None, 10).await.expect("moves"), []);

    let done = refs.advance(&branch, None, commit(1), &reason(1)).await.expect("advance");
    let Moved::Done(entry) = done else { panic!("a new branch: {done:?}") };
    assert_eq!((entry.seq, entry.from, entry.to), (1, None, commit(1)));
    assert_eq!((&entry.by, entry.at, entry.why.as_str()), (&actor(), reason(1).at, "move 1: ü"));
    assert_eq!(refs.branch(&branch).await.expect("branch"), Some(entry));

    for from in [None, Some(commit(2))] {
        let lost = refs.advance(&branch, from, commit(3), &reason(2)).await.expect("advance");
        assert_eq!(lost, Moved::Lost { stands: Some(commit(1)) });
    }
    let done = refs.advance(&branch, Some(commit(1)), commit(2), &reason(2)).await.expect("advance");
    assert!(matches!(done, Moved::Done(entry) if (entry.seq, entry.from) == (2, Some(commit(1)))));

    refs.advance(&name("another"), None, commit(7), &reason(3)).await.expect("advance");
    let branches = refs.branches().await.expect("branches");
    let stand: Vec<_> = branches.iter().map(|(name, last)| (name.as_str(), last.to)).collect();
    assert_eq!(stand, [("another", commit(7)), ("first", commit(2))]);
}

async fn of_many_moves_one_is_done(refs: &dyn Refs) {
    let branch = name("race");
    refs.advance(&branch, None, commit(0), &reason(0)).await.expect("advance");
    let reason = reason(1);
    let moves = (1..=8).map(|n| refs.advance(&branch, Some(commit(0)), commit(n), &reason));
    let done: Vec<_> = join_all(moves).await.into_iter().map(|moved| moved.expect("advance")).collect();
    let winners: Vec<_> =
        done.iter().filter_map(|moved| if let Moved::Done(entry) = moved { Some(entry) } else { None }).collect();
    assert_eq!(winners.len(), 1, "{done:?}");
    assert_eq!(refs.branch(&branch).await.expect("branch").as_ref(), winners.first().copied());
    assert_eq!(refs.moves(&branch, None, 10).await.expect("moves").len(), 2, "what is lost leaves no entry");
}

async fn moves_are_paged_from_the_newest(refs: &dyn Refs) {
    let branch = name("long");
    let mut from = None;
    for n in 0..12 {
        refs.advance(&branch, from, commit(n), &reason(u64::from(n))).await.expect("advance");
        from = Some(commit(n));
    }
    let mut seqs = Vec::new();
    loop {
        let page = refs.moves(&branch, seqs.last().copied(), 5).await.expect("moves");
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 5);
        seqs.extend(page.iter().map(|entry| entry.seq));
    }
    assert_eq!(seqs, (1..=12).rev().collect::<Vec<_>>());
}

async fn tags_do_not_move(refs: &dyn Refs) {
    let tag = |n| Tag { name: name("v1"), commit: commit(n), by: actor(), at: now() };
    assert_eq!(refs.tag(&tag(1)).await.expect("tag"), Tagged::Set);
    assert_eq!(refs.tag(&tag(1)).await.expect("tag"), Tagged::Known);
    assert_eq!(refs.tag(&tag(2)).await.expect("tag"), Tagged::Taken(commit(1)));
    assert_eq!(refs.tags().await.expect("tags"), [tag(1)]);
    assert_eq!(refs.branch(&name("v1")).await.expect("branch"), None, "a tag is no branch");
}
