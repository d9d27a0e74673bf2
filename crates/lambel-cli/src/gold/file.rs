//! Images and their labels out of a CSV file, for gold and for reviews: a line for each image. What is wrong is said
//! with its line, and then nothing is sent.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

use super::Line;
use crate::{
    exit::{Failure, Outcome},
    replay::votes::{VotesError, unreadable},
};

/// What the column of images may be called. The last one holds ids, the others names of files.
const COLUMNS: [&str; 3] = ["file", "name", "image"];
const IDS: usize = 2;

/// Reads a file.
pub(crate) fn read(path: &Path) -> Outcome<Vec<Line>> {
    let file = File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let lines = read_lines(file).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    match lines.is_empty() {
        true => Err(Failure::usage(format!("{}: there is no image in it", path.display()))),
        false => Ok(lines),
    }
}

fn read_lines(from: impl Read) -> Result<Vec<Line>, VotesError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let header = reader.headers().map_err(unreadable)?.clone();
    // A byte order mark is no part of the first column's name.
    let place = |column: &str| header.iter().position(|name| name.trim_start_matches('\u{feff}') == column);
    let missing = |reason: &str| VotesError { line: 1, reason: reason.to_owned() };
    let label_place =
        place("label").ok_or_else(|| missing("there is no column `label`; the first line is `file,label`"))?;
    let mut columns = COLUMNS.iter().enumerate().filter_map(|(kind, column)| Some((kind, column, place(column)?)));
    let (kind, column, image_place) = columns
        .next()
        .ok_or_else(|| missing("there is no column `file`, `name` or `image`; the first line is `file,label`"))?;
    if let Some((_, other, _)) = columns.next() {
        return Err(missing(&format!("there are both a column `{column}` and a column `{other}`")));
    }
    let mut lines: Vec<Line> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let field = |place: usize, column: &str| match record.get(place).unwrap_or_default() {
            "" => Err(VotesError { line, reason: format!("`{column}` is empty") }),
            text => Ok(text.to_owned()),
        };
        let (called, label) = (field(image_place, column)?, field(label_place, "label")?);
        let image = match kind {
            IDS => Some(called.parse().map_err(|error| VotesError { line, reason: format!("{error}") })?),
            _ => None,
        };
        let earlier = *seen.entry(called.clone()).or_insert(lines.len());
        match lines.get(earlier) {
            None => lines.push(Line { line: Some(line), called, label, image }),
            Some(earlier) if earlier.label == label => {}
            Some(earlier) => {
                let first = earlier.line.unwrap_or_default();
                let reason = format!("`{called}` has the label `{}` already, in line {first}", earlier.label);
                return Err(VotesError { line, reason });
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read_lines(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_columns_are_found_by_their_names() {
        for text in ["file,label\na.png,cat\n", "\u{feff}label,more,name\n cat ,x,a.png\ncat,,a.png\n"] {
            let lines = read_lines(text.as_bytes()).unwrap();
            let expected = Line { line: Some(2), called: "a.png".to_owned(), label: "cat".to_owned(), image: None };
            assert_eq!(lines, [expected], "the same line again is one");
        }
        let id = "0".repeat(64);
        let lines = read_lines(format!("image,label\n{id},cat\n").as_bytes()).unwrap();
        assert_eq!(lines[0].image.unwrap().to_string(), id);
        assert_eq!(lines[0].fields().name, None);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert!(error("file\na.png\n").starts_with("line 1: there is no column `label`"));
        assert!(error("label\ncat\n").starts_with("line 1: there is no column `file`, `name` or `image`"));
        assert!(error("file,image,label\n").contains("both a column `file` and a column `image`"));
        assert_eq!(error("file,label\na.png,cat\nb.png\n"), "line 3: 1 fields instead of 2");
        assert_eq!(error("file,label\na.png,\n"), "line 2: `label` is empty");
        assert_eq!(
            error("file,label\na.png,cat\nb.png,cat\na.png,dog\n"),
            "line 4: `a.png` has the label `cat` already, in line 2"
        );
        assert!(error("image,label\nabc,cat\n").starts_with("line 2: an image id is the SHA-256"));
    }
}
