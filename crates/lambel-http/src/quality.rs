//! The routes about the operators of a task, for its client and for admins.

use axum::{Json, extract::State};
use lambel_core::{
    OperatorId, TaskId,
    api::{OperatorPage, OperatorQualityView, PageQuery, PauseInTaskView, PauseOperator},
};
use lambel_service::quality::Quality;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{OfOperatorInTask, PageOfTask, PauseInTask, ResumeInTask},
    extract::{JsonBody, OperatorOf, Params, SignedIn, TaskOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Quality> {
    OpenApiRouter::new().routes(routes!(operators)).routes(routes!(operator)).routes(routes!(pause, resume))
}

/// Read how the operators of a task work, and how far they agree
///
/// As the last look at the votes on decided images has found it: the first comes when 20 images are decided, then one
/// each time another twentieth is. Sorted by operator.
#[utoipa::path(
    get, path = "/api/tasks/{task}/operators", operation_id = "task_operators", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), PageQuery),
    responses(
        (status = 200, description = "A page of operators", body = OperatorPage),
        PageOfTask,
    )
)]
async fn operators(
    State(quality): State<Quality>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<PageQuery>,
) -> Result<Json<OperatorPage>, Problem> {
    Ok(Json(quality.operators(&caller, task, &query).await?))
}

/// Read how one operator of a task works, and what they confuse
#[utoipa::path(
    get, path = "/api/tasks/{task}/operators/{operator}", operation_id = "task_operator", tag = "tasks",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("operator" = OperatorId, Path, description = "The operator"),
    ),
    responses(
        (status = 200, description = "The operator", body = OperatorQualityView),
        OfOperatorInTask,
    )
)]
async fn operator(
    State(quality): State<Quality>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    OperatorOf(operator): OperatorOf,
) -> Result<Json<OperatorQualityView>, Problem> {
    Ok(Json(quality.operator(&caller, task, &operator).await?))
}

/// Pause an operator in a task
///
/// Claims and votes of theirs in this task are refused from now on, and what they hold of it goes back to the pool.
/// Votes that they have given stay, and other tasks are open to them.
#[utoipa::path(
    put, path = "/api/tasks/{task}/operators/{operator}/pause", operation_id = "pause_in_task", tag = "tasks",
    request_body = PauseOperator,
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("operator" = OperatorId, Path, description = "The operator"),
    ),
    responses(
        (status = 200, description = "The operator is paused in this task", body = PauseInTaskView),
        PauseInTask,
    )
)]
async fn pause(
    State(quality): State<Quality>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    OperatorOf(operator): OperatorOf,
    JsonBody(body): JsonBody<PauseOperator>,
) -> Result<Json<PauseInTaskView>, Problem> {
    Ok(Json(quality.pause(&caller, task, &operator, &body).await?))
}

/// Let an operator work in a task again
///
/// The policy does not pause them again for flags of the kinds that they have now, as long as they keep them.
#[utoipa::path(
    delete, path = "/api/tasks/{task}/operators/{operator}/pause", operation_id = "resume_in_task", tag = "tasks",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("operator" = OperatorId, Path, description = "The operator"),
    ),
    responses(
        (status = 200, description = "The operator may work in this task", body = PauseInTaskView),
        ResumeInTask,
    )
)]
async fn resume(
    State(quality): State<Quality>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    OperatorOf(operator): OperatorOf,
) -> Result<Json<PauseInTaskView>, Problem> {
    Ok(Json(quality.resume(&caller, task, &operator).await?))
}
