//! The routes of clients.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use lambel_core::{
    ImageId, TaskId,
    api::{
        AnnounceFiles, AudienceFields, AuditPage, CreateTask, Grants, ImagePage, ImageView, ImagesQuery, PageQuery,
        ResultPage, SealTask, TaskPage, TaskView,
    },
    limits,
};
use lambel_service::{results::cursor_of, tasks::Tasks};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{Change, ChangeBy, Create, OfImage, OfTask, Page, PageOfTask, Seal},
    extract::{ImageOf, JsonBody, Params, SignedIn, TaskOf},
    problem::Problem,
};

/// The media type of JSON Lines.
const JSON_LINES: &str = "application/x-ndjson";

pub(crate) fn routes() -> OpenApiRouter<Tasks> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, cancel))
        .routes(routes!(announce))
        .routes(routes!(seal))
        .routes(routes!(open_to))
        .routes(routes!(audit))
        .routes(routes!(images))
        .routes(routes!(image))
        .routes(routes!(results))
        .merge(crate::gold::routes())
        .merge(crate::reviews::routes())
}

/// Make a task
#[utoipa::path(
    post, path = "/api/tasks", tag = "tasks", request_body = CreateTask,
    responses(
        (status = 201, description = "The task was made", body = TaskView),
        Create,
    )
)]
async fn create(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    JsonBody(body): JsonBody<CreateTask>,
) -> Result<(StatusCode, Json<TaskView>), Problem> {
    Ok((StatusCode::CREATED, Json(tasks.create(&caller, &body).await?)))
}

/// List one's tasks, the newest first
#[utoipa::path(
    get, path = "/api/tasks", tag = "tasks", params(PageQuery),
    responses(
        (status = 200, description = "A page of tasks", body = TaskPage),
        Page,
    )
)]
async fn list(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    Params(query): Params<PageQuery>,
) -> Result<Json<TaskPage>, Problem> {
    Ok(Json(tasks.list(&caller, &query).await?))
}

/// Show a task with its exact progress
#[utoipa::path(
    get, path = "/api/tasks/{task}", tag = "tasks", params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The task", body = TaskView),
        OfTask,
    )
)]
async fn show(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(tasks.show(&caller, task).await?))
}

/// Cancel a task
///
/// Nothing is handed out any more. What was decided stays readable.
#[utoipa::path(
    delete, path = "/api/tasks/{task}", tag = "tasks", params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The task is cancelled", body = TaskView),
        Change,
    )
)]
async fn cancel(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(tasks.cancel(&caller, task).await?))
}

/// Announce files, and learn how to upload them
///
/// Each file is judged alone. Announcing a file again is how an upload whose address has expired goes on.
#[utoipa::path(
    post, path = "/api/tasks/{task}/uploads", tag = "tasks", request_body = AnnounceFiles,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "What to do with each file", body = Grants),
        ChangeBy,
    )
)]
async fn announce(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<AnnounceFiles>,
) -> Result<Json<Grants>, Problem> {
    Ok(Json(tasks.announce(&caller, task, &body).await?))
}

/// Seal a task: say how many distinct images it has
///
/// The task completes when they have all arrived and all are decided. Another number corrects the first.
#[utoipa::path(
    post, path = "/api/tasks/{task}/seal", tag = "tasks", request_body = SealTask,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The task is sealed, or complete already", body = TaskView),
        Seal,
    )
)]
async fn seal(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<SealTask>,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(tasks.seal(&caller, task, &body).await?))
}

/// Say who may label a task
///
/// What was leased to others stays theirs until the lease ends.
#[utoipa::path(
    put, path = "/api/tasks/{task}/audience", tag = "tasks", request_body = AudienceFields,
    params(("task" = TaskId, Path, description = "The task")),
    responses(
        (status = 200, description = "The task is open to these operators", body = TaskView),
        ChangeBy,
    )
)]
async fn open_to(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    JsonBody(body): JsonBody<AudienceFields>,
) -> Result<Json<TaskView>, Problem> {
    Ok(Json(tasks.open_to(&caller, task, &body).await?))
}

/// Read who did what with a task
#[utoipa::path(
    get, path = "/api/tasks/{task}/audit", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), PageQuery),
    responses(
        (status = 200, description = "A page of the trail, the newest first", body = AuditPage),
        PageOfTask,
    )
)]
async fn audit(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<PageQuery>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(tasks.audit(&caller, task, &query).await?))
}

