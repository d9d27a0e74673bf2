//! Signing in at the user pool: plain HTTPS calls of Cognito's JSON interface, which need no AWS credentials.

use std::time::Duration;

use lambel_core::api::PublicConfig;
use reqwest::StatusCode;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    client::http_client,
    error::{ClientError, Result, describe},
    retry::{Retries, is_passing},
    session::{Session, now},
};

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Why somebody could not sign in, or not stay so.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The pool does not say which of the two it is.
    #[error("the user name or the password is wrong, or the account is disabled")]
    WrongPassword,
    /// The session has ended for good.
    #[error("the session has ended; sign in again")]
    Ended,
    /// The account has a temporary password only.
    #[error(
        "the account has a temporary password; ask an admin to set a lasting one (`lambel admin user add NAME` does it)"
    )]
    NewPasswordRequired,
    /// The pool wants something that this client cannot give, a second factor for instance.
    #[error("the user pool asks for `{0}`, which this program cannot do")]
    Challenge(String),
    /// Anything else that the pool says.
    #[error("the user pool refuses: {message} ({code})")]
    Refused {
        /// Its name for the reason.
        code: String,
        /// The reason.
        message: String,
    },
}

/// The way into one user pool. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SignIn {
    http: reqwest::Client,
    endpoint: String,
    client_id: String,
    retries: Retries,
}

/// Signs in once. For many accounts, or to stay signed in, use [`SignIn`].
pub async fn sign_in(config: &PublicConfig, username: &str, password: &str) -> Result<Session> {
    SignIn::new(config)?.with_password(username, password).await
}

