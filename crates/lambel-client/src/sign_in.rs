//! Signing in at the user pool, and what people do with their own account: plain HTTPS calls of Cognito's JSON
//! interface, which need no AWS credentials.

use std::{fmt, time::Duration};

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
    /// The account has a temporary password only, and nobody was there to choose another.
    #[error("the account has a temporary password; `lambel login` lets you choose a lasting one")]
    NewPasswordRequired,
    /// A password that the pool's rules do not allow.
    #[error("the password cannot be taken: {0}")]
    BadPassword(String),
    /// The account has a second factor, and nobody was there to give its code.
    #[error("the account asks for the code of its authenticator app")]
    CodeRequired,
    /// A code of the second factor that is not, or no longer, right.
    #[error("the code is wrong, too old or used already; wait for the next one and check the clock of its device")]
    WrongCode,
    /// The pool does not say which of the two it is.
    #[error("the client id or the secret of the machine is wrong, or the machine was removed")]
    WrongSecret,
    /// The service lets no machines in.
    #[error("this service has no machines; its owner can add one (`lambel admin machine add`)")]
    NoMachines,
    /// The pool wants something that this client cannot give.
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

/// What the pool wants to know besides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A lasting password in place of a temporary one.
    NewPassword,
    /// The code that the authenticator app shows.
    Code,
}

/// A sign-in that is not over: the pool asks. It waits for three minutes.
pub struct Question {
    /// What it asks.
    pub asked: Asked,
    username: String,
    session: String,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("asked", &self.asked).finish_non_exhaustive()
    }
}

/// How far a sign-in has come.
#[derive(Debug)]
pub enum SignInStep {
    /// To its end.
    Done(Session),
    /// To a question. The answer to it is the next step.
    Asked(Question),
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
        Ok(Self {
            http: http_client()?,
            endpoint: checked_address(&config.sign_in_endpoint)?,
            client_id: config.user_pool_client_id.clone(),
            retries: Retries::default(),
        })
    }

    /// With a user name and a password alone. If the pool asks for more, it is an error.
    pub async fn with_password(&self, username: &str, password: &str) -> Result<Session> {
        match self.begin(username, password).await? {
            SignInStep::Done(session) => Ok(session),
            SignInStep::Asked(Question { asked: Asked::NewPassword, .. }) => {
                Err(SignInError::NewPasswordRequired.into())
            }
            SignInStep::Asked(Question { asked: Asked::Code, .. }) => Err(SignInError::CodeRequired.into()),
        }
    }

    /// With a user name and a password, and perhaps more after that.
    pub async fn begin(&self, username: &str, password: &str) -> Result<SignInStep> {
        let request = json!({
            "AuthFlow": "USER_PASSWORD_AUTH",
            "ClientId": self.client_id,
            "AuthParameters": {"USERNAME": username, "PASSWORD": password},
        });
        self.call::<Initiated>("InitiateAuth", &request).await?.step(username)
    }

    /// Answers what the pool has asked.
    pub async fn answer(&self, question: &Question, answer: &str) -> Result<SignInStep> {
        let (name, response) = match question.asked {
            Asked::NewPassword => ("NEW_PASSWORD_REQUIRED", "NEW_PASSWORD"),
            Asked::Code => ("SOFTWARE_TOKEN_MFA", "SOFTWARE_TOKEN_MFA_CODE"),
        };
        let request = json!({
            "ClientId": self.client_id,
            "ChallengeName": name,
            "Session": question.session,
            "ChallengeResponses": {"USERNAME": question.username, response: answer},
        });
        self.call::<Initiated>("RespondToAuthChallenge", &request).await?.step(&question.username)
    }

    /// A new session for one that ends soon.
    pub async fn renew(&self, session: &Session) -> Result<Session> {
        let Some(refresh_token) = &session.refresh_token else { return Err(SignInError::Ended.into()) };
        let request = json!({
            "AuthFlow": "REFRESH_TOKEN_AUTH",
            "ClientId": self.client_id,
            "AuthParameters": {"REFRESH_TOKEN": refresh_token},
        });
        let answer = self.call::<Initiated>("InitiateAuth", &request).await.map_err(|error| match error {
            ClientError::SignIn(SignInError::WrongPassword) => SignInError::Ended.into(),
            other => other,
        })?;
        answer.session(Some(refresh_token))
    }

    /// Makes the refresh token worthless. Tokens that it has bought live on to their end.
    pub async fn revoke(&self, session: &Session) -> Result<()> {
        let request = json!({"ClientId": self.client_id, "Token": session.refresh_token});
        self.call::<Value>("RevokeToken", &request).await.map(|_| ())
    }

    /// A new secret for an authenticator app, in base 32. It takes effect with [`Self::enable_totp`].
    pub async fn new_totp_secret(&self, session: &Session) -> Result<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Associated {
            secret_code: String,
        }
        let request = json!({"AccessToken": session.access_token});
        Ok(self.call::<Associated>("AssociateSoftwareToken", &request).await?.secret_code)
    }

    /// From now on a sign-in needs a code of the app that has the new secret. `code` proves that there is one.
    pub async fn enable_totp(&self, session: &Session, code: &str) -> Result<()> {
        let request = json!({"AccessToken": session.access_token, "UserCode": code});
        self.call::<Value>("VerifySoftwareToken", &request).await?;
        self.prefer_totp(session, true).await
    }

    /// A sign-in needs a password only.
    pub async fn disable_totp(&self, session: &Session) -> Result<()> {
        self.prefer_totp(session, false).await
    }

    async fn prefer_totp(&self, session: &Session, on: bool) -> Result<()> {
        let settings = json!({"Enabled": on, "PreferredMfa": on});
        let request = json!({"AccessToken": session.access_token, "SoftwareTokenMfaSettings": settings});
        self.call::<Value>("SetUserMFAPreference", &request).await.map(drop)
    }

    /// Another password for who is signed in.
    pub async fn change_password(&self, session: &Session, old: &str, new: &str) -> Result<()> {
        let request = json!({"AccessToken": session.access_token, "PreviousPassword": old, "ProposedPassword": new});
        self.call::<Value>("ChangePassword", &request).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(&self, action: &'static str, request: &Value) -> Result<T> {
        let body = request.to_string();
        let request = || {
            self.http
                .post(&self.endpoint)
                .header("content-type", "application/x-amz-json-1.1")
                .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{action}"))
                .body(body.clone())
        };
        let (status, body) = ask(self.retries, request).await?;
        read(action, status, &body)
    }
}

