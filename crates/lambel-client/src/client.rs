//! How a call is made: address, token, tries, and what is read out of the answer.

use std::time::Duration;

use bytes::Bytes;
use lambel_core::api::PublicConfig;
use reqwest::{Method, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{ClientError, Result, describe, problem},
    retry::{Retries, asked_pause, is_passing},
    session::TokenSource,
};

/// How long one call may take. The gateway gives up after 30 seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(40);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of one Lambel service. Clones share connections and session.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) retries: Retries,
    base: String,
    tokens: TokenSource,
}

/// Connections as every part of this crate wants them. Redirects are not followed: no route has one, and a
/// token must not go elsewhere.
pub(crate) fn http_client() -> Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("lambel-client/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ClientError::Transport(describe(error)))
}

/// One call, before it is known how often it has to be made.
pub(crate) struct Call {
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
    /// Whether it comes to the same if the service gets it twice.
    repeatable: bool,
    signed_in: bool,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None, repeatable: true, signed_in: true }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: &impl Serialize) -> Result<Self> {
        Self::new(Method::POST, path).with(body)
    }

    pub(crate) fn with(mut self, body: &impl Serialize) -> Result<Self> {
        let json = serde_json::to_vec(body)
            .map_err(|error| ClientError::Decode { expected: "request", reason: error.to_string() })?;
        self.body = Some(json.into());
        Ok(self)
    }

    pub(crate) fn query(mut self, name: &'static str, value: Option<impl ToString>) -> Self {
        self.query.extend(value.map(|value| (name, value.to_string())));
        self
    }

    /// Only once: the service does something new each time.
    pub(crate) fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    /// Without a token.
    pub(crate) fn open(mut self) -> Self {
        self.signed_in = false;
        self
    }
}

impl Client {
    /// A client of the service at this address. A path in the address stays before the paths of the interface.
    pub fn new(api_url: &str, tokens: TokenSource) -> Result<Self> {
        let wrong = |reason: String| ClientError::Address { address: api_url.to_owned(), reason };
        let url = Url::parse(api_url).map_err(|error| wrong(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("it begins neither with https:// nor with http://".to_owned()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has a `?` or a `#`".to_owned()));
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: http_client()?, base, tokens, retries: Retries::default() })
    }

    /// The same service, for somebody else. The connections are shared.
    pub fn signed_in(&self, tokens: TokenSource) -> Self {
        Self { tokens, ..self.clone() }
    }

    /// With other limits on how often something is tried.
    pub fn with_retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// The address of the service, without a slash at its end.
    pub fn address(&self) -> &str {
        &self.base
    }

    /// Where and how to sign in at this service.
    pub async fn config(&self) -> Result<PublicConfig> {
        let config: PublicConfig = self.call("PublicConfig", Call::get("/config.json").open()).await?;
        // A password must not leave in the clear because of an answer that came encrypted.
        let mut places = std::iter::once(&config.sign_in_endpoint).chain(&config.token_endpoint);
        if self.base.starts_with("https:") && !places.all(|place| place.starts_with("https:")) {
            let reason = "it names a place to sign in that is not encrypted".to_owned();
            return Err(ClientError::Address { address: self.base.clone(), reason });
        }
        Ok(config)
    }

    /// Makes a call and reads its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, expected: &'static str, call: Call) -> Result<T> {
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Decode { expected, reason: error.to_string() })
    }

    /// Makes a call, as often as it takes.
    pub(crate) async fn send(&self, call: Call) -> Result<Bytes> {
        let mut token = None;
        if call.signed_in {
            token = Some(self.tokens.bearer().await?.ok_or(ClientError::NotSignedIn)?);
        }
        let mut made = 0;
        let mut renewed = false;
        loop {
            made += 1;
            let (error, again, asked) = match self.send_once(&call, token.as_deref()).await {
                Ok(answer) if answer.status.is_success() => return Ok(answer.body),
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    if let Some(refused) = token.take() {
                        token = self.tokens.instead_of(&refused).await?;
                        continue;
                    }
                    (ClientError::Problem(problem(answer.status, &answer.body)), false, None)
                }
                Ok(answer) => {
                    // What is refused for want of room has not been done, whatever it was.
                    let again = answer.status == StatusCode::TOO_MANY_REQUESTS
                        || (call.repeatable && is_passing(answer.status));
                    (ClientError::Problem(problem(answer.status, &answer.body)), again, answer.asked_pause)
                }
                Err(error) => {
                    let again = call.repeatable || error.is_connect();
                    (ClientError::Transport(describe(error)), again, None)
                }
            };
            match self.retries.pause(made, asked).filter(|_| again) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    async fn send_once(&self, call: &Call, token: Option<&str>) -> reqwest::Result<Answer> {
        let address = format!("{}{}", self.base, call.path);
        let mut request = self.http.request(call.method.clone(), address).timeout(CALL_TIMEOUT);
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &call.body {
            request = request.header("content-type", "application/json").body(body.clone());
        }
        let response = request.send().await?;
        let status = response.status();
        let asked_pause = asked_pause(response.headers());
        Ok(Answer { status, asked_pause, body: response.bytes().await? })
    }
}

struct Answer {
    status: StatusCode,
    asked_pause: Option<Duration>,
    body: Bytes,
}
