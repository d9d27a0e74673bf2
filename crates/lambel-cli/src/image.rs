//! `lambel task image`: one image with its votes, and why it was decided as it was.

use lambel_client::Client;
use lambel_core::{
    ImageId, TaskId,
    api::{CalibrationView, Explained, ImageView, PageQuery, VoteView},
    limits,
    subtask::DecidedBy,
};

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::{columns, printable},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// The id of the image, or one of its names: to find a name the results are read, page by page
    #[arg(value_name = "IMAGE|NAME")]
    image: String,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    let client = context.client()?;
    let image = match args.image.parse::<ImageId>() {
        Ok(image) => image,
        Err(_) => named(&client, args.task, &args.image).await?,
    };
    context.out.show(&client.image(args.task, image).await?, describe)
}

/// The image that has a name.
async fn named(client: &Client, task: TaskId, name: &str) -> Outcome<ImageId> {
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS) };
    loop {
        let answer = client.results(task, &page).await?;
        if let Some(row) = answer.rows.iter().find(|row| row.name == name) {
            return Ok(row.image);
        }
        match answer.next {
            Some(next) => page.cursor = Some(next),
            None => return Err(Failure::new(Exit::NotFound, format!("the task has no image that is called {name}"))),
        }
    }
}

/// A name that serde gives to a value.
fn word(value: impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn describe(view: &ImageView) -> String {
    let status = &view.status;
    let mut rows = vec![
        vec!["image".to_owned(), view.image.to_string()],
        vec!["names".to_owned(), view.names.join(", ")],
        vec!["state".to_owned(), word(status.state)],
    ];
    let mut row = |name: &str, value: Option<String>| rows.extend(value.map(|value| vec![name.to_owned(), value]));
    row("refused", status.refusal.as_ref().map(|refusal| format!("{}: {}", refusal.code, refusal.detail)));
    let confidence = status.confidence.map_or(0.0, |confidence| confidence.get());
    row("label", status.label.as_ref().map(|label| format!("{label} ({:.2} %)", 100.0 * confidence)));
    row("dispute", status.dispute.map(word));
    row("decided by", status.decided_by.map(|by| who(by).to_owned()));
    row("reviewed by", status.reviewed_by.as_ref().map(ToString::to_string));
    row("decided", status.decided_at.map(|at| at.to_string()));
    let mut text = columns(&rows);
    if let Some(explained) = &view.explained {
        text.push_str("\n\n");
        text.push_str(&explanation(explained, status.decided_by));
    }
    if !status.votes.is_empty() {
        text.push_str("\n\n");
        text.push_str(&votes(&status.votes));
    }
    printable(&text)
}

/// Who has decided, in words.
fn who(by: DecidedBy) -> &'static str {
    match by {
        DecidedBy::Votes => "its votes",
        DecidedBy::Batch => "a batch over all votes of the task",
        DecidedBy::Gold => "gold: its label is known",
        DecidedBy::Review => "a person, in a review",
    }
}

fn explanation(explained: &Explained, by: Option<DecidedBy>) -> String {
    let how = if by == Some(DecidedBy::Votes) { "decided" } else { "its votes alone" };
    let mut how = format!("{how} by {}", explained.rule.as_str());
    if let Some(wanted) = explained.confidence_wanted {
        how.push_str(&format!(", which asks for {:.1} %", 100.0 * wanted));
    }
    if let Some(phase) = explained.phase {
        how.push_str(match phase {
            lambel_core::consensus::Phase::Cold => "; nobody was known, so two votes ahead were enough",
            lambel_core::consensus::Phase::Warm => "; the operators were known",
        });
    }
    let mut rows = vec![["label", "votes", "score", "likely"].map(str::to_owned).to_vec()];
    rows.extend(explained.labels.iter().map(|share| {
        let score = share.score.map(|score| format!("{score:.3}")).unwrap_or_default();
        let likely = format!("{:.2} %", 100.0 * share.confidence.get());
        vec![share.label.to_string(), share.votes.to_string(), score, likely]
    }));
    rows.extend(explained.others.map(|others| {
        let likely = format!("{:.2} %", 100.0 * others.get());
        vec!["(any other)".to_owned(), "0".to_owned(), String::new(), likely]
    }));
    let again = match explained.agrees {
        Some(true) => "\nthe votes, judged again, come to the same",
        Some(false) => "\nthe votes, judged again, do NOT come to what is recorded",
        None => "",
    };
    format!("{how}\n{}{}{again}", columns(&rows), calibrated(explained))
}

