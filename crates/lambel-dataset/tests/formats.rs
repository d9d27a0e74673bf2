//! The shapes of exports, and what of them can be read back in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod sample;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use lambel_core::{FileName, ImageId, Label, OperatorId, consensus::Confidence, subtask::Abstention};
use lambel_dataset::{
    Commit, CommitId, Error, MemoryObjectStore, ObjectStore, Row,
    export::{DirectoryOutput, Format, ImageSource, Layout, Options, copy_images, export},
    import::{GroundTruth, ImportLimits, LabelStudio, Plan, outside, read_rows},
    row::{Outcome, RowVote, VoteAnswer},
    write_rows,
};
use proptest::prelude::*;
use sample::{actor, changed_row, draft, labels, row, rows};

async fn commit(objects: &dyn ObjectStore, rows: Vec<Row>) -> CommitId {
    let (tree, _) = write_rows(objects, rows, None).await.unwrap();
    let draft = draft(0, "some \"rows\"");
    let commit = Commit {
        task: draft.task,
        tree: tree.id,
        parents: Vec::new(),
        author: actor(),
        at: draft.at,
        message: draft.message,
        labels: draft.labels,
        policy: draft.policy,
        consensus: draft.consensus,
        models: draft.models,
        program: draft.program,
        statistics: tree.statistics,
    };
    commit.write(objects).await.unwrap()
}

async fn exported(rows: Vec<Row>, format: &Format, options: &Options) -> String {
    let objects = MemoryObjectStore::default();
    let id = commit(&objects, rows).await;
    let mut out = Vec::new();
    let done = export(&objects, id, format, options, &mut out).await.unwrap();
    assert_eq!(done.bytes, out.len() as u64);
    String::from_utf8(out).unwrap()
}

fn manifest() -> Format {
    Format::Manifest { attribute: "label".to_owned() }
}

/// One row of each kind: plain, with two names, disputed twice, with an abstention, unlabelled, rejected, with a
/// model, with a late vote.
fn kinds() -> Vec<Row> {
    [0, 3, 95, 96, 97, 98, 99, 11, 7].map(row).into()
}

fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("LAMBEL_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&path).unwrap(), "{name}: LAMBEL_BLESS=1 writes it anew");
}

#[tokio::test]
async fn shapes_are_as_written_down() {
    for format in [
        Format::JsonLines,
        Format::Csv,
        manifest(),
        Format::LabelStudio,
        Format::Coco,
        Format::ImageFolder,
        Format::ClassFolders,
    ] {
        golden(format.file_name(), &exported(kinds(), &format, &Options::default()).await);
    }
}

#[tokio::test]
async fn an_empty_set_is_a_good_file() {
    let empty = async |format| exported(Vec::new(), &format, &Options::default()).await;
    assert_eq!(empty(Format::JsonLines).await, "");
    assert_eq!(empty(Format::LabelStudio).await, "[\n]\n");
    let coco: serde_json::Value = serde_json::from_str(&empty(Format::Coco).await).unwrap();
    assert_eq!((coco["images"].as_array().unwrap().len(), coco["categories"].as_array().unwrap().len()), (0, 4));
}

