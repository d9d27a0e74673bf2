//! What batches may do, and what is announced of it.

use lambel_core::{
    ImageId, Subtask, SubtaskState, TaskId,
    consensus::Decision,
    event::Event,
    limits,
    subtask::{Answer, DecidedBy},
};

use super::{Attempt, Check, Kind, Known, Model, ensure, ensure_of, reviews};

impl Model {
    /// A batch has decided a record, decided it again, or opened it again.
    pub(super) fn observe_batch(&mut self, name: &str, before: &Subtask, after: &Subtask) -> Check {
        let task = self.tasks.get(&after.task).ok_or_else(|| format!("{name}: of a task that is not there"))?;
        ensure(task.policy.rule.weighs(), || format!("{name}: a batch has changed it, and its rule has none"))?;
        ensure(!task.state.is_final(), || format!("{name}: a batch has changed it, and its task is over"))?;
        let by_person = before.decided_by == DecidedBy::Review;
        ensure(!by_person, || format!("{name}: a batch has changed what a person has decided"))?;
        if after.state.is_final() {
            self.revised += 1;
            let same = before.votes == after.votes && before.late == after.late;
            ensure(same, || format!("{name}: votes changed by a batch that has decided it"))?;
            let decision =
                after.decision.map_or((None, None), |decision| (decision.label.map(|l| l.0), decision.dispute));
            let state = reviews::state(task, decision.0, decision.1);
            ensure(after.state == state, || format!("{name}: {:?}, decided by a batch for {decision:?}", after.state))?;
            let floor = after.labelled() >= after.floor;
            return ensure(floor, || format!("{name}: decided by a batch before it took another vote"));
        }
        self.reopened += 1;
        ensure(after.state == SubtaskState::Open && after.decision.is_none(), || format!("{name}: neither nor"))?;
        let often = after.reopenings == before.reopenings + 1 && after.reopenings <= limits::REOPENINGS;
        ensure(often, || format!("{name}: opened again for the {}th time", after.reopenings))?;
        ensure(after.leases.is_empty(), || format!("{name}: opened again with leases"))?;
        let room = after.labelled() < task.policy.rule.max_labels() && after.floor == after.labelled() + 1;
        ensure(room, || format!("{name}: opened again without room for another vote"))?;
        for (who, vote) in &after.votes {
            let known = match before.votes.get(who) {
                Some(known) => Some(known),
                None => {
                    self.moved.insert((after.task, after.image, who.clone()));
                    before.late.get(who)
                }
            };
            let same = known.is_some_and(|known| known.answer == vote.answer && known.at == vote.at);
            ensure_of(Kind::VoteDoubled, same, || format!("{name}: opened again with another vote of {who}"))?;
        }
        Ok(())
    }

    /// What has become of a record is to be announced.
    pub(super) fn will_announce(&mut self, record: &Subtask) {
        let label = self.label(record.task, record.decision);
        let news = self.news.entry((record.task, record.image)).or_default();
        news.insert(record.decided_rev.unwrap_or(record.rev), (record.state, label));
    }

    fn label(&self, task: TaskId, decision: Option<Decision>) -> Option<String> {
        let label = self.tasks.get(&task)?.labels.get(decision?.label?)?;
        Some(label.as_str().to_owned())
    }

    /// Something was published.
    pub(crate) fn published(&mut self, event: &Event) -> Check {
        let (key, consistent) = match event {
            Event::Subtask(_, envelope) => {
                let said = &envelope.data;
                let label = said.label.as_ref().map(|label| label.as_str().to_owned());
                let place = format!("{}/{}/", said.task, said.image);
                let rev = event.id().strip_prefix(&place).and_then(|rev| rev.parse::<u64>().ok());
                let known = self.news.get(&(said.task, said.image));
                let Some(news) = rev.and_then(|rev| known?.get(&rev)) else {
                    return ensure_of(Kind::AnnouncedTwice, false, || {
                        format!("announced under several ids: {} is not the id of any change", event.id())
                    });
                };
                ((said.task, Some(said.image)), *news == (said.state, label))
            }
            Event::Task(_, envelope) => {
                let state = self.tasks.get(&envelope.data.task).map(|task| task.state);
                ((envelope.data.task, None::<ImageId>), state == Some(envelope.data.state))
            }
            Event::Dataset(..) => return Ok(()),
        };
        ensure(consistent, || format!("{} was announced as something that it is not", event.id()))?;
        let ids = self.announced.entry(key).or_default();
        ids.insert(event.id().to_owned());
        let one = key.1.is_some() || ids.len() == 1;
        ensure_of(Kind::AnnouncedTwice, one, || format!("announced under several ids: {ids:?}"))
    }
}

/// A late vote that counts since its image was opened again: what was acknowledged is there, as one or as the other, and
/// what is there was given.
pub(super) fn check_moved(attempts: &[Attempt], vote: Option<Answer>, late: Option<Answer>) -> Result<(), String> {
    let acknowledged = attempts.iter().any(|attempt| matches!(attempt.known, Known::Counts | Known::Late));
    if acknowledged && vote.is_none() && late.is_none() {
        return Err("LOST an acknowledged vote".to_owned());
    }
    for found in vote.into_iter().chain(late) {
        let given = |attempt: &Attempt| attempt.known != Known::Nothing && attempt.answer == found;
        if !attempts.iter().any(given) {
            return Err(format!("a vote {found:?} out of {attempts:?}"));
        }
    }
    Ok(())
}
