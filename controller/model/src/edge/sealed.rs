//! A `Secret` document on its way to the devices: still encrypted, and with all of its values, because the proof that nobody
//! changed them is over all of them. The format is that of SOPS (getsops/sops, `aes/cipher.go` and `sops.go`).
//!
//! Not here: opening it (`agent`), and what is wrong with a document (`valid`).

use serde::{Deserialize, Serialize};

/// Most bytes of one piece: a text of a twin holds 4 096.
const PIECE: usize = 4000;

/// A document that was encrypted by SOPS for age keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sealed {
    /// The key of the document, encrypted for each recipient: armored age files.
    pub age: Vec<String>,
    /// The proof over all values, encrypted.
    pub mac: String,
    /// When it was encrypted, in the words of the document: the proof is bound to it.
    pub modified: String,
    /// The proof is over encrypted values only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mac_only_encrypted: bool,
    /// Every value of the document but `sops`, in the order in which they are written.
    pub values: Vec<SealedValue>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue(
    /// The names that lead to it.
    pub Vec<String>,
    /// Encrypted, or in clear as the proof counts it: truth values as `True` and `False`.
    pub String,
);

/// A secret that a module wants, as it stands in the twin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Name of the document.
    pub name: String,
    /// The text of a [`Sealed`], in pieces that a twin can hold.
    pub sealed: Vec<String>,
}

/// How the value of an entry is to be read when it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// As Base64.
    Base64,
}

/// The parts of an encrypted value, each in Base64 but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encrypted<'a> {
    /// What was encrypted.
    pub data: &'a str,
    /// The nonce.
    pub iv: &'a str,
    /// The authentication tag.
    pub tag: &'a str,
    /// What the value was: `str`, `int`, `float`, `bool`, `bytes`.
    pub kind: &'a str,
}

impl<'a> Encrypted<'a> {
    /// Takes `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]` apart. `None` when it is something else.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("ENC[AES256_GCM,data:")?.strip_suffix(']')?;
        let (data, rest) = rest.split_once(",iv:")?;
        let (iv, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        let base64 = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
            part.len().is_multiple_of(4) && part.bytes().all(plain)
        };
        let sound = base64(data) && base64(iv) && base64(tag) && !iv.is_empty() && !tag.is_empty();
        let word = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (sound && word).then_some(Self { data, iv, tag, kind })
    }

    /// Does the text look as if it was meant to be one, whole or cut?
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("ENC[")
    }
}

impl Sealed {
    /// The value of a key, and how to read it when it is open.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<(&SealedValue, Form)> {
        let below = |section: &str| {
            self.values.iter().find(
                |SealedValue(path, _)| matches!(path.as_slice(), [one, two] if one == section && two == key),
            )
        };
        let text = below("stringData").map(|value| (value, Form::Text));
        text.or_else(|| below("data").map(|value| (value, Form::Base64)))
    }

    /// As it travels.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Structs of texts always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The way back of [`Self::to_text`].
    ///
    /// # Errors
    /// What the JSON lacks; nothing of its content.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|why| format!("line {} column {}", why.line(), why.column()))
    }
}

impl SealedSecret {
    /// From the text of a [`Sealed`].
    #[must_use]
    pub fn new(name: impl Into<String>, mut text: &str) -> Self {
        let mut sealed = Vec::new();
        while !text.is_empty() {
            let end = (0..=PIECE.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
            let (piece, rest) = text.split_at(end.unwrap_or(text.len()));
            sealed.push(piece.to_owned());
            text = rest;
        }
        Self { name: name.into(), sealed }
    }

    /// The document.
    ///
    /// # Errors
    /// When it is not one.
    pub fn open(&self) -> Result<Sealed, String> {
        Sealed::parse(&self.sealed.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_values_are_told_from_others() {
        let parts = Encrypted::parse("ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]");
        assert_eq!(parts, Some(Encrypted { data: "YWJj", iv: "AAAA", tag: "BBBB", kind: "str" }));
        for broken in [
            "",
            "secret",
            "ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str",
            "ENC[AES256_GCM,data:YWJj,iv:AAAA,type:str]",
            "ENC[AES256_GCM,data:YWJ,iv:AAAA,tag:BBBB,type:str]",
            "ENC[AES256_GCM,data:YW j,iv:AAAA,tag:BBBB,type:str]",
            "ENC[AES256_GCM,data:YWJj,iv:,tag:BBBB,type:str]",
            "ENC[AES256_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:]",
            "ENC[AES128_GCM,data:YWJj,iv:AAAA,tag:BBBB,type:str]",
        ] {
            assert_eq!(Encrypted::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_document_travels_in_pieces_that_a_twin_holds() {
        let value = |section: &str, key: &str, text: &str| {
            SealedValue(vec![section.to_owned(), key.to_owned()], text.to_owned())
        };
        let sealed = Sealed {
            age: vec!["-----BEGIN AGE ENCRYPTED FILE-----\nä".repeat(300)],
            mac: "ENC[…]".to_owned(),
            modified: "2026-01-02T03:04:05Z".to_owned(),
            mac_only_encrypted: true,
            values: vec![value("data", "a", "1"), value("stringData", "a", "2"), value("data", "b", "3")],
        };
        let secret = SealedSecret::new("cam", &sealed.to_text());
        assert!(secret.sealed.len() > 2 && secret.sealed.iter().all(|piece| piece.len() <= 4096));
        assert_eq!(secret.open().unwrap(), sealed);
        assert_eq!(sealed.entry("a").unwrap(), (&value("stringData", "a", "2"), Form::Text));
        assert_eq!(sealed.entry("b").unwrap(), (&value("data", "b", "3"), Form::Base64));
        assert_eq!(sealed.entry("c"), None);
        assert!(SealedSecret::new("cam", "{}").open().is_err());
    }
}