/// What the confidence was before it was calibrated.
fn calibrated(explained: &Explained) -> String {
    let Some((posterior, calibration)) = explained.posterior.zip(explained.calibration) else { return String::new() };
    let CalibrationView { gold, temperature, epsilon } = calibration;
    let (temperature, epsilon) = (temperature.unwrap_or(1.0), epsilon.unwrap_or(0.0));
    format!(
        "\ndecided with {:.2} %; the confidence is calibrated by {gold} images of gold (T {temperature:.3}, ε {epsilon:.2})",
        100.0 * posterior.get()
    )
}

fn votes(votes: &[VoteView]) -> String {
    let mut rows = vec![["operator", "vote", "at", "took", "weight", "operators"].map(str::to_owned).to_vec()];
    rows.extend(votes.iter().map(|vote| {
        let said = match (&vote.label, vote.abstain) {
            (Some(label), _) => label.to_string(),
            (None, Some(reason)) => format!("(abstains: {})", word(reason)),
            (None, None) => String::new(),
        };
        let said = if vote.late { format!("{said}, too late") } else { said };
        let took = vote.elapsed_ms.map(|ms| format!("{:.1} s", f64::from(ms) / 1_000.0)).unwrap_or_default();
        let weight = vote.weight.map(|weight| format!("{weight:.3}")).unwrap_or_default();
        vec![
            vote.operator.to_string(),
            said,
            vote.at.to_string(),
            took,
            weight,
            vote.phase.map(word).unwrap_or_default(),
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_shown_with_its_votes_and_why() {
        let view: ImageView = serde_json::from_value(serde_json::json!({
            "image": "0".repeat(64), "names": ["a.png"], "state": "complete", "bytes": 9, "label": "cat",
            "confidence": 0.91, "decided_by": "votes", "decided_at": "2026-11-21T09:00:00.000Z",
            "votes": [
                {"operator": "op-1", "label": "cat", "at": "2026-11-21T08:00:00.000Z", "elapsed_ms": 1_250,
                 "weight": 4.7, "phase": "warm"},
                {"operator": "op-2", "abstain": "unclear", "at": "2026-11-21T08:10:00.000Z", "late": true},
            ],
            "explained": {
                "rule": "adaptive", "confidence_wanted": 0.95, "phase": "warm",
                "labels": [{"label": "cat", "votes": 1, "score": 4.7, "confidence": 0.984}],
                "others": 0.016, "posterior": 0.984, "agrees": false,
                "calibration": {"gold": 61, "temperature": 1.189_207, "epsilon": 0.12},
            },
        }))
        .unwrap();
        let text = describe(&view);
        for part in [
            "cat (91.00 %)",
            "decided by adaptive, which asks for 95.0 %; the operators were known",
            "cat          1      4.700  98.40 %",
            "(any other)  0             1.60 %",
            "decided with 98.40 %; the confidence is calibrated by 61 images of gold (T 1.189, ε 0.12)",
            "do NOT come to what is recorded",
            "1.2 s  4.700   warm",
            "(abstains: unclear), too late",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn what_a_person_has_decided_is_not_said_of_the_votes() {
        let view: ImageView = serde_json::from_value(serde_json::json!({
            "image": "0".repeat(64), "names": ["a.png"], "state": "complete", "bytes": 9, "label": "cat",
            "confidence": 1.0, "decided_by": "gold", "decided_at": "2026-11-21T09:00:00.000Z",
            "votes": [{"operator": "op-1", "label": "dog", "at": "2026-11-21T08:00:00.000Z"}],
            "explained": {"rule": "majority", "labels": [{"label": "dog", "votes": 1, "confidence": 1.0}]},
        }))
        .unwrap();
        let text = describe(&view);
        let decided = text.lines().find(|line| line.starts_with("decided by")).unwrap();
        assert!(decided.ends_with("gold: its label is known"), "{text}");
        assert!(text.contains("its votes alone by majority") && !text.contains("judged again"), "{text}");
    }
}
