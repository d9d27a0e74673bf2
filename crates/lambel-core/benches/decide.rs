//! How long deciding on a vote takes: the record of an image with ten votes is judged by each rule, as it is when a
//! vote has come in, in a task of 10 labels and in one of 1,000.
//!
//! `cargo bench -p lambel-core`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use lambel_core::{
    LabelIndex, Policy, Timestamp, Vote,
    api::{PolicyFields, RuleName},
    consensus::{Earned, Phase, Weight},
    subtask::{Answer, Votes},
};

/// Votes on the image: as many as `adaptive` takes where nothing else is said, and one.
const VOTES: u16 = 10;

/// Ten votes for five labels, weighed.
fn votes(labels: u16) -> Votes {
    let vote = |n: u16| {
        let earned = Earned { weight: Weight::from_thousandths(1_000 + 137 * i32::from(n)), phase: Phase::Warm };
        let answer = Answer::Label(LabelIndex(n * n * 37 % labels));
        let vote = Vote { answer, at: Timestamp::default(), elapsed_ms: Some(1_200), earned: Some(earned) };
        format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c{n:02}").parse().ok().map(|operator| (operator, vote))
    };
    (0..VOTES).filter_map(vote).collect()
}

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deciding on a vote");
    for rule in [RuleName::Majority, RuleName::Lead, RuleName::Adaptive] {
        let fields = PolicyFields { rule: Some(rule), max_labels: Some(20), ..PolicyFields::default() };
        let Ok(policy) = Policy::parse(&fields) else { continue };
        for labels in [10, 1_000] {
            let votes = votes(labels);
            let id = BenchmarkId::new(rule.as_str(), format!("{labels} labels"));
            group.bench_with_input(id, &votes, |bencher, votes| {
                bencher.iter(|| policy.judge(black_box(usize::from(labels)), black_box(votes)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
