//! What the demo has shown, as a table and as JSON.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::Value;

use super::recount::Recount;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) task: String,
    /// Its policy, with every default filled in.
    pub(super) policy: Value,
    /// The counters of the task, once it was complete.
    pub(super) progress: Value,
    /// What `lambel upload` said.
    pub(super) upload: Value,
    /// The images that were refused, with their reasons.
    pub(super) refused: Vec<Value>,
    /// What `lambel replay` said.
    pub(super) replay: Value,
    pub(super) recount: Recount,
    /// What fixed quorums make of the same votes, as `lambel consensus stream` says; empty where the rule is one.
    pub(super) fixed_quorums: Vec<Value>,
    /// The version of the data set: the id of the commit.
    pub(super) version: String,
    pub(super) seconds_upload: f64,
    /// From the last byte uploaded until every good picture was in the pool.
    pub(super) seconds_upload_to_open: f64,
    /// From the first sign-in of an operator until the task was complete.
    pub(super) seconds_labelling: f64,
    pub(super) seconds_in_all: f64,
    pub(super) results: PathBuf,
}

impl Report {
    fn count(&self, name: &str) -> u64 {
        self.progress[name].as_u64().unwrap_or(0)
    }

    pub(super) fn print(&self) {
        let Recount { decided, votes, known, right, .. } = self.recount;
        let replay = &self.replay;
        let tally = |name: &str| replay["votes"][name].as_u64().unwrap_or(0);
        let operators = replay["annotators"].as_array().map_or(0, Vec::len);
        let row = |what: &str, value: String| println!("  {what:<26}{value}");
        println!();
        row("rule", self.policy["rule"].as_str().unwrap_or_default().to_owned());
        row("files", format!("{} ({} different)", self.upload["files"], self.upload["distinct_images"]));
        row("accepted", self.count("accepted").to_string());
        row("refused", self.count("rejected").to_string());
        for image in &self.refused {
            let names: Vec<&str> = image["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let detail = image["refusal"]["detail"].as_str().unwrap_or_default();
            row("", format!("{}: {detail}", names.join(", ")));
        }
        row("complete", self.count("complete").to_string());
        row("disputed", self.count("disputed").to_string());
        row("votes", format!("{votes} by {operators} operators, {:.2} an image", ratio(votes, decided)));
        if let Some(weighed) = self.recount.decided_by_weights.filter(|_| self.policy["rule"] == "adaptive") {
            row("  decided by weights", format!("{weighed} of {decided}"));
        }
        row("  counted, late, refused", format!("{}, {}, {}", tally("counted"), tally("late"), tally("refused")));
        row("labels that are true", format!("{right} of {known} ({:.1} %)", 100.0 * ratio(right, known)));
        for quorum in &self.fixed_quorums {
            let number = |name: &str| quorum[name].as_f64().unwrap_or_default();
            let what = format!("  by a fixed quorum of {}", number("parameter"));
            let (votes, right) = (number("votes_per_image"), 100.0 * number("accuracy"));
            row(&what, format!("{right:.1} %, with {votes:.2} votes an image"));
        }
        row(
            "recount of the votes",
            match self.differences() {
                0 => format!("agrees on all {decided} labels"),
                n => format!("{n} DIFFERENCES"),
            },
        );
        row("upload", format!("{:.1} s", self.seconds_upload));
        row("last upload to all open", format!("{:.1} s", self.seconds_upload_to_open));
        row("labelling to complete", format!("{:.1} s", self.seconds_labelling));
        row("in all", format!("{:.1} s", self.seconds_in_all));
        row("data set", format!("version {}", self.version.chars().take(12).collect::<String>()));
        row("results", self.results.display().to_string());
    }

    fn differences(&self) -> usize {
        let Recount { labels_that_differ, votes_that_differ, counted_twice, .. } = &self.recount;
        labels_that_differ.len() + votes_that_differ.len() + counted_twice.len()
    }

    /// Fails if anything is not as it must be.
    pub(super) fn verdict(&self) -> Result<()> {
        ensure!(self.differences() == 0, "the recount differs: {:?}", self.recount);
        ensure!(self.count("votes") == self.recount.votes, "the counter of votes differs from their number");
        let decided = self.count("complete") + self.count("disputed");
        ensure!(decided == self.recount.decided, "the counters of decisions differ from their number");
        Ok(())
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
