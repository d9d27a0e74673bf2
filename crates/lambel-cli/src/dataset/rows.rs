//! Rows of a data set out of results, which come a page at a time.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec,
};

use futures::{Stream, stream};
use lambel_core::{
    FileName, Timestamp,
    api::{ImageState, ImageStatus, ResultRow, VoteView},
};
use lambel_dataset::{
    Error, ModelVersion, Row, StoreError,
    row::{self, RowVote, VoteAnswer, Weight},
};

use crate::{
    exit::{Exit, Failure, Outcome},
    results::Pages,
};

/// What has been seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The latest time that the rows know of.
    pub(super) latest: Option<Timestamp>,
    /// Models that voted.
    pub(super) models: BTreeSet<ModelVersion>,
    /// Rows that were made.
    pub(super) images: u64,
    /// File names that were announced and have not come: nothing is known of them, so they are left out.
    pub(super) announced: u64,
    /// Why it could not go on.
    pub(super) failure: Option<Failure>,
}

impl Seen {
    fn row(&mut self, row: &Row) {
        self.images += 1;
        self.latest = row.votes.iter().map(|vote| vote.at).chain([row.decided_at, self.latest]).max().flatten();
        let models = row.votes.iter().filter_map(|vote| {
            let (name, version) = vote.operator.as_str().strip_prefix("model:")?.rsplit_once('@')?;
            Some(ModelVersion { name: name.to_owned(), version: version.to_owned() })
        });
        self.models.extend(models);
    }
}

/// What has been seen, for the one who makes the rows and the one who asks afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes rows of results. It holds a page.
struct Rows {
    pages: Pages,
    page: vec::IntoIter<ResultRow>,
    /// The first result of the next image.
    waiting: Option<ResultRow>,
    watch: Watch,
}

/// The rows of all results, in the order of their images. What goes wrong lies in `watch`.
pub(super) fn rows(pages: Pages, watch: Watch) -> impl Stream<Item = Result<Row, Error>> + Send {
    let rows = Rows { pages, page: Vec::new().into_iter(), waiting: None, watch };
    stream::try_unfold(rows, |mut rows| async move {
        match rows.next().await {
            Ok(row) => Ok(row.map(|row| (row, rows))),
            Err(failure) => {
                let error = Error::Store(StoreError::Failed(failure.message.clone()));
                rows.watch.seen().failure = Some(failure);
                Err(error)
            }
        }
    })
}

impl Rows {
    async fn result(&mut self) -> Outcome<Option<ResultRow>> {
        loop {
            if let Some(result) = self.waiting.take().or_else(|| self.page.next()) {
                return Ok(Some(result));
            }
            match self.pages.next().await? {
                Some(page) => self.page = page.into_iter(),
                None => return Ok(None),
            }
        }
    }

    /// The next image with all its names, which come one after the other.
    async fn next(&mut self) -> Outcome<Option<Row>> {
        loop {
            let Some(first) = self.result().await? else { return Ok(None) };
            let mut names = vec![first.name.clone()];
            while let Some(result) = self.result().await? {
                if result.image != first.image {
                    self.waiting = Some(result);
                    break;
                }
                names.push(result.name);
            }
            match row_of(&first, &names).map_err(|reason| nonsense(&first, &reason))? {
                Some(row) => {
                    self.watch.seen().row(&row);
                    return Ok(Some(row));
                }
                None => self.watch.seen().announced += names.len() as u64,
            }
        }
    }
}

fn nonsense(result: &ResultRow, reason: &str) -> Failure {
    let message = format!("the service answers what cannot be a result of the image {}: {reason}", result.image);
    Failure::new(Exit::Failed, message)
}

/// The row of an image; none if it was only announced. An error says what is missing.
fn row_of(result: &ResultRow, names: &[String]) -> Result<Option<Row>, String> {
    let status = &result.status;
    let Some(outcome) = outcome(status)? else { return Ok(None) };
    let mut row = Row::new(result.image);
    let names: Result<Vec<_>, _> = names.iter().map(|name| FileName::parse(name)).collect();
    row.names = names.map_err(|error| error.to_string())?;
    row.bytes = Some(status.bytes);
    row.media_type.clone_from(&status.media_type);
    (row.width, row.height) = (status.width, status.height);
    row.outcome = outcome;
    row.decided_at = status.decided_at;
    row.votes = status.votes.iter().map(vote).collect::<Result<_, _>>()?;
    row.tidy();
    Ok(Some(row))
}

fn outcome(status: &ImageStatus) -> Result<Option<row::Outcome>, String> {
    let missing = |what: &str| format!("it has no {what}");
    let confidence = || status.confidence.ok_or_else(|| missing("confidence"));
    Ok(Some(match status.state {
        ImageState::Announced => return Ok(None),
        ImageState::Preparing | ImageState::Open => row::Outcome::Unlabelled,
        ImageState::Complete => {
            let label = status.label.clone().ok_or_else(|| missing("label"))?;
            row::Outcome::Complete { label, confidence: confidence()?, reason: status.dispute }
        }
        ImageState::Disputed => {
            let reason = status.dispute.ok_or_else(|| missing("reason for the dispute"))?;
            row::Outcome::Disputed { label: status.label.clone(), confidence: confidence()?, reason }
        }
        ImageState::Rejected => {
            row::Outcome::Rejected { refusal: status.refusal.clone().ok_or_else(|| missing("reason for its refusal"))? }
        }
    }))
}

