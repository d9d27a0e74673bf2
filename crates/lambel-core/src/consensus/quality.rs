//! What the owner of a task is told of an operator: a record, and flags that each say why.
//!
//! Flags are hints for people. Nothing is decided by them.

use serde::{Deserialize, Serialize};

use super::Skill;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

    /// The share; none of nothing.
    pub fn share(self) -> Option<f64> {
        (self.of > 0).then(|| f64::from(self.right) / f64::from(self.of))
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

/// A reason to look at what an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
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

impl OperatorRecord {
    /// The record of an operator out of their answers and their [`Skill`] in the task.
    pub fn of(answers: impl IntoIterator<Item = Answered>, skill: Skill, task: &TaskRecord) -> Self {
        let mut record = Self {
            votes: 0,
            abstentions: 0,
            agreement: Part::default(),
            gold: Part::default(),
            accuracy: skill.accuracy(task.mean_accuracy),
            interval: skill.interval(task.mean_accuracy),
            confusions: Vec::new(),
            median_ms: None,
            usual: None,
        };
        let (mut said_by_label, mut wrong, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for answer in answers {
            times.extend(answer.elapsed_ms);
            let Some(said) = answer.said else {
                record.abstentions += 1;
                continue;
            };
            record.votes += 1;
            said_by_label.push(said);
            if let Some(truth) = answer.gold {
                record.gold.add(truth == said);
            }
            if let Some(decided) = answer.decided {
                record.agreement.add(decided == said);
                if decided != said {
                    wrong.push((decided, said));
                }
            }
        }
        // Of labels given as often, the first of the task's set.
        record.usual = times_each(said_by_label).into_iter().next();
        let confusions = times_each(wrong).into_iter();
        record.confusions = confusions.map(|((decided, said), times)| (decided, said, times)).collect();
        times.sort_unstable();
        record.median_ms = times.get(times.len() / 2).copied();
        record
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

/// How often each is there, most often first.
fn times_each<T: Ord + Copy>(mut all: Vec<T>) -> Vec<(T, u32)> {
    all.sort_unstable();
    let groups = all.chunk_by(PartialEq::eq);
    let counted = groups.filter_map(|group| Some((*group.first()?, u32::try_from(group.len()).unwrap_or(u32::MAX))));
    let mut counts: Vec<(T, u32)> = counted.collect();
    counts.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskRecord {
        TaskRecord { labels: 4, mean_accuracy: 0.9, label_shares: vec![0.25; 4], abstained: 0.05 }
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
        let record = OperatorRecord::of(all, Skill { answers: 100.0, right: 90.0 }, &task());
        assert_eq!((record.votes, record.abstentions, record.median_ms), (100, 0, Some(1_100)));
        assert_eq!((record.agreement, record.gold), (Part { right: 55, of: 100 }, Part { right: 1, of: 2 }));
        assert_eq!(record.confusions[0], (LabelIndex(1), LabelIndex(0), 15));
        assert_eq!(record.usual, Some((LabelIndex(2), 55)));
        assert_eq!(record.flags(&task()), []);
    }

    #[test]
    fn each_flag_says_why() {
        let skill = Skill { answers: 40.0, right: 10.0 };
        let record = OperatorRecord::of(answers((0..40).map(|_| Some(3)), 1, 120), skill, &task());
        let flags = record.flags(&task());
        assert!(matches!(flags[0], Flag::Guessing { accuracy_at_most, chance: 0.25 } if accuracy_at_most < 0.5));
        assert_eq!(flags[1], Flag::SameAnswer { label: LabelIndex(3), share: 1.0, of_all: 0.25 });
        assert_eq!(flags[2], Flag::TooFast { median_ms: 120, least_ms: 350 });
        let good = Skill { answers: 20.0, right: 20.0 };
        let shy = answers((0..40).map(|n| (n % 2 == 0).then_some(n % 4)), 1, 900);
        let flags = OperatorRecord::of(shy, good, &task()).flags(&task());
        assert_eq!(flags, [Flag::Abstains { share: 0.5, of_all: 0.05 }]);
    }

    #[test]
    fn nothing_is_said_of_who_has_few_answers_or_of_a_label_that_all_give() {
        let skill = Skill { answers: 19.0, right: 0.0 };
        let few = OperatorRecord::of(answers((0..19).map(|_| Some(3)), 1, 10), skill, &task());
        assert_eq!(few.flags(&task()), []);
        assert_eq!(OperatorRecord::of([], Skill::default(), &task()).flags(&task()), []);
        let skewed = TaskRecord { label_shares: vec![0.9, 0.1], labels: 2, ..task() };
        let usual = answers((0..40).map(|_| Some(0)), 0, 900);
        let record = OperatorRecord::of(usual, Skill { answers: 40.0, right: 36.0 }, &skewed);
        assert_eq!(record.flags(&skewed), []);
    }
}
