//! Who may do what, and how much of it: the use cases in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use lambel_core::{
    Deed, ImageId, OperatorId, Subtask, TaskId,
    api::{
        AudienceFields, Claim, CreateTask, ImagesQuery, LeaseRef, PageQuery, PauseOperator, PolicyFields, ReturnLeases,
        SealTask, SubmitVotes, SubmittedVote, TaskView, VoteOutcome,
    },
    limits,
    subtask::{Picture, Preview},
};
use lambel_memory::{ManualClock, MemoryObjects, MemoryStore};
use lambel_service::{
    Caller, Error, Role,
    operate::Operators,
    pace::Pace,
    ports::{Clock, Store},
    supervise::Supervisors,
    tasks::Tasks,
};

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    tasks: Tasks,
    operators: Operators,
    supervisors: Supervisors,
}

fn client(name: &str) -> Caller {
    Caller::new(name, [Role::Client])
}

fn operator(name: &str) -> Caller {
    Caller::new(name, [Role::Operator]).named(name.parse().ok())
}

fn admin() -> Caller {
    Caller::new("root", [Role::Admin]).named("ada".parse().ok())
}

fn id_of(name: &str) -> OperatorId {
    name.parse().unwrap()
}

fn everyone() -> AudienceFields {
    AudienceFields { everyone: true, ..AudienceFields::default() }
}

fn only(operators: &[&str], teams: &[&str]) -> AudienceFields {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    AudienceFields { everyone: false, operators: owned(operators), teams: owned(teams) }
}

fn create(audience: Option<AudienceFields>, quorum: u32) -> CreateTask {
    CreateTask {
        name: "birds".to_owned(),
        labels: vec!["owl".to_owned(), "wren".to_owned()],
        instructions: None,
        policy: Some(PolicyFields { quorum: Some(quorum), ..PolicyFields::default() }),
        audience,
        expected_images: None,
    }
}

impl World {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let objects = Arc::new(MemoryObjects::default());
        let clock = Arc::new(ManualClock::new());
        Self {
            tasks: Tasks::new(store.clone(), objects.clone(), clock.clone()),
            operators: Operators::new(store.clone(), objects, clock.clone()),
            supervisors: Supervisors::new(store.clone(), clock.clone()),
            store,
            clock,
        }
    }

    /// A task of alice's with open images.
    async fn task(&self, audience: Option<AudienceFields>, quorum: u32, images: u32) -> TaskId {
        let id = self.tasks.create(&client("alice"), &create(audience, quorum)).await.unwrap().task;
        let task = self.store.task(id).await.unwrap().unwrap();
        for n in 0..images {
            let picture = Picture { media_type: "image/png".to_owned(), width: 9, height: 9 };
            let image = ImageId::of(&n.to_be_bytes());
            let mut subtask = Subtask::preparing(id, image, 9, picture, Preview::NotNeeded, self.clock.now());
            subtask.open(None);
            self.store.record(&task, &[subtask]).await.unwrap();
        }
        id
    }

    async fn claim(&self, who: &Caller, task: TaskId, count: u32) -> Result<Vec<ImageId>, Error> {
        let answer = self.operators.claim(who, &Claim { task: Some(task), count }).await?;
        Ok(answer.subtasks.into_iter().map(|subtask| subtask.image).collect())
    }

    async fn vote(&self, who: &Caller, task: TaskId, image: ImageId) -> Result<(VoteOutcome, Option<String>), Error> {
        let label = Some("owl".to_owned());
        let vote = SubmittedVote { task, image, label, abstain: None, elapsed_ms: None };
        let mut answer = self.operators.vote(who, &SubmitVotes { votes: vec![vote] }).await?;
        let receipt = answer.votes.pop().unwrap();
        Ok((receipt.outcome, receipt.code))
    }

    async fn live_leases(&self, task: TaskId, who: &str) -> usize {
        let now = self.clock.now();
        let subtasks = self.store.all_subtasks(task);
        subtasks.iter().filter(|subtask| subtask.live_lease(&id_of(who), now).is_some()).count()
    }
}