fn vote(vote: &VoteView) -> Result<RowVote, String> {
    let answer = match (&vote.label, vote.abstain) {
        (Some(label), None) => VoteAnswer::Label(label.clone()),
        (None, Some(reason)) => VoteAnswer::Abstain(reason),
        _ => return Err("a vote has neither a label nor a reason for having none, or both".to_owned()),
    };
    Ok(RowVote {
        operator: vote.operator.clone(),
        answer,
        at: Some(vote.at),
        elapsed_ms: vote.elapsed_ms,
        weight: vote.weight.and_then(Weight::new),
        late: vote.late,
    })
}

#[cfg(test)]
mod tests {
    use lambel_core::ImageId;
    use serde_json::{Value, json};

    use super::*;

    fn result(fields: Value) -> ResultRow {
        let mut row = json!({"name": "a.png", "image": ImageId::of(b"x"), "state": "open", "bytes": 3, "votes": []});
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn json_of(fields: Value) -> Result<Value, String> {
        let names = ["b.png", "a.png"].map(str::to_owned);
        row_of(&result(fields), &names).map(|row| serde_json::to_value(row.unwrap()).unwrap())
    }

    #[test]
    fn everything_that_is_known_comes_into_the_row() {
        let row = json_of(json!({
            "state": "complete", "media_type": "image/png", "width": 4, "height": 5, "label": "cat", "confidence": 0.5,
            "decided_at": "2026-11-21T08:47:00.125Z",
            "votes": [
                {"operator": "o2", "abstain": "unclear", "at": "2026-11-21T08:47:00.124Z"},
                {"operator": "o1", "label": "cat", "at": "2026-11-21T08:47:00.123Z", "elapsed_ms": 9},
                {"operator": "o3", "label": "dog", "at": "2026-11-21T08:47:00.126Z", "late": true},
            ],
        }));
        let expected = json!({
            "image": ImageId::of(b"x"), "names": ["a.png", "b.png"], "bytes": 3, "media_type": "image/png", "width": 4,
            "height": 5, "status": "complete", "label": "cat", "confidence": 0.5,
            "decided_at": "2026-11-21T08:47:00.125Z",
            "votes": [
                {"operator": "o1", "label": "cat", "at": "2026-11-21T08:47:00.123Z", "elapsed_ms": 9},
                {"operator": "o2", "abstain": "unclear", "at": "2026-11-21T08:47:00.124Z"},
                {"operator": "o3", "label": "dog", "at": "2026-11-21T08:47:00.126Z", "late": true},
            ],
        });
        assert_eq!(row.unwrap(), expected);
    }

    #[test]
    fn every_state_has_its_status() {
        let refusal = json!({"code": "truncated", "detail": "cut"});
        for (fields, status) in [
            (json!({"state": "preparing"}), "unlabelled"),
            (json!({"state": "open"}), "unlabelled"),
            (json!({"state": "disputed", "confidence": 0.0, "dispute": "abstentions"}), "disputed"),
            (json!({"state": "rejected", "refusal": refusal}), "rejected"),
        ] {
            assert_eq!(json_of(fields).unwrap()["status"], status);
        }
        assert_eq!(row_of(&result(json!({"state": "announced"})), &[]), Ok(None));
        for incomplete in [
            json!({"state": "complete", "label": "cat"}),
            json!({"state": "complete", "confidence": 1.0}),
            json!({"state": "disputed", "confidence": 1.0}),
            json!({"state": "rejected"}),
            json!({"votes": [{"operator": "o", "at": "2026-11-21T08:47:00.123Z"}]}),
        ] {
            assert!(json_of(incomplete.clone()).is_err(), "{incomplete}");
        }
    }

    #[test]
    fn the_latest_time_and_the_models_are_remembered() {
        let vote = |operator: &str, second: u32| json!({"operator": operator, "label": "cat", "at": format!("2026-11-21T08:47:0{second}.000Z")});
        let mut seen = Seen::default();
        let mut see = |fields| seen.row(&row_of(&result(fields), &["a".to_owned()]).unwrap().unwrap());
        see(json!({}));
        see(json!({"votes": [vote("model:tiny@1.2", 3), vote("o", 5)]}));
        see(json!({"votes": [vote("model:tiny@1.2", 4)]}));
        assert_eq!(seen.latest.unwrap().to_string(), "2026-11-21T08:47:05.000Z");
        assert_eq!(seen.models.len(), 1);
        assert_eq!(seen.images, 3);
    }
}
