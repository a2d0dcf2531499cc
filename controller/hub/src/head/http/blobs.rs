//! The blob endpoint: what storage SDKs do with the URL that a device was given (reference device-protocol §8.4). Devices
//! bring the credential of their upload in the query; the service side reads and removes with its own token.

use std::time::Duration;

use axum::{
    Extension,
    body::{Body, HttpBody as _, to_bytes},
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use hemline_hub_core::{
    event::Caller,
    files::{BlobRecord, Content, UploadId},
    service::ServiceRequest,
    write::Permission,
};
use hemline_model::id::DeviceId;
use hemline_protocol::blob::{
    Action, BlobErrorCode, BlobName, BlobPermission, BlobQuery, BlobSas, ByteRange, Precondition,
    STORAGE_VERSION, Verb, read_block_list,
};
use jiff::{Timestamp, tz::TimeZone};
use tokio::time::timeout;

use super::Rest;
use crate::{
    files::{self, FilesError, Incoming, Received, Wanted},
    head::admission::{Admission, STRANGER_BYTES},
};

/// Bytes of a block list per block, and of the rest of it.
const LIST_BYTES: (usize, usize) = (192, 4096);
/// What is read and thrown away of a body that is refused, of somebody with a credential.
const REFUSED_BYTES: usize = 64 << 20;
/// Longest text of a header that is kept.
const HEADER_BYTES: usize = 256;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const VERSION: HeaderName = HeaderName::from_static("x-ms-version");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-ms-error-code");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// A refusal as storage clients read it.
struct Refused {
    code: BlobErrorCode,
    text: String,
}

impl From<BlobErrorCode> for Refused {
    fn from(code: BlobErrorCode) -> Self {
        Self { code, text: code.name().to_owned() }
    }
}

impl From<FilesError> for Refused {
    fn from(error: FilesError) -> Self {
        if let FilesError::Disk(source) = &error {
            tracing::error!(error = %source, "the disk refused an uploaded file");
        }
        Self { code: error.code(), text: error.to_string() }
    }
}

/// A request as far as it can be understood without looking at what there is.
struct Asked {
    action: Action,
    query: BlobQuery,
    path: String,
    headers: HeaderMap,
}

/// On whose authority.
enum Authority {
    Upload(UploadId),
    Service,
}

/// Everything below `/files/`.
pub(super) async fn serve(
    State(rest): State<Rest>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    Extension(admission): Extension<Admission>,
    request: Request,
) -> Response {
    let (Parts { method, headers, .. }, body) = request.into_parts();
    let echo = headers.get(&CLIENT_REQUEST_ID).filter(|id| id.len() <= 1024).cloned();
    let head = method == Method::HEAD;
    let allowed = match understand(&method, path, query.as_deref(), &headers) {
        Ok(asked) => authorise(&rest, &asked).await.map(|authority| (asked, authority)),
        Err(code) => Err(code.into()),
    };
    let mut response = match allowed {
        Ok((asked, authority)) => answer(&rest, &admission, authority, asked, body).await,
        Err(refused) => {
            admission.put_aside(&headers, body, STRANGER_BYTES);
            told(&refused, head)
        }
    };
    let told = response.headers_mut();
    told.insert(VERSION, HeaderValue::from_static(STORAGE_VERSION));
    if let Ok(id) = HeaderValue::from_str(&super::error::request_id()) {
        told.insert(REQUEST_ID, id);
    }
    if let Some(echo) = echo {
        told.insert(CLIENT_REQUEST_ID, echo);
    }
    response
}

fn understand(
    method: &Method,
    path: String,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Result<Asked, BlobErrorCode> {
    let verb = match *method {
        Method::PUT => Verb::Put,
        Method::GET => Verb::Get,
        Method::HEAD => Verb::Head,
        Method::DELETE => Verb::Delete,
        _ => return Err(BlobErrorCode::UnsupportedHttpVerb),
    };
    let query = BlobQuery::parse(query.unwrap_or_default())?;
    // Copying from elsewhere looks like a file without content.
    if headers.contains_key("x-ms-copy-source") {
        return Err(BlobErrorCode::InvalidHeaderValue);
    }
    let action = Action::read(verb, &query, text(headers, "x-ms-blob-type"))?;
    Ok(Asked { action, query, path, headers: headers.clone() })
}

async fn authorise(rest: &Rest, asked: &Asked) -> Result<Authority, Refused> {
    if let Some(token) = asked.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        let operation = ServiceRequest::Authorize(Permission::ServiceConnect);
        let allowed = rest.ask(Caller::Token(token.to_owned()), operation, Duration::ZERO).await;
        return match (&asked.action, allowed) {
            (Action::Get | Action::Head | Action::Delete, Ok(_)) => Ok(Authority::Service),
            // Files come from devices.
            (_, Ok(_)) => Err(BlobErrorCode::AuthorizationPermissionMismatch.into()),
            (_, Err(_)) => Err(BlobErrorCode::AuthenticationFailed.into()),
        };
    }
    let sas = BlobSas::find(&asked.query)
        .map_err(|error| Refused { code: BlobErrorCode::AuthenticationFailed, text: error.to_string() })?;
    let wanted = if asked.action.writes() { BlobPermission::Write } else { BlobPermission::Read };
    let upload = rest.hub.files.judge(sas, asked.path.clone(), wanted).await?;
    match asked.action {
        Action::Delete => Err(BlobErrorCode::AuthorizationPermissionMismatch.into()),
        _ => Ok(Authority::Upload(upload)),
    }
}

async fn answer(
    rest: &Rest,
    admission: &Admission,
    authority: Authority,
    asked: Asked,
    body: Body,
) -> Response {
    let head = asked.action == Action::Head;
    let done = match (asked.action.clone(), authority) {
        (Action::PutBlockList, Authority::Upload(upload)) => list(rest, upload, &asked, body).await,
        (Action::PutBlob, Authority::Upload(upload)) => {
            let piece = Received::Whole(wanted(&asked.headers));
            put(rest, admission, (upload, piece), &asked, body).await
        }
        (Action::PutBlock(id), Authority::Upload(upload)) => {
            put(rest, admission, (upload, Received::Block(id)), &asked, body).await
        }
        (Action::Get | Action::Head, _) => get(rest, &asked).await,
        (Action::Delete, Authority::Service) => remove(rest, &asked).await,
        (Action::Delete, Authority::Upload(_)) | (_, Authority::Service) => {
            Err(BlobErrorCode::AuthorizationPermissionMismatch.into())
        }
    };
    done.unwrap_or_else(|refused| told(&refused, head))
}

/// A block, or a file in one request.
async fn put(
    rest: &Rest,
    admission: &Admission,
    (upload, piece): (UploadId, Received),
    asked: &Asked,
    body: Body,
) -> Result<Response, Refused> {
    let said = text(&asked.headers, "content-length").and_then(|length| length.parse().ok());
    // Without a word about it there is no body, unless it comes in chunks.
    let bytes = said.or_else(|| body.is_end_stream().then_some(0));
    let Some(bytes) = bytes else {
        admission.put_aside(&asked.headers, body, REFUSED_BYTES);
        return Err(BlobErrorCode::MissingContentLengthHeader.into());
    };
    let md5 = text(&asked.headers, "content-md5").map(str::to_owned);
    let stall = rest.limits.write_stall;
    let mut body = body.into_data_stream();
    let incoming = Incoming { upload, piece, bytes, md5: md5.clone(), body: &mut body, stall };
    match files::receive(&rest.hub.files, incoming).await {
        Ok(record) => Ok(created(record.as_ref(), md5.as_deref())),
        Err(error) => {
            admission.put_rest_aside(body, REFUSED_BYTES);
            Err(error.into())
        }
    }
}

async fn list(rest: &Rest, upload: UploadId, asked: &Asked, body: Body) -> Result<Response, Refused> {
    let most = rest.hub.files.most_blocks();
    let bytes = most.saturating_mul(LIST_BYTES.0).saturating_add(LIST_BYTES.1);
    let read = timeout(rest.limits.request, to_bytes(body, bytes)).await;
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Err(BlobErrorCode::RequestBodyTooLarge.into()),
        Err(_) => return Err(BlobErrorCode::OperationTimedOut.into()),
    };
    let list = read_block_list(&body, most)
        .map_err(|error| Refused { code: BlobErrorCode::InvalidXmlDocument, text: error.to_string() })?;
    let record = rest.hub.files.commit_list(upload, list, wanted(&asked.headers)).await?;
    Ok(created(Some(&record), None))
}