#[tokio::test]
async fn somebody_elses_task_is_as_one_that_does_not_exist() {
    let world = World::new();
    let task = world.task(None, 1, 1).await;
    let mallory = client("mallory");
    let page = PageQuery::default();
    for id in [task, TaskId::random()] {
        let answers = [
            world.tasks.show(&mallory, id).await.map(drop),
            world.tasks.seal(&mallory, id, &SealTask { images: 0 }).await.map(drop),
            world.tasks.cancel(&mallory, id).await.map(drop),
            world.tasks.open_to(&mallory, id, &only(&[], &[])).await.map(drop),
            world.tasks.audit(&mallory, id, &page).await.map(drop),
            world.tasks.results(&mallory, id, &page).await.map(drop),
            world.tasks.images(&mallory, id, &ImagesQuery::default()).await.map(drop),
            world.tasks.image(&mallory, id, ImageId::MIN).await.map(drop),
        ];
        for answer in answers {
            assert!(matches!(answer, Err(Error::TaskNotFound)), "{answer:?}");
        }
    }
    assert!(world.tasks.list(&mallory, &page).await.unwrap().tasks.is_empty());
    assert!(world.tasks.show(&admin(), task).await.is_ok(), "admins look after every task");
}

#[tokio::test]
async fn a_task_that_is_kept_for_some_is_not_there_for_others() {
    let world = World::new();
    let task = world.task(Some(only(&["Anna"], &["birds"])), 2, 4).await;
    let (anna, otto) = (operator("anna"), operator("otto"));
    let tina = operator("tina").in_teams(["birds".parse().unwrap()]);
    assert_eq!(world.claim(&anna, task, 2).await.unwrap().len(), 2);
    assert_eq!(world.claim(&tina, task, 2).await.unwrap().len(), 2);

    // For otto it is as a task that does not exist, wherever he asks.
    for id in [task, TaskId::random()] {
        assert!(matches!(world.claim(&otto, id, 2).await, Err(Error::TaskNotFound)));
        let vote = world.vote(&otto, id, ImageId::MIN).await.unwrap();
        assert_eq!(vote, (VoteOutcome::Refused, Some("task-not-found".to_owned())));
        let lease = LeaseRef { task: id, image: ImageId::MIN };
        let returned = world.operators.give_back(&otto, &ReturnLeases { subtasks: vec![lease] }).await;
        assert!(matches!(returned, Err(Error::TaskNotFound)));
    }
    let any = world.operators.claim(&otto, &Claim { task: None, count: 5 }).await.unwrap();
    assert!(any.subtasks.is_empty());
    assert!(world.operators.work(&otto).await.unwrap().tasks.is_empty());
    assert_eq!(world.operators.work(&anna).await.unwrap().tasks.len(), 1);
    let any = world.operators.claim(&anna, &Claim { task: None, count: 5 }).await.unwrap();
    assert_eq!(any.subtasks.len(), 4);
}

#[tokio::test]
async fn the_audience_can_be_changed_and_what_is_leased_stays() {
    let world = World::new();
    let task = world.task(None, 1, 3).await;
    let (anna, otto) = (operator("anna"), operator("otto"));
    let held = world.claim(&otto, task, 1).await.unwrap();
    let alice = client("alice");
    let view = world.tasks.open_to(&alice, task, &only(&["anna"], &[])).await.unwrap();
    assert_eq!(view.audience, only(&["anna"], &[]));
    assert!(matches!(world.claim(&otto, task, 2).await, Err(Error::TaskNotFound)));
    assert_eq!(world.vote(&otto, task, held[0]).await.unwrap().0, VoteOutcome::Counted, "the lease was given");
    assert_eq!(world.claim(&anna, task, 3).await.unwrap().len(), 2);
    world.tasks.open_to(&alice, task, &everyone()).await.unwrap();
    assert!(world.claim(&otto, task, 2).await.is_ok());

    for bad in [only(&[], &[]), AudienceFields { everyone: true, ..only(&["anna"], &[]) }, only(&["a b"], &[])] {
        let refused = world.tasks.open_to(&alice, task, &bad).await.map(drop);
        assert!(matches!(refused, Err(Error::Invalid { field: "audience", .. })), "{refused:?}");
    }
    world.tasks.cancel(&alice, task).await.unwrap();
    assert!(matches!(world.tasks.open_to(&alice, task, &only(&["x"], &[])).await, Err(Error::TaskEnded(_))));
}

