//! `lambel dataset`, as people type it, on folders that are there: without a service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use futures::stream;
use lambel_core::{Actor, FileName, ImageId, Label, Timestamp, consensus::Confidence, subtask::Refusal};
use lambel_dataset::{
    CommitId, Consensus, Dataset, DirectoryObjectStore, DirectoryRefs, Draft, Row,
    row::{Outcome, RowVote, VoteAnswer},
};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A folder with a data set in `set` and the original files in `originals`, and the command beside both.
struct Bench(TempDir);

/// What a command has left.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

fn time(second: i64) -> Timestamp {
    Timestamp::from_millis(1_795_250_820_000 + 1_000 * second)
}

/// The bytes of a file. Nothing here looks into pictures.
fn bytes(n: u32) -> Vec<u8> {
    format!("picture {n}").into_bytes()
}

fn name(n: u32) -> String {
    format!("batch/{n}.png")
}

/// An image that got a label; every tenth file was no picture.
fn row(n: u32, label: &str) -> Row {
    let mut row = Row::new(ImageId::of(&bytes(n)));
    row.names = vec![FileName::parse(&name(n)).unwrap()];
    row.bytes = Some(bytes(n).len() as u64);
    if n.is_multiple_of(10) {
        let refusal = Refusal { code: "not-a-picture".to_owned(), detail: "it is text".to_owned() };
        row.outcome = Outcome::Rejected { refusal };
        return row;
    }
    (row.media_type, row.width, row.height) = (Some("image/png".to_owned()), Some(4), Some(3));
    let label = Label::parse(label).unwrap();
    let answer = VoteAnswer::Label(label.clone());
    let operator = "o1".parse().unwrap();
    row.votes.push(RowVote { operator, answer, at: Some(time(0)), elapsed_ms: Some(900), weight: None, late: false });
    let confidence = Confidence::new(if n.is_multiple_of(2) { 1.0 } else { 0.5 });
    row.outcome = Outcome::Complete { label, confidence, reason: None };
    row
}

