//! `lambel task gold`: images whose true label is known, which measure operators.
//!
//! `file` reads them out of a CSV file, `promote` picks some of those that operators have decided; both end in
//! [`send`], which asks the service and reports what became of each.

pub(crate) mod file;
mod promote;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use lambel_client::Client;
use lambel_core::{
    ImageId, TaskId,
    api::{AddGold, GoldFields, GoldOutcome, GoldReceipt, GoldView, PageQuery},
    limits,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    output::columns,
};

/// How often images that have not arrived are asked for again.
const AGAIN_EVERY: Duration = Duration::from_secs(2);
/// What a moment may mend.
const PASSING: [&str; 3] = ["not-arrived", "not-ready", "try-again"];

#[derive(clap::Subcommand)]
pub(crate) enum GoldCommand {
    /// Make the images of a CSV file gold
    Add {
        /// The id of the task
        task: TaskId,
        /// A file with the columns `label` and `file` (or `name`), or `label` and `image` for the ids of images
        #[arg(long, value_name = "FILE")]
        csv: PathBuf,
        /// How long to wait for files that were announced and are not there yet
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        wait: u64,
    },
    /// Make images gold on which operators agree, spread over their labels
    Promote {
        /// The id of the task
        task: TaskId,
        /// How sure an image has to be, 0 to 1
        #[arg(long, value_name = "SHARE")]
        min_confidence: f64,
        /// How many images
        #[arg(long, value_name = "N")]
        count: usize,
        /// The same number picks the same images
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    /// List the gold of a task, with how many operators were right
    List {
        /// The id of the task
        task: TaskId,
    },
    /// Take images off the gold of a task
    Remove {
        /// The id of the task
        task: TaskId,
        /// Names of files, or ids of images
        #[arg(required = true, value_name = "NAME|ID")]
        images: Vec<String>,
    },
}

pub(crate) async fn run(context: &Context, command: GoldCommand) -> Outcome {
    match command {
        GoldCommand::Add { task, csv, wait } => {
            let lines = file::read(&csv)?;
            send(context, task, lines, Duration::from_secs(wait)).await
        }
        GoldCommand::Promote { task, min_confidence, count, seed } => {
            let lines = promote::pick(context, task, min_confidence, count, seed).await?;
            send(context, task, lines, Duration::ZERO).await
        }
        GoldCommand::List { task } => list(context, task).await,
        GoldCommand::Remove { task, images } => remove(context, task, &images).await,
    }
}

/// An image and the label that somebody gives it, and where that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line of the file; none if it comes from nowhere.
    pub(crate) line: Option<u64>,
    /// What the file calls it.
    pub(crate) called: String,
    pub(crate) label: String,
    pub(crate) image: Option<ImageId>,
}

impl Line {
    fn fields(&self) -> GoldFields {
        let name = self.image.is_none().then(|| self.called.clone());
        GoldFields { name, image: self.image, label: self.label.clone() }
    }
}

/// An image that is not gold, or whose label is another one.
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
    added: u64,
    replaced: u64,
    unchanged: u64,
    refused: Vec<Told>,
    /// Images that were decided for another label, which stays theirs.
    decided_otherwise: Vec<Told>,
}

impl Report {
    fn add(&mut self, line: &Line, receipt: &GoldReceipt) {
        let told = |code: &str, detail: String| Told {
            line: line.line,
            name: line.called.clone(),
            code: code.to_owned(),
            detail,
        };
        match receipt.outcome {
            GoldOutcome::Added => self.added += 1,
            GoldOutcome::Replaced => self.replaced += 1,
            GoldOutcome::Unchanged => self.unchanged += 1,
            GoldOutcome::Refused => {
                let detail = receipt.detail.clone().unwrap_or_default();
                self.refused.push(told(receipt.code.as_deref().unwrap_or_default(), detail));
            }
        }
        if let Some(decided) = &receipt.decided {
            let detail = format!("it was decided for `{decided}`, which stays its label in the results");
            self.decided_otherwise.push(told("decided-otherwise", detail));
        }
    }

    fn text(&self) -> String {
        let Self { added, replaced, unchanged, refused, decided_otherwise } = self;
        let mut text = format!("{added} images are gold now, {unchanged} were");
        if *replaced > 0 {
            text += &format!(", {replaced} have another label now");
        }
        if !refused.is_empty() {
            text += &format!(", {} refused", refused.len());
        }
        for Told { line, name, detail, .. } in decided_otherwise.iter().chain(refused) {
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            text += &format!("\n{place}{name}: {detail}");
        }
        text
    }
}

