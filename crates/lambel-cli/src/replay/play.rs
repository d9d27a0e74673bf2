//! Does what the plan says: annotators sign in, claim, vote, and give back.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use lambel_client::{Client, ClientError, SignIn, TokenSource};
use lambel_core::{
    ImageId, LabelIndex, OperatorId,
    api::{
        Claim, ImageState, LeaseRef, PageQuery, ReturnLeases, SubmitVotes, SubmittedVote, TaskView, VoteOutcome,
        VoteReceipt,
    },
};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::{
    exit::{Exit, Failure, Outcome},
    progress::Progress,
    replay::{
        accounts::Accounts,
        plan::{Annotator, Next, Plan, Standing, claim_count, claims_of_turn},
        report::{AnnotatorReport, Stop, Tally, Violation},
    },
    results::PAGE_ROWS,
};

/// How often the task is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pause of an annotator for whom there was nothing, where the service does not name one.
const PAUSE: Duration = Duration::from_secs(1);
/// How long the task may take to become complete after its last decision.
const LAST_STEP: Duration = Duration::from_secs(15);

/// How to play.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) batch: u32,
    pub(crate) patience: Duration,
}

/// A replay that goes on.
pub(crate) struct Stage<'a> {
    /// Signed in as somebody who may see the task.
    client: Client,
    sign_in: SignIn,
    accounts: Accounts,
    task: TaskView,
    options: Options,
    progress: &'a Progress,
    plan: Mutex<Plan>,
    actors: Mutex<HashMap<Annotator, Actor>>,
    violations: Mutex<Vec<Violation>>,
    /// When something last went on.
    active: Mutex<Instant>,
    /// Somebody had an empty turn: the plan may be wrong about what is open.
    doubtful: Mutex<bool>,
    changed: Notify,
}

/// A replay that has ended.
pub(crate) struct Played {
    pub(crate) stop: Stop,
    pub(crate) seconds: f64,
    pub(crate) task: TaskView,
    pub(crate) violations: Vec<Violation>,
    pub(crate) annotators: Vec<AnnotatorReport>,
}

/// An annotator who has signed in.
struct Actor {
    client: Client,
    operator: OperatorId,
    tally: Tally,
    /// What they were ever handed.
    seen: HashSet<ImageId>,
}

/// How one turn went.
#[derive(Default)]
struct Turn {
    voted: bool,
    wait: Option<Duration>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Stage<'a> {
    pub(crate) fn new(
        client: Client,
        sign_in: SignIn,
        accounts: Accounts,
        task: TaskView,
        plan: Plan,
        options: Options,
        progress: &'a Progress,
    ) -> Self {
        Self {
            client,
            sign_in,
            accounts,
            task,
            options,
            progress,
            plan: Mutex::new(plan),
            actors: Mutex::default(),
            violations: Mutex::default(),
            active: Mutex::new(Instant::now()),
            doubtful: Mutex::new(false),
            changed: Notify::new(),
        }
    }

