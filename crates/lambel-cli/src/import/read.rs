//! The file, as a plan.

use std::{fs::File, io::BufReader};

use lambel_core::{Label, LabelSet};
use lambel_dataset::{
    ContentId,
    import::{GroundTruth, ImportProblem, LabelStudio, Plan, PlannedImage},
};

use super::{Args, Format, Predictions, config::LabelConfig, too_many};
use crate::{
    exit::{Exit, Failure, Outcome},
    task::read_text,
};

/// What was read.
pub(super) struct Input {
    /// Its images, in the order of the file.
    pub(super) images: Vec<PlannedImage>,
    /// Every label that images can get, in order.
    pub(super) labels: Vec<String>,
    /// Elements that said again what another had said.
    pub(super) repeated: u64,
    /// What it all comes to: the same for the same file and the same options.
    pub(super) id: ContentId,
}

/// What is broken, and how much, of which some may not be listed.
pub(super) type Broken = (Vec<ImportProblem>, u64);

/// Reads the whole file.
pub(super) fn read(args: &Args) -> Outcome<Result<Input, Broken>> {
    let path = args.file.display();
    let failed = |error: std::io::Error| Failure { exit: Exit::Usage, ..Failure::io(&path, &error) };
    let open = || File::open(&args.file).map_err(failed);
    let config = config(args)?;
    let given = args.labels.iter().map(|text| Label::parse(text)).collect::<Result<Vec<_>, _>>();
    let given = given.map_err(|error| Failure::usage(error.to_string()))?;
    let plan = match args.format {
        Format::GroundTruth => {
            let reader = GroundTruth { attribute: args.attribute.clone(), labels: given, ..GroundTruth::default() };
            reader.read(BufReader::with_capacity(1 << 16, open()?))
        }
        Format::LabelStudio => {
            let mut reader = LabelStudio { from_name: args.from_name.clone(), ..LabelStudio::default() };
            if let Some(key) = &args.image_key {
                reader.image_key.clone_from(key);
            }
            if let Some(config) = &config {
                reader.image_key.clone_from(&config.image_key);
                reader.from_name = Some(config.from_name.clone());
            }
            reader.read(open()?)
        }
    };
    let plan = plan.map_err(failed)?;
    if plan.broken > 0 {
        return Ok(Err((plan.problems, plan.broken)));
    }
    if plan.images.is_empty() {
        return Err(Failure::usage(format!("{path} has no images")));
    }
    let labels = labels(args, &plan, config.map(|config| config.labels))?;
    let id = id(args, &plan)?;
    Ok(Ok(Input { images: plan.images, labels, repeated: plan.repeated, id }))
}

fn config(args: &Args) -> Outcome<Option<LabelConfig>> {
    let of_the_other = match args.format {
        Format::GroundTruth => [
            ("--label-config", args.label_config.is_some()),
            ("--from-name", args.from_name.is_some()),
            ("--image-key", args.image_key.is_some()),
        ],
        Format::LabelStudio => [("--attribute", args.attribute.is_some()), ("", false), ("", false)],
    };
    if let Some((option, _)) = of_the_other.into_iter().find(|(_, said)| *said) {
        return Err(Failure::usage(format!("{option} does not belong to the format {}", args.format.as_str())));
    }
    let Some(file) = &args.label_config else { return Ok(None) };
    let parsed = LabelConfig::parse(&read_text(file)?, args.from_name.as_deref());
    parsed.map(Some).map_err(|reason| Failure::usage(format!("{}: {reason}", file.display())))
}

/// The labels: those that were said, in that order, and behind them those that the file has. With a configuration
/// those are all.
fn labels(args: &Args, plan: &Plan, configured: Option<Vec<String>>) -> Outcome<Vec<String>> {
    let whole = configured.is_some();
    let mut labels: Vec<String> = configured.unwrap_or_default();
    let add = |labels: &mut Vec<String>, label: &str| {
        if !labels.iter().any(|known| known == label) {
            labels.push(label.to_owned());
        }
    };
    args.labels.iter().for_each(|label| add(&mut labels, label));
    let unknown: Vec<_> =
        plan.labels.iter().filter(|label| !labels.iter().any(|known| known == label.as_str())).collect();
    if whole && !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().take(10).map(|label| format!("`{label}`")).collect();
        let message = format!(
            "the file has labels that are not in the configuration: {}; add what is missing with --label",
            names.join(", ")
        );
        return Err(Failure::usage(message));
    }
    unknown.into_iter().for_each(|label| add(&mut labels, label.as_str()));
    if let Some(reason) = too_many(labels.len()) {
        return Err(Failure::usage(reason));
    }
    // An existing task has its labels already.
    if args.task.is_none() {
        LabelSet::parse(&labels).map_err(|error| {
            let advice = "the labels are those that the file uses; add others with --label";
            Failure::usage(format!("{error} ({advice})"))
        })?;
    }
    Ok(labels)
}

/// The same for what leads to the same votes in the same task.
fn id(args: &Args, plan: &Plan) -> Outcome<ContentId> {
    let with_models = args.predictions == Predictions::Votes;
    let parts = serde_json::to_vec(&(args.format.as_str(), &args.name, with_models));
    let failed = |error: serde_json::Error| Failure::new(Exit::Failed, error.to_string());
    let all = format!("{}{}", ContentId::of(&parts.map_err(failed)?), plan.id().map_err(failed)?);
    Ok(ContentId::of(all.as_bytes()))
}
