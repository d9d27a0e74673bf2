//! How long a decision takes: each rule on ten votes, with 10 labels and with 1,000; and how long a batch over a
//! whole task takes.
//!
//! `cargo run --release -p lambel-core --example consensus`

use std::{hint::black_box, time::Instant};

use lambel_core::{
    LabelIndex,
    consensus::{
        Adaptive, Ballot, Confidence, DawidSkene, ITERATIONS_RUNNING, Lead, Majority, MapEm, Phase, Plurality,
        VoteTable,
    },
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("| rule | 10 labels | 1,000 labels |\n|---|---|---|");
    let majority = Majority { quorum: 11, max_labels: 21 };
    let lead = Lead { lead: 11, min_labels: 1, max_labels: 50 };
    let adaptive = Adaptive { confidence: Confidence::new(0.9999), min_labels: 1, max_labels: 50 };
    let count = |votes: &[Weighed]| Plurality::count(votes.iter().map(|(label, _)| *label));
    row("majority", |_, votes| {
        black_box(majority.judge(&count(votes)));
    });
    row("lead", |_, votes| {
        black_box(lead.judge(&count(votes)));
    });
    row("adaptive", |labels, votes| {
        black_box(adaptive.judge(labels, Phase::Warm, votes.iter().copied()));
    });

    println!(
        "\n| votes | labels | MAP-EM, {ITERATIONS_RUNNING} iterations | Dawid–Skene, the same |\n|---|---|---|---|"
    );
    for (images, each, labels) in [(10_000, 51, 10), (100_000, 5, 10), (100_000, 5, 1_000)] {
        let table = crowd(images, each, labels)?;
        let seconds = |fit: &dyn Fn()| {
            let start = Instant::now();
            fit();
            start.elapsed().as_secs_f64()
        };
        let map_em = seconds(&|| {
            black_box(MapEm::fit(&table, |_| None, ITERATIONS_RUNNING));
        });
        let dawid_skene = seconds(&|| {
            black_box(DawidSkene::fit(&table, ITERATIONS_RUNNING));
        });
        println!("| {} | {labels} | {map_em:.2} s | {dawid_skene:.2} s |", table.votes());
    }
    Ok(())
}

/// A vote and its weight.
type Weighed = (LabelIndex, f64);

/// Prints how long a rule takes with 10 and with 1,000 labels.
fn row(name: &str, judge: impl Fn(usize, &[Weighed])) {
    let times = [10, 1_000].map(|labels| {
        let vote = |n: usize| (LabelIndex((n * n * 37 % labels) as u16), 1.0 + n as f64 / 7.0);
        let votes: Vec<Weighed> = (0..10).map(vote).collect();
        nanoseconds(|| judge(labels, black_box(&votes)))
    });
    println!("| {name} | {:.2} µs | {:.2} µs |", times[0] / 1_000.0, times[1] / 1_000.0);
}

/// The median of a hundred runs of a thousand, for one.
fn nanoseconds(run: impl Fn()) -> f64 {
    let mut times: Vec<f64> = (0..100)
        .map(|_| {
            let start = Instant::now();
            (0..1_000).for_each(|_| run());
            start.elapsed().as_nanos() as f64 / 1_000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[50]
}

/// A crowd of 2,500 operators who are right in 70 to 100 of a hundred cases.
fn crowd(images: u32, each: u32, labels: u16) -> Result<VoteTable, lambel_core::consensus::TableError> {
    let mut drawn = 7_u64;
    let mut below = |end: u32| {
        drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((drawn >> 33) % u64::from(end)) as u32
    };
    let mut votes = Vec::new();
    for image in 0..images {
        let first = below(2_500);
        for place in 0..each {
            let operator = (first + place * 49) % 2_500;
            let right = below(100) < 70 + operator % 31;
            let label = if right { image } else { below(u32::from(labels)) } % u32::from(labels);
            votes.push((image, Ballot { operator, label: LabelIndex(label as u16) }));
        }
    }
    VoteTable::new(labels.into(), images as usize, &votes)
}
