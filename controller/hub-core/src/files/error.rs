//! Why something about a file is refused.

use hemline_protocol::blob::BlobErrorCode;

use super::Room;

/// Why something about a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// 403006
    #[error("the device has {0} uploads open already; finish one, or wait until it runs out")]
    TooManyUploads(usize),
    /// 404: no such upload of this device.
    #[error("there is no open upload with this correlation id")]
    Unknown,
    /// 403, whatever is wrong.
    #[error("the credential opens nothing here: it is none of this hub, has run out, or its upload is over")]
    Forbidden,
    /// 403
    #[error("the credential does not allow this")]
    NotAllowed,
    /// 403: it ended while something was on its way.
    #[error("the upload is over")]
    Over,
    /// 413
    #[error("a file has at most {0} bytes")]
    TooLarge(u64),
    /// 409
    #[error("a file has at most {0} blocks")]
    TooManyBlocks(usize),
    /// 403
    #[error("the device stores {} of {} bytes that it may; have files of it removed", .0.used, .0.most)]
    DeviceFull(Room),
    /// 507
    #[error("the hub has no room for more; try again later, or make room on its disk")]
    DiskFull,
    /// 400
    #[error("block {0} of the list was never put, or is gone")]
    NoSuchBlock(usize),
    /// 404
    #[error("there is no such file")]
    NoSuchFile,
    /// 409 or 412
    #[error("the file is not as the request demands: {}", .0.name())]
    Condition(BlobErrorCode),
}

impl FileError {
    /// As storage clients are told.
    #[must_use]
    pub fn code(&self) -> BlobErrorCode {
        match self {
            Self::Forbidden | Self::Over | Self::Unknown | Self::TooManyUploads(_) => {
                BlobErrorCode::AuthenticationFailed
            }
            Self::NotAllowed => BlobErrorCode::AuthorizationPermissionMismatch,
            Self::TooLarge(_) => BlobErrorCode::RequestBodyTooLarge,
            Self::TooManyBlocks(_) => BlobErrorCode::BlockCountExceedsLimit,
            Self::DeviceFull(_) => BlobErrorCode::DeviceQuotaExceeded,
            Self::DiskFull => BlobErrorCode::InsufficientStorage,
            Self::NoSuchBlock(_) => BlobErrorCode::InvalidBlockList,
            Self::NoSuchFile => BlobErrorCode::BlobNotFound,
            Self::Condition(code) => *code,
        }
    }
}
