//! A task played with the votes of a file, decided by the code that decides a running task.
//!
//! All images are open at once, as they are in the pool of a task. Again and again one of them is drawn at
//! random and takes its next vote. An `adaptive` task is looked at as a whole each time a twentieth of its
//! images was decided, and when no image is open any more; images that fall below the confidence open again.

use lambel_core::{
    LabelIndex,
    consensus::{
        Adaptive, BATCH_SHARE, Ballot, Decision, Estimate, Evidence, ITERATIONS_FINAL, ITERATIONS_RUNNING, Lead,
        Majority, MapEm, Phase, Plurality, Review, Scores, Skill, Standing, TableError, Verdict, VoteTable, review,
    },
};
use rand::RngExt;

use super::{
    crowd::Crowd,
    running::{Running, calibrated},
};

/// A rule to play by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    Majority(Majority),
    Lead(Lead),
    Adaptive(Adaptive),
}

/// How a play has ended.
pub(super) struct Played {
    /// What is said of each image in the end.
    pub(super) estimates: Vec<Option<Estimate>>,
    /// The scores behind that, for calibration; only of a rule that has any.
    pub(super) scores: Vec<Scores>,
    /// What a running task would report; only of a rule that has scores.
    pub(super) running: Option<Running>,
    /// Votes taken.
    pub(super) votes: usize,
}

/// An image while it is played.
#[derive(Clone, Default)]
struct Image {
    /// The weights of the votes that were taken: as many as there are of the first votes of the image.
    weights: Vec<f64>,
    decision: Option<Decision>,
    /// Whether a batch has made the decision.
    by_batch: bool,
    /// Votes that it takes at least, since it was opened again.
    floor: usize,
}

/// A play under way.
struct Play<'a> {
    rule: Rule,
    crowd: &'a mut Crowd,
    images: Vec<Image>,
    /// The images that take votes.
    open: Vec<usize>,
    /// The operators' records, and their sum.
    skills: Vec<Skill>,
    total: Skill,
    phase: Phase,
    /// Decisions, with those of images that had opened again.
    decisions: usize,
}

/// Plays a crowd's votes. Of some images the label is known (`gold`); to the play that makes no difference.
pub(super) fn play(rule: Rule, crowd: &mut Crowd, gold: &[(usize, LabelIndex)]) -> Result<Played, TableError> {
    let images = crowd.votes.len();
    let mut play = Play {
        rule,
        images: vec![Image::default(); images],
        open: (0..images).collect(),
        skills: vec![Skill::default(); crowd.operators],
        total: Skill::default(),
        phase: Phase::Cold,
        decisions: 0,
        crowd,
    };
    let step = ((images as f64 * BATCH_SHARE).ceil() as usize).max(1);
    let mut reviewed = 0;
    loop {
        match rule {
            Rule::Adaptive(rule) if play.open.is_empty() => {
                let model = play.batch(&rule, ITERATIONS_FINAL)?;
                if play.open.is_empty() {
                    let running = Some(play.running(rule, gold));
                    return Ok(Played { running, ..play.by_model(&model) });
                }
                reviewed = play.decisions;
            }
            Rule::Adaptive(rule) if play.decisions - reviewed >= step => {
                play.batch(&rule, ITERATIONS_RUNNING)?;
                reviewed = play.decisions;
            }
            _ if play.open.is_empty() => return Ok(play.by_decisions()),
            _ => play.step(),
        }
    }
}

