//! The attributes of every kind of item.
//!
//! Each item carries the version of its shape in `v`. A reader refuses a version that it does not know, so
//! that it never takes half a record for a whole one. Adding an attribute that older readers may ignore keeps
//! the version; anything else raises it. `ARCHITECTURE.md` has the table of who can read what.

pub(super) mod webhooks;

mod refs;

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use lambel_core::{
    AnnouncedFile, AuditEntry, FileName, ImageId, LabelIndex, Standing, Subtask, SubtaskState, Task, TaskId, Timestamp,
    Vote,
    consensus::{Confidence, Decision, Dispute, Earned, Measured, Rule, Skill, Weight},
    subtask::{Abstention, Answer, DecidedBy, Picture, Preview, Refusal, Votes},
};
use lambel_service::ports::{Desk, SkillMark, StoreError, StoreResult, SweepMark};

use super::{
    client::{Item, number, string},
    keys,
};
pub(crate) use refs::read_logged;
pub(super) use refs::{read_answered, read_move, read_tag, stored_answered, stored_move, stored_tag};

/// The version of the shapes that this program writes.
const VERSION: u32 = 1;
/// The version of a task that is kept for some operators: who does not know what an audience is must not hand it
/// out to everybody.
const VERSION_WITH_AUDIENCE: u32 = 2;
/// The version of a task that is decided by another rule than `majority`: who does not know the rule must not decide
/// by one that it knows. Who knows this version knows audiences too.
const VERSION_WITH_RULE: u32 = 3;
/// The version of a task with gold: who does not know it would drop the rate when they seal the task. Who knows this
/// version knows every rule.
const VERSION_WITH_GOLD: u32 = 4;
/// The version of a task that does something else with disputed images than marking them: who does not know of that
/// would complete it before they are reviewed, or mark what is to be complete. Who knows this version knows gold.
const VERSION_WITH_DISPUTES: u32 = 5;

pub(super) fn versioned() -> (String, AttributeValue) {
    ("v".to_owned(), number(VERSION))
}

/// An item that cannot be read.
pub(super) fn unreadable(what: &str, detail: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(format!("{what} cannot be read: {detail}"))
}

/// Reads the attributes of one item.
pub(super) struct Reader {
    what: &'static str,
    pub(super) item: Item,
}

impl Reader {
    pub(super) fn new(what: &'static str, item: Item) -> StoreResult<Self> {
        Self::up_to(VERSION, what, item)
    }

    fn up_to(newest: u32, what: &'static str, item: Item) -> StoreResult<Self> {
        let reader = Self { what, item };
        let version = reader.number::<u32>("v")?;
        if (1..=newest).contains(&version) {
            return Ok(reader);
        }
        Err(unreadable(what, format!("its shape has version {version}, this program knows {newest}")))
    }

    pub(super) fn missing(&self, name: &str) -> StoreError {
        unreadable(self.what, format!("attribute `{name}` is missing or of another type"))
    }

    pub(super) fn text(&self, name: &str) -> StoreResult<&str> {
        self.maybe_text(name).ok_or_else(|| self.missing(name))
    }

    fn maybe_text(&self, name: &str) -> Option<&str> {
        self.item.get(name)?.as_s().ok().map(String::as_str)
    }

    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> StoreResult<T> {
        self.maybe_number(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn maybe_number<T: std::str::FromStr>(&self, name: &str) -> StoreResult<Option<T>> {
        match self.item.get(name) {
            None => Ok(None),
            Some(value) => read_number(value).map(Some).ok_or_else(|| self.missing(name)),
        }
    }

    pub(super) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, name: &str) -> StoreResult<T> {
        self.text(name)?.parse().map_err(|error| unreadable(self.what, error))
    }

    pub(super) fn moment(&self, name: &str) -> StoreResult<Timestamp> {
        self.number(name).map(Timestamp::from_millis)
    }

    /// A map attribute, each entry read by a function.
    pub(super) fn map<K: std::str::FromStr + Ord, V>(
        &self,
        name: &str,
        read: impl Fn(&AttributeValue) -> Option<V>,
    ) -> StoreResult<BTreeMap<K, V>> {
        let map = self.item.get(name).and_then(|value| value.as_m().ok()).ok_or_else(|| self.missing(name))?;
        let entry = |(key, value): (&String, &AttributeValue)| Some((key.parse().ok()?, read(value)?));
        map.iter().map(|pair| entry(pair).ok_or_else(|| self.missing(name))).collect()
    }
}

pub(super) fn read_number<T: std::str::FromStr>(value: &AttributeValue) -> Option<T> {
    value.as_n().ok()?.parse().ok()
}

/// A name that serde gives to a value of an enum.
fn name_of<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("states and reasons are plain names, not {other:?}"),
    }
}

