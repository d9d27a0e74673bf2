//! `lambel task import`, as people type it, up to where a service is needed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with pictures in `pictures`, and the command beside it.
struct Bench(TempDir);

struct Ended {
    code: i32,
    out: String,
    err: String,
}

const CAT: &str = r#"[{"type":"choices","from_name":"choice","to_name":"image","value":{"choices":["cat"]}}]"#;
const DOG: &str = r#"[{"type":"choices","from_name":"choice","to_name":"image","value":{"choices":["dog"]}}]"#;

/// Three tasks, as Label Studio exports them.
fn studio() -> String {
    format!(
        r#"[{{"id":4,"data":{{"image":"/data/upload/83/0a1b2c3d-1.png"}},"annotations":[
            {{"id":9,"completed_by":1,"result":{CAT},"created_at":"2021-03-09T21:52:49.513742Z","lead_time":10.744}},
            {{"id":10,"completed_by":{{"id":2,"email":"a@b.org"}},"result":{DOG},"ground_truth":true}}],
            "predictions":[{{"model_version":"m1","score":0.9,"result":{CAT}}}]}},
           {{"id":5,"data":{{"image":"s3://bucket/batch/cats/2.png"}},"annotations":[
            {{"completed_by":1,"result":[],"was_cancelled":true}}]}},
           {{"id":6,"data":{{"image":"s3://bucket/batch/dogs/2.png"}},"annotations":[]}}]"#
    )
}

