//! `lambel operators`: how the operators of a task work, and how far they agree.

use std::{fs, path::PathBuf};

use lambel_client::Client;
use lambel_core::{
    Label, LabelIndex, TaskId,
    api::{CalibrationView, ConfusionCount, OperatorPage, OperatorReport, PageQuery},
    consensus::{Alarm, CALIBRATED_FROM, Cell, Matrix, Part},
    limits,
};

use crate::{
    context::Context,
    exit::{Failure, Outcome},
    output::{columns, printable},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// Only operators with a flag
    #[arg(long)]
    flagged: bool,
    /// Write a picture of what each of them confuses into this folder: OPERATOR.svg
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let mut all = read(&client, args.task).await?;
    if args.flagged {
        all.operators.retain(|operator| !operator.flags.is_empty());
    }
    if let Some(folder) = &args.svg {
        draw(context, &client, args.task, &all.operators, folder).await?;
    }
    context.out.show(&all, describe)
}

/// All pages as one.
async fn read(client: &Client, task: TaskId) -> Outcome<OperatorPage> {
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS) };
    let mut all = client.task_operators(task, &page).await?;
    while let Some(next) = all.next.take() {
        page.cursor = Some(next);
        let more = client.task_operators(task, &page).await?;
        all.operators.extend(more.operators);
        all.next = more.next;
    }
    Ok(all)
}

async fn draw(
    context: &Context,
    client: &Client,
    task: TaskId,
    operators: &[OperatorReport],
    folder: &PathBuf,
) -> Outcome {
    fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))?;
    let labels = client.task(task).await?.labels;
    for report in operators {
        let one = client.task_operator(task, &report.operator).await?;
        let matrix = matrix(&labels, &one.confusions, one.confusions_cut);
        let title = format!("What {} said where each label was decided", report.operator);
        let svg = matrix.svg(&title, |label| labels.get(usize::from(label.0)).map_or("", Label::as_str));
        let file = folder.join(format!("{}.svg", report.operator));
        fs::write(&file, svg).map_err(|error| Failure::io(file.display(), &error))?;
    }
    context.out.note(&format!("{} pictures in {}", operators.len(), folder.display()));
    Ok(())
}

