//! `lambel results`: what came out, as JSON Lines, JSON or CSV.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use lambel_client::Client;
use lambel_core::{
    TaskId,
    api::{PageQuery, ResultRow},
};
use serde_json::json;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::stdout_failure,
};

/// Rows asked for at once. An answer of the service has to stay below a few megabytes, and a row with many
/// votes has ten thousand bytes.
pub(crate) const PAGE_ROWS: u32 = 250;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write them to this file, which appears when it is whole [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A row on each line, with all that is known
    Jsonl,
    /// One array of the same rows
    Json,
    /// name, image, state, label, confidence, number of votes
    Csv,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let Some(path) = &args.out else {
        let rows = fetch(context, &args, BufWriter::new(io::stdout()), &stdout_failure).await?;
        context.out.note(&format!("{rows} rows"));
        return Ok(());
    };
    let failure = |error: &io::Error| Failure::io(path.display(), error);
    let mut file = temporary_beside(path).map_err(|error| failure(&error))?;
    let rows = fetch(context, &args, BufWriter::new(file.as_file_mut()), &failure).await?;
    file.persist(path).map_err(|error| failure(&error.error))?;
    let shown = json!({"task": args.task, "rows": rows, "out": path});
    context.out.show(&shown, |_| format!("{rows} rows in {}", path.display()))
}

/// A file in the same folder, so that it can take its name in one step.
pub(crate) fn temporary_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".lambel-");
    // What is labelled is no secret of this program: who may read them is for the folder and the umask to say.
    #[cfg(unix)]
    let permissions = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666);
    #[cfg(unix)]
    builder.permissions(permissions);
    builder.tempfile_in(folder)
}

/// Writes all rows, a page at a time. The number of rows.
async fn fetch<W: Write>(
    context: &Context,
    args: &Args,
    to: W,
    failure: &impl Fn(&io::Error) -> Failure,
) -> Outcome<u64> {
    let mut pages = Pages::new(context.client()?, args.task);
    let mut writer = Writer::begin(args.format, to).map_err(|error| failure(&error))?;
    while let Some(rows) = pages.next().await? {
        rows.iter().try_for_each(|row| writer.row(row)).map_err(|error| failure(&error))?;
    }
    writer.end().map_err(|error| failure(&error))
}

/// The results of a task, a page at a time.
pub(crate) struct Pages {
    client: Client,
    task: TaskId,
    /// What to ask for next; none behind the last page.
    query: Option<PageQuery>,
}

impl Pages {
    pub(crate) fn new(client: Client, task: TaskId) -> Self {
        Self { client, task, query: Some(PageQuery { cursor: None, limit: Some(PAGE_ROWS) }) }
    }

    /// The next page; none behind the last.
    pub(crate) async fn next(&mut self) -> Outcome<Option<Vec<ResultRow>>> {
        let Some(query) = &mut self.query else { return Ok(None) };
        let page = self.client.results(self.task, query).await?;
        match page.next {
            // A cursor that does not move would go on for ever.
            Some(next) if query.cursor.as_ref() == Some(&next) => {
                return Err(Failure::new(Exit::Failed, "the service names the same page again as the next one"));
            }
            Some(next) => query.cursor = Some(next),
            None => self.query = None,
        }
        Ok(Some(page.rows))
    }
}

/// Rows in one of the formats.
enum Writer<W: Write> {
    Lines { to: W, rows: u64 },
    Array { to: W, rows: u64 },
    Csv { to: Box<csv::Writer<W>>, rows: u64 },
}

impl<W: Write> Writer<W> {
    fn begin(format: Format, mut to: W) -> io::Result<Self> {
        Ok(match format {
            Format::Jsonl => Self::Lines { to, rows: 0 },
            Format::Json => {
                to.write_all(b"[")?;
                Self::Array { to, rows: 0 }
            }
            Format::Csv => {
                let mut to = csv::Writer::from_writer(to);
                to.write_record(["name", "image", "state", "label", "confidence", "votes"])?;
                Self::Csv { to: Box::new(to), rows: 0 }
            }
        })
    }

    fn row(&mut self, row: &ResultRow) -> io::Result<()> {
        match self {
            Self::Lines { to, rows } => {
                *rows += 1;
                serde_json::to_writer(&mut *to, row)?;
                to.write_all(b"\n")
            }
            Self::Array { to, rows } => {
                to.write_all(if *rows == 0 { b"\n" } else { b",\n" })?;
                *rows += 1;
                Ok(serde_json::to_writer(to, row)?)
            }
            Self::Csv { to, rows } => {
                *rows += 1;
                let status = &row.status;
                let state = serde_json::to_value(status.state)?;
                let label = status.label.as_ref().map_or("", |label| label.as_str());
                let confidence = status.confidence.map(|confidence| confidence.get().to_string()).unwrap_or_default();
                let votes = status.votes.iter().filter(|vote| !vote.late).count();
                to.write_record([
                    row.name.as_str(),
                    &row.image.to_string(),
                    state.as_str().unwrap_or_default(),
                    label,
                    &confidence,
                    &votes.to_string(),
                ])?;
                Ok(())
            }
        }
    }

    fn end(self) -> io::Result<u64> {
        match self {
            Self::Lines { mut to, rows } => to.flush().map(|()| rows),
            Self::Array { mut to, rows } => {
                to.write_all(b"\n]\n")?;
                to.flush().map(|()| rows)
            }
            Self::Csv { mut to, rows } => to.flush().map(|()| rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use lambel_core::ImageId;

    use super::*;

    fn row(name: &str) -> ResultRow {
        let json = json!({
            "name": name, "image": ImageId::of(b"x"), "state": "complete", "bytes": 1, "label": "a, \"b\"",
            "confidence": 0.75, "decided_at": "2026-11-21T08:47:00.123Z",
            "votes": [
                {"operator": "o1", "label": "a, \"b\"", "at": "2026-11-21T08:47:00.123Z"},
                {"operator": "o2", "label": "c", "at": "2026-11-21T08:47:00.124Z", "late": true},
            ],
        });
        serde_json::from_value(json).unwrap()
    }

    fn written(format: Format, names: &[&str]) -> String {
        let mut bytes = Vec::new();
        let mut writer = Writer::begin(format, &mut bytes).unwrap();
        names.iter().for_each(|name| writer.row(&row(name)).unwrap());
        assert_eq!(writer.end().unwrap(), names.len() as u64);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn csv_quotes_what_needs_it_and_counts_votes_that_count() {
        let image = ImageId::of(b"x");
        let expected =
            format!("name,image,state,label,confidence,votes\n\"a,b.png\",{image},complete,\"a, \"\"b\"\"\",0.75,1\n");
        assert_eq!(written(Format::Csv, &["a,b.png"]), expected);
        assert_eq!(written(Format::Csv, &[]), "name,image,state,label,confidence,votes\n");
    }

    #[test]
    fn json_is_one_document_and_json_lines_are_many() {
        for names in [&[][..], &["a"], &["a", "b"]] {
            let array: Vec<ResultRow> = serde_json::from_str(&written(Format::Json, names)).unwrap();
            assert_eq!(array.len(), names.len());
            let lines = written(Format::Jsonl, names);
            assert_eq!(lines.lines().count(), names.len());
            lines.lines().for_each(|line| drop(serde_json::from_str::<ResultRow>(line).unwrap()));
        }
    }
}
