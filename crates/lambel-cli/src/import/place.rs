//! The task that everything goes to: the one that was named, the one that an earlier run has made, or a new one.

use lambel_client::Client;
use lambel_core::{
    Audience, ImportName, LabelSet, Policy, TaskId, TaskState,
    api::{AudienceFields, CreateTask, PageQuery, PolicyFields, TaskView},
    limits,
};

use super::{Args, read::Input};
use crate::{
    exit::{Exit, Failure, Outcome},
    task::text_or_file,
};

/// Which task is wanted.
pub(super) struct Wish {
    /// The import, by what it is made of.
    pub(super) import: ImportName,
    /// How many files go up at the same time.
    pub(super) concurrency: u16,
    /// Whether the task is sealed in the end.
    pub(super) seal: bool,
    task: Option<TaskId>,
    request: CreateTask,
}

impl Wish {
    /// What the command asks for. What is wrong with it is said before anything is done.
    pub(super) fn of(args: Args, input: &Input, images: u64) -> Outcome<Self> {
        let import = input.id.to_string();
        let import = import.parse().map_err(|error| Failure::new(Exit::Failed, format!("{error}")))?;
        let stem = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let (policy, audience) = (args.policy.fields()?, args.audience.fields()?);
        if args.task.is_some() && (policy.is_some() || audience.is_some() || args.instructions.is_some()) {
            return Err(Failure::usage("the task has its rule, operators and instructions already"));
        }
        let request = CreateTask {
            name: args.name.or(stem).unwrap_or_else(|| "import".to_owned()),
            labels: input.labels.clone(),
            instructions: args.instructions.map(text_or_file).transpose()?,
            policy,
            audience,
            expected_images: Some(images.max(1)),
        };
        Ok(Self { import, concurrency: args.concurrency, seal: args.seal, task: args.task, request })
    }
}

/// The task, and whether it was there before.
pub(super) async fn find_or_make(client: &Client, wish: Wish) -> Outcome<(TaskView, bool)> {
    if let Some(id) = wish.task {
        let task = client.task(id).await?;
        takes_labels(&task, &wish.request.labels)?;
        return Ok((task, true));
    }
    match earlier(client, &wish).await? {
        Some(task) => Ok((task, true)),
        None => Ok((client.create_task(&wish.request).await?, false)),
    }
}

/// Says which labels a task does not have.
pub(super) fn takes_labels(task: &TaskView, labels: &[String]) -> Outcome {
    let unknown = labels.iter().filter(|label| !task.labels.iter().any(|known| known.as_str() == label.as_str()));
    let unknown: Vec<_> = unknown.map(|label| format!("`{label}`")).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let more = unknown.len().saturating_sub(10);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let names = unknown.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    Err(Failure::usage(format!("the task has no label {names}{more}; nothing was done")))
}

/// The task that an earlier run has made, unless it was cancelled since.
async fn earlier(client: &Client, wish: &Wish) -> Outcome<Option<TaskView>> {
    let mut page = PageQuery { cursor: None, limit: Some(limits::PAGE_ROWS) };
    let mut empty = None;
    loop {
        let answer = client.tasks(&page).await?;
        for task in answer.tasks {
            if task.imports.contains(&wish.import) && task.state != TaskState::Cancelled {
                return Ok(Some(task));
            }
            if empty.is_none() && is_as_wished(&task, &wish.request) {
                empty = Some(task.task);
            }
        }
        match answer.next {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    // A run that was stopped between making the task and telling it of the import has left one that is as wished and
    // has nothing in it.
    let Some(id) = empty else { return Ok(None) };
    let task = client.task(id).await?;
    let counts = task.progress.map_or(1, |counts| counts.accepted + counts.rejected);
    Ok((counts == 0).then_some(task))
}

/// Whether a task is what this request would make, and nobody has said anything of it since.
fn is_as_wished(task: &TaskView, request: &CreateTask) -> bool {
    let policy = Policy::parse(&request.policy.clone().unwrap_or_default());
    let policy = policy.map(|policy| PolicyFields::from(&policy));
    let audience = request.audience.as_ref().map_or(Ok(Audience::Everyone), Audience::parse);
    let audience = audience.map(|audience| AudienceFields::from(&audience));
    let labels = LabelSet::parse(&request.labels);
    task.state == TaskState::Open
        && task.imports.is_empty()
        && task.name == request.name.trim()
        && task.instructions == request.instructions.clone().filter(|text| !text.is_empty())
        && policy.is_ok_and(|policy| policy == task.policy)
        && audience.is_ok_and(|audience| audience == task.audience)
        && labels.is_ok_and(|labels| labels.iter().eq(&task.labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> (TaskView, CreateTask) {
        let policy = PolicyFields { quorum: Some(2), ..PolicyFields::default() };
        let request = CreateTask {
            name: "pets".to_owned(),
            labels: vec!["cat".to_owned(), "dog".to_owned()],
            instructions: None,
            policy: Some(policy.clone()),
            audience: None,
            expected_images: Some(3),
        };
        let view = serde_json::json!({
            "task": "019aa5a0-5c1e-7e3b-9d7c-1f7d3b0c2a11", "name": "pets", "state": "open", "labels": ["cat", "dog"],
            "policy": PolicyFields::from(&Policy::parse(&policy).unwrap()),
            "audience": {"everyone": true}, "created_at": "2026-11-21T08:47:00.123Z",
        });
        (serde_json::from_value(view).unwrap(), request)
    }

    #[test]
    fn an_empty_task_is_taken_only_if_it_is_just_as_wished() {
        let (view, request) = task();
        assert!(is_as_wished(&view, &request));
        let imports = vec!["a1".parse().unwrap()];
        assert!(!is_as_wished(&TaskView { imports, ..view.clone() }, &request));
        assert!(!is_as_wished(&TaskView { state: TaskState::Sealed, ..view.clone() }, &request));
        for other in [
            CreateTask { name: "others".to_owned(), ..request.clone() },
            CreateTask { policy: None, ..request.clone() },
            CreateTask { labels: vec!["dog".to_owned(), "cat".to_owned()], ..request.clone() },
            CreateTask { instructions: Some("look".to_owned()), ..request.clone() },
        ] {
            assert!(!is_as_wished(&view, &other), "{other:?}");
        }
    }

    #[test]
    fn labels_that_a_task_does_not_have_are_named() {
        let (view, request) = task();
        takes_labels(&view, &request.labels).unwrap();
        let failure = takes_labels(&view, &["cat".to_owned(), "bird".to_owned()]).unwrap_err();
        assert!(failure.message.contains("no label `bird`"), "{}", failure.message);
    }
}
