//! The keys of every kind of item. See the tables in `ARCHITECTURE.md`.

use lambel_core::{AnnouncedFile, ClientId, FileName, ImageId, OperatorId, Task, TaskId};
use lambel_dataset::RefName;
use lambel_service::ports::{FilePlace, Trail};

use super::client::Item;

/// The key of an item: partition and sort.
pub(super) type Key = (String, String);

/// The partition of the tasks that are open or sealed.
pub(super) const ACTIVE: &str = "ACTIVE";
/// The sort key of what a client has in all. It is behind the rows of their tasks.
const TOTALS: &str = "TOTALS";
/// The sort key of an operator's standing.
const STANDING: &str = "STANDING";
/// How the sort key of an entry of a trail begins.
pub(super) const AUDIT: &str = "AUDIT#";
/// The sort key of a task itself.
pub(super) const META: &str = "META";
/// How the partitions of branches and tags begin.
pub(super) const REFS: &str = "REFS#";
/// How the sort key of a branch begins.
pub(super) const BRANCH: &str = "REF#";
/// How the sort key of a tag begins.
pub(super) const TAG: &str = "TAG#";

pub(super) fn task_partition(task: TaskId) -> String {
    format!("TASK#{task}")
}

pub(super) fn task(task: TaskId) -> Key {
    (task_partition(task), META.to_owned())
}

/// Counters have a partition of their own, so that a function's role can be allowed to count and nothing else:
/// the condition `dynamodb:LeadingKeys` tells partitions apart, and no more.
pub(super) fn counts_partition(task: TaskId) -> String {
    format!("COUNT#{task}")
}

pub(super) fn count(task: TaskId, slot: u16) -> Key {
    (counts_partition(task), format!("{slot:03}"))
}

pub(super) fn owner_partition(owner: &ClientId) -> String {
    format!("OWNER#{owner}")
}

pub(super) fn totals(owner: &ClientId) -> Key {
    (owner_partition(owner), TOTALS.to_owned())
}

/// What the sweep remembers of a task: in a partition of its own, as counters are, so that its role can be allowed to
/// write that and nothing else.
pub(super) fn sweep_mark(task: TaskId) -> Key {
    (format!("SWEEP#{task}"), "SWEEP".to_owned())
}

/// When the operators of a task were measured: in a partition of its own, for the same reason.
pub(super) fn skill_mark(task: TaskId) -> Key {
    (format!("SKILLS#{task}"), "SKILLS".to_owned())
}

/// The requests of a caller.
pub(super) fn pace(caller: &str) -> Key {
    (format!("PACE#{caller}"), "PACE".to_owned())
}

fn operator_partition(operator: &OperatorId) -> String {
    format!("OPERATOR#{operator}")
}

pub(super) fn standing(operator: &OperatorId) -> Key {
    (operator_partition(operator), STANDING.to_owned())
}

/// The partition of a trail: that of what it is about.
pub(super) fn trail_partition(trail: &Trail) -> String {
    match trail {
        Trail::Task(task) => task_partition(*task),
        Trail::Operator(operator) => operator_partition(operator),
    }
}

/// An entry of a trail, by the number of the change. Twenty digits hold every number.
pub(super) fn audit(trail: &Trail, number: u64) -> Key {
    (trail_partition(trail), format!("{AUDIT}{number:020}"))
}

/// The sort key of a task in a list.
pub(super) fn listed(task: TaskId) -> String {
    format!("TASK#{task}")
}

/// The task of a sort key in a list.
pub(super) fn of_listed(sort: &str) -> Option<TaskId> {
    sort.strip_prefix("TASK#")?.parse().ok()
}

/// A name lies in a shard of its own, by its hash, so that no partition takes all names of a task.
pub(super) fn name(task: &Task, name: &FileName) -> Key {
    let shard = task.shards.of(&ImageId::of(name.as_str().as_bytes()));
    (format!("NAME#{}#{shard}", task.id), name.to_string())
}

pub(super) fn files_partition(task: TaskId, shard: u16) -> String {
    format!("FILE#{task}#{shard}")
}

pub(super) fn file(task: &Task, file: &AnnouncedFile) -> Key {
    (files_partition(task.id, task.shards.of(&file.image)), format!("{}/{}", file.image, file.name))
}

/// How the sort keys of the files of one image begin.
pub(super) fn files_of(image: ImageId) -> String {
    format!("{image}/")
}

/// A sort key behind that of a place, and before that of every later file.
pub(super) fn file_place(place: &FilePlace) -> String {
    match &place.name {
        Some(name) => format!("{}/{name}", place.image),
        // `0` is the character behind `/`.
        None => format!("{}0", place.image),
    }
}

pub(super) fn subtasks_partition(task: TaskId, shard: u16) -> String {
    format!("{task}#{shard}")
}

pub(super) fn subtask(task: &Task, image: ImageId) -> Key {
    (subtasks_partition(task.id, task.shards.of(&image)), image.to_string())
}

pub(super) fn desk(task: TaskId, operator: &OperatorId) -> Key {
    (format!("{task}#operators"), operator.to_string())
}

/// Branches and tags have a partition of their own, as counters do, so that a role can be allowed to write them and
/// nothing else.
pub(super) fn refs_partition(task: TaskId) -> String {
    format!("{REFS}{task}")
}

pub(super) fn branch(task: TaskId, name: &RefName) -> Key {
    (refs_partition(task), format!("{BRANCH}{name}"))
}

/// The name of a branch, by its key.
pub(super) fn branch_of(item: &Item) -> Option<RefName> {
    item.get("sk")?.as_s().ok()?.strip_prefix(BRANCH)?.parse().ok()
}

pub(super) fn tag(task: TaskId, name: &RefName) -> Key {
    (refs_partition(task), format!("{TAG}{name}"))
}

/// An entry of the log of a branch. No name has the sign `#` in it.
pub(super) fn log(task: TaskId, name: &RefName, seq: u64) -> Key {
    (refs_partition(task), format!("LOG#{name}#{seq:020}"))
}

/// What became of the latest request for a version.
pub(super) fn answered(task: TaskId) -> Key {
    (refs_partition(task), "ANSWERED".to_owned())
}

/// The span of sort keys that begin so. `$` is the character behind `#`.
pub(super) fn span(prefix: &str) -> (String, String) {
    (prefix.to_owned(), prefix.replace('#', "$"))
}
