//! How a command ends: its exit code, and what it says of it.

use std::{fmt::Display, process::ExitCode};

use lambel_client::{ClientError, SignInError};

/// The exit codes for `--help`. The table with more words is in the crate's documentation.
pub(crate) const HELP: &str = "Exit codes:
  0    done
  1    failed, for a reason that has no code of its own
  2    the command, or a value in it, is not what it should be
  3    nobody is signed in, or the account may not do this
  4    there is no such thing
  5    done, but some files were refused or have failed
  6    it contradicts what is there, for instance because the task is over
  7    the service cannot be reached, or is not done: try again
  130  interrupted";

/// The result of a command.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command has not simply done what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Failed,
    Usage,
    NotAllowed,
    NotFound,
    SomeFiles,
    Conflict,
    TryAgain,
    Interrupted,
    /// Whoever reads the output has enough. That is no failure.
    OutputClosed,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotAllowed => 3,
            Self::NotFound => 4,
            Self::SomeFiles => 5,
            Self::Conflict => 6,
            Self::TryAgain => 7,
            Self::Interrupted => 130,
        }
    }

    /// A name that programs can rely on.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OutputClosed => "output-closed",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotAllowed => "not-allowed",
            Self::NotFound => "not-found",
            Self::SomeFiles => "some-files",
            Self::Conflict => "conflict",
            Self::TryAgain => "try-again",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The end of a command that has not simply done what it was told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something on this machine: a file, a folder, standard output.
    pub(crate) fn io(what: impl Display, error: &std::io::Error) -> Self {
        Self::new(Exit::Failed, format!("{what}: {error}"))
    }

    /// The same failure, and what it happened to.
    pub(crate) fn about(self, what: impl Display) -> Self {
        Self { message: format!("{what}: {}", self.message), ..self }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Address { .. } => Exit::Usage,
            ClientError::Problem(problem) => match problem.status {
                400 | 413 | 415 | 422 => Exit::Usage,
                401 | 403 => Exit::NotAllowed,
                404 => Exit::NotFound,
                409 => Exit::Conflict,
                429 | 500..=599 => Exit::TryAgain,
                _ => Exit::Failed,
            },
            ClientError::Transport(_) => Exit::TryAgain,
            ClientError::Decode { .. } => Exit::Failed,
            ClientError::SignIn(SignInError::BadPassword(_)) => Exit::Usage,
            ClientError::NotSignedIn | ClientError::SignIn(_) => Exit::NotAllowed,
        };
        let advice = match &error {
            ClientError::NotSignedIn | ClientError::SignIn(SignInError::Ended) => "; `lambel login` does it",
            ClientError::Problem(problem) if problem.status == 401 => "; `lambel login` does it",
            ClientError::Transport(_) => "; check the address and the network, then run the command again",
            _ => "",
        };
        Self::new(exit, format!("{error}{advice}"))
    }
}

/// Runs a command that Ctrl-C may stop at any point, and says then what to know about it.
pub(crate) async fn interruptible(command: impl Future<Output = Outcome>, message: &str) -> Outcome {
    tokio::select! {
        outcome = command => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, message)),
    }
}

#[cfg(test)]
mod tests {
    use lambel_core::api::Problem;

    use super::*;

    fn of_status(status: u16) -> Exit {
        let problem = Problem { kind: "about:blank".to_owned(), title: String::new(), status, detail: String::new() };
        Failure::from(ClientError::Problem(problem)).exit
    }

    #[test]
    fn statuses_have_exit_codes() {
        let codes = [(400, 2), (401, 3), (403, 3), (404, 4), (409, 6), (429, 7), (500, 7), (503, 7), (418, 1)];
        for (status, code) in codes {
            assert_eq!(of_status(status).code(), code, "{status}");
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let failure = Failure::from(ClientError::NotSignedIn);
        assert!(failure.message.contains("lambel login") && failure.exit == Exit::NotAllowed);
        let failure = Failure::from(ClientError::SignIn(SignInError::WrongPassword));
        assert_eq!(failure.exit, Exit::NotAllowed);
        assert_eq!(Failure::from(ClientError::Transport("refused".to_owned())).exit.code(), 7);
    }
}
