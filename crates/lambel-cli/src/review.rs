//! `lambel task review`: decides images whose votes have found no answer.

use std::{collections::BTreeMap, path::PathBuf};

use lambel_client::Client;
use lambel_core::{
    TaskId,
    api::{ImageState, ImageView, ImagesQuery, ReviewFields, ReviewImages, ReviewOutcome, ReviewReceipt},
    limits,
};
use serde::Serialize;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    gold::file,
    output::columns,
    results::PAGE_ROWS,
};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("what to do").required(true).multiple(false))]
pub(crate) struct Args {
    /// The id of the task
    task: TaskId,
    /// List the disputed images with their votes, and decide nothing
    #[arg(long, group = "what to do")]
    list: bool,
    /// Decide images as a file says: a line for each, the first one is `file,label`; `image,label` has ids instead
    #[arg(long, value_name = "FILE", group = "what to do")]
    csv: Option<PathBuf>,
    /// Decide every disputed image for the best label there is
    #[arg(long, group = "what to do")]
    keep_best: bool,
}

pub(crate) async fn run(context: &Context, args: Args) -> Outcome {
    match args.csv {
        Some(csv) => {
            let lines = file::read(&csv)?;
            send(context, args.task, lines.into_iter().map(Wanted::of_line).collect()).await
        }
        None if args.keep_best => {
            let mut wanted = Vec::new();
            let client = context.client()?;
            each_disputed(&client, args.task, |image| {
                wanted.push(Wanted::to_keep(image));
                Ok(())
            })
            .await?;
            match wanted.is_empty() {
                true => nothing(context),
                false => send(context, args.task, wanted).await,
            }
        }
        None => list(context, args.task).await,
    }
}

fn nothing(context: &Context) -> Outcome {
    context.out.note("nothing is disputed in this task");
    Ok(())
}

/// An image that is to be decided, and where that was said.
struct Wanted {
    /// The line of the file; none if it comes from nowhere.
    line: Option<u64>,
    /// What people call it.
    called: String,
    fields: ReviewFields,
}

impl Wanted {
    fn of_line(line: crate::gold::Line) -> Self {
        let name = line.image.is_none().then(|| line.called.clone());
        let fields = ReviewFields { image: line.image, name, label: Some(line.label), keep: false };
        Self { line: line.line, called: line.called, fields }
    }

    fn to_keep(image: &ImageView) -> Self {
        let fields = ReviewFields { image: Some(image.image), keep: true, ..ReviewFields::default() };
        Self { line: None, called: called(image), fields }
    }
}

/// What people call an image: the first of its names.
fn called(image: &ImageView) -> String {
    image.names.first().cloned().unwrap_or_else(|| image.image.to_string())
}

/// Looks at every disputed image of a task, a page at a time.
async fn each_disputed(client: &Client, task: TaskId, mut see: impl FnMut(&ImageView) -> Outcome) -> Outcome {
    let mut query = ImagesQuery { state: Some(ImageState::Disputed), cursor: None, limit: Some(PAGE_ROWS) };
    loop {
        let page = client.images(task, &query).await?;
        page.images.iter().try_for_each(&mut see)?;
        match page.next {
            Some(next) if query.cursor.as_ref() != Some(&next) => query.cursor = Some(next),
            _ => return Ok(()),
        }
    }
}

async fn list(context: &Context, task: TaskId) -> Outcome {
    let mut rows = vec![["name", "best label", "sure", "because", "votes"].map(str::to_owned).to_vec()];
    let mut seen = 0_u64;
    each_disputed(&context.client()?, task, |image| {
        seen += 1;
        if context.out.json {
            return context.out.json(image);
        }
        rows.push(row(image));
        Ok(())
    })
    .await?;
    match (seen, context.out.json) {
        (0, _) => nothing(context),
        (_, true) => Ok(()),
        (_, false) => context.out.line(&columns(&rows)),
    }
}

/// An image in words: its name, the best label, how sure that is, why there is no answer, and who said what how often.
fn row(image: &ImageView) -> Vec<String> {
    let status = &image.status;
    let label = status.label.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let sure = status.confidence.map_or(0.0, |confidence| confidence.get());
    let because = serde_json::to_value(status.dispute).unwrap_or_default();
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    for vote in status.votes.iter().filter(|vote| !vote.late) {
        let answer = match (&vote.label, vote.abstain) {
            (Some(label), _) => label.to_string(),
            (None, Some(reason)) => reason.as_str().to_owned(),
            (None, None) => continue,
        };
        *said.entry(answer).or_default() += 1;
    }
    let mut said: Vec<(String, u64)> = said.into_iter().collect();
    said.sort_by_key(|(_, votes)| std::cmp::Reverse(*votes));
    let said: Vec<String> = said.into_iter().map(|(answer, votes)| format!("{votes} {answer}")).collect();
    let because = because.as_str().unwrap_or_default().to_owned();
    vec![called(image), label, format!("{:.0} %", 100.0 * sure), because, said.join(", ")]
}

