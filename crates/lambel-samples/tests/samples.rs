//! The set is what it says, and the same for the same seed.

#![expect(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lambel_image::{Limits, inspect, preview};
use lambel_samples::{SampleSet, numbered, write_sample_set};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Left over from a test that was stopped, or of a static, which is never dropped.
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for folder in [folder.to_owned(), folder.join("images")] {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_file() {
                files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
            }
        }
    }
    files
}

/// The set of seed 1. Drawing takes a while without optimisation, so the tests share it.
static SET: LazyLock<(Folder, SampleSet)> = LazyLock::new(|| {
    let folder = Folder::new("shared");
    let set = write_sample_set(&folder.0, 1).unwrap();
    (folder, set)
});

#[test]
fn one_seed_one_set() {
    let (folder, set) = &*SET;
    let again = Folder::new("again");
    assert_eq!(&SampleSet { folder: folder.0.clone(), ..write_sample_set(&again.0, 1).unwrap() }, set);
    assert!(files(&folder.0) == files(&again.0), "the same seed gives the same bytes");
    assert!(numbered(5, 1).ne(numbered(5, 2)));
}

#[test]
fn every_file_gets_the_verdict_that_is_announced() {
    let (folder, set) = &*SET;
    let read = |name: &str| fs::read(folder.0.join("images").join(name)).unwrap();
    assert_eq!(fs::read_dir(folder.0.join("images")).unwrap().count(), set.files());
    let mut distinct = HashSet::new();
    let mut turned = 0;
    let mut formats = HashMap::new();
    for picture in &set.good {
        let bytes = read(&picture.name);
        let inspected = inspect(&bytes, &Limits::default()).unwrap();
        assert!(picture.name.ends_with(inspected.format.extension()));
        *formats.entry(inspected.format).or_insert(0) += 1;
        if inspected.orientation == 6 {
            turned += 1;
            assert_eq!((inspected.width, inspected.height), (480, 640));
            assert!(inspected.has_metadata);
            preview(&bytes, &Limits::default()).unwrap();
        }
        distinct.insert(bytes);
    }
    assert_eq!((distinct.len(), turned, formats.len()), (set.distinct_good(), 1, 3));
    for pair in &set.duplicates {
        assert_eq!(read(&pair.original), read(&pair.copy));
    }
    for file in &set.refused {
        assert_eq!(inspect(&read(&file.name), &Limits::default()).unwrap_err().code(), file.code);
    }
}

#[test]
fn everybody_has_voted_once_on_every_good_picture_as_well_as_they_can() {
    let (folder, set) = &*SET;
    let table = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    let truth: HashMap<String, String> = table("truth.csv")
        .lines()
        .skip(1)
        .map(|line| line.split_once(',').unwrap())
        .map(|(item, label)| (item.to_owned(), label.to_owned()))
        .collect();
    assert_eq!(truth.len(), set.good.len());
    assert!(set.good.iter().all(|picture| truth[&picture.name] == picture.truth.label()));
    assert_eq!(table("labels.txt").lines().collect::<Vec<_>>(), set.labels);
    let votes = table("votes.csv");
    let votes: HashMap<(&str, &str), &str> = votes
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .map(|fields| ((fields[0], fields[1]), fields[2]))
        .collect();
    assert_eq!(votes.len(), set.good.len() * set.annotators.len());
    for annotator in &set.annotators {
        let right = set.good.iter().filter(|p| votes[&(p.name.as_str(), annotator.name)] == p.truth.label()).count();
        let share = right as f64 / set.good.len() as f64;
        let expected = annotator.reliability.unwrap_or(1.0 / 6.0);
        assert!((share - expected).abs() < 0.16, "{}: {share}", annotator.name);
        for pair in &set.duplicates {
            let vote = |item: &str| votes[&(item, annotator.name)];
            assert_eq!(vote(&pair.original), vote(&pair.copy));
        }
    }
}

#[test]
fn numbered_pictures_are_good_and_all_different() {
    let pictures: Vec<_> = numbered(500, 3).collect();
    let distinct: HashSet<_> = pictures.iter().map(|(_, bytes)| bytes).collect();
    let names: HashSet<_> = pictures.iter().map(|(name, _)| name).collect();
    assert_eq!((distinct.len(), names.len()), (500, 500));
    for (_, bytes) in &pictures {
        let inspected = inspect(bytes, &Limits::default()).unwrap();
        assert_eq!((inspected.width, inspected.height), (32, 32));
        assert!(!lambel_image::preview_needed(&inspected, bytes.len() as u64));
    }
    assert!(numbered(20, 3).eq(pictures.into_iter().take(20)));
}
