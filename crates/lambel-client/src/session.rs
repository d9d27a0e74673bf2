//! Sessions: the tokens of somebody who has signed in, and how they stay fresh.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambel_core::{OperatorId, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    error::Result,
    machine::Machine,
    sign_in::{SignIn, SignInError},
};

/// A token with less life left than this is renewed before it is used.
const RENEWED_BEFORE: Duration = Duration::from_secs(60);

/// The tokens of somebody who has signed in. All of them are secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Says who it is: their `sub`, name and groups. Machines have none.
    #[serde(default)]
    pub id_token: Option<String>,
    /// Says what a person may ask the user pool for, and what a machine may do.
    pub access_token: String,
    /// Buys new tokens. Machines have none: they ask again with their secret.
    #[serde(default)]
    pub refresh_token: Option<String>,
    /// When the first two end, by the clock of this machine.
    pub expires_at: Timestamp,
}

impl Session {
    /// The token that goes with a request. The gateway checks that it was made for an app client that it knows.
    /// The service reads the groups of a person and the scopes of a machine.
    pub fn bearer(&self) -> &str {
        self.id_token.as_deref().unwrap_or(&self.access_token)
    }

    /// Whether it is the session of a machine.
    pub fn is_machine(&self) -> bool {
        self.id_token.is_none()
    }

    /// Who it is, as the service names them: the token's `sub`. The token is read, not verified.
    pub fn subject(&self) -> Option<OperatorId> {
        #[derive(Deserialize)]
        struct Claims {
            sub: OperatorId,
        }
        let payload = self.bearer().split('.').nth(1)?;
        let json = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        serde_json::from_slice::<Claims>(&json).ok().map(|claims| claims.sub)
    }

    /// Whether it is time for new tokens.
    pub fn ends_soon(&self) -> bool {
        now().until(self.expires_at) < RENEWED_BEFORE
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// This moment, by the clock of this machine.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().plus(since_epoch)
}

type Listener = Box<dyn Fn(&Session) + Send + Sync>;

/// How a session gets new tokens.
#[derive(Clone, Debug)]
pub enum Renewal {
    /// With the refresh token.
    Person(SignIn),
    /// With the secret of a machine.
    Machine(Machine),
    /// Not at all: it ends.
    None,
}

impl From<SignIn> for Renewal {
    fn from(sign_in: SignIn) -> Self {
        Self::Person(sign_in)
    }
}

impl From<Machine> for Renewal {
    fn from(machine: Machine) -> Self {
        Self::Machine(machine)
    }
}

impl Renewal {
    async fn renew(&self, session: &Session) -> Result<Session> {
        match self {
            Self::Person(sign_in) => sign_in.renew(session).await,
            Self::Machine(machine) => machine.sign_in().await,
            Self::None => Err(SignInError::Ended.into()),
        }
    }
}

struct Kept {
    renewal: Renewal,
    session: Mutex<Session>,
    listener: Option<Listener>,
}

/// Where a client takes its token from. Clones share the session.
#[derive(Clone, Default)]
pub struct TokenSource(Option<Arc<Kept>>);

impl TokenSource {
    /// Nobody: only the open routes can be called.
    pub fn none() -> Self {
        Self(None)
    }

    /// A session that is renewed before it ends.
    pub fn session(renewal: impl Into<Renewal>, session: Session) -> Self {
        Self(Some(Arc::new(Kept { renewal: renewal.into(), session: Mutex::new(session), listener: None })))
    }

    /// The same, and `listener` is told of each new session, for instance to store it.
    pub fn session_kept_by(
        renewal: impl Into<Renewal>,
        session: Session,
        listener: impl Fn(&Session) + Send + Sync + 'static,
    ) -> Self {
        let listener: Option<Listener> = Some(Box::new(listener));
        Self(Some(Arc::new(Kept { renewal: renewal.into(), session: Mutex::new(session), listener })))
    }

    /// The token for a request, renewed if it ends soon.
    pub(crate) async fn bearer(&self) -> Result<Option<String>> {
        let Some(kept) = &self.0 else { return Ok(None) };
        let mut session = kept.session.lock().await;
        if session.ends_soon() {
            kept.renew(&mut session).await?;
        }
        Ok(Some(session.bearer().to_owned()))
    }

    /// A token in place of one that was refused; none if there is nothing to renew.
    pub(crate) async fn instead_of(&self, refused: &str) -> Result<Option<String>> {
        let Some(kept) = &self.0 else { return Ok(None) };
        let mut session = kept.session.lock().await;
        // Perhaps another request has renewed it by now.
        if session.bearer() == refused {
            kept.renew(&mut session).await?;
        }
        Ok(Some(session.bearer().to_owned()))
    }
}

impl Kept {
    async fn renew(&self, session: &mut Session) -> Result<()> {
        *session = self.renewal.renew(session).await?;
        if let Some(listener) = &self.listener {
            listener(session);
        }
        Ok(())
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "TokenSource::session" } else { "TokenSource::none" })
    }
}

#[cfg(test)]
pub(crate) fn test_session(sub: &str) -> Session {
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{sub}","cognito:groups":["operators"]}}"#));
    Session {
        id_token: Some(format!("e30.{payload}.signature")),
        access_token: "access".to_owned(),
        refresh_token: Some("refresh".to_owned()),
        expires_at: now().plus(Duration::from_secs(3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_read_from_the_token() {
        assert_eq!(test_session("b3c1").subject().unwrap().as_str(), "b3c1");
        let broken = Session { id_token: Some("no token".to_owned()), ..test_session("b3c1") };
        assert_eq!(broken.subject(), None);
        let machine = Session { access_token: test_session("4k2j").bearer().to_owned(), id_token: None, ..broken };
        assert_eq!(machine.subject().unwrap().as_str(), "4k2j");
        assert!(machine.is_machine() && !test_session("b3c1").is_machine());
    }

    #[test]
    fn tokens_are_renewed_before_they_end() {
        let mut session = test_session("b3c1");
        assert!(!session.ends_soon());
        session.expires_at = now().plus(Duration::from_secs(30));
        assert!(session.ends_soon());
        session.expires_at = Timestamp::default();
        assert!(session.ends_soon());
    }

    #[test]
    fn debug_output_shows_no_token() {
        let shown = format!("{:?}", test_session("b3c1"));
        assert!(!shown.contains("e30") && !shown.contains("access\"") && !shown.contains("refresh\""), "{shown}");
    }
}
