//! The routes of webhooks.

use axum::{Json, extract::State, http::StatusCode};
use lambel_core::{
    TaskId,
    api::PageQuery,
    webhook::{
        WebhookId,
        api::{
            AttemptPage, ChangeWebhook, CreateWebhook, Redeliver, Redelivered, TestSent, WebhookList, WebhookView,
            WebhookWithSecret,
        },
    },
};
use lambel_service::webhooks::Webhooks;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{
        CreateTaskWebhook, CreateWebhook as CreateAnswer, ListWebhooks, OfTask, OfWebhook, PageOfWebhook, Redeliveries,
        WebhookBy,
    },
    extract::{JsonBody, Params, SignedIn, TaskOf, WebhookOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Webhooks> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(create_for_task, list_of_task))
        .routes(routes!(show, change, delete))
        .routes(routes!(rotate))
        .routes(routes!(test))
        .routes(routes!(deliveries))
        .routes(routes!(redeliver))
}

/// Make a webhook for the events of all one's tasks
///
/// The answer has the secret, this once.
#[utoipa::path(
    post, path = "/api/webhooks", operation_id = "create_webhook", tag = "webhooks", request_body = CreateWebhook,
    responses(
        (status = 201, description = "The webhook was made", body = WebhookWithSecret),
        CreateAnswer,
    )
)]
async fn create(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    JsonBody(body): JsonBody<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookWithSecret>), Problem> {
    Ok((StatusCode::CREATED, Json(webhooks.create(&caller, None, &body).await?)))
}

/// List one's webhooks for all tasks
#[utoipa::path(
    get, path = "/api/webhooks", operation_id = "list_webhooks", tag = "webhooks",
    responses(
        (status = 200, description = "The webhooks, the oldest first", body = WebhookList),
        ListWebhooks,
    )
)]
async fn list(State(webhooks): State<Webhooks>, SignedIn(caller): SignedIn) -> Result<Json<WebhookList>, Problem> {
    Ok(Json(webhooks.list(&caller, None).await?))
}

/// Make a webhook for the events of one task
///
/// The answer has the secret, this once.
#[utoipa::path(
    post, path = "/api/tasks/{task}/webhooks", operation_id = "create_task_webhook", tag = "webhooks",
    request_body = CreateWebhook, params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 201, description = "The webhook was made", body = WebhookWithSecret),
        CreateTaskWebhook,
    )
)]
async fn create_for_task(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<CreateWebhook>,
) -> Result<(StatusCode, Json<WebhookWithSecret>), Problem> {
    Ok((StatusCode::CREATED, Json(webhooks.create(&caller, Some(task), &body).await?)))
}

/// List the webhooks of one task
#[utoipa::path(
    get, path = "/api/tasks/{task}/webhooks", operation_id = "list_task_webhooks", tag = "webhooks",
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The webhooks, the oldest first", body = WebhookList),
        OfTask,
    )
)]
async fn list_of_task(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
) -> Result<Json<WebhookList>, Problem> {
    Ok(Json(webhooks.list(&caller, Some(task)).await?))
}

/// Show a webhook
#[utoipa::path(
    get, path = "/api/webhooks/{webhook}", operation_id = "show_webhook", tag = "webhooks",
    params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook", body = WebhookView),
        OfWebhook,
    )
)]
async fn show(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(webhooks.show(&caller, webhook).await?))
}

/// Change a webhook: where to, which events, whether at all
///
/// What is left out stays.
#[utoipa::path(
    patch, path = "/api/webhooks/{webhook}", operation_id = "change_webhook", tag = "webhooks",
    request_body = ChangeWebhook, params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook, as it is now", body = WebhookView),
        WebhookBy,
    )
)]
async fn change(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
    JsonBody(body): JsonBody<ChangeWebhook>,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(webhooks.change(&caller, webhook, &body).await?))
}

/// Delete a webhook
///
/// What is on its way to it is dropped.
#[utoipa::path(
    delete, path = "/api/webhooks/{webhook}", operation_id = "delete_webhook", tag = "webhooks",
    params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook is deleted", body = WebhookView),
        OfWebhook,
    )
)]
async fn delete(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
) -> Result<Json<WebhookView>, Problem> {
    Ok(Json(webhooks.delete(&caller, webhook).await?))
}

/// Give a webhook another secret
///
/// The answer has it, this once. The one before signs too for a day, so that the receiver can change over.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook}/secret", operation_id = "rotate_webhook_secret", tag = "webhooks",
    params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 200, description = "The webhook, with the new secret", body = WebhookWithSecret),
        OfWebhook,
    )
)]
async fn rotate(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
) -> Result<Json<WebhookWithSecret>, Problem> {
    Ok(Json(webhooks.rotate(&caller, webhook).await?))
}

/// Send a test to a webhook
///
/// Once, also to one that is disabled. The log says what came of it.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook}/test", operation_id = "test_webhook", tag = "webhooks",
    params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 202, description = "The test is on its way", body = TestSent),
        OfWebhook,
    )
)]
async fn test(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
) -> Result<(StatusCode, Json<TestSent>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(webhooks.test(&caller, webhook).await?)))
}

/// Read the log of a webhook
///
/// The newest event first, and of each event the newest attempt first; kept for 30 days.
#[utoipa::path(
    get, path = "/api/webhooks/{webhook}/deliveries", operation_id = "webhook_deliveries", tag = "webhooks",
    params(("webhook" = WebhookId, Path, description = "The webhook"), PageQuery),
    responses(
        (status = 200, description = "A page of attempts", body = AttemptPage),
        PageOfWebhook,
    )
)]
async fn deliveries(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
    Params(query): Params<PageQuery>,
) -> Result<Json<AttemptPage>, Problem> {
    Ok(Json(webhooks.deliveries(&caller, webhook, &query).await?))
}

/// Send again what did not arrive
///
/// One delivery of the log, or all that are dead: up to 100 by one request, and `next` is the `cursor` to go on with.
/// Each keeps its id.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook}/redeliveries", operation_id = "redeliver", tag = "webhooks",
    request_body = Redeliver, params(("webhook" = WebhookId, Path, description = "The webhook")),
    responses(
        (status = 202, description = "They are on their way", body = Redelivered),
        Redeliveries,
    )
)]
async fn redeliver(
    State(webhooks): State<Webhooks>,
    SignedIn(caller): SignedIn,
    WebhookOf(webhook): WebhookOf,
    JsonBody(body): JsonBody<Redeliver>,
) -> Result<(StatusCode, Json<Redelivered>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(webhooks.redeliver(&caller, webhook, &body).await?)))
}
