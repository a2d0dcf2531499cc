//! Properties of messages as HTTP headers (reference device-protocol §4.2, §8).
//!
//! Header names arrive in lower case, whatever the client wrote. Not here: what the messages are for.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use hemline_protocol::properties::{Properties, SystemProperties, keep_last};

/// What stands before the name of an application property.
const APPLICATION: &str = "iothub-app-";

/// Reads the properties of one message from headers, or from what stands for them in a batch. Those that are no property are
/// passed over; of equal ones the last counts.
pub(crate) fn read_all<N: AsRef<str>>(headers: impl IntoIterator<Item = (N, String)>) -> Properties {
    let mut properties = Properties::default();
    for (name, value) in headers {
        read_one(&mut properties, name.as_ref(), value);
    }
    keep_last(&mut properties.application);
    properties
}

fn read_one(properties: &mut Properties, name: &str, value: String) {
    let lower = name.to_ascii_lowercase();
    if let Some(slot) = slot(&mut properties.system, &lower) {
        *slot = Some(value);
    } else if lower.starts_with(APPLICATION) {
        let name = name.get(APPLICATION.len()..).unwrap_or_default();
        if !name.is_empty() {
            properties.application.push((name.to_owned(), Some(value)));
        }
    }
}

/// Reads the properties of one message from the headers of a request.
pub(crate) fn read(headers: &HeaderMap) -> Properties {
    read_all(headers.iter().map(|(name, value)| (name, text(value))))
}

/// Writes the properties of a message that a device receives.
pub(crate) fn write(headers: &mut HeaderMap, properties: &Properties) {
    let SystemProperties {
        message_id,
        correlation_id,
        user_id,
        to: _, // whoever answers says where it goes
        expiry,
        content_type,
        content_encoding,
        output_name: _, // of modules
        creation_time,
        message_schema,
        interface_id,
        component,
        connection_device_id: _, // of what devices send
        connection_module_id: _,
        message_type: _,
        ack,
        other: _, // keys of topics that have no header
    } = &properties.system;
    for (name, value) in [
        ("iothub-messageid", message_id),
        ("iothub-correlationid", correlation_id),
        ("iothub-userid", user_id),
        ("iothub-expiry", expiry),
        ("iothub-contenttype", content_type),
        ("iothub-contentencoding", content_encoding),
        // The names that the Azure CLI reads (reference service-api §6).
        ("contenttype", content_type),
        ("contentencoding", content_encoding),
        ("iothub-creationtimeutc", creation_time),
        ("iothub-messageschema", message_schema),
        ("iothub-interface-id", interface_id),
        ("dt-subject", component),
        ("iothub-ack", ack),
    ] {
        if let Some(value) = value {
            put(headers, name, value);
        }
    }
    for (name, value) in &properties.application {
        put(headers, &format!("{APPLICATION}{}", token(name)), value.as_deref().unwrap_or_default());
    }
}

/// Adds one header. What a header cannot carry is percent-encoded.
pub(super) fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    let carried = value.bytes().all(|byte| byte >= b' ' && byte != 0x7f) && value.trim() == value;
    let value = if carried { HeaderValue::from_bytes(value.as_bytes()) } else { encoded(value).parse() };
    if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), value) {
        headers.append(name, value);
    }
}

fn text(value: &HeaderValue) -> String {
    // Node writes Latin-1 where it can, others UTF-8.
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// A name as RFC 9110 wants it: what is no token character is percent-encoded.
fn token(name: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    percent(name, allowed)
}

fn encoded(value: &str) -> String {
    percent(value, |byte| byte > b' ' && byte < 0x7f && byte != b'%')
}

fn percent(text: &str, stays: impl Fn(u8) -> bool) -> String {
    let one = |byte: u8| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

fn slot<'a>(system: &'a mut SystemProperties, name: &str) -> Option<&'a mut Option<String>> {
    Some(match name {
        "iothub-messageid" => &mut system.message_id,
        "iothub-correlationid" => &mut system.correlation_id,
        "iothub-userid" => &mut system.user_id,
        "iothub-to" => &mut system.to,
        "iothub-expiry" => &mut system.expiry,
        "iothub-contenttype" => &mut system.content_type,
        "iothub-contentencoding" => &mut system.content_encoding,
        "iothub-creationtimeutc" => &mut system.creation_time,
        "iothub-messageschema" => &mut system.message_schema,
        "iothub-interface-id" => &mut system.interface_id,
        "dt-subject" => &mut system.component,
        "iothub-ack" => &mut system.ack,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("iothub-messageid", "m 1"),
            ("iothub-app-Kind", "first day"),
            ("iothub-app-ü", "x"),
            ("iothub-app-", "no name"),
            ("dt-subject", "part"),
            ("user-agent", "none of ours"),
            ("iothub-app-tab", "a\tb"),
        ] {
            if let Ok(name) = HeaderName::from_str(name) {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        headers.insert("iothub-app-latin", HeaderValue::from_bytes(b"\xfc").unwrap());
        headers.insert("iothub-app-utf8", HeaderValue::from_bytes("ü".as_bytes()).unwrap());
        let mut read = read(&headers);
        read.application.sort();
        read.application.push(("a b:c".into(), None));
        read.application.push(("line".into(), Some("1\n2 %".into())));
        read.application.push(("padded".into(), Some(" x ".into())));
        let mut written = HeaderMap::new();
        write(&mut written, &read);
        let mut told: Vec<String> =
            written.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
        told.sort();
        insta::assert_snapshot!(format!("{read:#?}\n\n{}", told.join("\n")));
    }
}
