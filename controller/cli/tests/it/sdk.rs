//! The unchanged Azure SDKs: Python over MQTT, Node over HTTPS; connection string and certificate authority, nothing else.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    hem::{Hem, eventually},
    readers::{npm, script, script_in},
    script::{PATIENCE, Script, program, python},
};

const FLEET: &str = "\
apiVersion: hemline.dev/v1alpha1
kind: Device
metadata: {name: meter-1}
spec:
  tags: {site: lyon}
  desired: {interval: 30}
";

/// A Python script of `tests/sdk`.
fn start(python: &Path, name: &str, arguments: &[&str], environment: &[(&str, &Path)]) -> Script {
    let mut command = Command::new(python);
    Script::start(command.arg("-u").arg(program(name)).args(arguments).envs(environment.iter().copied()))
}

pub(crate) fn start_client(python: &Path, hem: &Hem, connection_string: &str, transport: &str) -> Script {
    let ca = hem.ca_file();
    let own = [ca.with_file_name("device.pem"), ca.with_file_name("device.key")];
    let own = own.each_ref().map(|path| path.to_string_lossy());
    let arguments = [connection_string.trim(), &ca.to_string_lossy(), transport, &own[0], &own[1]];
    start(python, "client.py", &arguments, &[])
}

pub(crate) fn start_service(python: &Path, hem: &Hem) -> Script {
    let mut owner = hem.text(&["connection-string", "--policy", "iothubowner"]).trim().to_owned();
    // REST clients take a port; needed only where 443 is not allowed.
    let port = hem.https_port();
    let name = format!("HostName={}", hem.address());
    if port != 443 && owner.starts_with(&format!("{name};")) {
        owner = owner.replacen(&name, &format!("{name}:{port}"), 1);
    }
    let ca = hem.ca_file();
    start(python, "service.py", &[&owner], &[("REQUESTS_CA_BUNDLE", ca.as_path())])
}

fn up() -> Hem {
    let hem = Hem::up(&[("fleet.yaml", FLEET)]);
    hem.eventually("the device is in the registry", |hem| {
        hem.command(&["connection-string", "--device", "meter-1"])
            .output()
            .ok()?
            .status
            .success()
            .then_some(())
    });
    hem
}

