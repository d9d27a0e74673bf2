//! What goes wrong, as RFC 9457 shapes it.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lambel_core::api;
use lambel_service::{Error, ports::StoreError};

/// Every kind of problem: a name for programs, a title, a status, and what it means.
pub(crate) struct Kind {
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) meaning: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $code:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        $(pub(crate) const $name: Kind =
            Kind { code: $code, title: $title, status: StatusCode::$status, meaning: $meaning };)*
        /// All of them.
        pub(crate) const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BAD_REQUEST = "bad-request", BAD_REQUEST, "Bad request",
        "The request cannot be read: it is not JSON of the shape that the OpenAPI document says, or has a field that is not known.";
    INVALID = "invalid", UNPROCESSABLE_ENTITY, "Invalid value",
        "A field has a value that it cannot have. The detail names the field, and the limit if the value is over one.";
    NOT_SIGNED_IN = "not-signed-in", UNAUTHORIZED, "Not signed in",
        "The request has no token, or the token is not valid any more. Sign in again.";
    NOT_ALLOWED = "not-allowed", FORBIDDEN, "Not allowed",
        "The account is in none of the groups that may do this. The owner of the deployment can put it there.";
    TASK_NOT_FOUND = "task-not-found", NOT_FOUND, "Task not found",
        "There is no task with this id among those that the account may see.";
    IMAGE_NOT_FOUND = "image-not-found", NOT_FOUND, "Image not found",
        "The task has no image with this id.";
    VERSION_NOT_FOUND = "version-not-found", NOT_FOUND, "Version not found",
        "The data set of the task has no such branch, tag or version. The detail says which names there are.";
    NOTE_NOT_FOUND = "note-not-found", NOT_FOUND, "Note not found",
        "The version of the data set has no note with this key.";
    EXPORT_NOT_FOUND = "export-not-found", NOT_FOUND, "Export not found",
        "The data set of the task has no export with this id.";
    ROUTE_NOT_FOUND = "route-not-found", NOT_FOUND, "No such address",
        "The interface has no such path. The OpenAPI document at /openapi.json lists those it has.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "No such method here",
        "The path exists, the method does not. The OpenAPI document at /openapi.json lists those it has.";
    TASK_ENDED = "task-ended", CONFLICT, "Task has ended",
        "The task is complete or cancelled; what was asked for is no longer possible.";
    CONFLICT = "conflict", CONFLICT, "Conflict",
        "The request contradicts what is there. The detail says how.";
    BODY_TOO_LARGE = "body-too-large", PAYLOAD_TOO_LARGE, "Body too large",
        "The body of the request is over the limit of 1,000,000 bytes. Split the request.";
    TOO_MANY_TASKS = "too-many-tasks", CONFLICT, "Too many tasks",
        "The client has 100 tasks that are open or sealed, which is the limit. Cancel one, or wait until one is complete.";
    WEBHOOK_NOT_FOUND = "webhook-not-found", NOT_FOUND, "Webhook not found",
        "There is no webhook with this id among those that the account may see.";
    DELIVERY_NOT_FOUND = "delivery-not-found", NOT_FOUND, "Delivery not found",
        "The log of the webhook has no delivery with this id. Entries are kept for 30 days.";
    TOO_MANY_WEBHOOKS = "too-many-webhooks", CONFLICT, "Too many webhooks",
        "The client, or the task, has 10 webhooks, which is the limit. Delete one.";
    PAUSED = "paused", FORBIDDEN, "Account paused",
        "An admin has paused the operator's account: no claims and no votes are taken. What was labelled counts.";
    PAUSED_IN_TASK = "paused-in-task", FORBIDDEN, "Paused in this task",
        "The operator is paused in this task, by its client or by its policy: no claims and no votes are taken there. What was labelled counts, and other tasks are open.";
    OPERATOR_NOT_FOUND = "operator-not-found", NOT_FOUND, "Operator not found",
        "Nobody with this id has worked in the task, as far as is known yet.";
    TOO_MANY_REQUESTS = "too-many-requests", TOO_MANY_REQUESTS, "Too many requests",
        "The caller sends more than 300 requests in 10 seconds. The header Retry-After says when to go on. Ask for more by each request: pages have up to 1,000 rows, claims and votes up to 100.";
    CONTENDED = "contended", SERVICE_UNAVAILABLE, "Try again",
        "Others change the same thing at the same time. Nothing is lost; send the same request again.";
    BUSY = "busy", SERVICE_UNAVAILABLE, "Try again",
        "The storage behind is busy. Nothing is lost; send the same request again in a moment.";
    FAILED = "failed", INTERNAL_SERVER_ERROR, "Failed",
        "Something is wrong with the deployment. Its owner finds the reason in the logs.";
}

/// One occurrence of a problem.
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    /// When to try again, in seconds.
    retry_after: Option<u32>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let retry_after = (kind.status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { kind, detail: detail.into(), retry_after }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Invalid { .. } => INVALID,
            Error::RoleMissing { .. } => NOT_ALLOWED,
            Error::TaskNotFound => TASK_NOT_FOUND,
            Error::ImageNotFound => IMAGE_NOT_FOUND,
            Error::VersionNotFound(_) => VERSION_NOT_FOUND,
            Error::NoteNotFound => NOTE_NOT_FOUND,
            Error::ExportNotFound => EXPORT_NOT_FOUND,
            Error::TaskEnded(_) => TASK_ENDED,
            Error::Conflict(_) => CONFLICT,
            Error::TooManyTasks => TOO_MANY_TASKS,
            Error::WebhookNotFound => WEBHOOK_NOT_FOUND,
            Error::DeliveryNotFound => DELIVERY_NOT_FOUND,
            Error::TooManyWebhooks => TOO_MANY_WEBHOOKS,
            Error::Paused => PAUSED,
            Error::PausedInTask => PAUSED_IN_TASK,
            Error::OperatorNotFound => OPERATOR_NOT_FOUND,
            Error::TooManyRequests { .. } => TOO_MANY_REQUESTS,
            Error::Contended => CONTENDED,
            Error::Store(StoreError::Busy(_)) => BUSY,
            Error::Store(StoreError::Failed(_)) => FAILED,
        };
        // What the storage said is for the owner, not for the caller.
        let detail = match &error {
            Error::Store(store) => {
                tracing::error!(error = %store, "request failed");
                kind.meaning.to_owned()
            }
            other => other.to_string(),
        };
        let problem = Self::new(kind, detail);
        match error {
            Error::TooManyRequests { retry_after } => Self { retry_after: Some(retry_after), ..problem },
            _ => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { kind: Kind { code, title, status, .. }, detail, retry_after } = self;
        let body = api::Problem {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail,
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

pub(crate) async fn no_such_route() -> Problem {
    Problem::new(ROUTE_NOT_FOUND, "there is nothing at this path")
}

pub(crate) async fn no_such_method() -> Problem {
    Problem::new(METHOD_NOT_ALLOWED, "this path does not take this method")
}
