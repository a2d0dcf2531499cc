//! The body of a message as JSON, for `$body.…` (reference query-language §6.3). It is what content type and encoding
//! say, never what the bytes look like.

use std::fmt;

use serde_json::Value;

/// Why `$body.…` is undefined for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotJson {
    /// The content type is absent or another one than `application/json`.
    ContentType(Option<String>),
    /// The content encoding is absent or none of `utf-8`, `utf-16` and `utf-32`.
    ContentEncoding(Option<String>),
    /// The bytes are no text in that encoding.
    Bytes(String),
    /// The text is not JSON.
    Syntax(String),
}

#[derive(Debug, Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16,
    Utf32,
}

// ---------------------------------------------------------------------------------------------------------------

/// Reads the body of a message whose system properties `contentType` and `contentEncoding` are these. Parameters of the
/// type (`; charset=utf-8`) are passed over, case does not matter, and a byte order mark is no part of the text; two and
/// four byte encodings without one are little endian, as in .NET.
pub fn json_body(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<Value, NotJson> {
    let media = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/json") {
        return Err(NotJson::ContentType(content_type.map(str::to_owned)));
    }
    let name = content_encoding.unwrap_or_default().trim();
    let encoding = [
        ("utf-8", Encoding::Utf8),
        ("utf8", Encoding::Utf8),
        ("utf-16", Encoding::Utf16),
        ("utf-32", Encoding::Utf32),
    ]
    .into_iter()
    .find(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some((_, encoding)) = encoding else {
        return Err(NotJson::ContentEncoding(content_encoding.map(str::to_owned)));
    };
    let read = match encoding {
        Encoding::Utf8 => serde_json::from_slice(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body)),
        Encoding::Utf16 => serde_json::from_str(&utf16(body).ok_or_else(|| NotJson::Bytes(name.to_owned()))?),
        Encoding::Utf32 => serde_json::from_str(&utf32(body).ok_or_else(|| NotJson::Bytes(name.to_owned()))?),
    };
    read.map_err(|error| NotJson::Syntax(error.to_string()))
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType(None) => {
                f.write_str("the message has no content type; $body needs application/json")
            }
            Self::ContentType(Some(found)) => {
                write!(f, "the content type is {found:?}; $body needs application/json")
            }
            Self::ContentEncoding(None) => {
                f.write_str("the message has no content encoding; $body needs utf-8, utf-16 or utf-32")
            }
            Self::ContentEncoding(Some(found)) => {
                write!(f, "the content encoding is {found:?}; $body needs utf-8, utf-16 or utf-32")
            }
            Self::Bytes(encoding) => write!(f, "the body is no text in {encoding}"),
            Self::Syntax(problem) => write!(f, "the body is not JSON: {problem}"),
        }
    }
}

fn utf16(body: &[u8]) -> Option<String> {
    let (units, rest) = body.as_chunks::<2>();
    let big = units.first() == Some(&[0xFE, 0xFF]);
    let marked = usize::from(big || units.first() == Some(&[0xFF, 0xFE]));
    let units = units.iter().skip(marked);
    let units = units.map(|unit| if big { u16::from_be_bytes(*unit) } else { u16::from_le_bytes(*unit) });
    rest.is_empty().then(|| char::decode_utf16(units).collect::<Result<_, _>>().ok())?
}

fn utf32(body: &[u8]) -> Option<String> {
    let (units, rest) = body.as_chunks::<4>();
    let big = units.first() == Some(&[0, 0, 0xFE, 0xFF]);
    let marked = usize::from(big || units.first() == Some(&[0xFF, 0xFE, 0, 0]));
    let units = units.iter().skip(marked);
    let units = units.map(|unit| if big { u32::from_be_bytes(*unit) } else { u32::from_le_bytes(*unit) });
    rest.is_empty().then(|| units.map(char::from_u32).collect())?
}