/// Everything a client does in a working day, then a restart of the hub under its feet, then the same again.
fn a_day_of(hem: &mut Hem, python: &Path, device: &str, module: Option<&str>, transport: &str) {
    let mut whose = vec!["connection-string", "--device", device];
    whose.extend(module.iter().flat_map(|module| ["--module", *module]));
    let connection_string = hem.text(&whose);
    let mut client = start_client(python, hem, &connection_string, transport);
    let mut service = start_service(python, hem);
    let identity: Vec<&str> = std::iter::once(device).chain(module).collect();
    let twin = |hem: &Hem| hem.json(&[&["twin", "get"], identity.as_slice()].concat());

    client.ask(&json!({"do": "connect"}));
    client.event("connected", |event| event["connected"] == true);
    client.ask(&json!({"do": "watch"}));

    // Twin: read, report, be told. The documents say nothing of these properties, so the controller leaves them.
    service.call("desired", &json!([device, module, {"pace": 20, "nested": {"a": 1}}]));
    let patch = client.event("the desired patch", |event| event["event"] == "desired");
    assert_eq!(patch["patch"]["pace"], 20);
    assert!(patch["patch"]["$version"].as_u64() > Some(1), "{patch}");
    let seen = client.ask(&json!({"do": "twin"}));
    assert_eq!(seen["desired"]["pace"], 20);
    assert_eq!(seen["desired"]["nested"], json!({"a": 1}));
    assert!(seen["reported"]["$version"].is_u64(), "{seen}");
    client.ask(&json!({"do": "report", "patch": {"firmware": "1.0", "gone": null}}));
    assert_eq!(twin(hem)["properties"]["reported"]["firmware"], "1.0");
    service.call("desired", &json!([device, module, {"nested": null}]));
    let patch = client.event("the deletion", |event| event["event"] == "desired");
    assert_eq!(patch["patch"]["nested"], Value::Null);

    // Method.
    let answer = service.call("invoke", &json!([device, module, "reboot", {"delay": 3}]));
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(answer["payload"], json!({"echo": {"delay": 3}}));
    let called = client.event("the method", |event| event["event"] == "method");
    assert_eq!(called["name"], "reboot");

    // Telemetry.
    client.ask(&json!({"do": "send", "body": {"n": 1}, "properties": {"kind": "first day", "ö": "%&="}}));
    let mut messages = hem.messages(&[device, "--from-start", "--count", "1"]);
    let message = messages.next().expect("a message");
    assert_eq!(message["deviceId"], device);
    assert_eq!(message.get("moduleId").and_then(Value::as_str), module);
    assert_eq!(message["body"], json!({"n": 1}), "{message}");
    assert_eq!(message["properties"], json!({"kind": "first day", "ö": "%&="}));
    assert_eq!(messages.next(), None, "--count 1 means one");

    if module.is_none() {
        commands(hem, &mut client, device);
    }

    // The hub dies and comes back. The client must find it again and its subscriptions must still hold:
    // this SDK never sends SUBSCRIBE a second time.
    hem.kill();
    client.event("disconnected", |event| event["connected"] == false);
    hem.start_again();
    client.event("connected again by itself", |event| event["connected"] == true);
    let mut service = start_service(python, hem);
    service.call("desired", &json!([device, module, {"pace": 10}]));
    client.event("a desired patch after the restart", |event| event["patch"]["pace"] == 10);
    if module.is_none() {
        hem.text(&["message", "send", device, "--body", "after the restart"]);
        client.event("a message after the restart", |event| event["body"] == "after the restart");
    }
    let answer = service.call("invoke", &json!([device, module, "again", null]));
    assert_eq!(answer["status"], 200, "{answer}");
    client.event("a method after the restart", |event| event["name"] == "again");
    let seen = client.ask(&json!({"do": "twin"}));
    assert_eq!(seen["reported"]["firmware"], "1.0", "{seen}");
    client.ask(&json!({"do": "send", "body": {"n": 2}}));
    let mut messages = hem.messages(&[device, "--from-start", "--count", "2"]);
    let bodies: Vec<Value> = std::iter::from_fn(|| messages.next()).map(|mut m| m["body"].take()).collect();
    assert_eq!(bodies, [json!({"n": 1}), json!({"n": 2})]);
    client.ask(&json!({"do": "shutdown"}));
}

