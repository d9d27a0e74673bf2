//! Data sets: objects in a bucket, branches and tags in the table of tasks.
//!
//! The objects of a task lie under `{task}/`. None of them ever changes: each is put on the condition that it is not
//! there yet. Where it is, and is old, it is put once more, with the same content: then it is young, and whoever
//! looks for garbage leaves it to the version that is being made.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{error::ProvideErrorMetadata, primitives::ByteStream};
use bytes::Bytes;
use lambel_core::{TaskId, Timestamp};
use lambel_dataset::{
    ContentId, Dataset, ObjectKey, ObjectStore, StoreError,
    store::{Kind, Listed, StoreResult},
};
use lambel_service::ports::{Answered, Clock, Datasets, StoreResult as PortResult, SystemClock};

use crate::{
    dynamo::{DynamoRefs, DynamoStore},
    errors::sort,
    settings::Aws,
};

/// Objects of one list.
const LISTED_AT_ONCE: usize = 1_000;
/// How old an object is that is put anew. Garbage is at least an hour old when it is removed, and a version is made in
/// a quarter of one.
const OLD: Duration = Duration::from_secs(30 * 60);

/// The data sets of all tasks.
#[derive(Clone, Debug)]
pub struct AwsDatasets {
    client: aws_sdk_s3::Client,
    bucket: String,
    store: DynamoStore,
}

impl AwsDatasets {
    /// The data sets in a bucket of this name, and in the table of tasks of a store.
    pub fn new(aws: &Aws, store: DynamoStore, bucket: impl Into<String>) -> Self {
        let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(aws.is_local()).build();
        Self { client: aws_sdk_s3::Client::from_conf(config), bucket: bucket.into(), store }
    }
}

#[async_trait]
impl Datasets for AwsDatasets {
    fn of(&self, task: TaskId) -> Dataset {
        let objects = S3DatasetObjects { client: self.client.clone(), bucket: self.bucket.clone(), task };
        let refs = DynamoRefs::new(self.store.clone(), task);
        Dataset { objects: Arc::new(objects), refs: Arc::new(refs) }
    }

    async fn answered(&self, task: TaskId) -> PortResult<Option<Answered>> {
        self.store.read_answered(task).await
    }

    async fn answer(&self, task: TaskId, answered: &Answered) -> PortResult<()> {
        self.store.put_answered(task, answered).await
    }
}

/// The objects of one task's data set.
#[derive(Clone, Debug)]
struct S3DatasetObjects {
    client: aws_sdk_s3::Client,
    bucket: String,
    task: TaskId,
}

impl S3DatasetObjects {
    fn path(&self, key: impl std::fmt::Display) -> String {
        format!("{}/{key}", self.task)
    }

    /// When an object was put; none if it is not there.
    async fn put_at(&self, key: ObjectKey) -> StoreResult<Option<Timestamp>> {
        let request = self.client.head_object().bucket(&self.bucket).key(self.path(key));
        match request.send().await {
            Ok(head) => Ok(Some(moment(head.last_modified()))),
            Err(error) if error.as_service_error().is_some_and(|service| service.is_not_found()) => Ok(None),
            Err(error) => Err(sort("HeadObject", error).into()),
        }
    }
}

fn moment(at: Option<&aws_sdk_s3::primitives::DateTime>) -> Timestamp {
    at.and_then(|at| at.to_millis().ok()).map_or_else(Timestamp::default, Timestamp::from_millis)
}

#[async_trait]
impl ObjectStore for S3DatasetObjects {
    async fn put(&self, key: ObjectKey, bytes: Bytes) -> StoreResult<()> {
        let media_type = if key.kind == Kind::Commit { "application/json" } else { "application/gzip" };
        let request = || {
            let request = self.client.put_object().bucket(&self.bucket).key(self.path(key));
            request.content_type(media_type).body(ByteStream::from(bytes.clone()))
        };
        let error = match request().if_none_match("*").send().await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        match error.as_service_error().and_then(|service| service.code()) {
            Some("PreconditionFailed") => {
                let put_at = self.put_at(key).await?;
                if put_at.is_some_and(|at| at.until(SystemClock.now()) < OLD) {
                    return Ok(());
                }
                request().send().await.map(drop).map_err(|error| sort("PutObject", error).into())
            }
            // Somebody puts the same at this moment, or removes it.
            Some("ConditionalRequestConflict") => Err(StoreError::Busy("PutObject: conflict".to_owned())),
            _ => Err(sort("PutObject", error).into()),
        }
    }

    async fn get(&self, key: ObjectKey) -> StoreResult<Option<Bytes>> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.path(key));
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) if error.as_service_error().is_some_and(|service| service.is_no_such_key()) => {
                return Ok(None);
            }
            Err(error) => return Err(sort("GetObject", error).into()),
        };
        let body = output.body.collect().await.map_err(|error| StoreError::Busy(format!("GetObject: {error}")))?;
        Ok(Some(body.into_bytes()))
    }

    async fn list(&self, kind: Kind, after: Option<ContentId>, limit: usize) -> StoreResult<Vec<Listed>> {
        // The folder of a kind is what all its paths begin with.
        let any = ObjectKey { kind, id: ContentId::of(b"") }.to_string();
        let folder = any.split_once('/').map_or(any.as_str(), |(folder, _)| folder);
        let prefix = self.path(format_args!("{folder}/"));
        let mut after = after.map(|id| self.path(ObjectKey { kind, id }));
        let mut found = Vec::new();
        loop {
            let left = limit.saturating_sub(found.len()).min(LISTED_AT_ONCE);
            if left == 0 {
                return Ok(found);
            }
            let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix);
            let request = request.set_start_after(after.take()).max_keys(i32::try_from(left).unwrap_or(i32::MAX));
            let page = request.send().await.map_err(|error| sort("ListObjectsV2", error))?;
            for object in page.contents() {
                let Some(path) = object.key() else { continue };
                after = Some(path.to_owned());
                let key = path.split_once('/').and_then(|(_, key)| key.parse::<ObjectKey>().ok());
                match key.filter(|key| key.kind == kind) {
                    Some(key) => found.push(Listed {
                        key,
                        bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                        put_at: moment(object.last_modified()),
                    }),
                    None => tracing::warn!(object.key = path, "object left alone: it is none of a data set"),
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
        }
    }

    async fn delete(&self, key: ObjectKey) -> StoreResult<()> {
        let request = self.client.delete_object().bucket(&self.bucket).key(self.path(key));
        request.send().await.map(drop).map_err(|error| sort("DeleteObject", error).into())
    }
}
