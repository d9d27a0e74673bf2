//! The sample pipeline, as a stack of its own: a release, and the version has a note.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};
use aws_config::{BehaviorVersion, sts::AssumeRoleProvider};
use aws_sdk_dynamodb::{config::SharedCredentialsProvider, types::AttributeValue};
use lambel_core::api::PolicyFields;
use lambel_system_tests::{Cloud, Terminal, pictures, wait_for};
use serde_json::{Value, json};
use tokio::process::Command;

const IMAGES: u32 = 4;

/// Where `cargo xtask` puts what CloudFormation takes.
const PACKAGES: &str = "lambel-packages";

/// The stack of the example, deployed for one test.
struct Pipeline {
    name: String,
    role: String,
}

impl Pipeline {
    async fn deploy(cloud: &Cloud) -> Result<Self> {
        let name = format!("report-{}", uuid::Uuid::now_v7());
        let folder = env::var("LAMBEL_EXAMPLES").context("LAMBEL_EXAMPLES is not set: `cargo xtask test` sets it")?;
        let template = PathBuf::from(folder).join("dataset-report").join("template.yaml");
        let packaged = env::temp_dir().join(format!("{name}.yaml"));
        let (template, packaged) = (template.to_string_lossy(), packaged.to_string_lossy());
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { env::consts::ARCH };
        let parameters = [
            format!("DatasetMovedTopicArn={}", cloud.dataset_moved_topic_arn),
            format!("DatasetBucketName={}", cloud.dataset_bucket_name),
            format!("TasksTableName={}", cloud.tasks_table_name),
            format!("Architecture={architecture}"),
        ];
        let words = ["cloudformation", "package", "--s3-bucket", PACKAGES, "--template-file", &template];
        aws(&[&words[..], &["--output-template-file", &packaged]].concat()).await?;
        let words = ["cloudformation", "deploy", "--stack-name", &name, "--capabilities", "CAPABILITY_IAM"];
        let words = [&words[..], &["--template-file", &packaged, "--parameter-overrides"]].concat();
        aws(&words.into_iter().chain(parameters.iter().map(String::as_str)).collect::<Vec<_>>()).await?;
        std::fs::remove_file(&*packaged)?;
        let query = "Stacks[0].Outputs[?OutputKey=='RoleName'].OutputValue | [0]";
        let words = ["cloudformation", "describe-stacks", "--stack-name", &name, "--query", query];
        let role = aws(&[&words[..], &["--output", "text"]].concat()).await?.trim().to_owned();
        Ok(Self { name, role })
    }

    async fn remove(&self) -> Result<()> {
        aws(&["cloudformation", "delete-stack", "--stack-name", &self.name]).await.map(drop)
    }
}

