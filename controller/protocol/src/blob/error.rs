//! Error codes that storage SDKs know, and a few of our own where theirs have none.

/// Which error: a name and an HTTP status.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:literal;)*) => {
        /// An error of the blob endpoint, by the name in `x-ms-error-code`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum BlobErrorCode { $($(#[$doc])* $name,)* }

        impl BlobErrorCode {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As in the header `x-ms-error-code`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }
        }
    };
}

codes! {
    /// A value in the query is wrong.
    InvalidQueryParameterValue = 400;
    /// A header has a value that is wrong, or asks for what there is not.
    InvalidHeaderValue = 400;
    /// A header is missing.
    MissingRequiredHeader = 400;
    /// The body is no block list.
    InvalidXmlDocument = 400;
    /// The list names a block that was never put.
    InvalidBlockList = 400;
    /// The body is not what its checksum says.
    Md5Mismatch = 400;
    /// The body ended early.
    InvalidInput = 400;
    /// No, wrong or expired credentials, or the upload is over.
    AuthenticationFailed = 403;
    /// The credentials do not allow this.
    AuthorizationPermissionMismatch = 403;
    /// Of our own: the device has used up what it may store.
    DeviceQuotaExceeded = 403;
    /// No such file.
    BlobNotFound = 404;
    /// This path does not take this verb.
    UnsupportedHttpVerb = 405;
    /// There is such a file, and the request says that there must be none.
    BlobAlreadyExists = 409;
    /// More blocks than one upload may have.
    BlockCountExceedsLimit = 409;
    /// The length must be said before the body.
    MissingContentLengthHeader = 411;
    /// The file is not the one that the request speaks of.
    ConditionNotMet = 412;
    /// Larger than one file may be.
    RequestBodyTooLarge = 413;
    /// The range lies outside the file.
    InvalidRange = 416;
    /// A fault of the hub.
    InternalError = 500;
    /// The body did not come in time.
    OperationTimedOut = 500;
    /// Stopping.
    ServerBusy = 503;
    /// Of our own: the disk of the hub has no room. Nothing was changed; try again later.
    InsufficientStorage = 507;
}
