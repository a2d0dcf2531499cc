//! The REST API as service SDKs use it.

use hemline_testkit::within;
use serde_json::{Value, json};

use super::world::{Rest, SOON, World, client_resource, token};

const V: &str = "api-version=2021-04-12";

#[tokio::test]
async fn a_device_from_creation_to_deletion() {
    let world = World::new().await;
    let rest = world.rest("iothubowner").await;
    let mut told = Vec::new();
    let mut note =
        |what: &str, answer: &super::world::Answer| told.push(format!("{what}: {}", answer.told()));
    let path = format!("/devices/press%2B1?{V}");
    let created = rest.send("PUT", &path, &[], Some(json!({"deviceId": "press+1", "starts": 1}))).await;
    note("create", &created);
    note("create again", &rest.send("PUT", &path, &[], Some(json!({}))).await);
    let etag = created.header("etag").unwrap();
    let disabled = json!({"status": "disabled", "statusReason": "repair"});
    note("update", &rest.send("PUT", &path, &[("if-match", etag)], Some(disabled)).await);
    note("read", &rest.send("GET", &path, &[], None).await);
    note("list", &rest.send("GET", &format!("/devices/?top=5&{V}"), &[], None).await);
    note("statistics", &rest.get("/statistics/devices").await);
    note("connected", &rest.get("/statistics/service").await);
    note("delete", &rest.send("DELETE", &path, &[("if-match", "*")], None).await);
    note("read after", &rest.send("GET", &path, &[], None).await);
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn an_edge_device_and_its_modules() {
    let world = World::new().await;
    let rest = world.rest("iothubowner").await;
    let mut told = Vec::new();
    let mut note =
        |what: &str, answer: &super::world::Answer| told.push(format!("{what}: {}", answer.told()));
    let edge = json!({"deviceId": "gate", "capabilities": {"iotEdge": true}});
    let gate = rest.send("PUT", &format!("/devices/gate?{V}"), &[], Some(edge)).await;
    note("edge device", &gate);
    let scope = gate.json()["deviceScope"].clone();
    let leaf = json!({"deviceScope": scope, "authentication": {"type": "selfSigned",
        "x509Thumbprint": {"primaryThumbprint": "A".repeat(40), "secondaryThumbprint": null}}});
    note("leaf", &rest.send("PUT", &format!("/devices/leaf?{V}"), &[], Some(leaf)).await);
    let module = json!({"moduleId": "filter", "deviceId": "gate", "managedBy": "hemline"});
    note("module", &rest.send("PUT", &format!("/devices/gate/modules/filter?{V}"), &[], Some(module)).await);
    note("modules", &rest.get("/devices/gate/modules").await);
    note("system module", &rest.get("/devices/gate/modules/%24edgeHub").await);
    note("no module", &rest.get("/devices/gate/modules/nothing").await);
    let gone = rest.send("DELETE", &format!("/devices/gate/modules/filter?{V}"), &[], None).await;
    note("module deleted", &gone);
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn if_match_in_all_its_forms() {
    let world = World::new().await;
    let rest = world.rest("iothubowner").await;
    let mut rows = Vec::new();
    for (verb, path, body) in [
        ("PUT", "/devices/x", Some(json!({}))),
        ("DELETE", "/devices/x", None),
        ("PATCH", "/twins/x", Some(json!({"tags": {"a": 1}}))),
        ("PUT", "/twins/x", Some(json!({"tags": {"a": 2}}))),
    ] {
        for state in ["absent", "present"] {
            for header in ["", "*", "\"*\"", "CURRENT", "\"CURRENT\"", "W/\"CURRENT\"", "\"other\""] {
                if state == "absent" && header.contains("CURRENT") {
                    continue;
                }
                rest.send("DELETE", &format!("/devices/x?{V}"), &[], None).await;
                let mut etag = String::new();
                if state == "present" {
                    rest.send("PUT", &format!("/devices/x?{V}"), &[], Some(json!({}))).await;
                    let found = rest.get(path).await;
                    etag = found.header("etag").unwrap().trim_matches('"').to_owned();
                }
                let value = header.replace("CURRENT", &etag);
                let headers = [("if-match", value.as_str())];
                let sent: &[(&str, &str)] = if header.is_empty() { &[] } else { &headers };
                let answer = rest.send(verb, &format!("{path}?{V}"), sent, body.clone()).await;
                let code = answer.header("iothub-errorcode").unwrap_or("");
                let header = if header.is_empty() { "-" } else { header };
                rows.push(
                    format!("{verb:6} {path} {state:7} {header:12} {} {code}", answer.status)
                        .trim_end()
                        .to_owned(),
                );
            }
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
    world.stop().await;
}

#[tokio::test]
async fn twins_over_rest() {
    let world = World::new().await;
    world.device("d", false).await;
    world.module("d/m").await;
    let rest = world.rest("service").await;
    let mut told = Vec::new();
    let mut note =
        |what: &str, answer: &super::world::Answer| told.push(format!("{what}: {}", answer.told()));
    let twin = format!("/twins/d?{V}");
    note("fresh", &rest.send("GET", &twin, &[], None).await);
    let patch = json!({"tags": {"site": "lyon"}, "properties": {"desired": {"a": {"b": 1}, "c": [1]}}});
    let patched = rest.send("PATCH", &twin, &[], Some(patch)).await;
    note("patched", &patched);
    // The CLI sends back everything it has read.
    let mut whole = patched.json();
    whole["properties"]["desired"]["a"] = Value::Null;
    note("whole twin", &rest.send("PATCH", &twin, &[], Some(whole)).await);
    let overridden = [("x-http-method-override", "PATCH")];
    let java = rest.send("POST", &twin, &overridden, Some(json!({"tags": {"java": true}}))).await;
    note("Java", &java);
    note("POST alone", &rest.send("POST", &twin, &[], Some(json!({}))).await);
    let module = rest
        .send("PATCH", &format!("/twins%2Fd%2fmodules%2Fm?{V}"), &[], Some(json!({"tags": {"x": 1}})))
        .await;
    note("module, Explorer's path", &module);
    let replaced = rest.send("PUT", &twin, &[], Some(json!({"properties": {"desired": {"only": 1}}}))).await;
    note("replaced", &replaced);
    note(
        "bad name",
        &rest.send("PATCH", &twin, &[], Some(json!({"properties": {"desired": {"a.b": 1}}}))).await,
    );
    note("not an object", &rest.send("PATCH", &twin, &[], Some(json!([1]))).await);
    note("unknown", &rest.get("/twins/nobody").await);
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn queries_in_pages() {
    let world = World::new().await;
    let rest = world.rest("iothubowner").await;
    for id in ["a", "b", "c", "query"] {
        world.device(id, false).await;
    }
    let path = format!("/devices/query?{V}");
    let text = json!({"query": "SELECT deviceId FROM devices"});
    let mut found = Vec::new();
    let mut continuation = String::new();
    let mut pages = 0;
    loop {
        let mut headers = vec![("x-ms-max-item-count", "2")];
        if !continuation.is_empty() {
            headers.push(("x-ms-continuation", &continuation));
        }
        let page = rest.send("POST", &path, &headers, Some(text.clone())).await;
        assert_eq!((page.status, page.header("x-ms-item-type")), (200, Some("Raw")), "{}", page.body);
        let rows = page.json().as_array().unwrap().clone();
        found.extend(rows.iter().map(|row| row["deviceId"].as_str().unwrap().to_owned()));
        pages += 1;
        match page.header("x-ms-continuation") {
            Some(token) => continuation = token.to_owned(),
            None => break,
        }
    }
    found.sort();
    assert_eq!(
        (found, pages),
        (["a", "b", "c", "query"].map(str::to_owned).to_vec(), 2),
        "no empty last page"
    );
    let all = rest
        .send(
            "POST",
            "/devices%2Fquery?api-version=2020-09-30",
            &[("x-ms-max-item-count", "-1")],
            Some(json!({"query": "SELECT * FROM devices WHERE deviceId = 'a'"})),
        )
        .await;
    assert_eq!((all.status, all.header("x-ms-item-type")), (200, Some("Twin")), "{}", all.body);
    assert_eq!(all.json().as_array().unwrap().len(), 1);
    // No jobs yet: an empty list in the right shape, and no page after it.
    let jobs = json!({"query": "SELECT * FROM devices.jobs WHERE devices.jobs.status = 'completed'"});
    let page = rest.send("POST", &path, &[("x-ms-max-item-count", "1")], Some(jobs)).await;
    assert_eq!((page.status, page.header("x-ms-item-type")), (200, Some("DeviceJob")), "{}", page.body);
    assert_eq!((page.json(), page.header("x-ms-continuation")), (json!([]), None));
    // A device may be called "query".
    assert_eq!(rest.get("/devices/query").await.status, 200);
    let mut told = Vec::new();
    for body in [json!({"query": "SELECT"}), json!({"query": ""}), json!({}), json!({"query": 7})] {
        told.push(format!("{body} {}", rest.send("POST", &path, &[], Some(body.clone())).await.told()));
    }
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn methods_over_rest() {
    let world = World::new().await;
    let key = world.device("d", false).await;
    let rest = world.rest("service").await;
    let body = json!({"methodName": "reboot", "payload": {"in": 5}, "responseTimeoutInSeconds": 5});
    let path = format!("/twins/d/methods?{V}");
    let mut told =
        vec![format!("offline: {}", rest.send("POST", &path, &[], Some(body.clone())).await.told())];
    let mut client = world.connect("d", &key).in_now().await;
    client.subscribe("$iothub/methods/POST/#").await;
    let serve = async {
        let call = client.message().await;
        assert_eq!(serde_json::from_slice::<Value>(&call.payload).unwrap(), json!({"in": 5}));
        let rid = call.topic.split_once("?$rid=").unwrap().1.to_owned();
        client.publish(&format!("$iothub/methods/res/-7/?$rid={rid}"), "[1]").await;
    };
    let (answer, ()) =
        within(SOON, "the method", async { tokio::join!(rest.send("POST", &path, &[], Some(body)), serve) })
            .await;
    told.push(format!("answered: {}", answer.told()));
    for (what, body) in [
        ("no name", json!({"payload": 1})),
        ("timeout out of range", json!({"methodName": "x", "responseTimeoutInSeconds": 1})),
        ("name too long", json!({"methodName": "x".repeat(101)})),
    ] {
        told.push(format!("{what}: {}", rest.send("POST", &path, &[], Some(body)).await.told()));
    }
    let unknown =
        rest.send("POST", &format!("/twins/nobody/methods?{V}"), &[], Some(json!({"methodName": "x"}))).await;
    told.push(format!("unknown: {}", unknown.told()));
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

/// As the SDKs' `invoke_method` calls in an edge environment: the module's own token, its name in a header, answers of
/// edgeHub (reference device-protocol §4.7).
#[tokio::test]
async fn a_module_calls_methods_of_its_neighbours() {
    let world = World::new().await;
    world.device("gate", true).await;
    world.device("far", true).await;
    let (caller, filter) = (world.module("gate/caller").await, world.module("gate/filter").await);
    let rest = world.rest_with(token(&client_resource("gate/caller"), &caller, None));
    let named = [("x-ms-edge-moduleId", "gate/caller")];
    let body = json!({"methodName": "reset", "payload": {"in": 5}, "responseTimeoutInSeconds": 5});
    let filter_path = "/twins/gate/modules/filter/methods";
    let mut told = Vec::new();
    let mut note =
        |what: &str, answer: &super::world::Answer| told.push(format!("{what}: {}", answer.told()));
    note("offline", &rest.send("POST", filter_path, &named, Some(body.clone())).await);

    let mut client = world.connect("gate/filter", &filter).in_now().await;
    client.subscribe("$iothub/methods/POST/#").await;
    // Node names no api-version, Python does; either may leave out what has a default.
    for (what, path, body, answered) in [
        ("answered", filter_path.to_owned(), body.clone(), "{\"out\":6}"),
        ("nothing to say", format!("{filter_path}?{V}"), json!({"methodName": "reset", "payload": null}), ""),
    ] {
        let serve = async {
            let call = client.message().await;
            let rid = call.topic.split_once("?$rid=").unwrap().1.to_owned();
            client.publish(&format!("$iothub/methods/res/207/?$rid={rid}"), answered).await;
        };
        let ask = rest.send("POST", &path, &named, Some(body));
        let (answer, ()) = within(SOON, "the method", async { tokio::join!(ask, serve) }).await;
        note(what, &answer);
    }
    for (what, path, body) in [
        ("device not there", "/twins/gate/methods", body.clone()),
        ("no such module", "/twins/gate/modules/nobody/methods", body.clone()),
        ("another edge device", "/twins/far/methods", body.clone()),
        ("not an id", "/twins/gate/modules/a%20b/methods", body.clone()),
        ("no name", filter_path, json!({"payload": 1})),
        ("name too long", filter_path, json!({"methodName": "x".repeat(101)})),
        ("response timeout", filter_path, json!({"methodName": "x", "responseTimeoutInSeconds": 4})),
        ("connect timeout", filter_path, json!({"methodName": "x", "connectTimeoutInSeconds": 301})),
        ("payload", filter_path, json!({"methodName": "x", "payload": "y".repeat(128 << 10)})),
        ("nothing", filter_path, Value::Null),
    ] {
        note(what, &rest.send("POST", path, &named, Some(body)).await);
    }
    note("no JSON", &rest.send_text("POST", filter_path, &named, Some("{".to_owned())).await);
    for (what, header) in [("not a module", "gate"), ("no id", "gate/"), ("another module", "gate/filter")] {
        let named = [("x-ms-edge-moduleId", header)];
        note(what, &rest.send("POST", filter_path, &named, Some(body.clone())).await);
    }
    note("unnamed", &rest.send("POST", &format!("{filter_path}?{V}"), &[], Some(body.clone())).await);
    let stranger = world.rest_with(token(&client_resource("gate/caller"), &filter, None));
    note("wrong key", &stranger.send("POST", filter_path, &named, Some(body.clone())).await);
    // Silence is answered after the shortest time that may be asked for.
    note("silent", &rest.send("POST", filter_path, &named, Some(body)).await);
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

#[tokio::test]
async fn refusals_that_have_nothing_to_do_with_the_operation() {
    let world = World::new().await;
    world.device("d", false).await;
    let rest = world.rest("iothubowner").await;
    let mut told = Vec::new();
    let mut note =
        |what: &str, answer: &super::world::Answer| told.push(format!("{what}: {}", answer.told()));
    note("no api-version", &rest.send("GET", "/devices/d", &[], None).await);
    note("empty api-version", &rest.send("GET", "/devices/d?api-version=", &[], None).await);
    note("no such path", &rest.get("/nowhere").await);
    note("no such verb", &rest.send("PATCH", &format!("/devices/d?{V}"), &[], None).await);
    note("bad id", &rest.get("/devices/a%20b").await);
    note("id that is not UTF-8", &rest.get("/devices/%ff").await);
    let put = format!("/devices/d?{V}");
    note("not JSON", &rest.send_text("PUT", &put, &[], Some("{".into())).await);
    note("no body", &rest.send("PUT", &put, &[], None).await);
    note("other id in the body", &rest.send("PUT", &put, &[], Some(json!({"deviceId": "e"}))).await);
    note("too large", &rest.send_text("PUT", &put, &[], Some(" ".repeat(600 << 10))).await);
    note("ours", &rest.get("/healthz").await);
    note("no token", &world.rest_with(String::new()).get("/devices/d").await);
    note("bearer", &world.rest_with("Bearer x".into()).get("/devices/d").await);
    insta::assert_snapshot!(told.join("\n\n"));
    world.stop().await;
}

async fn status(rest: &Rest, verb: &str, path: &str) -> String {
    let body = matches!(verb, "PUT" | "PATCH").then(|| json!({}));
    let answer = rest.send(verb, &format!("{path}?{V}"), &[("if-match", "*")], body).await;
    format!("{} {}", answer.status, answer.header("iothub-errorcode").unwrap_or(""))
}

#[tokio::test]
async fn who_may_do_what() {
    let world = World::new().await;
    let key = world.device("edge", true).await;
    let plain_key = world.device("plain", false).await;
    world.module("edge/m").await;
    let mut callers = Vec::new();
    for policy in ["iothubowner", "service", "device", "registryRead", "registryReadWrite"] {
        callers.push((policy, world.rest(policy).await));
    }
    callers.push(("edge device", world.rest_with(token(&client_resource("edge"), &key, None))));
    callers.push(("plain device", world.rest_with(token(&client_resource("plain"), &plain_key, None))));
    callers.push(("wrong key", world.rest_with(token(&client_resource("edge"), &plain_key, None))));
    let mut rows = Vec::new();
    for (who, rest) in &callers {
        for (verb, path) in [
            ("GET", "/devices/edge"),
            ("GET", "/devices/edge/modules"),
            ("PUT", "/devices/edge/modules/m"),
            ("GET", "/devices/plain"),
            ("PUT", "/devices/plain"),
            ("GET", "/twins/edge"),
            ("PATCH", "/twins/plain"),
        ] {
            rows.push(
                format!("{who:18} {verb:5} {path:24} {}", status(rest, verb, path).await)
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    insta::assert_snapshot!(rows.join("\n"));
    world.stop().await;
}