    /// Plays to the end.
    pub(crate) async fn play(self, concurrency: u16) -> Outcome<Played> {
        self.look().await?;
        let began = Instant::now();
        *lock(&self.active) = began;
        let (stop, seconds, task) = loop {
            let stop = tokio::select! {
                played = try_join_all((0..concurrency).map(|_| self.worker())) => played.map(|_| Stop::VotesUsedUp)?,
                failed = self.keep_looking() => return Err(failed),
                () = self.lose_patience() => Stop::Stalled,
            };
            let seconds = began.elapsed().as_secs_f64();
            let task = self.last_look().await?;
            if task.state.is_final() || stop == Stop::Stalled || !self.goes_on().await? {
                break (stop, seconds, task);
            }
            *lock(&self.active) = Instant::now();
        };
        let stop = if task.state.is_final() { Stop::TaskOver } else { stop };
        let plan = self.plan.into_inner().unwrap_or_else(PoisonError::into_inner);
        let actors = self.actors.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut annotators: Vec<_> = actors
            .into_iter()
            .map(|(place, actor)| {
                let annotator = plan.name(place).to_owned();
                let username = self.accounts.username(&annotator);
                AnnotatorReport { annotator, username, operator: actor.operator, tally: actor.tally }
            })
            .collect();
        annotators.sort_by(|a, b| a.annotator.cmp(&b.annotator));
        let violations = self.violations.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Played { stop, seconds, task, violations, annotators })
    }

    /// Sends one annotator after the other.
    async fn worker(&self) -> Outcome {
        loop {
            // Registered before the plan is asked, so that no change is missed in between.
            let changed = self.changed.notified();
            let next = lock(&self.plan).next(Instant::now());
            match next {
                Next::Play(place) => {
                    let turn = self.turn(place).await?;
                    let wait = turn.wait.unwrap_or(PAUSE);
                    lock(&self.plan).rest(place, turn.voted, wait, Instant::now());
                    if !turn.voted {
                        *lock(&self.doubtful) = true;
                    }
                    self.changed.notify_waiters();
                }
                Next::Wait(wait) => {
                    // A change ends the wait; so does its time.
                    let _ = tokio::time::timeout(wait, changed).await;
                }
                Next::Over => return Ok(()),
            }
        }
    }

    /// One turn: claims, until the annotator has no vote left that is wanted, or has seen all there is.
    async fn turn(&self, place: Annotator) -> Outcome<Turn> {
        let known = lock(&self.actors).remove(&place);
        let mut actor = match known {
            Some(actor) => actor,
            None => self.enter(place).await?,
        };
        let outcome = self.claims(place, &mut actor).await;
        lock(&self.actors).insert(place, actor);
        match outcome {
            Err(error) if error.is_problem("task-ended") => {
                lock(&self.plan).end();
                Ok(Turn::default())
            }
            outcome => outcome.map_err(|error| {
                let name = lock(&self.plan).name(place).to_owned();
                Failure::from(error).about(format!("annotator `{name}`"))
            }),
        }
    }

    async fn enter(&self, place: Annotator) -> Outcome<Actor> {
        let name = lock(&self.plan).name(place).to_owned();
        let session = self.accounts.sign_in(&self.sign_in, &name).await?;
        let operator = session.subject().ok_or_else(|| {
            Failure::new(Exit::Failed, format!("the token of annotator `{name}` does not say who they are"))
        })?;
        let client = self.client.signed_in(TokenSource::session(self.sign_in.clone(), session));
        Ok(Actor { client, operator, tally: Tally::default(), seen: HashSet::new() })
    }

    async fn claims(&self, place: Annotator, actor: &mut Actor) -> Result<Turn, ClientError> {
        let mut turn = Turn::default();
        let mut seen = HashSet::new();
        let mut made = 0;
        loop {
            let (count, enough) = {
                let plan = lock(&self.plan);
                let (todo, open) = (plan.todo(place).count(), plan.open_images());
                let count = claim_count(self.options.batch, todo, open);
                (count, todo == 0 || plan.has_ended() || made >= claims_of_turn(count, open))
            };
            if enough {
                return Ok(turn);
            }
            made += 1;
            let answer = actor.client.claim(&Claim { task: Some(self.task.task), count }).await?;
            actor.tally.claims += 1;
            actor.tally.handed_out += answer.subtasks.len() as u64;
            turn.wait = answer.retry_after.map(|seconds| Duration::from_secs(seconds.into()));
            let images: Vec<_> = answer.subtasks.iter().map(|subtask| subtask.image).collect();
            let (ballots, others) = self.sort(place, &images);
            let (voted, returned) =
                tokio::join!(self.vote(place, actor, &ballots), self.give_back(&actor.client, &others));
            actor.tally.returned += returned?;
            let receipts = voted?;
            turn.voted |= self.note(place, actor, &receipts);
            // A whole batch: others may want to play too.
            if receipts.len() >= self.options.batch as usize {
                turn.wait = Some(Duration::ZERO);
                return Ok(turn);
            }

            let news = images.iter().filter(|image| actor.seen.insert(**image)).count();
            if news > 0 {
                *lock(&self.active) = Instant::now();
            }
            // Nothing, or nothing but what was seen in this turn: the walk has come round.
            if images.iter().filter(|image| seen.insert(**image)).count() == 0 {
                return Ok(turn);
            }
        }
    }

    /// What the annotator has a vote for, and what they give back. What they have voted on already should not
    /// be among it.
    fn sort(&self, place: Annotator, images: &[ImageId]) -> (Vec<(ImageId, LabelIndex)>, Vec<ImageId>) {
        let plan = lock(&self.plan);
        let mut ballots = Vec::new();
        let mut others = Vec::new();
        for image in images {
            if plan.has_voted(place, image) {
                let violation = Violation { annotator: plan.name(place).to_owned(), image: *image };
                lock(&self.violations).push(violation);
            }
            match plan.ballot(place, image) {
                Some(label) => ballots.push((*image, label)),
                None => others.push(*image),
            }
        }
        (ballots, others)
    }

    async fn vote(
        &self,
        place: Annotator,
        actor: &Actor,
        ballots: &[(ImageId, LabelIndex)],
    ) -> Result<Vec<VoteReceipt>, ClientError> {
        if ballots.is_empty() {
            return Ok(Vec::new());
        }
        let name = lock(&self.plan).name(place).to_owned();
        let votes = ballots.iter().map(|(image, label)| SubmittedVote {
            task: self.task.task,
            image: *image,
            label: self.task.labels.get(usize::from(label.0)).map(|label| label.as_str().to_owned()),
            abstain: None,
            elapsed_ms: Some(elapsed_ms(&name, image)),
        });
        let answer = actor.client.vote(&SubmitVotes { votes: votes.collect() }).await?;
        Ok(answer.votes)
    }

    async fn give_back(&self, client: &Client, images: &[ImageId]) -> Result<u64, ClientError> {
        if images.is_empty() {
            return Ok(0);
        }
        let subtasks = images.iter().map(|image| LeaseRef { task: self.task.task, image: *image });
        let answer = client.return_leases(&ReturnLeases { subtasks: subtasks.collect() }).await?;
        Ok(answer.returned.into())
    }

    /// Notes what became of votes. Whether any of them was taken.
    fn note(&self, place: Annotator, actor: &mut Actor, receipts: &[VoteReceipt]) -> bool {
        let mut plan = lock(&self.plan);
        let mut taken = false;
        for receipt in receipts {
            actor.tally.vote(receipt.outcome);
            match (receipt.outcome, receipt.code.as_deref()) {
                (VoteOutcome::Refused, Some("task-ended")) => plan.end(),
                // May work with another lease.
                (VoteOutcome::Refused, Some("not-leased" | "try-again")) => {}
                (VoteOutcome::Refused, _) => plan.give_up(place, &receipt.image),
                (outcome, _) => {
                    taken = true;
                    plan.voted(place, &actor.operator, receipt.image, outcome == VoteOutcome::Late);
                }
            }
        }
        if taken {
            *lock(&self.active) = Instant::now();
            let (closed, _) = plan.closed_of_all();
            self.progress.set(closed as u64, || "images decided".to_owned());
        }
        taken
    }

    /// Looks at the task now and then, for as long as the replay lasts.
    async fn keep_looking(&self) -> Failure {
        let mut pause = LOOK_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            if let Err(failure) = self.look_if_needed().await {
                return failure;
            }
            self.changed.notify_waiters();
            // A large task takes long to look at; that must not become most of the load.
            pause = LOOK_EVERY.max(began.elapsed() * 5);
        }
    }

    async fn look_if_needed(&self) -> Outcome {
        if self.client.task(self.task.task).await?.state.is_final() {
            lock(&self.plan).end();
            return Ok(());
        }
        let doubtful = std::mem::take(&mut *lock(&self.doubtful));
        let asks = {
            let plan = lock(&self.plan);
            plan.must_ask() || plan.expects_images()
        };
        if doubtful || asks {
            self.look().await?;
        }
        Ok(())
    }

    /// Whether the task's last batch has opened images again that somebody has a vote for.
    async fn goes_on(&self) -> Outcome<bool> {
        if !lock(&self.plan).must_ask() {
            return Ok(false);
        }
        self.look().await?;
        Ok(lock(&self.plan).take_reopened())
    }

    /// Learns where every image stands.
    async fn look(&self) -> Outcome {
        let mut query = PageQuery { cursor: None, limit: Some(PAGE_ROWS) };
        loop {
            let page = self.client.results(self.task.task, &query).await?;
            {
                let mut plan = lock(&self.plan);
                page.rows.iter().for_each(|row| plan.learn(row.image, standing(row.status.state)));
            }
            match page.next {
                Some(next) => query.cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// Ends when nothing has gone on for too long.
    async fn lose_patience(&self) {
        loop {
            let idle = lock(&self.active).elapsed();
            let Some(left) = self.options.patience.checked_sub(idle).filter(|left| !left.is_zero()) else { return };
            tokio::time::sleep(left).await;
        }
    }

    /// The task in the end. Where everything is decided it completes a moment later, by itself.
    async fn last_look(&self) -> Outcome<TaskView> {
        let deadline = Instant::now() + LAST_STEP;
        loop {
            let task = self.client.task(self.task.task).await?;
            let checked = task.progress.map_or(0, |counts| counts.accepted + counts.rejected);
            let decided = task.progress.is_some_and(|counts| counts.open == 0) && task.images == Some(checked);
            if task.state.is_final() || !decided || Instant::now() >= deadline {
                return Ok(task);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn standing(state: ImageState) -> Standing {
    match state {
        ImageState::Announced | ImageState::Preparing => Standing::Unseen,
        ImageState::Open => Standing::Open,
        ImageState::Complete | ImageState::Disputed | ImageState::Rejected => Standing::Closed,
    }
}

/// How long the annotator may have looked at the image: always the same, mostly a second or two.
fn elapsed_ms(annotator: &str, image: &ImageId) -> u32 {
    let digest = Sha256::new().chain_update(annotator).chain_update(image.digest()).finalize();
    let share = f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
    700 + (share.powi(3) * 6_000.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_plausible_and_repeat() {
        let image = ImageId::of(b"x");
        assert_eq!(elapsed_ms("a", &image), elapsed_ms("a", &image));
        for annotator in ["a", "b", "c", "d"] {
            assert!((700..=6_700).contains(&elapsed_ms(annotator, &image)));
        }
    }
}
