//! What the owner of a task is told of an operator: a record, and flags that each say why.
//!
//! Flags are hints for people. No label is decided by them. Where a task's policy says so, an operator with a flag
//! that is [certain](FlagKind::pauses) is paused in that task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Matrix, Skill};
use crate::LabelIndex;

/// Answers below which an operator gets no flag: too little is known.
const MIN_ANSWERS: u32 = 20;
/// One label in so many of an operator's answers is suspicious …
const SAME_SHARE: f64 = 0.9;
/// … where the others give it less often than that by so much.
const SAME_MARGIN: f64 = 0.2;
/// Nobody looks at a picture and decides in less time, in milliseconds. Recognising what a picture shows takes
/// people 150 ms at least and a press of a key 200 ms more (Thorpe, Fize, Marlot, "Speed of Processing in the Human
/// Visual System", Nature 381, 1996, where the fastest answers took 250 to 390 ms).
const LOOK_MS: u32 = 350;
/// Abstentions above this share are many …
const ABSTAINED_SHARE: f64 = 0.3;
/// … where they are so many times the share of all operators.
const ABSTAINED_TIMES: f64 = 2.0;

/// One answer of an operator, with what came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What the operator said; none is an abstention.
    pub said: Option<LabelIndex>,
    /// What was decided, once it was.
    pub decided: Option<LabelIndex>,
    /// The true label of a gold image.
    pub gold: Option<LabelIndex>,
    /// How long the operator looked, in milliseconds.
    pub elapsed_ms: Option<u32>,
}

/// A part of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// How many of them.
    pub right: u32,
    /// Of how many.
    pub of: u32,
}

impl Part {
    fn add(&mut self, right: bool) {
        self.of += 1;
        self.right += u32::from(right);
    }

    fn and(self, other: Self) -> Self {
        Self { right: self.right + other.right, of: self.of + other.of }
    }

    /// The share; none of nothing.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.right) / f64::from(self.of))
    }
}

/// What an operator's answers come to, counted one by one, so that a task of a million images need not be kept in
/// memory: at most some hundred numbers, whatever the number of answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    votes: u32,
    abstentions: u32,
    agreement: Part,
    gold: Part,
    said: BTreeMap<LabelIndex, u32>,
    /// How often a label was said where one was decided: (decided, said).
    pairs: BTreeMap<(LabelIndex, LabelIndex), u32>,
    /// How often a time was taken, cut to what [`short`] leaves of it.
    times: BTreeMap<u32, u32>,
}

impl Answers {
    /// How many of them were labels.
    pub fn votes(&self) -> u32 {
        self.votes
    }

    /// Counts one answer.
    pub fn count(&mut self, answer: Answered) {
        if let Some(time) = answer.elapsed_ms {
            *self.times.entry(short(time)).or_default() += 1;
        }
        let Some(said) = answer.said else {
            self.abstentions += 1;
            return;
        };
        self.votes += 1;
        *self.said.entry(said).or_default() += 1;
        if let Some(truth) = answer.gold {
            self.gold.add(truth == said);
        }
        if let Some(decided) = answer.decided {
            self.agreement.add(decided == said);
            *self.pairs.entry((decided, said)).or_default() += 1;
        }
    }

    /// Adds the answers of the same operator that were counted elsewhere.
    pub fn merge(&mut self, other: Self) {
        self.votes += other.votes;
        self.abstentions += other.abstentions;
        self.agreement = self.agreement.and(other.agreement);
        self.gold = self.gold.and(other.gold);
        add_all(&mut self.said, other.said);
        add_all(&mut self.pairs, other.pairs);
        add_all(&mut self.times, other.times);
    }

    /// How often each label was said where each was decided.
    pub fn matrix(&self, labels: usize) -> Matrix {
        Matrix::of(labels, self.pairs.iter().map(|((decided, said), times)| (*decided, *said, *times)))
    }

    /// The median time in milliseconds, up to 2 % too low; none where no time is known.
    fn median_ms(&self) -> Option<u32> {
        let all: u64 = self.times.values().map(|times| u64::from(*times)).sum();
        let mut before = 0;
        let middle = self.times.iter().find(|(_, times)| {
            before += u64::from(**times);
            before > all / 2
        });
        middle.map(|(time, _)| *time)
    }
}

fn add_all<K: Ord>(sums: &mut BTreeMap<K, u32>, more: BTreeMap<K, u32>) {
    for (key, times) in more {
        *sums.entry(key).or_default() += times;
    }
}

