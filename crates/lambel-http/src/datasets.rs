//! The routes of the versions of data sets.

use axum::{Json, extract::State, http::StatusCode};
use lambel_core::{
    TaskId,
    api::dataset::{
        BlameQuery, BlameView, BranchMoved, CommitAsked, CommitFields, CommitView, DiffPage, DiffQuery, LogPage,
        LogQuery, RefsView, ReleaseFields, RollbackFields, TagFields, TagSet,
    },
};
use lambel_service::dataset::Versions;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{AskVersion, ImageOfVersion, OfTask, OfVersion, OfVersions, TagBy, VersionBy},
    extract::{JsonBody, Params, SignedIn, TaskOf, VersionOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Versions> {
    OpenApiRouter::new()
        .routes(routes!(commit))
        .routes(routes!(version))
        .routes(routes!(refs))
        .routes(routes!(log))
        .routes(routes!(diff))
        .routes(routes!(blame))
        .routes(routes!(rollback))
        .routes(routes!(tag))
        .routes(routes!(release))
}

/// Ask for a version of the data set as it is now
///
/// It is made in the background, which takes minutes for a large task. The answer says how to see that it is there.
#[utoipa::path(
    post, path = "/api/tasks/{task}/dataset/commits", tag = "data sets", request_body = CommitFields,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 202, description = "The version is asked for", body = CommitAsked),
        AskVersion,
    )
)]
async fn commit(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<CommitFields>,
) -> Result<(StatusCode, Json<CommitAsked>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(versions.ask(&caller, task, &body).await?)))
}

/// Show a version of the data set
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/commits/{version}", tag = "data sets",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("version" = String, Path, description = "A branch, a tag, an id or the first digits of one; `live~1` is the \
         version before `live`"),
    ),
    responses(
        (status = 200, description = "The version", body = CommitView),
        OfVersion,
    )
)]
async fn version(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    VersionOf(version): VersionOf,
) -> Result<Json<CommitView>, Problem> {
    Ok(Json(versions.show(&caller, task, &version).await?))
}

/// List the branches and tags of the data set
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/refs", tag = "data sets",
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "Where the branches stand, and what the tags stand for", body = RefsView),
        OfTask,
    )
)]
async fn refs(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
) -> Result<Json<RefsView>, Problem> {
    Ok(Json(versions.refs(&caller, task).await?))
}

/// List a version and what came before it, the newest first
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/log", tag = "data sets",
    params(("task" = TaskId, Path, description = "The task"), LogQuery),
    responses(
        (status = 200, description = "A page of versions", body = LogPage),
        OfVersions,
    )
)]
async fn log(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<LogQuery>,
) -> Result<Json<LogPage>, Problem> {
    Ok(Json(versions.log(&caller, task, &query).await?))
}

/// List the images that are not the same in two versions
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/diff", tag = "data sets",
    params(("task" = TaskId, Path, description = "The task"), DiffQuery),
    responses(
        (status = 200, description = "A page of differences, each with the rows of both versions", body = DiffPage),
        OfVersions,
    )
)]
async fn diff(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<DiffQuery>,
) -> Result<Json<DiffPage>, Problem> {
    Ok(Json(versions.diff(&caller, task, &query).await?))
}

/// Say which version gave an image the label that it has
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/blame", tag = "data sets",
    params(("task" = TaskId, Path, description = "The task"), BlameQuery),
    responses(
        (status = 200, description = "The first version in which it was so", body = BlameView),
        ImageOfVersion,
    )
)]
async fn blame(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<BlameQuery>,
) -> Result<Json<BlameView>, Problem> {
    Ok(Json(versions.blame(&caller, task, &query).await?))
}

/// Make the rows of an old version those of the newest
///
/// Nothing is lost: there is a new version with the old rows. What follows the labels writes them anew with the next
/// version.
#[utoipa::path(
    post, path = "/api/tasks/{task}/dataset/rollback", tag = "data sets", request_body = RollbackFields,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "Where the branch stands now", body = BranchMoved),
        VersionBy,
    )
)]
async fn rollback(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<RollbackFields>,
) -> Result<Json<BranchMoved>, Problem> {
    Ok(Json(versions.rollback(&caller, task, &body).await?))
}

/// Give a version a name for good
#[utoipa::path(
    post, path = "/api/tasks/{task}/dataset/tags", tag = "data sets", request_body = TagFields,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The name stands for the version", body = TagSet),
        TagBy,
    )
)]
async fn tag(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<TagFields>,
) -> Result<Json<TagSet>, Problem> {
    Ok(Json(versions.tag(&caller, task, &body).await?))
}

/// Release a version
///
/// `released`, which others follow, stands at it from now on. A version that was released by hand is not replaced by
/// the task's policy.
#[utoipa::path(
    post, path = "/api/tasks/{task}/dataset/release", tag = "data sets", request_body = ReleaseFields,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "Where `released` stands now", body = BranchMoved),
        VersionBy,
    )
)]
async fn release(
    State(versions): State<Versions>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<ReleaseFields>,
) -> Result<Json<BranchMoved>, Problem> {
    Ok(Json(versions.release(&caller, task, &body).await?))
}
