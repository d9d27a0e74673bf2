//! The routes of votes from outside: the first is the Task Manager's, the second the Subtask Manager's.

use axum::{Json, extract::State};
use lambel_core::{
    TaskId,
    api::{BeginImport, BringAnswer, BringVotes, TaskView},
};
use lambel_service::{import::VoteImports, tasks::Tasks};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::Import,
    extract::{JsonBody, SignedIn, TaskOf},
    problem::Problem,
};

pub(crate) fn task_routes() -> OpenApiRouter<Tasks> {
    OpenApiRouter::new().routes(routes!(begin_import))
}

pub(crate) fn vote_routes() -> OpenApiRouter<VoteImports> {
    OpenApiRouter::new().routes(routes!(bring_votes))
}

/// Tell a task that votes from outside will be brought in
///
/// It is on the task's trail from then on. The same import again changes nothing.
#[utoipa::path(
    post, path = "/api/tasks/{task}/imports", tag = "tasks", request_body = BeginImport,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The task knows of the import", body = TaskView),
        Import,
    )
)]
async fn begin_import(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<BeginImport>,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(tasks.begin_import(&caller, task, &body).await?))
}

/// Bring in votes from outside
///
/// Votes that people or models have given elsewhere, under an import that the task was told of. Nobody needs a lease
/// for them. Each vote is judged alone, and takes a free slot as any other; the same vote again changes nothing.
#[utoipa::path(
    post, path = "/api/tasks/{task}/votes", tag = "tasks", request_body = BringVotes,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "What became of each vote", body = BringAnswer),
        Import,
    )
)]
async fn bring_votes(
    State(imports): State<VoteImports>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<BringVotes>,
) -> Result<Json<BringAnswer>, Problem> {
    Ok(Json(imports.bring(&caller, task, &body).await?))
}
