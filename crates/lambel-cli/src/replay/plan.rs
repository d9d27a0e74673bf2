//! Who plays next, and with which votes: bookkeeping without any I/O.
//!
//! The plan follows every image that the file has votes for, with the votes it has got so far, and asks the
//! task's own rule whether it wants more. An annotator is worth sending when they have votes for images that
//! are open and want more than is promised by others; whoever has the most of them goes first, and among those who
//! have more than a turn can take, whoever has voted least.
//!
//! It ends: every turn of an annotator casts a vote, or counts against [`EMPTY_TURNS`].

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use lambel_core::{
    ImageId, LabelIndex, OperatorId, Policy, Timestamp, Vote,
    consensus::Verdict,
    subtask::{Answer, Votes},
};

/// So many turns without a vote, and an annotator is not sent again.
const EMPTY_TURNS: u32 = 5;

/// The place of an annotator in the plan.
pub(crate) type Annotator = usize;

/// Where an image stands, as far as is known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not in the pool yet.
    Unseen,
    Open,
    /// Decided or refused.
    Closed,
}

#[derive(Debug)]
struct Image {
    standing: Standing,
    votes: Votes,
    /// Votes that annotators who are at work now are expected to bring.
    promised: u32,
    /// Who has a vote for it.
    voters: Vec<Annotator>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Waiting,
    Resting(Instant),
    Playing,
    Done,
}

#[derive(Debug)]
struct Player {
    name: String,
    /// Their votes. One that is cast moves to `cast`.
    ballots: BTreeMap<ImageId, LabelIndex>,
    cast: BTreeSet<ImageId>,
    /// How many of the ballots are for images that are not closed: never less than what is useful.
    hopes: usize,
    promises: Vec<ImageId>,
    empty_turns: u32,
    started: bool,
    status: Status,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send this annotator.
    Play(Annotator),
    /// Others may bring what is wanted, or images are not open yet. Ask again after this time at the latest.
    Wait(Duration),
    /// There is nothing left that anybody could bring.
    Over,
}

/// The plan of a replay.
#[derive(Debug)]
pub(crate) struct Plan {
    policy: Policy,
    labels: usize,
    images: HashMap<ImageId, Image>,
    players: Vec<Player>,
    /// How many annotators may be sent in all.
    limit: usize,
    /// How many votes a turn is planned to bring at most.
    batch: usize,
    ended: bool,
    /// Images were opened again that somebody has a vote for.
    reopened: bool,
}

impl Plan {
    /// A plan over votes: annotator, image, label. The second of two votes of an annotator on the same image
    /// is left out; the number of those comes along.
    pub(crate) fn new(
        policy: Policy,
        labels: usize,
        votes: impl IntoIterator<Item = (String, ImageId, LabelIndex)>,
        limit: Option<usize>,
        batch: u32,
    ) -> (Self, u64) {
        let mut plan = Self {
            policy,
            labels,
            images: HashMap::new(),
            players: Vec::new(),
            limit: limit.unwrap_or(usize::MAX),
            batch: batch as usize,
            ended: false,
            reopened: false,
        };
        let mut places: HashMap<String, Annotator> = HashMap::new();
        let mut left_out = 0;
        for (name, image, label) in votes {
            let place = *places.entry(name.clone()).or_insert(plan.players.len());
            if place == plan.players.len() {
                plan.players.push(Player {
                    name,
                    ballots: BTreeMap::new(),
                    cast: BTreeSet::new(),
                    hopes: 0,
                    promises: Vec::new(),
                    empty_turns: 0,
                    started: false,
                    status: Status::Waiting,
                });
            }
            let player = &mut plan.players[place];
            if player.ballots.contains_key(&image) {
                left_out += 1;
                continue;
            }
            player.ballots.insert(image, label);
            player.hopes += 1;
            let new = || Image { standing: Standing::Unseen, votes: Votes::new(), promised: 0, voters: Vec::new() };
            plan.images.entry(image).or_insert_with(new).voters.push(place);
        }
        (plan, left_out)
    }

    pub(crate) fn name(&self, annotator: Annotator) -> &str {
        &self.players[annotator].name
    }

    /// How many images are known to be open, and are played for.
    pub(crate) fn open_images(&self) -> usize {
        self.images.values().filter(|image| image.standing == Standing::Open).count()
    }

