//! What a client does with tasks: make, list, show, announce files, seal, cancel.

use std::{collections::HashMap, sync::Arc, time::Duration};

use lambel_core::{
    AnnouncedFile, Audience, AuditEntry, Deed, FileName, ImageId, LabelSet, Policy, Shards, Task, TaskId, TaskState,
    api::{
        AnnounceFiles, AudienceFields, AuditPage, CreateTask, FileAnnouncement, FileGrant, Grant, Grants, PageQuery,
        SealTask, TaskPage, TaskView,
    },
    limits,
    task::SealError,
};

use crate::{
    audit::audit_page,
    caller::{Caller, Role},
    error::{Error, Result},
    ports::{
        Announcement, NoGold, ObjectKey, SharedClock, SharedEstimates, SharedGold, SharedObjects, SharedQualityStore,
        SharedStore, Store, Trail,
    },
    progress::{self, Advance},
    results::page_limit,
};

/// How often a change is tried again when somebody else changed the same task in between.
pub(crate) const CHANGE_TRIES: usize = 5;

/// The media types that can be announced. What counts in the end is what the bytes are.
const MEDIA_TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// The Task Manager's side towards clients.
#[derive(Clone)]
pub struct Tasks {
    pub(crate) store: SharedStore,
    pub(crate) objects: SharedObjects,
    pub(crate) clock: SharedClock,
    estimates: Option<SharedEstimates>,
    pub(crate) gold: SharedGold,
    pub(crate) quality: Option<SharedQualityStore>,
    ids: Arc<dyn Fn() -> TaskId + Send + Sync>,
}

impl Tasks {
    /// Over these ports.
    pub fn new(store: SharedStore, objects: SharedObjects, clock: SharedClock) -> Self {
        let (gold, ids) = (Arc::new(NoGold), Arc::new(TaskId::random));
        Self { store, objects, clock, estimates: None, gold, quality: None, ids }
    }

    /// The same, asking here for the last batch of a task that is sealed when everything is decided. Without it such a
    /// task waits for the schedule of [`crate::skills`].
    #[must_use]
    pub fn with_estimates(self, estimates: SharedEstimates) -> Self {
        Self { estimates: Some(estimates), ..self }
    }

    /// The same, for tasks with gold.
    #[must_use]
    pub fn with_gold(self, gold: SharedGold) -> Self {
        Self { gold, ..self }
    }

    /// The same, reporting confidences as they are calibrated here. Without it all are posteriors as they are.
    #[must_use]
    pub fn with_calibrations(self, quality: SharedQualityStore) -> Self {
        Self { quality: Some(quality), ..self }
    }

    /// The same, with ids of new tasks from here instead of from chance: an id decides where walks through a task
    /// begin, so a test that plays a schedule again must have the same ones.
    #[must_use]
    pub fn with_ids(self, ids: impl Fn() -> TaskId + Send + Sync + 'static) -> Self {
        Self { ids: Arc::new(ids), ..self }
    }

    /// Makes a task.
    pub async fn create(&self, caller: &Caller, request: &CreateTask) -> Result<TaskView> {
        let owner = caller.client()?;
        let name = request.name.trim();
        if name.is_empty()
            || request.name.chars().count() > limits::TASK_NAME_CHARS
            || name.chars().any(char::is_control)
        {
            let detail = format!("1 to {} characters, none of them a control character", limits::TASK_NAME_CHARS);
            return Err(Error::invalid("name", detail));
        }
        let instructions = request.instructions.clone().unwrap_or_default();
        if instructions.chars().count() > limits::INSTRUCTIONS_CHARS {
            let detail = format!("{} characters at most", limits::INSTRUCTIONS_CHARS);
            return Err(Error::invalid("instructions", detail));
        }
        if request.expected_images.is_some_and(|n| !(1..=limits::IMAGES_PER_TASK).contains(&n)) {
            return Err(Error::invalid("expected_images", format!("1 to {}", limits::IMAGES_PER_TASK)));
        }
        let task = Task {
            id: (self.ids)(),
            owner,
            name: name.to_owned(),
            labels: LabelSet::parse(&request.labels).map_err(|error| Error::invalid("labels", error))?,
            instructions,
            policy: Policy::parse(&request.policy.clone().unwrap_or_default())
                .map_err(|error| Error::invalid("policy", error))?,
            audience: request.audience.as_ref().map_or(Ok(Audience::Everyone), parse_audience)?,
            shards: Shards::for_images(request.expected_images),
            state: TaskState::Open,
            images: None,
            imports: Default::default(),
            created_at: self.clock.now(),
            sealed_at: None,
            ended_at: None,
            rev: 0,
        };
        let deed = Deed::TaskCreated { audience: (&task.audience).into() };
        if !self.store.create_task(&task, &self.entry(caller, deed)).await? {
            return Err(Error::TooManyTasks);
        }
        tracing::info!(task = %task.id, labels = task.labels.len(), "task created");
        self.view(&task).await
    }

