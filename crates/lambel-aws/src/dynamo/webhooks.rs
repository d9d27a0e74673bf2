//! Webhooks and their logs, in a table of their own.
//!
//! It holds secrets that have to be read to be used, so no function but the two that deal with webhooks can read it.
//! In the table `Tasks` half of the functions could, and its stream would carry each secret through another one.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{Delete, Put, ReturnConsumedCapacity, TransactWriteItem, Update};
use lambel_core::{
    limits,
    webhook::{Attempt, AttemptPlace, DeliveryId, Scope, Webhook, WebhookId},
};
use lambel_service::ports::{StoreError, StoreResult, WebhookStore};

use super::{
    client::{Client, Item, Transacted, Written, number, string},
    items::webhooks as items,
    keys,
    tasks::{build, keyed},
};
use crate::{errors::sort, settings::Aws};

/// The table of webhooks on DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoWebhooks {
    client: Client,
    /// The name of the table `Webhooks`.
    table: String,
}

impl DynamoWebhooks {
    /// The table of this name.
    pub fn new(aws: &Aws, table: impl Into<String>) -> Self {
        Self { client: Client::new(aws_sdk_dynamodb::Client::new(aws.config())), table: table.into() }
    }

    fn delete(&self, (pk, sk): keys::Key) -> aws_sdk_dynamodb::types::builders::DeleteBuilder {
        Delete::builder().table_name(&self.table).key("pk", string(pk)).key("sk", string(sk))
    }

    fn put(&self, key: keys::Key, item: Item) -> aws_sdk_dynamodb::types::builders::PutBuilder {
        Put::builder().table_name(&self.table).set_item(Some(keyed(key, item)))
    }

    /// Adds to the number of webhooks of a scope.
    fn count(&self, scope: &Scope, more: i8) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        let (pk, sk) = keys::webhook_total(scope);
        Update::builder()
            .table_name(&self.table)
            .key("pk", string(pk))
            .key("sk", string(sk))
            .update_expression("ADD webhooks :more")
            .expression_attribute_values(":more", number(more))
    }

    /// Entries of a log by their sort keys, the last one first.
    async fn entries(&self, webhook: WebhookId, from: &str, before: &str, limit: u32) -> StoreResult<Vec<Attempt>> {
        let query = self.client.sdk.query().table_name(&self.table).scan_index_forward(false);
        // BETWEEN takes its end in; a row more than wanted makes up for it.
        let query = query
            .key_condition_expression("pk = :pk AND sk BETWEEN :from AND :before")
            .expression_attribute_values(":pk", string(keys::webhook_log(webhook)))
            .expression_attribute_values(":from", string(from))
            .expression_attribute_values(":before", string(before));
        let found = self.client.query(query, limit.saturating_add(1)).await?;
        let entries = found.into_iter().map(items::read_attempt).collect::<StoreResult<Vec<_>>>()?;
        let earlier = entries.into_iter().filter(|entry| entry.place().to_string() != before);
        Ok(earlier.take(limit as usize).collect())
    }
}

