//! The routes of admins: what they do about operators.

use axum::{Json, extract::State};
use lambel_core::{
    OperatorId,
    api::{AuditPage, OperatorView, PageQuery, PauseOperator},
};
use lambel_service::supervise::Supervisors;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{OfOperator, OperatorBy, PageOfOperator},
    extract::{JsonBody, OperatorOf, Params, SignedIn},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Supervisors> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(pause, resume)).routes(routes!(audit))
}

/// Show how an operator stands
///
/// For admins. An operator of whom nothing was ever said is not paused.
#[utoipa::path(
    get, path = "/api/operators/{operator}", operation_id = "show_operator", tag = "operators",
    params(("operator" = OperatorId, Path, description = "The operator")),
    responses(
        (status = 200, description = "The operator", body = OperatorView),
        OfOperator,
    )
)]
async fn show(
    State(supervisors): State<Supervisors>,
    SignedIn(caller): SignedIn,
    OperatorOf(operator): OperatorOf,
) -> Result<Json<OperatorView>, Problem> {
    Ok(Json(supervisors.show(&caller, &operator).await?))
}

/// Pause an operator
///
/// For admins. Claims and votes of the operator are refused from now on, and what they hold goes back to the pool.
/// Votes that they have given stay.
#[utoipa::path(
    put, path = "/api/operators/{operator}/pause", tag = "operators", request_body = PauseOperator,
    params(("operator" = OperatorId, Path, description = "The operator")),
    responses(
        (status = 200, description = "The operator is paused", body = OperatorView),
        OperatorBy,
    )
)]
async fn pause(
    State(supervisors): State<Supervisors>,
    SignedIn(caller): SignedIn,
    OperatorOf(operator): OperatorOf,
    JsonBody(body): JsonBody<PauseOperator>,
) -> Result<Json<OperatorView>, Problem> {
    Ok(Json(supervisors.pause(&caller, &operator, &body).await?))
}

/// Let an operator work again
///
/// For admins.
#[utoipa::path(
    delete, path = "/api/operators/{operator}/pause", tag = "operators",
    params(("operator" = OperatorId, Path, description = "The operator")),
    responses(
        (status = 200, description = "The operator may work", body = OperatorView),
        OfOperator,
    )
)]
async fn resume(
    State(supervisors): State<Supervisors>,
    SignedIn(caller): SignedIn,
    OperatorOf(operator): OperatorOf,
) -> Result<Json<OperatorView>, Problem> {
    Ok(Json(supervisors.resume(&caller, &operator).await?))
}

/// Read who has paused an operator, and when
///
/// For admins.
#[utoipa::path(
    get, path = "/api/operators/{operator}/audit", operation_id = "audit_operator", tag = "operators",
    params(("operator" = OperatorId, Path, description = "The operator"), PageQuery),
    responses(
        (status = 200, description = "A page of the trail, the newest first", body = AuditPage),
        PageOfOperator,
    )
)]
async fn audit(
    State(supervisors): State<Supervisors>,
    SignedIn(caller): SignedIn,
    OperatorOf(operator): OperatorOf,
    Params(query): Params<PageQuery>,
) -> Result<Json<AuditPage>, Problem> {
    Ok(Json(supervisors.audit(&caller, &operator, &query).await?))
}