fn of_name<T: serde::de::DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(name.to_owned())).ok()
}

/// A state as it is stored.
pub(super) fn state(state: SubtaskState) -> AttributeValue {
    string(state.as_str())
}

/// A vote as it is stored: `a` the answer (a number is a label, text a reason to abstain), `t` when, `e` how
/// long the operator looked, `w` the weight that they had earned, `p` the phase that it was earned in.
pub(super) fn vote(vote: &Vote) -> AttributeValue {
    let answer = match vote.answer {
        Answer::Label(LabelIndex(place)) => number(place),
        Answer::Abstain(reason) => string(reason.as_str()),
    };
    let mut map = Item::from([("a".to_owned(), answer), ("t".to_owned(), number(vote.at.millis()))]);
    map.extend(vote.elapsed_ms.map(|elapsed| ("e".to_owned(), number(elapsed))));
    map.extend(vote.earned.iter().flat_map(earned));
    AttributeValue::M(map)
}

/// What was known of an operator: `w` the weight in thousandths of a nat, `p` the phase.
fn earned(earned: &Earned) -> [(String, AttributeValue); 2] {
    let weight = number(earned.weight.thousandths());
    [("w".to_owned(), weight), ("p".to_owned(), string(name_of(earned.phase)))]
}

/// The same read. None where it is there and cannot be read.
fn read_earned(map: &Item) -> Option<Option<Earned>> {
    let Some(weight) = map.get("w") else { return Some(None) };
    let weight = Weight::from_thousandths(read_number(weight)?);
    Some(Some(Earned { weight, phase: of_name(map.get("p")?.as_s().ok()?)? }))
}

pub(super) fn read_vote(value: &AttributeValue) -> Option<Vote> {
    let map = value.as_m().ok()?;
    let answer = match map.get("a")? {
        AttributeValue::N(place) => Answer::Label(LabelIndex(place.parse().ok()?)),
        AttributeValue::S(reason) => Answer::Abstain(of_name::<Abstention>(reason)?),
        _ => return None,
    };
    let elapsed_ms = match map.get("e") {
        Some(value) => Some(read_number(value)?),
        None => None,
    };
    let at = Timestamp::from_millis(read_number(map.get("t")?)?);
    Some(Vote { answer, at, elapsed_ms, earned: read_earned(map)? })
}

fn votes(votes: &Votes) -> AttributeValue {
    AttributeValue::M(votes.iter().map(|(operator, cast)| (operator.to_string(), vote(cast))).collect())
}

/// A subtask as it is stored, but for its key. `pool` is what its attribute `open_shard` says while it is open.
pub(super) fn subtask(subtask: &Subtask, pool: &str) -> Item {
    let leases = subtask.leases.iter().map(|(operator, until)| (operator.to_string(), number(until.millis())));
    let mut item = Item::from([
        versioned(),
        ("state".to_owned(), state(subtask.state)),
        ("rev".to_owned(), number(subtask.rev)),
        ("bytes".to_owned(), number(subtask.bytes)),
        ("votes".to_owned(), votes(&subtask.votes)),
        ("late".to_owned(), votes(&subtask.late)),
        ("leases".to_owned(), AttributeValue::M(leases.collect())),
        ("created".to_owned(), number(subtask.created_at.millis())),
    ]);
    let mut put = |name: &str, value| item.insert(name.to_owned(), value);
    if subtask.state == SubtaskState::Open {
        put("open_shard", string(pool));
    }
    if let Some(version) = &subtask.object_version {
        put("object", string(version));
    }
    if let Some(picture) = &subtask.picture {
        put("type", string(&picture.media_type));
        put("width", number(picture.width));
        put("height", number(picture.height));
    }
    match &subtask.preview {
        Preview::NotNeeded => {}
        Preview::Wanted => drop(put("preview", string("wanted"))),
        Preview::Made { media_type } => drop(put("preview", string(media_type))),
    }
    if let Some(refusal) = &subtask.refusal {
        put("refusal", string(&refusal.code));
        put("refusal_detail", string(&refusal.detail));
    }
    if let Some(at) = subtask.decided_at {
        put("decided", number(at.millis()));
    }
    if let Some(rev) = subtask.decided_rev {
        put("decided_rev", number(rev));
    }
    if subtask.reopenings > 0 {
        put("reopenings", number(subtask.reopenings));
        put("floor", number(subtask.floor));
    }
    if let Some(at) = subtask.reopened_at {
        put("reopened", number(at.millis()));
    }
    if let Some(reviewer) = &subtask.reviewed_by {
        put("reviewed_by", string(reviewer.as_str()));
    }
    item.extend(subtask.decision.iter().flat_map(decision));
    item.extend(decided_by(subtask));
    item
}

