//! File uploads as devices begin and end them, and what the service side is told (reference device-protocol §8.4,
//! service-api §5.5). The content itself goes to the blob endpoint, `blobs.rs`.

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use hemline_hub_core::{
    cloud_to_device::Settlement,
    event::Caller,
    file_notices::UploadedFile,
    files::FileError,
    service::{ServiceReply, ServiceRequest},
};
use hemline_protocol::{
    bag,
    blob::{BlobErrorCode, BlobName, BlobSas, CONTAINER},
    error::ErrorCode,
};
use serde::Deserialize;
use serde_json::json;

use super::{
    Rest,
    call::{Call, Document, Lock, Target},
    error::RestError,
    locks, reply,
};
use crate::files::FilesError;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    blob_name: String,
}

/// What a device says at the end. Node names the upload in the path, others here, some in both.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ended {
    correlation_id: Option<String>,
    is_success: bool,
    status_code: Option<i64>,
    status_description: Option<String>,
}

/// `POST /devices/{device}/files`
pub(super) async fn begin(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    body: Document,
) -> Result<Response, RestError> {
    let device = client.device.clone();
    rest.ask(call.caller, ServiceRequest::ActAs(client), Duration::ZERO).await?;
    let Begun { blob_name } = body.read()?;
    let invalid = |text: String| RestError::new(ErrorCode::ArgumentInvalid, text);
    let name = BlobName::new(blob_name).map_err(|error| invalid(error.to_string()))?;
    let authority = authority(&call.headers, rest.hub.names(), rest.https_port);
    let upload = rest.hub.files.begin(device, name, authority).await?;
    let path = upload.path();
    let correlation = upload.id.to_string();
    let sas = BlobSas::sign(&upload.secret, &correlation, &path, upload.expires);
    Ok(reply::json_body(&json!({
        "correlationId": correlation,
        "hostName": upload.authority,
        "containerName": CONTAINER,
        "blobName": path,
        "sasToken": sas,
    })))
}

/// `POST /devices/{device}/files/notifications` and `…/notifications/{upload}`
pub(super) async fn end(
    State(rest): State<Rest>,
    call: Call,
    Target(client): Target,
    Path(named): Path<HashMap<String, String>>,
    body: Document,
) -> Result<Response, RestError> {
    let device = client.device.clone();
    rest.ask(call.caller, ServiceRequest::ActAs(client), Duration::ZERO).await?;
    let ended: Ended = body.read()?;
    let id = named.get("upload").or(ended.correlation_id.as_ref());
    let id = id.ok_or_else(|| RestError::new(ErrorCode::ArgumentNull, "correlationId is missing"))?;
    let id = id.parse().map_err(|_| FilesError::Refused(FileError::Unknown))?;
    let ending = rest.hub.files.ending(id, device).await?;
    let (success, code, text) = (ended.is_success, ended.status_code, ended.status_description);
    tracing::debug!(upload = %id, device = %ending.record.device, success, code, text, "a device ended an upload");
    // Told first, closed then: after a kill in between the device, or its next try, finds the upload open, and telling
    // twice is told once.
    if let (true, Some(blob)) = (success, &ending.blob) {
        let file = UploadedFile {
            upload: id,
            device: blob.device.clone(),
            name: blob.name.clone(),
            uri: uri(&ending.record.authority, &ending.record.path()),
            bytes: blob.bytes,
            modified: blob.modified,
        };
        rest.ask(Caller::Internal, ServiceRequest::TellOfFile(Box::new(file)), Duration::ZERO).await?;
    }
    rest.hub.files.end(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /messages/serviceBound/fileNotifications`: a notice under a lock, or 204.
pub(super) async fn notice(State(rest): State<Rest>, call: Call) -> Result<Response, RestError> {
    match rest.ask(call.caller, ServiceRequest::ReceiveFileNotice, Duration::ZERO).await? {
        ServiceReply::FileNotice(None) => Ok(StatusCode::NO_CONTENT.into_response()),
        ServiceReply::FileNotice(Some(lent)) => Ok(locks::lent(&lent.notice.document(), lent.lock)),
        _ => Err(reply::unexpected()),
    }
}

/// `DELETE /messages/serviceBound/fileNotifications/{lock}`
pub(super) async fn complete_notice(
    state: State<Rest>,
    call: Call,
    lock: Lock,
) -> Result<Response, RestError> {
    locks::settle(state, call, lock, |lock| ServiceRequest::SettleFileNotice {
        lock,
        settlement: Settlement::Complete,
    })
    .await
}

/// `POST /messages/serviceBound/fileNotifications/{lock}/abandon`
pub(super) async fn abandon_notice(
    state: State<Rest>,
    call: Call,
    lock: Lock,
) -> Result<Response, RestError> {
    locks::settle(state, call, lock, |lock| ServiceRequest::SettleFileNotice {
        lock,
        settlement: Settlement::Abandon,
    })
    .await
}

impl From<FilesError> for RestError {
    fn from(error: FilesError) -> Self {
        let code = match &error {
            FilesError::Refused(FileError::TooManyUploads(_)) => {
                ErrorCode::DeviceMaximumActiveFileUploadLimitExceeded
            }
            FilesError::Refused(FileError::Unknown) => ErrorCode::FileUploadNotFound,
            FilesError::Refused(_) | FilesError::Body(..) => ErrorCode::ArgumentInvalid,
            FilesError::Unavailable => ErrorCode::ServiceUnavailable,
            FilesError::Disk(source) => {
                tracing::error!(error = %source, "the disk refused a change to uploads");
                match error.code() {
                    BlobErrorCode::InsufficientStorage => ErrorCode::ServiceUnavailable,
                    _ => ErrorCode::ServerError,
                }
            }
        };
        Self::new(code, error.to_string())
    }
}

/// The host name that the device found the hub at, so that it will find it again: what it says in `Host` where that is a
/// name of this hub, with the port that it came through; else the advertised name and our own port.
fn authority(headers: &HeaderMap, names: &[String], port: u16) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (name, said) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse::<u16>().ok()),
        None => (host, Some(443)),
    };
    match (names.iter().find(|known| known.eq_ignore_ascii_case(name)), said) {
        (Some(known), Some(443)) => known.clone(),
        (Some(known), Some(port)) => format!("{known}:{port}"),
        (Some(_), None) | (None, _) => {
            let name = names.first().map_or("127.0.0.1", String::as_str);
            if port == 443 { name.to_owned() } else { format!("{name}:{port}") }
        }
    }
}

fn uri(authority: &str, path: &str) -> String {
    let parts: Vec<String> = path.split('/').map(bag::encode).collect();
    format!("https://{authority}/{CONTAINER}/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_device_finds_the_file() {
        let names = ["hub.test".to_owned(), "127.0.0.1".to_owned()];
        for (host, port, expected) in [
            ("hub.test", 8443, "hub.test"),
            ("HUB.test:443", 8443, "hub.test"),
            ("127.0.0.1:9443", 8443, "127.0.0.1:9443"),
            ("evil.example", 8443, "hub.test:8443"),
            ("evil.example:1", 443, "hub.test"),
            ("hub.test:99999", 8443, "hub.test:8443"),
            ("[::1]:8443", 8443, "hub.test:8443"),
            ("", 443, "hub.test"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            assert_eq!(authority(&headers, &names, port), expected, "{host}");
        }
        assert_eq!(uri("h", "d/a b/ü#?.txt"), "https://h/files/d/a%20b/%C3%BC%23%3F.txt");
    }
}