#[tokio::test]
async fn votes_of_others_are_not_shown_while_one_can_vote() {
    let world = World::new();
    let task = world.task(None, 2, 2).await;
    let alice = client("alice");
    for image in world.claim(&operator("anna"), task, 2).await.unwrap() {
        world.vote(&operator("anna"), task, image).await.unwrap();
    }
    let first = world.claim(&operator("bert"), task, 1).await.unwrap()[0];
    world.vote(&operator("bert"), task, first).await.unwrap();

    let shown = async || {
        let images = world.tasks.images(&alice, task, &ImagesQuery::default()).await.unwrap().images;
        let mut votes: Vec<_> = images.iter().map(|view| (view.image != first, view.status.votes.len())).collect();
        votes.sort_unstable();
        votes
    };
    assert_eq!(shown().await, [(false, 2), (true, 0)], "the first is decided, the other is open");
    world.tasks.cancel(&alice, task).await.unwrap();
    assert_eq!(shown().await, [(false, 2), (true, 1)], "nobody can vote any more");
}

#[tokio::test]
async fn a_paused_operator_claims_nothing_and_holds_nothing_and_their_votes_stay() {
    let world = World::new();
    let (one, two) = (world.task(None, 2, 5).await, world.task(None, 2, 5).await);
    let (anna, bert) = (operator("anna"), operator("bert"));
    let held = world.claim(&anna, one, 3).await.unwrap();
    world.claim(&anna, two, 2).await.unwrap();
    assert_eq!(world.vote(&anna, one, held[0]).await.unwrap().0, VoteOutcome::Counted);

    let because = PauseOperator { reason: Some("too fast".to_owned()) };
    for who in [&anna, &client("alice")] {
        let refused = world.supervisors.pause(who, &id_of("anna"), &because).await.map(drop);
        assert!(matches!(refused, Err(Error::RoleMissing { group: "admins" })), "{refused:?}");
    }
    let long = PauseOperator { reason: Some("x".repeat(limits::PAUSE_REASON_CHARS + 1)) };
    let refused = world.supervisors.pause(&admin(), &id_of("anna"), &long).await.unwrap_err();
    assert!(refused.to_string().contains("500 characters"), "{refused}");

    let view = world.supervisors.pause(&admin(), &id_of("anna"), &because).await.unwrap();
    assert_eq!((view.paused, view.returned), (true, Some(4)));
    assert_eq!(world.live_leases(one, "anna").await + world.live_leases(two, "anna").await, 0);
    assert!(matches!(world.claim(&anna, one, 1).await, Err(Error::Paused)));
    assert!(matches!(world.vote(&anna, one, held[1]).await, Err(Error::Paused)));
    assert!(matches!(world.operators.work(&anna).await, Err(Error::Paused)));
    let any = world.operators.claim(&anna, &Claim { task: None, count: 5 }).await.map(drop);
    assert!(matches!(any, Err(Error::Paused)));
    assert_eq!(world.claim(&bert, one, 5).await.unwrap().len(), 5, "the others can have it all");
    let voted = world.store.all_subtasks(one).into_iter().find(|subtask| subtask.image == held[0]).unwrap();
    assert_eq!(voted.votes.len(), 1, "the vote stays");
    // Again: nothing more to take, and nothing more on the trail.
    let again = world.supervisors.pause(&admin(), &id_of("anna"), &because).await.unwrap();
    assert_eq!((again.paused_at, again.returned), (view.paused_at, Some(0)));

    assert!(!world.supervisors.resume(&admin(), &id_of("anna")).await.unwrap().paused);
    assert_eq!(world.claim(&anna, two, 5).await.unwrap().len(), 5);
    let trail = world.supervisors.audit(&admin(), &id_of("anna"), &PageQuery::default()).await.unwrap().entries;
    let deeds: Vec<_> = trail.iter().map(|entry| (entry.actor.name.as_deref(), entry.deed.clone())).collect();
    let paused = Deed::OperatorPaused { reason: because.reason };
    assert_eq!(deeds, [(Some("ada"), Deed::OperatorResumed), (Some("ada"), paused)]);
}

