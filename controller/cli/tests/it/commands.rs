//! Messages to a device that never comes, with nothing but `hem`: what is said, what waits, what expires, what is refused.

use std::fs;

use serde_json::json;

use crate::hem::Hem;

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-1}
";

fn up() -> Hem {
    let hem = Hem::up(&[("fleet.yaml", FLEET)]);
    hem.eventually("the device is in the registry", |hem| {
        (hem.json(&["get", "devices"]).as_array().map(Vec::len) == Some(1)).then_some(())
    });
    hem
}

/// Exit code and what stands on standard error.
fn refusal(hem: &Hem, arguments: &[&str]) -> String {
    let output = hem.command(arguments).output().expect("hem starts");
    assert!(output.stdout.is_empty(), "{arguments:?} printed {:?}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    format!("{} {}", output.status.code().expect("an exit code"), said.trim())
}

#[test]
fn messages_that_nobody_takes() {
    let hem = up();
    assert_eq!(hem.text(&["message", "feedback"]), "no feedback; messages ask for it with --ack\n");
    let said = hem.text(&["message", "send", "meter-1", "--body", "hi", "--message-id", "m-1"]);
    assert!(said.starts_with("stored as m-1; meter-1 can take it until 20"), "{said}");
    let bytes = hem.fleet().join("../body.bin");
    fs::write(&bytes, [0xff, 0x00]).expect("a writable folder");
    let path = bytes.to_string_lossy();
    let sent = hem.json(&["message", "send", "meter-1", "--body-file", &path, "--expiry", "2h"]);
    assert!(sent["messageId"].as_str().is_some_and(|id| id.len() == 36), "{sent}");
    hem.text(&["message", "send", "meter-1", "--expiry", "1s", "--ack", "negative", "--message-id", "brief"]);
    let told = hem.eventually("the brief one to expire", |hem| {
        let told = hem.json(&["message", "feedback"]);
        told.as_array().is_some_and(|rows| !rows.is_empty()).then_some(told)
    });
    assert_eq!(told[0]["messageId"], "brief");
    assert_eq!(told[0]["status"], "Expired");
    assert_eq!(hem.json(&["twin", "get", "meter-1"])["cloudToDeviceMessageCount"], 2);
    assert_eq!(hem.text(&["message", "purge", "meter-1"]), "2 messages for meter-1 are gone\n");
    assert_eq!(hem.json(&["message", "purge", "meter-1"]), json!({"deviceId": "meter-1", "purged": 0}));
}

#[test]
fn what_is_refused_says_why() {
    let hem = up();
    for _ in 0..50 {
        hem.text(&["message", "send", "meter-1"]);
    }
    let send = |rest: &[&str]| refusal(&hem, &[&["message", "send"], rest].concat());
    let told = [
        send(&["nobody", "--body", "hi"]),
        send(&["meter-1"]),
        send(&["meter-1", "--property", "no-value"]),
        send(&["meter-1", "--expiry", "soon"]),
        send(&["meter-1", "--expiry", "2099-01-01T00:00:00Z"]),
        send(&["meter-1", "--message-id", "two words"]),
        send(&["meter-1", "--body-file", "/no/such/file"]),
        refusal(&hem, &["message", "purge", "nobody"]),
    ];
    insta::assert_snapshot!(told.join("\n\n"));
}
