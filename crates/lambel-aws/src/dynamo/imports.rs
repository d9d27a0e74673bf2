//! Votes from outside.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use lambel_core::{Subtask, Task, subtask::Votes};
use lambel_service::ports::{Imports, StoreResult};

use super::{
    DynamoStore,
    client::{Written, number},
    items,
};

/// The votes that are in the one and not, or not the same, in the other.
fn new_votes<'a>(seen: &'a Votes, after: &'a Votes) -> impl Iterator<Item = (&'a str, &'a lambel_core::Vote)> {
    let new = after.iter().filter(|(operator, vote)| seen.get(operator) != Some(vote));
    new.map(|(operator, vote)| (operator.as_str(), vote))
}

#[async_trait]
impl Imports for DynamoStore {
    /// One conditional update, whatever the number of votes.
    async fn bring_in(&self, task: &Task, seen: &Subtask, after: &Subtask) -> StoreResult<bool> {
        let mut set = "SET rev = :after".to_owned();
        let mut update = self
            .subtask_update(task, seen.image)
            .condition_expression("rev = :seen")
            .expression_attribute_values(":seen", number(seen.rev))
            .expression_attribute_values(":after", number(after.rev))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let votes = new_votes(&seen.votes, &after.votes).map(|vote| ("votes", vote));
        let late = new_votes(&seen.late, &after.late).map(|vote| ("late", vote));
        for (place, (map, (operator, vote))) in votes.chain(late).enumerate() {
            set.push_str(&format!(", {map}.#o{place} = :v{place}"));
            update = update.expression_attribute_names(format!("#o{place}"), operator);
            update = update.expression_attribute_values(format!(":v{place}"), items::vote(vote));
        }
        match self.client.update(update.update_expression(set)).await? {
            Written::Done(_) => Ok(true),
            // An answer that got lost makes the SDK send again: then what is there is this.
            Written::Refused(Some(item)) => {
                let found = items::read_subtask(item)?;
                Ok(found.rev == after.rev && found.votes == after.votes && found.late == after.late)
            }
            Written::Refused(None) => Ok(false),
        }
    }
}
