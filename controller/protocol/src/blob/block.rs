//! Ids of blocks: up to 64 bytes that the client chooses, in base64.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, Serialize};

/// Most bytes of an id.
const MOST: usize = 64;

/// Storage SDKs pad; hand-made clients sometimes do not.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The name of a block within one upload. Equal bytes, equal block, however they were written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BlockId(Vec<u8>);

/// The text is no id of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block id is base64 of 1 to 64 bytes")]
pub struct NoBlockId;

impl BlockId {
    /// Reads an id as clients write it.
    ///
    /// # Errors
    /// When it is no base64, empty or too long.
    pub fn from_base64(text: &str) -> Result<Self, NoBlockId> {
        if text.len() > MOST * 2 {
            return Err(NoBlockId);
        }
        let bytes = LENIENT.decode(text).map_err(|_| NoBlockId)?;
        if bytes.is_empty() || bytes.len() > MOST { Err(NoBlockId) } else { Ok(Self(bytes)) }
    }

    /// Reads what `to_string` gives.
    ///
    /// # Errors
    /// When it is not an even number of lower-case hex digits, or too many.
    pub fn from_hex(text: &str) -> Result<Self, NoBlockId> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NoBlockId),
        };
        let pairs = text.as_bytes().chunks(2);
        let byte = |pair: &[u8]| match pair {
            [high, low] => Ok(digit(*high)? << 4 | digit(*low)?),
            _ => Err(NoBlockId),
        };
        let bytes = pairs.map(byte).collect::<Result<Vec<u8>, NoBlockId>>()?;
        if bytes.is_empty() || bytes.len() > MOST { Err(NoBlockId) } else { Ok(Self(bytes)) }
    }
}

/// Lower-case hex digits: good for a file name.
impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for BlockId {
    type Error = NoBlockId;

    fn try_from(text: String) -> Result<Self, NoBlockId> {
        Self::from_hex(&text)
    }
}

impl From<BlockId> for String {
    fn from(id: BlockId) -> Self {
        id.to_string()
    }
}