impl Play<'_> {
    /// One open image takes a vote.
    fn step(&mut self) {
        let place = self.crowd.chance.random_range(0..self.open.len());
        let image = self.open[place];
        let state = &mut self.images[image];
        let votes = &self.crowd.votes[image];
        let labels = self.crowd.labels;
        if let Some(vote) = votes.get(state.weights.len()) {
            let skill = self.skills[vote.operator as usize];
            state.weights.push(skill.weight(self.total.mean_accuracy(), labels));
        }
        let taken = &votes[..state.weights.len()];
        if taken.len() < state.floor {
            return;
        }
        let weighed = taken.iter().map(|vote| vote.label).zip(state.weights.iter().copied());
        let plurality = || Plurality::count(taken.iter().map(|vote| vote.label));
        let verdict = match self.rule {
            Rule::Majority(rule) => rule.judge(&plurality()),
            Rule::Lead(rule) => rule.judge(&plurality()),
            Rule::Adaptive(rule) => rule.judge(labels, self.phase, weighed.clone()),
        };
        let decision = match verdict {
            Verdict::Decided(decision) => decision,
            Verdict::Undecided { .. } if taken.len() < votes.len() => return,
            // The file has no more votes on it. A running task would wait for some.
            Verdict::Undecided { .. } => match self.rule {
                Rule::Adaptive(_) => {
                    let Evidence { leader, confidence, .. } = Evidence::weigh(labels, weighed);
                    Decision { label: leader, confidence, dispute: None }
                }
                _ => Decision { label: plurality().leader, confidence: plurality().share(), dispute: None },
            },
        };
        if taken.len() >= 2 && state.floor == 0 {
            for vote in taken {
                let right = decision.probability(vote.label, labels);
                self.skills[vote.operator as usize].feed(right);
                self.total.feed(right);
            }
        }
        state.decision = Some(decision);
        state.by_batch = false;
        self.decisions += 1;
        self.open.swap_remove(place);
    }

    /// Looks at the whole task: rewrites the operators' records, and reviews each image.
    fn batch(&mut self, rule: &Adaptive, iterations: u32) -> Result<MapEm, TableError> {
        let model = MapEm::fit(&self.taken()?, |_| None, iterations);
        self.skills = model.skills().to_vec();
        self.skills.resize(self.crowd.operators, Skill::default());
        self.total = self.skills.iter().copied().sum();
        let decided = self.images.iter().filter(|image| image.decision.is_some() || image.floor > 0).count();
        self.phase = Phase::after(decided as u64, self.skills.iter().map(|skill| skill.answers));
        // While nothing is known of the operators their votes are not held against one another, but in the end.
        if self.phase == Phase::Cold && !self.open.is_empty() {
            return Ok(model);
        }
        let mean = self.total.mean_accuracy();
        let mut scores = Scores::default();
        for (image, state) in self.images.iter_mut().enumerate().filter(|(_, state)| !state.weights.is_empty()) {
            let votes = &self.crowd.votes[image];
            let taken = &votes[..state.weights.len()];
            let evidence = model.evidence_in(self.phase, taken, &mut scores);
            let standing = state.decision.map_or(Standing::Open, |decision| Standing::Decided {
                label: decision.label,
                disputed: decision.dispute.is_some(),
            });
            match review(rule, standing, &evidence, taken.len() < votes.len()) {
                Review::Keep => {}
                Review::Decide(decision) => {
                    self.decisions += usize::from(state.decision.is_none());
                    state.decision = Some(decision);
                    state.by_batch = true;
                }
                Review::Reopen => {
                    state.decision = None;
                    state.floor = taken.len() + 1;
                    let weight = |vote: &Ballot| self.skills[vote.operator as usize].weight(mean, self.crowd.labels);
                    state.weights = taken.iter().map(weight).collect();
                }
            }
        }
        let open = self.images.iter().enumerate().filter(|(_, state)| state.decision.is_none());
        self.open = open.map(|(image, _)| image).collect();
        Ok(model)
    }

    /// What a running task would report, now that all is decided.
    fn running(&self, rule: Adaptive, gold: &[(usize, LabelIndex)]) -> Running {
        let (labels, mean) = (self.crowd.labels, self.total.mean_accuracy());
        let decided = self.images.iter().zip(&self.crowd.votes).map(|(state, votes)| {
            let decision = state.decision?;
            let weighed = votes.iter().map(|vote| vote.label).zip(state.weights.iter().copied());
            let of_votes = Scores::of_weights(labels, weighed).filter(|_| !state.by_batch);
            let of_votes = of_votes.filter(|scores| scores.leader() == decision.label);
            let scores = match of_votes {
                Some(scores) => scores,
                None => Scores::of_posterior(labels, decision.label?, decision.confidence),
            };
            Some((decision, scores))
        });
        let weight = |vote: &Ballot| self.skills[vote.operator as usize].weight(mean, labels);
        let gold = gold.iter().map(|(image, truth)| (self.crowd.votes[*image].as_slice(), *truth));
        Running { decided: decided.collect(), found: calibrated(rule, labels, self.phase, weight, gold) }
    }

    /// The votes that were taken.
    fn taken(&self) -> Result<VoteTable, TableError> {
        let images = (0..).zip(self.images.iter().zip(&self.crowd.votes));
        let votes = images
            .flat_map(|(image, (state, votes))| votes.iter().take(state.weights.len()).map(move |vote| (image, *vote)));
        VoteTable::new(self.crowd.labels, self.images.len(), &votes.collect::<Vec<_>>())
    }

    fn votes(&self) -> usize {
        self.images.iter().map(|image| image.weights.len()).sum()
    }

    fn by_model(&self, model: &MapEm) -> Played {
        let scored = self.images.iter().zip(&self.crowd.votes).map(|(state, votes)| {
            let mut scores = Scores::default();
            model.score(&votes[..state.weights.len()], &mut scores);
            scores
        });
        let scores: Vec<Scores> = scored.collect();
        let mut room = Scores::default();
        let estimate = |(state, votes): (&Image, &Vec<Ballot>)| {
            let evidence = model.evidence_in(self.phase, &votes[..state.weights.len()], &mut room);
            Some(Estimate { label: evidence.leader?, confidence: evidence.confidence })
        };
        let estimates = self.images.iter().zip(&self.crowd.votes).map(estimate).collect();
        Played { estimates, scores, running: None, votes: self.votes() }
    }

    fn by_decisions(&self) -> Played {
        let estimate = |image: &Image| {
            let decision = image.decision?;
            Some(Estimate { label: decision.label?, confidence: decision.confidence })
        };
        let estimates = self.images.iter().map(estimate).collect();
        Played { estimates, scores: Vec::new(), running: None, votes: self.votes() }
    }
}