/// The attributes of a decision.
pub(super) fn decision(decision: &Decision) -> Vec<(String, AttributeValue)> {
    let mut attributes = vec![("confidence".to_owned(), number(decision.confidence.get()))];
    attributes.extend(decision.label.map(|LabelIndex(place)| ("label".to_owned(), number(place))));
    attributes.extend(decision.dispute.map(|dispute| ("dispute".to_owned(), string(name_of(dispute)))));
    attributes
}

/// Who has made the decision, where it was somebody else than the votes.
pub(super) fn decided_by(subtask: &Subtask) -> Option<(String, AttributeValue)> {
    let by = subtask.decided_by;
    (by != DecidedBy::Votes).then(|| ("decided_by".to_owned(), string(by.as_str())))
}

/// Reads a subtask, of the table or of its stream.
pub fn read_subtask(item: HashMap<String, AttributeValue>) -> StoreResult<Subtask> {
    let reader = Reader::new("subtask", item)?;
    let bad = |name: &str| reader.missing(name);
    let (task, _) = reader.text("pk")?.split_once('#').ok_or_else(|| bad("pk"))?;
    let task: TaskId = task.parse().map_err(|_| bad("pk"))?;
    let picture = match reader.maybe_text("type") {
        Some(media_type) => Some(Picture {
            media_type: media_type.to_owned(),
            width: reader.number("width")?,
            height: reader.number("height")?,
        }),
        None => None,
    };
    let preview = match reader.maybe_text("preview") {
        None => Preview::NotNeeded,
        Some("wanted") => Preview::Wanted,
        Some(media_type) => Preview::Made { media_type: media_type.to_owned() },
    };
    let refusal = match reader.maybe_text("refusal") {
        Some(code) => Some(Refusal { code: code.to_owned(), detail: reader.text("refusal_detail")?.to_owned() }),
        None => None,
    };
    let decision = match reader.maybe_number::<f64>("confidence")? {
        Some(confidence) => Some(Decision {
            label: reader.maybe_number("label")?.map(LabelIndex),
            confidence: Confidence::new(confidence),
            dispute: match reader.maybe_text("dispute") {
                Some(name) => Some(of_name::<Dispute>(name).ok_or_else(|| bad("dispute"))?),
                None => None,
            },
        }),
        None => None,
    };
    Ok(Subtask {
        task,
        image: reader.parsed("sk")?,
        state: of_name(reader.text("state")?).ok_or_else(|| bad("state"))?,
        rev: reader.number("rev")?,
        bytes: reader.number("bytes")?,
        object_version: reader.maybe_text("object").map(ToOwned::to_owned),
        picture,
        preview,
        votes: reader.map("votes", read_vote)?,
        late: reader.map("late", read_vote)?,
        leases: reader.map("leases", |until| read_number(until).map(Timestamp::from_millis))?,
        decision,
        refusal,
        created_at: reader.moment("created")?,
        decided_at: reader.maybe_number("decided")?.map(Timestamp::from_millis),
        decided_rev: reader.maybe_number("decided_rev")?,
        decided_by: match reader.maybe_text("decided_by") {
            Some(name) => of_name(name).ok_or_else(|| bad("decided_by"))?,
            None => DecidedBy::Votes,
        },
        reviewed_by: reader.maybe_text("reviewed_by").map(str::parse).transpose().map_err(|_| bad("reviewed_by"))?,
        reopenings: reader.maybe_number("reopenings")?.unwrap_or_default(),
        reopened_at: reader.maybe_number("reopened")?.map(Timestamp::from_millis),
        floor: reader.maybe_number("floor")?.unwrap_or_default(),
    })
}

