//! Rows and commits to try things on.

use std::time::Duration;

use lambel_core::{
    Actor, FileName, ImageId, Label, TaskId, Timestamp,
    consensus::{Confidence, Dispute},
    subtask::{Abstention, Refusal},
};
use lambel_dataset::{
    Consensus, Draft, ModelVersion, Row,
    row::{Outcome, RowVote, VoteAnswer, Weight},
};
use serde_json::{Map, Value, json};

pub(crate) const LABELS: [&str; 4] = ["cat", "dog", "cow, \"spotted\"", "ä=1/2"];

pub(crate) fn labels() -> Vec<Label> {
    LABELS.iter().map(|text| Label::parse(text).unwrap()).collect()
}

pub(crate) fn time(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_795_250_820_123).plus(Duration::from_secs(seconds))
}

pub(crate) fn actor() -> Actor {
    Actor { id: "client-1".to_owned(), name: Some("anna".to_owned()) }
}

pub(crate) fn task() -> TaskId {
    "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap()
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

pub(crate) fn draft(seconds: u64, message: &str) -> Draft {
    Draft {
        task: task(),
        author: actor(),
        at: time(seconds),
        message: message.to_owned(),
        labels: labels(),
        policy: map(json!({"rule": "majority", "quorum": 3, "max_labels": 7})),
        consensus: Consensus {
            method: "majority".to_owned(),
            parameters: map(json!({"quorum": 3, "max_labels": 7, "prior": 0.25})),
        },
        models: vec![ModelVersion { name: "tiny".to_owned(), version: "1.2".to_owned() }],
        program: "lambel 0.1.0".to_owned(),
    }
}

/// A stream of numbers that is the same everywhere: SplitMix64.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn operator(n: u64) -> lambel_core::OperatorId {
    format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b{n:04x}").parse().unwrap()
}

/// The row of image `n` with three votes of people. Of a hundred some are disputed, unlabelled or rejected.
pub(crate) fn row(n: u64) -> Row {
    changed_row(n, 0)
}

/// The same image with other votes.
pub(crate) fn changed_row(n: u64, seed: u64) -> Row {
    let mut numbers = Numbers(n ^ (seed << 40));
    let image = ImageId::of(&n.to_be_bytes());
    let mut row = Row::new(image);
    row.names.push(FileName::parse(&format!("batch-{}/image-{n:07}.jpeg", n % 10)).unwrap());
    if n % 20 == 3 {
        row.names.push(FileName::parse(&format!("again/{n}.jpg")).unwrap());
    }
    row.uri = Some(format!("s3://uploads/{}/{image}", task()));
    row.object_version = Some(format!("{:032x}", n * 7));
    row.bytes = Some(20_000 + n % 1_000);
    let kind = n % 100;
    if kind == 99 {
        let detail = "the file ends in the middle of the picture; upload it again".to_owned();
        row.outcome = Outcome::Rejected { refusal: Refusal { code: "truncated".to_owned(), detail } };
        row.decided_at = Some(time(n));
        return row;
    }
    row.media_type = Some(if n.is_multiple_of(3) { "image/png" } else { "image/jpeg" }.to_owned());
    (row.width, row.height) = (Some(640), Some(480));
    let labels = labels();
    let label = |place: u64| labels.get(place as usize % LABELS.len()).unwrap().clone();
    let first = numbers.next(4);
    let mut tally = [0_u32; 4];
    let votes = if kind == 98 { 1 } else { 3 };
    for place in 0..votes {
        let chosen = if numbers.next(10) < 8 { first } else { numbers.next(4) };
        let answer = if kind == 97 && place == 2 {
            VoteAnswer::Abstain(Abstention::Unclear)
        } else {
            tally[chosen as usize] += 1;
            VoteAnswer::Label(label(chosen))
        };
        row.votes.push(RowVote {
            operator: operator((n + place * 7) % 50),
            answer,
            at: Some(time(n + place)),
            elapsed_ms: Some(500 + numbers.next(5_000) as u32),
            weight: n.is_multiple_of(2).then(|| Weight::new(1.0 / (2.0 + place as f64)).unwrap()),
            late: false,
        });
    }
    let most = tally.iter().copied().max().unwrap();
    let winner = label(tally.iter().position(|count| *count == most).unwrap() as u64);
    let confidence = Confidence::new(f64::from(most) / f64::from(tally.iter().sum::<u32>()));
    row.outcome = match kind {
        98 => Outcome::Unlabelled,
        96 => Outcome::Disputed { label: Some(winner), confidence, reason: Dispute::NoAnswer },
        95 => Outcome::Disputed { label: None, confidence: Confidence::new(0.0), reason: Dispute::Abstentions },
        _ => Outcome::Complete { label: winner, confidence, reason: None },
    };
    if row.outcome != Outcome::Unlabelled {
        row.decided_at = Some(time(n + 3));
    }
    if n % 50 == 7 {
        row.votes.push(RowVote {
            operator: operator(60),
            answer: VoteAnswer::Label(label(1)),
            at: Some(time(n + 9)),
            elapsed_ms: None,
            weight: None,
            late: true,
        });
    }
    if n % 10 == 1 {
        row.votes.push(RowVote {
            operator: "model:tiny@1.2".parse().unwrap(),
            answer: VoteAnswer::Label(label(first)),
            at: Some(time(n)),
            elapsed_ms: Some(12),
            weight: None,
            late: false,
        });
    }
    row.tidy();
    row
}

/// Rows sorted by image.
pub(crate) fn rows(numbers: std::ops::Range<u64>) -> Vec<Row> {
    let mut rows: Vec<Row> = numbers.map(row).collect();
    rows.sort_by_key(|row| row.image);
    rows
}
