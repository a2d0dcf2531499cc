//! What is kept of uploads and files, as it stands on the disk.

use std::{fmt, str::FromStr};

use hemline_model::id::DeviceId;
use hemline_protocol::blob::{BlobName, BlobSecret, BlockId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Names one upload: the correlation id, 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadId(u128);

/// The text names no upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a correlation id has 32 hex digits")]
pub struct NoUploadId;

impl UploadId {
    /// Takes random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for UploadId {
    type Err = NoUploadId;

    fn from_str(text: &str) -> Result<Self, NoUploadId> {
        let digits = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits {
            u128::from_str_radix(text, 16).map(Self).map_err(|_| NoUploadId)
        } else {
            Err(NoUploadId)
        }
    }
}

impl TryFrom<String> for UploadId {
    type Error = NoUploadId;

    fn try_from(text: String) -> Result<Self, NoUploadId> {
        text.parse()
    }
}

impl From<UploadId> for String {
    fn from(id: UploadId) -> Self {
        id.to_string()
    }
}

/// An upload that a device has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UploadRecord {
    /// Which.
    pub id: UploadId,
    /// Whose.
    pub device: DeviceId,
    /// What the file is called, without the device.
    pub name: BlobName,
    /// Host name, and port if it is not 443, that the device was given for the file.
    pub authority: String,
    /// What signs its credentials.
    pub secret: BlobSecret,
    /// When it began.
    pub opened: Timestamp,
    /// When it ends by itself.
    pub expires: Timestamp,
}

impl UploadRecord {
    /// The path of the file below the container: `device/name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.device, self.name)
    }
}

/// What a segment is a piece of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// A file that came in one request.
    Whole,
    /// A block.
    Block(BlockId),
}

/// Content in one file of the disk, written once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Segment {
    /// Which upload brought it.
    pub upload: UploadId,
    /// Counts within the upload.
    pub number: u64,
    /// What it is.
    pub piece: Piece,
    /// How long it is.
    pub bytes: u64,
}

impl Segment {
    /// Name of its file within the folder of its upload.
    #[must_use]
    pub fn file_name(&self) -> String {
        match &self.piece {
            Piece::Whole => format!("{}-whole", self.number),
            Piece::Block(id) => format!("{}-{id}", self.number),
        }
    }

    /// Reads such a name; `None` for any other file.
    #[must_use]
    pub fn from_file_name(upload: UploadId, name: &str, bytes: u64) -> Option<Self> {
        let (number, piece) = name.split_once('-')?;
        let piece = match piece {
            "whole" => Piece::Whole,
            id => Piece::Block(BlockId::from_hex(id).ok()?),
        };
        let segment = Self { upload, number: number.parse().ok()?, piece, bytes };
        (segment.file_name() == name).then_some(segment)
    }
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlobRecord {
    /// Whose.
    pub device: DeviceId,
    /// What it is called.
    pub name: BlobName,
    /// Which upload made it.
    pub upload: UploadId,
    /// How long it is.
    pub bytes: u64,
    /// Another one for every content, without quotes.
    pub etag: String,
    /// When there was first a file of this name.
    pub created: Timestamp,
    /// When it became what it is.
    pub modified: Timestamp,
    /// What the device says that it is.
    pub content_type: String,
    /// What the device says about its encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// Checksum of the whole as the device gave it, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_md5: Option<String>,
    /// Its content, in order.
    pub segments: Vec<Segment>,
}