/// A time cut to a multiple of 1, 2 or 5 times a power of ten that is a fiftieth of it at most. Then there are few
/// different ones, and what is below [`LOOK_MS`] stays below it.
fn short(ms: u32) -> u32 {
    let mut step = 1;
    let mut ten = 1_u64;
    loop {
        for digit in [1, 2, 5] {
            let coarser = ten * digit;
            if coarser * 50 > u64::from(ms) {
                return ms - ms % step;
            }
            // A fiftieth of a `u32` is one.
            step = coarser as u32;
        }
        ten *= 10;
    }
}

/// The record of one operator in one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorRecord {
    /// Votes with a label.
    pub votes: u32,
    /// Votes without one.
    pub abstentions: u32,
    /// Votes for the label that was decided, of those on decided images.
    pub agreement: Part,
    /// Right votes on gold.
    pub gold: Part,
    /// The accuracy that the votes of all give the operator.
    pub accuracy: f64,
    /// The interval that holds it in 95 of 100 cases.
    pub interval: (f64, f64),
    /// How often the operator said one label where another was decided: (decided, said, times), most first.
    pub confusions: Vec<(LabelIndex, LabelIndex, u32)>,
    /// The median time of a vote in milliseconds, where times are known.
    pub median_ms: Option<u32>,
    /// The label the operator gives most often, and how often.
    pub usual: Option<(LabelIndex, u32)>,
}

/// What all operators of a task have in common, to hold one of them against.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskRecord {
    /// The number of labels, *K*.
    pub labels: usize,
    /// The operators' mean accuracy, `a0`.
    pub mean_accuracy: f64,
    /// The share of each label among all votes.
    pub label_shares: Vec<f64>,
    /// The share of abstentions among all answers.
    pub abstained: f64,
}

impl TaskRecord {
    /// What the answers of all operators of a task with so many labels have in common.
    pub fn of<'a>(labels: usize, mean_accuracy: f64, all: impl IntoIterator<Item = &'a Answers>) -> Self {
        let mut said = vec![0.0; labels];
        let (mut votes, mut abstentions) = (0.0, 0.0);
        for answers in all {
            votes += f64::from(answers.votes);
            abstentions += f64::from(answers.abstentions);
            for (label, times) in &answers.said {
                if let Some(sum) = said.get_mut(usize::from(label.0)) {
                    *sum += f64::from(*times);
                }
            }
        }
        let share = |part: f64, of: f64| if of > 0.0 { part / of } else { 0.0 };
        let label_shares = said.into_iter().map(|times| share(times, votes)).collect();
        Self { labels, mean_accuracy, label_shares, abstained: share(abstentions, votes + abstentions) }
    }
}

/// A reason to look at what an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "flag", rename_all = "kebab-case")]
pub enum Flag {
    /// They are hardly right more often than somebody who guesses.
    Guessing {
        /// The upper end of the interval of their accuracy.
        accuracy_at_most: f64,
        /// What guessing reaches.
        chance: f64,
    },
    /// They nearly always give the same label, and others do not.
    SameAnswer {
        /// The label.
        label: LabelIndex,
        /// Its share of their votes.
        share: f64,
        /// Its share of all votes.
        of_all: f64,
    },
    /// Half of their votes took less time than looking does.
    TooFast {
        /// Their median, in milliseconds.
        median_ms: u32,
        /// What looking and answering takes at least.
        least_ms: u32,
    },
    /// They abstain far more often than others.
    Abstains {
        /// The share of their answers.
        share: f64,
        /// The share of all answers.
        of_all: f64,
    },
}

/// The kinds of flags, without their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FlagKind {
    /// They are hardly right more often than somebody who guesses.
    Guessing,
    /// They nearly always give the same label, and others do not.
    SameAnswer,
    /// Half of their votes took less time than looking does.
    TooFast,
    /// They abstain far more often than others.
    Abstains,
}

impl FlagKind {
    /// Whether it is certain enough to pause an operator for, where the task's policy wants that. Who abstains often
    /// may be the only one who is careful.
    pub fn pauses(self) -> bool {
        self != Self::Abstains
    }

    /// The name as it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guessing => "guessing",
            Self::SameAnswer => "same-answer",
            Self::TooFast => "too-fast",
            Self::Abstains => "abstains",
        }
    }
}

impl Flag {
    /// Which kind it is.
    pub fn kind(&self) -> FlagKind {
        match self {
            Self::Guessing { .. } => FlagKind::Guessing,
            Self::SameAnswer { .. } => FlagKind::SameAnswer,
            Self::TooFast { .. } => FlagKind::TooFast,
            Self::Abstains { .. } => FlagKind::Abstains,
        }
    }

    /// Its label, if it is about one.
    pub fn label(&self) -> Option<LabelIndex> {
        match self {
            Self::SameAnswer { label, .. } => Some(*label),
            _ => None,
        }
    }