#[tokio::test]
async fn options_choose_rows_and_names() {
    let lines = async |options: &Options| {
        let text = exported(rows(0..100), &Format::JsonLines, options).await;
        text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&Options::default()).await.len(), 100);
    let labelled = lines(&Options { only_labelled: true, ..Options::default() }).await;
    assert_eq!(labelled.len(), 96);
    let least = Confidence::new(0.6);
    let sure = lines(&Options { min_confidence: Some(least), ..Options::default() }).await;
    assert!(sure.len() < 96 && sure.iter().all(|row| row.decided_label().unwrap().1 >= least));
    let weak = labelled.iter().filter(|row| row.decided_label().unwrap().1 < least).count();
    assert_eq!(sure.len() + weak, 96);

    // Two labels with one name are one class.
    let animal = Label::parse("animal").unwrap();
    let label_names: BTreeMap<_, _> = labels()[..2].iter().map(|label| (label.clone(), animal.clone())).collect();
    let options = Options { label_names, each_name: true, ..Options::default() };
    let renamed = lines(&options).await;
    assert!(renamed.iter().all(|row| row.votes.iter().all(|vote| vote.answer.label() != Some(&labels()[0]))));
    let coco: serde_json::Value = serde_json::from_str(&exported(kinds(), &Format::Coco, &options).await).unwrap();
    assert_eq!(coco["categories"][0]["name"], "animal");
    assert_eq!(coco["categories"].as_array().unwrap().len(), 3);
    // Nine rows, one rejected, one with two names.
    assert_eq!(coco["images"].as_array().unwrap().len(), 9);
    assert_eq!(coco["annotations"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn what_cannot_be_said_is_an_error() {
    let objects = MemoryObjectStore::default();
    let nowhere = Row { uri: None, ..row(0) };
    let id = commit(&objects, vec![nowhere]).await;
    let to = async |format: Format, options: Options| {
        let mut out = Vec::new();
        export(&objects, id, &format, &options, &mut out).await.map(|_| String::from_utf8(out).unwrap())
    };
    assert!(matches!(to(manifest(), Options::default()).await, Err(Error::Export(_))));
    let prefix = Options { address_prefix: Some("s3://b/".to_owned()), ..Options::default() };
    let line = to(manifest(), prefix).await.unwrap();
    assert!(line.starts_with("{\"source-ref\":\"s3://b/batch-0/image-0000000.jpeg\""), "{line}");
    for bad in ["", "a-metadata", "source-ref", "source", "ä", "a b"] {
        let format = Format::Manifest { attribute: bad.to_owned() };
        assert!(matches!(to(format, Options::default()).await, Err(Error::Export(_))), "{bad}");
    }
}

struct Pictures(BTreeMap<ImageId, Bytes>);

#[async_trait]
impl ImageSource for Pictures {
    async fn fetch(&self, row: &Row) -> Result<Option<Bytes>, lambel_dataset::StoreError> {
        Ok(self.0.get(&row.image).cloned())
    }
}

#[tokio::test]
async fn images_are_copied_to_where_the_lists_say() {
    let folder = tempfile::tempdir().unwrap();
    let objects = MemoryObjectStore::default();
    let mut pictures = BTreeMap::new();
    let mut rows = Vec::new();
    for n in 0..30_u64 {
        let bytes = Bytes::from(format!("picture {n}"));
        let image = ImageId::of(&bytes);
        // Two of them are gone, or are not what they were.
        match n {
            4 => {}
            5 => drop(pictures.insert(image, Bytes::from_static(b"another"))),
            _ => drop(pictures.insert(image, bytes)),
        }
        rows.push(Row { image, names: vec![FileName::parse("a/CON.png").unwrap()], ..row(n) });
    }
    let id = commit(&objects, rows).await;
    let source = Pictures(pictures);
    for (layout, format) in [(Layout::Classes, Format::ClassFolders), (Layout::Metadata, Format::ImageFolder)] {
        let root = folder.path().join(format.file_name());
        let mut output = DirectoryOutput::new(&root);
        let placed = copy_images(&objects, id, layout, &Options::default(), &source, &mut output).await.unwrap();
        assert_eq!((placed.images, placed.missing.len()), (28, 2));
        let mut out = Vec::new();
        export(&objects, id, &format, &Options::default(), &mut out).await.unwrap();
        let mut found = 0;
        for line in String::from_utf8(out).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let path = line.get("path").or(line.get("file_name")).unwrap().as_str().unwrap();
            assert!(path.contains("/_CON-") && path.rsplit('.').next().unwrap().len() == 3, "{path}");
            if let Ok(bytes) = std::fs::read(root.join(path)) {
                let image = line.get("image").or(line.get("sha256")).unwrap().as_str().unwrap();
                assert_eq!(ImageId::of(&bytes).to_string(), image);
                found += 1;
            }
        }
        assert_eq!(found, 28);
    }
}

/// What of a row comes back from Label Studio's shape: votes in time, without how long a model took.
fn as_label_studio_knows_it(row: &Row) -> (Vec<FileName>, Vec<RowVote>, Option<(Label, Confidence)>) {
    let mut votes: Vec<_> = row.votes.iter().filter(|vote| !vote.late).cloned().collect();
    for vote in votes.iter_mut().filter(|vote| vote.is_model()) {
        vote.elapsed_ms = None;
    }
    let label = row.decided_label().map(|(label, confidence)| (label.clone(), confidence));
    (row.names.clone(), votes, label)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn what_can_come_back_comes_back(numbers in prop::collection::btree_map(0_u64..2_000, 0_u64..3, 0..200)) {
        let mut rows: Vec<Row> = numbers.iter().map(|(n, seed)| changed_row(*n, *seed)).collect();
        rows.sort_by_key(|row| row.image);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let plain = Options::default();
            let lines = exported(rows.clone(), &Format::JsonLines, &plain).await;
            let (read, problems) = read_rows(lines.as_bytes(), ImportLimits::default()).unwrap();
            assert_eq!((read, problems), (rows.clone(), Vec::new()));

            let pictures: Vec<_> =
                rows.iter().filter(|row| !matches!(row.outcome, Outcome::Rejected { .. })).cloned().collect();
            let json = exported(rows.clone(), &Format::LabelStudio, &plain).await;
            let plan = LabelStudio::default().read(json.as_bytes()).unwrap();
            assert_eq!(plan.id().unwrap(), LabelStudio::default().read(json.as_bytes()).unwrap().id().unwrap());
            let images = plan.accept().unwrap();
            assert_eq!(images.len(), pictures.len());
            for (planned, row) in images.iter().zip(&pictures) {
                let label = planned.label.as_ref().map(|label| (label.label.clone(), label.confidence.unwrap()));
                assert_eq!((planned.image, planned.uri.as_str()), (Some(row.image), row.uri.as_deref().unwrap()));
                let read = planned.row(row.image);
                assert_eq!((read.names, read.votes, label), as_label_studio_knows_it(row));
            }

            let lines = exported(rows.clone(), &manifest(), &plain).await;
            let images = GroundTruth::default().read(lines.as_bytes()).unwrap().accept().unwrap();
            assert_eq!(images.len(), pictures.len());
            for (planned, row) in images.iter().zip(&pictures) {
                assert_eq!(planned.image, Some(row.image));
                let read = planned.row(row.image);
                assert_eq!(read.decided_label(), row.decided_label());
                assert_eq!(read.decided_at, row.decided_at.filter(|_| row.decided_label().is_some()));
            }
        });
    }
}

