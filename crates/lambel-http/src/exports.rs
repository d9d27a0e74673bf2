//! The routes of exports of data sets.

use axum::{Json, extract::State, http::StatusCode};
use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportId, ExportList, ExportView},
};
use lambel_service::exports::DatasetExports;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{AskExport, OfExport, OfTask},
    extract::{ExportOf, JsonBody, SignedIn, TaskOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<DatasetExports> {
    OpenApiRouter::new().routes(routes!(export, exports)).routes(routes!(show_export))
}

/// Ask for a version of the data set in the format of another tool
///
/// It is made in the background, in pieces; look at it to see how far it is and, when it is complete, where its files
/// are. The same version in the same format with the same options is the same export: while its files are there they
/// are not made again. Files are removed after 30 days.
#[utoipa::path(
    post, path = "/api/tasks/{task}/dataset/exports", tag = "data sets", request_body = CreateExport,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 202, description = "The export, which may be there already", body = ExportView),
        AskExport,
    )
)]
async fn export(
    State(exports): State<DatasetExports>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<CreateExport>,
) -> Result<(StatusCode, Json<ExportView>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(exports.create(&caller, task, &body).await?)))
}

/// List the latest exports of the data set: 100 at most
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/exports", tag = "data sets",
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The exports, the latest first, without their files", body = ExportList),
        OfTask,
    )
)]
async fn exports(
    State(exports): State<DatasetExports>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
) -> Result<Json<ExportList>, Problem> {
    Ok(Json(exports.list(&caller, task).await?))
}

/// Show an export: how far it is, and where its files are
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/exports/{export}", tag = "data sets",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("export" = ExportId, Path, description = "The export"),
    ),
    responses(
        (status = 200, description = "The export", body = ExportView),
        OfExport,
    )
)]
async fn show_export(
    State(exports): State<DatasetExports>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    ExportOf(export): ExportOf,
) -> Result<Json<ExportView>, Problem> {
    Ok(Json(exports.show(&caller, task, export).await?))
}
