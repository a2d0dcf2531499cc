//! Error bodies, byte for byte what SDKs parse (reference service-api §3.2, §4.5).

use std::collections::BTreeSet;

use hemline_protocol::{
    error::{ErrorCode, ErrorDocument, connect_timeout_info},
    method::MethodRequest,
};
use serde_json::json;

#[test]
fn the_three_bodies() {
    let document = ErrorDocument {
        code: ErrorCode::DeviceNotOnline,
        message: "Timed out waiting for device to connect.",
        tracking: "7",
        at: "2024-05-01T10:20:30.1234567Z".parse().unwrap(),
    };
    assert_eq!(
        document.rest(),
        json!({
            "Message": "ErrorCode:DeviceNotOnline;Timed out waiting for device to connect.",
            "ExceptionMessage": "Tracking ID:7-TimeStamp:05/01/2024 10:20:30",
        })
    );
    let body = document.method(&connect_timeout_info(65));
    assert_eq!(body["ExceptionMessage"], "");
    let inner: serde_json::Value = serde_json::from_str(body["Message"].as_str().unwrap()).unwrap();
    assert_eq!(
        inner,
        json!({
            "errorCode": 404_103,
            "trackingId": "7-TimeStamp:05/01/2024 10:20:30",
            "message": "Timed out waiting for device to connect.",
            "info": {"timeout": "00:01:05"},
            "timestampUtc": "2024-05-01T10:20:30.1234567Z",
        })
    );
    assert_eq!(document.twin()["errorCode"], 404_103);
}

#[test]
fn codes_are_consistent() {
    let numbers: BTreeSet<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
    assert_eq!(numbers.len(), ErrorCode::ALL.len(), "a number is used twice");
    for code in ErrorCode::ALL {
        assert_eq!(code.number() / 1000, u32::from(code.status()), "{}", code.name());
    }
}

#[test]
fn method_requests_of_old_and_new_clients() {
    let new: MethodRequest = serde_json::from_value(
        json!({"methodName": "m", "payload": null, "responseTimeoutInSeconds": 10, "connectTimeoutInSeconds": 5}),
    )
    .unwrap();
    assert_eq!(
        (new.response_timeout_in_seconds, new.connect_timeout_in_seconds, new.payload),
        (Some(10), Some(5), None)
    );
    let old: MethodRequest =
        serde_json::from_value(json!({"methodName": "m", "timeoutInSeconds": 10})).unwrap();
    assert_eq!(old.response_timeout_in_seconds, Some(10));
}
