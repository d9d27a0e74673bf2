//! The votes counted again, outside the system, and the labels held against the truth.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::Value;

/// A CSV file with known columns, as rows of text.
#[derive(Debug, Default)]
pub(super) struct Table(pub(super) Vec<Vec<String>>);

impl Table {
    pub(super) fn read<const N: usize>(path: &Path, columns: [&str; N]) -> Result<Self> {
        let mut reader = csv::Reader::from_path(path).with_context(|| format!("failed to read {}", path.display()))?;
        let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
        let places = columns.map(|name| header.iter().position(|column| column == name));
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("failed to read {}", path.display()))?;
            let mut row = Vec::with_capacity(N);
            for (place, name) in places.iter().zip(columns) {
                let place = place.with_context(|| format!("{} has no column {name}", path.display()))?;
                row.push(record[place].to_owned());
            }
            rows.push(row);
        }
        Ok(Self(rows))
    }
}

/// What counting again has shown.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Recount {
    /// Images with a decision.
    pub(super) decided: u64,
    /// Votes in these decisions.
    pub(super) votes: u64,
    /// Decisions of an `adaptive` task that go by what the votes weigh, since the operators were known. None of a task
    /// whose votes have no weights.
    pub(super) decided_by_weights: Option<u64>,
    /// Decisions that differ from the leading label of the votes that were in them. What a batch has decided follows
    /// from the votes of all images, and is left out.
    pub(super) labels_that_differ: Vec<String>,
    /// Votes that are not the annotator's vote in the file.
    pub(super) votes_that_differ: Vec<String>,
    /// Images with more than one vote of the same operator.
    pub(super) counted_twice: Vec<String>,
    /// Images whose truth is known, and of these those whose label is it.
    pub(super) known: u64,
    pub(super) right: u64,
}

/// The votes for one label.
#[derive(Default)]
struct Tally {
    votes: i64,
    /// In nats.
    weight: f64,
}

/// Counts again. `rows` are the results, `replay` the report of who voted.
pub(super) fn recount(rows: &[Value], truth: &Table, votes: &Table, replay: &Value) -> Result<Recount> {
    let truth: HashMap<&str, &str> = truth.0.iter().map(|row| (row[0].as_str(), row[1].as_str())).collect();
    let said: HashMap<(&str, &str), &str> =
        votes.0.iter().map(|row| ((row[0].as_str(), row[1].as_str()), row[2].as_str())).collect();
    let names: HashMap<&str, &str> = replay["annotators"]
        .as_array()
        .context("a replay without annotators")?
        .iter()
        .filter_map(|one| Some((one["operator"].as_str()?, one["annotator"].as_str()?)))
        .collect();

    let mut found = Recount::default();
    let mut seen = BTreeSet::new();
    for row in rows {
        let name = row["name"].as_str().context("a row without a name")?;
        let label = row["label"].as_str();
        if let (Some(label), Some(true_label)) = (label, truth.get(name)) {
            found.known += 1;
            found.right += u64::from(label == *true_label);
        }
        // A second name of an image has the same votes.
        let first = seen.insert(row["image"].as_str().context("a row without an image")?);
        if !first || !matches!(row["state"].as_str(), Some("complete" | "disputed")) {
            continue;
        }
        found.decided += 1;
        let mut tally: BTreeMap<&str, Tally> = BTreeMap::new();
        let mut warm = false;
        let mut voters = BTreeSet::new();
        let cast = row["votes"].as_array().context("a row without votes")?;
        for vote in cast.iter().filter(|vote| vote["late"] != true) {
            found.votes += 1;
            let operator = vote["operator"].as_str().context("a vote without an operator")?;
            if !voters.insert(operator) {
                found.counted_twice.push(name.to_owned());
            }
            let Some(label) = vote["label"].as_str() else { continue };
            let sum = tally.entry(label).or_default();
            sum.votes += 1;
            sum.weight += vote["weight"].as_f64().unwrap_or(0.0);
            warm |= vote["phase"] == "warm";
            if !vote["weight"].is_null() {
                found.decided_by_weights.get_or_insert_default();
            }
            let of_file = names.get(operator).and_then(|annotator| said.get(&(name, *annotator)));
            if of_file != Some(&label) && said_of_twin(rows, row, operator, &names, &said) != Some(label) {
                found.votes_that_differ.push(name.to_owned());
            }
        }
        // Weights decide once operators are known; thousandths of a nat are not lost in such sums.
        let height = |sum: &Tally| if warm { (sum.weight * 1_000.0).round() as i64 } else { sum.votes };
        let most = tally.values().map(height).max().unwrap_or(0);
        let leaders: Vec<&str> = tally.iter().filter(|(_, sum)| height(sum) == most).map(|(label, _)| *label).collect();
        if let Some(weighed) = &mut found.decided_by_weights {
            *weighed += u64::from(warm);
        }
        if row["decided_by"] == "batch" {
            continue;
        }
        // A dispute is a tie: its label is one of those that lead.
        if !label.is_some_and(|label| leaders.contains(&label)) || (row["state"] == "complete" && leaders.len() > 1) {
            found.labels_that_differ.push(name.to_owned());
        }
    }
    ensure!(found.decided > 0, "the results have no decision");
    Ok(found)
}