/// Messages to the device: with everything that they may carry, while it is away, and while the hub is dead.
fn commands(hem: &mut Hem, client: &mut Script, device: &str) {
    let mut send = vec!["message", "send", device, "--body", "turn left", "--message-id", "m-1"];
    send.extend(["--correlation-id", "c/1", "--content-type", "text/plain", "--content-encoding", "utf-8"]);
    send.extend([
        "--property",
        "kind=first day",
        "--property",
        "ö=%&=+",
        "--property",
        "empty=",
        "--ack",
        "full",
    ]);
    hem.text(&send);
    let mut message = client.event("the message", |event| event["event"] == "message");
    let expires = message["expires"].take();
    assert!(expires.as_str().is_some_and(|time| time.ends_with('Z')), "{expires}");
    assert_eq!(
        message,
        json!({
            "event": "message", "body": "turn left", "id": "m-1", "correlation": "c/1", "ack": "full",
            "type": "text/plain", "encoding": "utf-8", "expires": null,
            "properties": {"kind": "first day", "ö": "%&=+", "empty": ""},
        })
    );
    hem.text(&["message", "send", device]);
    client.event("an empty message", |event| event["event"] == "message" && event["body"] == "");
    let told = hem.eventually("feedback", |hem| {
        let told = hem.json(&["message", "feedback"]);
        told.as_array().is_some_and(|rows| !rows.is_empty()).then_some(told)
    });
    assert_eq!((&told[0]["messageId"], &told[0]["status"]), (&json!("m-1"), &json!("Success")), "{told}");
    assert_eq!(hem.json(&["message", "feedback"]), json!([]), "told once");

    // Away: messages wait, can be dropped, and arrive later without a second subscription.
    let leave = |client: &mut Script| {
        client.ask(&json!({"do": "disconnect"}));
        client.event("gone", |event| event["connected"] == false);
    };
    leave(client);
    hem.text(&["message", "send", device, "--body", "dropped", "--ack", "negative", "--message-id", "m-2"]);
    assert_eq!(hem.json(&["message", "purge", device])["purged"], 1);
    assert_eq!(hem.json(&["message", "feedback", "--keep"])[0]["status"], "Purged");
    assert_eq!(hem.json(&["message", "feedback"])[0]["messageId"], "m-2", "kept");
    hem.text(&["message", "send", device, "--body", "later", "--expiry", "10m"]);
    assert_eq!(hem.json(&["twin", "get", device])["cloudToDeviceMessageCount"], 1);
    client.ask(&json!({"do": "connect"}));
    client.event("what waited", |event| event["body"] == "later");
    hem.eventually("the queue is empty", |hem| {
        (hem.json(&["twin", "get", device])["cloudToDeviceMessageCount"] == 0).then_some(())
    });

    // What was accepted outlives the hub.
    leave(client);
    hem.text(&["message", "send", device, "--body", "waited", "--property", "n=1"]);
    hem.kill();
    hem.start_again();
    assert_eq!(hem.json(&["twin", "get", device])["cloudToDeviceMessageCount"], 1);
    client.ask(&json!({"do": "connect"}));
    let message = client.event("what waited through the restart", |event| event["body"] == "waited");
    assert_eq!(message["properties"], json!({"n": "1"}));
}

#[test]
fn device_client() {
    let Some(python) = python() else { return };
    let mut hem = up();
    a_day_of(&mut hem, &python, "meter-1", None, "mqtt");
}

/// A certificate of its own, and how it is written into a document.
fn certificate(name: &str, by: Option<&rcgen::Issuer<'_, rcgen::KeyPair>>) -> (String, String, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let made = match by {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    let made = made.expect("a certificate");
    let chain = [made.der().clone()];
    let read = hemline_hub::x509::DeviceAuthorities::default().examine(&chain, jiff::Timestamp::now());
    (made.pem(), key.serialize_pem(), read.expect("a certificate").sha1)
}

/// A whole day with a certificate known by its thumbprint, then another device whose certificate an authority below a
/// registered one has signed, and a third that has somebody else's.
#[test]
fn device_client_with_a_certificate() {
    let Some(python) = python() else { return };
    let (pem, key, thumbprint) = certificate("any name", None);
    let fleet = format!(
        "{FLEET}  auth: {{type: selfSigned, primaryThumbprint: {thumbprint}}}\n---\n{}",
        FLEET.replace("meter-1", "meter-2") + "  auth: {type: certificateAuthority}\n"
    );
    let mut hem = Hem::up(&[("fleet.yaml", &fleet)]);
    hem.eventually("the devices are in the registry", |hem| {
        let asked = hem.command(&["connection-string", "--device", "meter-2"]).output().ok()?;
        asked.status.success().then_some(())
    });
    let own = hem.ca_file();
    let shows = |pem: &str, key: &str| {
        std::fs::write(own.with_file_name("device.pem"), pem).expect("a writable folder");
        std::fs::write(own.with_file_name("device.key"), key).expect("a writable folder");
    };
    shows(&pem, &key);
    a_day_of(&mut hem, &python, "meter-1", None, "mqtt");

    let (root_key, line_key) = (rcgen::KeyPair::generate(), rcgen::KeyPair::generate());
    let (root_key, line_key) = (root_key.expect("a key"), line_key.expect("a key"));
    let authority = |name: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params
    };
    let root_pem = authority("plant").self_signed(&root_key).expect("a certificate").pem();
    let root = rcgen::Issuer::new(authority("plant"), root_key);
    let line_pem = authority("line 1").signed_by(&line_key, &root).expect("a certificate").pem();
    let line = rcgen::Issuer::new(authority("line 1"), line_key);
    let folder = hem.data().join(hemline_hub::device_ca::FOLDER);
    std::fs::create_dir(&folder).expect("a new folder");
    std::fs::write(folder.join("plant.pem"), root_pem).expect("a writable folder");

    let connection_string = hem.text(&["connection-string", "--device", "meter-2"]);
    let (pem, key, _) = certificate("meter-2", Some(&line));
    shows(&(pem + &line_pem), &key);
    // The folder is looked at every few seconds, and to this SDK a refusal is final.
    hem.eventually("the authority counts", |hem| {
        let mut client = start_client(&python, hem, &connection_string, "mqtt");
        let answer = client.answer(&json!({"do": "connect"}));
        if answer.get("failure").is_some() {
            return None;
        }
        client.ask(&json!({"do": "send", "body": {"n": 1}}));
        client.ask(&json!({"do": "shutdown"}));
        Some(())
    });
    let message = hem.messages(&["meter-2", "--from-start", "--count", "1"]).next().expect("a message");
    assert_eq!((&message["deviceId"], &message["body"]), (&json!("meter-2"), &json!({"n": 1})), "{message}");

    let (pem, key, _) = certificate("meter-1", Some(&line));
    shows(&(pem + &line_pem), &key);
    let mut client = start_client(&python, &hem, &connection_string, "mqtt");
    let answer = client.answer(&json!({"do": "connect"}));
    let failure = answer["failure"].as_str().expect("a failure");
    assert!(failure.contains("CredentialError"), "{failure}");
}

