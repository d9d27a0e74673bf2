//! Reading the parts of a request, with a problem document for each that cannot be read.

use axum::{
    body::{Body, to_bytes},
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request},
    http::request::Parts,
};
use lambel_core::{ImageId, OperatorId, ParseIdError, TaskId, api::exports::ExportId, limits, webhook::WebhookId};
use lambel_service::{Caller, Error};
use serde::de::DeserializeOwned;

use crate::{
    json,
    problem::{BAD_REQUEST, BODY_TOO_LARGE, INVALID, NOT_SIGNED_IN, Problem},
};

/// Who asks.
pub(crate) struct SignedIn(pub(crate) Caller);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.map(Self).ok_or_else(|| Problem::new(NOT_SIGNED_IN, "the request has no valid token"))
    }
}

/// The body: JSON of a known shape. What `Content-Type` says is not looked at: there is nothing but JSON, and a
/// browser that was tricked into sending a form has no token to send with it.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _state: &S) -> Result<Self, Problem> {
        let too_large = |_| Problem::new(BODY_TOO_LARGE, format!("a body has {} bytes at most", limits::BODY_BYTES));
        let bytes = to_bytes(request.into_body(), limits::BODY_BYTES).await.map_err(too_large)?;
        let value = json::from_slice(&bytes).map_err(|detail| Problem::new(BAD_REQUEST, detail))?;
        Ok(Self(value))
    }
}

/// The query: parameters of a known shape.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let read = Query::<T>::try_from_uri(&parts.uri);
        read.map(|Query(value)| Self(value)).map_err(|error| Problem::new(BAD_REQUEST, error.body_text()))
    }
}

async fn path_part<S: Sync + Send>(parts: &mut Parts, state: &S, name: &str) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, state).await.ok()?;
    params.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The task of the path. What is not an id is the id of no task.
pub(crate) struct TaskOf(pub(crate) TaskId);

impl<S: Sync + Send> FromRequestParts<S> for TaskOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_part(parts, state, "task").await.unwrap_or_default();
        text.parse().map(Self).map_err(|_| Error::TaskNotFound.into())
    }
}

/// The webhook of the path. What is not an id is the id of no webhook.
pub(crate) struct WebhookOf(pub(crate) WebhookId);

impl<S: Sync + Send> FromRequestParts<S> for WebhookOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_part(parts, state, "webhook").await.unwrap_or_default();
        text.parse().map(Self).map_err(|_| Error::WebhookNotFound.into())
    }
}

/// The operator of the path. Any id may be one: who has never worked has no record.
pub(crate) struct OperatorOf(pub(crate) OperatorId);

impl<S: Sync + Send> FromRequestParts<S> for OperatorOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_part(parts, state, "operator").await.unwrap_or_default();
        text.parse().map(Self).map_err(|error: ParseIdError| Problem::new(INVALID, format!("operator: {error}")))
    }
}

/// The version of the path, by whatever name. What stands for none is not found.
pub(crate) struct VersionOf(pub(crate) String);

impl<S: Sync + Send> FromRequestParts<S> for VersionOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(path_part(parts, state, "version").await.unwrap_or_default()))
    }
}

/// The key of a note in the path. Whether it can be one is for the use case to say.
pub(crate) struct NoteOf(pub(crate) String);

impl<S: Sync + Send> FromRequestParts<S> for NoteOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(path_part(parts, state, "key").await.unwrap_or_default()))
    }
}

/// The export of the path. What is not an id is the id of none.
pub(crate) struct ExportOf(pub(crate) ExportId);

impl<S: Sync + Send> FromRequestParts<S> for ExportOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_part(parts, state, "export").await.unwrap_or_default();
        text.parse().map(Self).map_err(|_| Error::ExportNotFound.into())
    }
}

/// The image of the path. What is not an id is the id of no image.
pub(crate) struct ImageOf(pub(crate) ImageId);

impl<S: Sync + Send> FromRequestParts<S> for ImageOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = path_part(parts, state, "image").await.unwrap_or_default();
        text.parse().map(Self).map_err(|_| Error::ImageNotFound.into())
    }
}