    /// How many images are decided or refused, and how many there are.
    pub(crate) fn closed_of_all(&self) -> (usize, usize) {
        let closed = self.images.values().filter(|image| image.standing == Standing::Closed).count();
        (closed, self.images.len())
    }

    /// Whether there are images that are not in the pool yet and that somebody could still vote on.
    pub(crate) fn expects_images(&self) -> bool {
        let room = self.has_room();
        let can_play = |player: &Player| player.status != Status::Done && (player.started || room);
        self.images.values().any(|image| {
            image.standing == Standing::Unseen && image.voters.iter().any(|voter| can_play(&self.players[*voter]))
        })
    }

    /// Whether another annotator may be sent.
    fn has_room(&self) -> bool {
        self.players.iter().filter(|player| player.started).count() < self.limit
    }

    /// No more turns: the task is over.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// What to do now. An annotator who is sent is at work until [`Plan::rest`].
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        if self.ended {
            return Next::Over;
        }
        let room = self.has_room();
        let mut best = (0, Reverse(usize::MAX));
        let mut chosen = None;
        let mut soonest: Option<Duration> = None;
        let mut others_at_work = false;
        for (place, player) in self.players.iter().enumerate() {
            match player.status {
                Status::Playing => others_at_work = true,
                Status::Resting(until) if until > now => {
                    if self.todo(place).next().is_some() {
                        let wait = until - now;
                        soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait)));
                    }
                }
                // Who cannot come up to the best so far is not counted: with many annotators that is most of them.
                Status::Waiting | Status::Resting(_)
                    if player.hopes.min(self.batch) >= best.0.max(1) && (player.started || room) =>
                {
                    // Of those who could fill a turn, whoever has voted least: then all of them get to play.
                    let rank = (self.useful(place), Reverse(player.cast.len()));
                    if rank.0 > 0 && rank > best {
                        best = rank;
                        chosen = Some(place);
                    }
                }
                Status::Waiting | Status::Resting(_) | Status::Done => {}
            }
        }
        if let Some(place) = chosen {
            self.start(place);
            return Next::Play(place);
        }
        match soonest {
            Some(wait) => Next::Wait(wait),
            None if others_at_work || self.expects_images() => Next::Wait(Duration::from_millis(500)),
            None => Next::Over,
        }
    }

    fn start(&mut self, place: Annotator) {
        let promises: Vec<_> = self.todo(place).filter(|image| self.unpromised(image) > 0).take(self.batch).collect();
        for image in &promises {
            if let Some(image) = self.images.get_mut(image) {
                image.promised += 1;
            }
        }
        let player = &mut self.players[place];
        player.promises = promises;
        player.started = true;
        player.status = Status::Playing;
    }

    fn release(&mut self, place: Annotator) {
        for image in std::mem::take(&mut self.players[place].promises) {
            if let Some(image) = self.images.get_mut(&image) {
                image.promised -= 1;
            }
        }
    }

    /// The end of a turn after which there may be another, not before `wait` has gone by.
    pub(crate) fn rest(&mut self, place: Annotator, voted: bool, wait: Duration, now: Instant) {
        self.release(place);
        let has_more = self.todo(place).next().is_some();
        // While images are still to come, an empty turn says nothing.
        let empty = !voted && !self.images.values().any(|image| image.standing == Standing::Unseen);
        let player = &mut self.players[place];
        player.empty_turns = if voted { 0 } else { player.empty_turns + u32::from(empty) };
        let gives_up = player.empty_turns >= EMPTY_TURNS;
        player.status = match (gives_up, has_more) {
            (true, _) => Status::Done,
            (false, true) => Status::Resting(now + wait),
            // Perhaps for images that open later.
            (false, false) if player.hopes > 0 => Status::Waiting,
            (false, false) => Status::Done,
        };
    }

    /// How many more votes the task wants for an image that is open.
    fn wanted(&self, image: &ImageId) -> u32 {
        match self.images.get(image) {
            Some(known) if known.standing == Standing::Open => match self.policy.judge(self.labels, &known.votes) {
                Verdict::Undecided { wanted } => wanted,
                Verdict::Decided(_) => u32::from(self.is_unsure(known)),
            },
            _ => 0,
        }
    }

    /// Whether only the service knows if an open image is decided, since the votes weigh what it knows of operators.
    fn is_unsure(&self, image: &Image) -> bool {
        self.policy.rule.weighs() && image.votes.len() < self.policy.rule.max_labels() as usize
    }

    /// Whether the service has to be asked time and again which images are decided.
    pub(crate) fn must_ask(&self) -> bool {
        self.policy.rule.weighs()
    }

    fn unpromised(&self, image: &ImageId) -> u32 {
        let promised = self.images.get(image).map_or(0, |image| image.promised);
        self.wanted(image).saturating_sub(promised)
    }

    /// The images that an annotator has a vote for and that want it.
    pub(crate) fn todo(&self, place: Annotator) -> impl Iterator<Item = ImageId> {
        self.players[place].ballots.keys().copied().filter(|image| self.wanted(image) > 0)
    }

    /// How many votes one turn of an annotator could bring: a batch at most.
    fn useful(&self, place: Annotator) -> usize {
        // Most have far fewer; the cheap bound spares a look at every ballot of the others.
        self.todo(place).filter(|image| self.unpromised(image) > 0).take(self.batch).count()
    }

    /// The annotator's vote for an image, unless it is cast already.
    pub(crate) fn ballot(&self, place: Annotator, image: &ImageId) -> Option<LabelIndex> {
        self.players[place].ballots.get(image).copied()
    }

    /// Whether the annotator has voted on this image already: then it should not have been handed out.
    pub(crate) fn has_voted(&self, place: Annotator, image: &ImageId) -> bool {
        self.players[place].cast.contains(image)
    }

    /// A vote was taken. One that came late tells that the image is closed.
    pub(crate) fn voted(&mut self, place: Annotator, operator: &OperatorId, image: ImageId, late: bool) {
        let Some(label) = self.drop_ballot(place, &image) else { return };
        self.players[place].cast.insert(image);
        if late {
            self.close(image);
            return;
        }
        let Some(known) = self.images.get_mut(&image) else { return };
        let vote = Vote { answer: Answer::Label(label), at: Timestamp::default(), elapsed_ms: None, earned: None };
        known.votes.insert(operator.clone(), vote);
        let decided = matches!(self.policy.judge(self.labels, &known.votes), Verdict::Decided(_));
        if decided && !self.images.get(&image).is_some_and(|known| self.is_unsure(known)) {
            self.close(image);
        }
    }

    /// A vote that the service will never take.
    pub(crate) fn give_up(&mut self, place: Annotator, image: &ImageId) {
        self.drop_ballot(place, image);
    }

    fn drop_ballot(&mut self, place: Annotator, image: &ImageId) -> Option<LabelIndex> {
        let label = self.players[place].ballots.remove(image)?;
        let player = &mut self.players[place];
        if player.promises.contains(image) {
            player.promises.retain(|promise| promise != image);
            if let Some(image) = self.images.get_mut(image) {
                image.promised -= 1;
            }
        }
        if self.images.get(image).is_some_and(|image| image.standing != Standing::Closed) {
            self.players[place].hopes -= 1;
        }
        Some(label)
    }

    /// What the service says of an image. It does not tell the votes of an image that is open: those of an earlier
    /// replay are unknown here, and whoever cast them is not handed the image again.
    pub(crate) fn learn(&mut self, image: ImageId, standing: Standing) {
        match standing {
            Standing::Unseen => {}
            Standing::Closed => self.close(image),
            Standing::Open => {
                let Some(known) = self.images.get_mut(&image) else { return };
                match known.standing {
                    Standing::Unseen => known.standing = Standing::Open,
                    Standing::Closed if self.policy.rule.weighs() => self.reopen(image),
                    Standing::Open | Standing::Closed => {}
                }
            }
        }
    }

    /// The service has opened an image again: whoever has a vote for it may be wanted after all.
    fn reopen(&mut self, image: ImageId) {
        let Some(known) = self.images.get_mut(&image) else { return };
        known.standing = Standing::Open;
        for voter in &known.voters {
            let player = &mut self.players[*voter];
            if player.ballots.contains_key(&image) {
                player.hopes += 1;
                player.empty_turns = 0;
                if player.status == Status::Done {
                    player.status = Status::Waiting;
                }
                self.reopened = true;
            }
        }
    }

    /// Whether images were opened again that somebody has a vote for, since the last time that this was asked.
    pub(crate) fn take_reopened(&mut self) -> bool {
        std::mem::take(&mut self.reopened)
    }

    fn close(&mut self, image: ImageId) {
        let Some(known) = self.images.get_mut(&image) else { return };
        if known.standing == Standing::Closed {
            return;
        }
        known.standing = Standing::Closed;
        for voter in &known.voters {
            let player = &mut self.players[*voter];
            player.hopes -= usize::from(player.ballots.contains_key(&image));
        }
    }
}

