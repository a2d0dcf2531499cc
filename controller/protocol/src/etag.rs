//! ETags: how counters look on the wire, and what an `If-Match` header asks for (reference service-api §3.1).

use base64::{Engine, engine::general_purpose::STANDARD};

/// Etag of an identity: base64 of the decimal counter, without quotes.
#[must_use]
pub fn identity(counter: u64) -> String {
    STANDARD.encode(counter.to_string())
}

/// Etag of a twin: base64 of the counter as eight big-endian bytes, without quotes.
#[must_use]
pub fn twin(counter: u64) -> String {
    STANDARD.encode(counter.to_be_bytes())
}

/// An etag as the `ETag` header wants it.
#[must_use]
pub fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// What an `If-Match` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// No header.
    Absent,
    /// `*`, with or without quotes.
    Any,
    /// This etag, without quotes and without `W/`.
    Etag(String),
}

impl Condition {
    /// Reads the header: `*`, `"*"`, `"x"`, `x` and `W/"x"` are all in use.
    #[must_use]
    pub fn parse(header: Option<&str>) -> Self {
        let Some(text) = header.map(str::trim).filter(|text| !text.is_empty()) else {
            return Self::Absent;
        };
        let text = text.strip_prefix("W/").unwrap_or(text);
        let bare = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        match bare {
            "*" => Self::Any,
            etag => Self::Etag(etag.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(identity(1), "MQ==");
        assert_eq!(twin(1), "AAAAAAAAAAE=");
        assert_eq!(quoted("MQ=="), "\"MQ==\"");
        let etag = Condition::Etag("MQ==".into());
        for (header, expected) in [
            (None, Condition::Absent),
            (Some(""), Condition::Absent),
            (Some("*"), Condition::Any),
            (Some("\"*\""), Condition::Any),
            (Some("\"MQ==\""), etag.clone()),
            (Some("MQ=="), etag.clone()),
            (Some("W/\"MQ==\""), etag),
        ] {
            assert_eq!(Condition::parse(header), expected, "{header:?}");
        }
    }
}