/// List the images of a task
///
/// Pages of a rare state may be short, or empty, before the last.
#[utoipa::path(
    get, path = "/api/tasks/{task}/images", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), ImagesQuery),
    responses(
        (status = 200, description = "A page of images", body = ImagePage),
        PageOfTask,
    )
)]
async fn images(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(query): Params<ImagesQuery>,
) -> Result<Json<ImagePage>, Problem> {
    Ok(Json(tasks.images(&caller, task, &query).await?))
}

/// Show one image with its votes
#[utoipa::path(
    get, path = "/api/tasks/{task}/images/{image}", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), ("image" = ImageId, Path, description = "The image")),
    responses(
        (status = 200, description = "The image", body = ImageView),
        OfImage,
    )
)]
async fn image(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    ImageOf(image): ImageOf,
) -> Result<Json<ImageView>, Problem> {
    Ok(Json(tasks.image(&caller, task, image).await?))
}

/// Read the results: a row for each file name
///
/// With `Accept: application/x-ndjson` the rows come as JSON Lines: the whole, or as much as fits into one
/// answer and a header `Link` to the rest.
#[utoipa::path(
    get, path = "/api/tasks/{task}/results", tag = "tasks",
    params(("task" = TaskId, Path, description = "The task"), PageQuery),
    responses(
        (status = 200, description = "A page of rows; a row a line as JSON Lines", content(
            (ResultPage = "application/json"), (String = "application/x-ndjson"),
        ), headers(("Link" = String, description = "JSON Lines only: `<?cursor=…>; rel=\"next\"`, if there is more"))),
        PageOfTask,
    )
)]
async fn results(
    State(tasks): State<Tasks>,
    SignedIn(caller): SignedIn,
    TaskOf(task): TaskOf,
    Params(mut query): Params<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if !wants_lines(&headers) {
        return Ok(Json(tasks.results(&caller, task, &query).await?).into_response());
    }
    let limit = query.limit;
    let mut left = limit.map_or(usize::MAX, |limit| limit as usize);
    let mut lines = Vec::new();
    let mut next = None;
    'pages: loop {
        query.limit = Some(limits::PAGE_ROWS.min(u32::try_from(left).unwrap_or(u32::MAX)));
        let page = tasks.results(&caller, task, &query).await?;
        for row in &page.rows {
            let before = lines.len();
            serde_json::to_writer(&mut lines, row).map_err(|error| {
                tracing::error!(%error, "row cannot be written");
                Problem::new(crate::problem::FAILED, "a row cannot be written")
            })?;
            lines.push(b'\n');
            if lines.len() > limits::RESPONSE_BYTES && before > 0 {
                lines.truncate(before);
                break 'pages;
            }
            left -= 1;
            next = Some(cursor_of(row));
        }
        if page.next.is_none() {
            next = None;
            break;
        }
        if left == 0 {
            break;
        }
        query.cursor = page.next;
    }
    let mut response = ([(header::CONTENT_TYPE, JSON_LINES)], lines).into_response();
    let limit = limit.map(|limit| format!("&limit={limit}")).unwrap_or_default();
    if let Some(cursor) = next
        && let Ok(link) = HeaderValue::from_str(&format!("<?cursor={}{limit}>; rel=\"next\"", encode(&cursor)))
    {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Whether JSON Lines are named in `Accept`, and wanted no less than JSON. Who takes anything gets JSON.
fn wants_lines(headers: &HeaderMap) -> bool {
    let (mut lines, mut json) = (0.0, 0.0);
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accept.flat_map(|value| value.split(',')) {
        let mut words = range.split(';').map(str::trim);
        let media_type = words.next().unwrap_or_default();
        let quality = words
            .filter_map(|word| word.split_once('='))
            .find(|(name, _)| name.eq_ignore_ascii_case("q"))
            .map_or(1.0, |(_, quality)| quality.parse::<f32>().unwrap_or(0.0));
        if media_type.eq_ignore_ascii_case(JSON_LINES) {
            lines = quality;
        } else if media_type.eq_ignore_ascii_case("application/json") {
            json = quality;
        }
    }
    lines > 0.0 && lines >= json
}

/// A cursor as part of an address.
fn encode(cursor: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let write = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    cursor.bytes().map(write).collect()
}
