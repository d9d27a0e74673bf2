//! `lambel consensus operators`: what the votes of a file say of those who cast them.

use std::path::PathBuf;

use lambel_core::{
    LabelIndex,
    consensus::{Answered, Answers, Flag, ITERATIONS_FINAL, MapEm, OperatorRecord, Part, Skill, TaskRecord},
};
use serde::Serialize;

use super::{percent, read::Votes};
use crate::{context::Context, exit::Outcome, output::columns};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// CSV file with the columns item, annotator and label
    #[arg(long, value_name = "FILE")]
    votes: PathBuf,
    /// CSV file with the columns item and truth: these items serve as gold
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Only annotators with a flag
    #[arg(long)]
    flagged: bool,
}

/// One annotator, as a line of JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    annotator: &'a str,
    votes: u32,
    agreement: Part,
    gold: Part,
    accuracy: f64,
    interval: (f64, f64),
    confusions: Vec<Confusion<'a>>,
    flags: Vec<FlagRow<'a>>,
}

/// How often one label was said where another was decided.
#[derive(Debug, Serialize)]
struct Confusion<'a> {
    decided: &'a str,
    said: &'a str,
    times: u32,
}

#[derive(Debug, Serialize)]
struct FlagRow<'a> {
    #[serde(flatten)]
    flag: Flag,
    /// The label of a flag, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    reason: String,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let votes = Votes::read(&args.votes, args.truth.as_ref())?;
    let model = MapEm::fit(&votes.table, |item| votes.truth_of(item), ITERATIONS_FINAL);
    let decided = model.estimates(&votes.table);
    let mut answers = vec![Answers::default(); votes.annotators.len()];
    for (item, ballots) in votes.table.iter().enumerate() {
        for ballot in ballots {
            answers[ballot.operator as usize].count(Answered {
                said: Some(ballot.label),
                decided: decided[item].map(|estimate| estimate.label),
                gold: votes.truth_of(item),
                elapsed_ms: None,
            });
        }
    }
    let task = TaskRecord::of(votes.labels.len(), model.mean_accuracy(), &answers);
    let rows = votes.annotators.iter().zip(&answers).enumerate().map(|(place, (annotator, answers))| {
        let skill = model.skills().get(place).copied().unwrap_or_else(Skill::default);
        let record = OperatorRecord::of(answers, skill, &task);
        row(&votes, annotator, &record, &task)
    });
    let rows: Vec<Row<'_>> = rows.filter(|row| !args.flagged || !row.flags.is_empty()).collect();
    if context.out.json {
        return rows.iter().try_for_each(|row| context.out.json(row));
    }
    let mut table = vec![["annotator", "votes", "accuracy", "from", "to", "flags"].map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|row| {
        let reasons: Vec<&str> = row.flags.iter().map(|flag| flag.reason.as_str()).collect();
        let (low, high) = row.interval;
        let numbers = [row.accuracy, low, high].map(percent);
        [vec![row.annotator.to_owned(), row.votes.to_string()], numbers.to_vec(), vec![reasons.join("; ")]].concat()
    }));
    context.out.line(&columns(&table))
}

fn row<'a>(votes: &'a Votes, annotator: &'a str, record: &OperatorRecord, task: &TaskRecord) -> Row<'a> {
    let name = |label: LabelIndex| votes.labels.get(usize::from(label.0)).map_or("", String::as_str);
    let confusion = |(decided, said, times): &(LabelIndex, LabelIndex, u32)| Confusion {
        decided: name(*decided),
        said: name(*said),
        times: *times,
    };
    let flag = |flag: Flag| {
        let label = flag.label().map(name);
        FlagRow { name: label, reason: flag.reason(label.unwrap_or_default()), flag }
    };
    Row {
        annotator,
        votes: record.votes,
        agreement: record.agreement,
        gold: record.gold,
        accuracy: record.accuracy,
        interval: record.interval,
        confusions: record.confusions.iter().take(3).map(confusion).collect(),
        flags: record.flags(task).into_iter().map(flag).collect(),
    }
}
