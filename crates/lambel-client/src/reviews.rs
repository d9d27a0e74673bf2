//! The route of reviews.

use lambel_core::{
    TaskId,
    api::{ReviewImages, ReviewReceipts},
};

use crate::{
    client::{Call, Client},
    error::{ClientError, Result},
};

/// For clients.
impl Client {
    /// Decides disputed images.
    pub async fn review(&self, task: TaskId, request: &ReviewImages) -> Result<ReviewReceipts> {
        let call = Call::post(format!("/api/tasks/{task}/reviews"), request)?;
        let answer: ReviewReceipts = self.call("ReviewReceipts", call).await?;
        if answer.reviews.len() == request.reviews.len() {
            return Ok(answer);
        }
        let reason = format!("{} answers for {} images", answer.reviews.len(), request.reviews.len());
        Err(ClientError::Decode { expected: "ReviewReceipts", reason })
    }
}
