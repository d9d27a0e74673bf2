//! Who asks.

use lambel_core::{AccountName, Actor, Audience, ClientId, OperatorId, TeamName};

use crate::error::{Error, Result};

/// What somebody may do: the groups of a person, the scopes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Makes tasks and reads their results.
    Client,
    /// Labels.
    Operator,
    /// Looks after the deployment: may see every task.
    Admin,
}

impl Role {
    /// The role that a group of the user pool stands for.
    pub fn of_group(group: &str) -> Option<Self> {
        match group {
            "clients" => Some(Self::Client),
            "operators" => Some(Self::Operator),
            "admins" => Some(Self::Admin),
            _ => None,
        }
    }

    /// The role that a scope stands for. Only machines have such scopes, and none of them makes an admin.
    pub fn of_scope(scope: &str) -> Option<Self> {
        match scope {
            "lambel/tasks" => Some(Self::Client),
            "lambel/labels" => Some(Self::Operator),
            _ => None,
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::Client => "clients",
            Self::Operator => "operators",
            Self::Admin => "admins",
        }
    }
}

/// Somebody whose token was checked at the gate.
#[derive(Clone, Debug)]
pub struct Caller {
    subject: String,
    roles: Vec<Role>,
    name: Option<AccountName>,
    teams: Vec<TeamName>,
}

/// How the groups of the user pool begin that stand for teams.
const TEAM: &str = "team:";

/// The team that a group of the user pool stands for.
pub fn team_of_group(group: &str) -> Option<TeamName> {
    group.strip_prefix(TEAM)?.parse().ok()
}

/// The group of the user pool that stands for a team.
pub fn group_of_team(team: &TeamName) -> String {
    format!("{TEAM}{team}")
}

impl Caller {
    /// A caller by the `sub` of their token and the roles that it gives them.
    pub fn new(subject: impl Into<String>, roles: impl IntoIterator<Item = Role>) -> Self {
        Self { subject: subject.into(), roles: roles.into_iter().collect(), name: None, teams: Vec::new() }
    }

    /// The caller, with the name of their account.
    #[must_use]
    pub fn named(mut self, name: Option<AccountName>) -> Self {
        self.name = name;
        self
    }

    /// The caller, as a member of these teams.
    #[must_use]
    pub fn in_teams(mut self, teams: impl IntoIterator<Item = TeamName>) -> Self {
        self.teams = teams.into_iter().collect();
        self
    }

    /// The `sub` of their token.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether they belong to an audience.
    pub fn belongs_to(&self, audience: &Audience) -> bool {
        audience.admits(self.name.as_ref(), &self.teams)
    }

    /// The caller, as the trail names them.
    pub fn actor(&self) -> Actor {
        Actor { id: self.subject.clone(), name: self.name.as_ref().map(ToString::to_string) }
    }

    /// Fails unless the caller is an admin.
    pub fn admin(&self) -> Result<()> {
        if self.is(Role::Admin) { Ok(()) } else { Err(Error::RoleMissing { group: Role::Admin.group() }) }
    }

    /// Whether they have a role.
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// The caller as a client. Admins are clients too: they may have tasks of their own.
    pub fn client(&self) -> Result<ClientId> {
        if !self.is(Role::Client) && !self.is(Role::Admin) {
            return Err(Error::RoleMissing { group: Role::Client.group() });
        }
        self.subject.parse().map_err(|_| Error::RoleMissing { group: Role::Client.group() })
    }

    /// The caller as an operator.
    pub fn operator(&self) -> Result<OperatorId> {
        if !self.is(Role::Operator) {
            return Err(Error::RoleMissing { group: Role::Operator.group() });
        }
        self.subject.parse().map_err(|_| Error::RoleMissing { group: Role::Operator.group() })
    }
}