/// The address, if it can be one of a user pool.
pub(crate) fn checked_address(address: &str) -> Result<String> {
    let wrong = |reason: String| ClientError::Address { address: address.to_owned(), reason };
    let url = reqwest::Url::parse(address).map_err(|error| wrong(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins neither with https:// nor with http://".to_owned()));
    }
    Ok(address.to_owned())
}

/// Sends a request to the user pool, as often as it takes.
pub(crate) async fn ask(
    retries: Retries,
    request: impl Fn() -> reqwest::RequestBuilder,
) -> Result<(StatusCode, Vec<u8>)> {
    let ask_once = || async {
        let response = request().timeout(CALL_TIMEOUT).send().await?;
        Ok((response.status(), Vec::from(response.bytes().await?)))
    };
    let mut made = 0;
    loop {
        made += 1;
        let outcome: reqwest::Result<_> = ask_once().await;
        let again = match &outcome {
            Ok((status, body)) => is_passing(*status) || is_throttled(body),
            Err(_) => true,
        };
        let pause = if again { retries.pause(made, None) } else { None };
        match (pause, outcome) {
            (Some(pause), _) => tokio::time::sleep(pause).await,
            (None, Ok(answer)) => return Ok(answer),
            (None, Err(error)) => {
                let reason = describe(error);
                return Err(ClientError::Transport(format!("the user pool cannot be reached: {reason}")));
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Initiated {
    challenge_name: Option<String>,
    #[serde(default)]
    challenge_parameters: ChallengeParameters,
    session: Option<String>,
    authentication_result: Option<Tokens>,
}

#[derive(Default, Deserialize)]
struct ChallengeParameters {
    /// The name that the answer must give, where it is not the one that the sign-in gave.
    #[serde(rename = "USER_ID_FOR_SRP")]
    username: Option<String>,
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
    fn step(self, username: &str) -> Result<SignInStep> {
        let asked = match (&self.authentication_result, self.challenge_name.as_deref()) {
            (None, Some("NEW_PASSWORD_REQUIRED")) => Asked::NewPassword,
            (None, Some("SOFTWARE_TOKEN_MFA")) => Asked::Code,
            _ => return self.session(None).map(SignInStep::Done),
        };
        Ok(SignInStep::Asked(Question {
            asked,
            username: self.challenge_parameters.username.unwrap_or_else(|| username.to_owned()),
            session: self.session.unwrap_or_default(),
        }))
    }

    /// A renewal brings no new refresh token: the old one serves on.
    fn session(self, old_refresh_token: Option<&str>) -> Result<Session> {
        match (self.authentication_result, self.challenge_name) {
            (Some(tokens), _) => Ok(Session {
                id_token: Some(tokens.id_token),
                access_token: tokens.access_token,
                refresh_token: tokens.refresh_token.or_else(|| old_refresh_token.map(str::to_owned)),
                expires_at: now().plus(Duration::from_secs(tokens.expires_in)),
            }),
            (None, Some(name)) => Err(SignInError::Challenge(name).into()),
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

    fn says(&self, words: &str) -> bool {
        self.message.to_lowercase().contains(words)
    }
}

fn is_throttled(body: &[u8]) -> bool {
    serde_json::from_slice::<PoolError>(body)
        .is_ok_and(|error| matches!(error.code(), "TooManyRequestsException" | "InternalErrorException"))
}

fn read<T: DeserializeOwned>(action: &'static str, status: StatusCode, body: &[u8]) -> Result<T> {
    if status.is_success() {
        // Some calls are answered with an empty body.
        let body = if body.is_empty() { b"{}" } else { body };
        return serde_json::from_slice(body)
            .map_err(|error| ClientError::Decode { expected: action, reason: error.to_string() });
    }
    let Ok(error) = serde_json::from_slice::<PoolError>(body) else {
        return Err(ClientError::Problem(crate::error::problem(status, body)));
    };
    Err(match error.code() {
        // One name for a wrong password, for an access token that is not taken, and for an answer that came
        // when the sign-in had been forgotten.
        "NotAuthorizedException" if error.says("access token") || error.says("session") => SignInError::Ended,
        "NotAuthorizedException" | "UserNotFoundException" => SignInError::WrongPassword,
        "PasswordResetRequiredException" => SignInError::NewPasswordRequired,
        "InvalidPasswordException" | "PasswordHistoryPolicyViolationException" => {
            SignInError::BadPassword(error.message.clone())
        }
        "CodeMismatchException" | "ExpiredCodeException" | "EnableSoftwareTokenMFAException" => SignInError::WrongCode,
        code => SignInError::Refused { code: code.to_owned(), message: error.message.clone() },
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &str) -> Result<SignInStep> {
        read::<Initiated>("InitiateAuth", StatusCode::OK, body.as_bytes())?.step("ann")
    }

    fn refused(kind: &str, message: &str) -> String {
        let body = format!(r#"{{"__type":"com.amazonaws#{kind}","message":"{message}"}}"#);
        let error = read::<Value>("InitiateAuth", StatusCode::BAD_REQUEST, body.as_bytes()).unwrap_err();
        let ClientError::SignIn(error) = error else { panic!("{error}") };
        format!("{error:?}").split(['(', ' ']).next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_renewal_keeps_the_refresh_token() {
        let tokens = br#"{"AuthenticationResult":{"IdToken":"i","AccessToken":"a","ExpiresIn":3600}}"#;
        let session = read::<Initiated>("InitiateAuth", StatusCode::OK, tokens).unwrap().session(Some("old")).unwrap();
        assert_eq!(session.refresh_token.as_deref(), Some("old"));
    }

    #[test]
    fn what_the_pool_asks_can_be_answered_or_is_named() {
        let asked = r#"{"ChallengeName":"SOFTWARE_TOKEN_MFA","Session":"s3cret","ChallengeParameters":
            {"USER_ID_FOR_SRP":"b3c1","FRIENDLY_DEVICE_NAME":"x"}}"#;
        let Ok(SignInStep::Asked(question)) = answer(asked) else { panic!("a question") };
        assert_eq!((question.asked, question.username.as_str()), (Asked::Code, "b3c1"));
        assert!(!format!("{question:?}").contains("s3cret"));
        let Ok(SignInStep::Asked(question)) = answer(r#"{"ChallengeName":"NEW_PASSWORD_REQUIRED"}"#) else {
            panic!("a question")
        };
        assert_eq!((question.asked, question.username.as_str()), (Asked::NewPassword, "ann"));
        assert!(answer(r#"{"ChallengeName":"SMS_MFA"}"#).unwrap_err().to_string().contains("SMS_MFA"));
    }

    #[test]
    fn refusals_are_told_apart() {
        for (kind, message, error) in [
            ("NotAuthorizedException", "Incorrect username or password.", "WrongPassword"),
            ("NotAuthorizedException", "Access Token has been revoked", "Ended"),
            ("NotAuthorizedException", "Invalid session for the user, session is expired.", "Ended"),
            ("CodeMismatchException", "Invalid code received for user", "WrongCode"),
            ("ExpiredCodeException", "Your software token has already been used once.", "WrongCode"),
            ("EnableSoftwareTokenMFAException", "Code mismatch", "WrongCode"),
            ("InvalidPasswordException", "Password not long enough", "BadPassword"),
            ("LimitExceededException", "Attempt limit exceeded", "Refused"),
        ] {
            assert_eq!(refused(kind, message), error, "{kind}: {message}");
        }
        assert!(is_throttled(br#"{"__type":"TooManyRequestsException","message":"Rate exceeded"}"#));
    }
}
