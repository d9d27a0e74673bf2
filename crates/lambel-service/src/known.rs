//! Answers on gold in the table of a task's votes: images at its end whose label is known, so that operators are
//! measured by the truth and not only by one another.

use std::collections::HashMap;

use lambel_core::{
    Gold, GoldDesk, ImageId, LabelIndex, OperatorId, Task,
    consensus::{Ballot, Phase, Skill, VoteTable},
    gold::GoldAnswer,
    limits,
};

use crate::{
    ports::{GoldStore, StoreError, StoreResult},
    quality::Tallies,
};

/// Operators' records of one read.
const RECORDS: u32 = 1_000;

/// Answers on gold, and where they lie in a table.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// All gold of the task, sorted by image.
    gold: Vec<Gold>,
    /// The first image of gold in the table.
    first: usize,
    /// The true labels, image by image.
    truths: Vec<LabelIndex>,
    /// How many answers on gold with a label each operator has given, by their place.
    labelled: Vec<f64>,
    /// The answers on each image of gold: who gave them, and what they said.
    given: Vec<Vec<(OperatorId, GoldAnswer)>>,
}

impl Known {
    /// Reads a task's answers on gold and puts them behind the votes of a table. Operators who are not among
    /// `operators` yet are added to them. In a task that hands out no gold nothing is read, and nothing changes.
    pub(crate) async fn join(
        gold: &dyn GoldStore,
        task: &Task,
        operators: &mut Vec<OperatorId>,
        table: &mut VoteTable,
    ) -> StoreResult<Self> {
        let mut known = Self { first: table.images(), ..Self::default() };
        if task.policy.gold_rate.is_none() {
            return Ok(known);
        }
        let list: Vec<Gold> = gold.gold(task.id, None, limits::GOLD_PER_TASK as u32).await?;
        known.given = vec![Vec::new(); list.len()];
        let mut places: HashMap<OperatorId, u32> = operators.iter().cloned().zip(0..).collect();
        let mut ballots: Vec<Vec<Ballot>> = vec![Vec::new(); list.len()];
        let mut after: Option<OperatorId> = None;
        while !list.is_empty() {
            let desks: Vec<GoldDesk> = gold.gold_records(task.id, after.as_ref(), RECORDS).await?;
            after = desks.last().filter(|_| desks.len() == RECORDS as usize).map(|desk| desk.operator.clone());
            for desk in &desks {
                for (image, given, _) in desk.judged(&list) {
                    let Ok(place) = list.binary_search_by_key(&image, |gold| gold.image) else { continue };
                    known.given[place].push((desk.operator.clone(), *given));
                    let Some(label) = given.answer.label() else { continue };
                    let operator = *places.entry(desk.operator.clone()).or_insert_with_key(|operator| {
                        operators.push(operator.clone());
                        (operators.len() - 1) as u32
                    });
                    known.labelled.resize(operators.len(), 0.0);
                    known.labelled[operator as usize] += 1.0;
                    ballots[place].push(Ballot { operator, label });
                }
            }
            if after.is_none() {
                break;
            }
        }
        for (gold, ballots) in list.iter().zip(ballots).filter(|(_, ballots)| !ballots.is_empty()) {
            let pushed = table.push(ballots);
            pushed.map_err(|error| StoreError::Failed(format!("answers on gold are no table: {error}")))?;
            known.truths.push(gold.label);
        }
        known.gold = list;
        Ok(known)
    }

    /// Counts the answers in the operators' reports.
    pub(crate) fn tell(&self, tallies: &mut Tallies) {
        for (truth, answers) in self.answers() {
            for (operator, given) in answers {
                tallies.see_gold(operator, truth, given.answer, given.elapsed_ms);
            }
        }
    }

    /// The gold of the task in the order of its images, which is random: what is true, and what was answered by whom.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (LabelIndex, &[(OperatorId, GoldAnswer)])> {
        self.gold.iter().zip(&self.given).map(|(gold, answers)| (gold.label, answers.as_slice()))
    }

    /// The true label of an image of the table, if it is one of gold.
    pub(crate) fn truth(&self, image: usize) -> Option<LabelIndex> {
        self.truths.get(image.checked_sub(self.first)?).copied()
    }

    /// Whether an image is gold: nothing that is found of it can be surer than what its client knows.
    pub(crate) fn is_gold(&self, image: &ImageId) -> bool {
        self.gold.binary_search_by_key(image, |gold| gold.image).is_ok()
    }

    /// The phase of the task: warm as well where gold alone has measured the operators.
    pub(crate) fn phase(&self, phase: Phase, skills: &[Skill]) -> Phase {
        let of_gold = |place: usize| self.labelled.get(place).copied().unwrap_or(0.0);
        let by_gold = Phase::by_gold(skills.iter().enumerate().map(|(n, skill)| (skill.answers, of_gold(n))));
        if by_gold == Phase::Warm { by_gold } else { phase }
    }
}
