use proptest::prelude::*;

use super::*;
use crate::{
    Audience, LabelSet, Shards,
    api::{PolicyFields, RuleName},
    subtask::Abstention,
};

const NOW: fn() -> Timestamp = || Timestamp::from_millis(1_000_000);

fn task(policy: PolicyFields) -> Task {
    Task {
        id: "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap(),
        owner: "client".parse().unwrap(),
        name: "cats".into(),
        labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
        instructions: String::new(),
        policy: Policy::parse(&policy).unwrap(),
        audience: Audience::Everyone,
        shards: Shards::for_images(None),
        state: TaskState::Open,
        images: None,
        created_at: NOW(),
        sealed_at: None,
        ended_at: None,
        imports: Default::default(),
        rev: 0,
    }
}

fn of_rate(rate: f64) -> Task {
    task(PolicyFields { gold_rate: Some(rate), ..PolicyFields::default() })
}

fn desk(n: usize) -> GoldDesk {
    GoldDesk::new(of_rate(0.1).id, format!("op-{n}").parse().unwrap())
}

fn image(n: u32) -> ImageId {
    ImageId::of(&n.to_be_bytes())
}

fn label(place: u16, at: Timestamp) -> Vote {
    Vote { answer: Answer::Label(LabelIndex(place)), at, elapsed_ms: Some(700), earned: None }
}

fn after(seconds: u64) -> Timestamp {
    NOW().plus(Duration::from_secs(seconds))
}

#[test]
fn an_answer_counts_once_and_can_be_changed_for_a_while() {
    let task = of_rate(0.1);
    let mut desk = desk(1);
    assert_eq!(desk.cast(image(1), label(0, NOW()), &task), Err(NotLeased));
    desk.leases.insert(image(1), after(900));
    assert_eq!(desk.cast(image(1), label(0, NOW()), &task), Ok(Cast::Counted));
    assert!(desk.leases.is_empty() && desk.knows(&image(1)) && !desk.may_get(&image(1), NOW()));
    assert_eq!(desk.cast(image(1), label(0, after(10)), &task), Ok(Cast::Unchanged));
    assert_eq!(desk.cast(image(1), label(1, after(20)), &task), Ok(Cast::Replaced));
    // By then others would have decided an image that is work.
    assert_eq!(desk.cast(image(1), label(0, after(920)), &task), Ok(Cast::Late));
    assert_eq!(desk.answers[&image(1)].answer, Answer::Label(LabelIndex(1)));
    assert_eq!(desk.cast(image(1), label(1, after(9_000)), &task), Ok(Cast::Unchanged));
}

#[test]
fn where_one_vote_decides_a_change_is_late_as_it_is_with_work() {
    let single = task(PolicyFields { gold_rate: Some(0.1), quorum: Some(1), ..PolicyFields::default() });
    let abstain = PolicyFields { gold_rate: Some(0.1), max_abstentions: Some(1), ..PolicyFields::default() };
    let abstention = Vote { answer: Answer::Abstain(Abstention::Unclear), ..label(0, NOW()) };
    for (task, first) in [(single, label(0, NOW())), (task(abstain), abstention)] {
        let mut desk = desk(1);
        desk.leases.insert(image(1), after(900));
        assert_eq!(desk.cast(image(1), first, &task), Ok(Cast::Counted));
        assert_eq!(desk.cast(image(1), label(1, after(1)), &task), Ok(Cast::Late));
        assert_eq!(desk.answers[&image(1)].answer, first.answer);
    }
}

#[test]
fn in_a_complete_task_everything_is_decided() {
    let task = Task { state: TaskState::Complete, ..of_rate(0.1) };
    let mut desk = desk(1);
    desk.leases.insert(image(1), after(900));
    assert_eq!(desk.cast(image(1), label(0, NOW()), &task), Ok(Cast::Late));
    assert!(desk.answers.is_empty());
}

#[test]
fn a_lease_that_has_expired_is_honoured_until_it_is_forgotten() {
    let task = of_rate(0.1);
    let mut desk = desk(1);
    desk.leases.insert(image(1), after(10));
    assert!(!desk.may_get(&image(1), NOW()) && desk.may_get(&image(1), after(10)));
    assert_eq!(desk.held(NOW()).count() - desk.held(after(10)).count(), 1);
    let hour = Duration::from_secs(3_600);
    desk.forget(after(3_609), hour);
    assert_eq!(desk.clone().cast(image(1), label(0, after(3_609)), &task), Ok(Cast::Counted));
    desk.forget(after(3_610), hour);
    assert_eq!(desk.cast(image(1), label(0, after(3_610)), &task), Err(NotLeased));
    desk.leases.insert(image(2), after(10));
    assert!(desk.give_back(&image(2)) && !desk.give_back(&image(2)));
}

