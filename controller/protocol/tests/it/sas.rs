//! Tokens as SDKs encode them. The signatures were made with another implementation (Python's hmac).

use hemline_protocol::sas::{SasError, SasToken, SymmetricKey};
use jiff::Timestamp;

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn key() -> SymmetricKey {
    SymmetricKey::from_base64(KEY).unwrap()
}

#[test]
fn tokens_of_others() {
    for (name, token, policy, host, path) in [
        (
            "Python device",
            "SharedAccessSignature sr=hub.local%2Fdevices%2Fdev%2B1&sig=zwTpsfcsIScn8Lco53gYixKEUhzGG4Ytb1gyQlHt3b4%3D&se=1893456000",
            None,
            "hub.local",
            "devices/dev+1",
        ),
        (
            "lower-case escapes",
            "SharedAccessSignature sr=hub.local%2fdevices%2fdev&sig=gxOW9cKV8Ce7lwIkhNeWJMQWbaXII%2fraeyRjqM8lrzE%3d&se=1893456000",
            None,
            "hub.local",
            "devices/dev",
        ),
        (
            "Node service, other order",
            "SharedAccessSignature sr=hub.local&sig=WTq9QueJsd7%2BfBz3nV5CB8fUA7a3IOjCOJ6TIqgBRWI%3D&skn=iothubowner&se=1893456000",
            Some("iothubowner"),
            "hub.local",
            "",
        ),
        (
            "Python service with port",
            "SharedAccessSignature sr=hub.local%3A8443&sig=c%2F8w9jxnPNx1A5NPennXRkMd7pym39GCb5MTovJA5fc%3D&se=1893456000&skn=iothubowner",
            Some("iothubowner"),
            "hub.local",
            "",
        ),
        (
            "event hub client with scheme",
            "SharedAccessSignature sr=sb%3A%2F%2FHUB.local%2Fmessages%2Fevents&sig=1QxGxQ8h%2b2F9%2bUWI2nFiuVkRBiXEa1j6FgR5dlS9JBU%3d&se=1893456000&skn=iothubowner",
            Some("iothubowner"),
            "hub.local",
            "messages/events",
        ),
        (
            "old .NET with api-version",
            "SharedAccessSignature sr=hub.local%2Fdevices%2Fdev%2Fapi-version%3D2016-11-14&sig=fsIuaVXTl4CANG1%2FLluoOWgXBH4w9vtOxO3i6C1SKWY%3D&se=1893456000",
            None,
            "hub.local",
            "devices/dev",
        ),
    ] {
        let token = SasToken::parse(token).expect(name);
        assert!(token.verify(&key()), "{name}");
        assert!(!token.verify(&SymmetricKey::from_bytes(vec![0; 32]).unwrap()), "{name}");
        assert_eq!(token.policy(), policy, "{name}");
        assert_eq!(
            (token.resource().host(), token.resource().path().join("/").as_str()),
            (host, path),
            "{name}"
        );
        assert_eq!(token.expiry(), Timestamp::from_second(1_893_456_000).unwrap());
        assert!(!format!("{token:?}").contains("sig"), "{name} shows its signature");
    }
}

#[test]
fn own_tokens_are_verified() {
    let expiry = Timestamp::from_second(1_893_456_000).unwrap();
    let text =
        SasToken::sign(&key(), "hub.local/devices/a+b%c/modules/$edgeAgent", expiry, Some("my policy"));
    let token = SasToken::parse(&text).unwrap();
    assert!(token.verify(&key()));
    assert_eq!(token.policy(), Some("my policy"));
    assert!(token.resource().covers(&["devices", "a+b%c", "modules", "$edgeAgent"]));
    assert!(token.resource().covers(&["devices", "a+b%c", "modules", "$edgeAgent", "messages"]));
    assert!(!token.resource().covers(&["devices", "a+b%c"]));
    assert!(!token.resource().covers(&["devices", "a+b%c", "modules", "$edgeagent"]));
    assert!(token.resource().host_is_one_of(&["HUB.LOCAL".to_owned()]));
    assert!(!token.resource().host_is_one_of(&["other.local".to_owned()]));
}

#[test]
fn a_changed_token_is_refused() {
    let expiry = Timestamp::from_second(1_893_456_000).unwrap();
    let text = SasToken::sign(&key(), "hub.local/devices/d", expiry, None);
    for changed in
        [text.replace("1893456000", "1893456001"), text.replace("%2Fd&", "%2Fe&"), text.replace("hub", "hib")]
    {
        assert_ne!(changed, text);
        assert!(!SasToken::parse(&changed).unwrap().verify(&key()), "{changed}");
    }
}

#[test]
fn what_is_no_token() {
    for (text, expected) in [
        ("", SasError::Shape),
        ("Bearer abc", SasError::Shape),
        ("SharedAccessSignature", SasError::Shape),
        ("SharedAccessSignature sr=h sig=x", SasError::Shape),
        ("SharedAccessSignature sig=AA%3D%3D&se=1", SasError::Missing("sr")),
        ("SharedAccessSignature sr=&sig=AA%3D%3D&se=1", SasError::Missing("sr")),
        ("SharedAccessSignature sr=h&se=1", SasError::Missing("sig")),
        ("SharedAccessSignature sr=h&sig=AA%3D%3D", SasError::Missing("se")),
        ("SharedAccessSignature sr=h&sig=AA%3D%3D&se=soon", SasError::Expiry),
        ("SharedAccessSignature sr=h&sig=!&se=1", SasError::Signature),
    ] {
        assert_eq!(SasToken::parse(text).unwrap_err(), expected, "{text}");
    }
    assert!(
        SasToken::parse(&format!("SharedAccessSignature sr={}&sig=AA%3D%3D&se=1", "h".repeat(5000))).is_err()
    );
    // Beyond the end of time is "never".
    let never = SasToken::parse(&format!("SharedAccessSignature sr=h&sig=AA%3D%3D&se={}", i64::MAX)).unwrap();
    assert_eq!(never.expiry(), Timestamp::MAX);
}

#[test]
fn keys() {
    assert_eq!(key().expose_base64(), KEY);
    assert_eq!(format!("{:?}", key()), "***");
    assert_eq!(SymmetricKey::from_base64("not base64!").unwrap_err(), SasError::Key);
    assert_eq!(SymmetricKey::from_base64("c2hvcnQ=").unwrap_err(), SasError::KeyLength(5));
    assert_eq!(SymmetricKey::from_bytes(vec![0; 65]).unwrap_err(), SasError::KeyLength(65));
}