fn reasons(plan: &Plan) -> Vec<(u64, &str)> {
    plan.problems.iter().map(|problem| (problem.number, problem.reason.as_str())).collect()
}

#[test]
fn a_broken_line_of_a_manifest_is_named_and_nothing_is_taken() {
    let input = r#"{"source-ref":"s3://b/cats/1.jpg","extra":{"kept":"by nobody"}}

{"source-ref":"s3://b/2.jpg","sport":0,"sport-metadata":{"class-name":"football","confidence":0.95,"type":"groundtruth/image-classification","job-name":"labeling-job/s","human-annotated":"yes","creation-date":"2018-10-18T22:18:13.527256"}}
{"source-ref":"s3://b/3.jpg","sport":1,"sport-metadata":{"confidence":0.00,"type":"groundtruth/image-classification"}}
not json
{"source":"text"}
{"source-ref":"s3://b/4.jpg","a":[1,2],"a-metadata":{"type":"groundtruth/image-classification"}}
{"source-ref":"s3://b/5.jpg","a":1,"a-metadata":{"type":"groundtruth/image-classification","class-name":"x","confidence":1.5}}
{"source-ref":"s3://b/cats/1.jpg","extra":1}
{"source-ref":"s3://b/2.jpg"}
{"source-ref":"s3://b/6.jpg","a-metadata":{"type":"groundtruth/image-classification","failure-reason":"gone"}}
"#;
    let plan = GroundTruth::default().read(input.as_bytes()).unwrap();
    assert_eq!(
        reasons(&plan),
        [
            (4, "`sport` is 1, and nothing says which label that is"),
            (5, "this is not a JSON object: expected ident at line 1 column 2"),
            (6, "`source` is a text to be labelled, not an image"),
            (7, "`a` has several labels"),
            (8, "the confidence 1.5 is not from 0 to 1"),
            (10, "the same image as 3, with other things said of it"),
        ]
    );
    assert_eq!((plan.images.len(), plan.repeated, plan.broken), (3, 1, 6));
    let label = plan.images[1].label.as_ref().unwrap();
    assert_eq!((label.label.as_str(), label.confidence), ("football", Some(Confidence::new(0.95))));
    assert_eq!(label.decided_at.unwrap().to_string(), "2018-10-18T22:18:13.527Z");
    assert_eq!(label.by.as_ref().unwrap().as_str(), "import:ground-truth:s");
    assert_eq!(plan.images[0].names, [FileName::parse("1.jpg").unwrap()]);
    assert_eq!(plan.accept().unwrap_err().len(), 6);
    let by_model = input.lines().nth(2).unwrap().replace("\"yes\"", "\"no\"");
    let images = GroundTruth::default().read(by_model.as_bytes()).unwrap().accept().unwrap();
    let by = images[0].label.as_ref().unwrap().by.clone().unwrap();
    assert_eq!((by.as_str(), by.is_outside()), ("model:ground-truth@s", true));
    let several = r#"{"source-ref":"s3://b/1.jpg","a":[1],"a-metadata":{"class-map":{"1":"x"},"type":"groundtruth/image-classification-multilabel"}}"#;
    let plan = GroundTruth::default().read(several.as_bytes()).unwrap();
    assert_eq!(reasons(&plan), [(1, "`a` can have several labels to an image")]);

    let known = GroundTruth { labels: labels(), attribute: Some("sport".to_owned()), ..GroundTruth::default() };
    let third = input.lines().nth(3).unwrap();
    let images = known.read(third.as_bytes()).unwrap().accept().unwrap();
    assert_eq!(images[0].label.as_ref().unwrap().label, labels()[1]);
}

