//! The review: what a fitted model says of each image, and writing it.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use lambel_core::{
    ImageId, OperatorId, Task,
    consensus::{Adaptive, MapEm, Measured, Phase, Review, Scores, Standing, review},
    subtask::DecidedBy,
};

use super::{Estimator, OPERATORS_AT_ONCE, votes::Votes};
use crate::{
    known::Known,
    ports::{Desks, REVISED_AT_ONCE, Revised, Revision, SkillMark, StoreResult},
};

/// What came of a review.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reviewed {
    /// Images that were decided, or decided again.
    pub(super) revised: u64,
    /// Images that were opened again.
    pub(super) reopened: u64,
    /// Images that had changed since they were read: the next look meets them.
    pub(super) lost: u64,
}

/// What the votes of a task have come to.
pub(super) struct Fitted<'a> {
    /// What is known from elsewhere.
    pub(super) known: &'a Known,
    /// The model of labels and operators.
    pub(super) model: &'a MapEm,
    /// What it says of the operators, by their places.
    pub(super) measured: &'a [Measured],
    /// Whether that can be believed.
    pub(super) phase: Phase,
}

impl Estimator {
    /// Reviews all images, and writes what follows from that.
    pub(super) async fn review(
        &self,
        task: &Task,
        rule: &Adaptive,
        mark: &SkillMark,
        votes: &Votes,
        fitted: &Fitted<'_>,
    ) -> StoreResult<Reviewed> {
        let mut reviewed = Reviewed::default();
        let changes = changes(rule, votes, fitted);
        let reopens = changes.iter().any(|(_, change)| *change == Review::Reopen);
        let willing = if reopens { self.willing(task, &votes.operators).await? } else { Vec::new() };
        let found: HashMap<&OperatorId, &Measured> = votes.operators.iter().zip(fitted.measured).collect();
        for chunk in changes.chunks(REVISED_AT_ONCE) {
            let wanted: BTreeMap<ImageId, (u64, Review)> = chunk
                .iter()
                .map(|(place, change)| (votes.images[*place], *change))
                .map(|(place, change)| (place.image, (place.rev, change)))
                .collect();
            let images: Vec<ImageId> = wanted.keys().copied().collect();
            let now = self.clock.now();
            let mut revisions = Vec::with_capacity(images.len());
            for seen in self.store.subtasks(task, &images, true).await? {
                let Some((rev, change)) = wanted.get(&seen.image) else { continue };
                if seen.rev != *rev {
                    reviewed.lost += 1;
                    continue;
                }
                let mut after = seen.clone();
                let moves = match change {
                    Review::Keep => false,
                    Review::Decide(decision) => after.revise(*decision, DecidedBy::Batch, task.policy.disputed, now),
                    // Nobody would ever vote on it if all who could have done so.
                    Review::Reopen if willing.iter().all(|who| seen.has_vote_of(who)) => false,
                    Review::Reopen => {
                        after.reopen(&task.policy, |who| found.get(who).map(|measured| measured.earned), now)
                    }
                };
                if moves {
                    revisions.push(Revision { seen, after });
                }
            }
            if revisions.is_empty() {
                continue;
            }
            match self.store.revise(task, &revisions, Some(mark.rev)).await? {
                Revised::Done(done) => {
                    for (revision, done) in revisions.iter().zip(done) {
                        match (done, revision.after.state.is_final()) {
                            (true, true) => reviewed.revised += 1,
                            (true, false) => reviewed.reopened += 1,
                            (false, _) => reviewed.lost += 1,
                        }
                    }
                }
                Revised::Stopped => {
                    reviewed.lost += revisions.len() as u64;
                    return Ok(reviewed);
                }
            }
        }
        Ok(reviewed)
    }

    /// Those of some operators who may vote in a task: nobody has paused them, in it or everywhere.
    async fn willing<'a>(&self, task: &Task, operators: &'a [OperatorId]) -> StoreResult<Vec<&'a OperatorId>> {
        let ids = [task.id];
        let reads: Vec<_> = operators.iter().map(|operator| self.store.desks(&ids, operator)).collect();
        let found: Vec<Desks> = stream::iter(reads).buffered(OPERATORS_AT_ONCE).try_collect().await?;
        let may =
            |found: &Desks| !found.standing.is_paused() && found.desks.iter().all(|(_, desk)| desk.paused_at.is_none());
        Ok(operators.iter().zip(found).filter(|(_, found)| may(found)).map(|(operator, _)| operator).collect())
    }
}

/// The images that a review does not leave as they are, by their places. Of each image one posterior is in memory at a
/// time.
fn changes(rule: &Adaptive, votes: &Votes, fitted: &Fitted<'_>) -> Vec<(usize, Review)> {
    let mut scores = Scores::default();
    let mut changes = Vec::new();
    for (place, (image, ballots)) in votes.images.iter().zip(votes.table.iter()).enumerate() {
        if image.reviewed || fitted.known.is_gold(&image.image) {
            continue;
        }
        let standing = image.standing();
        let evidence = fitted.model.evidence_in(fitted.phase, ballots, &mut scores);
        let change = match review(rule, standing, &evidence, image.movable) {
            Review::Keep => continue,
            // Its own votes end it, unless they are too few since it was opened again.
            Review::Decide(decision)
                if standing == Standing::Open && (decision.dispute.is_some() || !image.movable) =>
            {
                continue;
            }
            change => change,
        };
        changes.push((place, change));
    }
    changes
}
