//! Versions: equal content has equal ids, and what two versions share is stored once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use lambel_core::ImageId;
use lambel_dataset::{
    CHUNK_ROWS, Change, ChangeKind, Commit, CommitId, Dataset, Depth, DiffSummary, Error, MemoryObjectStore,
    MemoryRefs, ObjectKey, ObjectStore, Parts, RefName, Row, Tree, TreeWriter, blame, diff, find_garbage, log,
    remove_garbage,
    store::{Kind, Reason, Tag},
    verify, write_changes, write_rows,
};
use proptest::prelude::*;
use sample::{actor, changed_row, draft, row, rows, time};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn dataset() -> (Dataset, Arc<MemoryObjectStore>) {
    let objects = Arc::new(MemoryObjectStore::default());
    (Dataset { objects: objects.clone(), refs: Arc::new(MemoryRefs::default()) }, objects)
}

async fn commit(dataset: &Dataset, seconds: u64, message: &str, rows: Vec<Row>) -> CommitId {
    let rows = stream::iter(rows.into_iter().map(Ok));
    dataset.commit_rows(&RefName::live(), draft(seconds, message), rows).await.unwrap().id
}

async fn change(dataset: &Dataset, seconds: u64, message: &str, changes: Vec<Row>) -> CommitId {
    let changes = changes.into_iter().map(|row| (row.image, Some(row))).collect();
    dataset.commit_changes(&RefName::live(), draft(seconds, message), changes).await.unwrap().id
}

async fn tree_of(rows: Vec<Row>) -> Tree {
    write_rows(&MemoryObjectStore::default(), rows, None).await.unwrap().0
}

async fn tree(objects: &dyn ObjectStore, id: CommitId) -> Tree {
    Commit::read(objects, id).await.unwrap().tree(objects).await.unwrap()
}

