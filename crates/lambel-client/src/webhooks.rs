//! The routes of webhooks.

use lambel_core::{
    TaskId,
    api::PageQuery,
    webhook::{
        WebhookId,
        api::{
            AttemptPage, ChangeWebhook, CreateWebhook, Redeliver, Redelivered, TestSent, WebhookList, WebhookView,
            WebhookWithSecret,
        },
    },
};
use reqwest::Method;

use crate::{
    client::{Call, Client},
    error::Result,
    routes::paged,
};

fn webhooks(task: Option<TaskId>) -> String {
    task.map_or_else(|| "/api/webhooks".to_owned(), |task| format!("/api/tasks/{task}/webhooks"))
}

/// For clients: webhooks.
impl Client {
    /// Makes a webhook for one task, or for all tasks of the caller. Not repeated when no answer comes: it would make
    /// another one, and its secret is told only once.
    pub async fn create_webhook(&self, task: Option<TaskId>, request: &CreateWebhook) -> Result<WebhookWithSecret> {
        self.call("WebhookWithSecret", Call::post(webhooks(task), request)?.once()).await
    }

    /// The webhooks of one task, or those for all tasks of the caller.
    pub async fn webhooks(&self, task: Option<TaskId>) -> Result<WebhookList> {
        self.call("WebhookList", Call::get(webhooks(task))).await
    }

    /// One webhook.
    pub async fn webhook(&self, webhook: WebhookId) -> Result<WebhookView> {
        self.call("WebhookView", Call::get(format!("/api/webhooks/{webhook}"))).await
    }

    /// Changes a webhook.
    pub async fn change_webhook(&self, webhook: WebhookId, request: &ChangeWebhook) -> Result<WebhookView> {
        self.call("WebhookView", Call::new(Method::PATCH, format!("/api/webhooks/{webhook}")).with(request)?).await
    }

    /// Deletes a webhook.
    pub async fn delete_webhook(&self, webhook: WebhookId) -> Result<WebhookView> {
        self.call("WebhookView", Call::new(Method::DELETE, format!("/api/webhooks/{webhook}"))).await
    }

    /// Gives a webhook another secret. Not repeated when no answer comes: the first of two would be lost, and sign for
    /// a day in place of the one that the receiver knows.
    pub async fn rotate_webhook(&self, webhook: WebhookId) -> Result<WebhookWithSecret> {
        let call = Call::new(Method::POST, format!("/api/webhooks/{webhook}/secret"));
        self.call("WebhookWithSecret", call.once()).await
    }

    /// Sends a test to a webhook.
    pub async fn test_webhook(&self, webhook: WebhookId) -> Result<TestSent> {
        self.call("TestSent", Call::new(Method::POST, format!("/api/webhooks/{webhook}/test"))).await
    }

    /// A page of a webhook's log, the newest event first.
    pub async fn webhook_deliveries(&self, webhook: WebhookId, page: &PageQuery) -> Result<AttemptPage> {
        self.call("AttemptPage", paged(Call::get(format!("/api/webhooks/{webhook}/deliveries")), page)).await
    }

    /// Sends again what did not arrive.
    pub async fn redeliver(&self, webhook: WebhookId, request: &Redeliver) -> Result<Redelivered> {
        self.call("Redelivered", Call::post(format!("/api/webhooks/{webhook}/redeliveries"), request)?).await
    }
}