#[async_trait]
impl WebhookStore for DynamoWebhooks {
    /// The webhook, a row that finds it by its id, and the count that holds the limit, in one step.
    async fn create_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let transacted = self
            .client
            .transact(|| {
                let put = |put: aws_sdk_dynamodb::types::builders::PutBuilder| {
                    let put = put.condition_expression("attribute_not_exists(pk)");
                    Ok::<_, StoreError>(TransactWriteItem::builder().put(build(put.build())?).build())
                };
                let place = Item::from([("scope".to_owned(), string(keys::webhook_scope(&webhook.scope)))]);
                let count = self
                    .count(&webhook.scope, 1)
                    .condition_expression("attribute_not_exists(webhooks) OR webhooks < :most")
                    .expression_attribute_values(":most", number(limits::WEBHOOKS_PER_SCOPE));
                Ok(vec![
                    put(self.put(keys::webhook(&webhook.scope, webhook.id), items::webhook(webhook)))?,
                    put(self.put(keys::webhook_place(webhook.id), place))?,
                    TransactWriteItem::builder().update(build(count.build())?).build(),
                ])
            })
            .await?;
        match transacted {
            Transacted::Done => Ok(true),
            // An answer that got lost makes us try again: then what is there is this webhook.
            Transacted::Refused(verdicts) if verdicts.first().is_some_and(Option::is_some) => Ok(true),
            Transacted::Refused(_) => Ok(false),
        }
    }

    async fn webhook(&self, id: WebhookId) -> StoreResult<Option<Webhook>> {
        let Some(place) = self.client.get(&self.table, keys::webhook_place(id)).await? else { return Ok(None) };
        let scope = place.get("scope").and_then(|scope| keys::of_webhook_scope(scope.as_s().ok()?));
        let scope = scope.ok_or_else(|| StoreError::Failed(format!("the place of webhook {id} cannot be read")))?;
        self.client.get(&self.table, keys::webhook(&scope, id)).await?.map(items::read_webhook).transpose()
    }

    async fn webhooks_of(&self, scope: &Scope) -> StoreResult<Vec<Webhook>> {
        let query = self.client.sdk.query().table_name(&self.table).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :webhook)")
            .expression_attribute_values(":pk", string(keys::webhook_scope(scope)))
            .expression_attribute_values(":webhook", string(keys::WEBHOOK));
        let found = self.client.query(query, limits::WEBHOOKS_PER_SCOPE).await?;
        found.into_iter().map(items::read_webhook).collect()
    }

    async fn replace_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let transacted = self
            .client
            .transact(|| {
                let put = self
                    .put(keys::webhook(&webhook.scope, webhook.id), items::webhook(webhook))
                    .condition_expression("rev = :before")
                    .expression_attribute_values(":before", number(webhook.rev.saturating_sub(1)));
                Ok(vec![TransactWriteItem::builder().put(build(put.build())?).build()])
            })
            .await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    async fn mark_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let (pk, sk) = keys::webhook(&webhook.scope, webhook.id);
        let mut update = self.client.sdk.update_item().table_name(&self.table).key("pk", string(pk));
        let health = items::health(webhook);
        let gone: Vec<_> = items::HEALTH.into_iter().filter(|name| !health.contains_key(*name)).collect();
        let mut terms = vec!["rev = :rev".to_owned()];
        for (name, value) in health {
            terms.push(format!("{name} = :{name}"));
            update = update.expression_attribute_values(format!(":{name}"), value);
        }
        let remove = if gone.is_empty() { String::new() } else { format!(" REMOVE {}", gone.join(", ")) };
        let update = update
            .key("sk", string(sk))
            .update_expression(format!("SET {}{remove}", terms.join(", ")))
            .condition_expression("rev = :before")
            .expression_attribute_values(":rev", number(webhook.rev))
            .expression_attribute_values(":before", number(webhook.rev.saturating_sub(1)));
        Ok(matches!(self.client.update(update).await?, Written::Done(_)))
    }

    async fn delete_webhook(&self, webhook: &Webhook) -> StoreResult<bool> {
        let transacted = self
            .client
            .transact(|| {
                let one = self.delete(keys::webhook(&webhook.scope, webhook.id));
                let one = one.condition_expression("attribute_exists(pk)");
                let place = self.delete(keys::webhook_place(webhook.id));
                let delete = |delete: aws_sdk_dynamodb::types::builders::DeleteBuilder| {
                    Ok::<_, StoreError>(TransactWriteItem::builder().delete(build(delete.build())?).build())
                };
                let count = self.count(&webhook.scope, -1);
                Ok(vec![
                    delete(one)?,
                    delete(place)?,
                    TransactWriteItem::builder().update(build(count.build())?).build(),
                ])
            })
            .await?;
        Ok(matches!(transacted, Transacted::Done))
    }

    async fn log_attempt(&self, attempt: &Attempt) -> StoreResult<()> {
        let key = (keys::webhook_log(attempt.delivery.webhook), attempt.place().to_string());
        let request = self.client.sdk.put_item().table_name(&self.table);
        let request = request.set_item(Some(keyed(key, items::attempt(attempt))));
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        request.send().await.map_err(|error| sort("PutItem", error))?;
        Ok(())
    }

    async fn attempts(
        &self,
        webhook: WebhookId,
        before: Option<&AttemptPlace>,
        limit: u32,
    ) -> StoreResult<Vec<Attempt>> {
        // `msg_~` is behind every id of a delivery.
        let before = before.map_or_else(|| "msg_~".to_owned(), ToString::to_string);
        self.entries(webhook, "msg_", &before, limit).await
    }

    async fn last_attempt(&self, webhook: WebhookId, delivery: &DeliveryId) -> StoreResult<Option<Attempt>> {
        let found = self.entries(webhook, &format!("{delivery}."), &format!("{delivery}.~"), 1).await?;
        Ok(found.into_iter().next())
    }
}