/// A task as it is stored, but for its key.
pub(super) fn task(task: &Task) -> StoreResult<Item> {
    let mut item: Item = serde_dynamo::to_item(task).map_err(|error| StoreError::Failed(error.to_string()))?;
    let version = match (&task.policy.rule, task.audience.is_everyone()) {
        _ if !task.policy.disputed.is_default() => VERSION_WITH_DISPUTES,
        _ if !task.policy.gold_rate.is_none() => VERSION_WITH_GOLD,
        (Rule::Majority(_), true) => VERSION,
        (Rule::Majority(_), false) => VERSION_WITH_AUDIENCE,
        (Rule::Lead(_) | Rule::Adaptive(_), _) => VERSION_WITH_RULE,
    };
    item.insert("v".to_owned(), number(version));
    Ok(item)
}

/// Reads a task, of the table or of its stream.
pub fn read_task(item: HashMap<String, AttributeValue>) -> StoreResult<Task> {
    let reader = Reader::up_to(VERSION_WITH_DISPUTES, "task", item)?;
    serde_dynamo::from_item(reader.item).map_err(|error| unreadable("task", error))
}

/// An announced file as it is stored, but for its key.
pub(super) fn file(file: &AnnouncedFile) -> Item {
    Item::from([
        versioned(),
        ("bytes".to_owned(), number(file.bytes)),
        ("type".to_owned(), string(&file.media_type)),
        ("announced".to_owned(), number(file.announced_at.millis())),
    ])
}

pub(super) fn read_file(item: Item) -> StoreResult<AnnouncedFile> {
    let reader = Reader::new("file", item)?;
    let (image, name) = reader.text("sk")?.split_once('/').ok_or_else(|| reader.missing("sk"))?;
    Ok(AnnouncedFile {
        name: FileName::parse(name).map_err(|error| unreadable("file", error))?,
        image: image.parse().map_err(|error| unreadable("file", error))?,
        bytes: reader.number("bytes")?,
        media_type: reader.text("type")?.to_owned(),
        announced_at: reader.moment("announced")?,
    })
}

/// What a name stands for, as it is stored, but for its key.
pub(super) fn name(image: ImageId) -> Item {
    Item::from([versioned(), ("image".to_owned(), string(image.to_string()))])
}

/// Reads a name and the image it stands for.
pub(super) fn read_name(item: Item) -> StoreResult<(String, ImageId)> {
    let reader = Reader::new("name", item)?;
    Ok((reader.text("sk")?.to_owned(), reader.parsed("image")?))
}

/// An operator's record as it is stored, but for its key.
pub(super) fn desk(desk: &Desk) -> Item {
    let leases = desk.leases.iter().map(|(image, until)| (image.to_string(), number(until.millis())));
    let mut item = Item::from([
        versioned(),
        ("leases".to_owned(), AttributeValue::M(leases.collect())),
        ("place".to_owned(), string(desk.place.to_string())),
        ("rev".to_owned(), number(desk.rev)),
    ]);
    item.extend(desk.measured.iter().map(|found| ("measured".to_owned(), measured(found))));
    item.extend(desk.paused_at.map(|at| ("paused".to_owned(), number(at.millis()))));
    item
}

/// What a batch has found of an operator: `answers`, `right`, and what their votes weigh, as a vote has it.
pub(super) fn measured(measured: &Measured) -> AttributeValue {
    let Skill { answers, right } = measured.skill;
    let mut map = Item::from([("answers".to_owned(), number(answers)), ("right".to_owned(), number(right))]);
    map.extend(earned(&measured.earned));
    AttributeValue::M(map)
}

fn read_measured(value: &AttributeValue) -> Option<Measured> {
    let map = value.as_m().ok()?;
    let skill = Skill { answers: read_number(map.get("answers")?)?, right: read_number(map.get("right")?)? };
    Some(Measured { skill, earned: read_earned(map)?? })
}

