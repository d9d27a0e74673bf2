//! Branches, their moves, tags, and what became of requests for versions.

use lambel_core::{Actor, TaskId};
use lambel_dataset::{
    RefName,
    store::{RefMove, Tag},
};
use lambel_service::ports::{Answered, StoreResult};

use super::{Reader, versioned};
use crate::dynamo::{
    client::{Item, number, string},
    keys,
};

fn by(actor: &Actor) -> impl Iterator<Item = (String, aws_sdk_dynamodb::types::AttributeValue)> + use<> {
    let name = actor.name.as_ref().map(|name| ("name".to_owned(), string(name)));
    [("by".to_owned(), string(&actor.id))].into_iter().chain(name)
}

fn read_by(reader: &Reader) -> StoreResult<Actor> {
    Ok(Actor { id: reader.text("by")?.to_owned(), name: reader.maybe_text("name").map(str::to_owned) })
}

/// A move as it is stored, but for its key: with its branch in the log, where the stream is told of it, and without
/// in the branch itself.
pub(in crate::dynamo) fn stored_move(entry: &RefMove, branch: Option<&RefName>) -> Item {
    let mut item = Item::from([
        versioned(),
        ("seq".to_owned(), number(entry.seq)),
        ("to".to_owned(), string(entry.to.to_string())),
        ("at".to_owned(), number(entry.at.millis())),
        ("why".to_owned(), string(&entry.why)),
    ]);
    item.extend(by(&entry.by));
    item.extend(entry.from.map(|from| ("from".to_owned(), string(from.to_string()))));
    item.extend(branch.map(|branch| ("branch".to_owned(), string(branch.as_str()))));
    item
}

pub(in crate::dynamo) fn read_move(item: Item) -> StoreResult<RefMove> {
    move_of(&Reader::new("move of a branch", item)?)
}

fn move_of(reader: &Reader) -> StoreResult<RefMove> {
    let from = reader.maybe_text("from").map(|_| reader.parsed("from")).transpose()?;
    Ok(RefMove {
        seq: reader.number("seq")?,
        from,
        to: reader.parsed("to")?,
        by: read_by(reader)?,
        at: reader.moment("at")?,
        why: reader.text("why")?.to_owned(),
    })
}

/// Reads an entry of the log of a branch, of the table or of its stream: of which task, of which branch, the move.
pub(crate) fn read_logged(item: Item) -> StoreResult<(TaskId, RefName, RefMove)> {
    let reader = Reader::new("move of a branch", item)?;
    let task = reader.text("pk")?.strip_prefix(keys::REFS).and_then(|task| task.parse().ok());
    Ok((task.ok_or_else(|| reader.missing("pk"))?, reader.parsed("branch")?, move_of(&reader)?))
}

/// A tag as it is stored, but for its key.
pub(in crate::dynamo) fn stored_tag(tag: &Tag) -> Item {
    let mut item = Item::from([
        versioned(),
        ("to".to_owned(), string(tag.commit.to_string())),
        ("at".to_owned(), number(tag.at.millis())),
    ]);
    item.extend(by(&tag.by));
    item
}

pub(in crate::dynamo) fn read_tag(item: Item) -> StoreResult<Tag> {
    let reader = Reader::new("tag", item)?;
    let name = reader.text("sk")?.strip_prefix(keys::TAG).and_then(|name| name.parse().ok());
    Ok(Tag {
        name: name.ok_or_else(|| reader.missing("sk"))?,
        commit: reader.parsed("to")?,
        by: read_by(&reader)?,
        at: reader.moment("at")?,
    })
}

/// What became of a request, as it is stored, but for its key.
pub(in crate::dynamo) fn stored_answered(answered: &Answered) -> Item {
    Item::from([
        versioned(),
        ("asked".to_owned(), number(answered.asked_at.millis())),
        ("at".to_owned(), number(answered.at.millis())),
        ("to".to_owned(), string(answered.commit.to_string())),
        ("new".to_owned(), aws_sdk_dynamodb::types::AttributeValue::Bool(answered.new)),
    ])
}

pub(in crate::dynamo) fn read_answered(item: Item) -> StoreResult<Answered> {
    let reader = Reader::new("answer to a request for a version", item)?;
    let new = reader.item.get("new").and_then(|new| new.as_bool().ok()).copied();
    Ok(Answered {
        asked_at: reader.moment("asked")?,
        at: reader.moment("at")?,
        commit: reader.parsed("to")?,
        new: new.ok_or_else(|| reader.missing("new"))?,
    })
}
