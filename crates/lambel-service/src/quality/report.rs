//! What a look at the votes on decided images finds of each operator, and of the task.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    Actor, LabelIndex, OperatorId, Subtask, SubtaskState, Task,
    consensus::{
        Alpha, Answered, Answers, Calibrated, Earned, FlagKind, OperatorRecord, Skill, TaskRecord, VoteTable,
        krippendorff_alpha,
    },
    subtask::Answer,
};

use super::set_pause;
use crate::{
    error::Error,
    ports::{
        OperatorFound, OperatorQuality, SharedClock, SharedQualityStore, SharedStore, StoreError, StoreResult,
        TaskQuality,
    },
};

/// Records of one page.
const PAGE: u32 = 1_000;
/// Records written at the same time.
const WRITES_AT_ONCE: usize = 20;

/// The answers of each operator, counted while the votes are read: their number does not matter for what they take.
#[derive(Debug, Default)]
pub(crate) struct Tallies(HashMap<OperatorId, Answers>);

impl Tallies {
    /// Counts the votes of a decided image.
    ///
    /// Agreement is counted where an answer was found, and two votes or more: a single vote agrees with itself.
    pub(crate) fn see(&mut self, subtask: &Subtask) {
        let labelled = subtask.votes.values().filter(|vote| vote.answer.label().is_some()).count();
        let decision = subtask.decision.filter(|_| subtask.state == SubtaskState::Complete && labelled > 1);
        let decided = decision.and_then(|decision| decision.label);
        for (operator, vote) in &subtask.votes {
            let answer = Answered { said: vote.answer.label(), decided, gold: None, elapsed_ms: vote.elapsed_ms };
            match self.0.get_mut(operator) {
                Some(answers) => answers.count(answer),
                None => self.0.entry(operator.clone()).or_default().count(answer),
            }
        }
    }

    /// How many labels were counted.
    pub(crate) fn votes(&self) -> u64 {
        self.0.values().map(|answers| u64::from(answers.votes())).sum()
    }

    /// Counts an answer on gold, with what is true.
    pub(crate) fn see_gold(
        &mut self,
        operator: &OperatorId,
        truth: LabelIndex,
        answer: Answer,
        elapsed_ms: Option<u32>,
    ) {
        let answer = Answered { said: answer.label(), decided: None, gold: Some(truth), elapsed_ms };
        self.0.entry(operator.clone()).or_default().count(answer);
    }

    /// Adds what was counted in another part of the task.
    pub(crate) fn merge(&mut self, other: Self) {
        for (operator, answers) in other.0 {
            self.0.entry(operator).or_default().merge(answers);
        }
    }
}

/// What a look has seen of a task, besides the tallies.
pub(crate) struct Seen<'a> {
    /// The votes with a label.
    pub(crate) table: &'a VoteTable,
    /// Decided images.
    pub(crate) images: u64,
    /// The votes with a label on these.
    pub(crate) votes: u64,
    /// The operators of the table, by their places.
    pub(crate) operators: &'a [OperatorId],
    /// What is known of each of them.
    pub(crate) skills: &'a [Skill],
    /// The mean accuracy.
    pub(crate) mean_accuracy: f64,
    /// What their next votes weigh, by their places; none with a rule that does not weigh.
    pub(crate) earned: Option<&'a [Earned]>,
    /// What gold says of the confidences; none with a rule that does not weigh, and without gold.
    pub(crate) calibrated: Option<Calibrated>,
}

/// Writes what a look has found.
#[derive(Clone)]
pub(crate) struct Reporter {
    store: SharedStore,
    quality: SharedQualityStore,
    clock: SharedClock,
}

impl Reporter {
    pub(crate) fn new(store: SharedStore, quality: SharedQualityStore, clock: SharedClock) -> Self {
        Self { store, quality, clock }
    }

