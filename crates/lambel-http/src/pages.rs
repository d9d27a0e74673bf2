//! What is open to everybody: the start page, the OpenAPI document, how to sign in, and what problems mean.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use lambel_core::api::PublicConfig;

use crate::problem::{KINDS, Problem, ROUTE_NOT_FOUND};

pub(crate) fn routes(config: PublicConfig) -> Router {
    Router::new()
        .route("/", get(start))
        .route("/config.json", get(configuration))
        .route("/openapi.json", get(openapi))
        .route("/problems/{code}", get(problem))
        .with_state(config)
}

async fn start(State(config): State<PublicConfig>) -> Html<String> {
    Html(include_str!("start.html").replace("{version}", &config.version))
}

async fn configuration(State(config): State<PublicConfig>) -> Json<PublicConfig> {
    Json(config)
}

async fn openapi() -> Response {
    match crate::openapi().to_json() {
        Ok(document) => ([(header::CONTENT_TYPE, "application/json")], document).into_response(),
        Err(error) => {
            tracing::error!(%error, "OpenAPI document cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn problem(Path(code): Path<String>) -> Result<String, Problem> {
    let kind = KINDS.iter().find(|kind| kind.code == code);
    let kind = kind.ok_or_else(|| Problem::new(ROUTE_NOT_FOUND, "there is no problem of this name"))?;
    Ok(format!("{} ({})\n\n{}\n", kind.title, kind.status.as_u16(), kind.meaning))
}