/// The vote in the file may go by another name of the same image.
fn said_of_twin<'a>(
    rows: &'a [Value],
    row: &Value,
    operator: &str,
    names: &HashMap<&str, &str>,
    said: &HashMap<(&str, &str), &'a str>,
) -> Option<&'a str> {
    let annotator = names.get(operator)?;
    let twins = rows.iter().filter(|other| other["image"] == row["image"]);
    twins.filter_map(|twin| said.get(&(twin["name"].as_str()?, *annotator)).copied()).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn votes(labels: &[&str]) -> Value {
        let vote = |(n, label): (usize, &&str)| json!({"operator": format!("sub-{n}"), "label": label});
        labels.iter().enumerate().map(vote).collect()
    }

    fn table(rows: &[&[&str]]) -> Table {
        Table(rows.iter().map(|row| row.iter().map(|text| (*text).to_owned()).collect()).collect())
    }

    fn replay() -> Value {
        let annotator = |n| json!({"annotator": format!("op-{n}"), "operator": format!("sub-{n}")});
        json!({"annotators": (0..3).map(annotator).collect::<Vec<_>>()})
    }

    #[test]
    fn good_results_show_no_difference() {
        let rows = [
            json!({"name": "a", "image": "1", "state": "complete", "label": "cat", "votes": votes(&["cat", "dog", "cat"])}),
            json!({"name": "b", "image": "1", "state": "complete", "label": "cat", "votes": votes(&["cat", "dog", "cat"])}),
            json!({"name": "c", "image": "2", "state": "rejected", "votes": []}),
        ];
        let said = table(&[&["b", "op-0", "cat"], &["b", "op-1", "dog"], &["a", "op-2", "cat"]]);
        let truth = table(&[&["a", "cat"], &["b", "dog"]]);
        let found = recount(&rows, &truth, &said, &replay()).unwrap();
        assert_eq!(found, Recount { decided: 1, votes: 3, known: 2, right: 1, ..Recount::default() });
    }

    #[test]
    fn weights_decide_where_operators_were_known() {
        let cast = |n: u32, label: &str, weight: f64, phase: &str| json!({"operator": format!("sub-{n}"), "label": label, "weight": weight, "phase": phase});
        let votes =
            |phase: &str| json!([cast(0, "cat", 0.3, phase), cast(1, "cat", 0.3, phase), cast(2, "dog", 4.1, "cold")]);
        let row = |name: &str, label: &str, phase: &str| json!({"name": name, "image": name, "state": "complete", "label": label, "votes": votes(phase)});
        let rows = [row("a", "dog", "warm"), row("b", "cat", "cold"), row("c", "cat", "warm"), row("d", "dog", "cold")];
        let said = |name: &str| {
            [[name, "op-0", "cat"], [name, "op-1", "cat"], [name, "op-2", "dog"]]
                .map(|row| row.map(str::to_owned).to_vec())
        };
        let said = Table(["a", "b", "c", "d"].iter().flat_map(|name| said(name)).collect());
        let found = recount(&rows, &Table::default(), &said, &replay()).unwrap();
        assert_eq!(found.labels_that_differ, ["c", "d"]);
        assert_eq!((found.votes_that_differ.len(), found.decided_by_weights), (0, Some(2)));
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let twice = json!([{"operator": "sub-0", "label": "cat"}, {"operator": "sub-0", "label": "cat"}]);
        let rows = [
            json!({"name": "a", "image": "1", "state": "complete", "label": "dog", "votes": votes(&["cat", "dog", "cat"])}),
            json!({"name": "b", "image": "2", "state": "complete", "label": "cat", "votes": twice}),
            json!({"name": "c", "image": "3", "state": "complete", "label": "cat", "votes": votes(&["cat", "dog"])}),
            json!({"name": "d", "image": "4", "state": "complete", "decided_by": "batch", "label": "dog", "votes": []}),
        ];
        let said = table(&[&["a", "op-0", "dog"], &["a", "op-1", "dog"], &["a", "op-2", "cat"], &["b", "op-0", "cat"]]);
        let found = recount(&rows, &Table::default(), &said, &replay()).unwrap();
        assert_eq!(found.labels_that_differ, ["a", "c"]);
        assert_eq!(found.votes_that_differ, ["a", "c", "c"]);
        assert_eq!(found.counted_twice, ["b"]);
    }
}