    /// A page of the caller's tasks, the newest first.
    pub async fn list(&self, caller: &Caller, query: &PageQuery) -> Result<TaskPage> {
        let owner = caller.client()?;
        let limit = page_limit(query.limit)?;
        let before = match &query.cursor {
            Some(text) => Some(text.parse().map_err(|_| Error::invalid("cursor", "this is not a cursor"))?),
            None => None,
        };
        let found = self.store.tasks_of(&owner, before, limit).await?;
        let mut more = found.len() == limit as usize;
        let mut tasks: Vec<TaskView> = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for task in &found {
            let view = view(task, None);
            // Labels and instructions can be long; a page of tasks must fit into one answer all the same.
            bytes += serde_json::to_vec(&view).map_or(0, |json| json.len());
            if bytes > limits::RESPONSE_BYTES && !tasks.is_empty() {
                more = true;
                break;
            }
            tasks.push(view);
        }
        let next = tasks.last().filter(|_| more).map(|task| task.task.to_string());
        Ok(TaskPage { tasks, next })
    }

    /// A task with its exact progress.
    pub async fn show(&self, caller: &Caller, id: TaskId) -> Result<TaskView> {
        let task = self.owned(caller, id).await?;
        self.view(&task).await
    }

    /// Seals a task, and completes it if everything is decided already.
    pub async fn seal(&self, caller: &Caller, id: TaskId, request: &SealTask) -> Result<TaskView> {
        for _ in 0..CHANGE_TRIES {
            let mut task = self.owned(caller, id).await?;
            let counts = self.store.counts(&task).await?;
            let changed = task.seal(request.images, &counts, self.clock.now()).map_err(|error| match error {
                SealError::Ended(state) => Error::TaskEnded(state),
                SealError::Number => Error::invalid("images", error),
                SealError::TooFew { .. } => Error::Conflict(error.to_string()),
            })?;
            let deed = Deed::TaskSealed { images: request.images };
            if changed && !self.store.replace_task(&task, &self.entry(caller, deed)).await? {
                continue;
            }
            if changed {
                tracing::info!(task = %id, images = request.images, "task sealed");
            }
            // The last decision may have come before the seal: nobody else would look again.
            if let Some(complete) = self.advance(id).await? {
                task = complete;
            }
            return self.view(&task).await;
        }
        Err(Error::Contended)
    }

