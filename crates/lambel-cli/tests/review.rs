//! `lambel task review`, as people type it, where it goes wrong before anything is sent: there is no service here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{fs, process::Command};

const TASK: &str = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11";

/// The exit code, and what was said of it.
fn review(words: &[&str], csv: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("answers.csv"), csv).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lambel"));
    command.current_dir(folder.path()).env("HOME", folder.path()).env_remove("LAMBEL_API").env_remove("LAMBEL_HOME");
    let output = command.args(["task", "review", TASK]).args(words).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_file_that_is_not_right_is_refused_with_its_line() {
    for (csv, says) in [
        ("file,label\na.png,cat\nb.png\n", "answers.csv: line 3: 1 fields instead of 2"),
        ("file,label\na.png,cat\na.png,dog\n", "answers.csv: line 3: `a.png` has the label `cat` already, in line 2"),
        ("image,label\nabc,cat\n", "answers.csv: line 2: an image id is the SHA-256"),
        ("file,label\n", "answers.csv: there is no image in it"),
    ] {
        let (code, said) = review(&["--csv", "answers.csv"], csv);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(says), "{said}");
    }
    let (code, said) = review(&["--csv", "answers.csv"], "file,label\na.png,cat\n");
    assert!(code == 2 && said.contains("which service?"), "a good file is sent: {code}: {said}");
}

#[test]
fn one_thing_is_done_at_a_time() {
    for words in [&[][..], &["--list", "--keep-best"], &["--csv", "answers.csv", "--keep-best"]] {
        let (code, said) = review(words, "file,label\na.png,cat\n");
        assert_eq!(code, 2, "{words:?}: {said}");
        assert!(!said.contains("which service?"), "{words:?}: {said}");
    }
}