/// An image whose id begins with other bits than chance would give it.
fn crowded(last: u16) -> Row {
    let mut digest = [0x5a; 32];
    digest[30..].copy_from_slice(&last.to_be_bytes());
    Row { image: ImageId::from_digest(digest), ..row(u64::from(last)) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_and_parallel_writes_make_no_difference(
        numbers in prop::collection::btree_set(0_u64..5_000, 0..700),
        crowd in prop::collection::btree_set(0_u16..2_000, 0..300),
        seed: u64,
        at_once in 1_usize..40,
    ) {
        let mut all: Vec<Row> = numbers.iter().map(|n| row(*n)).chain(crowd.iter().map(|n| crowded(*n))).collect();
        let count = all.len();
        block_on(async {
            let expected = tree_of(all.clone()).await;
            let mut numbers = sample::Numbers(seed);
            for place in (1..all.len()).rev() {
                all.swap(place, numbers.next(place as u64 + 1) as usize);
            }
            assert_eq!(tree_of(all.clone()).await, expected);

            all.sort_by_key(|row| row.image);
            let objects = MemoryObjectStore::default();
            let mut writer = TreeWriter::begin(&objects, None).await.unwrap().at_once(at_once);
            for row in all.clone() {
                writer.push(row).await.unwrap();
            }
            let (tree, _) = writer.finish().await.unwrap();
            assert_eq!(tree, expected);
            assert_eq!(tree.all_rows(&objects).await.unwrap(), all);
            assert_eq!(tree.statistics.images, count as u64);
            for chunk in tree.chunks(&objects).await.unwrap() {
                assert!((1..=CHUNK_ROWS as u64).contains(&chunk.rows));
            }
        });
    }

    #[test]
    fn a_diff_applied_to_a_gives_b(
        before in prop::collection::btree_set(0_u64..3_000, 0..600),
        after in prop::collection::btree_map(0_u64..3_000, 0_u64..2, 0..600),
        crowd in prop::collection::btree_set(0_u16..500, 0..200),
    ) {
        block_on(async {
            let objects = MemoryObjectStore::default();
            let a = before.iter().map(|n| row(*n)).collect();
            let b: Vec<Row> =
                after.iter().map(|(n, seed)| changed_row(*n, *seed)).chain(crowd.iter().map(|n| crowded(*n))).collect();
            let (a, _) = write_rows(&objects, a, None).await.unwrap();
            let (b, _) = write_rows(&objects, b, None).await.unwrap();
            let changes: Vec<Change> = diff(&objects, &a, &b).try_collect().await.unwrap();
            assert!(changes.is_sorted_by(|a, b| a.image < b.image));
            assert!(changes.iter().all(|change| change.before != change.after && !change.kinds().is_empty()));
            let forth = changes.iter().map(|change| (change.image, change.after.clone())).collect();
            assert_eq!(write_changes(&objects, &a, forth).await.unwrap().0, b);
            let back = changes.iter().map(|change| (change.image, change.before.clone())).collect();
            assert_eq!(write_changes(&objects, &b, back).await.unwrap().0, a);
        });
    }

    #[test]
    fn garbage_is_never_what_a_ref_reaches(steps in prop::collection::vec((0_u64..4, 0_u64..300), 1..12)) {
        block_on(async {
            let (dataset, objects) = dataset();
            let refs = &*dataset.refs;
            let (main, side) = (RefName::live(), "side".parse::<RefName>().unwrap());
            for (step, (what, n)) in (0_u64..).zip(steps) {
                match what {
                    0 => drop(commit(&dataset, step, "all", rows(n..n + 200)).await),
                    1 => if dataset.head(&main).await.unwrap().is_some() {
                        change(&dataset, step, "some", vec![changed_row(n, step)]).await;
                    }
                    // A commit that lost its race: written, and reached by nobody.
                    2 => {
                        let (tree, _) = write_rows(&*objects, rows(n..n + 150), None).await.unwrap();
                        let lost = Commit { tree: tree.id, statistics: tree.statistics.clone(), ..orphan(step) };
                        lost.write(&*objects).await.unwrap();
                    }
                    _ => if let Some(head) = dataset.head(&main).await.unwrap() {
                        let from = dataset.head(&side).await.unwrap();
                        let reason = Reason { by: actor(), at: time(step), why: String::new() };
                        refs.advance(&side, from, head, &reason).await.unwrap();
                        let name = format!("v{step}").parse().unwrap();
                        refs.tag(&Tag { name, commit: head, by: actor(), at: time(step) }).await.unwrap();
                    }
                }
            }
            let grace = std::time::Duration::from_secs(3_600);
            let now = time(1_000_000);
            let before = objects.keys().len() as u64;
            let found = find_garbage(&*objects, refs, now, grace).await.unwrap();
            assert_eq!(found.reached + found.objects.len() as u64, before);
            assert_eq!(objects.keys().len() as u64, before, "looking removes nothing");
            remove_garbage(&*objects, refs, &found, now, grace).await.unwrap();
            assert_eq!(objects.keys().len() as u64, found.reached);
            let roots = lambel_dataset::roots(refs).await.unwrap();
            let verification = verify(&*objects, &roots, Depth::Ancestors).await.unwrap();
            assert_eq!(verification.problems, []);
        });
    }
}

fn orphan(seconds: u64) -> Commit {
    let draft = draft(seconds, "lost");
    Commit {
        task: draft.task,
        tree: lambel_dataset::TreeId::of(b""),
        parents: Vec::new(),
        author: draft.author,
        at: draft.at,
        message: draft.message,
        labels: draft.labels,
        policy: draft.policy,
        consensus: draft.consensus,
        models: draft.models,
        program: draft.program,
        statistics: Default::default(),
    }
}

/// The ids are a promise: whoever changes them has changed a stored shape, and has to raise its version.
#[tokio::test]
async fn ids_are_the_same_on_every_machine() {
    let (dataset, objects) = dataset();
    let id = commit(&dataset, 0, "first", rows(0..500)).await;
    let stored = objects.get(ObjectKey::commit(id)).await.unwrap().unwrap();
    golden("commit.json", &format!("{}\n{id}\n", String::from_utf8(stored.to_vec()).unwrap()));
    golden("row.json", &format!("{}\n", serde_json::to_string(&row(57)).unwrap()));
}

/// Compares with a file of the repository. `LAMBEL_BLESS=1` writes it anew.
fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LAMBEL_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{name}");
}

