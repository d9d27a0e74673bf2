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

/// A subtask has reached its final state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubtaskEnded {
    /// The task.
    pub task: TaskId,
    /// The image.
    pub image: ImageId,
    /// How it ended: `complete`, `disputed` or `rejected`.
    pub state: SubtaskState,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// How sure it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// Why it is disputed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dispute: Option<Dispute>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    /// How many votes it took.
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
    /// The event of a subtask's change, if it is one that is announced: it was not final and is now.
    /// `before` is none if the record is new.
    pub fn of_subtask(
        before: Option<SubtaskState>,
        after: &Subtask,
        owner: &ClientId,
        labels: &LabelSet,
    ) -> Option<Self> {
        if !after.state.is_final() || before.is_some_and(SubtaskState::is_final) {
            return None;
        }
        let kind = match after.state {
            SubtaskState::Rejected => "subtask.rejected",
            SubtaskState::Disputed => "subtask.disputed",
            _ => "subtask.complete",
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
        let time = after.decided_at.unwrap_or(after.created_at);
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
        LabelIndex, Policy, Vote,
        consensus::Decision,
        subtask::{Answer, Picture, Preview},
    };

    fn subtask() -> Subtask {
        let picture = Picture { media_type: "image/png".into(), width: 1, height: 1 };
        let task = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap();
        Subtask::preparing(task, ImageId::MIN, 1, picture, Preview::NotNeeded, Timestamp::from_millis(1))
    }

    #[test]
    fn only_the_step_into_a_final_state_is_announced() {
        let owner = "client".parse().unwrap();
        let labels = LabelSet::parse(&["cat", "dog"]).unwrap();
        let mut s = subtask();
        assert_eq!(Event::of_subtask(None, &s, &owner, &labels), None);
        s.open(None);
        assert_eq!(Event::of_subtask(Some(SubtaskState::Preparing), &s, &owner, &labels), None);
        let decision = Decision { label: Some(LabelIndex(1)), confidence: Confidence::new(1.0), dispute: None };
        s.close(decision, Timestamp::from_millis(2));
        let event = Event::of_subtask(Some(SubtaskState::Open), &s, &owner, &labels).unwrap();
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
        assert_eq!(Event::of_subtask(Some(SubtaskState::Complete), &s, &owner, &labels), None);
        assert_eq!(Event::of_subtask(None, &s, &owner, &labels).unwrap().id(), event.id());
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
