//! Errors of the SDK, sorted: what may go better in a moment, and what will not.

use aws_sdk_dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use lambel_service::ports::StoreError;

/// Error codes of AWS after which the same request may succeed.
const PASSING: [&str; 14] = [
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "ItemCollectionSizeLimitExceededException",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottlingException",
    "TransactionConflictException",
    "TransactionInProgressException",
];

/// What an error of a call means to the caller.
pub(crate) fn sort<E, R>(call: &'static str, error: SdkError<E, R>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let passing = match &error {
        SdkError::ServiceError(answer) => answer.err().code().is_some_and(|code| PASSING.contains(&code)),
        SdkError::ConstructionFailure(_) => false,
        // No answer, or none that could be read: the request may or may not have been carried out.
        _ => true,
    };
    let text = match &error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code(), answer.err().message());
            format!("{call}: {}: {}", code.unwrap_or("unknown"), message.unwrap_or("no message"))
        }
        other => format!("{call}: {}", DisplayErrorContext(other)),
    };
    if passing { StoreError::Busy(text) } else { StoreError::Failed(text) }
}
