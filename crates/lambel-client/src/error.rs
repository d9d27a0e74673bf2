//! What can go wrong for a caller of the interface.

use lambel_core::api::Problem;

use crate::sign_in::SignInError;

/// The result of a call.
pub type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Why a call has no answer, or another one than was wanted.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address of the interface is none.
    #[error("`{address}` is not the address of a Lambel service: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The service, or the gateway before it, answered with an error.
    #[error("{} ({} {})", .0.detail, .0.status, .0.title)]
    Problem(Problem),
    /// No answer came, however often it was tried.
    #[error("no answer from the service: {0}")]
    Transport(String),
    /// An answer came that this version of the client cannot read.
    #[error(
        "the service answered something else than `{expected}` ({reason}); is this the address of a Lambel service, and of the same version?"
    )]
    Decode {
        /// The shape that was expected.
        expected: &'static str,
        /// Why the answer is not of that shape.
        reason: String,
    },
    /// The call needs somebody who has signed in.
    #[error("nobody is signed in")]
    NotSignedIn,
    /// Signing in, or staying so, did not work out.
    #[error(transparent)]
    SignIn(#[from] SignInError),
}

impl ClientError {
    /// The HTTP status, if the service answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// Whether it is the problem of this name, the last part of its `type`.
    pub fn is_problem(&self, name: &str) -> bool {
        matches!(self, Self::Problem(problem) if problem.kind.rsplit('/').next() == Some(name))
    }
}

/// An error of the HTTP library with its causes, and without the address: a presigned one is a secret.
pub(crate) fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let next = error.to_string();
        // Libraries like to repeat the cause in their own text.
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// The problem in an error answer. The gateway, and whatever else stands before the service, does not speak in
/// problem documents; then one is made of what it says.
pub(crate) fn problem(status: reqwest::StatusCode, body: &[u8]) -> Problem {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Problem { status: status.as_u16(), ..problem };
    }
    #[derive(serde::Deserialize)]
    struct Gateway {
        #[serde(alias = "Message")]
        message: String,
    }
    let said = serde_json::from_slice::<Gateway>(body).ok().map(|gateway| gateway.message);
    let detail = match (status.as_u16(), said) {
        (401, _) => "the sign-in is not accepted; sign in again".to_owned(),
        (403, _) => "this is not allowed for the account that is signed in".to_owned(),
        (429, _) => "too many requests at the moment; try again a little later".to_owned(),
        (502..=504, _) => "the service does not answer at the moment; try again a little later".to_owned(),
        (_, Some(message)) => message.chars().filter(|c| !c.is_control()).take(300).collect(),
        (_, None) => "the service gives no reason; is the address that of a Lambel service?".to_owned(),
    };
    Problem {
        kind: "about:blank".to_owned(),
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        status: status.as_u16(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    #[test]
    fn problems_are_read_or_made() {
        let body =
            br#"{"type":"/problems/task-ended","title":"Task ended","status":409,"detail":"the task is complete"}"#;
        let error = ClientError::Problem(problem(StatusCode::CONFLICT, body));
        assert!(error.is_problem("task-ended") && !error.is_problem("ended"));
        assert_eq!(error.to_string(), "the task is complete (409 Task ended)");

        let made = problem(StatusCode::UNAUTHORIZED, br#"{"message":"Unauthorized"}"#);
        assert!(made.detail.contains("sign in again"));
        let made = problem(StatusCode::IM_A_TEAPOT, br#"{"message":"short\nand stout"}"#);
        assert_eq!(made.detail, "shortand stout");
        assert_eq!(problem(StatusCode::BAD_GATEWAY, b"<html>").status, 502);
    }
}
