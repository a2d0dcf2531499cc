//! Connection strings as tools print and SDKs read them (reference device-protocol §2.1).

use hemline_protocol::connection_string::{
    ClientConnectionString, ConnectionString, Credential, ServiceConnectionString,
};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

#[test]
fn what_is_read_is_printed_again() {
    for text in [
        format!("HostName=hub.local;DeviceId=d;SharedAccessKey={KEY}"),
        format!("HostName=hub.local;DeviceId=d;ModuleId=$edgeAgent;SharedAccessKey={KEY}"),
        format!("HostName=hub.local;DeviceId=d;SharedAccessKeyName=device;SharedAccessKey={KEY}"),
        "HostName=hub.local;DeviceId=d=e;x509=true".to_owned(),
        "HostName=hub.local;DeviceId=d;SharedAccessSignature=SharedAccessSignature sr=a&sig=b&se=1"
            .to_owned(),
        format!("HostName=hub.local;DeviceId=d;SharedAccessKey={KEY};GatewayHostName=gw.local"),
    ] {
        let parsed = ClientConnectionString::parse(&text).unwrap();
        assert_eq!(parsed.expose(), text);
        let shown = format!("{parsed:?}");
        assert!(!shown.contains(KEY) && !shown.contains("sig=b"), "{shown}");
        assert!(matches!(ConnectionString::parse(&text), Ok(ConnectionString::Client(_))));
    }
    let text = format!("HostName=hub.local:8443;SharedAccessKeyName=iothubowner;SharedAccessKey={KEY}");
    let parsed: ServiceConnectionString = text.parse().unwrap();
    assert_eq!(parsed.expose(), text);
    assert_eq!(parsed.policy, "iothubowner");
    assert!(!format!("{parsed:?}").contains(KEY));
    assert!(matches!(ConnectionString::parse(&text), Ok(ConnectionString::Service(_))));
}

#[test]
fn fields_in_any_order_with_a_trailing_semicolon() {
    let parsed =
        ClientConnectionString::parse(&format!("SharedAccessKey={KEY};DeviceId=d;HostName=hub.local;\n"))
            .unwrap();
    assert_eq!(parsed.client.to_string(), "d");
    assert!(matches!(parsed.credential, Credential::Key { policy: None, .. }));
}

#[test]
fn what_is_wrong_is_said_without_the_key() {
    let mut out = String::new();
    for text in [
        String::new(),
        "HostName=hub.local".to_owned(),
        format!("DeviceId=d;SharedAccessKey={KEY}"),
        "HostName=hub.local;DeviceId=d".to_owned(),
        "HostName=hub.local;DeviceId=d;SharedAccessKey=c2hvcnQ=".to_owned(),
        format!("HostName=hub.local;DeviceId=d/e;SharedAccessKey={KEY}"),
        format!("HostName=hub.local;DeviceId=d;DeviceId=e;SharedAccessKey={KEY}"),
        format!("Hostname=hub.local;DeviceId=d;SharedAccessKey={KEY}"),
        format!("HostName=hub.local;DeviceId=d;SharedAccessKey={KEY};oops"),
        format!("HostName=hub.local;SharedAccessKey={KEY}"),
    ] {
        let error = ConnectionString::parse(&text).unwrap_err().to_string();
        assert!(!error.contains(KEY));
        out.push_str(&format!("{}\n    {error}\n", text.replace(KEY, "<key>")));
    }
    insta::assert_snapshot!(out);
}
