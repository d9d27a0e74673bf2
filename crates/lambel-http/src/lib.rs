//! The HTTP interface: routes over the use cases, problem documents for what goes wrong, and the OpenAPI
//! document made of both.
//!
//! Nothing is decided here. A handler reads its arguments, calls one use case, and writes the answer. Who asks
//! is put into the request by whoever checked the token, as an extension of type [`Caller`]; without one every
//! route under `/api` answers 401.

mod answers;
mod datasets;
mod exports;
mod extract;
mod gold;
mod imports;
mod json;
mod notes;
mod operators;
mod pages;
mod problem;
mod quality;
mod reviews;
mod supervisors;
mod tasks;
mod webhooks;

use std::time::Duration;

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambel_core::{api::PublicConfig, limits};
use lambel_service::{
    dataset::{DatasetNotes, Versions},
    exports::DatasetExports,
    import::VoteImports,
    operate::Operators,
    pace::Pace,
    quality::Quality,
    supervise::Supervisors,
    tasks::Tasks,
    webhooks::Webhooks,
};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;

pub use lambel_service::Caller;

/// What `task-api` answers with.
pub struct TaskManager {
    /// Tasks, uploads and results.
    pub tasks: Tasks,
    /// How operators work in a task.
    pub quality: Quality,
    /// Versions of the labelled data set.
    pub versions: Versions,
    /// Notes of versions.
    pub notes: DatasetNotes,
    /// Exports of versions.
    pub exports: DatasetExports,
    /// Addresses that are told of events.
    pub webhooks: Webhooks,
}

/// The routes of `task-api`: those of the Task Manager, and everything that is open to everybody.
pub fn tasks_app(manager: TaskManager, pace: Pace, config: PublicConfig) -> Router {
    let TaskManager { tasks, quality, versions, notes, exports, webhooks } = manager;
    let api = Router::new()
        .merge(tasks::routes().merge(imports::task_routes()).split_for_parts().0.with_state(tasks))
        .merge(quality::routes().split_for_parts().0.with_state(quality))
        .merge(datasets::routes().split_for_parts().0.with_state(versions))
        .merge(notes::routes().split_for_parts().0.with_state(notes))
        .merge(exports::routes().split_for_parts().0.with_state(exports))
        .merge(webhooks::routes().split_for_parts().0.with_state(webhooks));
    finish(keep_pace(api, pace).merge(pages::routes(config)))
}

/// The routes of `operator-api`: what operators do, what admins do about operators, and votes from outside.
pub fn operators_app(operators: Operators, supervisors: Supervisors, imports: VoteImports, pace: Pace) -> Router {
    let (api, _) = operators::routes().split_for_parts();
    let (admin, _) = supervisors::routes().split_for_parts();
    let (outside, _) = imports::vote_routes().split_for_parts();
    let api = api.with_state(operators).merge(admin.with_state(supervisors)).merge(outside.with_state(imports));
    finish(keep_pace(api, pace))
}

/// Holds callers to their pace, before anything is done for them.
fn keep_pace(api: Router, pace: Pace) -> Router {
    api.layer(middleware::from_fn(move |request: Request, next: Next| {
        let pace = pace.clone();
        async move {
            if let Some(caller) = request.extensions().get::<Caller>()
                && let Err(error) = pace.admit(caller).await
            {
                return problem::Problem::from(error).into_response();
            }
            next.run(request).await
        }
    }))
}

/// Answers in time, whatever the storage does: a function that is stopped by its own time-out tells nobody why.
async fn answer_in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(Duration::from_secs(limits::ANSWER_SECONDS), next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!(limit_s = limits::ANSWER_SECONDS, "request given up: it takes too long");
            problem::Problem::new(problem::BUSY, problem::BUSY.meaning).into_response()
        }
    }
}

/// The OpenAPI document of the whole interface.
pub fn openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Lambel")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Image labelling. Clients make tasks, upload images and read results; operators claim images and \
             vote. Errors are problem documents (RFC 9457); unknown fields are refused.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let parts = answers::parts(ComponentsBuilder::new()).build();
    let frame = OpenApiBuilder::new().info(info.build()).components(Some(parts)).build();
    let routes = OpenApiRouter::<()>::with_openapi(frame)
        .merge(without_state(tasks::routes().into_openapi()))
        .merge(without_state(imports::task_routes().into_openapi()))
        .merge(without_state(imports::vote_routes().into_openapi()))
        .merge(without_state(quality::routes().into_openapi()))
        .merge(without_state(datasets::routes().into_openapi()))
        .merge(without_state(notes::routes().into_openapi()))
        .merge(without_state(exports::routes().into_openapi()))
        .merge(without_state(operators::routes().into_openapi()))
        .merge(without_state(supervisors::routes().into_openapi()))
        .merge(without_state(webhooks::routes().into_openapi()));
    let mut document = routes.into_openapi();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The ID token of a person, or the access token of a machine, from the Cognito user pool that \
             `/config.json` names.",
        ))
        .build();
    document
        .components
        .get_or_insert_default()
        .security_schemes
        .insert("token".to_owned(), SecurityScheme::Http(token).into());
    document.security = Some(vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    document
}

fn without_state(document: OpenApi) -> OpenApiRouter {
    OpenApiRouter::with_openapi(document)
}

/// What every answer has.
fn finish(router: Router) -> Router {
    let answers = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Browsers keep to it where the connection is HTTPS, as it always is on AWS.
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=(), payment=()"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ];
    let harden = move |mut response: Response| {
        for (name, value) in &answers {
            let (name, value): (HeaderName, _) = (name.clone(), HeaderValue::from_static(value));
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    };
    router
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(middleware::from_fn(answer_in_time))
        .layer(tower::util::MapResponseLayer::new(harden))
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::StatusCode, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_answered_all_the_same() {
        let app = finish(Router::new().route("/hangs", get(std::future::pending::<()>)));
        let asked = tokio::time::Instant::now();
        let request = Request::builder().uri("/hangs").body(Body::empty()).unwrap();
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(asked.elapsed().as_secs(), limits::ANSWER_SECONDS);
    }
}
