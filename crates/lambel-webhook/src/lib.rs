//! Sends to the targets of webhooks.
//!
//! A target is an address that somebody else has typed in, and this program stands inside: nobody must be able to make
//! it call what only it can reach. So
//!
//! * the URL is read again, by the rules of [`TargetRules`], with the reader that the connection is made by;
//! * the name is looked up here, once, and **every** address that it stands for has to be public; the connection is
//!   made to those addresses and not to the name, so that a second answer of the name server changes nothing;
//! * redirects are not followed, and no proxy of the environment is asked;
//! * an answer gets ten seconds and a kilobyte, and only what is harmless to show is kept of it.

use std::{net::SocketAddr, time::Duration};

use async_trait::async_trait;
use lambel_core::{limits, webhook::target::TargetRules};
use lambel_service::ports::{Post, Reply, Targets};
use reqwest::{
    Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect::Policy,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection is kept for the next delivery to the same target.
const IDLE: Duration = Duration::from_secs(20);
/// Connections that are kept for one target.
const IDLE_CONNECTIONS: usize = 10;

/// The targets, over HTTPS.
#[derive(Clone, Debug)]
pub struct HttpTargets {
    client: Client,
    rules: TargetRules,
}

impl HttpTargets {
    /// Targets by these rules. Fails where there is no TLS.
    pub fn new(rules: TargetRules) -> Result<Self, reqwest::Error> {
        Self::with_limit(rules, Duration::from_secs(limits::WEBHOOK_ANSWER_SECONDS))
    }

    /// The same, with another limit for an answer, for tests that should not take ten seconds.
    pub fn with_limit(rules: TargetRules, limit: Duration) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .dns_resolver(Checked(rules))
            .redirect(Policy::none())
            .no_proxy()
            .https_only(!rules.loopback)
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(limit)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .user_agent(concat!("lambel-webhook/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, rules })
    }
}

#[async_trait]
impl Targets for HttpTargets {
    async fn post(&self, post: Post) -> Reply {
        // Where the host is an address no name is looked up: this is the check of those.
        let url = match self.rules.parse(&post.url) {
            Ok(url) => url,
            Err(error) => return Reply::Forbidden(error.to_string()),
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/cloudevents+json; charset=utf-8")
            .header("webhook-id", post.id.as_str())
            .header("webhook-timestamp", post.timestamp)
            .header("webhook-signature", post.signature)
            .body(post.body);
        match request.send().await {
            Ok(response) => Reply::Answered(response.status().as_u16(), beginning(response).await),
            Err(error) => silence(&error.without_url()),
        }
    }
}

/// The beginning of an answer's body, as far as it is worth keeping. One that cannot be read has none.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < limits::WEBHOOK_ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let room = limits::WEBHOOK_ANSWER_BYTES - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    harmless(&String::from_utf8_lossy(&bytes))
}

/// Text of others without characters that could steer a terminal or turn the writing round, on one line, shortened.
fn harmless(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    let steers =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    line.chars().filter(|c| !steers(*c)).take(limits::WEBHOOK_ANSWER_CHARS).collect()
}

/// Why there was no answer. The words of the libraries below are taken only where they say something to the owner of
/// the target; the URL, which may have a key in it, is not repeated.
fn silence(error: &reqwest::Error) -> Reply {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut last = String::new();
    while let Some(error) = cause {
        if let Some(forbidden) = error.downcast_ref::<Forbidden>() {
            return Reply::Forbidden(forbidden.to_string());
        }
        last = error.to_string();
        cause = error.source();
    }
    let what = match () {
        () if error.is_timeout() => return Reply::Silent("no answer in time".to_owned()),
        () if error.is_connect() => "no connection",
        () => "no answer",
    };
    Reply::Silent(format!("{what}: {}", harmless(&last)))
}

/// A name that stands for an address that must not be called.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` stands for an address that is not called: {why}")]
struct Forbidden {
    name: String,
    why: String,
}

/// A name that stands for nothing.
#[derive(Debug, thiserror::Error)]
#[error("the name stands for no address")]
struct NoAddress;

/// Looks names up, and hands on only addresses that may be called.
#[derive(Clone, Copy, Debug)]
struct Checked(TargetRules);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            checked(rules, name.as_str(), found)
        })
    }
}

/// The addresses, if all of them may be called. One that must not makes the whole name suspect.
fn checked(
    rules: TargetRules,
    name: &str,
    found: Vec<SocketAddr>,
) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    for address in &found {
        if let Err(why) = rules.check(address.ip()) {
            return Err(Box::new(Forbidden { name: name.to_owned(), why: why.to_string() }));
        }
    }
    match found.is_empty() {
        true => Err(Box::new(NoAddress)),
        false => Ok(Box::new(found.into_iter())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn one_private_address_is_one_too_many() {
        let strict = TargetRules::default();
        let of = |found: &[&str]| checked(strict, "a.org", addresses(found)).map(Iterator::count);
        assert_eq!(of(&["93.184.215.14", "2606:4700:4700::1111"]).unwrap(), 2);
        for found in [&["93.184.215.14", "10.0.0.1"][..], &["fd00::1", "93.184.215.14"], &["169.254.169.254"]] {
            let error = of(found).unwrap_err().to_string();
            assert!(error.contains("not an address of the internet"), "{error}");
        }
        assert!(of(&[]).is_err());
    }

    /// A name is judged by what it stands for at the moment of the call, not by what it looks like: this one is looked
    /// up, and is this machine, which listens.
    #[tokio::test]
    async fn a_name_that_stands_for_a_private_address_is_not_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
        let client = |rules| Client::builder().no_proxy().dns_resolver(Checked(rules)).build().unwrap();
        let error = client(TargetRules::default()).get(&url).send().await.unwrap_err();
        let Reply::Forbidden(why) = silence(&error) else { panic!("{error:?}") };
        assert!(why.contains("`localhost`") && why.contains("loopback"), "{why}");
        // The same call is made where this machine may be called, so it was the check that has stopped it.
        let call = client(TargetRules { loopback: true }).get(&url).send();
        tokio::select! {
            accepted = listener.accept() => assert!(accepted.is_ok()),
            answer = call => panic!("nobody answers: {answer:?}"),
        }
    }

    #[test]
    fn an_answer_is_shown_without_what_steers() {
        assert_eq!(harmless("\u{1b}[2J a\r\nb\0\u{202e}c\u{feff}"), "[2J a b c");
        assert_eq!(harmless(&"ü".repeat(5_000)).chars().count(), limits::WEBHOOK_ANSWER_CHARS);
    }
}
