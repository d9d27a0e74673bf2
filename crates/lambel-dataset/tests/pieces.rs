//! Exports in pieces are the exports in one go, byte for byte.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::{collections::BTreeMap, sync::Arc};

use lambel_core::{ImageId, Label, consensus::Confidence};
use lambel_dataset::{
    CommitId, Dataset, MemoryObjectStore, MemoryRefs, RefName, Row,
    export::{Exporting, Format, Numbers, Options, Piece, PieceSize, export},
};
use proptest::prelude::*;
use sample::{changed_row, draft, labels, rows};
fn formats() -> Vec<Format> {
    vec![
        Format::JsonLines,
        Format::Csv,
        Format::Manifest { attribute: "label".to_owned() },
        Format::LabelStudio,
        Format::Coco,
        Format::ImageFolder,
        Format::ClassFolders,
    ]
}

fn some_options() -> Vec<Options> {
    let label_names = [(labels()[0].clone(), Label::parse("animal").unwrap())].into_iter().collect();
    vec![
        Options::default(),
        Options { each_name: true, label_names, ..Options::default() },
        Options { only_labelled: true, min_confidence: Some(Confidence::new(0.9)), ..Options::default() },
    ]
}

async fn commit(rows: Vec<Row>) -> (Arc<MemoryObjectStore>, CommitId) {
    let objects = Arc::new(MemoryObjectStore::default());
    let dataset = Dataset { objects: objects.clone(), refs: Arc::new(MemoryRefs::default()) };
    let rows = futures::stream::iter(rows.into_iter().map(Ok));
    let branch: RefName = "live".parse().unwrap();
    let id = dataset.commit_rows(&branch, draft(0, "rows"), rows).await.unwrap().id;
    (objects, id)
}

/// The bytes of every piece of every pass, written in any order, in the order of the file.
async fn in_pieces(exporting: &Exporting<'_>, passes: usize, pieces: &[Piece]) -> (Vec<u8>, u64) {
    let mut before = vec![Numbers::default()];
    for piece in pieces {
        let last = *before.last().unwrap();
        before.push(last + exporting.count(piece).await.unwrap());
    }
    let mut segments = Vec::new();
    for pass in 0..passes {
        for (place, piece) in pieces.iter().enumerate() {
            segments.push((pass, place, piece));
        }
    }
    let mut written = BTreeMap::new();
    let mut images = 0;
    for (pass, place, piece) in segments.into_iter().rev() {
        let mut out = Vec::new();
        let done = exporting.write(piece, pass, before[place], &mut out).await.unwrap();
        assert_eq!(done.bytes, out.len() as u64);
        images += if pass == 0 { done.images } else { 0 };
        written.insert((pass, place), out);
    }
    (written.into_values().flatten().collect(), images)
}

async fn pieces_are_the_whole(rows: Vec<Row>, sizes: &[PieceSize]) {
    let all = rows.len() as u64;
    let (objects, id) = commit(rows).await;
    for format in formats() {
        for options in some_options() {
            let mut whole = Vec::new();
            let exported = export(&*objects, id, &format, &options, &mut whole).await.unwrap();
            let exporting = Exporting::open(&*objects, id, &format, &options).await.unwrap();
            for size in sizes {
                let pieces = exporting.pieces(*size);
                assert!(!pieces.is_empty());
                assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), all);
                let (joined, images) = in_pieces(&exporting, format.passes(), &pieces).await;
                assert_eq!(images, exported.images);
                assert!(joined == whole, "{format:?} {options:?} {size:?}: {} pieces", pieces.len());
            }
        }
    }
}

fn rows_of(rows: u64) -> PieceSize {
    PieceSize { rows, bytes: u64::MAX }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn pieces_joined_are_the_export_in_one_go(
        numbers in prop::collection::btree_map(0_u64..100_000, 0_u64..3, 0..700),
        size in 1_u64..800,
        bytes in 1_u64..400_000,
    ) {
        let mut rows: Vec<Row> = numbers.iter().map(|(n, seed)| changed_row(*n, *seed)).collect();
        rows.sort_by_key(|row| row.image);
        let sizes = [rows_of(1), rows_of(size), PieceSize { rows: size, bytes }, rows_of(u64::MAX)];
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(pieces_are_the_whole(rows, &sizes));
    }
}

#[tokio::test]
async fn an_empty_commit_is_one_piece() {
    pieces_are_the_whole(Vec::new(), &[rows_of(1), rows_of(50_000)]).await;
}

/// A tree that has nodes: the pieces are stretches of these.
#[tokio::test]
async fn the_pieces_of_a_large_set_keep_to_their_size() {
    let (objects, id) = commit(rows(0..40_000)).await;
    let (format, options) = (Format::Coco, Options::default());
    let exporting = Exporting::open(&*objects, id, &format, &options).await.unwrap();
    // Two nodes of some 20,000 rows, which are not divided.
    let pieces = exporting.pieces(rows_of(25_000));
    assert_eq!(pieces.len(), 2);
    assert!(pieces.iter().all(|piece| piece.rows <= 25_000));
    assert_eq!(pieces, exporting.pieces(rows_of(25_000)));
    assert_eq!(pieces, exporting.pieces(PieceSize { rows: u64::MAX, bytes: 20 << 20 }));
    assert_eq!(exporting.pieces(rows_of(50_000)), [exporting.whole()]);
    let mut whole = Vec::new();
    export(&*objects, id, &format, &options, &mut whole).await.unwrap();
    assert!(in_pieces(&exporting, format.passes(), &pieces).await.0 == whole);
}

/// Each piece of Parquet is a file of its own, with its own rows.
#[tokio::test]
async fn a_piece_of_parquet_is_a_file() {
    use parquet::file::reader::{FileReader, SerializedFileReader};

    let (objects, id) = commit(rows(0..900)).await;
    let (format, options) = (Format::Parquet, Options::default());
    let exporting = Exporting::open(&*objects, id, &format, &options).await.unwrap();
    let pieces = exporting.pieces(rows_of(300));
    assert!(pieces.len() > 2);
    for piece in &pieces {
        let mut out = Vec::new();
        exporting.write(piece, 0, Numbers::default(), &mut out).await.unwrap();
        let reader = SerializedFileReader::new(bytes::Bytes::from(out)).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows() as u64, piece.rows);
    }
    let mut whole = Vec::new();
    export(&*objects, id, &format, &options, &mut whole).await.unwrap();
    let mut one = Vec::new();
    let [piece] = exporting.pieces(rows_of(900)).try_into().unwrap();
    exporting.write(&piece, 0, Numbers::default(), &mut one).await.unwrap();
    assert!(one == whole);
}

/// Of two images whose ids begin alike the second has a longer file name; so no cut comes between them.
#[tokio::test]
async fn images_whose_ids_begin_alike_stay_together() {
    let mut rows = rows(0..200);
    for n in 0..400_u16 {
        let mut digest = [0x77; 32];
        digest[30..].copy_from_slice(&n.to_be_bytes());
        rows.push(Row { image: ImageId::from_digest(digest), ..sample::row(u64::from(n)) });
    }
    rows.sort_by_key(|row| row.image);
    pieces_are_the_whole(rows, &[rows_of(1), rows_of(150)]).await;
}