async fn get(rest: &Rest, asked: &Asked) -> Result<Response, Refused> {
    let blob = find(rest, asked).await?;
    condition(&asked.headers).holds(Some(&blob.etag))?;
    let range =
        text(&asked.headers, "x-ms-range").or(text(&asked.headers, "range")).and_then(ByteRange::parse);
    let part =
        range.filter(|_| asked.action == Action::Get).map(|range| range.within(blob.bytes)).transpose()?;
    let (first, bytes) = part.unwrap_or((0, blob.bytes));
    let body = match asked.action {
        Action::Get => files::content(rest.hub.files.clone(), blob.clone(), first, bytes),
        _ => Body::empty(),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    describe(headers, &blob);
    let mut put = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    put(header::CONTENT_LENGTH, &bytes.to_string());
    put(header::ACCEPT_RANGES, "bytes");
    put(header::CONTENT_TYPE, &blob.content_type);
    put(HeaderName::from_static("x-ms-blob-type"), "BlockBlob");
    put(HeaderName::from_static("x-ms-creation-time"), &http_date(blob.created));
    if let Some(encoding) = &blob.content_encoding {
        put(header::CONTENT_ENCODING, encoding);
    }
    if let Some(md5) = &blob.content_md5 {
        // Of the whole, whatever part goes out.
        let name =
            if part.is_some() { HeaderName::from_static("x-ms-blob-content-md5") } else { CONTENT_MD5 };
        put(name, md5);
    }
    if part.is_some() {
        let last = first + bytes.saturating_sub(1);
        put(header::CONTENT_RANGE, &format!("bytes {first}-{last}/{}", blob.bytes));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

async fn remove(rest: &Rest, asked: &Asked) -> Result<Response, Refused> {
    let blob = find(rest, asked).await?;
    condition(&asked.headers).holds(Some(&blob.etag))?;
    rest.hub.files.remove(blob.device.clone(), blob.name.clone()).await?;
    Ok(StatusCode::ACCEPTED.into_response())
}

async fn find(rest: &Rest, asked: &Asked) -> Result<std::sync::Arc<BlobRecord>, Refused> {
    let (device, name) = asked.path.split_once('/').ok_or(BlobErrorCode::BlobNotFound)?;
    let (Ok(device), Ok(name)) = (DeviceId::new(device), BlobName::new(name)) else {
        return Err(BlobErrorCode::BlobNotFound.into());
    };
    Ok(rest.hub.files.find(device, name).await?)
}

fn wanted(headers: &HeaderMap) -> Wanted {
    let kept =
        |name: &str| text(headers, name).filter(|value| value.len() <= HEADER_BYTES).map(str::to_owned);
    let content = Content {
        // The other one is about the body, and that of a block list is XML.
        kind: kept("x-ms-blob-content-type")
            .or_else(|| kept("content-type").filter(|kind| !kind.starts_with("application/xml"))),
        encoding: kept("x-ms-blob-content-encoding"),
        md5: kept("x-ms-blob-content-md5"),
    };
    Wanted { content, condition: condition(headers) }
}

fn condition(headers: &HeaderMap) -> Precondition {
    let condition = |name: &str| text(headers, name).map(str::to_owned);
    Precondition { if_match: condition("if-match"), if_none_match: condition("if-none-match") }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// 201, with what the file is if it is visible now.
fn created(record: Option<&BlobRecord>, md5: Option<&str>) -> Response {
    let mut response = StatusCode::CREATED.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers
        .insert(HeaderName::from_static("x-ms-request-server-encrypted"), HeaderValue::from_static("false"));
    if let Some(record) = record {
        describe(headers, record);
    }
    if let Some(Ok(md5)) = md5.map(HeaderValue::from_str) {
        headers.insert(CONTENT_MD5, md5);
    }
    response
}

fn describe(headers: &mut HeaderMap, record: &BlobRecord) {
    for (name, value) in
        [(header::ETAG, format!("\"{}\"", record.etag)), (header::LAST_MODIFIED, http_date(record.modified))]
    {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

fn http_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn told(refused: &Refused, head: bool) -> Response {
    let status = StatusCode::from_u16(refused.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    tracing::debug!(%status, code = refused.code.name(), text = refused.text, "a blob request was refused");
    let body = if head {
        String::new()
    } else {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{}</Code><Message>{}</Message></Error>",
            refused.code.name(),
            escaped(&refused.text)
        )
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/xml")),
        (ERROR_CODE, HeaderValue::from_static(refused.code.name())),
    ];
    (status, headers, body).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
