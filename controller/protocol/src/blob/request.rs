//! Requests to the blob endpoint: what is asked for, under which condition, which part of a file.

use super::{block::BlockId, error::BlobErrorCode};
use crate::bag;

/// Most names and values of a query that are looked at.
const MOST_PAIRS: usize = 64;

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `PUT`
    Put,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `DELETE`
    Delete,
}

/// A query, decoded. Names are compared without case; of equal names the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlobQuery(Vec<(String, String)>);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The whole file in one request.
    PutBlob,
    /// One block of it.
    PutBlock(BlockId),
    /// The order of the blocks: they become the file.
    PutBlockList,
    /// The content.
    Get,
    /// Only what is known of it.
    Head,
    /// Remove it.
    Delete,
}

/// What must hold of a file for a request to be carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Precondition {
    /// `If-Match`: its etag, or `*` for any.
    pub if_match: Option<String>,
    /// `If-None-Match`: not this etag, or with `*` no file at all.
    pub if_none_match: Option<String>,
}

/// A part of a file: first byte, and last byte if one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    first: u64,
    last: Option<u64>,
}

// === impl BlobQuery

impl BlobQuery {
    /// Reads a query as it stands in the URL.
    ///
    /// # Errors
    /// When an escape is not UTF-8, or there are too many pairs.
    pub fn parse(text: &str) -> Result<Self, BlobErrorCode> {
        let invalid = |_| BlobErrorCode::InvalidQueryParameterValue;
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() >= MOST_PAIRS {
                return Err(BlobErrorCode::InvalidQueryParameterValue);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = bag::decode(name).map_err(invalid)?.to_ascii_lowercase();
            pairs.push((name, bag::decode(value).map_err(invalid)?));
        }
        Ok(Self(pairs))
    }

    /// The value of a name in lower case.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

// === impl Action

impl Action {
    /// What a request asks for. `blob_type` is the header `x-ms-blob-type`.
    ///
    /// # Errors
    /// When there is no such thing here: page and append blobs, leases, snapshots, tags.
    pub fn read(verb: Verb, query: &BlobQuery, blob_type: Option<&str>) -> Result<Self, BlobErrorCode> {
        let parts = (query.value("comp"), query.value("restype"), query.value("snapshot"));
        match (verb, parts) {
            (Verb::Put, (None, None, None)) => match blob_type {
                Some(kind) if kind.eq_ignore_ascii_case("BlockBlob") => Ok(Self::PutBlob),
                Some(_) => Err(BlobErrorCode::InvalidHeaderValue),
                None => Err(BlobErrorCode::MissingRequiredHeader),
            },
            (Verb::Put, (Some("block"), None, None)) => {
                let id = query.value("blockid").map(BlockId::from_base64);
                match id {
                    Some(Ok(id)) => Ok(Self::PutBlock(id)),
                    Some(Err(_)) | None => Err(BlobErrorCode::InvalidQueryParameterValue),
                }
            }
            (Verb::Put, (Some("blocklist"), None, None)) => Ok(Self::PutBlockList),
            (Verb::Get, (None, None, None)) => Ok(Self::Get),
            (Verb::Head, (None, None, None)) => Ok(Self::Head),
            (Verb::Delete, (None, None, None)) => Ok(Self::Delete),
            _ => Err(BlobErrorCode::InvalidQueryParameterValue),
        }
    }

    /// Does it change anything?
    #[must_use]
    pub fn writes(&self) -> bool {
        match self {
            Self::PutBlob | Self::PutBlock(_) | Self::PutBlockList | Self::Delete => true,
            Self::Get | Self::Head => false,
        }
    }
}

// === impl Precondition

impl Precondition {
    /// Does it hold of a file with this etag, or of no file?
    ///
    /// # Errors
    /// `BlobAlreadyExists` where there must be none, else `ConditionNotMet`.
    pub fn holds(&self, etag: Option<&str>) -> Result<(), BlobErrorCode> {
        let is = |wanted: &str, etag: &str| wanted.trim() == "*" || wanted.trim().trim_matches('"') == etag;
        match (&self.if_match, etag) {
            (Some(wanted), Some(etag)) if is(wanted, etag) => {}
            (Some(_), _) => return Err(BlobErrorCode::ConditionNotMet),
            (None, _) => {}
        }
        match (&self.if_none_match, etag) {
            (Some(unwanted), Some(_)) if unwanted.trim() == "*" => Err(BlobErrorCode::BlobAlreadyExists),
            (Some(unwanted), Some(etag)) if is(unwanted, etag) => Err(BlobErrorCode::ConditionNotMet),
            (Some(_) | None, _) => Ok(()),
        }
    }
}

// === impl ByteRange

impl ByteRange {
    /// Reads `bytes=first-` or `bytes=first-last`. Anything else is no range that is served, and the whole file is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let first = first.parse().ok()?;
        let last = match last {
            "" => None,
            last => Some(last.parse().ok()?),
        };
        last.is_none_or(|last| last >= first).then_some(Self { first, last })
    }

    /// First byte and number of bytes within a file of this size.
    ///
    /// # Errors
    /// `InvalidRange` when it begins behind the end.
    pub fn within(self, size: u64) -> Result<(u64, u64), BlobErrorCode> {
        if self.first >= size {
            return Err(BlobErrorCode::InvalidRange);
        }
        let left = size - self.first;
        let wanted = self.last.map_or(left, |last| (last - self.first).saturating_add(1));
        Ok((self.first, wanted.min(left)))
    }
}
