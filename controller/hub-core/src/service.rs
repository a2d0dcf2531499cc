//! What the service side asks and gets: the operations behind the IoT Hub REST API (reference service-api §4).

use std::sync::Arc;

use bytes::Bytes;
use hemline_model::id::{ClientId, DeviceId};
use hemline_protocol::properties::Properties;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    changes::ChangeCursor,
    cloud_to_device::{FeedbackBatch, LockToken, Received, Settlement},
    effect::AuthFailure,
    file_notices::{LentNotice, UploadedFile},
    message::Sequence,
    write::{Identity, TwinRecord},
};

/// How an identity proves who it is. Keys print as `***`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Authentication {
    /// Two symmetric keys, base64.
    Sas {
        /// Tried first.
        primary: String,
        /// Tried second.
        secondary: String,
    },
    /// Hash of the leaf certificate, hex.
    SelfSigned {
        /// SHA-1 or SHA-256.
        primary: Option<String>,
        /// SHA-1 or SHA-256.
        secondary: Option<String>,
    },
    /// A registered authority signed the leaf.
    CertificateAuthority,
    /// It cannot authenticate by itself.
    None,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sas { .. } => f.write_str("Sas(***)"),
            Self::SelfSigned { primary, secondary } => {
                f.debug_struct("SelfSigned").field("primary", primary).field("secondary", secondary).finish()
            }
            Self::CertificateAuthority => f.write_str("CertificateAuthority"),
            Self::None => f.write_str("None"),
        }
    }
}

/// `If-Match` of a request (reference service-api §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// No header: create, never overwrite (identities); any (twins, deletes).
    Absent,
    /// `*` or `"*"`: overwrite whatever is there.
    Any,
    /// This etag, quotes and `W/` removed.
    Etag(String),
}

/// What may be written of a device identity. `None` members keep the value there is, or take the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceSettings {
    /// `status`
    pub enabled: Option<bool>,
    /// `statusReason`
    pub status_reason: Option<String>,
    /// Missing: SAS with generated keys. Empty keys inside `Sas`: generated.
    pub authentication: Option<Authentication>,
    /// `capabilities.iotEdge`
    pub edge: Option<bool>,
    /// Parent device: `Some(None)` removes it.
    pub parent: Option<Option<DeviceId>>,
}

