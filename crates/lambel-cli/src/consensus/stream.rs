//! `lambel consensus stream`: how many votes each rule needs, and how good its labels are.

use std::path::PathBuf;

use clap::ValueEnum;
use lambel_core::{
    LabelIndex,
    consensus::{Adaptive, Calibration, Confidence, Estimate, Lead, Majority, Scores},
    limits,
};
use rand::seq::SliceRandom;
use serde::Serialize;

use super::{
    Quality,
    crowd::Crowd,
    percent,
    play::{Played, Rule, play},
    read::Votes,
};
use crate::{
    context::Context,
    exit::{Failure, Outcome},
    output::columns,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// CSV file with the columns item, annotator and label
    #[arg(long, value_name = "FILE")]
    votes: PathBuf,
    /// CSV file with the columns item and truth
    #[arg(long, value_name = "FILE")]
    truth: PathBuf,
    /// The rule to play by. Fixed majorities of 3, 5 and 7 and leads of 2 and 3 are played beside it
    #[arg(long, value_enum, default_value_t = RuleName::Adaptive)]
    rule: RuleName,
    /// adaptive: the posterior that is enough; several, divided by commas, are played one after another
    #[arg(long, value_name = "P", value_delimiter = ',', default_value = "0.99", value_parser = share)]
    confidence: Vec<f64>,
    /// majority: the quorum
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = labels())]
    quorum: u32,
    /// lead: how many votes the leading label has to be ahead
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = labels())]
    lead: u32,
    /// Votes that an image takes at least
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = labels())]
    min: u32,
    /// Votes that an image takes at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = labels())]
    max: u32,
    /// How many orders of the votes are played; the figures are the means
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    shuffles: u64,
    /// What chance starts from; the same seed gives the same figures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Add random clickers: this share of the number of annotators, each with as many votes as an annotator has
    /// in the mean, on images drawn at random, each vote for a label drawn at random. So 0.2 adds a fifth of the
    /// votes
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    spammers: f64,
    /// Fit the calibration on so many images with a known truth, drawn at random in each shuffle, and give the
    /// calibrated error on the others; with adaptive also as a running task does it, from 50 on
    #[arg(long, value_name = "N", default_value_t = 0)]
    gold: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RuleName {
    Adaptive,
    Lead,
    Majority,
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not from 0 to 1".to_owned()) }
}

fn labels() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=i64::from(limits::MAX_LABELS))
}

/// The figures of one rule, means of all shuffles.
#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    rule: &'static str,
    /// The quorum, the lead or the confidence.
    parameter: f64,
    votes_per_image: f64,
    accuracy: f64,
    calibration_error: f64,
    /// The same after calibration on gold, where there is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    calibrated_error: Option<f64>,
    /// The error of the confidences that a running task reports, which are those that images were decided with, as they
    /// are and calibrated on gold that was played again.
    #[serde(skip_serializing_if = "Option::is_none")]
    running_error: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_calibrated_error: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    items: usize,
    annotators: usize,
    votes: usize,
    labels: usize,
    spammers: usize,
    shuffles: u64,
    seed: u64,
    gold: usize,
    rows: Vec<Row>,
    /// With several confidences: votes per image at the accuracy of a majority of 5, between the confidences on a
    /// straight line, and the share of its votes that this saves.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_majority_of_5: Option<Saving>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Saving {
    votes_per_image: f64,
    saved: f64,
}

pub(crate) fn run(context: &Context, args: &Args) -> Outcome {
    if args.max < args.min {
        return Err(Failure::usage("--max is less than --min"));
    }
    let votes = Votes::read(&args.votes, Some(&args.truth))?;
    let known: Vec<usize> = (0..votes.items.len()).filter(|item| votes.truth_of(*item).is_some()).collect();
    if known.is_empty() {
        let (truth, votes) = (args.truth.display(), args.votes.display());
        return Err(Failure::usage(format!("{truth}: there is no truth for any item of {votes}")));
    }
    if args.gold >= known.len() {
        return Err(Failure::usage(format!("--gold takes less than the {} items with a truth", known.len())));
    }
    let rules = rules(args);
    let mut rows: Vec<Row> =
        rules.iter().map(|&(rule, parameter, _)| Row { rule, parameter, ..Row::default() }).collect();
    for shuffle in 0..args.shuffles {
        for (row, (.., rule)) in rows.iter_mut().zip(&rules) {
            // The same order for each rule.
            let mut crowd = Crowd::new(&votes, args.spammers, args.seed.wrapping_add(shuffle));
            let mut gold = known.clone();
            let (gold, _) = gold.partial_shuffle(&mut crowd.chance, args.gold);
            let known = gold.iter().filter_map(|item| Some((*item, votes.truth_of(*item)?)));
            let known: Vec<(usize, LabelIndex)> = known.collect();
            let played = play(*rule, &mut crowd, &known).map_err(|error| Failure::usage(error.to_string()))?;
            row.add(&votes, &played, gold, args.shuffles as f64);
        }
    }
    let report = Report {
        items: votes.items.len(),
        annotators: votes.annotators.len(),
        votes: votes.table.votes(),
        labels: votes.labels.len(),
        spammers: (args.spammers * votes.annotators.len() as f64).round() as usize,
        shuffles: args.shuffles,
        seed: args.seed,
        gold: args.gold,
        at_majority_of_5: saving(&rows),
        rows,
    };
    context.out.show(&report, Report::text)
}

