//! What a client shows to prove who it is (reference device-protocol §3.1, §3.2), as values that anything can be decided on.
//!
//! Reading certificates and following chains costs time and needs cryptography; heads do it, in the task of the
//! connection, and hand over what they found. What it means for an identity is decided in `authenticate.rs`.

use std::sync::Arc;

use jiff::Timestamp;

/// What a client shows.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A SAS token, verbatim. Empty when there was none.
    Token(String),
    /// The certificate of its TLS connection, whose key it has proved to hold.
    Certificate(Arc<Presented>),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token(***)"),
            Self::Certificate(certificate) => f.debug_tuple("Certificate").field(certificate).finish(),
        }
    }
}

/// A client certificate, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// SHA-1 of the whole certificate, 40 lower-case hexadecimal digits.
    pub sha1: String,
    /// SHA-256 of it, 64 of them.
    pub sha256: String,
    /// Common name of its subject; none when there is not exactly one.
    pub common_name: Option<String>,
    /// From when on it is good.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
    /// Where its signatures lead.
    pub chain: Chain,
}

/// Where the signatures of a certificate lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// To an authority that the hub was told of; every certificate on the way was good at the time of looking.
    Registered,
    /// Anywhere else, or nowhere.
    Unregistered,
}

impl Presented {
    /// Is this its thumbprint? SHA-1 or SHA-256, hexadecimal digits in any case.
    pub(crate) fn has_thumbprint(&self, thumbprint: &str) -> bool {
        self.sha1.eq_ignore_ascii_case(thumbprint) || self.sha256.eq_ignore_ascii_case(thumbprint)
    }

    /// Is `now` between its dates?
    pub(crate) fn is_current(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}