    /// The reason in words. `label` is what the label of [`Flag::label`] is called.
    pub fn reason(&self, label: &str) -> String {
        let percent = |share: f64| format!("{:.2} %", 100.0 * share);
        match self {
            Self::Guessing { accuracy_at_most, chance } => {
                let (most, chance) = (percent(*accuracy_at_most), percent(*chance));
                format!("right in {most} of the cases at most; guessing is right in {chance}")
            }
            Self::SameAnswer { share, of_all, .. } => {
                let (share, of_all) = (percent(*share), percent(*of_all));
                format!("says `{label}` in {share} of the cases, all together in {of_all}")
            }
            Self::TooFast { median_ms, least_ms } => {
                format!("half of the votes took no more than {median_ms} ms; looking takes {least_ms}")
            }
            Self::Abstains { share, of_all } => {
                format!("abstains in {} of the cases, all together in {}", percent(*share), percent(*of_all))
            }
        }
    }
}

impl OperatorRecord {
    /// The record of an operator out of their answers and their [`Skill`] in the task.
    pub fn of(answers: &Answers, skill: Skill, task: &TaskRecord) -> Self {
        let confusions = answers.pairs.iter().filter(|((decided, said), _)| decided != said);
        let mut confusions: Vec<_> = confusions.map(|((decided, said), times)| (*decided, *said, *times)).collect();
        confusions.sort_by_key(|(.., times)| std::cmp::Reverse(*times));
        Self {
            votes: answers.votes,
            abstentions: answers.abstentions,
            agreement: answers.agreement,
            gold: answers.gold,
            accuracy: skill.accuracy(task.mean_accuracy),
            interval: skill.interval(task.mean_accuracy),
            confusions,
            median_ms: answers.median_ms(),
            // Of labels given as often, the first of the task's set.
            usual: answers.said.iter().map(|(label, times)| (*label, *times)).rev().max_by_key(|(_, times)| *times),
        }
    }

