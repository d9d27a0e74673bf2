//! Votes and truths out of CSV files, in little memory: each name is kept once.

use std::{
    collections::HashMap,
    fs::File,
    path::{Path, PathBuf},
};

use lambel_core::{
    LabelIndex,
    consensus::{Ballot, TableError, VoteTable},
    limits,
};

use crate::{
    exit::{Failure, Outcome},
    replay::votes::{VotesError, unreadable},
};

/// The votes of a file. Items, annotators and labels are numbered in the order of their names, so that nothing
/// depends on the order of the lines.
pub(super) struct Votes {
    pub(super) table: VoteTable,
    pub(super) items: Vec<String>,
    pub(super) annotators: Vec<String>,
    pub(super) labels: Vec<String>,
    /// The true labels, by item; empty without a file of them.
    pub(super) truth: Vec<Option<LabelIndex>>,
}

impl Votes {
    /// Reads a file of votes and, if there is one, a file of truths.
    pub(super) fn read(votes: &Path, truth: Option<&PathBuf>) -> Outcome<Self> {
        let (mut items, mut annotators, mut labels) = (Names::default(), Names::default(), Names::default());
        let mut rows: Vec<(u32, Ballot)> = Vec::new();
        read(votes, ["item", "annotator", "label"], |[item, annotator, label], _| {
            let image = items.number(item)?;
            let operator = annotators.number(annotator)?;
            rows.push((image, Ballot { operator, label: label_number(&mut labels, label)? }));
            Ok(())
        })?;
        let mut truths: Vec<(u32, LabelIndex)> = Vec::new();
        if let Some(path) = truth {
            let mut seen: HashMap<u32, (LabelIndex, u64)> = HashMap::new();
            read(path, ["item", "truth"], |[item, label], line| {
                let label_index = label_number(&mut labels, label)?;
                // Items that nobody voted on are of no interest here.
                let Some(image) = items.get(item) else { return Ok(()) };
                match seen.insert(image, (label_index, line)) {
                    Some((other, first)) if other != label_index => {
                        Err(format!("this item has another truth already, in line {first}"))
                    }
                    _ => {
                        truths.push((image, label_index));
                        Ok(())
                    }
                }
            })?;
        }
        let (items, item_places) = items.sorted();
        let (annotators, annotator_places) = annotators.sorted();
        let (labels, label_places) = labels.sorted();
        let label_place = |label: LabelIndex| LabelIndex(label_places[usize::from(label.0)] as u16);
        for (image, ballot) in &mut rows {
            *image = item_places[*image as usize];
            ballot.operator = annotator_places[ballot.operator as usize];
            ballot.label = label_place(ballot.label);
        }
        let table = VoteTable::new(labels.len(), items.len(), &rows).map_err(|error| match error {
            TableError::Twice { image, operator } => {
                let (item, annotator) = (&items[image as usize], &annotators[operator as usize]);
                twice(votes, item, annotator)
            }
            error => Failure::usage(format!("{}: {error}", votes.display())),
        })?;
        let mut by_item = Vec::new();
        if truth.is_some() {
            by_item = vec![None; items.len()];
            for (image, label) in truths {
                by_item[item_places[image as usize] as usize] = Some(label_place(label));
            }
        }
        Ok(Self { table, items, annotators, labels, truth: by_item })
    }

    /// The true label of an item, if it is known.
    pub(super) fn truth_of(&self, item: usize) -> Option<LabelIndex> {
        self.truth.get(item).copied().flatten()
    }
}

fn label_number(labels: &mut Names, label: &str) -> Result<LabelIndex, String> {
    let number = labels.number(label)?;
    match u16::try_from(number) {
        Ok(number) if usize::from(number) < limits::LABELS_PER_TASK => Ok(LabelIndex(number)),
        _ => Err(format!("there are more than {} different labels", limits::LABELS_PER_TASK)),
    }
}

/// Which line has the second vote of an annotator on an item. Only asked for a file that has one, so it is read
/// once more instead of all pairs being kept.
fn twice(path: &Path, item: &str, annotator: &str) -> Failure {
    let mut first: Option<(u64, String)> = None;
    let found = read(path, ["item", "annotator", "label"], |[one, other, label], line| {
        if (one, other) != (item, annotator) {
            return Ok(());
        }
        match &first {
            Some((earlier, said)) if said != label => {
                Err(format!("`{annotator}` has another vote on `{item}` already, in line {earlier}"))
            }
            _ => {
                first = Some((line, label.to_owned()));
                Ok(())
            }
        }
    });
    match found {
        Err(failure) => failure,
        Ok(()) => Failure::usage(format!("{}: `{annotator}` has two votes on `{item}`", path.display())),
    }
}

/// Reads the named columns of a CSV file, line by line. Others are passed over. What is wrong is said with its
/// line.
fn read<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut row: impl FnMut([&str; N], u64) -> Result<(), String>,
) -> Outcome {
    let file = File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    let read = || -> Result<(), VotesError> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(file);
        let header = reader.byte_headers().map_err(unreadable)?.clone();
        let mut places = [0; N];
        for (place, column) in places.iter_mut().zip(columns) {
            // A byte order mark is no part of the first column's name.
            let name =
                |name: &[u8]| name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name).trim_ascii() == column.as_bytes();
            *place = header.iter().position(name).ok_or_else(|| VotesError {
                line: 1,
                reason: format!("there is no column `{column}`; the first line is `{}`", columns.join(",")),
            })?;
        }
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(unreadable)? {
            let line = record.position().map_or(0, csv::Position::line);
            let mut fields = [""; N];
            for ((field, place), column) in fields.iter_mut().zip(places).zip(columns) {
                let bytes = record.get(place).unwrap_or_default();
                let text = str::from_utf8(bytes);
                *field = text.map_err(|_| VotesError { line, reason: "this is not UTF-8".to_owned() })?.trim();
                if field.is_empty() {
                    return Err(VotesError { line, reason: format!("`{column}` is empty") });
                }
            }
            row(fields, line).map_err(|reason| VotesError { line, reason })?;
        }
        Ok(())
    };
    read().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Names, numbered as they come.
#[derive(Default)]
struct Names {
    numbers: HashMap<Box<str>, u32>,
    /// Files are often sorted by one of their columns: then most names are the one before.
    last: Option<(String, u32)>,
}

impl Names {
    fn number(&mut self, name: &str) -> Result<u32, String> {
        if let Some((last, number)) = &self.last
            && last == name
        {
            return Ok(*number);
        }
        let number = match self.numbers.get(name) {
            Some(number) => *number,
            None => {
                let next = u32::try_from(self.numbers.len()).map_err(|_| "there are too many names".to_owned())?;
                self.numbers.insert(name.into(), next);
                next
            }
        };
        let (last, of) = self.last.get_or_insert_default();
        last.clear();
        last.push_str(name);
        *of = number;
        Ok(number)
    }

    fn get(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The names in order, and the place of each number among them.
    fn sorted(self) -> (Vec<String>, Vec<u32>) {
        let mut names: Vec<(Box<str>, u32)> = self.numbers.into_iter().collect();
        names.sort_unstable();
        let mut places = vec![0; names.len()];
        for (place, (_, number)) in (0..).zip(&names) {
            places[*number as usize] = place;
        }
        (names.into_iter().map(|(name, _)| name.into_string()).collect(), places)
    }
}
