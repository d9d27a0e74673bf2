//! The keys of every kind of item. See the tables in `ARCHITECTURE.md`.

use lambel_core::{AnnouncedFile, ClientId, FileName, ImageId, OperatorId, Task, TaskId};
use lambel_service::ports::FilePlace;

/// The key of an item: partition and sort.
pub(super) type Key = (String, String);

/// The partition of the tasks that are open or sealed.
pub(super) const ACTIVE: &str = "ACTIVE";
/// How the sort key of a counter begins.
pub(super) const COUNT: &str = "COUNT#";
/// The sort key of a task itself.
pub(super) const META: &str = "META";

pub(super) fn task_partition(task: TaskId) -> String {
    format!("TASK#{task}")
}

pub(super) fn task(task: TaskId) -> Key {
    (task_partition(task), META.to_owned())
}

pub(super) fn count(task: TaskId, slot: u16) -> Key {
    (task_partition(task), format!("{COUNT}{slot:03}"))
}

pub(super) fn owner_partition(owner: &ClientId) -> String {
    format!("OWNER#{owner}")
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
