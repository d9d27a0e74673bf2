//! Gold out of what operators have decided: images that are sure enough, spread over their labels.
//!
//! Only as many images of each label are in memory as could be picked, whatever the size of the task.

use std::collections::{BTreeMap, BTreeSet};

use lambel_core::{
    ImageId, TaskId,
    api::{ImageState, ResultRow},
    limits,
    subtask::DecidedBy,
};

use super::{Line, all};
use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    results::Pages,
};

/// Picks images, the same ones for the same seed and the same results.
pub(super) async fn pick(
    context: &Context,
    task: TaskId,
    min_confidence: f64,
    count: usize,
    seed: u64,
) -> Outcome<Vec<Line>> {
    if !(0.0..=1.0).contains(&min_confidence) {
        return Err(Failure::usage(format!("--min-confidence is 0 to 1, not {min_confidence}")));
    }
    if !(1..=limits::GOLD_PER_TASK).contains(&count) {
        return Err(Failure::usage(format!("--count is 1 to {}, not {count}", limits::GOLD_PER_TASK)));
    }
    let client = context.client()?;
    let gold = all(&client, task).await?.into_iter().map(|gold| gold.image).collect();
    let mut picker = Picker { min_confidence, count, seed, gold, by_label: BTreeMap::new() };
    let mut pages = Pages::new(client, task);
    while let Some(rows) = pages.next().await? {
        rows.iter().for_each(|row| picker.look(row));
    }
    let lines = picker.lines();
    if lines.is_empty() {
        return Err(Failure::new(Exit::NotFound, "no image is decided that surely and is not gold already"));
    }
    if lines.len() < count {
        context.out.note(&format!("only {} images are sure enough", lines.len()));
    }
    Ok(lines)
}

struct Picker {
    min_confidence: f64,
    count: usize,
    seed: u64,
    /// What is gold already.
    gold: BTreeSet<ImageId>,
    /// Images of each label, in an order that has nothing to do with them, with their names.
    by_label: BTreeMap<String, BTreeMap<ImageId, (ImageId, String)>>,
}

impl Picker {
    fn look(&mut self, row: &ResultRow) {
        let status = &row.status;
        let sure = status.confidence.is_some_and(|confidence| confidence.get() >= self.min_confidence);
        // What the client knew already, or had to decide, is no finding of the operators.
        let by_person = status.decided_by.is_some_and(DecidedBy::is_person);
        let by_operators = !by_person && !self.gold.contains(&row.image);
        let Some(label) = status.label.as_ref() else { return };
        if status.state != ImageState::Complete || !sure || !by_operators {
            return;
        }
        let mut drawn = self.seed.to_be_bytes().to_vec();
        drawn.extend(row.image.digest());
        let images = self.by_label.entry(label.to_string()).or_default();
        images.entry(ImageId::of(&drawn)).or_insert_with(|| (row.image, row.name.clone()));
        if images.len() > self.count {
            images.pop_last();
        }
    }

    /// One image of each label after the other, until there are enough.
    fn lines(self) -> Vec<Line> {
        let mut by_label: Vec<_> =
            self.by_label.into_iter().map(|(label, images)| (label, images.into_values())).collect();
        let mut lines = Vec::new();
        loop {
            let before = lines.len();
            for (label, images) in &mut by_label {
                if lines.len() < self.count
                    && let Some((image, called)) = images.next()
                {
                    lines.push(Line { line: None, called, label: label.clone(), image: Some(image) });
                }
            }
            if lines.len() == before {
                return lines;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(n: u8, label: &str, more: serde_json::Value) -> ResultRow {
        let mut json = json!({
            "name": format!("{n}.png"), "image": ImageId::of(&[n]), "state": "complete", "bytes": 1, "label": label,
            "confidence": 0.99, "decided_by": "votes", "votes": [],
        });
        for (key, value) in more.as_object().unwrap() {
            json[key] = value.clone();
        }
        serde_json::from_value(json).unwrap()
    }

    fn picked(rows: &[ResultRow], count: usize, seed: u64) -> Vec<Line> {
        let gold = BTreeSet::from([ImageId::of(&[200])]);
        let mut picker = Picker { min_confidence: 0.99, count, seed, gold, by_label: BTreeMap::new() };
        rows.iter().for_each(|row| picker.look(row));
        picker.lines()
    }

    #[test]
    fn labels_take_turns_and_the_seed_picks() {
        let rows: Vec<_> = (0..40).map(|n| row(n, if n < 3 { "rare" } else { "usual" }, json!({}))).collect();
        let lines = picked(&rows, 10, 1);
        let of = |label: &str| lines.iter().filter(|line| line.label == label).count();
        assert_eq!((of("rare"), of("usual")), (3, 7));
        assert_eq!(picked(&rows, 10, 1), lines);
        assert_ne!(picked(&rows, 10, 2), lines);
        let mut backwards = rows.clone();
        backwards.reverse();
        assert_eq!(picked(&backwards, 10, 1), lines, "whatever the order of the results");
        assert_eq!(picked(&rows, 100, 1).len(), 40);
        let images: BTreeSet<_> = lines.iter().map(|line| line.image).collect();
        assert_eq!(images.len(), 10);
    }

    #[test]
    fn only_what_operators_have_decided_surely_is_picked() {
        let rows = [
            row(1, "cat", json!({"confidence": 0.98})),
            row(2, "cat", json!({"state": "disputed", "dispute": "no-answer"})),
            row(3, "cat", json!({"decided_by": "gold"})),
            row(4, "cat", json!({"decided_by": "review"})),
            row(200, "cat", json!({})),
            row(5, "cat", json!({"name": "twin.png"})),
            row(5, "cat", json!({})),
        ];
        let lines = picked(&rows, 10, 1);
        assert_eq!(lines.iter().map(|line| &*line.called).collect::<Vec<_>>(), ["twin.png"]);
    }
}