#[tokio::test]
async fn a_large_tree_has_nodes_and_shares_them() {
    let objects = MemoryObjectStore::default();
    let (a, all) = write_rows(&objects, rows(0..40_000), None).await.unwrap();
    assert!(matches!(&a.parts, Parts::Nodes(nodes) if nodes.len() == 2), "{:?}", a.parts);
    let changes: BTreeMap<_, _> = (0..3).map(|n| (row(n).image, Some(changed_row(n, 1)))).collect();
    let (b, some) = write_changes(&objects, &a, changes).await.unwrap();
    assert!(some.objects <= 3 + 2 + 1, "three chunks, two nodes and a root: {some:?}");
    assert!(some.bytes * 20 < all.bytes, "{some:?} of {all:?}");

    let before = objects.reads();
    let changes: Vec<Change> = diff(&objects, &a, &b).try_collect().await.unwrap();
    assert_eq!(changes.len(), 3);
    assert!(objects.reads() - before <= 4 + 6, "only what differs is read, not {}", objects.reads() - before);
    let again = objects.reads();
    assert!(diff(&objects, &a, &a).try_next().await.unwrap().is_none());
    assert_eq!(objects.reads(), again);
    assert_eq!(b.row(&objects, &row(1).image).await.unwrap(), Some(changed_row(1, 1)));
    assert_eq!(b.row(&objects, &row(50_000).image).await.unwrap(), None);
}

#[tokio::test]
async fn the_kinds_of_changes() {
    let kinds = |before: Option<Row>, after: Option<Row>| {
        let image = row(0).image;
        Change { image, before, after }.kinds()
    };
    let with = |change: fn(&mut Row)| {
        let mut changed = row(0);
        change(&mut changed);
        kinds(Some(row(0)), Some(changed))
    };
    assert_eq!(kinds(None, Some(row(0))), BTreeSet::from([ChangeKind::Added]));
    assert_eq!(kinds(Some(row(0)), None), BTreeSet::from([ChangeKind::Removed]));
    assert_eq!(with(|row| row.bytes = Some(1)), BTreeSet::from([ChangeKind::FileChanged]));
    assert_eq!(with(|row| drop(row.votes.pop())), BTreeSet::from([ChangeKind::VotesChanged]));
    assert_eq!(
        with(|row| row.outcome = lambel_dataset::row::Outcome::Unlabelled),
        BTreeSet::from([ChangeKind::StatusChanged])
    );
    assert_eq!(with(|row| row.decided_at = None), BTreeSet::from([ChangeKind::StatusChanged]));
    let set = |label: &str, confidence: f64| {
        let mut row = row(0);
        let label = lambel_core::Label::parse(label).unwrap();
        let confidence = lambel_core::consensus::Confidence::new(confidence);
        row.outcome = lambel_dataset::row::Outcome::Complete { label, confidence, reason: None };
        Some(row)
    };
    assert_eq!(kinds(set("cat", 0.5), set("dog", 0.5)), BTreeSet::from([ChangeKind::Relabelled]));
    assert_eq!(kinds(set("cat", 0.5), set("cat", 0.6)), BTreeSet::from([ChangeKind::ConfidenceMoved]));
    let mut summary = DiffSummary::default();
    summary.add(&Change { image: row(0).image, before: set("cat", 0.5), after: set("dog", 0.6) });
    assert_eq!((summary.images, summary.kinds.values().sum::<u64>()), (1, 2));
}