/// Makes images gold, some at a time, and reports. What has not arrived is asked for again for so long.
async fn send(context: &Context, task: TaskId, lines: Vec<Line>, wait: Duration) -> Outcome {
    let client = context.client()?;
    let until = Instant::now() + wait;
    let mut left: Vec<usize> = (0..lines.len()).collect();
    let mut receipts: BTreeMap<usize, GoldReceipt> = BTreeMap::new();
    loop {
        for chunk in left.chunks(limits::GOLD_PER_REQUEST) {
            let gold = chunk.iter().map(|place| lines[*place].fields()).collect();
            let answer = client.add_gold(task, &AddGold { gold }).await?;
            receipts.extend(chunk.iter().copied().zip(answer.gold));
        }
        let passes = |receipt: &GoldReceipt| PASSING.iter().any(|code| receipt.code.as_deref() == Some(code));
        left = receipts.iter().filter(|(_, receipt)| passes(receipt)).map(|(place, _)| *place).collect();
        if left.is_empty() || Instant::now() >= until {
            break;
        }
        context.out.note(&format!("{} images are not there yet", left.len()));
        tokio::time::sleep(AGAIN_EVERY).await;
    }
    let mut report = Report::default();
    receipts.iter().for_each(|(place, receipt)| report.add(&lines[*place], receipt));
    context.out.show(&report, Report::text)?;
    match report.refused.len() {
        0 => Ok(()),
        n => Err(Failure::new(Exit::SomeFiles, format!("{n} images are not gold"))),
    }
}

/// All gold of a task.
async fn all(client: &Client, task: TaskId) -> Outcome<Vec<GoldView>> {
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS_DEFAULT) };
    let mut all = Vec::new();
    loop {
        let answer = client.gold(task, &page).await?;
        all.extend(answer.gold);
        match answer.next {
            Some(next) if page.cursor.as_ref() != Some(&next) => page.cursor = Some(next),
            _ => return Ok(all),
        }
    }
}

async fn list(context: &Context, task: TaskId) -> Outcome {
    let gold = all(&context.client()?, task).await?;
    if context.out.json {
        return gold.iter().try_for_each(|gold| context.out.json(gold));
    }
    if gold.is_empty() {
        context.out.note("the task has no gold; `lambel task gold add` makes some");
        return Ok(());
    }
    let head = ["name", "label", "answered", "right", "abstained"].map(str::to_owned).to_vec();
    let row = |gold: &GoldView| {
        let name = gold.name.clone().unwrap_or_else(|| gold.image.to_string());
        let right = match gold.answered {
            0 => "-".to_owned(),
            answered => format!("{} ({:.0} %)", gold.right, 100.0 * gold.right as f64 / answered as f64),
        };
        vec![name, gold.label.to_string(), gold.answered.to_string(), right, gold.abstained.to_string()]
    };
    context.out.line(&columns(&std::iter::once(head).chain(gold.iter().map(row)).collect::<Vec<_>>()))
}

async fn remove(context: &Context, task: TaskId, images: &[String]) -> Outcome {
    let client = context.client()?;
    let ids: Vec<Option<ImageId>> = images.iter().map(|image| image.parse().ok()).collect();
    // Names are looked up among what is gold.
    let gold = if ids.contains(&None) { all(&client, task).await? } else { Vec::new() };
    let of_name = |name: &str| gold.iter().find(|gold| gold.name.as_deref() == Some(name)).map(|gold| gold.image);
    for (called, id) in images.iter().zip(ids) {
        let removed = match id.or_else(|| of_name(called)) {
            Some(image) => client.remove_gold(task, image).await?.removed,
            None => false,
        };
        context.out.show(&json!({"name": called, "removed": removed}), |_| match removed {
            true => format!("{called} is gold no more"),
            false => format!("{called} was no gold"),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_is_not_gold_and_where_it_was_asked_for() {
        let line = |line, called: &str| Line { line, called: called.to_owned(), label: "cat".to_owned(), image: None };
        let receipt =
            |outcome| GoldReceipt { name: None, image: None, outcome, decided: None, code: None, detail: None };
        let mut report = Report::default();
        report.add(&line(Some(2), "a.png"), &receipt(GoldOutcome::Added));
        let decided = serde_json::from_value(json!("dog")).unwrap();
        report.add(&line(Some(3), "b.png"), &GoldReceipt { decided: Some(decided), ..receipt(GoldOutcome::Unchanged) });
        let (code, detail) = (Some("unknown-name".to_owned()), Some("the task has no file of this name".to_owned()));
        report.add(&line(Some(4), "c.png"), &GoldReceipt { code, detail, ..receipt(GoldOutcome::Refused) });
        assert_eq!(
            report.text(),
            "1 images are gold now, 1 were, 1 refused\n\
             line 3: b.png: it was decided for `dog`, which stays its label in the results\n\
             line 4: c.png: the task has no file of this name"
        );
        assert_eq!(serde_json::to_value(&report).unwrap()["refused"][0]["code"], "unknown-name");
    }
}