/// How many subtasks to claim: so many that about a batch of votes comes of them, when `todo` of `open` images
/// have one.
pub(crate) fn claim_count(batch: u32, todo: usize, open: usize) -> u32 {
    let todo = u64::try_from(todo.max(1)).unwrap_or(u64::MAX);
    let open = u64::try_from(open).unwrap_or(u64::MAX).max(todo);
    let wanted = u64::from(batch).saturating_mul(open).div_ceil(todo);
    let limit = lambel_core::limits::CLAIM_COUNT;
    u32::try_from(wanted).unwrap_or(limit).clamp(batch.min(limit), limit)
}

/// After how many claims a turn has seen all it could see.
pub(crate) fn claims_of_turn(count: u32, open: usize) -> usize {
    3 + 2 * open.div_ceil(count.max(1) as usize)
}

#[cfg(test)]
mod tests {
    use lambel_core::api::{PolicyFields, RuleName};

    use super::*;

    fn image(name: &str) -> ImageId {
        ImageId::of(name.as_bytes())
    }

    fn operator(name: &str) -> OperatorId {
        name.parse().unwrap()
    }

    /// With a quorum of two, all images open.
    fn plan(votes: &[(&str, &str)], limit: Option<usize>) -> Plan {
        let policy = Policy::parse(&PolicyFields { quorum: Some(2), ..PolicyFields::default() }).unwrap();
        let rows = votes.iter().map(|(annotator, item)| ((*annotator).to_owned(), image(item), LabelIndex(0)));
        let (mut plan, left_out) = Plan::new(policy, 2, rows, limit, 100);
        assert_eq!(left_out, 0);
        votes.iter().for_each(|(_, item)| plan.learn(image(item), Standing::Open));
        plan
    }

