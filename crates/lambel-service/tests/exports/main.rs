//! Exports of data sets in the cloud, in memory: what comes out, and what comes out on a bad day.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod asking;
#[path = "../../../lambel-dataset/tests/sample/mod.rs"]
mod sample;
mod world;

use std::{collections::VecDeque, time::Duration};

use lambel_core::api::exports::{CreateExport, ExportFormat, ExportOptions, ExportState};
use lambel_memory::faults::{Chance, Fault, Faults, Rates};
use lambel_service::{
    error::Comeback,
    ports::{ExportKey, ExportStep, Work},
};
use sample::rows;
use world::{FORMATS, World, wanted};

/// Some chunks, so some pieces.
const ROWS: u64 = 700;

#[tokio::test]
async fn what_is_made_in_pieces_is_what_is_made_at_once() {
    let world = World::new(rows(0..ROWS)).await;
    for format in FORMATS {
        let asked = world.ask(&wanted(format)).await;
        assert_eq!((asked.state, asked.rows, asked.pieces), (ExportState::Waiting, ROWS, 0));
        world.deliver().await;
        let done = world.look(&asked).await;
        assert_eq!(
            (done.state, done.rows_done, done.pieces_done),
            (ExportState::Complete, ROWS, done.pieces),
            "{done:?}"
        );
        assert!(done.pieces > 3, "{}", done.pieces);
        let (whole, images) = world.at_once(&done.commit, format, &done.options).await;
        assert_eq!(done.files.iter().map(|file| file.images).sum::<u64>(), images);
        if format == ExportFormat::Parquet {
            assert_eq!(done.files.len(), done.pieces as usize);
            assert_eq!(done.files[1].name, format!("rows-00002-of-{:05}.parquet", done.pieces));
            (0..done.files.len()).for_each(|place| assert!(world.download(&done, place).starts_with(b"PAR1")));
        } else {
            assert_eq!(done.files.len(), 1);
            assert!(world.download(&done, 0) == whole, "{format:?}");
        }
    }
}

#[tokio::test]
async fn a_small_set_is_a_file_without_segments() {
    for count in [0, 50] {
        let world = World::new(rows(0..count)).await;
        for format in [ExportFormat::Csv, ExportFormat::Parquet, ExportFormat::LabelStudio, ExportFormat::Jsonl] {
            let asked = world.ask(&wanted(format)).await;
            world.deliver().await;
            let done = world.look(&asked).await;
            assert_eq!((done.state, done.pieces), (ExportState::Complete, 1));
            let (whole, _) = world.at_once(&done.commit, format, &done.options).await;
            assert!(world.download(&done, 0) == whole, "{format:?}");
        }
        assert!(world.files.keys().iter().all(|key| matches!(key, ExportKey::File { .. })));
    }
}

#[tokio::test]
async fn options_are_kept_to() {
    let world = World::new(rows(0..ROWS)).await;
    let options = ExportOptions { min_confidence: Some(0.9), each_name: true, ..ExportOptions::default() };
    for format in [ExportFormat::Coco, ExportFormat::Csv] {
        let request = CreateExport { version: Some("live".to_owned()), format, options: Some(options.clone()) };
        let asked = world.ask(&request).await;
        world.deliver().await;
        let done = world.look(&asked).await;
        let (whole, images) = world.at_once(&done.commit, format, &options).await;
        assert!(world.download(&done, 0) == whole && images < ROWS && done.files[0].images == images);
    }
}

/// Everything arrives twice, and what came last is dealt with first.
#[tokio::test]
async fn messages_may_come_twice_and_in_any_order() {
    let world = World::new(rows(0..ROWS)).await;
    let asked = world.ask(&wanted(ExportFormat::Coco)).await;
    let mut all: Vec<ExportStep> = Vec::new();
    loop {
        let steps = world.queue.take();
        if steps.is_empty() {
            break;
        }
        for step in steps.iter().rev().chain(&steps) {
            world.hear(step).await.unwrap();
        }
        all.extend(steps);
    }
    let done = world.look(&asked).await;
    let (whole, _) = world.at_once(&done.commit, ExportFormat::Coco, &done.options).await;
    assert!(world.download(&done, 0) == whole);
    // What comes after the end changes nothing.
    for step in &all {
        world.hear(step).await.unwrap();
    }
    let after = world.look(&asked).await;
    assert_eq!((after.pieces_done, after.rows_done, after.files), (done.pieces_done, done.rows_done, done.files));
    assert_eq!(world.queue.take(), []);
}

