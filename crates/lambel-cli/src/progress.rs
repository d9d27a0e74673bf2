//! Progress of what takes long: a bar where somebody watches, a line now and then where not.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::Output;

/// How far apart lines are where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one command.
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines { out: Output, total: u64, last: Mutex<Instant> },
}

impl Progress {
    /// Of something with so many parts.
    pub(crate) fn new(out: Output, total: u64) -> Self {
        if !out.is_watched() {
            return Self::Lines { out, total, last: Mutex::new(Instant::now()) };
        }
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {wide_msg}");
        let bar = ProgressBar::new(total);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    /// So many parts are done; `message` says more about it.
    pub(crate) fn set(&self, done: u64, message: impl FnOnce() -> String) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(done);
                bar.set_message(message());
            }
            Self::Lines { out, total, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    out.note(&format!("{done}/{total}  {}", message()));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// A number of bytes for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
