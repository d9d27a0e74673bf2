//! Who may label a task.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{api::AudienceFields, limits};

/// A text that names no account or no team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseNameError {
    /// Not the name of an account.
    #[error(
        "an account name has 1 to {} characters, none of them a space or a control character",
        limits::ACCOUNT_NAME_CHARS
    )]
    Account,
    /// Not the name of a team.
    #[error(
        "a team name has 1 to {} characters out of a-z 0-9 - and begins with none of the last",
        limits::TEAM_NAME_CHARS
    )]
    Team,
}

/// The name that an operator signs in with. For a machine it is its client id. The user pool does not tell names
/// apart by case, so they are kept in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]{1,128}$", example = "anna")]
pub struct AccountName(String);

/// A group of operators that tasks can be kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9][a-z0-9-]{0,39}$", example = "radiology")]
pub struct TeamName(String);

impl FromStr for AccountName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = |c: char| c.is_control() || c.is_whitespace();
        if text.is_empty() || text.chars().count() > limits::ACCOUNT_NAME_CHARS || text.chars().any(bad) {
            return Err(ParseNameError::Account);
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl FromStr for TeamName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > limits::TEAM_NAME_CHARS || text.starts_with('-') || !text.bytes().all(good) {
            return Err(ParseNameError::Team);
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseNameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

text!(AccountName);
text!(TeamName);

/// How the groups of the user pool begin that stand for teams.
const TEAM_GROUP: &str = "team:";

impl TeamName {
    /// The team that a group of the user pool stands for, if it stands for one.
    pub fn of_group(group: &str) -> Option<Self> {
        group.strip_prefix(TEAM_GROUP)?.parse().ok()
    }

    /// The group of the user pool that stands for the team.
    pub fn group(&self) -> String {
        format!("{TEAM_GROUP}{self}")
    }
}

/// The operators that a task is open to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Audience {
    /// Every operator.
    #[default]
    Everyone,
    /// These operators, and the members of these teams.
    Only {
        /// Operators, by the names of their accounts.
        operators: BTreeSet<AccountName>,
        /// Teams.
        teams: BTreeSet<TeamName>,
    },
}

/// An audience that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AudienceError {
    /// Neither everyone nor anyone, or both. An empty list does not stand for everyone, lest a list that came out
    /// empty by mistake opens a task to all.
    #[error("either `everyone` is true, or `operators` or `teams` name at least one")]
    Unclear,
    /// Too many operators.
    #[error("{} operators at most; put them in a team", limits::AUDIENCE_OPERATORS)]
    Operators,
    /// Too many teams.
    #[error("{} teams at most", limits::AUDIENCE_TEAMS)]
    Teams,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] ParseNameError),
}

impl Audience {
    /// Reads an audience.
    pub fn parse(fields: &AudienceFields) -> Result<Self, AudienceError> {
        let named = !fields.operators.is_empty() || !fields.teams.is_empty();
        if fields.everyone == named {
            return Err(AudienceError::Unclear);
        }
        if fields.operators.len() > limits::AUDIENCE_OPERATORS {
            return Err(AudienceError::Operators);
        }
        if fields.teams.len() > limits::AUDIENCE_TEAMS {
            return Err(AudienceError::Teams);
        }
        if fields.everyone {
            return Ok(Self::Everyone);
        }
        let operators = fields.operators.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        let teams = fields.teams.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(Self::Only { operators, teams })
    }

    /// Whether an operator of this name and these teams belongs to it.
    pub fn admits(&self, name: Option<&AccountName>, teams: &[TeamName]) -> bool {
        match self {
            Self::Everyone => true,
            Self::Only { operators, teams: admitted } => {
                name.is_some_and(|name| operators.contains(name)) || teams.iter().any(|team| admitted.contains(team))
            }
        }
    }

    /// Whether it is every operator.
    pub fn is_everyone(&self) -> bool {
        matches!(self, Self::Everyone)
    }
}

impl From<&Audience> for AudienceFields {
    fn from(audience: &Audience) -> Self {
        match audience {
            Audience::Everyone => Self { everyone: true, ..Self::default() },
            Audience::Only { operators, teams } => Self {
                everyone: false,
                operators: operators.iter().map(ToString::to_string).collect(),
                teams: teams.iter().map(ToString::to_string).collect(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(everyone: bool, operators: &[&str], teams: &[&str]) -> AudienceFields {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        AudienceFields { everyone, operators: owned(operators), teams: owned(teams) }
    }

    #[test]
    fn an_empty_list_is_not_everyone() {
        assert_eq!(Audience::parse(&fields(true, &[], &[])), Ok(Audience::Everyone));
        assert_eq!(Audience::parse(&fields(false, &[], &[])), Err(AudienceError::Unclear));
        assert_eq!(Audience::parse(&fields(true, &["anna"], &[])), Err(AudienceError::Unclear));
    }

    #[test]
    fn admits_by_name_and_by_team_and_nobody_else() {
        let audience = Audience::parse(&fields(false, &["Anna"], &["birds"])).unwrap();
        let name = |text: &str| text.parse::<AccountName>().unwrap();
        let team = |text: &str| text.parse::<TeamName>().unwrap();
        assert!(audience.admits(Some(&name("anna")), &[]));
        assert!(audience.admits(Some(&name("ANNA")), &[]), "the user pool does not tell names apart by case");
        assert!(audience.admits(Some(&name("bert")), &[team("fish"), team("birds")]));
        assert!(audience.admits(None, &[team("birds")]));
        assert!(!audience.admits(Some(&name("bert")), &[team("fish")]));
        assert!(!audience.admits(None, &[]));
        assert!(Audience::Everyone.admits(None, &[]));
    }

    #[test]
    fn lists_have_limits_that_are_named() {
        let many = |n: usize, prefix: &str| (0..n).map(|i| format!("{prefix}{i}")).collect::<Vec<_>>();
        let parse = |operators: usize, teams: usize| {
            let fields = AudienceFields { everyone: false, operators: many(operators, "o"), teams: many(teams, "t") };
            Audience::parse(&fields)
        };
        assert!(parse(limits::AUDIENCE_OPERATORS, limits::AUDIENCE_TEAMS).is_ok());
        let error = parse(limits::AUDIENCE_OPERATORS + 1, 0).unwrap_err();
        assert!(error.to_string().contains("200 operators"), "{error}");
        let error = parse(0, limits::AUDIENCE_TEAMS + 1).unwrap_err();
        assert!(error.to_string().contains("50 teams"), "{error}");
    }

    #[test]
    fn names_are_parsed() {
        for bad in ["", "a b", "a\n", &"x".repeat(129)] {
            assert_eq!(bad.parse::<AccountName>(), Err(ParseNameError::Account), "{bad:?}");
        }
        for bad in ["", "-a", "A", "a b", "ä", &"x".repeat(41)] {
            assert_eq!(bad.parse::<TeamName>(), Err(ParseNameError::Team), "{bad:?}");
        }
        assert!("x".repeat(40).parse::<TeamName>().is_ok());
        assert!("anna.schmidt@example.org".parse::<AccountName>().is_ok());
    }

    #[test]
    fn is_written_as_it_is_read() {
        let audience = Audience::parse(&fields(false, &["anna"], &["birds"])).unwrap();
        assert_eq!(Audience::parse(&AudienceFields::from(&audience)), Ok(audience.clone()));
        let json = serde_json::to_value(&audience).unwrap();
        assert_eq!(serde_json::from_value::<Audience>(json).unwrap(), audience);
    }
}