/// What may be written of a module identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleSettings {
    /// Missing: SAS with generated keys.
    pub authentication: Option<Authentication>,
    /// `managedBy`
    pub managed_by: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceRequest {
    /// `GET /devices/{id}`
    GetDevice(DeviceId),
    /// `GET /devices?top=n`
    ListDevices {
        /// 1–1000.
        top: usize,
    },
    /// `PUT /devices/{id}`
    PutDevice {
        /// Which.
        device: DeviceId,
        /// What.
        settings: DeviceSettings,
        /// Condition.
        if_match: IfMatch,
    },
    /// `DELETE /devices/{id}` or `…/modules/{mid}`
    DeleteIdentity {
        /// Which.
        client: ClientId,
        /// Condition.
        if_match: IfMatch,
    },
    /// `GET /devices/{id}/modules`
    ListModules(DeviceId),
    /// `GET /devices/{id}/modules/{mid}`; the id must name a module.
    GetModule(ClientId),
    /// `PUT /devices/{id}/modules/{mid}`
    PutModule {
        /// Which.
        client: ClientId,
        /// What.
        settings: ModuleSettings,
        /// Condition.
        if_match: IfMatch,
    },
    /// `GET /twins/…`
    GetTwin(ClientId),
    /// `PATCH /twins/…`: merge; `null` deletes.
    PatchTwin {
        /// Whose.
        client: ClientId,
        /// Absent: tags untouched.
        tags: Option<Map<String, Value>>,
        /// Absent: desired untouched.
        desired: Option<Map<String, Value>>,
        /// Condition.
        if_match: IfMatch,
    },
    /// `PUT /twins/…`: replace.
    ReplaceTwin {
        /// Whose.
        client: ClientId,
        /// The new tags.
        tags: Map<String, Value>,
        /// The new desired properties.
        desired: Map<String, Value>,
        /// Condition.
        if_match: IfMatch,
    },
    /// `POST /devices/query`
    Query {
        /// The text.
        text: String,
        /// 1–100 (clamped); internal callers may ask for more.
        page_size: usize,
        /// Token of the page before.
        continuation: Option<String>,
    },
    /// `POST /twins/…/methods`
    InvokeMethod {
        /// Whom.
        client: ClientId,
        /// At most 100 characters.
        name: String,
        /// Absent: `null`.
        payload: Option<Value>,
        /// Seconds, 5–300, default 30.
        response_timeout: u32,
        /// Seconds, 0–300, default 0.
        connect_timeout: u32,
    },
    /// Messages of a device or module over HTTPS: all of them, or none when one is too large.
    SendTelemetry {
        /// Whose.
        client: ClientId,
        /// At least one, in order.
        messages: Vec<(Properties, Bytes)>,
    },
    /// A device asks for the next cloud-to-device message, which it will settle.
    ReceiveCloudToDevice(ClientId),
    /// A device settles a cloud-to-device message that it received.
    SettleCloudToDevice {
        /// Whose.
        client: ClientId,
        /// As received.
        lock: LockToken,
        /// What became of it.
        settlement: Settlement,
    },
    /// `POST /devices/{id}/messages/deviceBound`
    SendCloudToDevice {
        /// For whom.
        device: DeviceId,
        /// Message id, expiry and ack among them.
        properties: Box<Properties>,
        /// Verbatim.
        body: Bytes,
    },
    /// `DELETE /devices/{id}/commands`
    PurgeCloudToDevice(DeviceId),
    /// `GET /messages/serviceBound/feedback`
    ReceiveFeedback,
    /// Settles a batch of feedback.
    SettleFeedback {
        /// As received.
        lock: LockToken,
        /// What became of it.
        settlement: Settlement,
    },
    /// Only asks whether the caller may act as this device or module; answered by `Done`.
    ActAs(ClientId),
    /// Only asks whether the caller is somebody, whatever it may do; answered by `Done`. For a head that decides whether to
    /// read on.
    Identify {
        /// Whom the request speaks of: a certificate names nobody by itself.
        client: Option<ClientId>,
    },
    /// A device said that its upload is done. Only for `Caller::Internal`, which has seen the file.
    TellOfFile(Box<UploadedFile>),
    /// The next notice of an uploaded file.
    ReceiveFileNotice,
    /// Settles a notice of an uploaded file.
    SettleFileNotice {
        /// As received.
        lock: LockToken,
        /// What became of it.
        settlement: Settlement,
    },
    /// `GET /statistics/devices` and `/statistics/service`
    Statistics,
    /// Keys of a policy; only for `Caller::Internal` and RegistryWrite + ServiceConnect + DeviceConnect.
    GetPolicy(String),
    /// The devices that changed, with modules and twins, in the order of their last changes. Only for `Caller::Internal`: it
    /// holds keys.
    Changes {
        /// `upto` of the answer before; the default for all devices.
        since: ChangeCursor,
    },
    /// Only asks whether the caller may do this; answered by `Done`.
    Authorize(crate::write::Permission),
}

/// The answer to one operation.
#[derive(Debug, Clone, PartialEq)]
pub enum ServiceReply {
    /// A device identity as JSON on the wire, with its etag (unquoted).
    Identity {
        /// The document.
        document: Value,
        /// For the `ETag` header.
        etag: String,
    },
    /// A list of identities.
    Identities(Vec<Value>),
    /// A twin as the service sees it.
    Twin {
        /// The document.
        document: Value,
        /// For the `ETag` header.
        etag: String,
    },
    /// One page of a query.
    Rows {
        /// `Twin` or `Raw`.
        item_type: &'static str,
        /// The rows.
        rows: Vec<Value>,
        /// Present when there is more.
        continuation: Option<String>,
    },
    /// What the client answered.
    Method {
        /// Any number.
        status: i32,
        /// JSON, `null` when empty.
        payload: Value,
    },
    /// Counts.
    Statistics {
        /// Devices in the registry.
        total: u64,
        /// Of them enabled.
        enabled: u64,
        /// Devices with a connection of their own or of a module.
        connected: u64,
    },
    /// A cloud-to-device message is stored.
    Sent {
        /// Its place.
        sequence: Sequence,
        /// The id it was given, or got.
        message_id: String,
        /// When it will be dropped.
        expires: Timestamp,
    },
    /// The next cloud-to-device message, if there is one.
    CloudToDevice(Option<Box<Received>>),
    /// A queue was emptied.
    Purged {
        /// Whose.
        device: DeviceId,
        /// Messages that were in it.
        count: usize,
    },
    /// Feedback, if there is any.
    Feedback(Option<Box<FeedbackBatch>>),
    /// The next notice of an uploaded file, if there is one.
    FileNotice(Option<Box<LentNotice>>),
    /// Answer to `Changes`.
    Changes(RegistryChanges),
    /// A policy with its keys.
    Policy(crate::write::Policy),
    /// Nothing to say.
    Done,
}