#[tokio::test]
async fn history_says_who_gave_a_label() {
    let (dataset, objects) = dataset();
    let (image, other) = (row(4).image, row(5).image);
    let first = commit(&dataset, 1, "first", rows(0..400)).await;
    // A vote more, and the same label.
    let mut voted = row(4);
    voted.votes.truncate(2);
    let second = change(&dataset, 2, "second", vec![voted]).await;
    let mut relabelled = row(4);
    relabelled.outcome = lambel_dataset::row::Outcome::Unlabelled;
    let third = change(&dataset, 3, "third", vec![relabelled.clone()]).await;
    let fourth = change(&dataset, 4, "fourth", (200..220).map(|n| changed_row(n, 9)).collect()).await;
    let head = dataset.rollback(&RefName::live(), second, actor(), time(5), "p".into(), "back".into()).await.unwrap();

    let blamed = async |commit, image| blame(&*objects, commit, image).await.unwrap().commit;
    assert_eq!(blamed(second, &image).await, first);
    assert_eq!(blamed(third, &image).await, third);
    assert_eq!(blamed(fourth, &image).await, third);
    assert_eq!(blamed(head.id, &image).await, head.id, "the rollback gave it that label again");
    assert_eq!(blamed(head.id, &other).await, first);
    assert!(matches!(blame(&*objects, head.id, &ImageId::MAX).await, Err(Error::NoImage)));

    let entries = log(&*objects, head.id, 10).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.id).collect::<Vec<_>>(), [head.id, fourth, third, second, first]);
    assert_eq!(log(&*objects, head.id, 2).await.unwrap().len(), 2);
    assert_eq!(tree(&*objects, head.id).await, tree(&*objects, second).await);
    assert_eq!(head.commit.parents, [fourth]);
    assert_eq!(dataset.head(&RefName::live()).await.unwrap(), Some(head.id));
    let moves = dataset.refs.moves(&RefName::live(), None, 10).await.unwrap();
    assert_eq!(moves.len(), 5);
}

#[tokio::test]
async fn the_same_rows_are_no_new_commit_and_a_race_is_lost_openly() {
    let (dataset, objects) = dataset();
    let first = commit(&dataset, 1, "first", rows(0..300)).await;
    assert_eq!(commit(&dataset, 2, "again", rows(0..300)).await, first);

    // Another writer moves the branch while the rows are being read.
    let racing = dataset.clone();
    let rows = stream::iter(rows(0..310).into_iter().map(Ok)).and_then(move |row| {
        let racing = racing.clone();
        async move {
            let head = racing.head(&RefName::live()).await.unwrap();
            if head == Some(CommitId::of(b"other")) {
                return Ok(row);
            }
            let reason = Reason { by: actor(), at: time(0), why: String::new() };
            racing.refs.advance(&RefName::live(), head, CommitId::of(b"other"), &reason).await.unwrap();
            Ok(row)
        }
    });
    let lost = dataset.commit_rows(&RefName::live(), draft(3, "late"), rows).await;
    assert!(matches!(lost, Err(Error::Moved { stands: Some(stands), .. }) if stands == CommitId::of(b"other")));
    assert!(objects.keys().len() > 4);

    let unsorted = stream::iter([Ok(row(0)), Ok(row(0))]);
    let refused = dataset.commit_rows(&"b".parse().unwrap(), draft(4, "twice"), unsorted).await;
    assert!(matches!(refused, Err(Error::OutOfOrder { .. })));
}