impl SignIn {
    /// At the user pool that a service names.
    pub fn new(config: &PublicConfig) -> Result<Self> {
        let address = &config.sign_in_endpoint;
        let wrong = |reason: String| ClientError::Address { address: address.clone(), reason };
        let url = reqwest::Url::parse(address).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("it begins neither with https:// nor with http://".to_owned()));
        }
        Ok(Self {
            http: http_client()?,
            endpoint: address.clone(),
            client_id: config.user_pool_client_id.clone(),
            retries: Retries::default(),
        })
    }

    /// With a user name and a password.
    pub async fn with_password(&self, username: &str, password: &str) -> Result<Session> {
        let request = json!({
            "AuthFlow": "USER_PASSWORD_AUTH",
            "ClientId": self.client_id,
            "AuthParameters": {"USERNAME": username, "PASSWORD": password},
        });
        self.initiate(&request).await?.session(None)
    }

    /// A new session for one that ends soon.
    pub async fn renew(&self, session: &Session) -> Result<Session> {
        let request = json!({
            "AuthFlow": "REFRESH_TOKEN_AUTH",
            "ClientId": self.client_id,
            "AuthParameters": {"REFRESH_TOKEN": session.refresh_token},
        });
        let answer = self.initiate(&request).await.map_err(|error| match error {
            ClientError::SignIn(SignInError::WrongPassword) => SignInError::Ended.into(),
            other => other,
        })?;
        answer.session(Some(&session.refresh_token))
    }

    /// Makes the refresh token worthless. Tokens that it has bought live on to their end.
    pub async fn revoke(&self, session: &Session) -> Result<()> {
        let request = json!({"ClientId": self.client_id, "Token": session.refresh_token});
        self.call::<Value>("RevokeToken", &request).await.map(|_| ())
    }

    async fn initiate(&self, request: &Value) -> Result<Initiated> {
        self.call("InitiateAuth", request).await
    }

    async fn call<T: DeserializeOwned>(&self, action: &'static str, request: &Value) -> Result<T> {
        let mut made = 0;
        loop {
            made += 1;
            let outcome = self.call_once(action, request).await;
            let again = match &outcome {
                Ok((status, body)) => is_passing(*status) || is_throttled(body),
                Err(_) => true,
            };
            let pause = if again { self.retries.pause(made, None) } else { None };
            match (pause, outcome) {
                (Some(pause), _) => tokio::time::sleep(pause).await,
                (None, Ok((status, body))) => return read(status, &body),
                (None, Err(error)) => {
                    let reason = describe(error);
                    return Err(ClientError::Transport(format!("the user pool cannot be reached: {reason}")));
                }
            }
        }
    }

    async fn call_once(&self, action: &str, request: &Value) -> reqwest::Result<(StatusCode, Vec<u8>)> {
        let response = self
            .http
            .post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{action}"))
            .timeout(CALL_TIMEOUT)
            .body(request.to_string())
            .send()
            .await?;
        Ok((response.status(), response.bytes().await?.into()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Initiated {
    challenge_name: Option<String>,
    authentication_result: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tokens {
    id_token: String,
    access_token: String,
    refresh_token: Option<String>,
    expires_in: u64,
}

impl Initiated {
    /// A renewal brings no new refresh token: the old one serves on.
    fn session(self, old_refresh_token: Option<&str>) -> Result<Session> {
        match (self.authentication_result, self.challenge_name.as_deref()) {
            (Some(tokens), _) => Ok(Session {
                id_token: tokens.id_token,
                access_token: tokens.access_token,
                refresh_token: tokens
                    .refresh_token
                    .or_else(|| old_refresh_token.map(str::to_owned))
                    .unwrap_or_default(),
                expires_at: now().plus(Duration::from_secs(tokens.expires_in)),
            }),
            (None, Some("NEW_PASSWORD_REQUIRED")) => Err(SignInError::NewPasswordRequired.into()),
            (None, Some(name)) => Err(SignInError::Challenge(name.to_owned()).into()),
            (None, None) => Err(ClientError::Decode { expected: "InitiateAuth", reason: "no tokens".to_owned() }),
        }
    }
}

/// An error of the pool. Its `__type` may have a name space before a `#`.
#[derive(Deserialize)]
struct PoolError {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(default, alias = "Message")]
    message: String,
}

impl PoolError {
    fn code(&self) -> &str {
        self.kind.rsplit('#').next().unwrap_or_default()
    }
}

fn is_throttled(body: &[u8]) -> bool {
    serde_json::from_slice::<PoolError>(body)
        .is_ok_and(|error| matches!(error.code(), "TooManyRequestsException" | "InternalErrorException"))
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T> {
    if status.is_success() {
        // Some calls are answered with an empty body.
        let body = if body.is_empty() { b"{}" } else { body };
        return serde_json::from_slice(body)
            .map_err(|error| ClientError::Decode { expected: "InitiateAuth", reason: error.to_string() });
    }
    let Ok(error) = serde_json::from_slice::<PoolError>(body) else {
        return Err(ClientError::Problem(crate::error::problem(status, body)));
    };
    Err(match error.code() {
        "NotAuthorizedException" | "UserNotFoundException" => SignInError::WrongPassword,
        "PasswordResetRequiredException" => SignInError::NewPasswordRequired,
        code => SignInError::Refused { code: code.to_owned(), message: error.message.clone() },
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<Session> {
        read::<Initiated>(StatusCode::OK, body.as_bytes())?.session(Some("old"))
    }

    #[test]
    fn a_renewal_keeps_the_refresh_token() {
        let tokens = r#"{"AuthenticationResult":{"IdToken":"i","AccessToken":"a","ExpiresIn":3600}}"#;
        assert_eq!(answer(tokens).unwrap().refresh_token, "old");
    }

    #[test]
    fn challenges_and_refusals_say_what_to_do() {
        let text = |result: Result<Session>| result.unwrap_err().to_string();
        assert!(text(answer(r#"{"ChallengeName":"NEW_PASSWORD_REQUIRED"}"#)).contains("temporary password"));
        assert!(text(answer(r#"{"ChallengeName":"SMS_MFA"}"#)).contains("SMS_MFA"));
        let refused = br#"{"__type":"com.amazonaws#NotAuthorizedException","message":"Incorrect"}"#;
        let refused = read::<Value>(StatusCode::BAD_REQUEST, refused);
        assert!(matches!(refused, Err(ClientError::SignIn(SignInError::WrongPassword))));
        assert!(is_throttled(br#"{"__type":"TooManyRequestsException","message":"Rate exceeded"}"#));
    }
}
