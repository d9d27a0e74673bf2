//! The stack: what belongs to a deployment, by the names that CloudFormation gave it.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_cloudformation::error::{DisplayErrorContext, ProvideErrorMetadata};
use lambel_aws::{Addresses, Aws, AwsDatasets, AwsMessages, DynamoStore, S3Objects, dead_letters::DeadLetterQueue};
use lambel_service::{
    Error,
    ports::{
        SharedClock, SharedDatasets, SharedGold, SharedMessages, SharedObjects, SharedQualityStore, SharedStore,
        SystemClock,
    },
};

use crate::exit::{Exit, Failure, Outcome};

/// Which deployment is meant.
#[derive(clap::Args)]
pub(crate) struct StackArgs {
    /// The CloudFormation stack
    #[arg(long, env = "LAMBEL_STACK", value_name = "NAME", default_value = "lambel")]
    stack: String,
}

/// A deployment, with the credentials of the environment.
pub(super) struct Stack {
    aws: Aws,
    name: String,
    outputs: HashMap<String, String>,
}

impl StackArgs {
    pub(super) async fn open(self) -> Outcome<Stack> {
        let aws = Aws::from_env().await;
        let client = aws_sdk_cloudformation::Client::new(aws.config());
        let name = self.stack;
        let answer = client.describe_stacks().stack_name(&name).send().await.map_err(|error| {
            // CloudFormation says that a stack does not exist by the same code as that its name is not one.
            let exit = match error.code() {
                Some("ValidationError") => Exit::NotFound,
                Some(_) => Exit::NotAllowed,
                None => Exit::TryAgain,
            };
            let why = error.message().map_or_else(|| DisplayErrorContext(&error).to_string(), str::to_owned);
            Failure::new(exit, format!("failed to find the stack `{name}`: {why}; name it with --stack"))
        })?;
        let stack = answer.stacks.unwrap_or_default().into_iter().next();
        let outputs = stack.and_then(|stack| stack.outputs).unwrap_or_default();
        let outputs = outputs.into_iter().filter_map(|output| Some((output.output_key?, output.output_value?)));
        Ok(Stack { aws, name, outputs: outputs.collect() })
    }
}

impl Stack {
    fn output(&self, key: &str) -> Outcome<String> {
        self.outputs.get(key).cloned().ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("the stack `{}` has no output {key}: is it one of Lambel?", self.name))
        })
    }

    pub(super) fn store(&self) -> Outcome<SharedStore> {
        Ok(Arc::new(self.tables()?))
    }

    pub(super) fn quality(&self) -> Outcome<SharedQualityStore> {
        Ok(Arc::new(self.tables()?))
    }

    pub(super) fn gold(&self) -> Outcome<SharedGold> {
        Ok(Arc::new(self.tables()?))
    }

    fn tables(&self) -> Outcome<DynamoStore> {
        let (tasks, subtasks) = (self.output("TasksTableName")?, self.output("SubtasksTableName")?);
        Ok(DynamoStore::new(&self.aws, tasks, subtasks))
    }

    pub(super) fn objects(&self) -> Outcome<SharedObjects> {
        let (uploads, previews) = (self.output("UploadsBucketName")?, self.output("PreviewsBucketName")?);
        Ok(Arc::new(S3Objects::new(&self.aws, uploads, previews)))
    }

    pub(super) fn messages(&self) -> Outcome<SharedMessages> {
        let addresses = Addresses {
            uploads_queue: self.output("UploadsQueueUrl")?,
            new_subtasks_queue: self.output("NewSubtasksQueueUrl")?,
            estimates_queue: self.output("EstimatesQueueUrl")?,
            subtask_topic: self.output("SubtaskCompletedTopicArn")?,
            task_topic: self.output("TaskCompletedTopicArn")?,
            dataset_topic: self.output("DatasetMovedTopicArn")?,
            commits_queue: self.output("CommitsQueueUrl")?,
        };
        Ok(Arc::new(AwsMessages::new(&self.aws, addresses)))
    }

    /// The data sets, in the bucket and in the table of tasks.
    pub(super) fn datasets(&self) -> Outcome<SharedDatasets> {
        let store = DynamoStore::new(&self.aws, self.output("TasksTableName")?, self.output("SubtasksTableName")?);
        Ok(Arc::new(AwsDatasets::new(&self.aws, store, self.output("DatasetBucketName")?)))
    }

    pub(super) fn clock(&self) -> SharedClock {
        Arc::new(SystemClock)
    }

    /// The dead letters of `UploadsQueue` and the like; of a stream there is no such queue to send them back to.
    pub(super) fn dead_letters(&self, output: &str, source: Option<&str>) -> Outcome<DeadLetterQueue> {
        let source = source.map(|key| self.output(key)).transpose()?;
        Ok(DeadLetterQueue::new(&self.aws, self.output(output)?, source))
    }
}

/// What went wrong beneath.
pub(super) fn failed(error: impl Into<Error>) -> Failure {
    let error = error.into();
    let exit = match &error {
        Error::TaskNotFound => Exit::NotFound,
        Error::Store(lambel_service::ports::StoreError::Busy(_)) | Error::Contended => Exit::TryAgain,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
