//! The routes of gold: images whose true label the client knows.

use axum::{Json, extract::State};
use lambel_core::{
    ImageId, TaskId,
    api::{AddGold, GoldPage, GoldReceipts, GoldRemoval, PageQuery},
};
use lambel_service::tasks::Tasks;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{ChangeBy, OfImage, PageOfTask},
    extract::{ImageOf, JsonBody, Params, SignedIn, TaskOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Tasks> {
    OpenApiRouter::new().routes(routes!(add_gold, list_gold)).routes(routes!(remove_gold))
}

/// Say which images are gold, and their true labels
///
/// Each is judged alone. An image that is open is decided by this: it is no work any more. The same again changes
/// nothing; another label takes the place of the one before, for what operators are measured by.
#[utoipa::path(
    post, path = "/api/tasks/{task}/gold", tag = "tasks", request_body = AddGold,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "What became of each image", body = GoldReceipts),
        ChangeBy,
    )
)]
async fn add_gold(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<AddGold>,
) -> Result<Json<GoldReceipts>, Problem> {
    Ok(Json(tasks.add_gold(&caller, task, &body).await?))
}

/// List the gold of a task, with what operators made of it
#[utoipa::path(
    get, path = "/api/tasks/{task}/gold", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), PageQuery),
    responses(
        (status = 200, description = "A page of gold, sorted by image", body = GoldPage),
        PageOfTask,
    )
)]
async fn list_gold(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<PageQuery>,
) -> Result<Json<GoldPage>, Problem> {
    Ok(Json(tasks.gold(&caller, task, &query).await?))
}

/// Take an image off the gold of a task
///
/// What the image was decided for stays. What operators said of it counts no more.
#[utoipa::path(
    delete, path = "/api/tasks/{task}/gold/{image}", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), ("image" = ImageId, Path, description = "The image")),
    responses(
        (status = 200, description = "Whether it was gold", body = GoldRemoval),
        OfImage,
    )
)]
async fn remove_gold(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    ImageOf(image): ImageOf,
) -> Result<Json<GoldRemoval>, Problem> {
    Ok(Json(tasks.remove_gold(&caller, task, image).await?))
}
