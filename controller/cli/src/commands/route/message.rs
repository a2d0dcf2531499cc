//! The file of a message for `hem route test`, and the message as a route sees it.
//!
//! A `body` that is a text is what the message carries, character by character; any other value is its JSON; `bodyBase64`
//! is its bytes. Whether `$body` can look inside is decided as the hub decides it, by content type and encoding. A file
//! that names neither means JSON.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hemline_query::route::{NotJson, RouteMessage, json_body, near_system_property, system_property};
use serde::Deserialize;
use serde_json::Value;

/// The file as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Written {
    #[serde(default)]
    properties: BTreeMap<String, Value>,
    #[serde(default)]
    system_properties: BTreeMap<String, Value>,
    body: Option<Value>,
    body_base64: Option<String>,
}

/// The message as a route sees it.
#[derive(Debug)]
pub(super) struct Message {
    source: String,
    properties: BTreeMap<String, Option<String>>,
    system: BTreeMap<String, String>,
    body: Result<Value, NotJson>,
    twin: Option<Value>,
    /// What is probably not meant in the file.
    pub(super) notes: Vec<String>,
}

impl Message {
    pub(super) fn new(written: Written, twin: Option<Value>) -> Result<Self, String> {
        let properties = written.properties.into_iter();
        let properties = properties
            .map(|(name, value)| Ok((name.clone(), scalar(&name, value)?)))
            .collect::<Result<_, _>>();
        let mut message = Self {
            source: String::new(),
            properties: properties.map_err(|why: String| why)?,
            system: BTreeMap::new(),
            body: Ok(Value::Null),
            twin,
            notes: Vec::new(),
        };
        for (name, value) in written.system_properties {
            message.add_system(&name, value)?;
        }
        message.source = match (message.system("connectionModuleId"), message.system("outputName")) {
            (None, _) => "/messages/".to_owned(),
            (Some(module), None) => format!("/messages/modules/{module}/"),
            (Some(module), Some(output)) => format!("/messages/modules/{module}/outputs/{output}/"),
        };
        message.body = message.read_body(written.body, written.body_base64)?;
        Ok(message)
    }

    /// Why `$body` is undefined, if it is.
    pub(super) fn no_body(&self) -> Option<&NotJson> {
        self.body.as_ref().err()
    }

    pub(super) fn has_twin(&self) -> bool {
        self.twin.is_some()
    }

    fn add_system(&mut self, written: &str, value: Value) -> Result<(), String> {
        let name = written.strip_prefix('$').unwrap_or(written);
        if system_property(name).is_none() {
            let near = near_system_property(name).map(|near| format!("; did you mean {near}?"));
            self.notes.push(format!("no hub sets a system property {written:?}{}", near.unwrap_or_default()));
        }
        // A system property without a value is one that is not there.
        if let Some(text) = scalar(written, value)? {
            self.system.insert(system_property(name).unwrap_or(name).to_owned(), text);
        }
        Ok(())
    }

    fn read_body(
        &self,
        body: Option<Value>,
        base64: Option<String>,
    ) -> Result<Result<Value, NotJson>, String> {
        let (mut kind, mut encoding) = (self.system("contentType"), self.system("contentEncoding"));
        if kind.is_none() && encoding.is_none() {
            (kind, encoding) = (Some("application/json"), Some("utf-8"));
        }
        let bytes = match (body, base64) {
            (Some(_), Some(_)) => return Err("body and bodyBase64 are two bodies; keep one".to_owned()),
            (None, None) => Vec::new(),
            (None, Some(base64)) => STANDARD
                .decode(base64.trim())
                .map_err(|error| format!("bodyBase64 is not base64: {error}"))?,
            (Some(Value::String(text)), None) => encoded(&text, encoding),
            (Some(value), None) => encoded(&value.to_string(), encoding),
        };
        Ok(json_body(kind, encoding, &bytes))
    }
}

/// A text in the encoding that the message names; UTF-8 where that is none we know.
fn encoded(text: &str, encoding: Option<&str>) -> Vec<u8> {
    let is = |name: &str| encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case(name));
    if is("utf-16") {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    } else if is("utf-32") {
        text.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect()
    } else {
        text.as_bytes().to_vec()
    }
}

fn scalar(name: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(_) | Value::Object(_) => Err(format!("the property {name:?} must be a text")),
    }
}

impl RouteMessage for Message {
    fn source(&self) -> &str {
        &self.source
    }

    fn property(&self, name: &str) -> Option<Option<&str>> {
        let mut known = self.properties.iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_deref())
    }

    fn system(&self, name: &str) -> Option<&str> {
        let mut known = self.system.iter();
        known.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn body(&self) -> Option<&Value> {
        self.body.as_ref().ok()
    }

    fn twin(&self) -> Option<&Value> {
        self.twin.as_ref()
    }
}
