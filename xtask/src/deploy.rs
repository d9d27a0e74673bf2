//! Deploying the package to the running local cloud, and what programs are told about it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::accounts::{self, Account, Machine};
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
    pub(crate) machines: Vec<Machine>,
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
        for Machine { name, scope, client_id, client_secret } in &self.machines {
            println!("machine   {name:<11} {scope:<13} {client_id} {client_secret}");
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

/// Runs `work` on a local cloud that is started for it, empty, and stopped when it is done: unless it shall be kept.
pub(crate) fn on_an_empty_cloud<T>(
    instance: &Instance,
    keep: bool,
    work: impl FnOnce(Cloud, &Deployment, &Package) -> Result<T>,
) -> Result<T> {
    if let Some(running) = cloud::running(instance) {
        bail!(
            "a local cloud for this ({}) is running on port {}: it was kept, or another run is using it. \
             Stop it with `cargo xtask down`",
            instance.name,
            running.port
        );
    }
    Venv::Cloud.install()?;
    Venv::Tools.install()?;
    let package = package::build(instance)?;
    cloud::wipe_data(instance)?;
    let life = if keep { Life::Free } else { Life::Tethered };
    let (cloud, child) = cloud::start(instance, Some(cloud::free_port()?), life)?;
    let result = deploy(instance, cloud, &package).and_then(|deployment| work(cloud, &deployment, &package));
    if keep {
        eprintln!("the local cloud stays: {}; `cargo xtask down` stops it", instance.cloud_json().display());
    } else {
        cloud::stop(instance)?;
        // The child is ours to collect, and its standard input to close.
        if let Some(mut child) = child {
            child.wait()?;
        }
    }
    result
}

/// Deploys a package and writes `cloud.json`.
pub(crate) fn deploy(instance: &Instance, cloud: Cloud, package: &Package) -> Result<Deployment> {
    // `sam deploy` does the same in eight times the time.
    let packaged = package.template.with_file_name("packaged.yaml");
    let log = instance.log("deploy");
    let stack = step("deploying", || {
        make_bucket(cloud)?;
        run_logged(
            aws(cloud)
                .args(["cloudformation", "package", "--s3-bucket", PACKAGES_BUCKET, "--template-file"])
                .arg(&package.template)
                .arg("--output-template-file")
                .arg(&packaged),
            &log,
        )?;
        deploy_stack(
            cloud,
            &packaged,
            &log,
            &[&format!("Architecture={}", architecture()), "RequireTls=false", "WebhooksAllowLoopback=true"],
        )?;
        describe(cloud)
    })?;
    let pool = stack.output("user_pool_id")?;
    // Machines are made after the pool and are known to the gate by a parameter: as in the real cloud this takes
    // two deployments, the first time.
    let (machines, ids) = step("making the test machines", || {
        accounts::create_machines(cloud, &pool, &stack.output("user_pool_client_id")?)
    })?;
    let ids = ids.join(",");
    let stack = if stack.machine_client_ids == ids {
        stack
    } else {
        step("letting the machines in", || {
            deploy_stack(cloud, &packaged, &log, &[&format!("MachineClientIds={ids}")])?;
            describe(cloud)
        })?
    };
    ensure!(stack.machine_client_ids == ids, "the stack has not taken the machines");
    let accounts = accounts::test_accounts();
    let deployment = Deployment {
        endpoint: cloud.endpoint(),
        // Without a stage the emulator takes `$default`, whose name would have to be escaped all over the place.
        api_url: format!("{}/_aws/execute-api/{}", cloud.endpoint(), stack.output("api_id")?),
        page_url: format!("http://{}.execute-api.localhost:{}", stack.output("api_id")?, cloud.port),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY.to_owned(),
        secret_access_key: SECRET_KEY.to_owned(),
        pid: cloud.pid,
        port: cloud.port,
        accounts,
        machines,
        outputs: stack.outputs.into_iter().filter(|(name, _)| name != "api_url").collect(),
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

/// Parameters that are not named keep the value that they have.
fn deploy_stack(cloud: Cloud, packaged: &Path, log: &Path, parameters: &[&str]) -> Result<()> {
    run_logged(
        aws(cloud)
            .args(["cloudformation", "deploy", "--stack-name", STACK, "--capabilities", "CAPABILITY_IAM"])
            // Templates of over 51,200 bytes go by way of a bucket.
            .args(["--no-fail-on-empty-changeset", "--s3-bucket", PACKAGES_BUCKET, "--template-file"])
            .arg(packaged)
            .arg("--parameter-overrides")
            .args(parameters),
        log,
    )
}

/// What the stack says of itself.
struct Stack {
    outputs: BTreeMap<String, String>,
    machine_client_ids: String,
}

impl Stack {
    fn output(&self, name: &str) -> Result<String> {
        self.outputs.get(name).cloned().with_context(|| format!("the stack has no output {name}"))
    }
}

fn describe(cloud: Cloud) -> Result<Stack> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Described {
        outputs: Vec<Output>,
        parameters: Vec<Parameter>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output {
        output_key: String,
        output_value: String,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Parameter {
        parameter_key: String,
        parameter_value: String,
    }
    let text = read(aws(cloud).args([
        "cloudformation",
        "describe-stacks",
        "--stack-name",
        STACK,
        "--query",
        "Stacks[0]",
        "--output",
        "json",
    ]))?;
    let described: Described = serde_json::from_str(&text).context("failed to read what the stack says of itself")?;
    let machines = described.parameters.into_iter().find(|one| one.parameter_key == "MachineClientIds");
    let outputs = described.outputs.into_iter();
    Ok(Stack {
        outputs: outputs.map(|output| (snake_case(&output.output_key), output.output_value)).collect(),
        machine_client_ids: machines.map(|one| one.parameter_value).unwrap_or_default(),
    })
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