#[tokio::test]
async fn a_draft_may_follow_from_the_rows() {
    let (dataset, _) = dataset();
    let count = std::sync::atomic::AtomicU64::new(0);
    let rows = stream::iter(rows(0..300).into_iter().map(Ok)).inspect_ok(|_| {
        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let seen = || (draft(count.load(std::sync::atomic::Ordering::Relaxed), "seen"), time(900));
    let committed = dataset.commit_rows_then(&RefName::live(), rows, seen).await.unwrap();
    assert_eq!(committed.commit.at, draft(300, "").at, "it is made when all rows have come");
    assert_eq!(committed.moved.unwrap().at, time(900), "the log of the branch has a time of its own");
}

#[tokio::test]
async fn verification_finds_what_is_wrong() {
    let (dataset, objects) = dataset();
    commit(&dataset, 1, "first", rows(0..600)).await;
    let head = change(&dataset, 2, "second", vec![changed_row(5, 1)]).await;
    let good = verify(&*objects, &[head], Depth::Ancestors).await.unwrap();
    assert_eq!((good.commits, good.trees, good.problems.len()), (2, 2, 0));
    assert!(good.rows > 600 && good.rows < 800, "shared chunks are read once: {good:?}");

    for key in objects.keys() {
        let bytes = objects.get(key).await.unwrap().unwrap();
        let mut flipped = bytes.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        flipped[bytes.len() / 2] ^= 0x10;
        objects.damage(key, flipped.into());
        let found = verify(&*objects, &[head], Depth::Ancestors).await.unwrap();
        assert!(found.problems.iter().any(|problem| problem.object == key.to_string()), "{key}: {found:?}");
        objects.delete(key).await.unwrap();
        let found = verify(&*objects, &[head], Depth::Ancestors).await.unwrap();
        assert!(found.problems.iter().any(|problem| problem.problem == "it is missing"), "{key}: {found:?}");
        if key.kind != Kind::Chunk {
            let gone = find_garbage(&*objects, &*dataset.refs, time(9), std::time::Duration::ZERO).await;
            assert!(gone.is_err(), "what cannot be followed is no garbage");
        }
        objects.put(key, bytes).await.unwrap();
    }
    assert_eq!(verify(&*objects, &[head], Depth::Ancestors).await.unwrap(), good);
}

#[tokio::test]
async fn a_version_that_is_not_known_is_refused() {
    let objects = MemoryObjectStore::default();
    let bytes = br#"{"v":2,"kind":"commit","new":true}"#;
    let id = CommitId::of(bytes);
    objects.put(ObjectKey::commit(id), Bytes::from_static(bytes)).await.unwrap();
    assert!(matches!(Commit::read(&objects, id).await, Err(Error::Newer { version: 2, .. })));
}

#[tokio::test]
async fn young_garbage_stays() {
    let (dataset, objects) = dataset();
    let grace = std::time::Duration::from_secs(60);
    objects.set_time(time(0));
    write_rows(&*objects, rows(0..10), None).await.unwrap();
    objects.set_time(time(100));
    write_rows(&*objects, rows(10..20), None).await.unwrap();
    let found = find_garbage(&*objects, &*dataset.refs, time(120), grace).await.unwrap();
    assert_eq!((found.objects.len(), found.young, found.reached), (2, 2, 0));
    assert!(found.bytes() > 0);
    // One of the two is put again before the removal.
    let key = found.objects[0].key;
    let bytes = objects.get(key).await.unwrap().unwrap();
    objects.set_time(time(130));
    objects.put(key, bytes).await.unwrap();
    let removed = remove_garbage(&*objects, &*dataset.refs, &found, time(140), grace).await.unwrap();
    assert_eq!(removed.objects.len(), 1);
    assert_eq!(objects.keys().len(), 3);
}

/// Handlers run on many threads: every step can be part of a future that moves between them.
#[test]
fn steps_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let (dataset, objects) = dataset();
    let id = CommitId::of(b"");
    let mut out = Vec::new();
    let empty = Default::default();
    is_send(&lambel_dataset::export::export(&*objects, id, &lambel_dataset::export::Format::Csv, &empty, &mut out));
    is_send(&dataset.commit_rows(&RefName::live(), draft(0, ""), stream::empty()));
    is_send(&dataset.commit_changes(&RefName::live(), draft(0, ""), BTreeMap::new()));
    is_send(&verify(&*objects, &[], Depth::Ancestors));
    is_send(&find_garbage(&*objects, &*dataset.refs, time(0), std::time::Duration::ZERO));
    is_send(&log(&*objects, id, 1));
    is_send(&blame(&*objects, id, &ImageId::MIN));
}
