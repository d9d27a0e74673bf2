//! Signing in as a machine: OAuth 2.0 client credentials (RFC 6749, section 4.4).

use std::{fmt, time::Duration};

use lambel_core::api::PublicConfig;
use reqwest::StatusCode;
use serde::Deserialize;

use crate::{
    client::http_client,
    error::{ClientError, Result, problem},
    retry::Retries,
    session::{Session, now},
    sign_in::{SignInError, ask, checked_address},
};

/// A program with an app client of its own, whose scopes say what it may do. Clones share their connections.
#[derive(Clone)]
pub struct Machine {
    http: reqwest::Client,
    endpoint: String,
    client_id: String,
    secret: String,
    retries: Retries,
}

impl Machine {
    /// A machine of the service whose configuration this is.
    pub fn new(config: &PublicConfig, client_id: &str, secret: &str) -> Result<Self> {
        let endpoint = config.token_endpoint.as_deref().ok_or(SignInError::NoMachines)?;
        Ok(Self {
            http: http_client()?,
            endpoint: checked_address(endpoint)?,
            client_id: client_id.to_owned(),
            secret: secret.to_owned(),
            retries: Retries::default(),
        })
    }

    /// A new session, with all the scopes that the machine has.
    pub async fn sign_in(&self) -> Result<Session> {
        let request = || {
            self.http
                .post(&self.endpoint)
                .basic_auth(&self.client_id, Some(&self.secret))
                .header("content-type", "application/x-www-form-urlencoded")
                .body("grant_type=client_credentials")
        };
        let (status, body) = ask(self.retries, request).await?;
        read(status, &body)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

fn read(status: StatusCode, body: &[u8]) -> Result<Session> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: String,
        expires_in: u64,
    }
    #[derive(Deserialize)]
    struct Refused {
        error: String,
        #[serde(default)]
        error_description: String,
    }
    if status.is_success() {
        // Not quoted in an error: it holds a token.
        let granted: Granted = serde_json::from_slice(body)
            .map_err(|error| ClientError::Decode { expected: "token", reason: error.to_string() })?;
        return Ok(Session {
            id_token: None,
            access_token: granted.access_token,
            refresh_token: None,
            expires_at: now().plus(Duration::from_secs(granted.expires_in)),
        });
    }
    let Ok(refused) = serde_json::from_slice::<Refused>(body) else {
        return Err(ClientError::Problem(problem(status, body)));
    };
    Err(match refused.error.as_str() {
        "invalid_client" => SignInError::WrongSecret,
        code => SignInError::Refused { code: code.to_owned(), message: refused.error_description.clone() },
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_token_endpoint_are_read() {
        let granted = br#"{"access_token":"a","expires_in":3600,"token_type":"Bearer"}"#;
        let session = read(StatusCode::OK, granted).unwrap();
        assert!(session.is_machine() && session.bearer() == "a" && !session.ends_soon());
        let refused = |body: &str| read(StatusCode::BAD_REQUEST, body.as_bytes()).unwrap_err().to_string();
        assert!(refused(r#"{"error":"invalid_client"}"#).contains("secret"));
        assert!(refused(r#"{"error":"invalid_scope"}"#).contains("invalid_scope"));
        assert!(matches!(read(StatusCode::BAD_GATEWAY, b"<html>"), Err(ClientError::Problem(_))));
    }
}
