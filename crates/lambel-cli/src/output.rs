//! What goes to standard output, and what to standard error.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::exit::{Exit, Failure, Outcome};

/// Where and how a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    /// A thing: as one line of JSON, or as the text that `text` makes of it.
    pub(crate) fn show<T: Serialize>(self, thing: &T, text: impl FnOnce(&T) -> String) -> Outcome {
        if self.json { self.json(thing) } else { self.line(&text(thing)) }
    }

    /// One line of JSON on standard output.
    pub(crate) fn json<T: Serialize>(self, thing: &T) -> Outcome {
        let json = serde_json::to_string(thing)
            .map_err(|error| Failure::new(Exit::Failed, format!("the answer cannot be written as JSON: {error}")))?;
        self.line(&json)
    }

    /// A line, or several, on standard output.
    pub(crate) fn line(self, text: &str) -> Outcome {
        writeln!(io::stdout().lock(), "{text}").map_err(|error| stdout_failure(&error))
    }

    /// A message for people, on standard error.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr().lock(), "{}", printable(text));
        }
    }

    /// The end of a command that did not go well, on standard error.
    pub(crate) fn failure(self, failure: &Failure) {
        let Failure { exit, message } = failure;
        let text = match exit {
            Exit::OutputClosed => return,
            _ if self.json => serde_json::json!({"error": {"code": exit.name(), "message": message}}).to_string(),
            _ => format!("lambel: {}", printable(message)),
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Whether somebody watches: then progress is a bar.
    pub(crate) fn is_watched(self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }
}

/// Standard output that does not take what it is given.
pub(crate) fn stdout_failure(error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::OutputClosed } else { Exit::Failed };
    Failure::new(exit, format!("standard output cannot be written: {error}"))
}

/// Text of others without characters that could steer a terminal. Line ends stay.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Rows as columns that line up, without space at the ends.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().enumerate().map(|(n, cell)| {
            let pad = width(n).unwrap_or(0).saturating_sub(cell.chars().count());
            format!("{}{}", printable(cell), " ".repeat(pad))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["bcü".to_owned(), String::new()]];
        assert_eq!(columns(&rows), "a    1\nbcü");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb\nc");
    }
}
