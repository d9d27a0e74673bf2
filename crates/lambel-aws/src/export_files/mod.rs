//! The files of exports on S3, in the bucket of data sets.

mod parts;

use std::{ops::Range, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    config::timeout::TimeoutConfig,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use lambel_service::ports::{ExportFiles, ExportKey, ExportWriter, StoreError, StoreResult};

use self::parts::{Part, Stretch};
use crate::{errors::sort, settings::Aws};

/// Bytes that are collected before they are sent. A file of ten thousand such parts, the most there are, has 80 GB.
const BLOCK: usize = 8 << 20;
/// Parts that are copied at the same time.
const AT_ONCE: usize = 8;
/// How long one try of a request may take, and all its tries. Requests carry megabytes here.
const ATTEMPT: Duration = Duration::from_secs(30);
const OPERATION: Duration = Duration::from_secs(100);

/// The files of exports on S3.
#[derive(Clone, Debug)]
pub struct S3ExportFiles {
    client: aws_sdk_s3::Client,
    bucket: String,
}

impl S3ExportFiles {
    /// In the bucket of this name.
    pub fn new(aws: &Aws, bucket: impl Into<String>) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let config = aws_sdk_s3::config::Builder::from(aws.config())
            .force_path_style(aws.is_local())
            .timeout_config(timeouts)
            .build();
        Self { client: aws_sdk_s3::Client::from_conf(config), bucket: bucket.into() }
    }

    async fn put(&self, key: &str, media_type: &str, bytes: Bytes) -> StoreResult<()> {
        let request = self.client.put_object().bucket(&self.bucket).key(key).content_type(media_type);
        request.body(ByteStream::from(bytes)).send().await.map_err(|error| sort("PutObject", error))?;
        Ok(())
    }

    async fn begin(&self, key: &str, media_type: &str) -> StoreResult<Upload> {
        let request = self.client.create_multipart_upload().bucket(&self.bucket).key(key).content_type(media_type);
        // Parts are sent with checksums of this kind, which an upload has to be begun with.
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
        let begun = request.send().await.map_err(|error| sort("CreateMultipartUpload", error))?;
        let id = begun.upload_id.ok_or_else(|| StoreError::Busy("CreateMultipartUpload: no id".to_owned()))?;
        Ok(Upload { files: self.clone(), key: key.to_owned(), id })
    }
}

/// A multipart upload. One that is not completed is removed by a rule of the bucket after a day.
struct Upload {
    files: S3ExportFiles,
    key: String,
    id: String,
}

impl Upload {
    async fn send(&self, number: i32, bytes: Bytes) -> StoreResult<CompletedPart> {
        let S3ExportFiles { client, bucket } = &self.files;
        let request = client.upload_part().bucket(bucket).key(&self.key).upload_id(&self.id).part_number(number);
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
        let sent = request.body(ByteStream::from(bytes)).send().await.map_err(|error| sort("UploadPart", error))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        // The checksum of each part has to be named again at the end.
        Ok(part.set_checksum_crc32(sent.checksum_crc32).build())
    }

    async fn copy(&self, number: i32, from: &str, bytes: &Range<u64>) -> StoreResult<CompletedPart> {
        let S3ExportFiles { client, bucket } = &self.files;
        let request = client
            .upload_part_copy()
            .bucket(bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            // Keys of exports are made of characters that need no other spelling.
            .copy_source(format!("{bucket}/{from}"))
            .copy_source_range(range(bytes));
        let copied = request.send().await.map_err(|error| sort("UploadPartCopy", error))?;
        let result = copied.copy_part_result.ok_or_else(|| StoreError::Busy("UploadPartCopy: no result".to_owned()))?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(result.e_tag);
        Ok(part.set_checksum_crc32(result.checksum_crc32).build())
    }

    async fn complete(self, parts: Vec<CompletedPart>) -> StoreResult<()> {
        let S3ExportFiles { client, bucket } = &self.files;
        let request = client.complete_multipart_upload().bucket(bucket).key(&self.key).upload_id(&self.id);
        let request = request.multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build());
        request.send().await.map_err(|error| sort("CompleteMultipartUpload", error))?;
        Ok(())
    }
}

/// A stretch as S3 names it: its end is the last byte.
fn range(bytes: &Range<u64>) -> String {
    format!("bytes={}-{}", bytes.start, bytes.end.saturating_sub(1))
}