fn line(uri: &str, human: &str) -> String {
    json!({
        "source-ref": uri, "sport": 0,
        "sport-metadata": {
            "class-name": "cat", "confidence": 0.9, "type": "groundtruth/image-classification",
            "job-name": "labeling-job/sport", "human-annotated": human, "creation-date": "2018-10-18T22:18:13.527256",
        },
    })
    .to_string()
}

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        for (name, bytes) in [("1.png", "1"), ("cats/2.png", "2"), ("dogs/2.png", "3"), ("left-over.png", "4")] {
            bench.write(&format!("pictures/{name}"), bytes);
        }
        bench
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn import(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lambel"));
        command.current_dir(self.0.path()).env("HOME", self.0.path()).env_remove("LAMBEL_API");
        command.env_remove("LAMBEL_HOME").env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        command.args(["task", "import"]).args(words).args(["--images", "pictures"]);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ended { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// What would be imported.
    fn dry(&self, words: &[&str]) -> Value {
        let ended = self.import(&[words, &["--dry-run", "--json"]].concat());
        assert_eq!(ended.code, 0, "{words:?}: {}{}", ended.out, ended.err);
        serde_json::from_str(&ended.out).unwrap()
    }

    /// What is wrong with the file, as number and reason.
    fn problems(&self, words: &[&str]) -> Vec<(u64, String)> {
        let ended = self.import(&[words, &["--json"]].concat());
        assert_eq!(ended.code, 2, "{words:?}: {}", ended.err);
        assert!(ended.err.contains("so nothing was done"), "{}", ended.err);
        let said: Value = serde_json::from_str(&ended.out).unwrap();
        let problems = said["problems"].as_array().unwrap();
        assert_eq!(said["broken"], problems.len());
        let one =
            |problem: &Value| (problem["number"].as_u64().unwrap(), problem["reason"].as_str().unwrap().to_owned());
        problems.iter().map(one).collect()
    }

    /// A command that is not what it should be: what it says.
    fn usage(&self, words: &[&str]) -> String {
        let ended = self.import(&[words, &["--dry-run"]].concat());
        assert_eq!(ended.code, 2, "{words:?}: {}{}", ended.out, ended.err);
        ended.err
    }
}

const STUDIO: [&str; 3] = ["export.json", "--format", "label-studio"];
const MANIFEST: [&str; 3] = ["output.manifest", "--format", "ground-truth"];

#[test]
fn a_dry_run_says_what_would_come_of_label_studio() {
    let bench = Bench::new();
    bench.write("export.json", &studio());
    let found = bench.dry(&STUDIO);
    for (name, value) in [
        ("elements", json!(3)),
        ("distinct_images", json!(3)),
        ("labels", json!(["cat", "dog"])),
        ("votes", json!(4)),
        ("votes_by_models", json!(1)),
        ("images_with_votes", json!(2)),
        ("predictions_left_out", json!(0)),
        ("truths", json!(1)),
        ("task", json!(null)),
    ] {
        assert_eq!(found[name], value, "{name}: {found}");
    }
    let without = bench.dry(&[&STUDIO[..], &["--predictions", "leave-out", "--label", "none"]].concat());
    assert_eq!((&without["votes"], &without["predictions_left_out"]), (&json!(3), &json!(1)));
    assert_eq!(without["labels"], json!(["none", "cat", "dog"]));
    let text = bench.import(&[&STUDIO[..], &["--dry-run"]].concat()).out;
    assert!(text.contains("4 on 2 images, 1 of them by models") && text.contains("1 labels are called the truth"));

    // Without --dry-run somebody has to be signed in, and nothing was done before that is known.
    let ended = bench.import(&[&STUDIO[..], &["--api", "http://127.0.0.1:9"]].concat());
    assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{}", ended.err);
}

#[test]
fn a_labelling_configuration_has_the_labels_and_their_order() {
    let bench = Bench::new();
    bench.write("export.json", &studio());
    let config = r#"<View><Image name="image" value="$image"/><Choices name="choice" toName="image">
        <Choice value="dog"/><Choice value="cat"/><Choice value="bird"/></Choices></View>"#;
    bench.write("config.xml", config);
    let configured = [&STUDIO[..], &["--label-config", "config.xml"]].concat();
    assert_eq!(bench.dry(&configured)["labels"], json!(["dog", "cat", "bird"]));
    bench.write("config.xml", &config.replace(r#"<Choice value="cat"/>"#, ""));
    assert!(bench.usage(&configured).contains("not in the configuration: `cat`"));
    bench.write("config.xml", "<View/>");
    assert!(bench.usage(&configured).contains("config.xml: it has no `Choices`"));
}

#[test]
fn a_manifest_becomes_votes_of_its_job_and_work_to_do() {
    let bench = Bench::new();
    let lines = [
        line("s3://bucket/x/1.png", "yes"),
        line("s3://bucket/x/cats/2.png", "no"),
        r#"{"source-ref":"s3://bucket/x/dogs/2.png"}"#.to_owned(),
    ];
    bench.write("output.manifest", &lines.join("\n"));
    let both = [&MANIFEST[..], &["--label", "cat", "--label", "dog"]].concat();
    let found = bench.dry(&both);
    assert_eq!((&found["votes"], &found["votes_by_models"], &found["elements"]), (&json!(2), &json!(1), &json!(3)));
    assert!(bench.usage(&MANIFEST).contains("at least 2"), "one label is no choice");
    assert!(bench.usage(&[&both[..], &["--from-name", "x"]].concat()).contains("does not belong to the format"));
    assert!(bench.usage(&[&both[..], &["--lead", "2"]].concat()).contains("lead does not belong to the rule"));
}

#[test]
fn broken_lines_are_named_by_number_and_nothing_is_done() {
    let bench = Bench::new();
    let several = r#"{"source-ref":"s3://b/5.png","a":[1],"a-metadata":{"class-map":{"1":"x"},"type":"groundtruth/image-classification-multilabel"}}"#;
    let lines = [&line("s3://b/1.png", "yes"), "", "{", r#"{"source":"text"}"#, several];
    bench.write("output.manifest", &lines.join("\n"));
    let problems = bench.problems(&MANIFEST);
    let numbers: Vec<_> = problems.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [3, 4, 5]);
    assert!(problems[2].1.contains("several labels"), "{problems:?}");

    bench.write("export.json", &studio().replace("/data/upload/83/0a1b2c3d-1.png", ""));
    assert_eq!(bench.problems(&STUDIO), [(1, "the address of the image is empty".to_owned())]);
    // In text, for people.
    let ended = bench.import(&STUDIO);
    assert!(ended.err.contains("element 1: the address of the image is empty"), "{}", ended.err);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
}

#[test]
fn pictures_that_are_missing_or_could_be_several_are_named_all_at_once() {
    let bench = Bench::new();
    let addresses = ["s3://b/x/2.png", "s3://b/x/y/7.png", "s3://b/x/1.png", "s3://b/x/z/8.png"];
    bench.write("output.manifest", &addresses.map(|address| line(address, "yes")).join("\n"));
    let labels = [&MANIFEST[..], &["--label", "dog"]].concat();
    let problems = bench.problems(&labels);
    assert_eq!(
        problems,
        [
            (1, "s3://b/x/2.png can be any of cats/2.png, dogs/2.png".to_owned()),
            (2, "s3://b/x/y/7.png is not in pictures".to_owned()),
            (4, "s3://b/x/z/8.png is not in pictures".to_owned()),
        ]
    );
    let said = bench.import(&labels).err;
    assert!(said.contains("aws s3 sync s3://b/x pictures"), "{said}");
}
