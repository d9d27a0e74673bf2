//! The user pool, as an admin sees it.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_cognitoidentityprovider::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::{
        ExplicitAuthFlowsType, MessageActionType, OAuthFlowType, PreventUserExistenceErrorTypes,
        SoftwareTokenMfaSettingsType, TimeUnitsType, TokenValidityUnitsType, UserPoolClientType,
    },
};
use lambel_core::api::PublicConfig;

use super::user::Group;
use crate::exit::{Exit, Failure, Outcome};

/// How long a token of a machine is good, in minutes: as long as a person's.
const TOKEN_MINUTES: i32 = 60;

/// A user pool, with the credentials of the environment.
pub(crate) struct Pool {
    client: Client,
    pub(super) id: String,
}

/// What a password is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// For good.
    Lasting,
    /// For the first sign-in, which asks for another.
    Temporary,
}

/// An account.
#[derive(Debug, serde::Serialize)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) groups: Vec<&'static str>,
    pub(super) enabled: bool,
    /// Whether its password is a temporary one.
    pub(super) temporary: bool,
}

/// An app client that is a machine.
#[derive(Debug, serde::Serialize)]
pub(super) struct MachineClient {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) scopes: Vec<String>,
}

impl Pool {
    /// The pool with this id, where the environment says.
    pub(super) async fn of_environment(id: String) -> Self {
        let config = aws_config::load_defaults(BehaviorVersion::v2026_01_12()).await;
        Self { client: Client::new(&config), id }
    }

    /// The pool that a service names, in its region. Unless the environment says otherwise, it is asked where
    /// people sign in: then the pool of a local service is not looked for in the cloud.
    pub(crate) async fn of_service(service: &PublicConfig) -> Self {
        let region = Region::new(service.region.clone());
        let mut config = aws_config::defaults(BehaviorVersion::v2026_01_12()).region(region);
        let said = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"];
        if said.iter().all(|name| std::env::var_os(name).is_none()) {
            config = config.endpoint_url(&service.sign_in_endpoint);
        }
        Self { client: Client::new(&config.load().await), id: service.user_pool_id.clone() }
    }

    /// Makes an account with this password and these groups, or brings one that is there to that. True if it
    /// is new. A run that was broken off is mended by the next.
    pub(crate) async fn ensure_account(
        &self,
        name: &str,
        password: &str,
        life: Life,
        groups: &[Group],
    ) -> Outcome<bool> {
        // The pool looks at a password before it makes the account, so a weak one leaves no account behind.
        let made = self
            .client
            .admin_create_user()
            .user_pool_id(&self.id)
            .username(name)
            .temporary_password(password)
            .message_action(MessageActionType::Suppress)
            .send()
            .await;
        let created = match made {
            Ok(_) => true,
            Err(error) if error.code() == Some("UsernameExistsException") => false,
            Err(error) => return Err(failure("make the account", error)),
        };
        if !created || life == Life::Lasting {
            self.client
                .admin_set_user_password()
                .user_pool_id(&self.id)
                .username(name)
                .password(password)
                .permanent(life == Life::Lasting)
                .send()
                .await
                .map_err(|error| failure("set the password", error))?;
        }
        // Last: an account without groups can do nothing.
        for group in groups {
            self.client
                .admin_add_user_to_group()
                .user_pool_id(&self.id)
                .username(name)
                .group_name(group.as_str())
                .send()
                .await
                .map_err(|error| failure("put the account into its group", error))?;
        }
        Ok(created)
    }

    /// All accounts, by name.
    pub(super) async fn accounts(&self) -> Outcome<Vec<Account>> {
        let mut accounts = BTreeMap::new();
        let mut pages = self.client.list_users().user_pool_id(&self.id).into_paginator().items().send();
        while let Some(user) = pages.next().await {
            let user = user.map_err(|error| failure("list the accounts", error))?;
            let name = user.username.unwrap_or_default();
            let temporary = user.user_status.is_some_and(|status| status.as_str() == "FORCE_CHANGE_PASSWORD");
            accounts.insert(name.clone(), Account { name, groups: Vec::new(), enabled: user.enabled, temporary });
        }
        // By group: there are three of those, and there may be many accounts.
        for group in Group::ALL {
            let members = self.client.list_users_in_group().user_pool_id(&self.id).group_name(group.as_str());
            let mut pages = members.into_paginator().items().send();
            while let Some(user) = pages.next().await {
                let user = user.map_err(|error| failure("list the members of a group", error))?;
                if let Some(account) = user.username.and_then(|name| accounts.get_mut(&name)) {
                    account.groups.push(group.as_str());
                }
            }
        }
        Ok(accounts.into_values().collect())
    }

    /// Takes groups away from an account.
    pub(super) async fn leave_groups(&self, name: &str, groups: &[Group]) -> Outcome {
        for group in groups {
            let leave = self.client.admin_remove_user_from_group().user_pool_id(&self.id).username(name);
            let left = leave.group_name(group.as_str()).send().await;
            left.map_err(|error| failure("take the account out of its group", error))?;
        }
        Ok(())
    }

    /// Makes the refresh tokens of an account worthless, wherever it is signed in.
    pub(super) async fn sign_out(&self, name: &str) -> Outcome {
        let call = self.client.admin_user_global_sign_out().user_pool_id(&self.id).username(name);
        call.send().await.map(drop).map_err(|error| failure("sign the account out", error))
    }