    /// Writes the record of each operator that has changed, pauses whom the policy wants paused, and writes what all
    /// have in common last: when that is new, the records are.
    pub(crate) async fn report(&self, task: &Task, tallies: Tallies, seen: &Seen<'_>) -> StoreResult<()> {
        let common = TaskRecord::of(task.labels.len(), seen.mean_accuracy, tallies.0.values());
        let places: HashMap<&OperatorId, usize> =
            seen.operators.iter().enumerate().map(|(place, operator)| (operator, place)).collect();
        let mut before = self.before(task).await?;
        let mut changed = Vec::new();
        for (operator, answers) in &tallies.0 {
            let place = places.get(operator).copied();
            let skill = place.and_then(|place| seen.skills.get(place).copied()).unwrap_or_default();
            let earned = seen.earned.zip(place).and_then(|(earned, place)| earned.get(place).copied());
            let found = found(answers, skill, &common, earned, task.labels.len());
            let stored = before.remove(operator).unwrap_or_else(|| OperatorQuality::new(operator.clone()));
            changed.extend(renewed(stored, found));
        }
        let puts: Vec<_> = changed.iter().map(|record| self.quality.put_operator_quality(task.id, record)).collect();
        // Where it was not written somebody has paused them, or let them go on, just now. The next look writes it.
        let _: Vec<bool> = stream::iter(puts).buffered(WRITES_AT_ONCE).try_collect().await?;
        if task.policy.pause_flagged {
            self.pause(task, changed.iter().filter(|record| is_to_pause(record))).await?;
        }
        let agreement = krippendorff_alpha(seen.table).map(rounded);
        let summary = TaskQuality {
            images: seen.images,
            votes: seen.votes,
            agreement,
            calibrated: seen.calibrated,
            measured_at: self.clock.now(),
        };
        self.quality.put_task_quality(task.id, &summary).await
    }

    /// The records as they are.
    async fn before(&self, task: &Task) -> StoreResult<BTreeMap<OperatorId, OperatorQuality>> {
        let mut all = BTreeMap::new();
        loop {
            let after = all.last_key_value().map(|(operator, _)| operator);
            let page = self.quality.operator_qualities(task.id, after, PAGE).await?;
            let more = page.len() == PAGE as usize;
            all.extend(page.into_iter().map(|record| (record.operator.clone(), record)));
            if !more {
                return Ok(all);
            }
        }
    }

    /// One after the other: each is an entry on the same trail.
    async fn pause(&self, task: &Task, records: impl Iterator<Item = &OperatorQuality>) -> StoreResult<()> {
        for record in records {
            let now = self.clock.now();
            let reason = Some(reason(task, record));
            let by = (Actor::lambel(), now, reason);
            match set_pause(&self.store, &self.quality, task, &record.operator, Some(now), by).await {
                Ok(change) => {
                    tracing::info!(task = %task.id, operator = %record.operator, leases = change.returned, "operator paused in a task");
                }
                Err(Error::Store(error)) => return Err(error),
                // Whoever has no desk has nothing to claim with.
                Err(Error::OperatorNotFound) => {}
                Err(error) => return Err(StoreError::Busy(format!("operator not paused: {error}"))),
            }
        }
        Ok(())
    }
}

/// What is found of an operator, to as many digits as mean something.
fn found(answers: &Answers, skill: Skill, common: &TaskRecord, earned: Option<Earned>, labels: usize) -> OperatorFound {
    let record = OperatorRecord::of(answers, skill, common);
    let flags = record.flags(common);
    OperatorFound {
        votes: record.votes,
        abstentions: record.abstentions,
        agreement: record.agreement,
        gold: record.gold,
        accuracy: short(record.accuracy),
        interval: (short(record.interval.0), short(record.interval.1)),
        weight: earned.map(|earned| earned.weight),
        phase: earned.map(|earned| earned.phase),
        median_ms: record.median_ms,
        flags,
        confusions: answers.matrix(labels),
    }
}

/// The record as it is to be stored; none if it says the same as before.
fn renewed(stored: OperatorQuality, found: OperatorFound) -> Option<OperatorQuality> {
    let mut record = OperatorQuality { found: Some(found), ..stored.clone() };
    let certain = certain(&record);
    record.tolerated.retain(|kind| certain.contains(kind));
    // Whom the policy could not pause last time, for whatever reason, is looked at again.
    if record == stored && !is_to_pause(&record) {
        return None;
    }
    record.rev += 1;
    Some(record)
}

