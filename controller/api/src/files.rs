//! Files that devices uploaded, as a list. Their content is read and removed at the blob endpoint of the hub,
//! `/files/DEVICE/NAME`, with the same token.

use axum::{
    Json,
    extract::{Query, State},
    http::HeaderMap,
};
use hemline_hub::files::FilesError;
use hemline_hub_core::{files::BlobRecord, service::ServiceError, write::Permission};
use hemline_model::id::DeviceId;
use hemline_protocol::blob::BlobName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{access, error::ApiError, router::ApiState};

/// Files of one answer.
const PAGE: usize = 500;

/// Which files.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wanted {
    device: Option<String>,
    after_device: Option<String>,
    after_name: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileRow {
    /// Whose.
    pub device_id: String,
    /// What it is called.
    pub name: String,
    /// How long it is.
    pub bytes: u64,
    /// What the device says that it is.
    pub content_type: String,
    /// When there was first a file of this name.
    pub created_time: Timestamp,
    /// When it became what it is.
    pub modified_time: Timestamp,
    /// Another one for every content.
    pub etag: String,
}

/// A page of files, in the order of devices and names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileList {
    /// The files.
    pub files: Vec<FileRow>,
    /// Are there more? They begin behind the last one here.
    pub more: bool,
}

/// `GET /api/v1/files?device=…&afterDevice=…&afterName=…`: ServiceConnect.
pub(crate) async fn list(
    State(state): State<ApiState>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Result<Json<FileList>, ApiError> {
    access::allow(&state.hub, &headers, Permission::ServiceConnect).await?;
    let device = |text: &str| DeviceId::new(text).map_err(|error| invalid(&error));
    let name = |text: &str| BlobName::new(text).map_err(|error| invalid(&error));
    let after = match (&wanted.after_device, &wanted.after_name) {
        (Some(after_device), Some(after_name)) => Some((device(after_device)?, name(after_name)?)),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(invalid(&"afterDevice and afterName go together").into());
        }
    };
    let device = wanted.device.as_deref().map(device).transpose()?;
    let mut found = state.hub.files().list(device, after, PAGE + 1).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    Ok(Json(FileList { files: found.iter().map(|blob| FileRow::new(blob)).collect(), more }))
}

fn invalid(error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::ArgumentInvalid(error.to_string())
}

impl FileRow {
    fn new(blob: &BlobRecord) -> Self {
        Self {
            device_id: blob.device.to_string(),
            name: blob.name.to_string(),
            bytes: blob.bytes,
            content_type: blob.content_type.clone(),
            created_time: blob.created,
            modified_time: blob.modified,
            etag: blob.etag.clone(),
        }
    }
}

impl From<FilesError> for ApiError {
    fn from(_: FilesError) -> Self {
        // A list is refused only while the hub stops.
        ServiceError::Unavailable.into()
    }
}