    /// Why somebody should look at what this operator does. Nothing is said of who has few answers.
    pub fn flags(&self, task: &TaskRecord) -> Vec<Flag> {
        let mut flags = Vec::new();
        let answers = self.votes + self.abstentions;
        if answers < MIN_ANSWERS {
            return flags;
        }
        // Half-way from chance to the mean of the task: who is surely below it helps nobody.
        let chance = 1.0 / task.labels.max(1) as f64;
        let bar = (chance + task.mean_accuracy) / 2.0;
        if self.votes >= MIN_ANSWERS && task.labels > 1 && self.interval.1 < bar.max(chance) {
            flags.push(Flag::Guessing { accuracy_at_most: self.interval.1, chance });
        }
        if let Some((label, times)) = self.usual.filter(|_| self.votes >= MIN_ANSWERS) {
            let share = f64::from(times) / f64::from(self.votes);
            let of_all = task.label_shares.get(usize::from(label.0)).copied().unwrap_or_default();
            if share >= SAME_SHARE && share >= of_all + SAME_MARGIN {
                flags.push(Flag::SameAnswer { label, share, of_all });
            }
        }
        if let Some(median_ms) = self.median_ms.filter(|median| *median < LOOK_MS) {
            flags.push(Flag::TooFast { median_ms, least_ms: LOOK_MS });
        }
        let share = f64::from(self.abstentions) / f64::from(answers);
        if share > ABSTAINED_SHARE && share > ABSTAINED_TIMES * task.abstained {
            flags.push(Flag::Abstains { share, of_all: task.abstained });
        }
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskRecord {
        TaskRecord { labels: 4, mean_accuracy: 0.9, label_shares: vec![0.25; 4], abstained: 0.05 }
    }

    fn recorded(answers: impl IntoIterator<Item = Answered>, skill: Skill, task: &TaskRecord) -> OperatorRecord {
        // Counted in two places.
        let mut places = [Answers::default(), Answers::default()];
        answers.into_iter().enumerate().for_each(|(n, answer)| places[n % 2].count(answer));
        let [mut all, more] = places;
        all.merge(more);
        OperatorRecord::of(&all, skill, task)
    }

    fn answers(said: impl IntoIterator<Item = Option<u16>>, decided: u16, ms: u32) -> Vec<Answered> {
        let answer = |said: Option<u16>| Answered {
            said: said.map(LabelIndex),
            decided: Some(LabelIndex(decided)),
            gold: None,
            elapsed_ms: Some(ms),
        };
        said.into_iter().map(answer).collect()
    }

    #[test]
    fn a_good_operator_has_a_record_and_no_flag() {
        let mut all = answers((0..40).map(|_| Some(2)), 2, 900);
        all.extend(answers((0..60).map(|n| Some(n % 4)), 1, 1_100));
        all[0].gold = Some(LabelIndex(2));
        all[99].gold = Some(LabelIndex(0));
        let record = recorded(all, Skill { answers: 100.0, right: 90.0 }, &task());
        assert_eq!((record.votes, record.abstentions, record.median_ms), (100, 0, Some(1_100)));
        assert_eq!((record.agreement, record.gold), (Part { right: 55, of: 100 }, Part { right: 1, of: 2 }));
        assert_eq!(record.confusions[0], (LabelIndex(1), LabelIndex(0), 15));
        assert_eq!(record.usual, Some((LabelIndex(2), 55)));
        assert_eq!(record.flags(&task()), []);
    }

    #[test]
    fn each_flag_says_why() {
        let skill = Skill { answers: 40.0, right: 10.0 };
        let record = recorded(answers((0..40).map(|_| Some(3)), 1, 120), skill, &task());
        let flags = record.flags(&task());
        assert!(matches!(flags[0], Flag::Guessing { accuracy_at_most, chance: 0.25 } if accuracy_at_most < 0.5));
        assert_eq!(flags[1], Flag::SameAnswer { label: LabelIndex(3), share: 1.0, of_all: 0.25 });
        assert_eq!(flags[2], Flag::TooFast { median_ms: 120, least_ms: 350 });
        let good = Skill { answers: 20.0, right: 20.0 };
        let shy = answers((0..40).map(|n| (n % 2 == 0).then_some(n % 4)), 1, 900);
        let flags = recorded(shy, good, &task()).flags(&task());
        assert_eq!(flags, [Flag::Abstains { share: 0.5, of_all: 0.05 }]);
    }

    #[test]
    fn nothing_is_said_of_who_has_few_answers_or_of_a_label_that_all_give() {
        let skill = Skill { answers: 19.0, right: 0.0 };
        let few = recorded(answers((0..19).map(|_| Some(3)), 1, 10), skill, &task());
        assert_eq!(few.flags(&task()), []);
        assert_eq!(recorded([], Skill::default(), &task()).flags(&task()), []);
        let skewed = TaskRecord { label_shares: vec![0.9, 0.1], labels: 2, ..task() };
        let usual = answers((0..40).map(|_| Some(0)), 0, 900);
        let record = recorded(usual, Skill { answers: 40.0, right: 36.0 }, &skewed);
        assert_eq!(record.flags(&skewed), []);
    }

    #[test]
    fn times_are_cut_to_a_few_and_never_over_the_line() {
        for ms in (0..3_000).chain([349, 350, 12_345, 4_294_967_295]) {
            let cut = short(ms);
            assert!(cut <= ms && f64::from(ms - cut) <= 0.02 * f64::from(ms), "{ms}: {cut}");
            assert_eq!(cut < LOOK_MS, ms < LOOK_MS, "{ms}");
        }
        let different: std::collections::BTreeSet<u32> = (100..100_000).map(short).collect();
        assert!(different.len() < 600, "{}", different.len());
    }

    #[test]
    fn a_task_is_what_its_operators_say() {
        let mut all = [Answers::default(), Answers::default()];
        answers([Some(0), Some(1), None], 0, 900).into_iter().for_each(|answer| all[0].count(answer));
        answers([Some(1)], 0, 900).into_iter().for_each(|answer| all[1].count(answer));
        let task = TaskRecord::of(2, 0.7, &all);
        assert_eq!((task.labels, task.mean_accuracy, task.abstained), (2, 0.7, 0.25));
        assert_eq!(task.label_shares, [1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(TaskRecord::of(2, 0.7, []).label_shares, [0.0, 0.0]);
    }

    #[test]
    fn flags_have_names_and_words() {
        let flags = [
            Flag::Guessing { accuracy_at_most: 0.4, chance: 0.25 },
            Flag::SameAnswer { label: LabelIndex(1), share: 0.95, of_all: 0.5 },
            Flag::TooFast { median_ms: 120, least_ms: LOOK_MS },
            Flag::Abstains { share: 0.5, of_all: 0.05 },
        ];
        for flag in flags {
            let json = serde_json::to_value(flag).unwrap();
            assert_eq!(json["flag"], flag.kind().as_str());
            assert_eq!(serde_json::to_value(flag.kind()).unwrap(), json["flag"]);
            assert_eq!(serde_json::from_value::<Flag>(json).unwrap(), flag);
            assert_eq!(flag.kind().pauses(), flag.kind() != FlagKind::Abstains);
        }
        let reason = flags[1].reason("dog");
        assert_eq!(reason, "says `dog` in 95.00 % of the cases, all together in 50.00 %");
    }
}
