//! What clients, operators and admins begin.

use lambel_core::{
    ImageId, LabelIndex, OnDispute, OperatorId, Task, TaskId,
    api::{
        AnnounceFiles, AudienceFields, Claim, CreateTask, FileAnnouncement, ImagesQuery, LeaseRef, PageQuery,
        PauseOperator, PolicyFields, ReturnLeases, RuleName, SealTask, SubmitVotes, SubmittedVote,
    },
    subtask::{Abstention, Answer},
};
use lambel_service::{Caller, Role};

use super::{
    calls::{Call, Done},
    pictures::PICTURES,
};
use crate::{model::VoteKey, sim::Sim};

/// What one operator knows.
#[derive(Default)]
pub(super) struct Operator {
    /// What they were handed and have not voted on.
    pub(super) hand: Vec<(TaskId, ImageId)>,
    /// What they have voted on, or tried to.
    pub(super) voted: Vec<(TaskId, ImageId)>,
    pub(super) last: Option<Vec<SubmittedVote>>,
    /// The step at which a claim of theirs last ended.
    pub(super) claim_ended: Option<u64>,
}

pub(super) fn operator_name(number: usize) -> String {
    format!("op-{number}")
}

pub(super) fn operator_id(number: usize) -> OperatorId {
    operator_name(number).parse().unwrap()
}

pub(super) fn operator_caller(number: usize) -> Caller {
    let team = if number.is_multiple_of(2) { "even" } else { "odd" };
    Caller::new(operator_name(number), [Role::Operator]).in_teams([team.parse().unwrap()])
}

pub(super) fn admin() -> Caller {
    Caller::new("root", [Role::Admin])
}

pub(super) fn short(image: &ImageId) -> String {
    image.to_string()[..8].to_owned()
}

pub(super) fn everyone() -> AudienceFields {
    AudienceFields { everyone: true, ..AudienceFields::default() }
}

impl Sim {
    pub(super) fn owner(task: &Task) -> Caller {
        Caller::new(task.owner.to_string(), [Role::Client])
    }

    pub(super) fn create(&mut self) -> Option<()> {
        let active = self.model.tasks.values().filter(|task| !task.state.is_final()).count();
        if active >= self.options.tasks {
            return None;
        }
        let client = self.chance.below(self.options.clients);
        let quorum = 1 + self.chance.below(3) as u32;
        let labels = 2 + self.chance.below(2);
        let rule = match (quorum, labels) {
            (2, 3) => RuleName::Lead,
            (3, _) => RuleName::Adaptive,
            _ => RuleName::Majority,
        };
        let request = CreateTask {
            name: "things".to_owned(),
            labels: ["cat", "dog", "cow"][..labels].iter().map(|label| (*label).to_owned()).collect(),
            instructions: None,
            policy: Some(PolicyFields {
                rule: Some(rule),
                quorum: (rule == RuleName::Majority).then_some(quorum),
                lead: (rule == RuleName::Lead).then_some(quorum),
                confidence: (rule == RuleName::Adaptive).then(|| [0.95, 0.99, 0.999][self.chance.below(3)]),
                // Where images may open again there is room for some votes more.
                max_labels: Some(quorum + self.chance.below(4) as u32 + 3 * u32::from(rule == RuleName::Adaptive)),
                max_abstentions: Some(1 + self.chance.below(3) as u32),
                lease_seconds: Some([2, 20, 900][self.chance.below(3)]),
                disputed: [None, Some(OnDispute::Review), Some(OnDispute::Best)][self.chance.below(3)],
                ..PolicyFields::default()
            }),
            audience: None,
            expected_images: [Some(100), None][self.chance.below(2)],
        };
        let caller = Caller::new(format!("client-{client}"), [Role::Client]);
        let tasks = self.tasks.clone();
        let job = async move { Done::Create(tasks.create(&caller, &request).await) };
        self.begin(Call::Create, job, format_args!("client-{client}, quorum {quorum}"));
        Some(())
    }

