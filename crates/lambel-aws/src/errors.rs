//! Errors of AWS, sorted by what to do about them: [`Retry`] is the one place that says so.
//!
//! | | what it is | what happens |
//! |---|---|---|
//! | [`Retry::Now`] | somebody else's transaction is in the way | the adapter tries again, after moments that grow; then it is as `Later` |
//! | [`Retry::Later`] | throttled, no answer, broken inside, credentials at their end | [`StoreError::Busy`]: an API answers 503, a message comes back, a stream's batch comes again |
//! | [`Retry::Never`] | a refusal that the same request will meet again | [`StoreError::Failed`]: an API answers 500; a message comes back nevertheless, and lies in the dead-letter queue after its last try, since an owner may mend what was wrong (a right, a table) |
//!
//! Conditions that do not hold, and objects that are not there, are answers and not errors: the adapters look at
//! them first. The SDK has tried throttled and unanswered requests several times before an error comes here.

use aws_sdk_dynamodb::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::CancellationReason,
};
use lambel_service::ports::StoreError;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Retry {
    /// Ask again in a moment.
    Now,
    /// Ask again when some time has passed.
    Later,
    /// The same request will be refused again.
    Never,
}

impl Retry {
    /// By the code of an error. One that is not known is a refusal.
    fn of_code(code: &str) -> Self {
        match code {
            "TransactionConflictException" | "TransactionInProgressException" => Self::Now,
            // Throttled, by the names that DynamoDB, S3, SQS, SNS and the SDK give it.
            "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "SlowDown"
            | "Throttled"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "KmsThrottled"
            | "KMSThrottling"
            | "KMSThrottlingException"
            | "OverLimit"
            | "LimitExceededException"
            // Broken inside, or under way.
            | "InternalError"
            | "InternalErrorException"
            | "InternalFailure"
            | "InternalServerError"
            | "OperationAborted"
            | "RequestTimeout"
            | "ServiceUnavailable"
            // Credentials end, and others come: a function gets them with its next environment at the latest.
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "RequestTimeTooSkewed" => Self::Later,
            _ => Self::Never,
        }
    }

    /// By the whole error of a call.
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Self {
        match error {
            // Whatever it is called: the service says that it is broken, not that we are.
            SdkError::ServiceError(answer) if answer.raw().status().is_server_error() => Self::Later,
            // It went well, and what the service says of it cannot be read: something in between has spoilt it.
            SdkError::ServiceError(answer) if answer.raw().status().is_success() => Self::Later,
            SdkError::ServiceError(answer) => answer.err().code().map_or(Self::Never, Self::of_code),
            // It was never sent, since it cannot be made.
            SdkError::ConstructionFailure(_) => Self::Never,
            // No answer, or none that could be read: the request may or may not have been carried out.
            _ => Self::Later,
        }
    }

    /// By the reasons for which a transaction was cancelled, one for each of its actions.
    pub(crate) fn of_cancelled(reasons: &[CancellationReason]) -> Cancelled {
        let of_code = |reason: &CancellationReason| match reason.code() {
            None | Some("None") => None,
            Some("ConditionalCheckFailed") => Some(Cancelled::Refused),
            Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => {
                Some(Cancelled::Again(Self::Now))
            }
            // `ValidationError`, `ItemCollectionSizeLimitExceeded`, and what we do not know.
            Some(_) => Some(Cancelled::Again(Self::Never)),
        };
        let verdicts: Vec<_> = reasons.iter().filter_map(of_code).collect();
        // A condition that does not hold is news, whatever else there is: the caller goes on without that action.
        if verdicts.contains(&Cancelled::Refused) {
            return Cancelled::Refused;
        }
        // Then what never passes: asking again is of no use though another reason would pass.
        let worst = verdicts.iter().map(|verdict| match verdict {
            Cancelled::Again(retry) => *retry,
            Cancelled::Refused => Self::Now,
        });
        Cancelled::Again(worst.max().unwrap_or(Self::Later))
    }

    /// The error as the ports have it.
    pub(crate) fn error(self, text: String) -> StoreError {
        match self {
            Self::Now | Self::Later => StoreError::Busy(text),
            Self::Never => StoreError::Failed(text),
        }
    }
}

/// Why nothing of a transaction was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// Conditions did not hold.
    Refused,
    /// Something else, and what to do about it.
    Again(Retry),
}

/// What an error of a call means to the caller.
pub(crate) fn sort<E>(call: &'static str, error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let text = match &error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code(), answer.err().message());
            format!("{call}: {}: {}", code.unwrap_or("unknown"), message.unwrap_or("no message"))
        }
        other => format!("{call}: {}", DisplayErrorContext(other)),
    };
    Retry::of(&error).error(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
    }

    #[test]
    fn a_cancelled_transaction_is_judged_by_all_its_reasons() {
        let table: [(&[&str], Cancelled); 9] = [
            (&["None", "ConditionalCheckFailed"], Cancelled::Refused),
            (&["TransactionConflict", "ConditionalCheckFailed"], Cancelled::Refused),
            (&["ValidationError", "ConditionalCheckFailed"], Cancelled::Refused),
            (&["None", "TransactionConflict"], Cancelled::Again(Retry::Now)),
            (&["ThrottlingError", "None"], Cancelled::Again(Retry::Now)),
            (&["ProvisionedThroughputExceeded"], Cancelled::Again(Retry::Now)),
            (&["ValidationError", "TransactionConflict"], Cancelled::Again(Retry::Never)),
            (&["ItemCollectionSizeLimitExceeded"], Cancelled::Again(Retry::Never)),
            (&[], Cancelled::Again(Retry::Later)),
        ];
        for (codes, expected) in table {
            assert_eq!(Retry::of_cancelled(&reasons(codes)), expected, "{codes:?}");
        }
    }
}
