//! Claims and votes at several numbers of operators at a time, beside a bare GET through the same cloud.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use lambel_core::api::VoteOutcome;

use crate::{Bench, throughput::open_task};

/// Images of one claim, votes of one request.
const BATCH: u32 = 20;

/// The times of some requests, made at once by several.
struct Times {
    all: Vec<Duration>,
    wall: Duration,
}

impl Times {
    fn row(mut self, what: &str, at_once: usize, bare: Option<Duration>) -> Duration {
        self.all.sort_unstable();
        let at = |share: f64| self.all[((self.all.len() - 1) as f64 * share) as usize];
        let (p50, p99) = (at(0.5), at(0.99));
        let per_second = self.all.len() as f64 / self.wall.as_secs_f64();
        let ratio = bare.map_or(1.0, |bare| p50.as_secs_f64() / bare.as_secs_f64());
        let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
        println!("| {what} | {at_once} | {per_second:.0} | {:.1} | {:.1} | {ratio:.1} × |", ms(p50), ms(p99));
        p50
    }
}

pub(crate) async fn run(bench: &Bench) -> Result<()> {
    println!(
        "\n| request | at once | a second | p50, ms | p99, ms | p50 beside a bare GET |\n|---|---|---|---|---|---|"
    );
    for at_once in [1, 8, 32] {
        let operators = bench.cloud.operators(at_once).await?;
        let task = open_task(bench, 20_000, 3).await?;
        let http = reqwest::Client::new();
        let address = format!("{}/config.json", bench.cloud.api_url);
        let gets = bench.amount(400).div_ceil(at_once as u32);
        let begin = Instant::now();
        let bare = try_join_all(operators.iter().map(async |_| {
            let mut times = Vec::new();
            for _ in 0..gets {
                let begin = Instant::now();
                http.get(&address).send().await?.error_for_status()?.bytes().await?;
                times.push(begin.elapsed());
            }
            anyhow::Ok(times)
        }))
        .await?;
        let bare = Times { all: bare.concat(), wall: begin.elapsed() }.row("bare GET", at_once, None);

        // Claims and votes take turns, as operators do; each kind is timed for itself.
        let rounds = bench.amount(160).div_ceil(at_once as u32).max(2);
        let over = AtomicU32::new(0);
        let begin = Instant::now();
        let times = try_join_all(operators.iter().map(async |operator| {
            let (mut claims, mut votes) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                let begin = Instant::now();
                let leased = operator.claim(task, BATCH).await?.subtasks;
                claims.push(begin.elapsed());
                let images: Vec<_> = leased.into_iter().map(|subtask| subtask.image).collect();
                ensure!(!images.is_empty(), "there is work for everybody");
                let begin = Instant::now();
                let outcomes = operator.vote(task, &images, "cat").await?;
                votes.push(begin.elapsed());
                let lost = outcomes.iter().filter(|outcome| **outcome != VoteOutcome::Counted).count();
                over.fetch_add(lost as u32, Ordering::Relaxed);
            }
            anyhow::Ok((claims, votes))
        }))
        .await?;
        ensure!(over.into_inner() == 0, "every vote counts");
        let wall = begin.elapsed();
        let (claims, votes): (Vec<_>, Vec<_>) = times.into_iter().unzip();
        Times { all: claims.concat(), wall }.row("claim of 20", at_once, Some(bare));
        Times { all: votes.concat(), wall }.row("20 votes", at_once, Some(bare));
    }
    println!("\nClaims and votes take turns, so each is made as often a second as the other.");
    Ok(())
}