#[test]
fn the_record_counts_what_is_gold_now_by_the_label_that_it_has_now() {
    let mut desk = desk(1);
    let mut gold: Vec<_> = (1..=3).map(|n| Gold { image: image(n), label: LabelIndex(0), added_at: NOW() }).collect();
    gold.sort_by_key(|gold| gold.image);
    let answer = |answer| GoldAnswer { answer, at: NOW(), elapsed_ms: None };
    for (n, said) in [(1, 0), (2, 1), (4, 0)] {
        desk.answers.insert(image(n), answer(Answer::Label(LabelIndex(said))));
    }
    desk.answers.insert(image(3), answer(Answer::Abstain(Abstention::Unclear)));
    assert_eq!(desk.record(&gold), GoldRecord { answered: 2, right: 1, abstained: 1 });
    gold.iter_mut().for_each(|gold| gold.label = LabelIndex(1));
    assert_eq!(desk.record(&gold).right, 1);
    assert_eq!(desk.record(&[]), GoldRecord::default());
}

#[test]
fn rates_have_a_range() {
    for good in [0.0, 0.1, 0.5] {
        assert_eq!(GoldRate::parse(good).unwrap().get(), good);
    }
    for bad in [-0.1, 0.500_1, f64::NAN, f64::INFINITY] {
        assert_eq!(GoldRate::parse(bad), None);
    }
    let bad = PolicyFields { gold_rate: Some(0.7), ..PolicyFields::default() };
    assert_eq!(Policy::parse(&bad).unwrap_err().to_string(), "gold_rate is 0 to 0.5, not 0.7");
}

#[test]
fn a_rate_is_kept_with_every_rule_and_left_out_where_there_is_none() {
    for rule in [RuleName::Majority, RuleName::Lead, RuleName::Adaptive] {
        let policy = |rate| PolicyFields { rule: Some(rule), gold_rate: rate, ..PolicyFields::default() };
        let json = serde_json::to_value(Policy::parse(&policy(Some(0.25))).unwrap()).unwrap();
        assert_eq!(json["gold_rate"], 0.25);
        assert_eq!(serde_json::from_value::<Policy>(json).unwrap().gold_rate.get(), 0.25);
        let none = serde_json::to_value(Policy::parse(&policy(None)).unwrap()).unwrap();
        assert_eq!(none.get("gold_rate"), None);
    }
}

proptest! {
    /// Whoever is new gets gold first; a task without gold has none; and no more than was asked for.
    #[test]
    fn newcomers_are_measured_first(rate in 0.01_f64..0.5, turn: u64, fresh in 0_usize..100, seen in 0_usize..10) {
        let task = of_rate(rate);
        let mut desk = desk(1);
        for n in 0..seen {
            let answer = GoldAnswer { answer: Answer::Label(LabelIndex(0)), at: NOW(), elapsed_ms: None };
            desk.answers.insert(image(n as u32), answer);
        }
        let gold = how_many(&task, &desk, turn, fresh, NOW());
        let first = limits::GOLD_FIRST.saturating_sub(seen).min(fresh);
        prop_assert!((first..=fresh).contains(&gold));
        prop_assert_eq!(how_many(&task, &desk, turn, fresh, NOW()), gold, "the same again");
        prop_assert_eq!(how_many(&of_rate(0.0), &desk, turn, fresh, NOW()), 0);
    }

    /// Over many claims the share is the rate, whatever the size of the claims.
    #[test]
    fn the_share_is_the_rate(rate in 0.02_f64..0.5, batch in 1_usize..30, who in 0_usize..1_000) {
        let task = of_rate(rate);
        let mut desk = desk(who);
        for n in 0..limits::GOLD_FIRST {
            let answer = GoldAnswer { answer: Answer::Label(LabelIndex(0)), at: NOW(), elapsed_ms: None };
            desk.answers.insert(image(n as u32), answer);
        }
        let claims = 4_000 / batch;
        let gold: usize = (0..claims).map(|turn| how_many(&task, &desk, turn as u64, batch, NOW())).sum();
        let images = (claims * batch) as f64;
        // Six standard deviations of a binomial.
        let off = (gold as f64 - rate * images).abs();
        prop_assert!(off <= 6.0 * (images * rate * (1.0 - rate)).sqrt(), "{gold} of {images} at {rate}");
    }

    /// Every image of gold comes once, the nearest behind the place first.
    #[test]
    fn gold_is_met_once_round_the_ring(count in 0_u32..40, place: u32) {
        let mut gold: Vec<_> =
            (0..count).map(|n| Gold { image: image(n), label: LabelIndex(0), added_at: NOW() }).collect();
        gold.sort_by_key(|gold| gold.image);
        let place = image(place);
        let met: Vec<_> = from_place(&gold, &place).map(|gold| gold.image).collect();
        let (mut behind, before): (Vec<_>, Vec<_>) = gold.iter().map(|gold| gold.image).partition(|i| *i >= place);
        behind.extend(before);
        prop_assert_eq!(met, behind);
    }
}

#[test]
fn what_is_drawn_depends_on_the_client_whom_operators_do_not_know() {
    let task = of_rate(0.5);
    let other = Task { owner: "somebody-else".parse().unwrap(), ..task.clone() };
    let mut desk = desk(1);
    for n in 0..5 {
        let answer = GoldAnswer { answer: Answer::Label(LabelIndex(0)), at: NOW(), elapsed_ms: None };
        desk.answers.insert(image(n), answer);
    }
    let drawn = |task: &Task| (0..64).map(|turn| how_many(task, &desk, turn, 1, NOW())).collect::<Vec<_>>();
    assert_ne!(drawn(&task), drawn(&other));
}
