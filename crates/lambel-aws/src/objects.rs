//! The buckets on S3.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{presigning::PresigningConfig, primitives::ByteStream};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use lambel_core::{ImageId, TaskId, Timestamp, api::Header};
use lambel_service::ports::{Fetched, ObjectKey, Objects, PresignedPut, Shelf, StoreError, StoreResult, Upload};

use crate::{errors::sort, settings::Aws};

/// Objects of one list.
const LISTED_AT_ONCE: usize = 1_000;
/// The longest life of a presigned address.
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The buckets on S3.
#[derive(Clone, Debug)]
pub struct S3Objects {
    client: aws_sdk_s3::Client,
    uploads: String,
    previews: String,
}

impl S3Objects {
    /// The buckets of these names. A function that does not use one of them gives an empty name.
    pub fn new(aws: &Aws, uploads: impl Into<String>, previews: impl Into<String>) -> Self {
        let config = aws_sdk_s3::config::Builder::from(aws.config()).force_path_style(aws.is_local()).build();
        Self { client: aws_sdk_s3::Client::from_conf(config), uploads: uploads.into(), previews: previews.into() }
    }

    fn bucket(&self, shelf: Shelf) -> &str {
        match shelf {
            Shelf::Uploads => &self.uploads,
            Shelf::Previews => &self.previews,
        }
    }
}

fn life(life: Duration) -> StoreResult<PresigningConfig> {
    PresigningConfig::expires_in(life.min(LONGEST_LIFE)).map_err(|error| StoreError::Failed(error.to_string()))
}

#[async_trait]
impl Objects for S3Objects {
    async fn presign_put(
        &self,
        key: ObjectKey,
        bytes: u64,
        media_type: &str,
        expires: Duration,
    ) -> StoreResult<PresignedPut> {
        let length = i64::try_from(bytes).map_err(|error| StoreError::Failed(error.to_string()))?;
        let request = self
            .client
            .put_object()
            .bucket(&self.uploads)
            .key(key.to_string())
            .content_length(length)
            .content_type(media_type)
            .checksum_sha256(BASE64_STANDARD.encode(key.image.digest()))
            .presigned(life(expires)?)
            .await
            .map_err(|error| sort("PutObject", error))?;
        let headers = request
            .headers()
            .filter(|(name, _)| *name != "host")
            .map(|(name, value)| Header { name: name.to_owned(), value: value.to_owned() })
            .collect();
        Ok(PresignedPut { url: request.uri().to_owned(), headers })
    }

    async fn presign_get(
        &self,
        shelf: Shelf,
        key: ObjectKey,
        media_type: &str,
        expires: Duration,
    ) -> StoreResult<String> {
        let request = self
            .client
            .get_object()
            .bucket(self.bucket(shelf))
            .key(key.to_string())
            .response_content_type(media_type)
            .response_content_disposition("inline")
            .response_cache_control("private, max-age=3600, immutable")
            .presigned(life(expires)?)
            .await
            .map_err(|error| sort("GetObject", error))?;
        Ok(request.uri().to_owned())
    }

    async fn fetch(&self, key: ObjectKey, limit: u64) -> StoreResult<Fetched> {
        let request = self.client.get_object().bucket(&self.uploads).key(key.to_string());
        let output = match request.send().await {
            Ok(output) => output,
            Err(error) if error.as_service_error().is_some_and(|service| service.is_no_such_key()) => {
                return Ok(Fetched::Missing);
            }
            Err(error) => return Err(sort("GetObject", error)),
        };
        let length = u64::try_from(output.content_length().unwrap_or(0)).unwrap_or(0);
        // S3 says "null" of what was stored while the bucket kept no versions.
        let version = output.version_id().filter(|version| *version != "null").map(ToOwned::to_owned);
        if length > limit {
            return Ok(Fetched::TooLong(length, version));
        }
        let body = output.body.collect().await.map_err(|error| StoreError::Busy(format!("GetObject: {error}")))?;
        Ok(Fetched::Bytes(body.into_bytes(), version))
    }

    async fn uploads(&self, task: TaskId, after: Option<ImageId>, limit: u32) -> StoreResult<Vec<Upload>> {
        let mut found = Vec::new();
        let mut after = after.map(|image| ObjectKey { task, image }.to_string());
        loop {
            let left = (limit as usize).saturating_sub(found.len()).min(LISTED_AT_ONCE);
            if left == 0 {
                return Ok(found);
            }
            let request = self.client.list_objects_v2().bucket(&self.uploads).prefix(format!("{task}/"));
            let request = request.set_start_after(after.take()).max_keys(i32::try_from(left).unwrap_or(i32::MAX));
            let page = request.send().await.map_err(|error| sort("ListObjectsV2", error))?;
            for object in page.contents() {
                let Some(key) = object.key() else { continue };
                after = Some(key.to_owned());
                match ObjectKey::parse(key) {
                    Some(key) => found.push(Upload {
                        image: key.image,
                        bytes: object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                        at: object
                            .last_modified()
                            .and_then(|at| at.to_millis().ok())
                            .map_or_else(Timestamp::default, Timestamp::from_millis),
                    }),
                    None => tracing::warn!(object.key = key, "object left alone: its key is not `task/image`"),
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(found);
            }
        }
    }

    async fn put_preview(&self, key: ObjectKey, bytes: Bytes, media_type: &str) -> StoreResult<()> {
        let request = self.client.put_object().bucket(&self.previews).key(key.to_string());
        let request = request.content_type(media_type).body(ByteStream::from(bytes));
        request.send().await.map_err(|error| sort("PutObject", error))?;
        Ok(())
    }
}
