//! The rules of consensus once more, as simply as they can be said.

use std::collections::BTreeMap;

use lambel_core::{
    Subtask, Task,
    consensus::{COLD_LEAD, Dispute, Phase, Rule},
};

/// What the votes of a subtask come to.
pub(super) enum Expected {
    Decided(Option<u16>, Option<Dispute>),
    Open { wanted: usize },
}

/// What the votes of a record come to.
pub(super) fn expected(task: &Task, record: &Subtask) -> Expected {
    let votes = &record.votes;
    let mut tally: BTreeMap<u16, usize> = BTreeMap::new();
    for label in votes.values().filter_map(|vote| vote.answer.label()) {
        *tally.entry(label.0).or_default() += 1;
    }
    let labels: usize = tally.values().sum();
    let abstained = votes.len() - labels;
    let most = tally.values().max().copied().unwrap_or_default();
    let leaders: Vec<u16> = tally.iter().filter(|(_, count)| **count == most).map(|(label, _)| *label).collect();
    // The most votes of a label that is not the first of the leaders.
    let others = tally.iter().filter(|(label, _)| Some(*label) != leaders.first()).map(|(_, count)| *count);
    let ahead = most - others.max().unwrap_or_default();
    // Whether there is an answer, whether there are as many votes as there can be, and how many are missing at least.
    let (answered, full, missing) = match task.policy.rule {
        Rule::Majority(rule) => {
            let quorum = rule.quorum as usize;
            let there = labels >= quorum;
            (there && ahead > 0, there && labels >= rule.max_labels as usize, quorum.saturating_sub(labels).max(1))
        }
        Rule::Lead(rule) => {
            let (lead, limit) = (rule.lead as usize, rule.max_labels as usize);
            let missing = lead.saturating_sub(ahead).min(limit.saturating_sub(labels));
            (ahead >= lead && labels >= rule.min_labels as usize, labels >= limit, missing)
        }
        Rule::Adaptive(rule) => {
            let warm = |phase: Phase| phase == Phase::Warm;
            let known = votes.values().filter_map(|vote| vote.earned).any(|earned| warm(earned.phase));
            assert!(!known, "in tasks as small as these nobody is ever known");
            let (lead, limit) = (COLD_LEAD as usize, rule.max_labels as usize);
            // Of an image without votes one is wanted, since it may be enough.
            let missing = if labels == 0 { 1 } else { lead.saturating_sub(ahead).min(limit.saturating_sub(labels)) };
            (ahead >= lead, labels >= limit, missing)
        }
    };
    let ended = abstained >= task.policy.max_abstentions as usize;
    let below = (record.floor as usize).saturating_sub(labels);
    let leader = leaders.first().copied();
    if answered && below == 0 {
        Expected::Decided(leader, None)
    } else if full {
        Expected::Decided(leader, Some(Dispute::NoAnswer))
    } else if ended {
        // Where none is ahead, a rule that weighs takes the label that weighs most.
        let best = match task.policy.rule {
            Rule::Adaptive(_) if !answered => task.policy.rule.best(task.labels.len(), votes).0.map(|label| label.0),
            _ => leader,
        };
        Expected::Decided(best, Some(Dispute::Abstentions))
    } else {
        Expected::Open { wanted: missing.max(below) }
    }
}
