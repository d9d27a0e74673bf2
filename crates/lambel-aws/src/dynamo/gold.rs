//! Gold: the list of a task in `Tasks`, what operators have of it in `Subtasks`.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue};
use lambel_core::{Gold, GoldDesk, ImageId, LabelIndex, OperatorId, TaskId, Timestamp, gold::GoldAnswer};
use lambel_service::ports::{GoldStore, StoreResult};

use super::{
    DynamoStore,
    client::{Item, number, string},
    items, keys,
    tasks::keyed,
};
use crate::errors::sort;

/// The list of a task's gold. It has a partition of its own, so that a role can be allowed to delete these rows and
/// nothing else.
fn gold_partition(task: TaskId) -> String {
    format!("GOLD#{task}")
}

/// What operators have of a task's gold, beside their records in the task: those stay small.
fn desks_partition(task: TaskId) -> String {
    format!("{task}#gold")
}

/// An image of gold as it is stored, but for its key.
fn gold_item(gold: &Gold) -> Item {
    Item::from([
        items::versioned(),
        ("label".to_owned(), number(gold.label.0)),
        ("added".to_owned(), number(gold.added_at.millis())),
    ])
}

fn read_gold(item: Item) -> StoreResult<Gold> {
    let reader = items::Reader::new("image of gold", item)?;
    Ok(Gold {
        image: reader.parsed("sk")?,
        label: LabelIndex(reader.number("label")?),
        added_at: reader.moment("added")?,
    })
}

/// What an operator has, as it is stored, but for its key. An answer is a vote without a weight. Images that they have
/// voted on as work are one text, with a space between them.
fn desk_item(desk: &GoldDesk) -> Item {
    let leases = desk.leases.iter().map(|(image, until)| (image.to_string(), number(until.millis())));
    let answers = desk.answers.iter().map(|(image, given)| {
        let GoldAnswer { answer, at, elapsed_ms } = *given;
        let vote = lambel_core::Vote { answer, at, elapsed_ms, earned: None };
        (image.to_string(), items::vote(&vote))
    });
    let barred: Vec<String> = desk.barred.iter().map(ToString::to_string).collect();
    Item::from([
        items::versioned(),
        ("leases".to_owned(), AttributeValue::M(leases.collect())),
        ("answers".to_owned(), AttributeValue::M(answers.collect())),
        ("barred".to_owned(), string(barred.join(" "))),
        ("rev".to_owned(), number(desk.rev)),
    ])
}

fn read_desk(item: Item) -> StoreResult<GoldDesk> {
    let reader = items::Reader::new("operator's gold", item)?;
    let (task, _) = reader.text("pk")?.split_once('#').ok_or_else(|| reader.missing("pk"))?;
    let answer = |value: &AttributeValue| {
        let vote = items::read_vote(value)?;
        Some(GoldAnswer { answer: vote.answer, at: vote.at, elapsed_ms: vote.elapsed_ms })
    };
    let barred = reader.text("barred")?.split_whitespace().map(str::parse);
    Ok(GoldDesk {
        task: task.parse().map_err(|_| reader.missing("pk"))?,
        operator: reader.parsed("sk")?,
        leases: reader.map("leases", |until| items::read_number(until).map(Timestamp::from_millis))?,
        answers: reader.map("answers", answer)?,
        barred: barred.collect::<Result<_, _>>().map_err(|_| reader.missing("barred"))?,
        rev: reader.number("rev")?,
    })
}

#[async_trait]
impl GoldStore for DynamoStore {
    async fn gold(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Gold>> {
        let query = self.client.sdk.query().table_name(&self.tasks).consistent_read(true);
        let query = query.expression_attribute_values(":pk", string(gold_partition(task)));
        let query = match after {
            Some(after) => query
                .key_condition_expression("pk = :pk AND sk > :after")
                .expression_attribute_values(":after", string(after.to_string())),
            None => query.key_condition_expression("pk = :pk"),
        };
        self.client.query(query, limit).await?.into_iter().map(read_gold).collect()
    }

    async fn put_gold(&self, task: TaskId, gold: &Gold) -> StoreResult<()> {
        let item = keyed((gold_partition(task), gold.image.to_string()), gold_item(gold));
        let put = self.client.sdk.put_item().table_name(&self.tasks).set_item(Some(item));
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await;
        let output = put.map_err(|error| sort("PutItem", error))?;
        self.client.meter.note("PutItem", output.consumed_capacity());
        Ok(())
    }

    async fn remove_gold(&self, task: TaskId, image: ImageId) -> StoreResult<bool> {
        let delete = self.client.sdk.delete_item().table_name(&self.tasks);
        let delete = delete.key("pk", string(gold_partition(task))).key("sk", string(image.to_string()));
        let delete = delete.return_values(ReturnValue::AllOld).return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = delete.send().await.map_err(|error| sort("DeleteItem", error))?;
        self.client.meter.note("DeleteItem", output.consumed_capacity());
        Ok(output.attributes.is_some())
    }

    async fn gold_desks(&self, tasks: &[TaskId], operator: &OperatorId) -> StoreResult<Vec<GoldDesk>> {
        let key = |task: &TaskId| (self.subtasks.as_str(), (desks_partition(*task), operator.to_string()));
        let keys: Vec<(&str, keys::Key)> = tasks.iter().map(key).collect();
        let found = self.client.batch_get(&keys, true).await?;
        let mut found: Vec<GoldDesk> =
            found.into_iter().map(|(_, item)| read_desk(item)).collect::<StoreResult<_>>()?;
        let desk = |task: &TaskId| match found.iter().position(|desk| desk.task == *task) {
            Some(place) => found.swap_remove(place),
            None => GoldDesk::new(*task, operator.clone()),
        };
        Ok(tasks.iter().map(desk).collect())
    }

    async fn put_gold_desk(&self, desk: &GoldDesk) -> StoreResult<bool> {
        let key = (desks_partition(desk.task), desk.operator.to_string());
        self.put_if(&self.subtasks, key, desk_item(desk), desk.rev).await
    }

    async fn gold_records(&self, task: TaskId, after: Option<&OperatorId>, limit: u32) -> StoreResult<Vec<GoldDesk>> {
        let query = self.client.sdk.query().table_name(&self.subtasks).consistent_read(true);
        let query = query.expression_attribute_values(":pk", string(desks_partition(task)));
        let query = match after {
            Some(after) => query
                .key_condition_expression("pk = :pk AND sk > :after")
                .expression_attribute_values(":after", string(after.as_str())),
            None => query.key_condition_expression("pk = :pk"),
        };
        self.client.query(query, limit).await?.into_iter().map(read_desk).collect()
    }
}