#[test]
fn limits_of_an_input_hold() {
    let line = |n: u32| format!("{{\"source-ref\":\"s3://b/{n}.jpg\"}}\n");
    let input: String = (0..10).map(line).collect();
    let with = |limits| GroundTruth { limits, ..GroundTruth::default() }.read(input.as_bytes()).unwrap();
    let usual = ImportLimits::default();
    assert_eq!(with(usual).images.len(), 10);
    assert_eq!(reasons(&with(ImportLimits { elements: 9, ..usual })), [(10, "there are more than 9 elements")]);
    let short = with(ImportLimits { bytes: input.len() as u64 - 1, ..usual });
    assert_eq!(short.broken, 1);
    assert_eq!(with(ImportLimits { bytes: input.len() as u64, ..usual }).broken, 0);
    let long = format!("{{\"source-ref\":\"s3://b/{}\"}}\n{}", "x".repeat(100_000), line(2));
    let plan = GroundTruth::default().read(long.as_bytes()).unwrap();
    assert_eq!(reasons(&plan), [(1, "the line has more than 100000 bytes")]);
    assert_eq!(plan.images[0].number, 2);
}

#[test]
fn tasks_of_label_studio_become_votes() {
    let choice = |text: &str| {
        format!(
            r#"[{{"id":"x","type":"choices","from_name":"choice","to_name":"image","value":{{"choices":["{text}"]}}}}]"#
        )
    };
    let (yes, no) = (choice("Yes"), choice("No"));
    let input = format!(
        r#"[
        {{"id":4,"data":{{"image":"/data/upload/83/a.png"}},"annotations":[
          {{"id":9,"completed_by":1,"result":{yes},"was_cancelled":false,"ground_truth":false,
            "created_at":"2021-03-09T21:52:49.513742Z","lead_time":10.744}},
          {{"id":10,"completed_by":1,"result":{no},"created_at":"2021-03-10T00:00:00Z"}},
          {{"id":11,"completed_by":{{"id":2,"email":"a+b@c.org"}},"result":[],"was_cancelled":true}},
          {{"id":12,"completed_by":3,"result":{yes},"ground_truth":true}}],
         "predictions":[{{"model_version":"m 1","score":0.9,"result":{yes}}}]}},
        {{"data":{{"text":"no image"}}}},
        {{"data":{{"image":"s3://b/k.jpg"}},"annotations":[{{"result":[{{"type":"choices","value":{{"choices":["a","b"]}}}}]}}]}},
        {{"data":{{"image":"s3://b/l.jpg"}},"annotations":[{{"result":{},"lead_time":"x"}}]}}
        ]"#,
        choice(" untidy")
    );
    let plan = LabelStudio::default().read(input.as_bytes()).unwrap();
    let found = reasons(&plan);
    assert_eq!(found[0], (2, "it has no `data.image`"));
    assert_eq!(found[1], (3, "it has 2 choices where one was expected"));
    assert!(found[2].0 == 4 && found[2].1.contains("invalid type"), "{found:?}");
    let [image] = plan.images.as_slice() else { panic!("one good task: {plan:?}") };
    let said = |operator: &str| {
        let operator: OperatorId = operator.parse().unwrap();
        image.votes.iter().find(|vote| vote.operator == operator).map(|vote| vote.answer.clone())
    };
    let answer = |text| Some(VoteAnswer::Label(Label::parse(text).unwrap()));
    assert_eq!(said("label-studio:1"), answer("No"), "the latest of an operator counts");
    assert_eq!(said("label-studio:3"), answer("Yes"));
    let skipped = image.votes.iter().filter(|vote| vote.answer == VoteAnswer::Abstain(Abstention::Unclear));
    assert_eq!(skipped.count(), 1, "whose address cannot be an id has a part of its hash");
    assert_eq!(image.votes.iter().filter(|vote| vote.is_model()).count(), 1);
    assert_eq!(image.votes.len(), 4);
    assert!(image.label.as_ref().unwrap().truth);
    assert_eq!(image.names, [FileName::parse("a.png").unwrap()]);
    let boxes =
        r#"[{"data":{"image":"s3://b/1.jpg"},"annotations":[{"result":[{"type":"rectanglelabels","value":{}}]}]}]"#;
    let plan = LabelStudio::default().read(boxes.as_bytes()).unwrap();
    assert_eq!(reasons(&plan), [(1, "it has a result of type `rectanglelabels` and none of type `choices`")]);
}

