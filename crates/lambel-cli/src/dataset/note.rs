//! `lambel dataset note`: what there is to say of a version, beside the version.

use std::{fs, io::Read, path::PathBuf};

use lambel_core::{
    NoteKey,
    api::notes::{NoteFields, NoteView},
};
use serde_json::Value;

use super::{BRANCH, called, folder::Source};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::printable,
};

/// How much of a note stands in a line of a list, in characters.
const LINE: usize = 200;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// What the note is found by [default: list all notes]
    key: Option<NoteKey>,
    /// What to write, as text [default: show the note]
    text: Option<String>,
    /// Write the JSON of this file; `-` is standard input
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "text")]
    from: Option<PathBuf>,
    /// The version
    #[arg(long, value_name = "VERSION", default_value = BRANCH)]
    at: String,
    #[command(flatten)]
    source: Source,
}

pub(super) async fn run(context: &Context, args: Args) -> Outcome {
    let Some(service) = args.source.service(context)? else {
        let message = "notes are of versions that the service keeps; say which task with `--task`";
        return Err(Failure::usage(message));
    };
    let value = match (args.text, args.from) {
        (Some(text), _) => Some(Value::String(text)),
        (None, Some(file)) => Some(read(&file)?),
        (None, None) => None,
    };
    match (args.key, value) {
        (None, _) => service.notes(&args.at).await,
        (Some(key), None) => service.note(&args.at, &key).await,
        (Some(key), Some(value)) => service.put_note(&args.at, &key, &NoteFields { value }).await,
    }
}

/// The JSON of a file.
fn read(file: &PathBuf) -> Outcome<Value> {
    let mut text = String::new();
    let done = match file.as_os_str() == "-" {
        true => std::io::stdin().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(file).map(|read| text = read),
    };
    done.map_err(|error| Failure::io(file.display(), &error))?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Exit::Usage, format!("{} is no JSON: {error}", file.display())))
}

/// A note for people: a text as it is, JSON in lines.
pub(super) fn whole(note: &NoteView) -> String {
    printable(&match &note.value {
        Value::String(text) => text.clone(),
        value => format!("{value:#}"),
    })
}

/// A row of a list: what it is found by, the beginning of what it says, who wrote it when.
pub(super) fn row(note: &NoteView) -> Vec<String> {
    let text = match &note.value {
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        value => value.to_string(),
    };
    let mut line: String = text.chars().take(LINE).collect();
    if line.len() < text.len() {
        line.push('…');
    }
    vec![note.key.to_string(), note.at.to_string(), called(&note.by).to_owned(), line]
}

#[cfg(test)]
mod tests {
    use lambel_core::{Actor, Timestamp};
    use serde_json::json;

    use super::*;

    fn note(value: Value) -> NoteView {
        NoteView { key: "f1".parse().unwrap(), value, by: Actor::lambel(), at: Timestamp::default() }
    }

    #[test]
    fn a_list_has_the_beginning_and_the_note_itself_all() {
        let last = |value| row(&note(value)).pop().unwrap();
        assert_eq!(last(json!("one\ntwo")), "one");
        assert_eq!(last(json!({"a": 1})), r#"{"a":1}"#);
        assert_eq!(last(json!("ü".repeat(201))).chars().count(), 201, "with a sign that there is more");
        assert_eq!(whole(&note(json!("one\ntwo\u{1b}"))), "one\ntwo\u{fffd}");
        assert_eq!(whole(&note(json!([1]))), "[\n  1\n]");
    }
}
