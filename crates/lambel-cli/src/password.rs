//! Where a password comes from: standard input, the environment, or somebody at the terminal. Never an
//! argument, which every process of the machine could read.

use std::io::{self, IsTerminal};

use crate::exit::{Failure, Outcome};

/// Reads a password.
pub(crate) fn read(from_stdin: bool, prompt: &str) -> Outcome<String> {
    let password = if from_stdin {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(|error| Failure::io("the password cannot be read", &error))?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else if let Ok(password) = std::env::var("LAMBEL_PASSWORD") {
        password
    } else if io::stdin().is_terminal() {
        rpassword::prompt_password(prompt).map_err(|error| Failure::io("the password cannot be read", &error))?
    } else {
        return Err(Failure::usage(
            "no password: give it with `--password-stdin` or in LAMBEL_PASSWORD, or run this in a terminal",
        ));
    };
    if password.is_empty() {
        return Err(Failure::usage("the password is empty"));
    }
    Ok(password)
}
