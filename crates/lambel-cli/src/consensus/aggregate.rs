//! `lambel consensus aggregate`: the labels of images out of all votes.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use lambel_core::{
    LabelIndex,
    consensus::{
        Alarm, Calibration, DAWID_SKENE_ITERATIONS, DawidSkene, Estimate, ITERATIONS_FINAL, MapEm, Plurality, Scores,
        alarm, krippendorff_alpha,
    },
};
use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Serialize;

use super::{Quality, percent, read::Votes};
use crate::{
    context::Context,
    exit::{Failure, Outcome},
    results::temporary_beside,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// CSV file with the columns item, annotator and label
    #[arg(long, value_name = "FILE")]
    votes: PathBuf,
    /// CSV file with the columns item and truth, to say how good the labels are
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// How the labels are found
    #[arg(long, value_enum, default_value_t = Method::MapEm)]
    method: Method,
    /// Write item, label and confidence to this CSV file, which appears when it is whole
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Calibrate the confidences on so many items with a known truth, drawn at random; figures are then given for
    /// the others
    #[arg(long, value_name = "N", default_value_t = 0, requires = "truth")]
    gold: usize,
    /// What chance starts from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Method {
    /// The label with the most votes; of several, the first by name
    Majority,
    /// The model of Dawid and Skene (1979)
    DawidSkene,
    /// The same with priors: what an adaptive task is decided by
    MapEm,
}

#[derive(Debug, Serialize)]
struct Report {
    method: Method,
    items: usize,
    annotators: usize,
    votes: usize,
    labels: usize,
    /// Krippendorff's alpha; none where there is nothing to disagree on.
    agreement: Option<Agreement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_truth: Option<AgainstTruth>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gold: Option<OnGold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<PathBuf>,
}

/// How far annotators agree beyond chance.
#[derive(Debug, Serialize)]
struct Agreement {
    alpha: f64,
    /// The interval that holds it in 95 of 100 cases.
    interval: (f64, f64),
    /// Items with two votes or more.
    items: usize,
}

#[derive(Debug, Serialize)]
struct AgainstTruth {
    items: usize,
    accuracy: f64,
    calibration_error: f64,
}

#[derive(Debug, Serialize)]
struct OnGold {
    items: usize,
    /// T and ε, where they help.
    temperature: Option<f64>,
    epsilon: Option<f64>,
    /// Plain majority beats the method by more than chance.
    alarm: bool,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    let votes = Votes::read(&args.votes, args.truth.as_ref())?;
    let gold = draw_gold(&votes, args)?;
    let (estimates, calibration) = estimate(&votes, args.method, &gold);
    let on_gold = (!gold.is_empty()).then(|| OnGold {
        items: gold.len(),
        temperature: calibration.map(|fitted| fitted.temperature),
        epsilon: calibration.map(|fitted| fitted.epsilon),
        alarm: compare(&votes, &estimates, &gold).is_some(),
    });
    let against_truth = args.truth.is_some().then(|| {
        let is_gold = |item: &usize| gold.binary_search(item).is_ok();
        let others = (0..votes.items.len()).filter(|item| !is_gold(item));
        let Quality { images, accuracy, calibration_error } =
            Quality::of(others.map(|item| (estimates[item], votes.truth_of(item))));
        AgainstTruth { items: images, accuracy, calibration_error }
    });
    if let Some(path) = &args.out {
        write(path, &votes, &estimates).map_err(|error| Failure::io(path.display(), &error))?;
    }
    let report = Report {
        method: args.method,
        items: votes.items.len(),
        annotators: votes.annotators.len(),
        votes: votes.table.votes(),
        labels: votes.labels.len(),
        agreement: krippendorff_alpha(&votes.table).map(|found| Agreement {
            alpha: found.alpha,
            interval: (found.low, found.high),
            items: found.images,
        }),
        against_truth,
        gold: on_gold,
        out: args.out.clone(),
    };
    context.out.show(&report, Report::text)
}

/// The items that serve as gold, in order.
fn draw_gold(votes: &Votes, args: &Args) -> Outcome<Vec<usize>> {
    let mut known: Vec<usize> = (0..votes.items.len()).filter(|item| votes.truth_of(*item).is_some()).collect();
    if args.gold > 0 && args.gold >= known.len() {
        return Err(Failure::usage(format!("--gold takes less than the {} items with a truth", known.len())));
    }
    let (gold, _) = known.partial_shuffle(&mut StdRng::seed_from_u64(args.seed), args.gold);
    let mut gold = gold.to_vec();
    gold.sort_unstable();
    Ok(gold)
}