#[tokio::test]
async fn the_trail_says_who_did_what() {
    let world = World::new();
    let task = world.task(Some(only(&["anna"], &[])), 1, 1).await;
    let alice = client("alice").named("Alice".parse().ok());
    world.tasks.open_to(&alice, task, &everyone()).await.unwrap();
    world.tasks.open_to(&alice, task, &everyone()).await.unwrap();
    world.tasks.seal(&alice, task, &SealTask { images: 9 }).await.unwrap();
    world.tasks.seal(&admin(), task, &SealTask { images: 1 }).await.unwrap();
    let image = world.claim(&operator("anna"), task, 1).await.unwrap()[0];
    world.vote(&operator("anna"), task, image).await.unwrap();
    world.tasks.seal(&alice, task, &SealTask { images: 1 }).await.unwrap();

    let read = async |cursor, limit| {
        let query = PageQuery { cursor, limit };
        world.tasks.audit(&client("alice"), task, &query).await.unwrap()
    };
    let all = read(None, None).await;
    let deeds: Vec<_> = all.entries.iter().map(|e| (e.actor.id.as_str(), e.deed.name())).collect();
    let expected = [
        ("lambel", "task-completed"),
        ("root", "task-sealed"),
        ("alice", "task-sealed"),
        ("alice", "audience-changed"),
        ("alice", "task-created"),
    ];
    assert_eq!(deeds, expected, "what changed nothing is not told");
    let first = read(None, Some(2)).await;
    let second = read(first.next.clone(), Some(2)).await;
    assert_eq!([first.entries, second.entries].concat(), all.entries[..4]);
    let bad = PageQuery { cursor: Some("x".to_owned()), limit: None };
    assert!(matches!(world.tasks.audit(&alice, task, &bad).await, Err(Error::Invalid { field: "cursor", .. })));
}

#[tokio::test]
async fn a_client_has_a_hundred_active_tasks_at_most() {
    let world = World::new();
    let alice = client("alice");
    let mut last: Option<TaskView> = None;
    for _ in 0..limits::ACTIVE_TASKS_PER_CLIENT {
        last = Some(world.tasks.create(&alice, &create(None, 1)).await.unwrap());
    }
    let refused = world.tasks.create(&alice, &create(None, 1)).await.unwrap_err();
    assert!(matches!(refused, Error::TooManyTasks) && refused.to_string().contains("100 tasks"), "{refused}");
    assert!(world.tasks.create(&client("bob"), &create(None, 1)).await.is_ok());
    world.tasks.cancel(&alice, last.unwrap().task).await.unwrap();
    assert!(world.tasks.create(&alice, &create(None, 1)).await.is_ok());
}

#[tokio::test]
async fn claims_at_the_same_time_do_not_exceed_the_live_leases() {
    let world = World::new();
    let task = world.task(None, 1, 400).await;
    let anna = operator("anna");
    let claims = (0..4).map(|_| world.claim(&anna, task, limits::CLAIM_COUNT));
    let handed = futures::future::try_join_all(claims).await.unwrap();
    let mut images: Vec<_> = handed.into_iter().flatten().collect();
    images.sort_unstable();
    images.dedup();
    assert_eq!(world.live_leases(task, "anna").await, limits::LIVE_LEASES);
    assert_eq!(images.len(), limits::LIVE_LEASES, "what was handed out is what is leased");
}

