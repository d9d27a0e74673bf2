use lambel_core::{
    Audience, LabelSet, Policy, Shards, TaskState,
    api::{PolicyFields, RuleName},
    consensus::Phase,
};

use super::*;

fn subtask_item() -> Item {
    let picture = Picture { media_type: "image/jpeg".into(), width: 3, height: 2 };
    let task: TaskId = "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11".parse().unwrap();
    let at = Timestamp::from_millis(5);
    let record = Subtask::preparing(task, ImageId::MIN, 9, picture, Preview::NotNeeded, at);
    let mut record = record.in_version(Some("3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY".to_owned()));
    record.open(None);
    let cast = Vote { answer: Answer::Label(LabelIndex(7)), at, elapsed_ms: Some(3), earned: None };
    record.votes.insert("op".parse().unwrap(), cast);
    let mut item = subtask(&record, "pool");
    item.extend([("pk".to_owned(), string(format!("{task}#0"))), ("sk".to_owned(), string(ImageId::MIN.to_string()))]);
    assert_eq!(read_subtask(item.clone()).unwrap(), record);
    item
}

#[test]
fn another_version_is_not_read() {
    let mut item = subtask_item();
    item.insert("v".to_owned(), number(2));
    let error = read_subtask(item).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_task_has_the_version_of_what_it_asks_of_its_readers() {
    let version = |fields: PolicyFields, audience: Audience| {
        let policy = Policy::parse(&fields).unwrap();
        let all = task(&Task { policy, audience, ..some_task() }).unwrap();
        all["v"].as_n().unwrap().parse::<u32>().unwrap()
    };
    let by = |rule| PolicyFields { rule: Some(rule), ..PolicyFields::default() };
    let team = || Audience::Only { operators: [].into(), teams: ["birds".parse().unwrap()].into() };
    assert_eq!(version(PolicyFields::default(), Audience::Everyone), 1);
    assert_eq!(version(PolicyFields::default(), team()), 2);
    assert_eq!(version(by(RuleName::Majority), team()), 2);
    assert_eq!(version(by(RuleName::Lead), Audience::Everyone), 3);
    assert_eq!(version(by(RuleName::Lead), team()), 3);
    assert_eq!(version(by(RuleName::Adaptive), Audience::Everyone), 3);
    let gold = PolicyFields { gold_rate: Some(0.1), ..PolicyFields::default() };
    assert_eq!(version(gold, Audience::Everyone), 4);
}

fn some_task() -> Task {
    Task {
        id: TaskId::random(),
        owner: "client".parse().unwrap(),
        name: "cats".into(),
        labels: LabelSet::parse(&["cat", "dog"]).unwrap(),
        instructions: String::new(),
        policy: Policy::default(),
        audience: Audience::Everyone,
        shards: Shards::for_images(None),
        state: TaskState::Open,
        images: None,
        imports: Default::default(),
        created_at: Timestamp::from_millis(1),
        sealed_at: None,
        ended_at: None,
        rev: 0,
    }
}

#[test]
fn a_record_with_a_hole_is_not_read() {
    for name in ["pk", "sk", "state", "rev", "votes", "leases", "late", "created", "width", "v"] {
        let mut item = subtask_item();
        item.remove(name);
        assert!(read_subtask(item).is_err(), "without {name}");
    }
}

#[test]
fn a_subtask_with_three_votes_and_a_lease_fits_one_write_unit() {
    let mut record = read_subtask(subtask_item()).unwrap();
    record.votes.clear();
    let operator = |n: u8| format!("b3c1d7a2-8a52-4f0e-9d55-0f3d1a2b4c{n:02}").parse().unwrap();
    let at = Timestamp::from_millis(1_795_250_820_120);
    let earned = Earned { weight: Weight::from_thousandths(-10_123), phase: Phase::Warm };
    for n in 0..3 {
        let cast = Vote { answer: Answer::Label(LabelIndex(999)), at, elapsed_ms: Some(123_456), earned: Some(earned) };
        record.votes.insert(operator(n), cast);
    }
    record.leases.insert(operator(3), at);
    let mut item = subtask(&record, &format!("{}#255", record.task));
    item.extend([("pk".to_owned(), string(format!("{}#255", record.task))), ("sk".to_owned(), string("0".repeat(64)))]);
    let size: usize = item.iter().map(|(name, value)| name.len() + size_of(value)).sum();
    assert!(size <= 1_024, "{size} bytes");
}

/// The size of an attribute as DynamoDB's documentation of item sizes counts it.
fn size_of(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len() / 2 + 2,
        AttributeValue::M(map) => 3 + map.iter().map(|(name, value)| 1 + name.len() + size_of(value)).sum::<usize>(),
        other => panic!("no size for {other:?}"),
    }
}
