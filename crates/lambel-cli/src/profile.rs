//! Sign-ins on disk: one file for each profile, readable by its owner only.
//!
//! The folder is `$LAMBEL_HOME`, else `$XDG_CONFIG_HOME/lambel`, else `~/.config/lambel`. A file holds tokens,
//! never a password, and never the secret of a machine: unlike a refresh token that does not end by itself.

use std::{
    env, fs,
    io::{self, Write},
    path::PathBuf,
    str::FromStr,
};

use lambel_client::Session;
use lambel_core::api::PublicConfig;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure, Outcome};

/// The shape of the files. One of another version is treated as if it were not there: sign in again.
const VERSION: u32 = 1;

/// The name of a profile: also the name of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProfileName(String);

impl FromStr for ProfileName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.is_empty() || text.len() > 64 || text.starts_with('.') || !text.chars().all(good) {
            return Err("1 to 64 letters, digits, `.`, `_` or `-`, not beginning with `.`");
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for ProfileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sign-in.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Profile {
    version: u32,
    /// The address of the service that the tokens are for. They go nowhere else.
    pub(crate) api: String,
    /// The name of the account, or the client id of the machine.
    pub(crate) username: String,
    pub(crate) config: PublicConfig,
    pub(crate) session: Session,
}

impl Profile {
    pub(crate) fn new(api: &str, username: &str, config: PublicConfig, session: Session) -> Self {
        Self { version: VERSION, api: api.to_owned(), username: username.to_owned(), config, session }
    }

    /// The same sign-in with other tokens.
    pub(crate) fn renewed(&self, session: &Session) -> Self {
        Self { session: session.clone(), ..self.clone() }
    }
}

/// Where profiles are kept.
#[derive(Clone, Debug)]
pub(crate) struct Profiles {
    folder: Option<PathBuf>,
}

impl Profiles {
    /// In the folder that the environment names.
    pub(crate) fn of_user() -> Self {
        let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named("LAMBEL_HOME")
            .or_else(|| named("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).map(|path| path.join("lambel")))
            .or_else(|| env::home_dir().map(|path| path.join(".config").join("lambel")));
        Self { folder: folder.map(|folder| folder.join("profiles")) }
    }

    fn file(&self, name: &ProfileName) -> Outcome<PathBuf> {
        let folder = self.folder.as_ref().ok_or_else(|| {
            Failure::new(Exit::Failed, "there is no home folder to keep the sign-in in; set LAMBEL_HOME to a folder")
        })?;
        Ok(folder.join(format!("{name}.json")))
    }

    /// The profile, if there is one.
    pub(crate) fn load(&self, name: &ProfileName) -> Outcome<Option<Profile>> {
        let file = self.file(name)?;
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::io(file.display(), &error)),
        };
        // Not quoted in an error: it holds tokens.
        Ok(serde_json::from_slice::<Profile>(&text).ok().filter(|profile| profile.version == VERSION))
    }

    /// Writes the profile: whole or not at all, and for the owner's eyes.
    pub(crate) fn save(&self, name: &ProfileName, profile: &Profile) -> Outcome {
        let file = self.file(name)?;
        write_private(&file, profile).map_err(|error| Failure::io(file.display(), &error))
    }

    /// Removes the profile. False if there is none.
    pub(crate) fn remove(&self, name: &ProfileName) -> Outcome<bool> {
        let file = self.file(name)?;
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::io(file.display(), &error)),
        }
    }
}

fn write_private(file: &std::path::Path, profile: &Profile) -> io::Result<()> {
    let folder = file.parent().unwrap_or(file);
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    // A temporary file is readable by its owner only, and stays so under its new name.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(&serde_json::to_vec_pretty(profile)?)?;
    temporary.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use lambel_core::Timestamp;

    use super::*;

    fn profile() -> Profile {
        let text = || "x".to_owned();
        let config = PublicConfig {
            region: text(),
            user_pool_id: text(),
            user_pool_client_id: text(),
            sign_in_endpoint: text(),
            token_endpoint: None,
            version: text(),
        };
        let expires_at = Timestamp::default();
        let session = Session { id_token: Some(text()), access_token: text(), refresh_token: Some(text()), expires_at };
        Profile::new("https://a.example", "ann", config, session)
    }

    #[test]
    fn profiles_are_kept_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let profiles = Profiles { folder: Some(folder.path().join("deep/profiles")) };
        let name: ProfileName = "default".parse().unwrap();
        assert!(profiles.load(&name).unwrap().is_none());
        profiles.save(&name, &profile()).unwrap();
        assert_eq!(profiles.load(&name).unwrap().unwrap().username, "ann");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(profiles.file(&name).unwrap()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(profiles.remove(&name).unwrap());
        assert!(!profiles.remove(&name).unwrap());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_no_sign_in() {
        let folder = tempfile::tempdir().unwrap();
        let profiles = Profiles { folder: Some(folder.path().to_owned()) };
        let name: ProfileName = "default".parse().unwrap();
        fs::write(profiles.file(&name).unwrap(), "{\"version\": 99}").unwrap();
        assert!(profiles.load(&name).unwrap().is_none());
    }

    #[test]
    fn sign_ins_of_older_versions_are_read() {
        let older = r#"{"version":1,"api":"https://a.example","username":"ann","config":{"region":"x","user_pool_id":"x",
            "user_pool_client_id":"x","sign_in_endpoint":"x","version":"0"},"session":{"id_token":"i","access_token":"a",
            "refresh_token":"r","expires_at":"2026-11-21T12:00:00.000Z"}}"#;
        let profile: Profile = serde_json::from_str(older).unwrap();
        assert!(!profile.session.is_machine() && profile.session.refresh_token.as_deref() == Some("r"));
    }

    #[test]
    fn names_are_harmless_file_names() {
        for bad in ["", ".", "..", "a/b", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad}");
        }
        assert!("demo-client.1".parse::<ProfileName>().is_ok());
    }
}