    pub(super) fn announce(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let mut files = Vec::new();
        for _ in 0..=self.chance.below(if self.options.images > 100 { 60 } else { 5 }) {
            let picture = self.chance.below(self.options.images.min(PICTURES.len()));
            // Sometimes a second name for the same picture, sometimes a name that another picture has.
            let name = match self.chance.below(20) {
                0 => format!("again/{picture}.png"),
                1 => format!("{}.png", picture / 2),
                _ => format!("{picture}.png"),
            };
            files.push((name, picture));
        }
        let announcements = files.iter().map(|(name, picture)| FileAnnouncement {
            name: name.clone(),
            bytes: PICTURES[*picture].1.len() as u64,
            media_type: "image/png".to_owned(),
            sha256: PICTURES[*picture].0.to_string(),
        });
        let request = AnnounceFiles { files: announcements.collect() };
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(&task), task.id);
        let job = async move { Done::Announce(tasks.announce(&caller, id, &request).await) };
        let what = files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ");
        self.begin(Call::Announce { task: id, files }, job, format_args!("{id} {what}"));
        Some(())
    }

    pub(super) fn uploaded(&self, task: TaskId) -> u64 {
        self.model.uploaded.iter().filter(|(of, _)| *of == task).count() as u64
    }

    pub(super) fn seal(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let right = self.uploaded(task.id);
        // Not before most is there, or tasks would end before they begin.
        if right == 0 || ((right as usize) < self.options.images / 2 && self.chance.below(8) > 0) {
            return None;
        }
        // Sometimes the client has miscounted.
        let images = match self.chance.below(8) {
            0 => right + 1 + self.chance.below(3) as u64,
            1 => right.saturating_sub(1),
            _ => right,
        };
        self.seal_with(&task, images)
    }

    pub(super) fn seal_with(&mut self, task: &Task, images: u64) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let job = async move { Done::Change(tasks.seal(&caller, id, &SealTask { images }).await) };
        self.begin(Call::Seal { task: id, images }, job, format_args!("{id} with {images}"));
        Some(())
    }

    pub(super) fn cancel(&mut self, task: &Task) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let job = async move { Done::Change(tasks.cancel(&caller, id).await) };
        self.begin(Call::Cancel { task: id }, job, format_args!("{id}"));
        Some(())
    }

    pub(super) fn open_to(&mut self, task: &Task, audience: AudienceFields) -> Option<()> {
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(task), task.id);
        let what = format!("{audience:?}");
        let job = async move { Done::Change(tasks.open_to(&caller, id, &audience).await) };
        self.begin(Call::OpenTo, job, format_args!("{id} {what}"));
        Some(())
    }

    pub(super) fn read(&mut self) -> Option<()> {
        let task = self.any_task()?;
        let (tasks, caller, id) = (self.tasks.clone(), Self::owner(&task), task.id);
        let operators = self.copies[0].clone();
        let what = self.chance.below(6);
        let worker = operator_caller(self.chance.below(self.options.operators));
        let job = async move {
            let page = PageQuery::default();
            // What they say is checked at the end; under way they are there to be in each other's way.
            match what {
                0 => drop(tasks.list(&caller, &page).await),
                1 => drop(tasks.show(&caller, id).await),
                2 => drop(tasks.results(&caller, id, &page).await),
                3 => drop(tasks.images(&caller, id, &ImagesQuery::default()).await),
                4 => drop(tasks.audit(&caller, id, &page).await),
                _ => drop(operators.work(&worker).await),
            }
            Done::Read
        };
        self.begin(Call::Read, job, format_args!("{id} {what}"));
        Some(())
    }

    pub(super) fn claim(&mut self, operator: usize, task: Option<TaskId>, count: u32) -> Option<()> {
        let copy = self.chance.below(self.copies.len());
        let (operators, caller) = (self.copies[copy].clone(), operator_caller(operator));
        let job = async move { Done::Claim(operators.claim(&caller, &Claim { task, count }).await) };
        let of = task.map_or_else(|| "any task".to_owned(), |task| task.to_string());
        self.begin(Call::Claim { operator, copy }, job, format_args!("{} {count} of {of}", operator_name(operator)));
        Some(())
    }

    /// The label that most would give.
    pub(super) fn truth(image: &ImageId, labels: usize) -> u16 {
        u16::from(image.digest()[31]) % labels as u16
    }

    pub(super) fn vote(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        if self.chance.below(20) == 0
            && let Some(votes) = self.people[operator].last.clone()
        {
            // The same request again, as a program does that has got no answer.
            return self.send_votes(operator, votes);
        }
        let mut images = Vec::new();
        for _ in 0..=self.chance.below(6) {
            let person = &self.people[operator];
            let image = match self.chance.below(20) {
                0 => self.chance.pick(&person.voted).copied(),
                1 if !self.model.records.is_empty() => {
                    let place = self.chance.below(self.model.records.len());
                    self.model.records.keys().nth(place).copied()
                }
                _ => self.chance.pick(&person.hand).copied(),
            };
            images.extend(image);
        }
        if self.chance.below(10) > 0 {
            images.sort_unstable();
            images.dedup();
        }
        let votes: Vec<_> = images.into_iter().map(|(task, image)| self.submitted(task, image)).collect();
        (!votes.is_empty()).then_some(())?;
        self.send_votes(operator, votes)
    }

    pub(super) fn submitted(&mut self, task: TaskId, image: ImageId) -> SubmittedVote {
        let labels = &self.model.tasks[&task].labels;
        let abstains = self.chance.below(12) == 0;
        let place = match self.chance.below(4) {
            0 => self.chance.below(labels.len()) as u16,
            _ => Self::truth(&image, labels.len()),
        };
        let label = labels.get(LabelIndex(place)).map(|label| label.as_str().to_owned());
        SubmittedVote {
            task,
            image,
            label: label.filter(|_| !abstains),
            abstain: abstains.then_some(Abstention::Unclear),
            elapsed_ms: Some(900),
        }
    }

    pub(super) fn send_votes(&mut self, operator: usize, votes: Vec<SubmittedVote>) -> Option<()> {
        let who = operator_id(operator);
        let mut expected: Vec<(VoteKey, Option<Answer>)> = Vec::new();
        for vote in &votes {
            let key = (vote.task, vote.image, who.clone());
            let label = vote.label.as_ref().and_then(|label| self.model.tasks[&vote.task].labels.index_of(label));
            let answer = label.map(Answer::Label).or(vote.abstain.map(Answer::Abstain));
            // The second vote of a request for the same image is refused.
            let answer = answer.filter(|_| expected.iter().all(|(other, _)| *other != key));
            if let Some(answer) = answer {
                self.model.sent(key.clone(), answer);
            }
            expected.push((key, answer));
            self.people[operator].voted.push((vote.task, vote.image));
        }
        self.people[operator].last = Some(votes.clone());
        let copy = self.chance.below(self.copies.len());
        let (operators, caller) = (self.copies[copy].clone(), operator_caller(operator));
        let what: Vec<_> = votes
            .iter()
            .map(|vote| format!("{}={}", short(&vote.image), vote.label.as_deref().unwrap_or("abstains")))
            .collect();
        let job = async move { Done::Vote(operators.vote(&caller, &SubmitVotes { votes }).await) };
        let call = Call::Vote { operator, copy, votes: expected };
        self.begin(call, job, format_args!("{} {}", operator_name(operator), what.join(" ")));
        Some(())
    }

    pub(super) fn give_back(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        let hand = &self.people[operator].hand;
        let first = self.chance.pick(hand).copied()?;
        let some = 1 + self.chance.below(4);
        let mut subtasks: Vec<_> = hand.iter().take(some).copied().chain([first]).collect();
        subtasks.sort_unstable();
        subtasks.dedup();
        let leases: Vec<_> = subtasks.into_iter().map(|(task, image)| LeaseRef { task, image }).collect();
        let request = ReturnLeases { subtasks: leases.clone() };
        let (operators, caller) = (self.copies[0].clone(), operator_caller(operator));
        let job = async move { Done::GiveBack(operators.give_back(&caller, &request).await.is_ok()) };
        let count = leases.len();
        self.begin(
            Call::GiveBack { operator, leases },
            job,
            format_args!("{} {count} leases", operator_name(operator)),
        );
        Some(())
    }

    pub(super) fn pause(&mut self) -> Option<()> {
        let operator = self.chance.below(self.options.operators);
        let supervisors = self.supervisors.clone();
        let job = async move {
            let reason = PauseOperator { reason: None };
            Done::Pause(supervisors.pause(&admin(), &operator_id(operator), &reason).await.map(drop))
        };
        self.begin(Call::Pause { operator }, job, format_args!("{}", operator_name(operator)));
        Some(())
    }

    pub(super) fn resume(&mut self, operator: usize) -> Option<()> {
        let who = operator_id(operator);
        // From here on nobody can be sure.
        self.model.paused.remove(&who);
        let supervisors = self.supervisors.clone();
        let job = async move { Done::Pause(supervisors.resume(&admin(), &operator_id(operator)).await.map(drop)) };
        self.resumed.insert(who.clone(), self.model.step);
        self.begin(Call::Resume { operator }, job, format_args!("{who}"));
        Some(())
    }
}
