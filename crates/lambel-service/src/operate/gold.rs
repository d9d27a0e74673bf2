//! Gold among the work: what a claim gets of it, and what becomes of answers on it.
//!
//! Only tasks that hand out gold come here; in others a claim and a vote cost what they cost without it. What an
//! operator has of a task's gold is one record ([`GoldDesk`]), which a request reads once and writes once, however many
//! images of gold there are in it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lambel_core::{
    Gold, GoldDesk, ImageId, OperatorId, Subtask, SubtaskState, Task, TaskId, Timestamp, Vote,
    api::{SubmitVotes, SubmittedVote},
    gold::{from_place, how_many},
    limits,
    subtask::Cast,
};

use super::{Operators, REMEMBERED_FOR, Rejected};
use crate::{
    error::Result,
    ports::{Desk, SharedGold, SharedStore, StoreResult},
};

/// How long a copy of a function goes by the list of a task's gold that it has read.
const LISTED_FOR: Duration = Duration::from_secs(30);
/// How often a record is written anew when another request of the same operator came in between.
const TRIES: usize = 5;
/// Reads of one claim that look for gold on which the operator has not voted.
const READS: usize = 3;
/// Images of gold that one such read looks at beyond those that are wanted.
const SPARE: usize = 5;

/// What a copy of a function remembers: the gold of tasks, and until when that is believed.
type Lists = HashMap<TaskId, (Timestamp, Arc<Vec<Gold>>)>;

/// Mixes gold into the work.
#[derive(Clone)]
pub(super) struct Mixer {
    store: SharedStore,
    gold: SharedGold,
    lists: Arc<Mutex<Lists>>,
}

/// The gold of one claim.
pub(super) struct Share {
    desk: GoldDesk,
    /// What the operator holds already, as far as they have asked for so much.
    pub(super) held: Vec<(Subtask, Timestamp)>,
    /// Live leases, those among them that are not handed out by this claim.
    pub(super) live: usize,
    /// What they can get, the nearest first.
    ready: Vec<Subtask>,
    /// Gold that turned out to be what they have voted on.
    barred: BTreeSet<ImageId>,
    /// Which draw this is.
    turn: u64,
    /// How many they get; none as long as nothing was drawn.
    pub(super) drawn: Option<usize>,
}

impl Share {
    /// Draws how many of the next `fresh` images are gold.
    pub(super) fn draw(&mut self, task: &Task, fresh: usize, now: Timestamp) -> usize {
        let drawn = how_many(task, &self.desk, self.turn, fresh, now).min(self.ready.len());
        *self.drawn.insert(drawn)
    }
}

impl Mixer {
    pub(super) fn new(store: SharedStore, gold: SharedGold) -> Self {
        Self { store, gold, lists: Arc::default() }
    }

    /// The gold of a task, as it is or was a moment ago.
    async fn list(&self, task: TaskId, now: Timestamp) -> StoreResult<Arc<Vec<Gold>>> {
        let lists = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((until, list)) = lists().get(&task)
            && *until > now
        {
            return Ok(list.clone());
        }
        let list = Arc::new(self.gold.gold(task, None, limits::GOLD_PER_TASK as u32).await?);
        let mut lists = lists();
        lists.retain(|_, (until, _)| *until > now);
        lists.insert(task, (now.plus(LISTED_FOR), list.clone()));
        Ok(list)
    }

    /// What there is of gold for a claim of so many images. None in a task that has none.
    pub(super) async fn share(&self, task: &Task, desk: &Desk, wanted: usize, now: Timestamp) -> Result<Option<Share>> {
        if task.policy.gold_rate.is_none() {
            return Ok(None);
        }
        let list = self.list(task.id, now).await?;
        if list.is_empty() {
            return Ok(None);
        }
        let of_gold = self.desk(task.id, &desk.operator).await?;
        let is_gold = |image: &ImageId| list.binary_search_by_key(image, |gold| gold.image).is_ok();
        // What is gold no more is not handed out again.
        let mut held: Vec<_> = of_gold.held(now).filter(|(image, _)| is_gold(image)).collect();
        let live = held.len();
        held.truncate(wanted);
        let most = how_many(task, &of_gold, desk.rev, wanted - held.len(), now);
        // What they hold, or held a moment ago, as work stays work.
        let new = |gold: &&Gold| of_gold.may_get(&gold.image, now) && !desk.leases.contains_key(&gold.image);
        let mut candidates = from_place(&list, &desk.place).filter(new).map(|gold| gold.image);
        let mut share = Share {
            held: Vec::new(),
            live,
            ready: Vec::new(),
            barred: BTreeSet::new(),
            turn: desk.rev,
            drawn: None,
            desk: of_gold.clone(),
        };
        let mut reading: Vec<ImageId> = held.iter().map(|(image, _)| *image).collect();
        for _ in 0..READS {
            let missing = most - share.ready.len().min(most);
            let next: Vec<_> = candidates.by_ref().take(if missing > 0 { missing + SPARE } else { 0 }).collect();
            reading.extend(&next);
            if reading.is_empty() {
                break;
            }
            let read = self.store.subtasks(task, &std::mem::take(&mut reading), false).await?;
            let mut known: HashMap<ImageId, Subtask> =
                read.into_iter().map(|subtask| (subtask.image, subtask)).collect();
            for (image, until) in held.drain(..) {
                share.held.extend(known.remove(&image).filter(is_decided).map(|subtask| (subtask, until)));
            }
            for subtask in next.iter().filter_map(|image| known.remove(image)).filter(is_decided) {
                if subtask.votes.contains_key(&desk.operator) || subtask.late.contains_key(&desk.operator) {
                    share.barred.insert(subtask.image);
                } else {
                    share.ready.push(subtask);
                }
            }
        }
        Ok(Some(share))
    }

