//! Error codes of IoT Hub and the three bodies they travel in (reference service-api §3.2, §3.3; device-protocol §5.2).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::time;

/// Which error: a name, a number and an HTTP status.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $status:literal;)*) => {
        /// An error that clients know by name and number.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ErrorCode { $($(#[$doc])* $name,)* }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As in the header `iothub-errorcode`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// As in `errorCode`.
            #[must_use]
            pub fn number(self) -> u32 {
                match self { $(Self::$name => $number,)* }
            }

            /// The HTTP status, also used in twin responses.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// Something about the request as a whole, a missing api-version for example.
    GenericBadRequest = 400_000, 400;
    /// The operation makes no sense on this target.
    InvalidOperation = 400_003, 400;
    /// A value is wrong.
    ArgumentInvalid = 400_004, 400;
    /// A value is missing.
    ArgumentNull = 400_005, 400;
    /// The body is not JSON.
    IotHubFormatError = 400_006, 400;
    /// A newer connection won; seen in logs only.
    ConnectionForcefullyClosedOnNewConnection = 400_027, 400;
    /// Content type or encoding cannot be handled.
    InvalidContentEncodingOrType = 400_103, 400;
    /// No or wrong credentials.
    IotHubUnauthorizedAccess = 401_002, 401;
    /// The token ran out.
    IotHubUnauthorized = 401_003, 401;
    /// `$edgeAgent` and `$edgeHub` belong to the runtime.
    SystemModuleModifyUnauthorizedAccess = 401_100, 401;
    /// Too much waits for a device.
    DeviceMaximumQueueDepthExceeded = 403_004, 403;
    /// Too many uploads of a device are open.
    DeviceMaximumActiveFileUploadLimitExceeded = 403_006, 403;
    /// Too much waits for all devices together.
    DeviceMaximumQueueSizeExceeded = 403_007, 403;
    /// The expiry of a message is past, or too far away.
    InvalidMessageExpiryTime = 403_009, 403;
    /// No such device.
    DeviceNotFound = 404_001, 404;
    /// No such module.
    ModuleNotFound = 404_010, 404;
    /// Not connected, or not listening for methods.
    DeviceNotOnline = 404_103, 404;
    /// Went away before it answered.
    DeviceConnectionClosedRemotely = 404_104, 404;
    /// Of our own: no open upload of this correlation id.
    FileUploadNotFound = 404_000, 404;
    /// No such configuration.
    ConfigurationNotFound = 404_301, 404;
    /// Create of what is there.
    DeviceAlreadyExists = 409_001, 409;
    /// Create of what is there.
    ModuleAlreadyExistsOnDevice = 409_301, 409;
    /// The etag is not the current one.
    PreconditionFailed = 412_001, 412;
    /// The lock on a message ran out, or was settled.
    DeviceMessageLockLost = 412_002, 412;
    /// Larger than 256 KiB.
    MessageTooLarge = 413_001, 413;
    /// More than 50 modules.
    TooManyModulesOnDevice = 413_003, 413;
    /// The body is of a kind that is not understood.
    GenericUnsupportedMediaType = 415_000, 415;
    /// Too many requests.
    ThrottlingException = 429_001, 429;
    /// A fault of the hub.
    ServerError = 500_001, 500;
    /// A device answered something that is not JSON.
    InvalidResponseWhileProxying = 502_001, 502;
    /// Starting or stopping.
    ServiceUnavailable = 503_001, 503;
    /// No answer from a device.
    GatewayTimeout = 504_101, 504;
}

/// The error of an `InvokeMethod`, and what Java reads anywhere: a JSON object as a string inside `Message`.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorDocument<'a> {
    /// Which error.
    pub code: ErrorCode,
    /// For people.
    pub message: &'a str,
    /// Something to search logs for; the caller makes it.
    pub tracking: &'a str,
    /// When.
    pub at: Timestamp,
}

impl ErrorDocument<'_> {
    /// The body of REST errors: `ErrorCode:<name>;<text>`, the form that Node needs.
    #[must_use]
    pub fn rest(&self) -> Value {
        json!({
            "Message": format!("ErrorCode:{};{}", self.code.name(), self.message),
            "ExceptionMessage": format!("Tracking ID:{}-TimeStamp:{}", self.tracking, time::tracking(self.at)),
        })
    }

    /// The body of direct method errors: JSON inside `Message`. `info` carries the timeout of 404103.
    #[must_use]
    pub fn method(&self, info: &Value) -> Value {
        let inner = json!({
            "errorCode": self.code.number(),
            "trackingId": format!("{}-TimeStamp:{}", self.tracking, time::tracking(self.at)),
            "message": self.message,
            "info": info,
            "timestampUtc": time::iso(self.at),
        });
        json!({"Message": inner.to_string(), "ExceptionMessage": ""})
    }

    /// The body of twin responses to clients: Node takes anything without `errorCode` for success.
    #[must_use]
    pub fn twin(&self) -> Value {
        json!({
            "errorCode": self.code.number(),
            "trackingId": self.tracking,
            "message": self.message,
            "timestampUtc": time::iso(self.at),
        })
    }
}

/// `info` of 404103: the connect timeout as `hh:mm:ss`.
#[must_use]
pub fn connect_timeout_info(seconds: u32) -> Value {
    json!({"timeout": format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)})
}