    /// Lets an account sign in, or not.
    pub(super) async fn set_enabled(&self, name: &str, enabled: bool) -> Outcome {
        if enabled {
            let call = self.client.admin_enable_user().user_pool_id(&self.id).username(name);
            call.send().await.map(drop).map_err(|error| failure("enable the account", error))
        } else {
            let call = self.client.admin_disable_user().user_pool_id(&self.id).username(name);
            call.send().await.map(drop).map_err(|error| failure("disable the account", error))
        }
    }

    /// Deletes an account.
    pub(super) async fn delete_account(&self, name: &str) -> Outcome {
        let call = self.client.admin_delete_user().user_pool_id(&self.id).username(name);
        call.send().await.map(drop).map_err(|error| failure("delete the account", error))
    }

    /// Turns the second factor of an account off.
    pub(super) async fn disable_totp(&self, name: &str) -> Outcome {
        let off = SoftwareTokenMfaSettingsType::builder().enabled(false).preferred_mfa(false).build();
        let call = self.client.admin_set_user_mfa_preference().user_pool_id(&self.id).username(name);
        let done = call.software_token_mfa_settings(off).send().await;
        done.map(drop).map_err(|error| failure("turn the second factor off", error))
    }

    /// Makes a machine. Its id and its secret.
    pub(super) async fn add_machine(&self, name: &str, scopes: &[String]) -> Outcome<(String, String)> {
        let units = TokenValidityUnitsType::builder().access_token(TimeUnitsType::Minutes).build();
        let made = self
            .client
            .create_user_pool_client()
            .user_pool_id(&self.id)
            .client_name(name)
            .generate_secret(true)
            .allowed_o_auth_flows_user_pool_client(true)
            .allowed_o_auth_flows(OAuthFlowType::ClientCredentials)
            .set_allowed_o_auth_scopes(Some(scopes.to_vec()))
            // Without a word on this, people could sign in through it with their passwords.
            .explicit_auth_flows(ExplicitAuthFlowsType::AllowRefreshTokenAuth)
            .prevent_user_existence_errors(PreventUserExistenceErrorTypes::Enabled)
            .access_token_validity(TOKEN_MINUTES)
            .token_validity_units(units)
            .send()
            .await
            .map_err(|error| failure("make the machine", error))?;
        let client = made.user_pool_client.unwrap_or_else(|| UserPoolClientType::builder().build());
        match (client.client_id, client.client_secret) {
            (Some(id), Some(secret)) => Ok((id, secret)),
            _ => Err(Failure::new(Exit::Failed, "the user pool has made a machine without an id or a secret")),
        }
    }

    /// All machines, by name.
    pub(super) async fn machines(&self) -> Outcome<Vec<MachineClient>> {
        let mut machines = Vec::new();
        let mut pages = self.client.list_user_pool_clients().user_pool_id(&self.id).into_paginator().items().send();
        while let Some(client) = pages.next().await {
            let client = client.map_err(|error| failure("list the machines", error))?;
            machines.extend(self.machine(&client.client_id.unwrap_or_default()).await?);
        }
        machines.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(machines)
    }

    /// The machine with this id. None if it is the app client of people.
    async fn machine(&self, id: &str) -> Outcome<Option<MachineClient>> {
        let described = self.client.describe_user_pool_client().user_pool_id(&self.id).client_id(id).send().await;
        let client = described.map_err(|error| failure("look at the machine", error))?.user_pool_client;
        let machine = client.filter(|client| client.allowed_o_auth_flows().contains(&OAuthFlowType::ClientCredentials));
        Ok(machine.map(|client| MachineClient {
            id: id.to_owned(),
            name: client.client_name.unwrap_or_default(),
            scopes: client.allowed_o_auth_scopes.unwrap_or_default(),
        }))
    }

    /// Deletes a machine, and nothing that is none.
    pub(super) async fn delete_machine(&self, id: &str) -> Outcome<MachineClient> {
        let machine = self.machine(id).await?.ok_or_else(|| {
            Failure::usage(format!("{id} is no machine; `lambel admin machine list` shows those that there are"))
        })?;
        let call = self.client.delete_user_pool_client().user_pool_id(&self.id).client_id(id);
        call.send().await.map_err(|error| failure("delete the machine", error))?;
        Ok(machine)
    }
}

/// What an error of the user pool means for whoever runs the command.
fn failure<E>(what: &str, error: SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    SdkError<E>: std::error::Error,
{
    let message = error.message().unwrap_or_default();
    let (exit, reason) = match error.code() {
        Some("InvalidPasswordException" | "InvalidParameterException") => (Exit::Usage, message.to_owned()),
        Some("ResourceNotFoundException" | "UserNotFoundException") => (Exit::NotFound, message.to_owned()),
        Some("TooManyRequestsException") => (Exit::TryAgain, message.to_owned()),
        Some(
            "AccessDeniedException"
            | "NotAuthorizedException"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "ExpiredTokenException",
        ) => (Exit::NotAllowed, format!("{message}; the AWS credentials of the environment must allow it")),
        Some(code) => (Exit::Failed, format!("{message} ({code})")),
        None => match &error {
            SdkError::DispatchFailure(failed) if failed.is_io() || failed.is_timeout() => (
                Exit::TryAgain,
                "the user pool cannot be reached; check the network and run the command again".to_owned(),
            ),
            // Before anything is sent, the SDK looks for credentials.
            SdkError::DispatchFailure(_) => {
                let advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE";
                (Exit::NotAllowed, format!("there are no usable AWS credentials in the environment; {advice}"))
            }
            SdkError::TimeoutError(_) => (Exit::TryAgain, "the user pool did not answer in time".to_owned()),
            _ => (Exit::Failed, DisplayErrorContext(&error).to_string()),
        },
    };
    Failure::new(exit, format!("failed to {what}: {reason}"))
}