    /// Leases what was drawn, by one write. What another claim of theirs has leased in between is left out.
    pub(super) async fn lease(
        &self,
        share: Share,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<(Subtask, Timestamp)>> {
        let Share { mut desk, ready, barred, drawn, .. } = share;
        for _ in 0..TRIES {
            let drawn = ready.iter().take(drawn.unwrap_or(0)).filter(|subtask| desk.may_get(&subtask.image, now));
            let leased: Vec<_> = drawn.map(|subtask| (subtask.clone(), until)).collect();
            if leased.is_empty() && barred.is_subset(&desk.barred) {
                return Ok(Vec::new());
            }
            desk.forget(now, REMEMBERED_FOR);
            desk.barred.extend(&barred);
            desk.leases.extend(leased.iter().map(|(subtask, until)| (subtask.image, *until)));
            desk.rev += 1;
            if self.gold.put_gold_desk(&desk).await? {
                return Ok(leased);
            }
            desk = self.desk(desk.task, &desk.operator).await?;
        }
        // There is work all the same.
        tracing::warn!(task = %desk.task, operator = %desk.operator, "gold not handed out");
        Ok(Vec::new())
    }

    async fn desk(&self, task: TaskId, operator: &OperatorId) -> StoreResult<GoldDesk> {
        let found = self.gold.gold_desks(&[task], operator).await?.pop();
        Ok(found.unwrap_or_else(|| GoldDesk::new(task, operator.clone())))
    }

    /// What an operator has of the gold of those of these tasks that hand some out, by one read; no read where none does.
    pub(super) async fn desks(
        &self,
        tasks: impl Iterator<Item = &Task>,
        operator: &OperatorId,
    ) -> StoreResult<HashMap<TaskId, GoldDesk>> {
        let ids: Vec<TaskId> = tasks.filter(|task| !task.policy.gold_rate.is_none()).map(|task| task.id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let desks = self.gold.gold_desks(&ids, operator).await?;
        Ok(desks.into_iter().map(|desk| (desk.task, desk)).collect())
    }

    /// Takes answers on the gold of one task, by one write, and says what became of each.
    pub(super) async fn cast(
        &self,
        task: &Task,
        desk: &GoldDesk,
        votes: &[(ImageId, Vote)],
    ) -> Vec<Result<Cast, Rejected>> {
        match self.cast_all(task, desk.clone(), votes).await {
            Ok(Some(casts)) => casts,
            Ok(None) => votes.iter().map(|_| Err(Rejected::not_stored())).collect(),
            Err(error) => {
                tracing::warn!(task = %task.id, votes = votes.len(), %error, "votes not stored");
                votes.iter().map(|_| Err(Rejected::not_stored())).collect()
            }
        }
    }

    async fn cast_all(
        &self,
        task: &Task,
        mut desk: GoldDesk,
        votes: &[(ImageId, Vote)],
    ) -> StoreResult<Option<Vec<Result<Cast, Rejected>>>> {
        for _ in 0..TRIES {
            let before = desk.clone();
            let cast =
                |(image, vote): &(ImageId, Vote)| desk.cast(*image, *vote, task).map_err(|_| Rejected::not_leased());
            let casts = votes.iter().map(cast).collect();
            if desk == before {
                return Ok(Some(casts));
            }
            desk.rev += 1;
            if self.gold.put_gold_desk(&desk).await? {
                return Ok(Some(casts));
            }
            desk = self.desk(task.id, &before.operator).await?;
        }
        Ok(None)
    }

    /// Gives back those of these images that are held as gold, says how many there were, and which images are left.
    pub(super) async fn give_back(&self, task: &Task, desk: &Desk, images: &[ImageId]) -> Result<(u32, Vec<ImageId>)> {
        let mut left = images.to_vec();
        if task.policy.gold_rate.is_none() {
            return Ok((0, left));
        }
        for _ in 0..TRIES {
            let mut of_gold = self.desk(task.id, &desk.operator).await?;
            let is_gold = |image: &ImageId| is_gold(&of_gold, desk, image);
            let given: HashSet<ImageId> = images.iter().copied().filter(is_gold).collect();
            left = images.iter().copied().filter(|image| !given.contains(image)).collect();
            let returned = given.iter().filter(|image| of_gold.give_back(image)).count() as u32;
            if returned == 0 {
                return Ok((0, left));
            }
            of_gold.rev += 1;
            if self.gold.put_gold_desk(&of_gold).await? {
                return Ok((returned, left));
            }
        }
        tracing::warn!(task = %task.id, operator = %desk.operator, "gold not given back");
        Ok((0, left))
    }
}

/// What has become of a vote so far.
pub(super) enum Received {
    /// It was cast.
    Work(Cast, Box<Subtask>),
    /// It is an answer on gold, which is taken with the others of its task.
    Gold(Vote),
}

impl Received {
    /// The subtask that a vote was cast on.
    pub(super) fn subtask(&self) -> Option<&Subtask> {
        match self {
            Self::Work(_, subtask) => Some(subtask),
            Self::Gold(_) => None,
        }
    }
}

impl Operators {
    /// Takes the answers on gold among the votes of a request, and says what became of every vote.
    pub(super) async fn settle_gold(
        &self,
        request: &SubmitVotes,
        received: Vec<Result<Received, Rejected>>,
        desks: &HashMap<TaskId, (Option<Task>, Desk)>,
        of_gold: &HashMap<TaskId, GoldDesk>,
    ) -> Vec<Result<Cast, Rejected>> {
        let mut by_task: BTreeMap<TaskId, Vec<(ImageId, Vote)>> = BTreeMap::new();
        for (vote, received) in request.votes.iter().zip(&received) {
            if let Ok(Received::Gold(cast)) = received {
                by_task.entry(vote.task).or_default().push((vote.image, *cast));
            }
        }
        let mut settled: HashMap<(TaskId, ImageId), Result<Cast, Rejected>> = HashMap::new();
        for (id, votes) in by_task {
            if let (Some((Some(task), _)), Some(desk)) = (desks.get(&id), of_gold.get(&id)) {
                let casts = self.gold.cast(task, desk, &votes).await;
                settled.extend(votes.iter().zip(casts).map(|((image, _), cast)| ((id, *image), cast)));
            }
        }
        let cast = |(vote, received): (&SubmittedVote, Result<Received, Rejected>)| match received? {
            Received::Work(cast, _) => Ok(cast),
            Received::Gold(_) => {
                settled.remove(&(vote.task, vote.image)).unwrap_or_else(|| Err(Rejected::not_stored()))
            }
        };
        request.votes.iter().zip(received).map(cast).collect()
    }
}

/// Whether an image is gold to this operator. What was handed to them as work is not, whatever it was before.
pub(super) fn is_gold(of_gold: &GoldDesk, desk: &Desk, image: &ImageId) -> bool {
    of_gold.knows(image) && !desk.leases.contains_key(image)
}

/// An image that takes votes is work, also if it is gold.
fn is_decided(subtask: &Subtask) -> bool {
    matches!(subtask.state, SubtaskState::Complete | SubtaskState::Disputed)
}

/// Takes back what an operator holds of the gold of a task. Says how many leases there were.
///
/// Also a record without leases is changed, so that a claim under way which has read it notices.
pub(crate) async fn take_back(gold: &SharedGold, task: &Task, operator: &OperatorId) -> Result<u32> {
    if task.policy.gold_rate.is_none() {
        return Ok(0);
    }
    for _ in 0..TRIES {
        let Some(mut desk) = gold.gold_desks(&[task.id], operator).await?.pop().filter(|desk| desk.rev > 0) else {
            return Ok(0);
        };
        let returned = desk.leases.len() as u32;
        desk.leases.clear();
        desk.rev += 1;
        if gold.put_gold_desk(&desk).await? {
            return Ok(returned);
        }
    }
    Err(crate::Error::Contended)
}
