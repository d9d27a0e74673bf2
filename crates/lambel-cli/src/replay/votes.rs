//! Votes out of a CSV file.

use std::{collections::HashMap, fmt, io::Read};

/// One vote of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileVote {
    /// The name of the image.
    pub(crate) item: String,
    pub(crate) annotator: String,
    pub(crate) label: String,
    /// Where it stands.
    pub(crate) line: u64,
}

/// What is wrong with the file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VotesError {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

impl fmt::Display for VotesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// The columns that the file must have. Others are passed over.
const COLUMNS: [&str; 3] = ["item", "annotator", "label"];

/// Reads votes. The same vote again is passed over; another one of the same annotator on the same item makes
/// the file a bad one, since nobody can tell which of the two was meant.
pub(crate) fn read_votes(from: impl Read) -> Result<Vec<FileVote>, VotesError> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(from);
    let header = reader.headers().map_err(unreadable)?.clone();
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        let name = |name: &str| name.trim_start_matches('\u{feff}') == column;
        *place = header.iter().position(name).ok_or_else(|| VotesError {
            line: 1,
            reason: format!("there is no column `{column}`; the first line is `{}`", COLUMNS.join(",")),
        })?;
    }
    let mut votes: Vec<FileVote> = Vec::new();
    let mut seen = HashMap::new();
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let line = record.position().map_or(0, csv::Position::line);
        let [item, annotator, label] = places.map(|place| record.get(place).unwrap_or_default().to_owned());
        for (column, value) in COLUMNS.into_iter().zip([&item, &annotator, &label]) {
            if value.is_empty() {
                return Err(VotesError { line, reason: format!("`{column}` is empty") });
            }
        }
        let earlier = *seen.entry((item.clone(), annotator.clone())).or_insert(votes.len());
        match votes.get(earlier) {
            None => votes.push(FileVote { item, annotator, label, line }),
            Some(vote) if vote.label == label => {}
            Some(vote) => {
                let reason = format!("`{annotator}` has another vote on `{item}` already, in line {}", vote.line);
                return Err(VotesError { line, reason });
            }
        }
    }
    Ok(votes)
}

/// What is wrong with a file that is no CSV.
pub(crate) fn unreadable(error: csv::Error) -> VotesError {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} fields instead of {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    VotesError { line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read_votes(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn columns_are_found_by_name() {
        let votes =
            read_votes("\u{feff}label,item,more,annotator\n cat ,a.png,x,ann\n\"a, b\",b.png,,bob\n".as_bytes());
        let votes = votes.unwrap();
        assert_eq!(votes.len(), 2);
        assert_eq!((&*votes[0].item, &*votes[0].annotator, &*votes[0].label), ("a.png", "ann", "cat"));
        assert_eq!((&*votes[1].label, votes[1].line), ("a, b", 3));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        assert!(error("").starts_with("line 1: there is no column `item`"));
        assert!(error("item,label\na,b\n").contains("`annotator`"));
        assert_eq!(error("item,annotator,label\na,b\n"), "line 2: 2 fields instead of 3");
        assert_eq!(error("item,annotator,label\na,b,c\na,,c\n"), "line 3: `annotator` is empty");
        assert!(
            error("item,annotator,label\na,b,c\nx,b,c\na,b,d\n").starts_with("line 4: `b` has another vote on `a`")
        );
        let not_utf_8 = read_votes(&b"item,annotator,label\na,b,\xff\n"[..]).unwrap_err();
        assert_eq!(not_utf_8.to_string(), "line 2: this is not UTF-8");
    }

    #[test]
    fn the_same_vote_again_is_one_vote() {
        assert_eq!(read_votes("item,annotator,label\na,b,c\na,b,c\n".as_bytes()).unwrap().len(), 1);
    }
}
