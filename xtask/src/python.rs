//! The Python environments, installed from pins with hashes, only when the pins changed.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::instance::{home, root};
use crate::step::{run_logged, step};

/// An environment under `.lambel/venv/`, and its pins in `localstack/`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Venv {
    /// The emulator.
    Cloud,
    /// The AWS and SAM command lines.
    Tools,
    /// What scans the template.
    Scan,
    /// What asks the interface good and bad things.
    Probe,
    /// What exports of data sets are read back with.
    Readers,
}

impl Venv {
    fn name(self) -> &'static str {
        match self {
            Venv::Cloud => "cloud",
            Venv::Tools => "tools",
            Venv::Scan => "scan",
            Venv::Probe => "probe",
            Venv::Readers => "readers",
        }
    }

    fn dir(self) -> PathBuf {
        home().join("venv").join(self.name())
    }

    /// A program of the environment.
    pub(crate) fn bin(self, program: &str) -> PathBuf {
        self.dir().join("bin").join(program)
    }

    /// Makes sure that the environment holds what its pins say.
    pub(crate) fn install(self) -> Result<()> {
        let pins = root().join("localstack").join(format!("{}.txt", self.name()));
        let wanted = fs::read_to_string(&pins).with_context(|| format!("failed to read {}", pins.display()))?;
        let dir = self.dir();
        // An environment knows its own place, so one that was moved is as good as none.
        let wanted = format!("# {}\n{wanted}", dir.display());
        let stamp = dir.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) && self.bin("python").exists() {
            return Ok(());
        }
        step(&format!("installing Python packages: {}", self.name()), || {
            let python = find_python()?;
            let log = home().join("venv").join(format!("{}.log", self.name()));
            fs::create_dir_all(home().join("venv"))?;
            run_logged(Command::new(python).args(["-m", "venv", "--clear"]).arg(&dir), &log)?;
            // The pins are the whole closure, so there is nothing left for pip to resolve.
            run_logged(
                Command::new(self.bin("python"))
                    .args([
                        "-m",
                        "pip",
                        "install",
                        "--require-hashes",
                        "--no-deps",
                        "--disable-pip-version-check",
                        "-r",
                    ])
                    .arg(&pins),
                &log,
            )?;
            fs::write(&stamp, &wanted)?;
            Ok(())
        })
    }
}

/// The first Python on the path that is new enough and can make environments.
fn find_python() -> Result<&'static str> {
    const CHECK: &str = "import sys; print('%d.%d' % sys.version_info[:2]); import ensurepip, venv";
    let mut problems = Vec::new();
    for python in ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"] {
        let Ok(output) = Command::new(python).args(["-c", CHECK]).output() else {
            continue;
        };
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        match verdict(&version, output.status.success()) {
            Ok(()) => return Ok(python),
            Err(problem) => problems.push(format!("{python}: {problem}")),
        }
    }
    if problems.is_empty() {
        bail!("the local cloud needs Python 3.10 or newer, and there is no python3 on the path: install it");
    }
    bail!("the local cloud needs Python 3.10 or newer with the module venv:\n  {}", problems.join("\n  "));
}

/// What speaks against a Python that gave this answer.
fn verdict(version: &str, has_ensurepip: bool) -> Result<(), String> {
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    if numbers.len() != 2 {
        Err("does not run".to_owned())
    } else if numbers < vec![3, 10] {
        Err(format!("is only {version}: install a newer one"))
    } else if !has_ensurepip {
        Err(format!("comes without ensurepip: on Debian and Ubuntu `apt install python{version}-venv`"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn python_is_judged_by_number_and_not_by_text() {
        assert_eq!(verdict("3.10", true), Ok(()));
        assert_eq!(verdict("3.14", true), Ok(()));
        assert!(verdict("3.9", true).is_err_and(|problem| problem.contains("only 3.9")));
        assert!(verdict("2.7", true).is_err());
        assert!(verdict("", false).is_err_and(|problem| problem == "does not run"));
    }

    #[test]
    fn a_python_without_ensurepip_names_the_package_to_install() {
        assert!(verdict("3.11", false).is_err_and(|problem| problem.contains("apt install python3.11-venv")));
    }
}
