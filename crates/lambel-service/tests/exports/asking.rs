//! What a client may ask of exports, and what they are told.

use std::time::Duration;

use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportFormat, ExportId, ExportOptions, ExportState},
    limits,
};
use lambel_service::{Caller, Error, Role, ports::Exports};

use crate::{
    sample::rows,
    world::{World, alice, wanted},
};

#[tokio::test]
async fn the_same_asked_twice_is_the_same_export() {
    let world = World::new(rows(0..50)).await;
    let first = world.ask(&wanted(ExportFormat::Csv)).await;
    world.deliver().await;
    let again = world.ask(&wanted(ExportFormat::Csv)).await;
    assert_eq!((again.export, again.state), (first.export, ExportState::Complete));
    assert!(again.files[0].url.is_some());
    assert_eq!(world.queue.take(), [], "what is there is not made again");
    let by_id = CreateExport { version: Some(first.commit.clone()), ..wanted(ExportFormat::Csv) };
    assert_eq!(world.ask(&by_id).await.export, first.export, "the version counts, not what it was called");

    // What is taken for granted is the same as what is said.
    let manifest = world.ask(&wanted(ExportFormat::Manifest)).await;
    let options = ExportOptions { attribute: Some("label".to_owned()), ..ExportOptions::default() };
    let said = CreateExport { options: Some(options), ..wanted(ExportFormat::Manifest) };
    assert_eq!(world.ask(&said).await.export, manifest.export);

    // Another version, format or option is another export.
    let options = ExportOptions { only_labelled: true, ..ExportOptions::default() };
    let labelled = CreateExport { options: Some(options), ..wanted(ExportFormat::Csv) };
    let mut ids = vec![first.export, manifest.export, world.ask(&labelled).await.export];
    world.commit(9, rows(0..60)).await;
    ids.push(world.ask(&wanted(ExportFormat::Csv)).await.export);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let listed = world.exports.list(&alice(), world.task).await.unwrap().exports;
    assert_eq!(listed.len(), 4);
    assert!(listed.iter().all(|export| export.files.is_empty()), "a list has no files");
}

#[tokio::test]
async fn files_are_there_for_some_time() {
    let world = World::new(rows(0..50)).await;
    let asked = world.ask(&wanted(ExportFormat::Csv)).await;
    world.deliver().await;
    let done = world.look(&asked).await;
    let days = |n: u64| Duration::from_secs(n * 24 * 3_600);
    assert_eq!(done.expires_at, Some(done.ended_at.unwrap().plus(days(29))));
    world.clock.pass(days(28));
    assert_eq!(world.look(&asked).await.state, ExportState::Complete);
    world.clock.pass(days(1));
    let expired = world.look(&asked).await;
    assert_eq!((expired.state, expired.files), (ExportState::Expired, Vec::new()));
    let again = world.ask(&wanted(ExportFormat::Csv)).await;
    assert_eq!((again.export, again.state), (asked.export, ExportState::Waiting));
    world.deliver().await;
    assert_eq!(world.look(&asked).await.state, ExportState::Complete);
}

#[tokio::test]
async fn only_the_owner_and_admins_know_of_it() {
    let world = World::new(rows(0..50)).await;
    let asked = world.ask(&wanted(ExportFormat::Csv)).await;
    let other = Caller::new("bob", [Role::Client]);
    let request = wanted(ExportFormat::Csv);
    assert!(matches!(world.exports.create(&other, world.task, &request).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.exports.show(&other, world.task, asked.export).await, Err(Error::TaskNotFound)));
    assert!(matches!(world.exports.list(&other, world.task).await, Err(Error::TaskNotFound)));
    let operator = Caller::new("alice", [Role::Operator]);
    assert!(world.exports.show(&operator, world.task, asked.export).await.is_err());
    let admin = Caller::new("root", [Role::Admin]);
    assert_eq!(world.exports.show(&admin, world.task, asked.export).await.unwrap().export, asked.export);
    let missing = ExportId::from_bytes([7; 16]);
    assert!(matches!(world.exports.show(&alice(), world.task, missing).await, Err(Error::ExportNotFound)));
    let nowhere = world.exports.create(&alice(), TaskId::random(), &request).await;
    assert!(matches!(nowhere, Err(Error::TaskNotFound)));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let world = World::new(rows(0..50)).await;
    let refused = async |format, options| {
        let request = CreateExport { options: Some(options), ..wanted(format) };
        match world.exports.create(&alice(), world.task, &request).await {
            Err(Error::Invalid { field, .. }) => field,
            other => panic!("{format:?}: {other:?}"),
        }
    };
    let usual = ExportOptions::default;
    let text = |text: &str| Some(text.to_owned());
    for least in [-0.1, 1.1, f64::NAN] {
        let options = ExportOptions { min_confidence: Some(least), ..usual() };
        assert_eq!(refused(ExportFormat::Csv, options).await, "options.min_confidence");
    }
    let each = ExportOptions { each_name: true, ..usual() };
    assert_eq!(refused(ExportFormat::Jsonl, each).await, "options.each_name");
    let attribute = ExportOptions { attribute: text("label"), ..usual() };
    assert_eq!(refused(ExportFormat::Csv, attribute).await, "options.attribute");
    for bad in ["", "a-metadata", "source-ref", "ä"] {
        let options = ExportOptions { attribute: text(bad), ..usual() };
        assert_eq!(refused(ExportFormat::Manifest, options).await, "options.attribute");
    }
    let prefix = ExportOptions { address_prefix: text("s3://b/"), ..usual() };
    assert_eq!(refused(ExportFormat::Coco, prefix).await, "options.address_prefix");
    for bad in ["", "a\nb", &"x".repeat(limits::ADDRESS_PREFIX_CHARS + 1)] {
        let options = ExportOptions { address_prefix: text(bad), ..usual() };
        assert_eq!(refused(ExportFormat::LabelStudio, options).await, "options.address_prefix");
    }
    let unknown = CreateExport { version: text("nowhere"), ..wanted(ExportFormat::Csv) };
    let found = world.exports.create(&alice(), world.task, &unknown).await;
    assert!(matches!(found, Err(Error::VersionNotFound(_))), "{found:?}");
    assert_eq!(world.queue.take(), []);
}

#[tokio::test]
async fn a_task_has_so_many_exports() {
    let world = World::new(rows(0..50)).await;
    let least = |n: u32| {
        let options = ExportOptions { min_confidence: Some(f64::from(n) / 10_000.0), ..ExportOptions::default() };
        CreateExport { options: Some(options), ..wanted(ExportFormat::Csv) }
    };
    let refused = async |n| match world.exports.create(&alice(), world.task, &least(n)).await {
        Err(Error::Conflict(detail)) => detail,
        other => panic!("{other:?}"),
    };
    for n in 0..limits::EXPORTS_AT_ONCE as u32 {
        world.ask(&least(n)).await;
    }
    assert!(refused(5_000).await.contains("on their way"));
    // What is there can be asked for.
    world.ask(&least(0)).await;
    world.deliver().await;
    for n in limits::EXPORTS_AT_ONCE as u32..limits::EXPORTS_PER_TASK {
        world.ask(&least(n)).await;
        world.deliver().await;
    }
    assert!(refused(5_000).await.contains("1000 exports"));
    assert_eq!(world.exports.list(&alice(), world.task).await.unwrap().exports.len(), limits::EXPORTS_LISTED);
    assert_eq!(world.records.exports(world.task, 5_000).await.unwrap().len(), limits::EXPORTS_PER_TASK as usize);
}