/// The kinds of an operator's flags that are certain enough to pause them for.
pub(super) fn certain(record: &OperatorQuality) -> Vec<FlagKind> {
    let flags = record.found.iter().flat_map(|found| &found.flags);
    let mut kinds: Vec<FlagKind> = flags.map(lambel_core::consensus::Flag::kind).filter(|kind| kind.pauses()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn is_to_pause(record: &OperatorQuality) -> bool {
    record.paused_at.is_none() && certain(record).iter().any(|kind| !record.tolerated.contains(kind))
}

/// Why the policy pauses them, for the trail.
fn reason(task: &Task, record: &OperatorQuality) -> String {
    let flags = record.found.iter().flat_map(|found| &found.flags);
    let flags = flags.filter(|flag| flag.kind().pauses() && !record.tolerated.contains(&flag.kind()));
    let told = flags.map(|flag| {
        let label = flag.label().and_then(|label| task.labels.get(label)).map_or("", |label| label.as_str());
        format!("{}: {}", flag.kind().as_str(), flag.reason(label))
    });
    told.collect::<Vec<_>>().join("; ")
}

/// To four digits behind the point.
fn short(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0
}

fn rounded(alpha: Alpha) -> Alpha {
    Alpha { alpha: short(alpha.alpha), low: short(alpha.low), high: short(alpha.high), ..alpha }
}

#[cfg(test)]
mod tests {
    use lambel_core::consensus::{Flag, Matrix, Part};

    use super::*;

    fn found(flags: Vec<Flag>) -> OperatorFound {
        OperatorFound {
            votes: 40,
            abstentions: 0,
            agreement: Part::default(),
            gold: Part::default(),
            accuracy: 0.5,
            interval: (0.4, 0.6),
            weight: None,
            phase: None,
            median_ms: None,
            flags,
            confusions: Matrix::default(),
        }
    }

    const FAST: Flag = Flag::TooFast { median_ms: 100, least_ms: 350 };
    const SHY: Flag = Flag::Abstains { share: 0.5, of_all: 0.1 };
    const GUESSES: Flag = Flag::Guessing { accuracy_at_most: 0.5, chance: 0.5 };

    fn record(flags: &[Flag]) -> OperatorQuality {
        let operator = "op-1".parse().unwrap();
        OperatorQuality { found: Some(found(flags.to_vec())), rev: 1, ..OperatorQuality::new(operator) }
    }

    #[test]
    fn a_record_is_written_only_if_it_has_changed() {
        assert_eq!(renewed(record(&[SHY]), found(vec![SHY])), None);
        let after = renewed(record(&[]), found(vec![SHY]));
        assert_eq!(after, Some(OperatorQuality { rev: 2, ..record(&[SHY]) }));
        assert!(renewed(record(&[FAST]), found(vec![FAST])).is_some(), "they should have been paused");
        let paused = OperatorQuality { paused_at: Some(lambel_core::Timestamp::from_millis(1)), ..record(&[FAST]) };
        assert_eq!(renewed(paused, found(vec![FAST])), None);
    }

    #[test]
    fn who_was_let_go_on_is_paused_for_something_new_only() {
        assert!(is_to_pause(&record(&[FAST])) && !is_to_pause(&record(&[SHY])) && !is_to_pause(&record(&[])));
        let tolerated = |flags: &[Flag]| OperatorQuality { tolerated: vec![FlagKind::TooFast], ..record(flags) };
        assert!(!is_to_pause(&tolerated(&[FAST, SHY])));
        assert!(is_to_pause(&tolerated(&[FAST, GUESSES])));
        // A kind that is gone is not tolerated any more when it comes back.
        let slow = renewed(tolerated(&[FAST]), found(Vec::new())).unwrap();
        assert_eq!(slow.tolerated, []);
        let fast = renewed(slow, found(vec![FAST])).unwrap();
        assert!(is_to_pause(&fast));
    }
}
