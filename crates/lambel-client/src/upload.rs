//! Uploading a file that the service has granted.

use std::time::Duration;

use bytes::Bytes;
use lambel_core::{
    Timestamp,
    api::{Grant, Header},
};

use crate::{
    client::Client,
    error::describe,
    retry::{asked_pause, is_passing},
    session::now,
};

/// How long one upload may take: 40 MB at half a megabit a second.
const PUT_TIMEOUT: Duration = Duration::from_secs(660);

/// What a service has granted: exactly these bytes to this address, for a while. The address is a secret.
#[derive(Clone)]
pub struct UploadGrant {
    url: String,
    headers: Vec<Header>,
    expires_at: Timestamp,
}

impl UploadGrant {
    /// Out of the answer to an announcement; none where there is nothing to upload.
    pub fn of(grant: Grant) -> Option<Self> {
        match grant {
            Grant::Upload { url, headers, expires_at } => Some(Self { url, headers, expires_at }),
            Grant::AlreadyPresent { .. } | Grant::Refused { .. } => None,
        }
    }

    /// Whether it is too late to use it, by the clock of this machine.
    pub fn has_expired(&self) -> bool {
        self.expires_at <= now()
    }
}

impl std::fmt::Debug for UploadGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadGrant").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why a file did not go up.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The grant is too old: announce the file again.
    #[error("the permission to upload has expired")]
    Expired,
    /// The storage does not take these bytes under this grant; the file has changed since it was announced,
    /// for instance.
    #[error("the storage refuses the file: {message} ({status} {code})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The storage's name for the reason.
        code: String,
        /// The reason.
        message: String,
    },
    /// The storage could not be reached, or not store, however often it was tried.
    #[error("the storage cannot be reached: {0}")]
    Transport(String),
}

impl Client {
    /// Uploads a file. Tried again where the storage or the way to it has a hiccup: the same bytes come to the
    /// same object.
    pub async fn put_file(&self, grant: &UploadGrant, bytes: Bytes) -> Result<(), PutError> {
        let mut made = 0;
        loop {
            if grant.has_expired() {
                return Err(PutError::Expired);
            }
            made += 1;
            let (error, asked) = match self.put_once(grant, bytes.clone()).await {
                Ok(Put::Stored) => return Ok(()),
                Ok(Put::Failed { error, again: false, .. }) => return Err(error),
                Ok(Put::Failed { error, asked, .. }) => (error, asked),
                Err(error) => (PutError::Transport(describe(error)), None),
            };
            match self.retries.pause(made, asked) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error),
            }
        }
    }

    async fn put_once(&self, grant: &UploadGrant, bytes: Bytes) -> reqwest::Result<Put> {
        let mut request = self.http.put(&grant.url).timeout(PUT_TIMEOUT);
        // The connection itself says the host and the length of the body; said twice they could differ.
        for header in grant.headers.iter().filter(|header| !matches!(&*header.name, "host" | "content-length")) {
            request = request.header(&header.name, &header.value);
        }
        let response = request.body(bytes).send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(Put::Stored);
        }
        let asked = asked_pause(response.headers());
        let body = response.bytes().await?;
        let (error, again) = storage_error(status.as_u16(), &String::from_utf8_lossy(&body));
        Ok(Put::Failed { error, again: again || is_passing(status), asked })
    }
}

enum Put {
    Stored,
    Failed { error: PutError, again: bool, asked: Option<Duration> },
}

/// What an error answer of S3 means, and whether the same request may work later.
fn storage_error(status: u16, body: &str) -> (PutError, bool) {
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_default();
    // The grant itself, or the credentials behind it, which may end earlier.
    let expired = matches!(code, "ExpiredToken" | "RequestExpired")
        || (status == 403 && message.to_ascii_lowercase().contains("expired"));
    if expired {
        return (PutError::Expired, false);
    }
    let again = status == 500 || matches!(code, "RequestTimeout" | "SlowDown" | "OperationAborted");
    (PutError::Refused { status, code: code.to_owned(), message: message.to_owned() }, again)
}

/// The text of an element of S3's flat error documents.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(status: u16, code: &str, message: &str) -> (PutError, bool) {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
        storage_error(status, &body)
    }

    #[test]
    fn an_expired_grant_is_told_from_a_wrong_file() {
        assert!(matches!(error(403, "AccessDenied", "Request has expired"), (PutError::Expired, false)));
        assert!(matches!(error(400, "ExpiredToken", "The provided token has expired."), (PutError::Expired, false)));
        assert!(matches!(error(403, "SignatureDoesNotMatch", "no"), (PutError::Refused { status: 403, .. }, false)));
        assert!(matches!(error(400, "BadDigest", "no"), (PutError::Refused { .. }, false)));
        assert!(matches!(error(400, "RequestTimeout", "idle"), (PutError::Refused { .. }, true)));
        assert!(matches!(storage_error(403, "not xml"), (PutError::Refused { .. }, false)));
    }

    #[test]
    fn grants_keep_their_address_to_themselves() {
        let url = "https://bucket/key?signature=secret".to_owned();
        let grant = Grant::Upload { url, headers: Vec::new(), expires_at: Timestamp::MAX };
        let grant = UploadGrant::of(grant).unwrap();
        assert!(!format!("{grant:?}").contains("secret") && !grant.has_expired());
    }
}