    fn vote(plan: &mut Plan, place: Annotator, item: &str) {
        let operator = operator(plan.name(place));
        plan.voted(place, &operator, image(item), false);
    }

    #[test]
    fn whoever_has_voted_least_goes_first_where_everybody_has_plenty() {
        let rows = ["a", "b", "c"].iter().flat_map(|annotator| {
            (0..9).map(|item| ((*annotator).to_owned(), image(&item.to_string()), LabelIndex(0)))
        });
        let policy = Policy::parse(&PolicyFields { quorum: Some(3), ..PolicyFields::default() }).unwrap();
        let (mut plan, _) = Plan::new(policy, 2, rows, None, 2);
        (0..9).for_each(|item| plan.learn(image(&item.to_string()), Standing::Open));
        let now = Instant::now();
        let mut order = Vec::new();
        for item in 0..6 {
            let Next::Play(place) = plan.next(now) else { panic!("there is work") };
            vote(&mut plan, place, &item.to_string());
            plan.rest(place, true, Duration::ZERO, now);
            order.push(place);
        }
        order[..3].sort_unstable();
        order[3..].sort_unstable();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn who_has_most_goes_first_and_promises_count() {
        let votes = [("a", "1"), ("b", "1"), ("b", "2"), ("c", "1"), ("c", "2"), ("d", "1")];
        let mut plan = plan(&votes, None);
        let now = Instant::now();
        assert_eq!(plan.next(now), Next::Play(1));
        assert_eq!(plan.next(now), Next::Play(2));
        // Both images have all the promises that they want.
        assert!(matches!(plan.next(now), Next::Wait(_)));
        plan.rest(1, false, Duration::from_secs(60), now);
        assert_eq!(plan.next(now), Next::Play(0));
    }

    #[test]
    fn it_is_over_when_all_is_decided() {
        let mut plan = plan(&[("a", "1"), ("b", "1"), ("c", "1")], None);
        let now = Instant::now();
        for place in [0, 1] {
            assert_eq!(plan.next(now), Next::Play(place));
            vote(&mut plan, place, "1");
            assert!(plan.has_voted(place, &image("1")) && plan.ballot(place, &image("1")).is_none());
            plan.rest(place, true, Duration::ZERO, now);
        }
        assert_eq!(plan.closed_of_all(), (1, 1));
        assert_eq!(plan.next(now), Next::Over);
    }

    #[test]
    fn turns_without_votes_end() {
        let mut plan = plan(&[("a", "1")], None);
        let now = Instant::now();
        let mut turns = 0;
        while plan.next(now) != Next::Over {
            plan.rest(0, false, Duration::ZERO, now);
            turns += 1;
            assert!(turns <= EMPTY_TURNS);
        }
        assert_eq!(turns, EMPTY_TURNS);
    }

    #[test]
    fn images_that_are_not_open_yet_are_waited_for() {
        let policy = Policy::default();
        let (mut plan, _) = Plan::new(policy, 2, [("a".to_owned(), image("1"), LabelIndex(0))], None, 100);
        let now = Instant::now();
        assert!(matches!(plan.next(now), Next::Wait(_)) && plan.expects_images());
        plan.learn(image("1"), Standing::Open);
        assert_eq!(plan.next(now), Next::Play(0));
        plan.learn(image("1"), Standing::Closed);
        plan.rest(0, false, Duration::ZERO, now);
        assert_eq!(plan.next(now), Next::Over);
    }

    #[test]
    fn an_image_that_opens_again_is_voted_on_again() {
        for (rule, again) in [(RuleName::Adaptive, true), (RuleName::Majority, false)] {
            let policy = Policy::parse(&PolicyFields { rule: Some(rule), ..PolicyFields::default() }).unwrap();
            let rows = ["a", "b"].map(|annotator| (annotator.to_owned(), image("1"), LabelIndex(0)));
            let (mut plan, _) = Plan::new(policy, 2, rows, None, 100);
            plan.learn(image("1"), Standing::Open);
            vote(&mut plan, 0, "1");
            plan.learn(image("1"), Standing::Closed);
            assert_eq!((plan.next(Instant::now()), plan.take_reopened()), (Next::Over, false));
            plan.learn(image("1"), Standing::Open);
            assert_eq!((plan.take_reopened(), plan.take_reopened()), (again, false));
            assert_eq!(plan.next(Instant::now()), if again { Next::Play(1) } else { Next::Over });
        }
    }

    #[test]
    fn no_more_operators_than_asked_for() {
        let mut plan = plan(&[("a", "1"), ("b", "2"), ("c", "3")], Some(2));
        let now = Instant::now();
        assert_eq!(plan.next(now), Next::Play(0));
        assert_eq!(plan.next(now), Next::Play(1));
        for place in [0, 1] {
            vote(&mut plan, place, ["1", "2"][place]);
            plan.rest(place, true, Duration::ZERO, now);
        }
        assert_eq!(plan.next(now), Next::Over);
    }

    #[test]
    fn a_late_vote_closes_and_an_impossible_one_is_given_up() {
        let mut plan = plan(&[("a", "1"), ("a", "2"), ("b", "1")], None);
        plan.voted(0, &operator("a"), image("1"), true);
        assert_eq!(plan.todo(1).count(), 0);
        plan.give_up(0, &image("2"));
        assert_eq!(plan.next(Instant::now()), Next::Over);
    }

    #[test]
    fn two_names_of_one_image_are_one_vote() {
        let rows = [0, 1].map(|label| ("a".to_owned(), image("same"), LabelIndex(label)));
        let (plan, left_out) = Plan::new(Policy::default(), 2, rows, None, 100);
        assert_eq!((plan.ballot(0, &image("same")), left_out), (Some(LabelIndex(0)), 1));
    }

    #[test]
    fn rare_votes_need_large_claims() {
        assert_eq!(claim_count(20, 60, 60), 20);
        assert_eq!(claim_count(20, 30, 60), 40);
        assert_eq!(claim_count(20, 5, 250), 100);
        assert_eq!(claim_count(20, 0, 0), 20);
        assert_eq!(claim_count(100, 5, 5), 100);
        assert_eq!(claims_of_turn(100, 250), 9);
    }
}