/// What the interface tells by names, by the places of the labels.
fn matrix(labels: &[Label], confusions: &[ConfusionCount], cut: bool) -> Matrix {
    let place = |label: &Label| {
        let place = labels.iter().position(|known| known == label)?;
        u16::try_from(place).ok().map(LabelIndex)
    };
    let cell = |count: &ConfusionCount| {
        Some(Cell { decided: place(&count.decided)?, said: place(&count.said)?, times: count.times })
    };
    let mut cells: Vec<Cell> = confusions.iter().filter_map(cell).collect();
    cells.sort_unstable();
    Matrix { cells, cut }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn part(part: Option<Part>) -> String {
    part.and_then(Part::share).map(percent).unwrap_or_default()
}

fn calibration(found: &CalibrationView) -> String {
    let CalibrationView { gold, temperature, epsilon } = *found;
    let why = match temperature.zip(epsilon) {
        Some((temperature, epsilon)) => {
            return format!("confidences are calibrated by {gold} images of gold (T {temperature:.3}, ε {epsilon:.2})");
        }
        None if (gold as usize) < CALIBRATED_FROM => format!("of {CALIBRATED_FROM} images of gold {gold} are answered"),
        None => format!("{gold} images of gold do not show that it would help"),
    };
    format!("confidences are not calibrated: {why}")
}

fn alarm(found: &Alarm) -> String {
    let Alarm { majority_only, model_only, p } = *found;
    let chance = if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") };
    format!(
        "ALARM: plain majority does better on gold than weighed votes: {majority_only} images that only it has right \
         against {model_only} ({chance})"
    )
}

fn describe(page: &OperatorPage) -> String {
    let mut lines = Vec::new();
    match page.measured_at {
        Some(at) => lines.push(format!("{} votes on {} decided images, looked at {at}", page.votes, page.images)),
        None => lines.push(page.explanation.clone().unwrap_or_else(|| "nothing was measured yet".to_owned())),
    }
    if let Some(agreement) = page.agreement {
        let (low, high) = (agreement.interval.low, agreement.interval.high);
        let images = agreement.images;
        lines.push(format!("Krippendorff's alpha {:.3} ({low:.3} to {high:.3}) over {images} images", agreement.alpha));
    } else if page.measured_at.is_some() {
        lines.push("Krippendorff's alpha cannot be told: no image has two votes, or all are for one label".to_owned());
    }
    lines.extend(page.calibration.map(|found| calibration(&found)));
    lines.extend(page.alarm.map(|found| alarm(&found)));
    if page.operators.is_empty() {
        return printable(&lines.join("\n"));
    }
    lines.push(String::new());
    let has_gold = page.operators.iter().any(|one| one.gold.is_some());
    let has_weights = page.operators.iter().any(|one| one.weight.is_some());
    let mut head = vec!["operator", "votes", "abstained", "agrees"];
    head.extend(has_gold.then_some("gold"));
    head.extend(["accuracy", "from", "to"]);
    head.extend(has_weights.then_some("weight"));
    head.extend(["median", "state", "flags"]);
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(page.operators.iter().map(|one| {
        let mut row = vec![one.operator.to_string(), one.votes.to_string(), one.abstentions.to_string()];
        row.push(part(one.agreement));
        row.extend(has_gold.then(|| part(one.gold)));
        let share = |share: Option<f64>| share.map(percent).unwrap_or_default();
        row.push(share(one.accuracy));
        row.push(share(one.interval.map(|interval| interval.low)));
        row.push(share(one.interval.map(|interval| interval.high)));
        row.extend(has_weights.then(|| one.weight.map(|weight| format!("{weight:.2}")).unwrap_or_default()));
        row.push(one.median_ms.map(|ms| format!("{:.1} s", f64::from(ms) / 1_000.0)).unwrap_or_default());
        row.push(if one.paused { "paused" } else { "" }.to_owned());
        let kinds: Vec<&str> = one.flags.iter().map(|flag| flag.flag.as_str()).collect();
        row.push(kinds.join(", "));
        row
    }));
    lines.push(columns(&rows));
    let reasons = page.operators.iter().flat_map(|one| {
        let line =
            |flag: &lambel_core::api::FlagView| format!("{}: {} ({})", one.operator, flag.reason, flag.flag.as_str());
        one.flags.iter().map(line)
    });
    let reasons: Vec<String> = reasons.collect();
    if !reasons.is_empty() {
        lines.push(String::new());
        lines.extend(reasons);
    }
    printable(&lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> OperatorPage {
        serde_json::from_value(serde_json::json!({
            "measured_at": "2026-11-21T09:00:00.000Z",
            "images": 200,
            "votes": 600,
            "agreement": {"alpha": 0.8123, "interval": {"low": 0.7, "high": 0.9}, "images": 199},
            "operators": [
                {"operator": "op-1", "votes": 300, "abstentions": 2, "agreement": {"right": 270, "of": 300},
                 "accuracy": 0.9, "interval": {"low": 0.86, "high": 0.93}, "median_ms": 1_400, "flags": [], "paused": false},
                {"operator": "op-2", "votes": 300, "abstentions": 0, "accuracy": 0.5,
                 "interval": {"low": 0.45, "high": 0.55}, "paused": true,
                 "flags": [{"flag": "same-answer", "reason": "says `\u{1b}[2J` in 99.00 % of the cases"}]},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn a_report_is_a_table_and_its_reasons() {
        let text = describe(&page());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "600 votes on 200 decided images, looked at 2026-11-21T09:00:00.000Z");
        assert_eq!(lines[1], "Krippendorff's alpha 0.812 (0.700 to 0.900) over 199 images");
        assert!(lines[3].starts_with("operator  votes  abstained  agrees") && !lines[3].contains("gold"), "{text}");
        assert!(lines[4].contains("90.0 %") && lines[4].ends_with("1.4 s"), "{text}");
        assert!(lines[5].ends_with("paused  same-answer"), "{text}");
        assert_eq!(lines[7], "op-2: says `\u{fffd}[2J` in 99.00 % of the cases (same-answer)");
    }

    #[test]
    fn a_report_says_what_gold_says_of_the_confidences() {
        let with = |calibration: serde_json::Value| {
            let calibration = Some(serde_json::from_value(calibration).unwrap());
            let alarm = Some(Alarm { majority_only: 9, model_only: 1, p: 0.010_742 });
            describe(&OperatorPage { calibration, alarm, ..page() })
        };
        for (calibration, says) in [
            (
                serde_json::json!({"gold": 61, "temperature": 1.189_207, "epsilon": 0.12}),
                "confidences are calibrated by 61 images of gold (T 1.189, ε 0.12)",
            ),
            (serde_json::json!({"gold": 49}), "confidences are not calibrated: of 50 images of gold 49 are answered"),
            (
                serde_json::json!({"gold": 50}),
                "confidences are not calibrated: 50 images of gold do not show that it would help",
            ),
        ] {
            let text = with(calibration);
            let lines: Vec<&str> = text.lines().collect();
            assert_eq!(lines[2], says);
            assert!(
                lines[3].starts_with("ALARM: plain majority")
                    && lines[3].ends_with("9 images that only it has right against 1 (p = 0.011)"),
                "{text}"
            );
        }
    }

    #[test]
    fn before_the_first_look_it_says_when_it_comes() {
        let page = OperatorPage {
            measured_at: None,
            explanation: Some("not yet".to_owned()),
            agreement: None,
            operators: Vec::new(),
            ..page()
        };
        assert_eq!(describe(&page), "not yet");
    }

    #[test]
    fn names_become_places() {
        let labels: Vec<Label> = serde_json::from_value(serde_json::json!(["cat", "dog"])).unwrap();
        let count = |decided: usize, said: usize| ConfusionCount {
            decided: labels[decided].clone(),
            said: labels[said].clone(),
            times: 3,
        };
        let matrix = matrix(&labels, &[count(1, 0), count(0, 0)], true);
        assert_eq!((matrix.times(LabelIndex(1), LabelIndex(0)), matrix.cells.len(), matrix.cut), (3, 2, true));
    }
}