/// The same through a WebSocket on the port of HTTPS.
#[test]
fn device_client_over_a_websocket() {
    let Some(python) = python() else { return };
    let mut hem = up();
    // The SDK knows no other port.
    if !hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports") {
        return;
    }
    a_day_of(&mut hem, &python, "meter-1", None, "websockets");
}

/// The SDK for Node over HTTPS: telemetry alone and in batches, and messages completed, rejected and given back.
#[test]
fn http_client() {
    let Some(npm) = npm() else { return };
    let hem = up();
    // The SDK knows no other port.
    if !hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports") {
        return;
    }
    for body in ["complete", "reject", "later"] {
        let mut send = vec!["message", "send", "meter-1", "--body", body, "--message-id", body];
        send.extend(["--ack", "full", "--correlation-id", "c", "--property", "kind=first day"]);
        hem.text(&send);
    }
    let connection_string = hem.text(&["connection-string", "--device", "meter-1"]);
    let ca = hem.ca_file();
    let arguments = [connection_string.trim(), &ca.to_string_lossy()];
    let (held, said) = script(&npm, "http_client.mjs", &arguments, "");
    assert!(held, "{said}");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let settled = |body: &str, verb: &str| {
        json!({
            "body": body, "verb": verb, "id": body, "correlation": "c",
            "to": "/devices/meter-1/messages/devicebound", "properties": [["iothub-app-kind", "first day"]],
        })
    };
    assert_eq!(lines.first(), Some(&json!({"sent": 3})), "{said}");
    for expected in [
        settled("complete", "complete"),
        settled("reject", "reject"),
        settled("later", "abandon"),
        settled("later", "complete"),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in {said}");
    }
    let told = hem.json(&["message", "feedback"]);
    let mut told: Vec<String> = told
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| format!("{} {}", row["messageId"], row["status"]))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [r#""complete" "Success""#, r#""later" "Success""#, r#""reject" "Rejected""#]);
    let mut messages = hem.messages(&["meter-1", "--from-start", "--count", "3"]);
    let messages: Vec<Value> = std::iter::from_fn(|| messages.next()).collect();
    assert_eq!(messages[0]["body"], json!({"n": 1}), "{messages:?}");
    assert_eq!(messages[0]["properties"], json!({"kind": "first day"}));
    assert_eq!(messages[0]["systemProperties"]["contentType"], "application/json");
    assert_eq!((&messages[1]["body"], &messages[2]["body"]), (&json!("two"), &json!("three")));
}