/// Parts are numbered from 1.
fn part_number(place: usize) -> i32 {
    i32::try_from(place).map_or(i32::MAX, |place| place.saturating_add(1))
}

/// An object on its way. A short one is put in one request.
struct Writer {
    files: S3ExportFiles,
    key: String,
    media_type: String,
    held: BytesMut,
    upload: Option<Upload>,
    parts: Vec<CompletedPart>,
}

impl Writer {
    async fn send(&mut self) -> StoreResult<()> {
        let upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.files.begin(&self.key, &self.media_type).await?,
        };
        let bytes = self.held.split().freeze();
        self.parts.push(upload.send(part_number(self.parts.len()), bytes).await?);
        self.upload = Some(upload);
        Ok(())
    }
}

#[async_trait]
impl ExportWriter for Writer {
    async fn write(&mut self, bytes: Bytes) -> StoreResult<()> {
        self.held.extend_from_slice(&bytes);
        if self.held.len() >= BLOCK { self.send().await } else { Ok(()) }
    }

    async fn finish(mut self: Box<Self>) -> StoreResult<()> {
        if self.upload.is_some() && !self.held.is_empty() {
            self.send().await?;
        }
        match self.upload {
            Some(upload) => upload.complete(self.parts).await,
            None => self.files.put(&self.key, &self.media_type, self.held.freeze()).await,
        }
    }
}

#[async_trait]
impl ExportFiles for S3ExportFiles {
    async fn create(&self, key: &ExportKey, media_type: &str) -> StoreResult<Box<dyn ExportWriter>> {
        Ok(Box::new(Writer {
            files: self.clone(),
            key: key.to_string(),
            media_type: media_type.to_owned(),
            held: BytesMut::new(),
            upload: None,
            parts: Vec::new(),
        }))
    }

    async fn join(&self, parts: &[(ExportKey, u64)], to: &ExportKey, media_type: &str) -> StoreResult<()> {
        let lengths: Vec<u64> = parts.iter().map(|(_, bytes)| *bytes).collect();
        let to = to.to_string();
        let key_of = |object: usize| {
            let key = parts.get(object).map(|(key, _)| key);
            key.ok_or_else(|| StoreError::Failed("a part of no object".to_owned()))
        };
        let plan = parts::parts(&lengths);
        if plan.is_empty() {
            return self.put(&to, media_type, Bytes::new()).await;
        }
        let upload = self.begin(&to, media_type).await?;
        let (upload_ref, key_ref) = (&upload, &key_of);
        let done: Vec<CompletedPart> = stream::iter(plan.into_iter().enumerate())
            .map(|(place, part)| async move {
                let number = part_number(place);
                match part {
                    Part::Copied(Stretch { object, bytes }) => {
                        upload_ref.copy(number, &key_ref(object)?.to_string(), &bytes).await
                    }
                    Part::Sent(stretches) => {
                        let mut joined = BytesMut::new();
                        for Stretch { object, bytes } in stretches.into_iter().filter(|part| !part.bytes.is_empty()) {
                            joined.extend_from_slice(&self.read(key_ref(object)?, bytes).await?);
                        }
                        upload_ref.send(number, joined.freeze()).await
                    }
                }
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        upload.complete(done).await
    }

    async fn read(&self, key: &ExportKey, bytes: Range<u64>) -> StoreResult<Bytes> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.to_string()).range(range(&bytes));
        let output = request.send().await.map_err(|error| sort("GetObject", error))?;
        let body = output.body.collect().await.map_err(|error| StoreError::Busy(format!("GetObject: {error}")))?;
        let (found, wanted) = (body.into_bytes(), bytes.end - bytes.start);
        match found.len() as u64 == wanted {
            true => Ok(found),
            false => Err(StoreError::Failed(format!("{key} ends before byte {}", bytes.end))),
        }
    }

    async fn presign(&self, key: &ExportKey, name: &str, life: Duration) -> StoreResult<String> {
        let life = PresigningConfig::expires_in(life).map_err(|error| StoreError::Failed(error.to_string()))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key.to_string())
            .response_content_disposition(format!("attachment; filename=\"{name}\""))
            .response_cache_control("private, no-store")
            .presigned(life)
            .await
            .map_err(|error| sort("GetObject", error))?;
        Ok(request.uri().to_owned())
    }
}
