//! The routes of operators.

use axum::{Json, extract::State};
use lambel_core::api::{Claim, ClaimAnswer, ReturnAnswer, ReturnLeases, SubmitVotes, VoteAnswer, WorkAnswer};
use lambel_service::operate::Operators;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answers::{Bare, Claims, Returns, Votes},
    extract::{JsonBody, SignedIn},
    problem::Problem,
};

pub(crate) fn routes() -> OpenApiRouter<Operators> {
    OpenApiRouter::new().routes(routes!(claim, give_back)).routes(routes!(vote)).routes(routes!(work))
}

/// Claim images to label
///
/// What the operator holds and has not voted on is handed out again first. Nothing to hand out is an answer
/// with `retry_after`.
#[utoipa::path(
    post, path = "/api/subtasks/claims", tag = "subtasks", request_body = Claim,
    responses(
        (status = 200, description = "What to label", body = ClaimAnswer),
        Claims,
    )
)]
async fn claim(
    State(operators): State<Operators>,
    SignedIn(caller): SignedIn,
    JsonBody(body): JsonBody<Claim>,
) -> Result<Json<ClaimAnswer>, Problem> {
    Ok(Json(operators.claim(&caller, &body).await?))
}

/// Give leases back, so that others need not wait for their end
#[utoipa::path(
    delete, path = "/api/subtasks/claims", tag = "subtasks", request_body = ReturnLeases,
    responses(
        (status = 200, description = "What was given back", body = ReturnAnswer),
        Returns,
    )
)]
async fn give_back(
    State(operators): State<Operators>,
    SignedIn(caller): SignedIn,
    JsonBody(body): JsonBody<ReturnLeases>,
) -> Result<Json<ReturnAnswer>, Problem> {
    Ok(Json(operators.give_back(&caller, &body).await?))
}

/// Vote
///
/// Each vote is judged alone. Sending a vote again changes nothing; sending another for the same image replaces
/// the first while the image is open.
#[utoipa::path(
    post, path = "/api/subtasks/labels", tag = "subtasks", request_body = SubmitVotes,
    responses(
        (status = 200, description = "What became of each vote", body = VoteAnswer),
        Votes,
    )
)]
async fn vote(
    State(operators): State<Operators>,
    SignedIn(caller): SignedIn,
    JsonBody(body): JsonBody<SubmitVotes>,
) -> Result<Json<VoteAnswer>, Problem> {
    Ok(Json(operators.vote(&caller, &body).await?))
}

/// List the tasks that have work
#[utoipa::path(
    get, path = "/api/subtasks/work", tag = "subtasks",
    responses(
        (status = 200, description = "The tasks, the oldest first", body = WorkAnswer),
        Bare,
    )
)]
async fn work(State(operators): State<Operators>, SignedIn(caller): SignedIn) -> Result<Json<WorkAnswer>, Problem> {
    Ok(Json(operators.work(&caller).await?))
}
