//! What is known of an operator from their answers.

use serde::{Deserialize, Serialize};

/// Pseudo-answers that stand behind the mean of the task: as long as an operator has fewer answers of their
/// own, they are taken to be as good as the others.
const MEAN_ANSWERS: f64 = 4.0;
/// What the mean of the task starts from: 16 right answers of 20.
const START: Skill = Skill { answers: 20.0, right: 16.0 };
/// Nobody is always wrong, and nobody always right.
const ACCURACY: std::ops::RangeInclusive<f64> = 0.02..=0.995;

/// An operator's record in one task, or that of all its operators together. The numbers are *soft*: an answer
/// on an image whose label is sure to 90 % counts as nine tenths of a right one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// Answers on decided images.
    pub answers: f64,
    /// How many of them were right.
    pub right: f64,
}

impl Skill {
    /// Counts one answer, right with this probability. Only images with two votes or more should be counted: a
    /// single vote agrees with itself.
    pub fn feed(&mut self, right: f64) {
        self.answers += 1.0;
        self.right += right;
    }

    /// The same without an answer that was counted, right with this probability.
    pub fn without(self, right: f64) -> Self {
        let answers = (self.answers - 1.0).max(0.0);
        Self { answers, right: (self.right - right).clamp(0.0, answers) }
    }

    /// The same to three digits, which is what is kept of it.
    pub fn rounded(self) -> Self {
        let thousandths = |number: f64| (number * 1_000.0).round() / 1_000.0;
        Self { answers: thousandths(self.answers), right: thousandths(self.right) }
    }

    /// The mean accuracy of a task's operators, `a0 = (Σ cor + 16) / (Σ tot + 20)`, from the sum of their records.
    pub fn mean_accuracy(self) -> f64 {
        (self.right + START.right) / (self.answers + START.answers)
    }

    /// The accuracy of an operator, `a_w = clamp((cor_w + 4·a0) / (tot_w + 4), 0.02, 0.995)`: a beta posterior
    /// around the mean of the task.
    pub fn accuracy(self, mean: f64) -> f64 {
        let accuracy = (self.right + MEAN_ANSWERS * mean) / (self.answers + MEAN_ANSWERS);
        accuracy.clamp(*ACCURACY.start(), *ACCURACY.end())
    }

    /// What a vote adds to the score of its label, in nats: `ln[a(K − 1) / (1 − a)]`. Negative for who is wrong
    /// more often than chance. Without a choice there is nothing to say: 0.
    pub fn weight(self, mean: f64, labels: usize) -> f64 {
        if labels < 2 {
            return 0.0;
        }
        let accuracy = self.accuracy(mean);
        (accuracy * (labels - 1) as f64 / (1.0 - accuracy)).ln()
    }

    /// The interval that holds the accuracy in 95 of 100 cases, as (low, high): Wilson's, around the answers and
    /// the pseudo-answers (E. B. Wilson, 1927).
    pub fn interval(self, mean: f64) -> (f64, f64) {
        const Z: f64 = 1.96;
        let n = self.answers + MEAN_ANSWERS;
        let p = ((self.right + MEAN_ANSWERS * mean) / n).clamp(0.0, 1.0);
        let middle = (p + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        ((middle - half).max(0.0), (middle + half).min(1.0))
    }
}

impl std::ops::Add for Skill {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { answers: self.answers + other.answers, right: self.right + other.right }
    }
}

impl std::iter::Sum for Skill {
    fn sum<I: Iterator<Item = Self>>(records: I) -> Self {
        records.fold(Self::default(), |sum, record| sum + record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_operator_is_as_good_as_the_others() {
        let mean = Skill::default().mean_accuracy();
        assert!((mean - 0.8).abs() < 1e-12);
        assert!((Skill::default().accuracy(mean) - 0.8).abs() < 1e-12);
        let all = Skill { answers: 980.0, right: 584.0 };
        assert!((all.mean_accuracy() - 0.6).abs() < 1e-12);
    }

    #[test]
    fn answers_outweigh_the_mean() {
        let good = Skill { answers: 96.0, right: 96.0 };
        assert!((good.accuracy(0.8) - 0.992).abs() < 1e-12);
        let spammer = Skill { answers: 196.0, right: 48.4 };
        assert!((spammer.accuracy(0.4) - 0.25).abs() < 1e-9);
        assert!(spammer.weight(0.4, 4).abs() < 1e-9, "one in four of four labels says nothing");
        assert!(spammer.weight(0.4, 2) < 0.0, "one in four of two labels says the contrary");
        assert_eq!(Skill { answers: 1e6, right: 1e6 }.accuracy(0.8), 0.995);
        assert_eq!(Skill { answers: 1e6, right: 0.0 }.accuracy(0.8), 0.02);
    }

    #[test]
    fn an_answer_can_be_taken_out_again() {
        let mut skill = Skill { answers: 3.0, right: 2.25 };
        skill.feed(0.75);
        assert_eq!(skill.without(0.75), Skill { answers: 3.0, right: 2.25 });
        assert_eq!(Skill { answers: 1.0, right: 0.9 }.without(0.8), Skill::default(), "no answer is right in part");
        assert_eq!(Skill::default().without(1.0), Skill::default());
    }

    #[test]
    fn the_interval_narrows_with_answers() {
        let few = Skill { answers: 6.0, right: 4.8 }.interval(0.8);
        let many = Skill { answers: 996.0, right: 796.8 }.interval(0.8);
        assert!(few.0 < 0.8 && 0.8 < few.1);
        assert!((many.0 - 0.774).abs() < 0.001 && (many.1 - 0.824).abs() < 0.001, "{many:?}");
        assert!(few.1 - few.0 > 0.4 && many.1 - many.0 < 0.06);
    }
}