/// Files from the SDKs for Python and Node, each with the storage SDK of its own, and what an operator sees of them.
#[test]
fn files_are_uploaded() {
    let (Some(python), Some(npm)) = (python(), npm()) else { return };
    let mut hem = up();
    // The SDKs know no other port.
    if !hemline_testkit::require("port 443", hem.https_port() == 443, "run as root, or allow low ports") {
        return;
    }
    let connection_string = hem.text(&["connection-string", "--device", "meter-1"]);
    let mut client = start_client(&python, &hem, &connection_string, "mqtt");
    client.ask(&json!({"do": "connect"}));
    for (name, size, blocks) in [("small.txt", 100, false), ("logs/2026/large ü.bin", 3_000_001, true)] {
        let done = client.ask(&json!({"do": "upload", "name": name, "size": size, "blocks": blocks}));
        assert_eq!(
            done,
            json!({
                "blob": format!("meter-1/{name}"), "same": true, "size": size, "etag": true,
                "refused": "BlobAlreadyExists",
            })
        );
    }
    client.ask(&json!({"do": "shutdown"}));
    let ca = hem.ca_file();
    let arguments = [connection_string.trim(), &ca.to_string_lossy(), "node/blocks.bin", "9000000"];
    // The storage SDK inside takes no authority from the options (reference device-protocol §1.2).
    let trust = [("NODE_EXTRA_CA_CERTS", ca.as_path())];
    let (held, said) = script_in(&npm, "upload.mjs", &arguments, "", &trust);
    assert!(held, "{said}");

    // It dies; files and what is told of them outlive it.
    hem.kill();
    hem.start_again();
    let rows = hem.json(&["file", "list"]);
    let listed: Vec<(&str, u64)> = rows
        .as_array()
        .expect("a list")
        .iter()
        .map(|row| (row["name"].as_str().expect("a name"), row["bytes"].as_u64().expect("a size")))
        .collect();
    assert_eq!(
        listed,
        [("logs/2026/large ü.bin", 3_000_001), ("node/blocks.bin", 9_000_000), ("small.txt", 100)],
        "{rows}"
    );
    assert_eq!(hem.json(&["file", "list", "nobody"]), json!([]));
    assert!(hem.text(&["file", "list", "meter-1"]).contains("small.txt"));
    assert_eq!(hem.text(&["file", "get", "meter-1", "small.txt", "--to", "-"]).len(), 100);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let to = folder.path().join("large.bin");
    let to_text = to.to_string_lossy();
    let get = ["file", "get", "meter-1", "logs/2026/large ü.bin", "--to", &to_text];
    hem.text(&get);
    let content = std::fs::read(&to).expect("it is there");
    let line = b"0123456789abcde\n";
    assert!(content.len() == 3_000_001 && content.chunks(16).all(|chunk| line.starts_with(chunk)));
    let refused = hem.command(&get).output().expect("it runs");
    assert_eq!(refused.status.code(), Some(64), "it is there already: {refused:?}");
    hem.text(&[&get[..], &["--force"]].concat());
    hem.text(&["file", "delete", "meter-1", "small.txt"]);
    let gone = hem.command(&["file", "get", "meter-1", "small.txt", "--to", "-"]).output().expect("it runs");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("there is no such file"), "{gone:?}");
}

#[test]
fn module_client() {
    let Some(python) = python() else { return };
    let mut hem = up();
    let mut service = start_service(&python, &hem);
    // Made by the service, in no document: it must not be taken away either.
    service.call("create_module_with_sas", &json!(["meter-1", "reader", "a person", null, null]));
    a_day_of(&mut hem, &python, "meter-1", Some("reader"), "mqtt");
    let modules = start_service(&python, &hem).call("get_modules", &json!(["meter-1"]));
    assert_eq!(modules[0]["module_id"], "reader", "{modules}");
}

