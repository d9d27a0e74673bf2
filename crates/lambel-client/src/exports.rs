//! Exports of data sets: asking for them, and reading their files.

use std::time::Duration;

use bytes::Bytes;
use lambel_core::{
    TaskId,
    api::exports::{CreateExport, ExportId, ExportList, ExportView},
};
use reqwest::{StatusCode, header::RANGE};

use crate::{
    client::{Call, Client},
    error::{Result, describe},
    retry::is_passing,
};

/// How long the storage may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// For clients: exports of a task's data set.
impl Client {
    /// Asks for an export. Asked twice it is the same one.
    pub async fn ask_for_export(&self, task: TaskId, fields: &CreateExport) -> Result<ExportView> {
        self.call("ExportView", Call::post(format!("/api/tasks/{task}/dataset/exports"), fields)?).await
    }

    /// How far an export is, and where its files are.
    pub async fn export(&self, task: TaskId, export: ExportId) -> Result<ExportView> {
        self.call("ExportView", Call::get(format!("/api/tasks/{task}/dataset/exports/{export}"))).await
    }

    /// The latest exports.
    pub async fn exports(&self, task: TaskId) -> Result<ExportList> {
        self.call("ExportList", Call::get(format!("/api/tasks/{task}/dataset/exports"))).await
    }

    /// Begins to read a file of an export at its address, from a byte on.
    pub async fn download(&self, url: &str, from: u64) -> Result<Download, DownloadError> {
        let mut request = self.http.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = tokio::time::timeout(SILENCE, request.send()).await.map_err(|_| silent())?;
        let response = response.map_err(|error| DownloadError::Transport(describe(error)))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 => Ok(Download(response)),
            StatusCode::OK if from == 0 => Ok(Download(response)),
            // The address, or the credentials behind it, have come to their end.
            StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => Err(DownloadError::Expired),
            status if is_passing(status) || status.is_server_error() => {
                Err(DownloadError::Transport(status.to_string()))
            }
            status => Err(DownloadError::Refused(status.as_u16())),
        }
    }
}

fn silent() -> DownloadError {
    DownloadError::Transport(format!("nothing was heard for {} seconds", SILENCE.as_secs()))
}

/// Why a file was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The address is too old: look at the export again.
    #[error("the address of the file has expired")]
    Expired,
    /// The storage does not hand it out.
    #[error("the storage does not hand out the file (status {0})")]
    Refused(u16),
    /// The connection was lost, or there was none.
    #[error("the storage cannot be reached: {0}")]
    Transport(String),
}

/// A file on its way.
#[derive(Debug)]
pub struct Download(reqwest::Response);

impl Download {
    /// The next bytes; none at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, DownloadError> {
        let chunk = tokio::time::timeout(SILENCE, self.0.chunk()).await.map_err(|_| silent())?;
        chunk.map_err(|error| DownloadError::Transport(describe(error)))
    }
}