/// An image that stays as it was.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Told {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    name: String,
    code: String,
    detail: String,
}

/// What became of all of them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Report {
    reviewed: u64,
    unchanged: u64,
    refused: Vec<Told>,
}

impl Report {
    fn add(&mut self, wanted: &Wanted, receipt: &ReviewReceipt) {
        match receipt.outcome {
            ReviewOutcome::Reviewed => self.reviewed += 1,
            ReviewOutcome::Unchanged => self.unchanged += 1,
            ReviewOutcome::Refused => self.refused.push(Told {
                line: wanted.line,
                name: wanted.called.clone(),
                code: receipt.code.clone().unwrap_or_default(),
                detail: receipt.detail.clone().unwrap_or_default(),
            }),
        }
    }

    fn text(&self) -> String {
        let Self { reviewed, unchanged, refused } = self;
        let mut text = format!("{reviewed} images are decided now, {unchanged} were");
        if !refused.is_empty() {
            text += &format!(", {} refused", refused.len());
        }
        for Told { line, name, detail, .. } in refused {
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            text += &format!("\n{place}{name}: {detail}");
        }
        text
    }
}

/// Decides images, some at a time, and reports.
async fn send(context: &Context, task: TaskId, all: Vec<Wanted>) -> Outcome {
    let client = context.client()?;
    let mut report = Report::default();
    for chunk in all.chunks(limits::REVIEWS_PER_REQUEST) {
        let reviews = chunk.iter().map(|wanted| wanted.fields.clone()).collect();
        let answer = client.review(task, &ReviewImages { reviews }).await?;
        chunk.iter().zip(&answer.reviews).for_each(|(wanted, receipt)| report.add(wanted, receipt));
    }
    context.out.show(&report, Report::text)?;
    match report.refused.len() {
        0 => Ok(()),
        n => Err(Failure::new(Exit::SomeFiles, format!("{n} images were not decided"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_disputed_image_is_shown_with_what_was_said_of_it() {
        let vote = |operator: &str, more: serde_json::Value| {
            let mut vote = json!({"operator": operator, "at": "2026-11-21T08:47:00.123Z"});
            vote.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            vote
        };
        let json = json!({
            "image": "0".repeat(64), "names": ["a.png", "b.png"], "state": "disputed", "bytes": 1, "label": "cat",
            "confidence": 0.5, "dispute": "no-answer", "votes": [
                vote("o1", json!({"label": "dog"})), vote("o2", json!({"label": "cat"})),
                vote("o3", json!({"label": "cat"})), vote("o4", json!({"abstain": "unclear"})),
                vote("o5", json!({"label": "dog", "late": true})),
            ],
        });
        let image: ImageView = serde_json::from_value(json).unwrap();
        assert_eq!(row(&image), ["a.png", "cat", "50 %", "no-answer", "2 cat, 1 dog, 1 unclear"]);
        assert_eq!(Wanted::to_keep(&image).fields.image, Some(image.image));
    }

    #[test]
    fn a_report_names_what_was_not_decided_and_where_it_was_asked_for() {
        let wanted = |line, called: &str| Wanted { line, called: called.to_owned(), fields: ReviewFields::default() };
        let receipt =
            |outcome| ReviewReceipt { image: None, name: None, outcome, label: None, code: None, detail: None };
        let mut report = Report::default();
        report.add(&wanted(Some(2), "a.png"), &receipt(ReviewOutcome::Reviewed));
        report.add(&wanted(Some(3), "b.png"), &receipt(ReviewOutcome::Unchanged));
        let (code, detail) = (Some("not-disputed".to_owned()), Some("the image is not disputed".to_owned()));
        report.add(&wanted(Some(4), "c.png"), &ReviewReceipt { code, detail, ..receipt(ReviewOutcome::Refused) });
        let text = "1 images are decided now, 1 were, 1 refused\nline 4: c.png: the image is not disputed";
        assert_eq!(report.text(), text);
        assert_eq!(serde_json::to_value(&report).unwrap()["refused"][0]["code"], "not-disputed");
    }
}
