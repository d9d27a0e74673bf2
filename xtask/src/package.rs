//! Building the functions and laying them out: the template, and `functions/<name>/bootstrap` beside it.
//! In that shape the template needs no edit to be deployed. The same is done with the stacks of `examples/`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::instance::{Instance, root};
use crate::step::{step, tail};

/// What is ready to be deployed.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) template: PathBuf,
    /// The command line, built in the same go.
    pub(crate) lambel: PathBuf,
    /// What draws the pictures of the demo.
    pub(crate) draw_samples: PathBuf,
    /// The folders of the examples that are stacks of their own, each with its template and its `bootstrap`.
    pub(crate) examples: PathBuf,
}

/// The examples that are stacks of their own, each with the name of its function's binary.
const EXAMPLES: [(&str, &str); 1] = [("dataset-report", "dataset-report-function")];

/// Builds everything that runs and lays it out in the instance's folder.
pub(crate) fn build(instance: &Instance) -> Result<Package> {
    let functions = functions()?;
    // One call of cargo for all of them, so that what they share is built once.
    let mut built = step("building the functions and the command line", || {
        let of_examples = EXAMPLES.map(|(_, binary)| binary);
        let bins = functions.iter().map(String::as_str).chain(["lambel", "draw-samples"]).chain(of_examples);
        cargo_build(bins, &instance.log("build"))
    })?;
    let dir = instance.package();
    for name in &functions {
        let binary = built.get(name).with_context(|| format!("functions/{name} has no binary of that name"))?;
        let folder = dir.join("functions").join(name);
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        copy_if_changed(binary, &folder.join("bootstrap"))?;
    }
    let examples = dir.join("examples");
    for (name, binary) in EXAMPLES {
        let binary = built.get(binary).with_context(|| format!("examples/{name} has no binary {binary}"))?;
        let folder = examples.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        copy_if_changed(binary, &folder.join("bootstrap"))?;
        copy_if_changed(&root().join("examples").join(name).join("template.yaml"), &folder.join("template.yaml"))?;
    }
    let template = dir.join("template.yaml");
    copy_if_changed(&root().join("template.yaml"), &template)?;
    let lambel = built.remove("lambel").context("no crate has a binary called lambel")?;
    let draw_samples = built.remove("draw-samples").context("no crate has a binary called draw-samples")?;
    Ok(Package { template, lambel, draw_samples, examples })
}

/// The names of the functions: the folders under `functions/`.
fn functions() -> Result<Vec<String>> {
    let dir = root().join("functions");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("failed to read {}", dir.display()))? {
        let path = entry?.path();
        if path.join("Cargo.toml").exists() {
            names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// A line of cargo's messages; of the many kinds only the artifacts with an executable matter.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

fn cargo_build<'a>(bins: impl Iterator<Item = &'a str>, log: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(root()).args(["build", "--profile", "local", "--message-format=json-render-diagnostics"]);
    for bin in bins {
        command.args(["--bin", bin]);
    }
    // Cargo shows its own progress, better than anybody else could.
    let shown = std::io::stderr().is_terminal();
    let stderr = if shown { Stdio::inherit() } else { File::create(log)?.into() };
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().context("failed to start cargo")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let executables = executables(BufReader::new(stdout))?;
    let status = child.wait()?;
    if !status.success() {
        let words = if shown { String::new() } else { format!("; its last words:\n\n{}", tail(log)) };
        bail!("the build failed{words}");
    }
    Ok(executables)
}

fn executables(messages: impl BufRead) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for line in messages.lines() {
        let line = line?;
        // What a build script prints to the wrong place is not ours to read.
        let Ok(Message { executable: Some(path), target: Some(target) }) = serde_json::from_str(&line) else {
            continue;
        };
        found.insert(target.name, path);
    }
    Ok(found)
}

/// An untouched file keeps its time, and so its place in the zip, and so is not deployed again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("failed to read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    // A new file and not new content: the old one may be running.
    let next = to.with_extension("next");
    fs::copy(from, &next)
        .and_then(|_| fs::rename(&next, to))
        .with_context(|| format!("failed to write {}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_are_taken_from_cargos_messages() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"serde","kind":["lib"]},"executable":null}"#,
            "\n",
            "noise\n",
            r#"{"reason":"compiler-artifact","target":{"name":"task-api","kind":["bin"]},"executable":"/t/task-api"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        let found = executables(messages.as_bytes()).expect("readable");
        assert_eq!(found, BTreeMap::from([("task-api".to_owned(), PathBuf::from("/t/task-api"))]));
    }
}