#[test]
fn service_client_registry() {
    let Some(python) = python() else { return };
    let hem = up();
    let mut service = start_service(&python, &hem);

    let made = service.call("create_device_with_sas", &json!(["gate-1", null, null, "enabled"]));
    assert_eq!(made["device_id"], "gate-1");
    assert_eq!(made["status"], "enabled");
    let primary = made["authentication"]["symmetric_key"]["primary_key"].as_str().expect("a key").to_owned();
    assert!(primary.len() >= 40, "{primary}");
    let read = service.call("get_device", &json!(["gate-1"]));
    assert_eq!(read["generation_id"], made["generation_id"]);
    assert_eq!(read["connection_state"], "Disconnected");
    let again =
        service.answer(&json!({"do": "create_device_with_sas", "args": ["gate-1", null, null, "enabled"]}));
    assert_eq!(again["status"], 409, "{again}");
    let secondary = made["authentication"]["symmetric_key"]["secondary_key"].as_str().expect("a key");
    let updated = service
        .call("update_device_with_sas", &json!(["gate-1", made["etag"], primary, secondary, "disabled"]));
    assert_eq!(updated["status"], "disabled");
    let stale = service.answer(
        &json!({"do": "update_device_with_sas", "args": ["gate-1", "AAAAAAAAAAAA", primary, secondary, "enabled"]}),
    );
    assert_eq!(stale["status"], 412, "{stale}");

    let module = service.call("create_module_with_sas", &json!(["gate-1", "door", "", null, null]));
    assert_eq!(module["module_id"], "door");
    assert_eq!(service.call("get_modules", &json!(["gate-1"])).as_array().map(Vec::len), Some(1));
    assert_eq!(service.call("get_module", &json!(["gate-1", "door"]))["device_id"], "gate-1");

    let twin = service.call("tags", &json!(["gate-1", {"site": "lyon", "floor": 2}]));
    assert_eq!(twin["tags"], json!({"site": "lyon", "floor": 2}));
    let twin = service.call("desired", &json!(["gate-1", "door", {"open": true}]));
    assert_eq!(twin["properties"]["desired"]["open"], true);
    let twin = service.call("get_module_twin", &json!(["gate-1", "door"]));
    assert_eq!(twin["properties"]["desired"]["open"], true, "{twin}");
    let stale = service.answer(&json!({"do": "desired", "args": ["gate-1", null, {"x": 1}, "AAAAAAAAAAAA"]}));
    assert_eq!(stale["status"], 412, "{stale}");

    let ids = |found: &Value, field: &str| -> Vec<String> {
        let mut ids: Vec<String> = found["items"]
            .as_array()
            .unwrap_or_else(|| panic!("no items: {found}"))
            .iter()
            .map(|item| item[field].as_str().unwrap_or_else(|| panic!("no {field}: {item}")).to_owned())
            .collect();
        ids.sort_unstable();
        ids
    };
    let found = service.call("query", &json!(["SELECT * FROM devices WHERE tags.site = 'lyon'"]));
    assert_eq!(ids(&found, "device_id"), ["gate-1", "meter-1"]);
    let found =
        service.call("query", &json!(["SELECT * FROM devices WHERE tags.floor > 1 AND status = 'disabled'"]));
    assert_eq!(ids(&found, "device_id"), ["gate-1"]);
    let found = service.call("query", &json!(["SELECT * FROM devices.modules WHERE deviceId = 'gate-1'"]));
    assert_eq!(ids(&found, "module_id"), ["door"]);
    let wrong = service.answer(&json!({"do": "query", "args": ["SELECT * FORM devices"]}));
    assert_eq!(wrong["status"], 400, "{wrong}");

    let nobody = service.answer(&json!({"do": "invoke", "args": ["meter-1", null, "reboot", {}]}));
    assert_eq!(nobody["status"], 404, "a method on a device that is not connected: {nobody}");

    service.call("delete_module", &json!(["gate-1", "door"]));
    service.call("delete_device", &json!(["gate-1"]));
    let gone = service.answer(&json!({"do": "get_device", "args": ["gate-1"]}));
    assert_eq!(gone["status"], 404, "{gone}");
    eventually(PATIENCE, "the CLI sees the same registry", || {
        (hem.json(&["get", "devices"]).as_array().map(Vec::len) == Some(1)).then_some(())
    });
}