#[test]
fn operators_of_imports_get_ids_that_no_account_has() {
    let long = "x".repeat(128);
    for (is, becomes) in [
        ("label-studio:7", "import:label-studio:7"),
        ("import:label-studio:7", "import:label-studio:7"),
        ("model:tiny@1.2", "model:tiny@1.2"),
        ("model:tiny", "model:tiny@unknown"),
        ("b3c1d7a2-8a52", "import:lambel:b3c1d7a2-8a52"),
        (&long, "import:lambel:"),
    ] {
        let id = outside(&is.parse().unwrap()).unwrap();
        assert!(id.as_str().starts_with(becomes) && id.is_outside(), "{is}: {id}");
        assert_eq!(outside(&id).unwrap(), id, "the second time it is the same");
    }
}

#[test]
fn an_input_that_is_no_json_says_where() {
    for (input, number) in [("", 1), ("{}", 1), ("[{\"data\":{\"image\":\"s3://b/1.jpg\"}},", 2), ("[] x", 1)] {
        let plan = LabelStudio::default().read(input.as_bytes()).unwrap();
        assert_eq!(plan.problems.first().map(|problem| problem.number), Some(number), "{input}");
        assert!(plan.accept().is_err());
    }
    let limits = ImportLimits { elements: 1, ..ImportLimits::default() };
    let two = r#"[{"data":{"image":"s3://b/1.jpg"}},{"data":{"image":"s3://b/2.jpg"}}]"#;
    let plan = LabelStudio { limits, ..LabelStudio::default() }.read(two.as_bytes()).unwrap();
    assert_eq!(reasons(&plan), [(2, "there are more than 1 elements")]);
}
