//! What travels between the services: bodies of queue messages, and the events that SNS carries.

use serde::{Deserialize, Serialize};

use crate::{
    Actor, ClientId, ImageId, Label, LabelSet, Subtask, SubtaskState, Task, TaskId, TaskState, Timestamp,
    consensus::{Confidence, Dispute},
    subtask::Refusal,
};

/// The body of a message on the queue `new-subtasks`: images whose records exist and that wait to be opened.
/// One message names as many as one transaction has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSubtasks {
    /// The task.
    pub task: TaskId,
    /// The images.
    pub images: Vec<ImageId>,
}

/// The body of a message of the queue `commits`: a version of a task's data set is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRequest {
    /// The task.
    pub task: TaskId,
    /// Who wants it.
    pub author: Actor,
    /// What to say about it.
    pub message: String,
    /// When they asked.
    pub asked_at: Timestamp,
    /// Whether it is wanted only if it is due by the task's policy.
    #[serde(default)]
    pub if_due: bool,
}

/// The attributes of a message that subscribers can filter by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The task.
    pub task: TaskId,
    /// Its client.
    pub owner: ClientId,
    /// The kind of the event, such as `subtask.complete`.
    pub kind: &'static str,
}

/// A CloudEvents 1.0 envelope. Its `id` is made from what happened, so the same event has the same id each
/// time it is sent, and a subscriber can drop repeats by `source` and `id`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloudEvent<T> {
    /// Always `1.0`.
    pub specversion: String,
    /// `lambel.` and the kind.
    #[serde(rename = "type")]
    pub kind: String,
    /// `/tasks/{task}`.
    pub source: String,
    /// `{task}/{image}/{rev}`, `{task}/{rev}` or `{commit}/{ref}/{seq}`.
    pub id: String,
    /// When it happened.
    pub time: Timestamp,
    /// The image or the branch, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What happened.
    pub data: T,
}

/// What a record was before a change, as far as that decides what is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Was {
    /// Its state.
    pub state: SubtaskState,
    /// The number of its decision.
    pub decided_rev: Option<u64>,
}

impl Was {
    /// What a record is, for the change that comes next.
    pub fn of(subtask: &Subtask) -> Self {
        Self { state: subtask.state, decided_rev: subtask.decided_rev }
    }
}

/// The body of a message on the queue `estimates`: everything of this task is decided, and its last batch is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastBatchWanted {
    /// The task.
    pub task: TaskId,
}

/// A subtask has reached its final state, or was opened again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubtaskEnded {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// How it ended: `complete`, `disputed` or `rejected`; `open` if it was opened again.
    pub state: SubtaskState,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// How sure it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Why its votes have found no answer. An image that is `complete` in spite of that has the best label there is,
    /// as its task's policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<Dispute>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// How many votes it has taken.
    pub votes: u64,
}

/// A task has changed its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskChanged {
    /// The task.
    pub task: TaskId,
    /// What it is called.
    pub name: String,
    /// Its state.
    pub state: TaskState,
    /// How many distinct images the client said there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<u64>,
}

/// A branch of a task's data set stands elsewhere now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetMoved {
    /// The task.
    pub task: TaskId,
    /// The branch: `live` or `released`.
    #[serde(rename = "ref")]
    pub branch: String,
    /// The commit that it stood at before; none if it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The commit that it stands at now.
    pub to: String,
    /// The number of the move: 1 for the first of its branch.
    pub seq: u64,
    /// Who has moved it.
    pub author: Actor,
    /// Why.
    pub message: String,
}

/// An event, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// For the topic `subtask-completed`.
    Subtask(Attributes, CloudEvent<SubtaskEnded>),
    /// For the topic `task-completed`.
    Task(Attributes, CloudEvent<TaskChanged>),
    /// For the topic `dataset-moved`.
    Dataset(Attributes, CloudEvent<DatasetMoved>),
}

impl Event {
    /// The event of a subtask's change, if it is one that is announced: it was not final and is now, it was decided
    /// again, or it was decided and is open. `before` is none if the record is new.
    pub fn of_subtask(before: Option<Was>, after: &Subtask, owner: &ClientId, labels: &LabelSet) -> Option<Self> {
        let before = before.filter(|before| before.state.is_final());
        let kind = match (after.state, before) {
            // A late vote, for instance.
            (_, Some(before)) if before == Was::of(after) => return None,
            (SubtaskState::Rejected, None) => "subtask.rejected",
            (SubtaskState::Disputed, _) => "subtask.disputed",
            (SubtaskState::Complete, _) => "subtask.complete",
            (SubtaskState::Open, Some(_)) => "subtask.reopened",
            _ => return None,
        };
        let data = SubtaskEnded {
            task: after.task,
            image: after.image,
            state: after.state,
            label: after.decision.and_then(|decision| labels.get(decision.label?).cloned()),
            confidence: after.decision.map(|decision| decision.confidence),
            dispute: after.decision.and_then(|decision| decision.dispute),
            refusal: after.refusal.clone(),
            votes: after.votes.len() as u64,
        };
        let id = format!("{}/{}/{}", after.task, after.image, after.decided_rev.unwrap_or(after.rev));
        let time = after.decided_at.or(after.reopened_at).unwrap_or(after.created_at);
        let subject = Some(after.image.to_string());
        let attributes = Attributes { task: after.task, owner: owner.clone(), kind };
        Some(Self::Subtask(attributes, CloudEvent::new(kind, after.task, id, time, subject, data)))
    }

