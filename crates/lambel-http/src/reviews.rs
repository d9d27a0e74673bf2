//! The route of reviews: a person decides images whose votes have found no answer.

use axum::{Json, extract::State};
use lambel_core::{
    TaskId,
    api::{ReviewImages, ReviewReceipts},
};
use lambel_service::tasks::Tasks;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::ChangeBy,
    extract::{JsonBody, SignedIn, TaskOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Tasks> {
    OpenApiRouter::new().routes(routes!(review_images))
}

/// Decide disputed images
///
/// Each is judged alone: it gets a label, or keeps the best there is, and is complete by that. The same again changes
/// nothing; what is not disputed is refused. The list of images with `state=disputed` says what there is to decide. It
/// can be done in every task that is not over; where the policy says `review` the task completes only then.
#[utoipa::path(
    post, path = "/api/tasks/{task}/reviews", tag = "tasks", request_body = ReviewImages,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "What became of each image", body = ReviewReceipts),
        ChangeBy,
    )
)]
async fn review_images(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<ReviewImages>,
) -> Result<Json<ReviewReceipts>, Problem> {
    Ok(Json(tasks.review(&caller, task, &body).await?))
}
