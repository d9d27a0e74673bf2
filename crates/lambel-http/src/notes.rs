//! The routes of the notes of versions.

use axum::{Json, extract::State};
use lambel_core::{
    NoteKey, TaskId,
    api::notes::{NoteFields, NoteList, NoteView, NoteWritten},
};
use lambel_service::dataset::DatasetNotes;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{NoteBy, OfNote, OfVersion},
    extract::{JsonBody, NoteOf, SignedIn, TaskOf, VersionOf},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<DatasetNotes> {
    OpenApiRouter::new().routes(routes!(notes)).routes(routes!(note, put_note))
}

/// List the notes of a version
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/commits/{version}/notes", tag = "data sets",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("version" = String, Path, description = "A branch, a tag, an id or the first digits of one"),
    ),
    responses(
        (status = 200, description = "The notes, sorted by key: 50 at most", body = NoteList),
        OfVersion,
    )
)]
async fn notes(
    State(notes): State<DatasetNotes>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    VersionOf(version): VersionOf,
) -> Result<Json<NoteList>, Problem> {
    Ok(Json(notes.list(&caller, task, &version).await?))
}

/// Show a note of a version
#[utoipa::path(
    get, path = "/api/tasks/{task}/dataset/commits/{version}/notes/{key}", tag = "data sets",
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("version" = String, Path, description = "A branch, a tag, an id or the first digits of one"),
        ("key" = NoteKey, Path, description = "What the note is found by"),
    ),
    responses(
        (status = 200, description = "The note", body = NoteView),
        OfNote,
    )
)]
async fn note(
    State(notes): State<DatasetNotes>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    VersionOf(version): VersionOf,
    NoteOf(key): NoteOf,
) -> Result<Json<NoteView>, Problem> {
    Ok(Json(notes.show(&caller, task, &version, &key).await?))
}

/// Write a note of a version
///
/// A version never changes; what there is to say of it afterwards lies beside it. Who writes a note whose key is there
/// writes over it: the last one wins, and is named in it.
#[utoipa::path(
    put, path = "/api/tasks/{task}/dataset/commits/{version}/notes/{key}", tag = "data sets",
    request_body = NoteFields,
    params(
        ("task" = TaskId, Path, description = "The task"),
        ("version" = String, Path, description = "A branch, a tag, an id or the first digits of one"),
        ("key" = NoteKey, Path, description = "What the note is found by"),
    ),
    responses(
        (status = 200, description = "The note, and the version that it is of", body = NoteWritten),
        NoteBy,
    )
)]
async fn put_note(
    State(notes): State<DatasetNotes>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    VersionOf(version): VersionOf,
    NoteOf(key): NoteOf,
    JsonBody(body): JsonBody<NoteFields>,
) -> Result<Json<NoteWritten>, Problem> {
    Ok(Json(notes.put(&caller, task, &version, &key, body).await?))
}
