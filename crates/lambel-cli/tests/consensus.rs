//! `lambel consensus`, as people type it: on files alone, without a service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with files, and the command in it.
struct Bench(TempDir);

/// What a command has left.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn lambel(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lambel"));
        command.current_dir(self.0.path()).env("HOME", self.0.path()).env_remove("LAMBEL_API");
        let output = command.arg("consensus").args(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn json(&self, words: &[&str]) -> Value {
        let ended = self.lambel(&[words, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        serde_json::from_str(&ended.out).unwrap()
    }
}

/// Forty items of two labels. Ann and Bob are always right; Cy and Dan always say `cat`.
fn biased(order: impl Fn(&mut Vec<String>)) -> (String, String) {
    let (mut votes, mut truth) = (Vec::new(), "item,truth\n".to_owned());
    for item in 0..40 {
        let right = if item % 2 == 0 { "cat" } else { "dog" };
        truth += &format!("{item}.png,{right}\n");
        votes.extend(["ann", "bob"].map(|who| format!("{item}.png,{who},{right}\n")));
        votes.extend(["cy", "dan"].map(|who| format!("{item}.png,{who},cat\n")));
    }
    order(&mut votes);
    (format!("item,annotator,label\n{}", votes.concat()), truth)
}

#[test]
fn aggregate_finds_the_labels_that_a_majority_misses() {
    let bench = Bench::new();
    let (votes, truth) = biased(|_| ());
    bench.file("v.csv", votes).file("t.csv", truth);
    let report = bench.json(&["aggregate", "--votes", "v.csv", "--truth", "t.csv", "--method", "majority"]);
    assert_eq!(report["against_truth"]["accuracy"], 0.5);
    for method in ["dawid-skene", "map-em"] {
        let words = ["aggregate", "--votes", "v.csv", "--truth", "t.csv", "--method", method, "--out", "o.csv"];
        let report = bench.json(&words);
        assert_eq!(report["against_truth"]["accuracy"], 1.0, "{method}");
        let counts = ["items", "annotators", "votes", "labels"].map(|name| report[name].as_u64().unwrap());
        assert_eq!(counts, [40, 4, 160, 2]);
        let out = fs::read_to_string(bench.path("o.csv")).unwrap();
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!((lines.len(), lines[0]), (41, "item,label,confidence"));
        assert!(lines[1].starts_with("0.png,cat,0.9") || lines[1].starts_with("0.png,cat,1.0"), "{}", lines[1]);
        assert!(lines[2].starts_with("1.png,dog,"), "{}", lines[2]);
    }
}

#[test]
fn the_order_of_the_lines_and_of_the_columns_changes_nothing() {
    let bench = Bench::new();
    let out = |votes: String| {
        bench.file("v.csv", votes);
        assert_eq!(bench.lambel(&["aggregate", "--votes", "v.csv", "--out", "o.csv"]).code, 0);
        fs::read(bench.path("o.csv")).unwrap()
    };
    let first = out(biased(|_| ()).0);
    assert_eq!(out(biased(|votes| votes.reverse()).0), first);
    let swapped = biased(|votes| votes.rotate_left(77)).0.lines().fold(String::new(), |text, line| {
        let cells: Vec<&str> = line.split(',').collect();
        text + &format!("{},more, {} ,{}\r\n", cells[2], cells[0], cells[1])
    });
    assert_eq!(out(format!("\u{feff}{swapped}").replace("more", "x")), first);
}

#[test]
fn a_file_that_is_not_right_leaves_nothing_behind() {
    let bench = Bench::new();
    let bad: [(&[u8], &str); 9] = [
        (b"", "line 1: there is no column `item`"),
        (b"item,label\na,b\n", "line 1: there is no column `annotator`"),
        (b"item,annotator,label\na,b\n", "line 2: 2 fields instead of 3"),
        (b"item,annotator,label\na,b,c\na,d,\n", "line 3: `label` is empty"),
        (b"item,annotator,label\n , b,c\n", "line 2: `item` is empty"),
        (b"item,annotator,label\na,b,c\na,e,\xff\xfe\n", "line 3: this is not UTF-8"),
        (b"item,annotator,label\na,b,c\nx,b,c\na,b,d\n", "line 4: `b` has another vote on `a` already, in line 2"),
        (b"item,annotator,label\na,b,c\na,b,c\nx,b,c\nx,b,d\n", "line 5: `b` has another vote on `x` already"),
        (b"item,annotator,label\na,\"b,c\n", "line 2"),
    ];
    for (bytes, reason) in bad {
        bench.file("v.csv", bytes);
        let ended = bench.lambel(&["aggregate", "--votes", "v.csv", "--out", "o.csv"]);
        assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{reason}");
        assert!(ended.err.contains("v.csv") && ended.err.contains(reason), "{reason}: {}", ended.err);
        assert!(!bench.path("o.csv").exists());
    }
    let many: String = (0..=1_000).map(|n| format!("{n},a,{n}\n")).collect();
    bench.file("v.csv", format!("item,annotator,label\n{many}"));
    let ended = bench.lambel(&["aggregate", "--votes", "v.csv"]);
    assert!(ended.code == 2 && ended.err.contains("line 1002: there are more than 1000"), "{}", ended.err);

    bench.file("v.csv", "item,annotator,label\na,b,c\n").file("t.csv", "item,truth\na,c\nunknown,d\na,d\n");
    let ended = bench.lambel(&["aggregate", "--votes", "v.csv", "--truth", "t.csv"]);
    assert!(ended.code == 2 && ended.err.contains("line 4: this item has another truth"), "{}", ended.err);
    assert_eq!(bench.lambel(&["aggregate", "--votes", "missing.csv"]).code, 2);
}

#[test]
fn the_same_vote_again_is_one_vote_and_a_truth_without_votes_is_fine() {
    let bench = Bench::new();
    bench.file("v.csv", "item,annotator,label\na,x,c\na,x,c\nb,y,d\n");
    bench.file("t.csv", "item,truth\na,c\nelsewhere,e\n");
    let report = bench.json(&["aggregate", "--votes", "v.csv", "--truth", "t.csv", "--method", "majority"]);
    assert_eq!((report["votes"].as_u64(), report["against_truth"]["items"].as_u64()), (Some(2), Some(1)));
    assert_eq!(report["against_truth"]["accuracy"], 1.0);
    assert_eq!(report["agreement"], Value::Null, "no item has two votes");
}

#[test]
fn without_any_vote_there_is_nothing_to_say() {
    let bench = Bench::new();
    bench.file("v.csv", "item,annotator,label\n").file("t.csv", "item,truth\n");
    let report = bench.json(&["aggregate", "--votes", "v.csv", "--truth", "t.csv"]);
    assert_eq!((report["items"].as_u64(), report["votes"].as_u64()), (Some(0), Some(0)));
    assert_eq!(bench.lambel(&["stream", "--votes", "v.csv", "--truth", "t.csv"]).code, 2);
    assert_eq!(bench.json_lines(&["operators", "--votes", "v.csv"]).len(), 0);
}

impl Bench {
    fn json_lines(&self, words: &[&str]) -> Vec<Value> {
        let ended = self.lambel(&[words, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Three hundred items; six annotators of ten vote on each, nine of them right in nine of ten cases.
fn good_crowd() -> (String, String) {
    let (mut votes, mut truth) = ("item,annotator,label\n".to_owned(), "item,truth\n".to_owned());
    let names = ["ant", "bee", "fly"];
    let mut drawn = 7_u64;
    let mut below = |end: u64| {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (drawn >> 33) % end
    };
    for item in 0..300_usize {
        truth += &format!("{item},{}\n", names[item % 3]);
        for place in 0..6 {
            let who = (item + place * 3) % 10;
            let right = who != 0 && below(10) > 0;
            let said = if right { item % 3 } else { below(3) as usize };
            votes += &format!("{item},w{who},{}\n", names[said]);
        }
    }
    (votes, truth)
}

#[test]
fn a_stream_takes_fewer_votes_than_a_majority_of_five_and_is_as_good() {
    let bench = Bench::new();
    let (votes, truth) = good_crowd();
    bench.file("v.csv", votes).file("t.csv", truth);
    let words = ["stream", "--votes", "v.csv", "--truth", "t.csv", "--shuffles", "3", "--max", "6", "--gold", "50"];
    let report = bench.json(&words);
    let row = |rule: &str, parameter: f64| {
        let rows = report["rows"].as_array().unwrap();
        let found = rows.iter().find(|row| row["rule"] == rule && row["parameter"] == parameter).unwrap();
        ["votes_per_image", "accuracy", "calibration_error"].map(|name| found[name].as_f64().unwrap())
    };
    let [votes, accuracy, _] = row("adaptive", 0.99);
    let [five, of_five, error_of_five] = row("majority", 5.0);
    assert!(votes < 4.0 && five >= 5.0, "{votes} {five}");
    assert!(accuracy > 0.95 && accuracy > of_five - 0.01, "{accuracy} {of_five}");
    assert!(error_of_five > 0.05, "shares of votes are no posteriors: {error_of_five}");
    assert!(report["rows"][0]["calibrated_error"].as_f64().unwrap() < 0.05);
    assert!(report["rows"][0]["running_calibrated_error"].as_f64().unwrap() < 0.05);
    assert_eq!(report["rows"].as_array().unwrap().iter().filter(|row| row["running_error"].is_f64()).count(), 1);
    assert_eq!(row("lead", 2.0)[0].floor(), 2.0);
    // The same seed, the same figures; another, others.
    assert_eq!(bench.json(&words), report);
    assert_ne!(bench.json(&[&words[..], &["--seed", "9"]].concat())["rows"], report["rows"]);
}

#[test]
fn random_clickers_cost_votes_and_hardly_any_accuracy() {
    let bench = Bench::new();
    let (votes, truth) = good_crowd();
    bench.file("v.csv", votes).file("t.csv", truth);
    let words = ["stream", "--votes", "v.csv", "--truth", "t.csv", "--shuffles", "3"];
    let clean = bench.json(&words);
    let spammed = bench.json(&[&words[..], &["--spammers", "0.5"]].concat());
    assert_eq!(spammed["spammers"], 5);
    let figure = |report: &Value, name: &str| report["rows"][0][name].as_f64().unwrap();
    assert!(figure(&spammed, "votes_per_image") > figure(&clean, "votes_per_image") + 0.2);
    assert!(figure(&spammed, "accuracy") > figure(&clean, "accuracy") - 0.02);
}

#[test]
fn several_confidences_say_what_is_saved() {
    let bench = Bench::new();
    let (votes, truth) = good_crowd();
    bench.file("v.csv", votes).file("t.csv", truth);
    let words = ["stream", "--votes", "v.csv", "--truth", "t.csv", "--confidence", "0.5,0.9,0.99,0.9999"];
    let report = bench.json(&words);
    let rows: Vec<&Value> = report["rows"].as_array().unwrap().iter().collect();
    let figures = |row: &Value| ["votes_per_image", "accuracy"].map(|name| row[name].as_f64().unwrap());
    let five = rows.iter().find(|row| row["rule"] == "majority" && row["parameter"] == 5.0).unwrap();
    let [votes_of_five, accuracy_of_five] = figures(five);
    let curve: Vec<[f64; 2]> = rows.iter().filter(|row| row["rule"] == "adaptive").map(|row| figures(row)).collect();
    assert!(curve.is_sorted_by(|a, b| a[0] <= b[0]), "more confidence takes more votes: {curve:?}");
    // It lies on the line between the two confidences that are just not as good, and as good.
    let ends = curve.windows(2).find(|ends| ends[0][1] < accuracy_of_five && ends[1][1] >= accuracy_of_five).unwrap();
    let [votes, saved] = ["votes_per_image", "saved"].map(|name| report["at_majority_of_5"][name].as_f64().unwrap());
    assert!(ends[0][0] < votes && votes <= ends[1][0], "{votes} {ends:?}");
    assert!((saved - (1.0 - votes / votes_of_five)).abs() < 1e-12 && saved > 0.0, "{saved}");
    assert_eq!(bench.lambel(&["stream", "--votes", "v.csv", "--truth", "t.csv", "--confidence", "1.5"]).code, 2);
}

#[test]
fn operators_are_shown_with_reasons() {
    let bench = Bench::new();
    let (votes, truth) = biased(|_| ());
    bench.file("v.csv", votes).file("t.csv", truth);
    let rows = bench.json_lines(&["operators", "--votes", "v.csv", "--truth", "t.csv"]);
    let of = |name: &str| rows.iter().find(|row| row["annotator"] == name).unwrap();
    assert_eq!((of("ann")["flags"].as_array().unwrap().len(), &of("ann")["gold"]["right"]), (0, &40.into()));
    let dan = of("dan");
    assert_eq!(dan["confusions"][0], serde_json::json!({"decided": "dog", "said": "cat", "times": 20}));
    let flags: Vec<_> = dan["flags"].as_array().unwrap().iter().map(|flag| &flag["flag"]).collect();
    assert_eq!(flags, ["same-answer"]);
    let text = bench.lambel(&["operators", "--votes", "v.csv", "--truth", "t.csv", "--flagged"]).out;
    assert!(text.contains("says `cat` in 100.00 % of the cases") && !text.contains("ann "), "{text}");
}