pub(super) fn read_desk(item: Item) -> StoreResult<Desk> {
    let reader = Reader::new("operator's record", item)?;
    let (task, _) = reader.text("pk")?.split_once('#').ok_or_else(|| reader.missing("pk"))?;
    Ok(Desk {
        task: task.parse().map_err(|_| reader.missing("pk"))?,
        operator: reader.parsed("sk")?,
        leases: reader.map("leases", |until| read_number(until).map(Timestamp::from_millis))?,
        place: reader.parsed("place")?,
        measured: match reader.item.get("measured") {
            Some(value) => Some(read_measured(value).ok_or_else(|| reader.missing("measured"))?),
            None => None,
        },
        paused_at: reader.maybe_number("paused")?.map(Timestamp::from_millis),
        rev: reader.number("rev")?,
    })
}

/// What the sweep remembers of a task as it is stored, but for its key. No walk is an empty place.
pub(super) fn sweep_mark(mark: &SweepMark) -> Item {
    Item::from([
        versioned(),
        ("changes".to_owned(), number(mark.changes)),
        ("since".to_owned(), number(mark.since.millis())),
        ("walks".to_owned(), number(mark.walks)),
        ("walked_to".to_owned(), string(mark.walked_to.map(|image| image.to_string()).unwrap_or_default())),
        ("found".to_owned(), number(mark.found)),
        ("rev".to_owned(), number(mark.rev)),
    ])
}

pub(super) fn read_sweep_mark(item: Item) -> StoreResult<SweepMark> {
    let reader = Reader::new("sweep's mark", item)?;
    Ok(SweepMark {
        changes: reader.number("changes")?,
        since: reader.moment("since")?,
        walks: reader.number("walks")?,
        walked_to: match reader.text("walked_to")? {
            "" => None,
            _ => Some(reader.parsed("walked_to")?),
        },
        found: reader.number("found")?,
        rev: reader.number("rev")?,
    })
}

/// When the operators of a task were measured, as it is stored, but for its key.
pub(super) fn skill_mark(mark: &SkillMark) -> Item {
    Item::from([
        versioned(),
        ("decided".to_owned(), number(mark.decided)),
        ("begun".to_owned(), number(mark.begun.millis())),
        ("rev".to_owned(), number(mark.rev)),
    ])
}

pub(super) fn read_skill_mark(item: Item) -> StoreResult<SkillMark> {
    let reader = Reader::new("mark of a look at operators", item)?;
    Ok(SkillMark { decided: reader.number("decided")?, begun: reader.moment("begun")?, rev: reader.number("rev")? })
}

/// An operator's standing as it is stored, but for its key.
pub(super) fn standing(standing: &Standing) -> Item {
    let mut item = Item::from([versioned(), ("rev".to_owned(), number(standing.rev))]);
    item.extend(standing.paused_at.map(|at| ("paused".to_owned(), number(at.millis()))));
    item
}

pub(super) fn read_standing(item: Item) -> StoreResult<Standing> {
    let reader = Reader::new("operator's standing", item)?;
    let operator = reader.text("pk")?.strip_prefix("OPERATOR#").and_then(|id| id.parse().ok());
    Ok(Standing {
        operator: operator.ok_or_else(|| reader.missing("pk"))?,
        paused_at: reader.maybe_number("paused")?.map(Timestamp::from_millis),
        rev: reader.number("rev")?,
    })
}

/// An entry of a trail as it is stored, but for its key.
pub(super) fn audit(entry: &AuditEntry) -> StoreResult<Item> {
    let mut item: Item = serde_dynamo::to_item(entry).map_err(|error| StoreError::Failed(error.to_string()))?;
    item.extend([versioned()]);
    Ok(item)
}

/// Reads an entry of a trail, and its number.
pub(super) fn read_audit(item: Item) -> StoreResult<(u64, AuditEntry)> {
    let reader = Reader::new("entry of a trail", item)?;
    let number = reader.text("sk")?.strip_prefix(keys::AUDIT).and_then(|number| number.parse().ok());
    let number = number.ok_or_else(|| reader.missing("sk"))?;
    let entry = serde_dynamo::from_item(reader.item).map_err(|error| unreadable("entry of a trail", error))?;
    Ok((number, entry))
}

#[cfg(test)]
mod tests;