#[tokio::test]
async fn whoever_asks_without_end_is_told_when_to_go_on() {
    let world = World::new();
    let pace = || Pace::new(world.store.clone(), world.clock.clone());
    let (alice, bob) = (client("alice"), client("bob"));
    let copies = [pace(), pace()];
    let free = limits::REQUESTS_UNCOUNTED;
    let most = limits::REQUESTS_PER_WINDOW + 2 * free;
    for n in 0..most {
        let admitted = copies[n as usize % 2].admit(&alice).await;
        assert!(admitted.is_ok(), "{n} of {most}");
    }
    for copy in copies.iter().chain(&copies) {
        let Err(Error::TooManyRequests { retry_after }) = copy.admit(&alice).await else { panic!("over the limit") };
        assert!((1..=limits::REQUEST_WINDOW_SECONDS).contains(&retry_after));
    }
    assert!(copies[0].admit(&bob).await.is_ok(), "others are not held up");
    world.clock.pass(Duration::from_secs(limits::REQUEST_WINDOW_SECONDS.into()));
    assert!(copies[0].admit(&alice).await.is_ok());
}

/// A pause that comes at any point of a claim: the first of an operator in a task, one of somebody who holds
/// something, one of somebody who has given everything back, and one of somebody whose many leases have ended, so that
/// the same images can be leased again while the pause is at them.
#[tokio::test]
async fn a_pause_in_the_middle_of_a_claim_leaves_no_lease() {
    for before in ["first", "holds", "gave back", "ended"] {
        let mut refused = 0;
        for turns in 0..60 {
            let world = World::new();
            let task = world.task(None, 1, if before == "ended" { 80 } else { 30 }).await;
            let anna = operator("anna");
            if before != "first" {
                let held = world.claim(&anna, task, if before == "ended" { 80 } else { 2 }).await.unwrap();
                match before {
                    "gave back" => {
                        let subtasks = held.into_iter().map(|image| LeaseRef { task, image }).collect();
                        world.operators.give_back(&anna, &ReturnLeases { subtasks }).await.unwrap();
                    }
                    "ended" => world.clock.pass(Duration::from_secs(1_000)),
                    _ => {}
                }
            }
            let pause = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                world.supervisors.pause(&admin(), &id_of("anna"), &PauseOperator::default()).await.unwrap();
            };
            let (claimed, ()) = tokio::join!(world.claim(&anna, task, 20), pause);
            refused += u32::from(matches!(claimed, Err(Error::Paused)));
            assert_eq!(world.live_leases(task, "anna").await, 0, "{before}, after {turns} turns");
        }
        // A pause that has much to take back stores the record after the claim, always.
        let some = u32::from(before != "ended");
        assert!((some..60).contains(&refused), "{before}, {refused}: some pauses came before the end of the claim");
    }
}

/// The same for a claim that names no task and takes from several: being told of the pause at a later one must not leave
/// behind what was leased in an earlier one.
#[tokio::test]
async fn a_pause_in_the_middle_of_a_claim_of_several_tasks_leaves_no_lease() {
    for before in ["first", "has been there"] {
        let mut refused = 0;
        for turns in 0..80 {
            let world = World::new();
            let tasks = [world.task(None, 1, 3).await, world.task(None, 1, 3).await, world.task(None, 1, 3).await];
            let anna = operator("anna");
            if before != "first" {
                let subtasks = world.claim(&anna, tasks[0], 1).await.unwrap();
                let subtasks = subtasks.into_iter().map(|image| LeaseRef { task: tasks[0], image }).collect();
                world.operators.give_back(&anna, &ReturnLeases { subtasks }).await.unwrap();
            }
            let pause = async {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                world.supervisors.pause(&admin(), &id_of("anna"), &PauseOperator::default()).await.unwrap();
            };
            let claim = world.operators.claim(&anna, &Claim { task: None, count: 9 });
            let (claimed, ()) = tokio::join!(claim, pause);
            refused += u32::from(matches!(claimed, Err(Error::Paused)));
            for task in tasks {
                assert_eq!(world.live_leases(task, "anna").await, 0, "{before}, after {turns} turns");
            }
        }
        assert!((1..80).contains(&refused), "{refused}: some pauses came before the end of the claim, some after");
    }
}