    /// Looks whether a task is done now; the task, if it was completed by that.
    pub(crate) async fn advance(&self, id: TaskId) -> Result<Option<Task>> {
        match (progress::advance(&*self.store, &*self.clock, id).await?, &self.estimates) {
            (Advance::Completed(complete), estimates) => {
                // For the last report on its operators, without which the task is complete all the same.
                if let Some(estimates) = estimates
                    && let Err(error) = estimates.ask(id).await
                {
                    tracing::warn!(task = %id, %error, "last report not asked for");
                }
                Ok(Some(*complete))
            }
            (Advance::WantsBatch, Some(estimates)) => {
                estimates.ask(id).await?;
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Calls a task off.
    pub async fn cancel(&self, caller: &Caller, id: TaskId) -> Result<TaskView> {
        for _ in 0..CHANGE_TRIES {
            let mut task = self.owned(caller, id).await?;
            let changed = task.cancel(self.clock.now()).map_err(|_| Error::TaskEnded(task.state))?;
            if changed && !self.store.replace_task(&task, &self.entry(caller, Deed::TaskCancelled)).await? {
                continue;
            }
            if changed {
                tracing::info!(task = %id, "task cancelled");
            }
            return self.view(&task).await;
        }
        Err(Error::Contended)
    }

    /// Opens a task to other operators. What was leased to others stays theirs until the lease ends.
    pub async fn open_to(&self, caller: &Caller, id: TaskId, request: &AudienceFields) -> Result<TaskView> {
        // Whether the task is there is said before what is wrong with the request.
        let mut task = self.owned(caller, id).await?;
        let audience = parse_audience(request)?;
        for _ in 0..CHANGE_TRIES {
            let changed = task.open_to(audience.clone()).map_err(|_| Error::TaskEnded(task.state))?;
            let deed = Deed::AudienceChanged { audience: (&audience).into() };
            if !changed || self.store.replace_task(&task, &self.entry(caller, deed)).await? {
                if changed {
                    tracing::info!(task = %id, "task opened to other operators");
                }
                return self.view(&task).await;
            }
            task = self.owned(caller, id).await?;
        }
        Err(Error::Contended)
    }

    /// Who did what with a task, the newest first.
    pub async fn audit(&self, caller: &Caller, id: TaskId, query: &PageQuery) -> Result<AuditPage> {
        self.owned(caller, id).await?;
        audit_page(&*self.store, &Trail::Task(id), query).await
    }

    pub(crate) fn entry(&self, caller: &Caller, deed: Deed) -> AuditEntry {
        AuditEntry { at: self.clock.now(), actor: caller.actor(), deed }
    }

    /// Says on the trail of a task that goes on what somebody is about to do with its images.
    pub(crate) async fn note(&self, caller: &Caller, id: TaskId, deed: Deed) -> Result<()> {
        let entry = self.entry(caller, deed);
        for _ in 0..CHANGE_TRIES {
            let task = self.owned(caller, id).await?;
            if task.state.is_final() {
                return Err(Error::TaskEnded(task.state));
            }
            if self.store.replace_task(&task.noted(), &entry).await? {
                return Ok(());
            }
        }
        Err(Error::Contended)
    }

    /// Announces files, and says for each what is to be done. A file that cannot be taken does not stand in
    /// the way of the others.
    pub async fn announce(&self, caller: &Caller, id: TaskId, request: &AnnounceFiles) -> Result<Grants> {
        let task = self.owned(caller, id).await?;
        if task.state.is_final() {
            return Err(Error::TaskEnded(task.state));
        }
        if !(1..=limits::FILES_PER_REQUEST).contains(&request.files.len()) {
            let detail = format!("1 to {} files in one request", limits::FILES_PER_REQUEST);
            return Err(Error::invalid("files", detail));
        }
        let now = self.clock.now();
        let mut first_place = HashMap::new();
        let mut files = Vec::new();
        // What each file of the request has come to: the place of its row in `files`, or its refusal.
        let mut outcomes = Vec::with_capacity(request.files.len());
        for wanted in &request.files {
            let parsed = parse_file(wanted, now).and_then(|file| {
                let place = *first_place.entry(file.name.clone()).or_insert(files.len());
                if place == files.len() {
                    files.push(file);
                } else if files[place].image != file.image {
                    return Err(name_taken(&file.name, &files[place].image));
                }
                Ok(place)
            });
            outcomes.push(parsed);
        }

        let announced = self.announce_rows(&task, &files).await?;
        let images: Vec<ImageId> = files.iter().map(|file| file.image).collect();
        let present: HashMap<_, _> = self
            .store
            .subtasks(&task, &images, false)
            .await?
            .into_iter()
            .map(|subtask| (subtask.image, subtask.state))
            .collect();

        let life = Duration::from_secs(u64::from(limits::UPLOAD_URL_SECONDS));
        let mut grants = Vec::with_capacity(outcomes.len());
        for (wanted, outcome) in request.files.iter().zip(outcomes) {
            let grant = match outcome.and_then(|place| match &announced[place] {
                Row::Written => Ok(place),
                Row::Refused(refusal) => Err(refusal.clone()),
            }) {
                Err(FileRefusal { code, detail }) => Grant::Refused { code: code.to_owned(), detail },
                Ok(place) => match present.get(&files[place].image) {
                    Some(state) => Grant::AlreadyPresent { state: *state },
                    None => {
                        let file = &files[place];
                        let key = ObjectKey { task: id, image: file.image };
                        let put = self.objects.presign_put(key, file.bytes, &file.media_type, life).await?;
                        Grant::Upload { url: put.url, headers: put.headers, expires_at: now.plus(life) }
                    }
                },
            };
            grants.push(FileGrant { name: wanted.name.clone(), grant });
        }
        Ok(Grants { files: grants })
    }

    async fn announce_rows(&self, task: &Task, files: &[AnnouncedFile]) -> Result<Vec<Row>> {
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        let known = self.store.names(task, &names).await?;
        let mut new: Vec<AnnouncedFile> =
            files.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(file, _)| file.clone()).collect();
        // A sealed task takes no new files. Those that were announced before can still be uploaded.
        if task.state == TaskState::Sealed {
            new.clear();
        }
        let mut announced = self.store.announce(task, &new).await?.into_iter();
        let row = |(file, known): (&AnnouncedFile, &Option<ImageId>)| match known {
            Some(image) if *image == file.image => Row::Written,
            Some(other) => Row::Refused(name_taken(&file.name, other)),
            None => match announced.next() {
                Some(Announcement::NameTaken(other)) => Row::Refused(name_taken(&file.name, &other)),
                Some(Announcement::New | Announcement::Known) => Row::Written,
                None => {
                    let detail = "the task is sealed and takes no further files".to_owned();
                    Row::Refused(FileRefusal { code: "task-sealed", detail })
                }
            },
        };
        Ok(files.iter().zip(&known).map(row).collect())
    }

    /// The task, if the caller may see it: their own, or any for an admin. What is not theirs is not there.
    pub(crate) async fn owned(&self, caller: &Caller, id: TaskId) -> Result<Task> {
        owned_task(&*self.store, caller, id).await
    }

    pub(crate) async fn view(&self, task: &Task) -> Result<TaskView> {
        Ok(view(task, Some(self.store.counts(task).await?)))
    }
}

/// The task, if the caller may see it.
pub(crate) async fn owned_task(store: &dyn Store, caller: &Caller, id: TaskId) -> Result<Task> {
    let client = caller.client()?;
    let task = store.task(id).await?.ok_or(Error::TaskNotFound)?;
    if task.owner == client || caller.is(Role::Admin) { Ok(task) } else { Err(Error::TaskNotFound) }
}

fn view(task: &Task, counts: Option<lambel_core::Counts>) -> TaskView {
    TaskView {
        task: task.id,
        name: task.name.clone(),
        state: task.state,
        labels: task.labels.iter().cloned().collect(),
        instructions: Some(task.instructions.clone()).filter(|text| !text.is_empty()),
        policy: (&task.policy).into(),
        audience: (&task.audience).into(),
        images: task.images,
        imports: task.imports.iter().cloned().collect(),
        progress: counts.map(|counts| lambel_core::api::Progress {
            accepted: counts.accepted,
            rejected: counts.rejected,
            complete: counts.complete,
            disputed: counts.disputed,
            open: counts.undecided(),
            votes: counts.votes,
        }),
        created_at: task.created_at,
        sealed_at: task.sealed_at,
        ended_at: task.ended_at,
    }
}

fn parse_audience(fields: &AudienceFields) -> Result<Audience> {
    Audience::parse(fields).map_err(|error| Error::invalid("audience", error))
}

/// What became of a file's row.
enum Row {
    Written,
    Refused(FileRefusal),
}

/// Why a file is not taken.
#[derive(Clone)]
struct FileRefusal {
    code: &'static str,
    detail: String,
}

fn name_taken(name: &FileName, other: &ImageId) -> FileRefusal {
    let detail = format!("the name `{name}` stands for another file already (SHA-256 {other}); choose another name");
    FileRefusal { code: "name-taken", detail }
}

fn parse_file(file: &FileAnnouncement, now: lambel_core::Timestamp) -> Result<AnnouncedFile, FileRefusal> {
    let refuse = |code, detail: String| Err(FileRefusal { code, detail });
    let name = match FileName::parse(&file.name) {
        Ok(name) => name,
        Err(error) => return refuse("bad-name", error.to_string()),
    };
    let Ok(image) = file.sha256.parse() else {
        return refuse("bad-sha256", "sha256 is 64 lower-case hexadecimal digits".to_owned());
    };
    if file.bytes == 0 {
        return refuse("empty", "the file is empty".to_owned());
    }
    if file.bytes > limits::IMAGE_BYTES {
        let detail = format!("the file has {} bytes; the limit is {}", file.bytes, limits::IMAGE_BYTES);
        return refuse("too-large", detail);
    }
    if !MEDIA_TYPES.contains(&file.media_type.as_str()) {
        return refuse("unsupported-type", format!("the media type is one of {}", MEDIA_TYPES.join(", ")));
    }
    Ok(AnnouncedFile { name, image, bytes: file.bytes, media_type: file.media_type.clone(), announced_at: now })
}
