//! The problems that each operation can answer with, for the OpenAPI document.

use std::{collections::BTreeMap, fmt::Write};

use lambel_core::api::Problem;
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{
        ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
        schema::ComponentsBuilder,
    },
};

use crate::problem::{
    BAD_REQUEST, BODY_TOO_LARGE, BUSY, CONFLICT, CONTENDED, DELIVERY_NOT_FOUND, EXPORT_NOT_FOUND, FAILED,
    IMAGE_NOT_FOUND, INVALID, Kind, NOT_ALLOWED, NOT_SIGNED_IN, NOTE_NOT_FOUND, OPERATOR_NOT_FOUND, PAUSED,
    PAUSED_IN_TASK, ROUTE_NOT_FOUND, TASK_ENDED, TASK_NOT_FOUND, TOO_MANY_REQUESTS, TOO_MANY_TASKS, TOO_MANY_WEBHOOKS,
    VERSION_NOT_FOUND, WEBHOOK_NOT_FOUND,
};

/// What the gateway in front says by itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct GatewayMessage {
    /// What is wrong, in a few words.
    #[schema(example = "Unauthorized")]
    message: String,
}

/// What every operation can answer with. The first 404 is an id with a slash in it, however that was written.
const ALWAYS: &[Kind] = &[NOT_SIGNED_IN, NOT_ALLOWED, ROUTE_NOT_FOUND, TOO_MANY_REQUESTS, FAILED, CONTENDED, BUSY];

/// What the gateway answers with before a function sees the request, or when none answers.
const OF_THE_GATEWAY: &[u16] = &[401, 429, 500, 503];

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident: $($kind:ident)*;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let answer = |(status, kinds): (u16, Vec<&Kind>)| {
                    (status.to_string(), RefOr::Ref(Ref::from_response_name(name(&kinds))))
                };
                by_status(&[$($kind),*]).into_iter().map(answer).collect()
            }
        }
    )*

    /// The problems of all of them.
    const ALL: &[&[Kind]] = &[$(&[$($kind),*]),*];
    };
}

