//! Votes from outside: telling a task of an import, and bringing its votes in.
//!
//! Telling is the Task Manager's, since the task and its trail change. Bringing in is the Subtask Manager's, which
//! owns votes and decisions: it goes the way of operators' votes, with one conditional write for each image instead
//! of each vote, and the same close.

use std::{
    collections::{BTreeMap, HashSet},
    iter,
};

use futures::{StreamExt, stream};
use lambel_core::{
    Deed, ImageId, OperatorId, Subtask, Task, TaskId, Timestamp, Vote,
    api::{BeginImport, BringAnswer, BringVotes, OutsideReceipt, OutsideVote, TaskView, VoteOutcome},
    import::{ImportError, NotBroughtIn},
    limits,
    subtask::{Answer, Cast},
};

use crate::{
    caller::{Caller, Role},
    error::{Error, Result},
    operate::Operators,
    ports::{Closing, SharedClock, SharedImports, SharedStore, StoreResult},
    tasks::{CHANGE_TRIES, Tasks},
};

/// Records that one request changes at the same time.
const AT_ONCE: usize = 20;
/// How often a record is read again because it has changed in between, or was closed.
const TRIES: usize = 6;

impl Tasks {
    /// Tells a task of an import. It is on the task's trail then, once; the same again changes nothing.
    pub async fn begin_import(&self, caller: &Caller, id: TaskId, request: &BeginImport) -> Result<TaskView> {
        for _ in 0..CHANGE_TRIES {
            let mut task = self.owned(caller, id).await?;
            if request.images > limits::IMAGES_PER_TASK {
                return Err(Error::invalid("images", format!("{} at most", limits::IMAGES_PER_TASK)));
            }
            if request.votes > limits::VOTES_PER_IMPORT {
                return Err(Error::invalid("votes", format!("{} at most", limits::VOTES_PER_IMPORT)));
            }
            let changed = task.begin_import(&request.import).map_err(|error| match error {
                ImportError::Ended(state) => Error::TaskEnded(state),
                ImportError::TooMany => Error::Conflict(error.to_string()),
            })?;
            let deed = Deed::ImportBegun {
                import: request.import.clone(),
                source: request.source.clone(),
                images: request.images,
                votes: request.votes,
            };
            if changed && !self.store.replace_task(&task, &self.entry(caller, deed)).await? {
                continue;
            }
            if changed {
                tracing::info!(task = %id, images = request.images, votes = request.votes, "import begun");
            }
            return self.view(&task).await;
        }
        Err(Error::Contended)
    }
}

/// Brings in votes from outside.
#[derive(Clone)]
pub struct VoteImports {
    store: SharedStore,
    imports: SharedImports,
    clock: SharedClock,
    operators: Operators,
}

/// Why a vote is not kept.
struct Refusal {
    code: &'static str,
    detail: String,
}

impl Refusal {
    fn new(code: &'static str, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string() }
    }

    fn try_again() -> Self {
        Self::new("try-again", "the vote could not be stored now; bring it in again")
    }
}

impl From<NotBroughtIn> for Refusal {
    fn from(reason: NotBroughtIn) -> Self {
        match reason {
            NotBroughtIn::NotOpen => Self::new("not-open", reason),
            NotBroughtIn::Refused => Self::new("image-refused", reason),
            NotBroughtIn::NoSlot => Self::new("no-slot", reason),
            NotBroughtIn::Decided => Self::try_again(),
            NotBroughtIn::TooManyLate => Self::new("too-many-late", reason),
        }
    }
}

/// What became of a vote.
type Fate = Result<Cast, Refusal>;

/// A vote that waits for its turn: its place in the request, and what it says.
struct Waiting {
    place: usize,
    operator: OperatorId,
    vote: Vote,
}

/// What a round has come to for one image.
enum Round {
    /// The record as it is now, and what became of each vote.
    Done(Box<Subtask>, Vec<Result<Cast, NotBroughtIn>>),
    /// Somebody else has changed the record in between.
    Lost,
}

impl VoteImports {
    /// Over these ports. `operators` closes what is decided.
    pub fn new(store: SharedStore, imports: SharedImports, clock: SharedClock, operators: Operators) -> Self {
        Self { store, imports, clock, operators }
    }

