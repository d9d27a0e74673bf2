//! Where secrets come from: standard input, the environment, or somebody at the terminal. Never an argument,
//! which every process of the machine could read.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use rand::RngExt;

use crate::exit::{Failure, Outcome};

/// Reads a password.
pub(crate) fn read(from_stdin: bool, prompt: &str) -> Outcome<String> {
    if from_stdin {
        return filled(line("the password")?, "the password");
    }
    let advice = "give it with `--password-stdin` or in LAMBEL_PASSWORD, or run this in a terminal";
    ask("the password", "LAMBEL_PASSWORD", prompt, advice)
}

/// Reads a password that somebody chooses now. At the terminal it is typed twice.
pub(crate) fn read_new() -> Outcome<String> {
    let what = "the new password";
    let given = env::var_os("LAMBEL_NEW_PASSWORD").is_some();
    let new = ask(
        what,
        "LAMBEL_NEW_PASSWORD",
        "New password: ",
        "give it in LAMBEL_NEW_PASSWORD, or run this in a terminal",
    )?;
    if !given && hidden("The new password again: ", what)? != new {
        return Err(Failure::usage("these are two different passwords; nothing was changed"));
    }
    Ok(new)
}

/// Reads the secret of a machine.
pub(crate) fn read_client_secret(prompt: &str) -> Outcome<String> {
    ask("the secret", CLIENT_SECRET, prompt, "give it in LAMBEL_CLIENT_SECRET, or run this in a terminal")
}

/// Where a machine keeps its secret.
const CLIENT_SECRET: &str = "LAMBEL_CLIENT_SECRET";

/// The secret of a machine, if the environment has it.
pub(crate) fn client_secret() -> Option<String> {
    env::var(CLIENT_SECRET).ok().filter(|secret| !secret.is_empty())
}

/// Reads the code of an authenticator app, for a sign-in.
pub(crate) fn read_code() -> Outcome<String> {
    let advice = "give it in LAMBEL_TOTP, or run this in a terminal";
    ask("the code of the authenticator app", "LAMBEL_TOTP", "Code of your authenticator app: ", advice)
        .map(|code| tidy_code(&code))
}

/// Reads the first code of an app that has just got its secret: it can only come from whoever has seen that.
pub(crate) fn read_first_code() -> Outcome<String> {
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr();
        // Where standard error is closed there is nobody to ask.
        let _ = write!(stderr, "Code that the app shows: ").and_then(|()| stderr.flush());
    }
    filled(line("the code")?, "the code").map(|code| tidy_code(&code))
}

/// Apps show codes in two groups.
fn tidy_code(code: &str) -> String {
    code.chars().filter(|c| !c.is_whitespace()).collect()
}

fn ask(what: &str, variable: &str, prompt: &str, advice: &str) -> Outcome<String> {
    let secret = if let Ok(secret) = env::var(variable) {
        secret
    } else if io::stdin().is_terminal() {
        hidden(prompt, what)?
    } else {
        return Err(Failure::usage(format!("{what} is missing: {advice}")));
    };
    filled(secret, what)
}

fn hidden(prompt: &str, what: &str) -> Outcome<String> {
    rpassword::prompt_password(prompt).map_err(|error| Failure::io(format!("{what} cannot be read"), &error))
}

fn line(what: &str) -> Outcome<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|error| Failure::io(format!("{what} cannot be read"), &error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn filled(secret: String, what: &str) -> Outcome<String> {
    if secret.is_empty() {
        return Err(Failure::usage(format!("{what} is empty")));
    }
    Ok(secret)
}

/// A password that nobody has thought of, with something of everything that a pool may ask for.
pub(crate) fn random(length: usize) -> String {
    let random: String = rand::rng().sample_iter(rand::distr::Alphanumeric).take(length).map(char::from).collect();
    format!("Aa1-{random}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_passwords_are_never_the_same() {
        let (a, b) = (random(40), random(40));
        assert!(a.len() == 44 && a != b);
    }

    #[test]
    fn codes_are_taken_as_apps_show_them() {
        assert_eq!(tidy_code("123 456 "), "123456");
    }
}
