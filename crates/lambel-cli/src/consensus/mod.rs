//! `lambel consensus`: labels out of the votes of a file, on this machine alone.
//!
//! `read` reads the files, `aggregate`, `stream` and `operators` are the commands, `play` plays a task by the rules that a
//! running task is decided by, `crowd` shuffles votes and adds random clickers.

mod aggregate;
mod crowd;
mod operators;
mod play;
mod read;
mod running;
mod stream;

use clap::Subcommand;
use lambel_core::{
    LabelIndex,
    consensus::{Estimate, calibration_error},
};

use crate::{context::Context, exit::Outcome};

#[derive(Subcommand)]
pub(crate) enum ConsensusCommand {
    /// Find the labels of images out of all votes of a file
    Aggregate(aggregate::Args),
    /// Play the votes of a file as a stream, and see how many votes each rule needs
    Stream(stream::Args),
    /// See how good each annotator is, and who needs a look
    Operators(operators::Args),
}

pub(crate) fn run(context: &Context, command: ConsensusCommand) -> Outcome {
    match command {
        ConsensusCommand::Aggregate(args) => aggregate::run(context, &args),
        ConsensusCommand::Stream(args) => stream::run(context, &args),
        ConsensusCommand::Operators(args) => operators::run(context, &args),
    }
}

/// How good labels are where the truth is known.
#[derive(Clone, Copy, Debug, Default)]
struct Quality {
    /// Images with a known truth.
    images: usize,
    /// The share of them with the right label.
    accuracy: f64,
    /// The expected calibration error of the confidences.
    calibration_error: f64,
}

impl Quality {
    /// Of images as (what is said, what is true). Where the truth is not known an image counts nothing, and where
    /// nothing is said it is wrong.
    fn of(images: impl Iterator<Item = (Option<Estimate>, Option<LabelIndex>)>) -> Self {
        let judged = images.filter_map(|(estimate, truth)| {
            let right = estimate.map(|estimate| estimate.label) == Some(truth?);
            Some((estimate.map(|estimate| estimate.confidence).unwrap_or_default(), right))
        });
        let judged: Vec<_> = judged.collect();
        let right = judged.iter().filter(|(_, right)| *right).count();
        Self {
            images: judged.len(),
            accuracy: right as f64 / judged.len().max(1) as f64,
            calibration_error: calibration_error(judged),
        }
    }
}

/// A share as percent.
fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
