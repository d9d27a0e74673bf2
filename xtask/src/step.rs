//! A step is something that takes long enough to say what it is.
//!
//! On a terminal it is one line with a spinner and the time; elsewhere one plain line when it ends.
//! What the tools below print goes to a log file, of which a failure shows the end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// Says what is done while it is done, and how long it took.
pub(crate) fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let spinner = std::io::stderr().is_terminal().then(|| {
        let style =
            ProgressStyle::with_template("{spinner} {msg} ({elapsed})").unwrap_or(ProgressStyle::default_spinner());
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    });
    let result = work();
    if let Some(bar) = spinner {
        bar.finish_and_clear();
    }
    let mark = if result.is_ok() { "ok  " } else { "FAIL" };
    eprintln!("{mark} {what} ({:.1} s)", started.elapsed().as_secs_f64());
    result
}

/// Runs a tool. Its output, both streams, becomes the log file's content.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let file = File::create(log).with_context(|| format!("failed to write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("failed to start {}", name(command)))?;
    if !status.success() {
        bail!(
            "{} ended with {status}; its last words:\n\n{}\n\nall of them: {}",
            name(command),
            tail(log),
            log.display()
        );
    }
    Ok(())
}

/// Runs a tool and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", name(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// Program and subcommand, enough to know the tool again: arguments may hold passwords.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = command.get_args().take(2).take_while(|word| !word.to_string_lossy().starts_with('-'));
    std::iter::once(program).chain(words).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_tool_is_named_without_its_options_and_its_last_words_are_shown() {
        let log = std::env::temp_dir().join(format!("xtask-step-{}.log", std::process::id()));
        let error = run_logged(Command::new("sh").args(["-c", "echo first; echo the reason >&2; exit 3"]), &log)
            .expect_err("the tool fails");
        let text = error.to_string();
        assert!(text.starts_with("sh ended with exit status: 3"), "{text}");
        assert!(text.contains("first\nthe reason"), "{text}");
        fs::remove_file(log).expect("the log exists");
    }
}
