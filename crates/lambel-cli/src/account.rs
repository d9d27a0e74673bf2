//! `lambel account`: what people do with their own account.

use serde_json::json;

use crate::{context::Context, exit::Outcome, password};

#[derive(clap::Subcommand)]
pub(crate) enum AccountCommand {
    /// Change your password
    ///
    /// Both passwords are asked for. Scripts give them in LAMBEL_PASSWORD and LAMBEL_NEW_PASSWORD.
    Password,
    /// Be asked for the code of an authenticator app when you sign in, or no longer
    #[command(subcommand)]
    Totp(TotpCommand),
}

#[derive(Clone, Copy, clap::Subcommand)]
pub(crate) enum TotpCommand {
    /// Show a new secret, once, and ask for codes from now on
    ///
    /// The secret goes into your authenticator app. The first code of the app is read from standard input:
    /// nothing changes before it is right. A secret that was enabled before is worthless then.
    Enable,
    /// A password is enough again
    Disable,
}

pub(crate) async fn run(context: &Context, command: AccountCommand) -> Outcome {
    match command {
        AccountCommand::Password => change_password(context).await,
        AccountCommand::Totp(TotpCommand::Enable) => enable_totp(context).await,
        AccountCommand::Totp(TotpCommand::Disable) => disable_totp(context).await,
    }
}

async fn change_password(context: &Context) -> Outcome {
    let (sign_in, profile) = context.account().await?;
    let old = password::read(false, &format!("Password of {}: ", profile.username))?;
    let new = password::read_new()?;
    sign_in.change_password(&profile.session, &old, &new).await?;
    let shown = json!({"username": profile.username, "password": "changed"});
    context.out.show(&shown, |_| format!("the password of {} is changed", profile.username))
}

async fn enable_totp(context: &Context) -> Outcome {
    let (sign_in, profile) = context.account().await?;
    let secret = sign_in.new_totp_secret(&profile.session).await?;
    let uri = otpauth_uri(&profile.username, &secret);
    context.out.show(&json!({"secret": secret, "uri": uri}), |_| {
        format!("secret  {secret}\n{uri}\nGive one of the two to your authenticator app. They are not shown again.")
    })?;
    let code = password::read_first_code()?;
    sign_in.enable_totp(&profile.session, &code).await?;
    let shown = json!({"username": profile.username, "totp": "enabled"});
    context.out.show(&shown, |_| "enabled: signing in needs a code from now on".to_owned())
}

async fn disable_totp(context: &Context) -> Outcome {
    let (sign_in, profile) = context.account().await?;
    sign_in.disable_totp(&profile.session).await?;
    let shown = json!({"username": profile.username, "totp": "disabled"});
    context.out.show(&shown, |_| "disabled: a password is enough".to_owned())
}

/// The address that authenticator apps read, mostly as a QR code.
fn otpauth_uri(username: &str, secret: &str) -> String {
    let mut name = String::new();
    for byte in username.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("otpauth://totp/Lambel:{name}?secret={secret}&issuer=Lambel")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_in_the_address_for_apps() {
        assert_eq!(otpauth_uri("ann", "ABC"), "otpauth://totp/Lambel:ann?secret=ABC&issuer=Lambel");
        assert_eq!(otpauth_uri("a b&ü", "ABC"), "otpauth://totp/Lambel:a%20b%26%C3%BC?secret=ABC&issuer=Lambel");
    }
}
