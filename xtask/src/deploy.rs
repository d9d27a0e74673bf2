//! Deploying the package to the running local cloud, and what programs are told about it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::accounts::{self, Account};
use crate::cloud::{self, ACCESS_KEY, Cloud, Life, REGION, SECRET_KEY};
use crate::instance::Instance;
use crate::package::{self, Package};
use crate::python::Venv;
use crate::step::{read, run_logged, step};

const STACK: &str = "lambel";
const PACKAGES_BUCKET: &str = "lambel-packages";

/// What a program must know to use this cloud: the content of `cloud.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Deployment {
    /// The emulator itself, for AWS calls.
    pub(crate) endpoint: String,
    /// The API, for programs: an address that needs no name lookup.
    pub(crate) api_url: String,
    /// The API, for browsers: an origin of its own. Many systems resolve `*.localhost` only in browsers.
    pub(crate) page_url: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) pid: u32,
    pub(crate) port: u16,
    pub(crate) accounts: Vec<Account>,
    /// The stack's outputs, in snake case: `tasks_table_name`, `uploads_queue_url` and so on.
    #[serde(flatten)]
    pub(crate) outputs: BTreeMap<String, String>,
}

impl Deployment {
    /// Shows a person where things are.
    pub(crate) fn print(&self) {
        println!("API       {}", self.api_url);
        println!("browser   {}", self.page_url);
        println!("AWS       {} (key {ACCESS_KEY}, secret {SECRET_KEY})", self.endpoint);
        for Account { name, group, password } in &self.accounts {
            println!("account   {name:<11} {group:<10} {password}");
        }
    }
}

/// Brings the instance up to date: environments, emulator, functions, stack, accounts.
pub(crate) fn up(instance: &Instance, port: Option<u16>) -> Result<(Deployment, Package)> {
    Venv::Cloud.install()?;
    Venv::Tools.install()?;
    let (cloud, _child) = cloud::start(instance, port, Life::Free)?;
    let package = package::build(instance)?;
    Ok((deploy(instance, cloud, &package)?, package))
}

/// Deploys a package and writes `cloud.json`.
pub(crate) fn deploy(instance: &Instance, cloud: Cloud, package: &Package) -> Result<Deployment> {
    let outputs = step("deploying", || {
        // `sam deploy` does the same in eight times the time.
        let packaged = package.template.with_file_name("packaged.yaml");
        let log = instance.log("deploy");
        make_bucket(cloud)?;
        run_logged(
            aws(cloud)
                .args(["cloudformation", "package", "--s3-bucket", PACKAGES_BUCKET, "--template-file"])
                .arg(&package.template)
                .arg("--output-template-file")
                .arg(&packaged),
            &log,
        )?;
        run_logged(
            aws(cloud)
                .args(["cloudformation", "deploy", "--stack-name", STACK, "--capabilities", "CAPABILITY_IAM"])
                .args(["--no-fail-on-empty-changeset", "--template-file"])
                .arg(&packaged)
                .arg("--parameter-overrides")
                .arg(format!("Architecture={}", architecture()))
                .arg("RequireTls=false"),
            &log,
        )?;
        outputs(cloud)
    })?;
    let output = |name: &str| outputs.get(name).cloned().with_context(|| format!("the stack has no output {name}"));
    let accounts = accounts::test_accounts();
    let deployment = Deployment {
        endpoint: cloud.endpoint(),
        // Without a stage the emulator takes `$default`, whose name would have to be escaped all over the place.
        api_url: format!("{}/_aws/execute-api/{}", cloud.endpoint(), output("api_id")?),
        page_url: format!("http://{}.execute-api.localhost:{}", output("api_id")?, cloud.port),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned(),
        pid: cloud.pid,
        port: cloud.port,
        accounts,
        outputs: outputs.into_iter().filter(|(name, _)| name != "api_url").collect(),
    };
    step("making the test accounts", || accounts::create(cloud, &deployment))?;
    write(&instance.cloud_json(), &deployment)?;
    Ok(deployment)
}

fn write(path: &Path, deployment: &Deployment) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(deployment)?)
        .with_context(|| format!("failed to write {}", path.display()))
}

/// The AWS command line, pointed at the local cloud.
pub(crate) fn aws(cloud: Cloud) -> Command {
    let mut command = Command::new(Venv::Tools.bin("aws"));
    cloud.apply_to(&mut command);
    command
}

fn make_bucket(cloud: Cloud) -> Result<()> {
    // In us-east-1 making a bucket that one has already is no error.
    read(aws(cloud).args(["s3api", "create-bucket", "--bucket", PACKAGES_BUCKET])).map(drop)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    output_value: String,
}

fn outputs(cloud: Cloud) -> Result<BTreeMap<String, String>> {
    let text = read(aws(cloud).args([
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        STACK,
        "--query",
        "Stacks[0].Outputs",
        "--output",
        "json",
    ]))?;
    let outputs: Vec<Output> = serde_json::from_str(&text).context("failed to read the stack's outputs")?;
    Ok(outputs.into_iter().map(|output| (snake_case(&output.output_key), output.output_value)).collect())
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The local cloud runs the functions on this very machine.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn outputs_are_known_by_their_names_in_snake_case() {
        assert_eq!(snake_case("UploadsQueueUrl"), "uploads_queue_url");
        assert_eq!(snake_case("ApiId"), "api_id");
    }
}
