//! `lambel login` and `lambel logout`.

use lambel_client::{Asked, Machine, Session, SignIn, SignInStep};
use serde_json::json;

use crate::{
    context::Context,
    exit::{Failure, Outcome},
    password,
    profile::Profile,
};

/// Who signs in, and how.
#[derive(clap::Args)]
#[command(after_help = "Secrets are asked for at the terminal. Scripts give them in the environment:
  LAMBEL_PASSWORD       the password
  LAMBEL_TOTP           the code of the authenticator app, if the account has one
  LAMBEL_NEW_PASSWORD   a lasting password, if the account has a temporary one
  LAMBEL_CLIENT_SECRET  the secret of a machine; later commands need it too, whenever a token has ended")]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    who: Who,
    /// Read the password from standard input [otherwise: LAMBEL_PASSWORD, else asked for]
    #[arg(long, conflicts_with = "machine")]
    password_stdin: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// User name
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Client id of a machine, whose secret is in LAMBEL_CLIENT_SECRET or asked for
    #[arg(long, value_name = "CLIENT_ID")]
    machine: Option<String>,
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Outcome {
    let client = context.open_client()?;
    let config = client.config().await?;
    let (name, session) = match (args.who.username, args.who.machine) {
        (_, Some(id)) => {
            let secret = password::read_client_secret(&format!("Secret of {id} at {}: ", client.address()))?;
            let session = Machine::new(&config, &id, &secret)?.sign_in().await?;
            (id, session)
        }
        (name, None) => {
            let name = name.unwrap_or_default();
            let prompt = format!("Password of {name} at {}: ", client.address());
            let password = password::read(args.password_stdin, &prompt)?;
            let session = with_password(&SignIn::new(&config)?, &name, &password).await?;
            (name, session)
        }
    };
    let subject = session.subject();
    let profile = Profile::new(client.address(), &name, config, session);
    context.profiles.save(&context.name, &profile)?;
    let shown = json!({"profile": context.name.to_string(), "api": profile.api, "username": profile.username, "subject": subject});
    context.out.show(&shown, |_| format!("signed in to {} as {}", profile.api, profile.username))
}

/// Signs somebody in, and asks them what the pool asks.
async fn with_password(sign_in: &SignIn, name: &str, password: &str) -> Outcome<Session> {
    let mut step = sign_in.begin(name, password).await?;
    loop {
        let question = match step {
            SignInStep::Done(session) => return Ok(session),
            SignInStep::Asked(question) => question,
        };
        let answer = match question.asked {
            Asked::NewPassword => password::read_new()
                .map_err(|failure| failure.about("the account has a temporary password, and needs a lasting one"))?,
            Asked::Code => password::read_code()?,
        };
        step = sign_in.answer(&question, &answer).await?;
    }
}

pub(crate) async fn logout(context: &Context) -> Outcome {
    let profile = context.profiles.load(&context.name)?;
    // A machine has nothing that could be revoked: its token ends within the hour.
    if let Some(profile) = profile.filter(|profile| !profile.session.is_machine()) {
        // Signing out must work without the service too: the tokens on this machine are gone in any case.
        let revoked = async { SignIn::new(&profile.config)?.revoke(&profile.session).await };
        if let Err(error) = revoked.await {
            let failure = Failure::from(error);
            context.out.note(&format!("the user pool was not told of it: {}", failure.message));
        }
    }
    let removed = context.profiles.remove(&context.name)?;
    let shown = json!({"profile": context.name.to_string(), "signed_out": removed});
    context.out.show(&shown, |_| match removed {
        true => format!("the sign-in of profile `{}` is gone", context.name),
        false => format!("profile `{}` was not signed in", context.name),
    })
}
