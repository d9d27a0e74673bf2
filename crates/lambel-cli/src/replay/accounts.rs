//! The accounts of the annotators: out of a file, or made as they are needed.

use std::{collections::HashMap, fs::File, path::Path};

use lambel_client::{Session, SignIn};
use lambel_core::api::PublicConfig;
use sha2::{Digest, Sha256};

use crate::{
    admin::{Group, Life, Pool},
    exit::{Exit, Failure, Outcome},
    password,
};

/// The most characters of an annotator's name in a user name.
const NAME_CHARS: usize = 60;

/// Where accounts come from.
pub(crate) enum Accounts {
    /// User name and password of each annotator.
    Listed(HashMap<String, (String, String)>),
    /// Made in the user pool, with a password that lives as long as this process.
    Made(Pool),
}

impl Accounts {
    /// Out of a CSV file with the columns annotator, username, password.
    pub(crate) fn listed(path: &Path) -> Outcome<Self> {
        let file =
            File::open(path).map_err(|error| Failure { exit: Exit::Usage, ..Failure::io(path.display(), &error) })?;
        let mut accounts = HashMap::new();
        for (number, row) in csv::Reader::from_reader(file).deserialize().enumerate() {
            // The text of the error could quote a password.
            let (annotator, username, password): (String, String, String) = row.map_err(|_| {
                let advice = "annotator,username,password, with these names in the first line";
                Failure::usage(format!("{}: row {} is not {advice}", path.display(), number + 1))
            })?;
            accounts.insert(annotator, (username, password));
        }
        Ok(Self::Listed(accounts))
    }

    /// Made as they are needed.
    pub(crate) async fn made(config: &PublicConfig) -> Self {
        Self::Made(Pool::of_service(config).await)
    }

    /// Whether an annotator can play.
    pub(crate) fn has(&self, annotator: &str) -> bool {
        match self {
            Self::Listed(accounts) => accounts.contains_key(annotator),
            Self::Made(_) => true,
        }
    }

    /// The user name of an annotator.
    pub(crate) fn username(&self, annotator: &str) -> String {
        match self {
            Self::Listed(accounts) => accounts.get(annotator).map(|(name, _)| name.clone()).unwrap_or_default(),
            Self::Made(_) => username_for(annotator),
        }
    }

    /// Signs an annotator in.
    pub(crate) async fn sign_in(&self, sign_in: &SignIn, annotator: &str) -> Outcome<Session> {
        let username = self.username(annotator);
        let password = match self {
            Self::Listed(accounts) => accounts.get(annotator).map(|(_, password)| password.clone()).unwrap_or_default(),
            Self::Made(pool) => {
                let password = password::random(40);
                pool.ensure_account(&username, &password, Life::Lasting, &[Group::Operators])
                    .await
                    .map_err(|failure| failure.about(format!("the account `{username}`")))?;
                password
            }
        };
        let session = sign_in.with_password(&username, &password).await;
        session.map_err(|error| Failure::from(error).about(format!("the account `{username}`")))
    }
}

/// The user name for an annotator: always the same, and different for different annotators, also in a pool
/// where small and capital letters are the same.
fn username_for(annotator: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if annotator.len() <= NAME_CHARS && annotator.chars().all(plain) {
        return format!("replay-{annotator}");
    }
    let tidy = |c: char| if plain(c.to_ascii_lowercase()) { c.to_ascii_lowercase() } else { '_' };
    let name: String = annotator.chars().map(tidy).take(NAME_CHARS).collect();
    // A tilde is in no plain name.
    format!("replay-{name}~{}", hex::encode(&Sha256::digest(annotator)[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_differ_where_annotators_do() {
        assert_eq!(username_for("a68"), "replay-a68");
        let names = ["A68", "a68", "a 68", "a_68", "ä68", &"x".repeat(61), &"x".repeat(62)].map(username_for);
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len(), "{names:?}");
        assert!(names.iter().all(|name| name.is_ascii() && name.len() <= 128));
    }

    #[test]
    fn files_of_accounts_do_not_leak_into_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.csv");
        std::fs::write(&path, "annotator,username,password\na,ann,secret-1\nb,secret-2\n").unwrap();
        let Err(failure) = Accounts::listed(&path) else { panic!("a row is too short") };
        assert!(!failure.message.contains("secret") && failure.message.contains("row 2"), "{}", failure.message);
        std::fs::write(&path, "annotator,username,password\na,ann,secret-1\n").unwrap();
        let accounts = Accounts::listed(&path).unwrap();
        assert!(accounts.has("a") && !accounts.has("b") && accounts.username("a") == "ann");
    }
}