/// The labels, and the calibration where gold has given one.
fn estimate(votes: &Votes, method: Method, gold: &[usize]) -> (Vec<Option<Estimate>>, Option<Calibration>) {
    let table = &votes.table;
    match method {
        Method::Majority => {
            let estimate =
                |plurality: Plurality| Some(Estimate { label: plurality.leader?, confidence: plurality.share() });
            let count = |ballots: &[_]| Plurality::count(labels(ballots));
            (table.iter().map(|ballots| estimate(count(ballots))).collect(), None)
        }
        Method::DawidSkene => {
            let model = DawidSkene::fit(table, DAWID_SKENE_ITERATIONS);
            calibrated(votes, gold, |item, scores| model.score(table.image(item), scores))
        }
        Method::MapEm => {
            let model = MapEm::fit(table, |_| None, ITERATIONS_FINAL);
            calibrated(votes, gold, |item, scores| model.score(table.image(item), scores))
        }
    }
}

fn labels(ballots: &[lambel_core::consensus::Ballot]) -> impl Iterator<Item = LabelIndex> {
    ballots.iter().map(|ballot| ballot.label)
}

fn calibrated(
    votes: &Votes,
    gold: &[usize],
    score: impl Fn(usize, &mut Scores),
) -> (Vec<Option<Estimate>>, Option<Calibration>) {
    let known = |item: &usize| {
        let mut scores = Scores::default();
        score(*item, &mut scores);
        Some((scores, votes.truth_of(*item)?))
    };
    let calibration = Calibration::fit(&gold.iter().filter_map(known).collect::<Vec<_>>());
    let applied = calibration.unwrap_or_default();
    let mut scores = Scores::default();
    let estimate = |item| {
        score(item, &mut scores);
        applied.estimate(&scores)
    };
    ((0..votes.items.len()).map(estimate).collect(), calibration)
}

/// Whether plain majority does better on gold.
fn compare(votes: &Votes, estimates: &[Option<Estimate>], gold: &[usize]) -> Option<Alarm> {
    alarm(gold.iter().filter_map(|item| {
        let truth = votes.truth_of(*item)?;
        let majority = Plurality::count(labels(votes.table.image(*item))).leader;
        Some((majority == Some(truth), estimates[*item].map(|estimate| estimate.label) == Some(truth)))
    }))
}

/// Writes item, label and confidence, all or nothing.
fn write(path: &Path, votes: &Votes, estimates: &[Option<Estimate>]) -> io::Result<()> {
    let mut file = temporary_beside(path)?;
    let mut writer = csv::Writer::from_writer(io::BufWriter::new(file.as_file_mut()));
    writer.write_record(["item", "label", "confidence"])?;
    for (item, estimate) in votes.items.iter().zip(estimates) {
        let label = estimate.and_then(|estimate| votes.labels.get(usize::from(estimate.label.0)));
        let confidence = estimate.map(|estimate| format!("{:.6}", estimate.confidence.get())).unwrap_or_default();
        writer.write_record([item.as_str(), label.map_or("", String::as_str), &confidence])?;
    }
    writer.into_inner().map_err(|error| error.into_error())?.flush()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

impl Report {
    fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} items, {} annotators, {} votes, {} labels",
            self.items, self.annotators, self.votes, self.labels
        )];
        if let Some(Agreement { alpha, interval: (low, high), .. }) = &self.agreement {
            lines.push(format!("Krippendorff's alpha {alpha:.3}, from {low:.3} to {high:.3}"));
        }
        if let Some(AgainstTruth { items, accuracy, calibration_error }) = &self.against_truth {
            let (accuracy, error) = (percent(*accuracy), percent(*calibration_error));
            lines.push(format!("against the truth of {items} items: accuracy {accuracy}, calibration error {error}"));
        }
        if let Some(gold) = &self.gold {
            lines.push(match (gold.temperature, gold.epsilon) {
                (Some(t), Some(e)) => format!("calibrated on {} gold items: T = {t:.2}, ε = {e:.2}", gold.items),
                _ => format!("calibration on {} gold items does not help", gold.items),
            });
            if gold.alarm {
                lines.push("on gold, plain majority is better than this method by more than chance".to_owned());
            }
        }
        if let Some(path) = &self.out {
            lines.push(format!("labels in {}", path.display()));
        }
        lines.join("\n")
    }
}