    /// The event of a task's change, if it is one that is announced: it was not over and is now.
    pub fn of_task(before: Option<TaskState>, after: &Task) -> Option<Self> {
        if !after.state.is_final() || before.is_some_and(TaskState::is_final) {
            return None;
        }
        let kind = match after.state {
            TaskState::Cancelled => "task.cancelled",
            _ => "task.complete",
        };
        let data = TaskChanged { task: after.id, name: after.name.clone(), state: after.state, images: after.images };
        let id = format!("{}/{}", after.id, after.rev);
        let time = after.ended_at.unwrap_or(after.created_at);
        let attributes = Attributes { task: after.id, owner: after.owner.clone(), kind };
        Some(Self::Task(attributes, CloudEvent::new(kind, after.id, id, time, None, data)))
    }

    /// The event of a branch's move.
    pub fn of_move(moved: DatasetMoved, at: Timestamp, owner: &ClientId) -> Self {
        let kind = "dataset.moved";
        let id = format!("{}/{}/{}", moved.to, moved.branch, moved.seq);
        let attributes = Attributes { task: moved.task, owner: owner.clone(), kind };
        let subject = Some(moved.branch.clone());
        Self::Dataset(attributes, CloudEvent::new(kind, moved.task, id, at, subject, moved))
    }

    /// What subscribers can filter by.
    pub fn attributes(&self) -> &Attributes {
        match self {
            Self::Subtask(attributes, _) | Self::Task(attributes, _) | Self::Dataset(attributes, _) => attributes,
        }
    }

    /// The id of the envelope.
    pub fn id(&self) -> &str {
        match self {
            Self::Subtask(_, event) => &event.id,
            Self::Task(_, event) => &event.id,
            Self::Dataset(_, event) => &event.id,
        }
    }

    /// The envelope as JSON.
    pub fn body(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Subtask(_, event) => serde_json::to_string(event),
            Self::Task(_, event) => serde_json::to_string(event),
            Self::Dataset(_, event) => serde_json::to_string(event),
        }
    }
}