    /// Brings votes in, judges each alone, and closes what they decide. The same request again changes nothing.
    pub async fn bring(&self, caller: &Caller, id: TaskId, request: &BringVotes) -> Result<BringAnswer> {
        let client = caller.client()?;
        // What is not theirs is not there.
        let task = self.store.task(id).await?.filter(|task| task.owner == client || caller.is(Role::Admin));
        let task = task.ok_or(Error::TaskNotFound)?;
        if !(1..=limits::VOTES_BROUGHT_IN_PER_REQUEST).contains(&request.votes.len()) {
            let detail = format!("1 to {} votes in one request", limits::VOTES_BROUGHT_IN_PER_REQUEST);
            return Err(Error::invalid("votes", detail));
        }
        if task.state.is_final() {
            return Err(Error::TaskEnded(task.state));
        }
        if !task.imports.contains(&request.import) {
            let detail = format!("the task was not told of the import `{}`; tell it first", request.import);
            return Err(Error::Conflict(detail));
        }

        let now = self.clock.now();
        let mut fates: Vec<Option<Fate>> = iter::repeat_with(|| None).take(request.votes.len()).collect();
        let mut waiting: BTreeMap<ImageId, Vec<Waiting>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for (place, said) in request.votes.iter().enumerate() {
            let vote = match seen.insert((said.image, &said.operator)) {
                true => read_vote(&task, said, now),
                false => Err(Refusal::new("duplicate", "the request has another vote of this operator for this image")),
            };
            match vote {
                Ok(vote) => {
                    waiting.entry(said.image).or_default().push(Waiting {
                        place,
                        operator: said.operator.clone(),
                        vote,
                    });
                }
                Err(refusal) => fates[place] = Some(Err(refusal)),
            }
        }
        self.settle(&task, waiting, &mut fates).await?;

        let receipt = |(said, fate): (&OutsideVote, Option<Fate>)| {
            let (outcome, code, detail) = match fate.unwrap_or_else(|| Err(Refusal::try_again())) {
                Ok(Cast::Counted) => (VoteOutcome::Counted, None, None),
                Ok(Cast::Replaced) => (VoteOutcome::Replaced, None, None),
                Ok(Cast::Unchanged) => (VoteOutcome::Unchanged, None, None),
                Ok(Cast::Late) => (VoteOutcome::Late, None, None),
                Err(Refusal { code, detail }) => (VoteOutcome::Refused, Some(code.to_owned()), Some(detail)),
            };
            OutsideReceipt { image: said.image, operator: said.operator.clone(), outcome, code, detail }
        };
        Ok(BringAnswer { votes: request.votes.iter().zip(fates).map(receipt).collect() })
    }

    /// Brings in what waits, round by round: a record that has changed in between is read again, and what comes behind
    /// a decision waits until that is closed. What has no fate in the end can be tried again.
    async fn settle(
        &self,
        task: &Task,
        mut waiting: BTreeMap<ImageId, Vec<Waiting>>,
        fates: &mut [Option<Fate>],
    ) -> Result<()> {
        for _ in 0..TRIES {
            if waiting.is_empty() {
                return Ok(());
            }
            let images: Vec<ImageId> = waiting.keys().copied().collect();
            let known = self.store.subtasks(task, &images, true).await?;
            let mut known: BTreeMap<ImageId, Subtask> = known.into_iter().map(|s| (s.image, s)).collect();
            let rounds: Vec<_> = waiting
                .iter()
                .map(|(image, votes)| {
                    let seen = known.remove(image);
                    async move {
                        match seen {
                            Some(seen) => self.round(task, seen, votes).await.map(Some),
                            None => Ok(None),
                        }
                    }
                })
                .collect();
            let rounds: Vec<StoreResult<Option<Round>>> = stream::iter(rounds).buffered(AT_ONCE).collect().await;

            let mut closings = Vec::new();
            let mut left = BTreeMap::new();
            for ((image, votes), round) in waiting.into_iter().zip(rounds) {
                let (subtask, outcomes) = match round {
                    Ok(Some(Round::Done(subtask, outcomes))) => (subtask, outcomes),
                    Ok(Some(Round::Lost)) => {
                        left.insert(image, votes);
                        continue;
                    }
                    Ok(None) => {
                        let missing = || Refusal::new("image-not-found", "there is no such image in the task");
                        votes.iter().for_each(|vote| fates[vote.place] = Some(Err(missing())));
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(task = %task.id, image = %image, %error, "votes not stored");
                        continue;
                    }
                };
                for (vote, outcome) in votes.into_iter().zip(outcomes) {
                    match outcome {
                        Err(NotBroughtIn::Decided) => left.entry(image).or_insert_with(Vec::new).push(vote),
                        other => fates[vote.place] = Some(other.map_err(Refusal::from)),
                    }
                }
                // What was decided before too: perhaps whoever decided it was stopped before closing it.
                closings.extend(Closing::of(task, *subtask));
            }
            if !self.operators.close(task, closings).await {
                // The votes are stored. Sent again they are unchanged, and the decision is closed.
                return Err(Error::Contended);
            }
            waiting = left;
        }
        Ok(())
    }

    /// Brings the votes on one image into its record as it was read.
    async fn round(&self, task: &Task, seen: Subtask, votes: &[Waiting]) -> StoreResult<Round> {
        let mut after = seen.clone();
        let said = votes.iter().map(|waiting| (&waiting.operator, waiting.vote));
        let outcomes = after.bring_in(said, &task.policy, task.labels.len());
        if after.rev != seen.rev && !self.imports.bring_in(task, &seen, &after).await? {
            return Ok(Round::Lost);
        }
        Ok(Round::Done(Box::new(after), outcomes))
    }
}

fn read_vote(task: &Task, said: &OutsideVote, now: Timestamp) -> Result<Vote, Refusal> {
    if !said.operator.is_outside() {
        let detail = "whose votes come from outside is called `import:TOOL:NAME` or `model:NAME@VERSION`";
        return Err(Refusal::new("not-outside", detail));
    }
    let answer = match (&said.label, said.abstain) {
        (Some(label), None) => {
            let place = task.labels.index_of(label);
            Answer::Label(
                place.ok_or_else(|| Refusal::new("unknown-label", "the label is not one of the task's labels"))?,
            )
        }
        (None, Some(reason)) => Answer::Abstain(reason),
        _ => return Err(Refusal::new("no-answer", "a vote has either a label or a reason to abstain")),
    };
    // Nothing is known of who is outside: their votes weigh as those of anybody new.
    Ok(Vote { answer, at: said.at.unwrap_or(now).min(now), elapsed_ms: said.elapsed_ms, earned: None })
}