answers! {
    /// Reads no more than who asks.
    Bare: PAUSED;
    /// Reads a query.
    Page: BAD_REQUEST INVALID;
    /// Makes a task.
    Create: BAD_REQUEST TOO_MANY_TASKS BODY_TOO_LARGE INVALID;
    /// Reads a task.
    OfTask: TASK_NOT_FOUND;
    /// Reads a task and a query.
    PageOfTask: BAD_REQUEST TASK_NOT_FOUND INVALID;
    /// Reads an image of a task.
    OfImage: TASK_NOT_FOUND IMAGE_NOT_FOUND;
    /// Changes a task.
    Change: TASK_NOT_FOUND TASK_ENDED;
    /// Changes a task as a body says.
    ChangeBy: BAD_REQUEST TASK_NOT_FOUND TASK_ENDED BODY_TOO_LARGE INVALID;
    /// Seals a task.
    Seal: BAD_REQUEST TASK_NOT_FOUND TASK_ENDED CONFLICT BODY_TOO_LARGE INVALID;
    /// Tells a task of an import, or brings its votes in.
    Import: BAD_REQUEST TASK_NOT_FOUND TASK_ENDED CONFLICT BODY_TOO_LARGE INVALID;
    /// Claims.
    Claims: BAD_REQUEST PAUSED PAUSED_IN_TASK TASK_NOT_FOUND TASK_ENDED BODY_TOO_LARGE INVALID;
    /// Gives leases back.
    Returns: BAD_REQUEST TASK_NOT_FOUND BODY_TOO_LARGE INVALID;
    /// Votes.
    Votes: BAD_REQUEST PAUSED BODY_TOO_LARGE INVALID;
    /// Reads an operator, or lets them work.
    OfOperator: INVALID;
    /// Reads an operator and a query.
    PageOfOperator: BAD_REQUEST INVALID;
    /// Reads an operator of a task.
    OfOperatorInTask: TASK_NOT_FOUND OPERATOR_NOT_FOUND INVALID;
    /// Lets an operator of a task work.
    ResumeInTask: TASK_NOT_FOUND OPERATOR_NOT_FOUND TASK_ENDED INVALID;
    /// Changes an operator of a task as a body says.
    PauseInTask: BAD_REQUEST TASK_NOT_FOUND OPERATOR_NOT_FOUND TASK_ENDED BODY_TOO_LARGE INVALID;
    /// Changes an operator as a body says.
    OperatorBy: BAD_REQUEST BODY_TOO_LARGE INVALID;
    /// Makes a webhook for all tasks.
    CreateWebhook: BAD_REQUEST TOO_MANY_WEBHOOKS BODY_TOO_LARGE INVALID;
    /// Makes a webhook for a task.
    CreateTaskWebhook: BAD_REQUEST TASK_NOT_FOUND TOO_MANY_WEBHOOKS BODY_TOO_LARGE INVALID;
    /// Lists webhooks.
    ListWebhooks:;
    /// Reads a webhook, or does something to it that needs no body.
    OfWebhook: WEBHOOK_NOT_FOUND;
    /// Reads a webhook and a query.
    PageOfWebhook: BAD_REQUEST WEBHOOK_NOT_FOUND INVALID;
    /// Changes a webhook as a body says.
    WebhookBy: BAD_REQUEST WEBHOOK_NOT_FOUND BODY_TOO_LARGE INVALID;
    /// Sends again what a body says.
    Redeliveries: BAD_REQUEST WEBHOOK_NOT_FOUND DELIVERY_NOT_FOUND CONFLICT BODY_TOO_LARGE INVALID;
    /// Asks for a version.
    AskVersion: BAD_REQUEST TASK_NOT_FOUND BODY_TOO_LARGE INVALID;
    /// Reads a version.
    OfVersion: TASK_NOT_FOUND VERSION_NOT_FOUND INVALID;
    /// Reads versions and a query.
    OfVersions: BAD_REQUEST TASK_NOT_FOUND VERSION_NOT_FOUND INVALID;
    /// Reads an image in a version.
    ImageOfVersion: BAD_REQUEST TASK_NOT_FOUND IMAGE_NOT_FOUND VERSION_NOT_FOUND INVALID;
    /// Moves a branch as a body says.
    VersionBy: BAD_REQUEST TASK_NOT_FOUND VERSION_NOT_FOUND BODY_TOO_LARGE INVALID;
    /// Sets a tag as a body says.
    TagBy: BAD_REQUEST TASK_NOT_FOUND VERSION_NOT_FOUND CONFLICT BODY_TOO_LARGE INVALID;
    /// Reads a note of a version.
    OfNote: TASK_NOT_FOUND VERSION_NOT_FOUND NOTE_NOT_FOUND INVALID;
    /// Writes a note of a version as a body says.
    NoteBy: BAD_REQUEST TASK_NOT_FOUND VERSION_NOT_FOUND CONFLICT BODY_TOO_LARGE INVALID;
    /// Asks for an export.
    AskExport: BAD_REQUEST TASK_NOT_FOUND VERSION_NOT_FOUND CONFLICT BODY_TOO_LARGE INVALID;
    /// Reads an export.
    OfExport: TASK_NOT_FOUND EXPORT_NOT_FOUND;
}

/// What the document says of these answers, each at one place.
pub(crate) fn parts(mut components: ComponentsBuilder) -> ComponentsBuilder {
    for (status, kinds) in ALL.iter().flat_map(|kinds| by_status(kinds)) {
        components = components.response(name(&kinds), response(status, &kinds));
    }
    components.schema_from::<Problem>().schema_from::<GatewayMessage>()
}

fn by_status(kinds: &[Kind]) -> BTreeMap<u16, Vec<&Kind>> {
    let mut by_status: BTreeMap<u16, Vec<&Kind>> = BTreeMap::new();
    for kind in ALWAYS.iter().chain(kinds) {
        by_status.entry(kind.status.as_u16()).or_default().push(kind);
    }
    by_status
}

/// What an answer is called in the document: what it can say.
fn name(kinds: &[&Kind]) -> String {
    kinds.iter().map(|kind| kind.code).collect::<Vec<_>>().join(".")
}

fn response(status: u16, kinds: &[&Kind]) -> Response {
    let mut description = String::new();
    for kind in kinds {
        let space = if description.is_empty() { "" } else { "\n\n" };
        // Writing to a string cannot fail.
        let _ = write!(description, "{space}`/problems/{}`: {}", kind.code, kind.meaning);
    }
    let shape = |name| ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
    let mut response = ResponseBuilder::new().content("application/problem+json", shape("Problem"));
    if OF_THE_GATEWAY.contains(&status) {
        description += "\n\nAs `application/json`, if the gateway in front says so by itself.";
        response = response.content("application/json", shape("GatewayMessage"));
    }
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).build();
        let says = "When to try again, in seconds. The gateway leaves it out.";
        response =
            response.header("Retry-After", HeaderBuilder::new().schema(Some(seconds)).description(Some(says)).build());
    }
    response.description(description).build()
}
