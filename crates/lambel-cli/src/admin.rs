//! `lambel admin`: accounts, by the admin interface of the user pool. It needs AWS credentials, not a sign-in.

use aws_config::{BehaviorVersion, Region};
use aws_sdk_cognitoidentityprovider::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::MessageActionType,
};
use clap::ValueEnum;
use lambel_core::api::PublicConfig;
use serde_json::json;

use crate::{
    context::Context,
    exit::{Exit, Failure, Outcome},
    password,
};

#[derive(clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Manage accounts
    #[command(subcommand)]
    User(UserCommand),
}

#[derive(clap::Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account, or set password and groups of one that is there
    Add(AddArgs),
}

#[derive(clap::Args)]
pub(crate) struct AddArgs {
    /// User name
    name: String,
    /// What the account may do; once for each group
    #[arg(long = "group", value_enum, required = true, value_name = "GROUP")]
    groups: Vec<Group>,
    /// Read the password from standard input [otherwise: LAMBEL_PASSWORD, else asked for]
    #[arg(long)]
    password_stdin: bool,
    /// The user pool [default: the one that the service names]
    #[arg(long, value_name = "ID")]
    user_pool: Option<String>,
}

/// The groups of the user pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    Clients,
    Operators,
    Admins,
}

impl Group {
    fn as_str(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::Operators => "operators",
            Self::Admins => "admins",
        }
    }
}

pub(crate) async fn run(context: &Context, command: AdminCommand) -> Outcome {
    let AdminCommand::User(UserCommand::Add(mut args)) = command;
    args.groups.sort_unstable();
    args.groups.dedup();
    let pool = match args.user_pool {
        Some(id) => Pool::of_environment(id).await,
        None => Pool::of_service(&context.open_client()?.config().await?).await,
    };
    let password = password::read(args.password_stdin, &format!("Password for {}: ", args.name))?;
    let created = pool.ensure_account(&args.name, &password, &args.groups).await?;
    let groups: Vec<_> = args.groups.iter().map(|group| group.as_str()).collect();
    let shown = json!({"name": args.name, "groups": groups, "user_pool": pool.id, "created": created});
    context.out.show(&shown, |_| {
        let what = if created { "made" } else { "was there already; set the password" };
        format!("{}: {what}, in {}", args.name, groups.join(", "))
    })
}

/// A user pool, with the credentials of the environment.
pub(crate) struct Pool {
    client: Client,
    id: String,
}

impl Pool {
    /// The pool with this id, where the environment says.
    async fn of_environment(id: String) -> Self {
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
    pub(crate) async fn ensure_account(&self, name: &str, password: &str, groups: &[Group]) -> Outcome<bool> {
        let made = self
            .client
            .admin_create_user()
            .user_pool_id(&self.id)
            .username(name)
            .message_action(MessageActionType::Suppress)
            .send()
            .await;
        let created = match made {
            Ok(_) => true,
            Err(error) if error.code() == Some("UsernameExistsException") => false,
            Err(error) => return Err(failure("make the account", error)),
        };
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
        // Last: with its password an account can be used.
        self.client
            .admin_set_user_password()
            .user_pool_id(&self.id)
            .username(name)
            .password(password)
            .permanent(true)
            .send()
            .await
            .map_err(|error| failure("set the password", error))?;
        Ok(created)
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
