//! `lambel task gold`, as people type it, where it goes wrong before anything is sent: there is no service here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, process::Command};

const TASK: &str = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";

/// The exit code, and what was said of it.
fn gold(words: &[&str], csv: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("gold.csv"), csv).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lambel"));
    command.current_dir(folder.path()).env("HOME", folder.path()).env_remove("LAMBEL_API").env_remove("LAMBEL_HOME");
    let output = command.args(["task", "gold"]).args(words).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_that_is_not_right_is_refused_with_its_line() {
    let add = ["add", TASK, "--csv", "gold.csv"];
    for (csv, says) in [
        ("file,label\na.png,cat\nb.png\n", "gold.csv: line 3: 1 fields instead of 2"),
        ("file,label\na.png,cat\na.png,dog\n", "gold.csv: line 3: `a.png` has the label `cat` already, in line 2"),
        ("picture,label\na.png,cat\n", "gold.csv: line 1: there is no column `file`, `name` or `image`"),
        ("file,label\n", "gold.csv: there is no image in it"),
    ] {
        let (code, said) = gold(&add, csv);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(says), "{said}");
    }
    let (code, said) = gold(&["add", TASK, "--csv", "none.csv"], "");
    assert!(code == 2 && said.contains("none.csv"), "{code}: {said}");
    let (code, said) = gold(&add, "file,label\na.png,cat\n");
    assert!(code == 2 && said.contains("which service?"), "a good file is sent: {code}: {said}");
}

#[test]
fn what_cannot_be_picked_is_refused() {
    let promote = |share: &'static str, count: &'static str| {
        gold(&["promote", TASK, "--min-confidence", share, "--count", count], "")
    };
    for (share, count, says) in
        [("1.5", "50", "--min-confidence is 0 to 1, not 1.5"), ("0.9", "1001", "--count is 1 to 1000, not 1001")]
    {
        let (code, said) = promote(share, count);
        assert!(code == 2 && said.contains(says), "{code}: {said}");
    }
}