impl Bench {
    /// A data set with two versions: 30 images, all cats, and the same with image 7 a dog.
    fn new() -> (Self, CommitId, CommitId) {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(bench.path("originals/batch")).unwrap();
        for n in 0..30 {
            fs::write(bench.path("originals").join(name(n)), bytes(n)).unwrap();
        }
        let first = bench.commit(1, "first", (0..30).map(|n| row(n, "cat")).collect());
        let second = bench.commit(2, "second", (0..30).map(|n| row(n, if n == 7 { "dog" } else { "cat" })).collect());
        (bench, first, second)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn commit(&self, second: i64, message: &str, mut rows: Vec<Row>) -> CommitId {
        rows.sort_by_key(|row| row.image);
        let draft = Draft {
            task: "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap(),
            author: Actor { id: "s1".to_owned(), name: Some("anna".to_owned()) },
            at: time(second),
            message: message.to_owned(),
            labels: ["cat", "dog"].map(|text| Label::parse(text).unwrap()).to_vec(),
            policy: Map::new(),
            consensus: Consensus { method: "majority".to_owned(), parameters: Map::new() },
            models: Vec::new(),
            program: "a test".to_owned(),
        };
        let dataset = Dataset {
            objects: Arc::new(DirectoryObjectStore::open(self.path("set")).unwrap()),
            refs: Arc::new(DirectoryRefs::create(self.path("set")).unwrap()),
        };
        let rows = stream::iter(rows.into_iter().map(Ok));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(dataset.commit_rows(&"live".parse().unwrap(), draft, rows)).unwrap().id
    }

    fn command(&self, words: &[&str], within: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lambel"));
        command.current_dir(within).env("HOME", self.0.path()).env("USER", "bert").env_remove("LAMBEL_API");
        command.env_remove("LAMBEL_HOME").env_remove("XDG_CONFIG_HOME");
        command.arg("dataset").args(words).stdin(Stdio::null());
        command
    }

    fn lambel(&self, words: &[&str]) -> Ended {
        let output = self.command(&[words, &["--in", "set"]].concat(), self.0.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// A command that ends well: its lines of JSON.
    fn json(&self, words: &[&str]) -> Vec<Value> {
        let ended = self.lambel(&[words, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{words:?}: {}", ended.err);
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn one(&self, words: &[&str]) -> Value {
        let mut all = self.json(words);
        assert_eq!(all.len(), 1, "{words:?}");
        all.remove(0)
    }

    /// A command that fails with this exit code: what it says.
    fn fails(&self, code: i32, words: &[&str]) -> String {
        let ended = self.lambel(words);
        assert_eq!(ended.code, code, "{words:?}: {}{}", ended.out, ended.err);
        assert_eq!(ended.out, "", "{words:?}");
        ended.err
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn history_is_shown_and_traced() {
    let (bench, first, second) = Bench::new();
    let log = bench.json(&["log"]);
    let ids: Vec<_> = log.iter().map(|entry| entry["commit"].clone()).collect();
    assert_eq!(ids, [json!(second), json!(first)]);
    assert_eq!((&log[0]["message"], &log[0]["branches"]), (&json!("second"), &json!(["live"])));
    assert_eq!(bench.json(&["log", "--limit", "1"]).len(), 1);
    let text = bench.lambel(&["log"]).out;
    assert!(text.lines().nth(1).unwrap().contains("27/30") && text.contains("anna"), "{text}");

    let shown = bench.one(&["show", "live~1"]);
    assert_eq!((&shown["commit"], &shown["statistics"]["labels"]), (&json!(first), &json!({"cat": 27})));
    let text = bench.lambel(&["show"]).out;
    assert!(text.contains("cat 26, dog 1") && text.contains(&second.to_string()), "{text}");

    for image in [name(7), ImageId::of(&bytes(7)).to_string()] {
        let blame = bench.one(&["blame", &image]);
        assert_eq!((&blame["commit"], &blame["label"]), (&json!(second), &json!("dog")), "{blame}");
    }
    assert_eq!(bench.one(&["blame", &name(8)])["commit"], json!(first));
    bench.fails(4, &["blame", "nobody.png"]);
}

#[test]
fn versions_go_by_many_names() {
    let (bench, first, second) = Bench::new();
    let digits = first.to_string();
    bench.one(&["tag", "v1", &digits]);
    for name in ["v1", "live~1", &digits, &digits[..8]] {
        assert_eq!(bench.one(&["show", name])["commit"], json!(first), "{name}");
    }
    assert_eq!(bench.json(&["tag"])[0]["by"], json!({"id": "local", "name": "bert"}));
    // A tag stays; setting it again is no harm.
    assert_eq!(bench.one(&["tag", "v1", "live~1"])["new"], false);
    assert!(bench.fails(6, &["tag", "v1", "live"]).contains("never moves"));
    bench.fails(6, &["tag", "live", "v1"]);
    for unknown in ["v2", "abc", "live~2", "0000", &"0".repeat(64)] {
        bench.fails(4, &["show", unknown]);
    }
    assert!(bench.fails(4, &["show", "v2"]).contains("live, v1"), "it says what there is");
    bench.fails(2, &["show", "live~x"]);
    // Without `--in` it is the folder that one stands in.
    let output = bench.command(&["show", "--json"], &bench.path("set")).output().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["commit"], json!(second));
    let nowhere = bench.command(&["log"], &bench.path("originals")).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(4));
    assert_eq!(bench.files("originals"), ["batch"], "looking makes no data set");
}

#[test]
fn differences_are_listed_and_rolled_back() {
    let (bench, first, _) = Bench::new();
    let changes = bench.json(&["diff", "live~1", "live"]);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["kinds"], json!(["relabelled", "votes-changed"]));
    assert_eq!((&changes[0]["before"]["label"], &changes[0]["after"]["label"]), (&json!("cat"), &json!("dog")));
    let text = bench.lambel(&["diff", "live~1", "live"]);
    assert_eq!(text.out, "relabelled,votes-changed  batch/7.png: complete cat (50 %) -> complete dog (50 %)\n");
    assert!(text.err.contains("1 images are not the same"), "{}", text.err);
    let summary = bench.one(&["diff", "live~1", "live", "--summary"]);
    assert_eq!((&summary["images"], &summary["kinds"]["relabelled"]), (&json!(1), &json!(1)));
    assert_eq!(bench.json(&["diff", "live", "live"]), Vec::<Value>::new());

    let back = bench.one(&["rollback", "live~1", "--message", "dogs are cats"]);
    assert_eq!((&back["new"], &back["rows_of"]), (&json!(true), &json!(first)));
    assert_eq!(bench.json(&["diff", &first.to_string(), "live"]).len(), 0);
    assert_eq!(bench.json(&["log"]).len(), 3, "nothing is lost");
    assert_eq!(bench.one(&["rollback", "live~2"])["new"], false, "it has these rows already");
    bench.fails(4, &["rollback", "live", "--branch", "other"]);
}

#[test]
fn damage_is_found_and_garbage_is_removed_when_told() {
    let (bench, _, _) = Bench::new();
    let good = bench.one(&["verify"]);
    assert_eq!((&good["commits"], &good["problems"]), (&json!(2), &json!([])));

    // What a commit leaves that lost its race.
    let chunk = bench.path("set/chunks").join(&bench.files("set/chunks")[0]);
    let lost = bench.path("set/chunks").join(format!("{}.jsonl.gz", "0".repeat(64)));
    fs::copy(&chunk, &lost).unwrap();
    assert_eq!(bench.one(&["gc"])["young"], 1, "it may be of a commit that is being made");
    let found = bench.one(&["gc", "--grace-hours", "0"]);
    assert_eq!((&found["applied"], &found["objects"]), (&json!(false), &json!(1)));
    assert!(lost.exists(), "looking removes nothing");
    assert_eq!(bench.one(&["gc", "--grace-hours", "0", "--apply"])["objects"], 1);
    assert!(!lost.exists());
    assert_eq!(bench.one(&["verify"])["problems"], json!([]));

    fs::write(&chunk, b"no longer what it was").unwrap();
    let ended = bench.lambel(&["verify", "--json"]);
    let found: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!((ended.code, found["problems"].as_array().unwrap().len()), (6, 1), "{}", ended.out);
    assert!(found["problems"][0]["object"].as_str().unwrap().starts_with("chunks/"));
    let error: Value = serde_json::from_str(&ended.err).unwrap();
    assert_eq!(error["error"]["code"], "conflict");
}

#[test]
fn exports_appear_whole_or_not_at_all() {
    let (bench, _, second) = Bench::new();
    // 27 pictures and three files that are none; half the pictures are sure.
    let lines = |format: &str, more: &[&str]| {
        let words = [&["export", "--format", format, "--out", "out"], more].concat();
        let shown = bench.one(&words);
        let text = fs::read(bench.path("out")).unwrap();
        assert_eq!((&shown["commit"], &shown["bytes"]), (&json!(second), &json!(text.len())));
        (shown["images"].as_u64().unwrap(), text.iter().filter(|byte| **byte == b'\n').count())
    };
    assert_eq!(lines("jsonl", &[]), (30, 30));
    assert_eq!(lines("jsonl", &["--only-labelled"]), (27, 27));
    assert_eq!(lines("csv", &["--min-confidence", "0.75"]), (12, 13));
    assert_eq!(lines("imagefolder", &[]), (27, 27));
    assert_eq!(lines("folders", &[]), (27, 27));
    assert_eq!(lines("manifest", &["--address-prefix", "s3://b/"]), (27, 27));
    let first = fs::read_to_string(bench.path("out")).unwrap();
    assert!(first.starts_with(r#"{"source-ref":"s3://b/batch/"#), "{first}");
    assert_eq!(lines("label-studio", &["--address-prefix", "s3://b/"]).0, 27);
    assert_eq!(lines("coco", &[]).0, 27);
    assert_eq!(lines("parquet", &[]).0, 30);
    // A folder that is there gets a file of the usual name.
    bench.one(&["export", "--format", "coco", "--out", "originals"]);
    assert_eq!(bench.files("originals"), ["batch", "coco.json"]);

    let before = bench.files(".");
    fs::write(bench.path("out"), b"as it was").unwrap();
    let said = bench.fails(2, &["export", "--format", "manifest", "--out", "out"]);
    assert!(said.contains("--address-prefix"), "{said}");
    bench.fails(2, &["export", "--format", "manifest", "--attribute", "a b", "--out", "out"]);
    bench.fails(2, &["export", "--format", "csv", "--min-confidence", "1.5", "--out", "out"]);
    bench.fails(4, &["export", "--format", "csv", "--at", "v9", "--out", "out"]);
    bench.fails(2, &["export", "--format", "csv", "--images", "originals", "--out", "new"]);
    assert_eq!(fs::read(bench.path("out")).unwrap(), b"as it was");
    assert_eq!(bench.files("."), before);
}

#[test]
fn images_are_placed_all_or_none() {
    let (bench, _, _) = Bench::new();
    let folders = ["export", "--format", "folders", "--images", "originals", "--out"];
    let shown = bench.one(&[&folders[..], &["classes"]].concat());
    assert_eq!(shown["images"], 27);
    assert_eq!(bench.files("classes"), ["cat", "dog"]);
    assert_eq!((bench.files("classes/cat").len(), bench.files("classes/dog").len()), (26, 1));
    let dog = bench.path("classes/dog").join(&bench.files("classes/dog")[0]);
    assert_eq!(fs::read(dog).unwrap(), bytes(7));
    assert!(bench.fails(6, &[&folders[..], &["classes"]].concat()).contains("there already"));

    let folder = ["export", "--format", "imagefolder", "--images", "originals", "--out"];
    assert_eq!(bench.one(&[&folder[..], &["hf"]].concat())["images"], 27);
    let metadata = fs::read_to_string(bench.path("hf/train/metadata.jsonl")).unwrap();
    assert_eq!(metadata.lines().count(), 27);
    for line in metadata.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let file = bench.path("hf/train").join(line["file_name"].as_str().unwrap());
        assert_eq!(ImageId::of(&fs::read(file).unwrap()).to_string(), line["sha256"]);
    }

    // One is gone, and one is another picture now.
    fs::remove_file(bench.path("originals").join(name(3))).unwrap();
    fs::write(bench.path("originals").join(name(4)), b"another").unwrap();
    let before = bench.files(".");
    let said = bench.fails(4, &[&folder[..], &["new"]].concat());
    assert!(said.contains("2 images") && said.contains(&name(3)) && said.contains(&name(4)), "{said}");
    assert_eq!(bench.files("."), before, "no half of a folder is left");
}

#[test]
fn of_many_rollbacks_at_once_each_is_done_or_told() {
    let (bench, first, second) = Bench::new();
    let words = |to: CommitId| ["rollback".to_owned(), to.to_string(), "--in".to_owned(), "set".to_owned()];
    let mut children = Vec::new();
    for n in 0..8 {
        let words = words(if n % 2 == 0 { first } else { second });
        let words: Vec<_> = words.iter().map(String::as_str).chain(["--json"]).collect();
        let mut command = bench.command(&words, bench.0.path());
        children.push(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    }
    let mut done = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {
                let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
                done += usize::from(shown["new"] == true);
            }
            code => assert!(code == Some(6) && said.contains("moved meanwhile"), "{code:?}: {said}"),
        }
    }
    assert!(done > 0);
    assert_eq!(bench.json(&["log"]).len(), 2 + done, "what was said to be done is in the history, and nothing else");
    assert_eq!(bench.one(&["verify"])["problems"], json!([]));
}
