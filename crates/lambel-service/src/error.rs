//! What can go wrong for a caller.

use lambel_core::{TaskState, limits};

use crate::ports::StoreError;

/// The result of a use case.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case refused, or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request says something that it may not say.
    #[error("{field}: {detail}")]
    Invalid {
        /// Which field of the request.
        field: &'static str,
        /// What is wrong with it, with the limit if it is over one.
        detail: String,
    },
    /// The caller is in none of the groups that may do this.
    #[error("this needs membership in the group `{group}`")]
    RoleMissing {
        /// The group of the user pool.
        group: &'static str,
    },
    /// There is no such task, or it is somebody else's: the two cannot be told apart.
    #[error("there is no task with this id")]
    TaskNotFound,
    /// There is no such image in the task.
    #[error("there is no image with this id in the task")]
    ImageNotFound,
    /// There is no such version of the data set.
    #[error("{0}")]
    VersionNotFound(String),
    /// The version has no such note.
    #[error("the version has no note with this key")]
    NoteNotFound,
    /// There is no such export.
    #[error("there is no export with this id of the task's data set")]
    ExportNotFound,
    /// The task is over.
    #[error("the task is {}", .0.as_str())]
    TaskEnded(TaskState),
    /// The request contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// The client has as many active tasks as they may have.
    #[error(
        "you have {} tasks that are open or sealed, which is the limit; cancel one, or wait until one is complete",
        limits::ACTIVE_TASKS_PER_CLIENT
    )]
    TooManyTasks,
    /// There is no such webhook, or it is somebody else's: the two cannot be told apart.
    #[error("there is no webhook with this id")]
    WebhookNotFound,
    /// The webhook's log has no such delivery.
    #[error("the log of the webhook has no delivery with this id")]
    DeliveryNotFound,
    /// The client, or the task, has as many webhooks as it may have.
    #[error("there are {} webhooks here, which is the limit; delete one", limits::WEBHOOKS_PER_SCOPE)]
    TooManyWebhooks,
    /// An admin has paused the operator.
    #[error("an admin has paused your account; what you have labelled counts. Ask them when you can go on")]
    Paused,
    /// The operator is paused in this task.
    #[error("you are paused in this task; what you have labelled counts, and other tasks are open to you")]
    PausedInTask,
    /// There is no such operator in the task.
    #[error("nobody with this id has worked in the task, as far as is known yet")]
    OperatorNotFound,
    /// The caller asks too often.
    #[error(
        "more than {} requests in {} seconds; go on in {retry_after} seconds",
        limits::REQUESTS_PER_WINDOW,
        limits::REQUEST_WINDOW_SECONDS
    )]
    TooManyRequests {
        /// When to go on, in seconds.
        retry_after: u32,
    },
    /// Somebody else changed the same thing too often at the same time.
    #[error("somebody else changes the same thing; try again")]
    Contended,
    /// The storage behind failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// A refusal of a field.
    pub(crate) fn invalid(field: &'static str, detail: impl ToString) -> Self {
        Self::Invalid { field, detail: detail.to_string() }
    }
}

/// What is to become of a message that could not be dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comeback {
    /// It may go better later.
    Later,
    /// It cannot be read, now or ever: it belongs into the dead-letter queue, where somebody sees it.
    Never,
}