/// The AWS command line, and what it says.
async fn aws(words: &[&str]) -> Result<String> {
    let program = env::var("LAMBEL_AWS").context("LAMBEL_AWS is not set: `cargo xtask test` sets it")?;
    let output = Command::new(program).args(words).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_release_starts_a_pipeline_that_writes_a_note() -> Result<()> {
    let cloud = Cloud::running()?;
    let pipeline = Pipeline::deploy(&cloud).await?;
    let client = cloud.client().await?;
    let operator = cloud.operators(1).await?.remove(0);
    let task = client.task(PolicyFields { quorum: Some(1), ..PolicyFields::default() }).await?;
    let id = task.to_string();
    client.fill(task, &pictures(IMAGES, 47)).await?;
    let terminal = Terminal::new(&cloud)?;
    terminal.sign_in(&client).await?;
    let lambel = async |words: &[&str]| -> Result<Vec<Value>> {
        terminal.lambel(0, &[&["dataset"], words, &["--task", &id]].concat()).await
    };
    let one = async |words: &[&str]| lambel(words).await?.pop().context("an answer");
    let report = async |commit: &str| {
        wait_for("a note of the version", || async {
            let shown = one(&["show", commit]).await?;
            let notes = shown["notes"].as_array().context("notes")?;
            Ok(notes.iter().find(|note| note["key"] == "dataset-report").cloned())
        })
        .await
    };

    // A version that `live` has stood at, and `released` never: nobody reports on it.
    let never = one(&["commit"]).await?;
    let leased = operator.claim_some(task, 2).await?;
    operator.vote(task, &leased, "cat").await?;
    let first = one(&["commit"]).await?;
    one(&["release", "live"]).await?;
    let commit = |version: &Value| version["commit"].as_str().map(str::to_owned).context("an id");
    let note = report(&commit(&first)?).await?;
    assert_eq!(note["by"], json!({"id": "pipeline:dataset-report"}));
    let said = &note["value"];
    assert_eq!((&said["complete"], &said["unlabelled"], said.get("since")), (&json!(2), &json!(2), None));
    assert_eq!((&said["ref"], &said["seq"]), (&json!("released"), &json!(1)));

    operator.work(task, 4, |_| "dog".to_owned()).await?;
    client.completed(task).await?;
    let second = wait_for("the version of the complete task", || async {
        let live = one(&["show", "live"]).await?;
        Ok((live["statistics"]["complete"] == json!(IMAGES)).then_some(live))
    })
    .await?;
    one(&["note", "checked", "by hand", "--at", "live"]).await?;
    one(&["release", "live"]).await?;
    let said = report(&commit(&second)?).await?["value"].clone();
    assert_eq!((&said["from"], &said["complete"]), (&first["commit"], &json!(IMAGES)));
    let since = &said["since"];
    assert_eq!((&since["compared"], &since["gained"], &since["agreement"]), (&json!(2), &json!(2), &json!(1.0)));
    assert_eq!((&said["before"]["complete"], &said["mean_confidence"]), (&json!(2), &json!(1.0)));
    // Beside it stands what a person has said.
    let listed = lambel(&["note", "--at", "released"]).await?;
    let by: Vec<_> = listed.iter().map(|note| (&note["key"], &note["by"]["id"])).collect();
    let person = json!(client.subject);
    assert_eq!(by, [(&json!("checked"), &person), (&json!("dataset-report"), &json!("pipeline:dataset-report"))]);
    assert_eq!(one(&["note", "checked", "--at", "released"]).await?["value"], "by hand");
    assert_eq!(one(&["show", &commit(&never)?]).await?["notes"], json!([]));

    may_do_no_more(&cloud, &pipeline, &id).await?;
    pipeline.remove().await
}

/// Tries with the credentials of the function's role what it needs, and what it must not be able to do.
async fn may_do_no_more(cloud: &Cloud, pipeline: &Pipeline, task: &str) -> Result<()> {
    let root = aws_config::defaults(BehaviorVersion::v2026_01_12()).load().await;
    let account = cloud.dataset_moved_topic_arn.split(':').nth(4).context("an account")?;
    let arn = format!("arn:aws:iam::{account}:role/{}", pipeline.role);
    let role = AssumeRoleProvider::builder(arn).session_name("report").configure(&root).build().await;
    let config = root.to_builder().credentials_provider(SharedCredentialsProvider::new(role)).build();
    let tables = aws_sdk_dynamodb::Client::new(&config);
    let text = |text: &str| AttributeValue::S(text.to_owned());
    // A condition that does not hold: what is let through changes nothing.
    let put = async |partition: &str, attribute: &str| {
        let put = tables.put_item().table_name(&cloud.tasks_table_name).item("pk", text(partition));
        let put = put.item("sk", text("x")).item(attribute, text("x")).condition_expression("attribute_exists(pk)");
        let_through(put.send().await.map_err(|error| format!("{error:?}")))
    };
    let get = async |partition: &str| {
        let get = tables.get_item().table_name(&cloud.tasks_table_name).key("pk", text(partition));
        let_through(get.key("sk", text("META")).send().await.map_err(|error| format!("{error:?}")))
    };
    let (notes, of_task, refs) = (format!("NOTES#{task}#x"), format!("TASK#{task}"), format!("REFS#{task}"));
    assert!(put(&notes, "body").await && get(&notes).await);
    assert!(!put(&notes, "branch").await, "what the stream would take for the move of a branch");
    assert!(!put(&of_task, "body").await && !put(&refs, "body").await && !get(&of_task).await && !get(&refs).await);
    let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let bucket = &cloud.dataset_bucket_name;
    for folder in ["chunks", "commits"] {
        let put = s3.put_object().bucket(bucket).key(format!("{task}/{folder}/x")).if_match("\"0\"").send().await;
        assert!(!let_through(put.map_err(|error| format!("{error:?}"))), "{folder} are read and never written");
    }
    let list = s3.list_objects_v2().bucket(bucket).send().await;
    assert!(!let_through(list.map_err(|error| format!("{error:?}"))));
    Ok(())
}

/// Whether a call was let through, whatever came of it then.
fn let_through<T>(outcome: Result<T, String>) -> bool {
    !outcome.is_err_and(|error| error.contains("AccessDenied"))
}
