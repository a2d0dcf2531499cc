//! Which bodies are JSON (reference query-language §6.3).

use hemline_query::route::{NotJson, json_body};
use serde_json::json;

const JSON: Option<&str> = Some("application/json");

fn wide(text: &str, big: bool) -> Vec<u8> {
    let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
    text.encode_utf16().flat_map(unit).collect()
}

fn very_wide(text: &str, big: bool) -> Vec<u8> {
    let unit = |character: char| {
        let code = u32::from(character);
        if big { code.to_be_bytes() } else { code.to_le_bytes() }
    };
    text.chars().flat_map(unit).collect()
}

#[test]
fn every_encoding_is_read() {
    let text = "{\"t\":\"ü😀\"}";
    let marked = format!("\u{feff}{text}");
    for (encoding, body) in [
        ("utf-8", text.as_bytes().to_vec()),
        ("UTF-8", marked.as_bytes().to_vec()),
        ("utf8", text.as_bytes().to_vec()),
        (" utf-8 ", text.as_bytes().to_vec()),
        ("utf-16", wide(text, false)),
        ("UTF-16", wide(&marked, false)),
        ("utf-16", wide(&marked, true)),
        ("utf-32", very_wide(text, false)),
        ("utf-32", very_wide(&marked, false)),
        ("Utf-32", very_wide(&marked, true)),
    ] {
        assert_eq!(json_body(JSON, Some(encoding), &body), Ok(json!({"t": "ü😀"})), "{encoding}");
    }
    for kind in ["Application/JSON", "application/json; charset=utf-8", " application/json "] {
        assert_eq!(json_body(Some(kind), Some("utf-8"), b"1"), Ok(json!(1)), "{kind}");
    }
}

#[test]
fn everything_else_is_not() {
    let no_type = |found: Option<&str>| NotJson::ContentType(found.map(str::to_owned));
    let no_encoding = |found: Option<&str>| NotJson::ContentEncoding(found.map(str::to_owned));
    let bytes = |name: &str| NotJson::Bytes(name.to_owned());
    for (kind, encoding, body, why) in [
        (None, Some("utf-8"), b"{}".as_slice(), no_type(None)),
        (Some(""), Some("utf-8"), b"{}", no_type(Some(""))),
        (Some("text/json"), Some("utf-8"), b"{}", no_type(Some("text/json"))),
        (JSON, None, b"{}", no_encoding(None)),
        (JSON, Some("ascii"), b"{}", no_encoding(Some("ascii"))),
        (JSON, Some("utf-16"), b"{} ", bytes("utf-16")),
        (JSON, Some("utf-16"), b"\0\xD8", bytes("utf-16")),
        (JSON, Some("utf-32"), b"{}{}{", bytes("utf-32")),
        (JSON, Some("utf-32"), b"\0\0\x11\xFF", bytes("utf-32")),
    ] {
        assert_eq!(json_body(kind, encoding, body), Err(why));
    }
    for body in [b"".as_slice(), b"{", b"\xFF", b"{} {}", &b"[".repeat(200_000)] {
        assert!(matches!(json_body(JSON, Some("utf-8"), body), Err(NotJson::Syntax(_))));
    }
}