impl<T> CloudEvent<T> {
    fn new(kind: &str, task: TaskId, id: String, time: Timestamp, subject: Option<String>, data: T) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            kind: format!("lambel.{kind}"),
            source: format!("/tasks/{task}"),
            id,
            time,
            subject,
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        LabelIndex, OnDispute, Policy, Vote,
        consensus::Decision,
        subtask::{Answer, DecidedBy, Picture, Preview},
    };

    fn subtask() -> Subtask {
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let task = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap();
        Subtask::preparing(task, ImageId::MIN, 1, picture, Preview::NotNeeded, Timestamp::from_millis(1))
    }

    fn was(state: SubtaskState) -> Option<Was> {
        Some(Was { state, decided_rev: None })
    }

    #[test]
    fn a_dispute_that_keeps_its_best_label_and_one_that_is_reviewed_are_announced_as_complete() {
        let owner = "client".parse().unwrap();
        let labels = LabelSet::parse(&["cat", "dog"]).unwrap();
        let tie =
            Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(0.5), dispute: Some(Dispute::NoAnswer) };
        let data = |event: &Event| serde_json::from_str::<serde_json::Value>(&event.body().unwrap()).unwrap();
        let mut best = subtask();
        best.open(None);
        best.close(tie, OnDispute::Best, Timestamp::from_millis(2));
        let event = Event::of_subtask(was(SubtaskState::Open), &best, &owner, &labels).unwrap();
        assert_eq!(event.attributes().kind, "subtask.complete");
        let said = &data(&event)["data"];
        assert_eq!((&said["label"], &said["dispute"]), (&"dog".into(), &"no-answer".into()), "the reason stays");

        let mut disputed = subtask();
        disputed.open(None);
        disputed.close(tie, OnDispute::Review, Timestamp::from_millis(2));
        let first = Event::of_subtask(was(SubtaskState::Open), &disputed, &owner, &labels).unwrap();
        assert_eq!(first.attributes().kind, "subtask.disputed");
        let before = Some(Was::of(&disputed));
        assert!(disputed.review(LabelIndex(0), &owner, Timestamp::from_millis(3)));
        let second = Event::of_subtask(before, &disputed, &owner, &labels).unwrap();
        assert_eq!(
            (second.attributes().kind, data(&second)["data"]["label"].as_str()),
            ("subtask.complete", Some("cat"))
        );
        assert_ne!(first.id(), second.id(), "it is other news");
    }

    #[test]
    fn only_the_step_into_a_final_state_is_announced() {
        let owner = "client".parse().unwrap();
        let labels = LabelSet::parse(&["cat", "dog"]).unwrap();
        let mut s = subtask();
        assert_eq!(Event::of_subtask(None, &s, &owner, &labels), None);
        s.open(None);
        assert_eq!(Event::of_subtask(was(SubtaskState::Preparing), &s, &owner, &labels), None);
        let decision = Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(1.0), dispute: None };
        s.close(decision, OnDispute::Marked, Timestamp::from_millis(2));
        let event = Event::of_subtask(was(SubtaskState::Open), &s, &owner, &labels).unwrap();
        assert_eq!(event.id(), format!("{}/{}/2", s.task, s.image));
        assert_eq!(event.attributes().kind, "subtask.complete");
        let body: serde_json::Value = serde_json::from_str(&event.body().unwrap()).unwrap();
        assert_eq!(body["type"], "lambel.subtask.complete");
        assert_eq!(body["data"]["label"], "dog");
        // A late vote changes the record, but is no news, and the news is the same when it is told again.
        let vote = Vote {
            answer: Answer::Label(LabelIndex(0)),
            at: Timestamp::from_millis(3),
            elapsed_ms: None,
            earned: None,
        };
        s.cast(&"late".parse().unwrap(), vote, true, &Policy::default(), 2).unwrap();
        assert_eq!(s.rev, 3);
        let decided = Some(Was { state: SubtaskState::Complete, decided_rev: Some(2) });
        assert_eq!(Event::of_subtask(decided, &s, &owner, &labels), None);
        assert_eq!(Event::of_subtask(None, &s, &owner, &labels).unwrap().id(), event.id());
    }

    #[test]
    fn what_a_batch_decides_or_opens_again_is_announced_under_ids_of_its_own() {
        let owner = "client".parse().unwrap();
        let labels = LabelSet::parse(&["cat", "dog"]).unwrap();
        let mut s = subtask();
        s.open(None);
        let decision = Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(1.0), dispute: None };
        s.close(decision, OnDispute::Marked, Timestamp::from_millis(2));
        let first = Event::of_subtask(was(SubtaskState::Open), &s, &owner, &labels).unwrap();
        let before = Was::of(&s);
        let other = Decision { label: Some(LabelIndex(0)), ..decision };
        s.revise(other, DecidedBy::Batch, OnDispute::Marked, Timestamp::from_millis(3));
        let second = Event::of_subtask(Some(before), &s, &owner, &labels).unwrap();
        assert_eq!(
            (second.attributes().kind, second.id()),
            ("subtask.complete", &*format!("{}/{}/3", s.task, s.image))
        );
        assert_ne!(second.id(), first.id());
        let before = Was::of(&s);
        assert!(s.reopen(&Policy::default(), |_| None, Timestamp::from_millis(4)));
        let third = Event::of_subtask(Some(before), &s, &owner, &labels).unwrap();
        assert_eq!((third.attributes().kind, third.id()), ("subtask.reopened", &*format!("{}/{}/4", s.task, s.image)));
        let body: serde_json::Value = serde_json::from_str(&third.body().unwrap()).unwrap();
        assert_eq!((&body["data"]["state"], &body["data"]["label"]), (&"open".into(), &serde_json::Value::Null));
        assert_eq!(body["time"], "1970-01-01T00:00:00.004Z");
        // What happens to it afterwards is no news until it is decided.
        let before = Was::of(&s);
        s.lease(&"op".parse().unwrap(), Timestamp::from_millis(9), Timestamp::from_millis(5));
        assert_eq!(Event::of_subtask(Some(before), &s, &owner, &labels), None);
    }

    #[test]
    fn a_refused_image_is_announced_at_once() {
        let owner = "client".parse().unwrap();
        let labels = LabelSet::parse(&["cat", "dog"]).unwrap();
        let s = subtask();
        let refusal = Refusal { code: "empty".into(), detail: "the file is empty".into() };
        let s = Subtask::rejected(s.task, s.image, 0, refusal, Timestamp::from_millis(2));
        let event = Event::of_subtask(None, &s, &owner, &labels).unwrap();
        assert_eq!(event.attributes().kind, "subtask.rejected");
    }
}
