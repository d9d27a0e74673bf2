//! `lambel login` and `lambel logout`.

use lambel_client::SignIn;
use serde_json::json;

use crate::{
    context::Context,
    exit::{Failure, Outcome},
    password,
    profile::Profile,
};

/// Who signs in, and how.
#[derive(clap::Args)]
pub(crate) struct LoginArgs {
    /// User name
    #[arg(long, short)]
    username: String,
    /// Read the password from standard input [otherwise: LAMBEL_PASSWORD, else asked for]
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Outcome {
    let client = context.open_client()?;
    let config = client.config().await?;
    let prompt = format!("Password of {} at {}: ", args.username, client.address());
    let password = password::read(args.password_stdin, &prompt)?;
    let session = SignIn::new(&config)?.with_password(&args.username, &password).await?;
    let operator = session.subject();
    let profile = Profile::new(client.address(), &args.username, config, session);
    context.profiles.save(&context.name, &profile)?;
    let shown = json!({"profile": context.name.to_string(), "api": profile.api, "username": profile.username, "subject": operator});
    context.out.show(&shown, |_| format!("signed in to {} as {}", profile.api, profile.username))
}

pub(crate) async fn logout(context: &Context) -> Outcome {
    let profile = context.profiles.load(&context.name)?;
    if let Some(profile) = profile {
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