/// Two functions at the same piece, step by step at the same time.
#[tokio::test]
async fn two_at_the_same_piece_do_no_harm() {
    let world = World::new(rows(0..ROWS)).await;
    let asked = world.ask(&wanted(ExportFormat::LabelStudio)).await;
    loop {
        let steps = world.queue.take();
        if steps.is_empty() {
            break;
        }
        for step in &steps {
            let (one, other) = futures::join!(world.hear(step), world.hear(step));
            // One of two that begin may be told to come back.
            for heard in [one, other] {
                if heard.is_err() {
                    world.hear(step).await.unwrap();
                }
            }
        }
    }
    let done = world.look(&asked).await;
    assert_eq!((done.state, done.pieces_done, done.rows_done), (ExportState::Complete, done.pieces, ROWS));
    let (whole, _) = world.at_once(&done.commit, ExportFormat::LabelStudio, &done.options).await;
    assert!(world.download(&done, 0) == whole);
}

/// Whoever takes a message dies after some turns; the message comes again, and whoever takes it then lives.
#[tokio::test]
async fn a_crash_between_any_two_steps_is_made_good() {
    for format in [ExportFormat::Coco, ExportFormat::Parquet, ExportFormat::Csv] {
        let mut turns = 0;
        loop {
            let world = World::new(rows(0..400)).await;
            let asked = world.ask(&wanted(format)).await;
            let mut all_lived = true;
            loop {
                let steps = world.queue.take();
                if steps.is_empty() {
                    break;
                }
                for step in &steps {
                    if !world.die_after(step, turns) {
                        all_lived = false;
                        world.hear(step).await.unwrap();
                    }
                }
            }
            let done = world.look(&asked).await;
            assert_eq!((done.state, done.pieces_done), (ExportState::Complete, done.pieces), "{format:?} {turns}");
            assert_eq!(done.rows_done, 400);
            if format != ExportFormat::Parquet {
                let (whole, _) = world.at_once(&done.commit, format, &done.options).await;
                assert!(world.download(&done, 0) == whole, "{format:?} {turns}");
            }
            if all_lived {
                break;
            }
            turns += 1;
        }
        assert!(turns > 10, "{format:?}: {turns}");
    }
}

fn bad_day() -> Rates {
    Rates::none()
        .with(Fault::BusyBefore, 60)
        .with(Fault::Throttled, 10)
        .with(Fault::Cancelled, 60)
        .with(Fault::BusyAfter, 60)
        .with(Fault::SentTwice, 60)
        .with(Fault::Delayed, 100)
        .with(Fault::AnswerDelayed, 100)
        .with(Fault::Duplicated, 100)
        .with(Fault::HeldBack, 100)
        .with(Fault::PartlySent, 200)
}

/// Storage and queue fail, do things twice and deliver late; three functions take messages at the same time.
#[tokio::test]
async fn faults_delay_an_export_and_change_nothing_in_it() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..24 {
        let world = World::with_faults(rows(0..500), Faults::new(seed, bad_day())).await;
        let format = FORMATS[seed as usize % FORMATS.len()];
        let asked = world.ask(&wanted(format)).await;
        let mut chance = Chance::new(seed);
        let mut queue: VecDeque<ExportStep> = VecDeque::new();
        for round in 0.. {
            assert!(round < 3_000, "seed {seed}: it never ends");
            queue.extend(world.queue.take());
            let mut taken = Vec::new();
            for _ in 0..3 {
                let place = chance.below(queue.len());
                taken.extend(queue.remove(place));
            }
            if taken.is_empty() {
                world.late.release().await.unwrap();
                queue.extend(world.queue.take());
                if queue.is_empty() {
                    break;
                }
                continue;
            }
            let heard = futures::future::join_all(taken.iter().map(|step| world.hear(step))).await;
            for (step, heard) in taken.into_iter().zip(heard) {
                match heard {
                    Ok(()) => {}
                    Err(Comeback::Later) => queue.push_back(step),
                    Err(Comeback::Never) => panic!("seed {seed}: {step:?} could not be read"),
                }
            }
        }
        world.faults.set(false);
        seen.extend(world.faults.tally().into_keys());
        let done = world.look(&asked).await;
        assert_eq!((done.state, done.pieces_done, done.rows_done), (ExportState::Complete, done.pieces, 500), "{seed}");
        let (whole, images) = world.at_once(&done.commit, format, &done.options).await;
        assert_eq!(done.files.iter().map(|file| file.images).sum::<u64>(), images);
        if format != ExportFormat::Parquet {
            assert!(world.download(&done, 0) == whole, "seed {seed}: {format:?}");
        }
    }
    assert_eq!(seen.len(), 10, "every fault was there: {seen:?}");
}