/// What is played: the rule that was asked for first.
fn rules(args: &Args) -> Vec<(&'static str, f64, Rule)> {
    let &Args { min: min_labels, max: max_labels, .. } = args;
    let majority = |quorum: u32| {
        let rule = Majority { quorum, max_labels: max_labels.max(quorum) };
        ("majority", f64::from(quorum), Rule::Majority(rule))
    };
    let lead = |lead: u32| ("lead", f64::from(lead), Rule::Lead(Lead { lead, min_labels, max_labels }));
    let adaptive = |confidence: &f64| {
        let rule = Adaptive { confidence: Confidence::new(*confidence), min_labels, max_labels };
        ("adaptive", *confidence, Rule::Adaptive(rule))
    };
    let mut rules = match args.rule {
        RuleName::Adaptive => args.confidence.iter().map(adaptive).collect(),
        RuleName::Lead => vec![lead(args.lead)],
        RuleName::Majority => vec![majority(args.quorum)],
    };
    for other in [majority(3), majority(5), majority(7), lead(2), lead(3)] {
        if !rules.iter().any(|rule| (rule.0, rule.1) == (other.0, other.1)) {
            rules.push(other);
        }
    }
    rules
}

impl Row {
    /// Adds one shuffle of so many to the means.
    fn add(&mut self, votes: &Votes, played: &Played, gold: &[usize], shuffles: f64) {
        let images = played.estimates.iter().copied().enumerate();
        let quality = Quality::of(images.map(|(item, estimate)| (estimate, votes.truth_of(item))));
        self.votes_per_image += played.votes as f64 / votes.items.len() as f64 / shuffles;
        self.accuracy += quality.accuracy / shuffles;
        self.calibration_error += quality.calibration_error / shuffles;
        if let (false, Some(error)) = (gold.is_empty(), calibrated_error(votes, &played.scores, gold)) {
            *self.calibrated_error.get_or_insert_default() += error / shuffles;
        }
        if let (false, Some(running)) = (gold.is_empty(), &played.running) {
            let errors = running.errors(|item| votes.truth_of(item), gold);
            *self.running_error.get_or_insert_default() += errors.posterior / shuffles;
            *self.running_calibrated_error.get_or_insert_default() += errors.calibrated / shuffles;
        }
    }
}

/// The calibration error on the images that are no gold, with a calibration fitted on those that are. None
/// where there are no scores to calibrate.
fn calibrated_error(votes: &Votes, scores: &[Scores], gold: &[usize]) -> Option<f64> {
    let known =
        |item: &usize| -> Option<(Scores, LabelIndex)> { Some((scores.get(*item)?.clone(), votes.truth_of(*item)?)) };
    let gold_scores: Vec<(Scores, LabelIndex)> = gold.iter().filter_map(known).collect();
    if gold_scores.is_empty() {
        return None;
    }
    let calibration = Calibration::fit(&gold_scores).unwrap_or_default();
    let others = (0..scores.len()).filter(|item| !gold.contains(item));
    let estimate = |item: usize| -> (Option<Estimate>, Option<LabelIndex>) {
        (calibration.estimate(&scores[item]), votes.truth_of(item))
    };
    Some(Quality::of(others.map(estimate)).calibration_error)
}

/// Votes per image of `adaptive` at the accuracy of a majority of 5, between its confidences.
fn saving(rows: &[Row]) -> Option<Saving> {
    let wanted = rows.iter().find(|row| (row.rule, row.parameter) == ("majority", 5.0))?;
    let mut curve: Vec<(f64, f64)> =
        rows.iter().filter(|row| row.rule == "adaptive").map(|row| (row.votes_per_image, row.accuracy)).collect();
    if curve.len() < 2 {
        return None;
    }
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The cheapest of all is good enough: no line is needed.
    let first = curve.first().filter(|(_, accuracy)| *accuracy >= wanted.accuracy).map(|(votes, _)| *votes);
    let between = curve.windows(2).find_map(|ends| {
        let ((fewer, low), (more, high)) = (ends[0], ends[1]);
        let crosses = low < wanted.accuracy && high >= wanted.accuracy;
        crosses.then(|| fewer + (more - fewer) * (wanted.accuracy - low) / (high - low))
    });
    let votes_per_image = first.or(between)?;
    Some(Saving { votes_per_image, saved: 1.0 - votes_per_image / wanted.votes_per_image })
}

impl Report {
    fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} items, {} annotators, {} votes, {} labels, {} random clickers, mean of {} shuffles",
            self.items, self.annotators, self.votes, self.labels, self.spammers, self.shuffles
        )];
        let mut table = vec![["rule", "votes per image", "accuracy", "calibration error"].map(str::to_owned).to_vec()];
        if self.gold > 0 {
            table[0].push(format!("calibrated on {} gold", self.gold));
            table[0].extend(["in a running task", "calibrated there"].map(str::to_owned));
        }
        for row in &self.rows {
            let mut cells = vec![
                format!("{} {}", row.rule, row.parameter),
                format!("{:.2}", row.votes_per_image),
                percent(row.accuracy),
                percent(row.calibration_error),
            ];
            if self.gold > 0 {
                let errors = [row.calibrated_error, row.running_error, row.running_calibrated_error];
                cells.extend(errors.map(|error| error.map(percent).unwrap_or_default()));
            }
            table.push(cells);
        }
        lines.push(columns(&table));
        if let Some(Saving { votes_per_image, saved }) = self.at_majority_of_5 {
            let saved = percent(saved);
            lines.push(format!(
                "the accuracy of a majority of 5 takes {votes_per_image:.2} votes an image: {saved} saved"
            ));
        }
        lines.join("\n")
    }
}