/// What changed in the registry since an earlier look. Numbers of changes begin anew with every start of the hub.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistryChanges {
    /// Where the next look begins.
    pub upto: ChangeCursor,
    /// Nothing of earlier looks holds any more: this begins from an empty registry.
    pub anew: bool,
    /// There is more, to be asked for at once.
    pub more: bool,
    /// The devices as they are now; `None`: it does not exist.
    pub devices: Vec<(DeviceId, Option<SeenDevice>)>,
}

/// A device with its modules.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenDevice {
    /// The device itself.
    pub device: SeenClient,
    /// In the order of their ids.
    pub modules: Vec<SeenClient>,
}

/// A device or module as the hub has it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenClient {
    /// With its keys, which print as `***`.
    pub identity: Arc<Identity>,
    /// Has it a connection of its own?
    pub connected: bool,
    /// As it was then; shared with the hub, like the identity.
    pub twin: Arc<TwinRecord>,
}

/// Why an operation was refused. Each has one code of reference service-api §3.3.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// 401
    #[error("unauthorised: {0}")]
    Unauthorised(AuthFailure),
    /// 404001
    #[error("device {0} does not exist")]
    DeviceNotFound(DeviceId),
    /// 404010
    #[error("module {0} does not exist")]
    ModuleNotFound(ClientId),
    /// 409001
    #[error("device {0} exists already")]
    DeviceAlreadyExists(DeviceId),
    /// 409301
    #[error("module {0} exists already")]
    ModuleAlreadyExists(ClientId),
    /// 412001
    #[error("the etag given is not the current one")]
    PreconditionFailed,
    /// 400004
    #[error("{0}")]
    ArgumentInvalid(String),
    /// 400005
    #[error("{0} is missing")]
    ArgumentNull(&'static str),
    /// 413001
    #[error("the message is larger than {0} bytes, or has more properties than fit into a topic")]
    MessageTooLarge(usize),
    /// 403004
    #[error("too many messages wait for device {0} already; purge them, or wait until it takes some")]
    QueueFull(DeviceId),
    /// 403007
    #[error("too much waits for devices, or too much feedback for the service; take some of it first")]
    AllQueuesFull,
    /// 403009
    #[error("the expiry {at} is past, or further away than {} h", most_seconds / 3_600)]
    InvalidExpiry {
        /// What was asked for.
        at: Timestamp,
        /// Longest life, in seconds.
        most_seconds: i64,
    },
    /// 412002
    #[error("the lock is lost: it ran out, or the message was settled already")]
    LockLost,
    /// 429001
    #[error("what routes have chosen for the message is full; send it again later")]
    Throttled,
    /// 413003
    #[error("device {0} has 50 modules already")]
    TooManyModules(DeviceId),
    /// 401100
    #[error("{0} belongs to the runtime")]
    SystemModule(ClientId),
    /// 404103
    #[error("{client} did not connect and listen for methods within {timeout_seconds} s")]
    NotOnline {
        /// Whom.
        client: ClientId,
        /// The connect timeout.
        timeout_seconds: u32,
    },
    /// 404104
    #[error("{0} went away before it answered")]
    ConnectionClosed(ClientId),
    /// 504101
    #[error("{client} did not answer within {timeout_seconds} s")]
    NoAnswer {
        /// Whom.
        client: ClientId,
        /// The response timeout.
        timeout_seconds: u32,
    },
    /// 502
    #[error("{0} answered something that is not JSON")]
    BadAnswer(ClientId),
    /// 503001: starting, stopping, or the store failed.
    #[error("the hub cannot do this now")]
    Unavailable,
}