#[tokio::test]
async fn what_cannot_be_made_says_why() {
    let mut all = rows(0..ROWS);
    let row = all.iter_mut().skip(600).find(|row| row.decided_label().is_some()).unwrap();
    row.uri = None;
    let world = World::new(all).await;
    let asked = world.ask(&wanted(ExportFormat::Manifest)).await;
    world.deliver().await;
    let failed = world.look(&asked).await;
    assert_eq!((failed.state, failed.files.len()), (ExportState::Failed, 0));
    assert!(failed.reason.as_ref().unwrap().contains("has no address"), "{failed:?}");
    assert!(failed.ended_at.is_some() && failed.expires_at.is_none());

    // Somebody has mended it: asking again makes another attempt, of which the first one knows nothing.
    let again = world.ask(&wanted(ExportFormat::Manifest)).await;
    assert_eq!((again.export, again.state, again.reason), (asked.export, ExportState::Waiting, None));
    let options = ExportOptions { address_prefix: Some("s3://b/".to_owned()), ..ExportOptions::default() };
    let with_prefix = CreateExport { options: Some(options.clone()), ..wanted(ExportFormat::Manifest) };
    let asked = world.ask(&with_prefix).await;
    world.deliver().await;
    let done = world.look(&asked).await;
    let (whole, _) = world.at_once(&done.commit, ExportFormat::Manifest, &options).await;
    assert!(world.download(&done, 0) == whole);
}

#[tokio::test]
async fn a_damaged_set_is_not_exported_as_if_it_were_whole() {
    let world = World::new(rows(0..ROWS)).await;
    let objects = world.sets.objects(world.task);
    let chunk = objects.keys().into_iter().find(|key| key.to_string().starts_with("chunks/")).unwrap();
    objects.damage(chunk, bytes::Bytes::from_static(b"x"));
    let asked = world.ask(&wanted(ExportFormat::Jsonl)).await;
    world.deliver().await;
    let failed = world.look(&asked).await;
    assert!(failed.state == ExportState::Failed && failed.reason.unwrap().contains("is damaged"));
}

/// A segment that is not what was written is found when the file is made, and not handed out.
#[tokio::test]
async fn what_was_changed_on_the_way_is_found() {
    let world = World::new(rows(0..ROWS)).await;
    let asked = world.ask(&wanted(ExportFormat::Csv)).await;
    loop {
        let steps = world.queue.take();
        if steps.iter().any(|step| step.work == Work::Join) {
            let key = world.files.keys().into_iter().nth(1).unwrap();
            let mut bytes = world.files.bytes(&key).unwrap().to_vec();
            bytes[7] ^= 1;
            world.files.damage(&key, bytes.into());
        }
        if steps.is_empty() {
            break;
        }
        for step in &steps {
            world.hear(step).await.unwrap();
        }
    }
    let failed = world.look(&asked).await;
    assert!(failed.state == ExportState::Failed && failed.reason.unwrap().contains("not what was written"));
}

#[tokio::test]
async fn what_stands_still_is_sent_for_again() {
    let world = World::new(rows(0..ROWS)).await;
    let asked = world.ask(&wanted(ExportFormat::Coco)).await;
    // Nobody was told: whoever asked died in between.
    world.queue.take();
    assert_eq!(world.ask(&wanted(ExportFormat::Coco)).await.export, asked.export);
    for step in world.queue.take() {
        world.hear(&step).await.unwrap();
    }
    // Half of the messages lie in the dead-letter queue.
    for step in world.queue.take().into_iter().step_by(2) {
        world.hear(&step).await.unwrap();
    }
    world.ask(&wanted(ExportFormat::Coco)).await;
    assert_eq!(world.queue.take(), [], "it has moved a moment ago");
    world.clock.pass(Duration::from_secs(31 * 60));
    world.ask(&wanted(ExportFormat::Coco)).await;
    world.deliver().await;
    let done = world.look(&asked).await;
    assert_eq!(done.state, ExportState::Complete);
    let (whole, _) = world.at_once(&done.commit, ExportFormat::Coco, &done.options).await;
    assert!(world.download(&done, 0) == whole);
}
