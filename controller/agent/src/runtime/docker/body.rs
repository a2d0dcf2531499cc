//! The ContainerCreate body of a module: what the author wrote, plus what makes it a module. Pure.
//!
//! Rules: reference edge-runtime §3.8. The author's createOptions pass through untouched, unknown members included;
//! member names are matched as the engine matches them, without regard to case.

use serde_json::{Map, Value, json};

use super::Owner;
use crate::module::{ContainerSpec, ModuleSpec, member, network_mode};

/// Label that IoT Edge tools look for.
pub(super) const OWNER_LABEL: &str = "net.azure-devices.edge.owner";
/// Its value.
pub(super) const OWNER: &str = "Microsoft.Azure.Devices.Edge.Agent";
/// The image as written, before the engine resolves it.
pub(super) const ORIGINAL_IMAGE_LABEL: &str = "net.azure-devices.edge.original-image";
/// Spec hash.
pub(super) const SPEC_LABEL: &str = "dev.hemline.spec";
/// Device id.
pub(super) const DEVICE_LABEL: &str = "dev.hemline.device";
/// Hub name.
pub(super) const HUB_LABEL: &str = "dev.hemline.hub";
/// Module name.
pub(super) const MODULE_LABEL: &str = "dev.hemline.module";

/// Network of modules that name none.
pub(super) const NETWORK: &str = "azure-iot-edge";

/// Where a container finds its workload socket. The folder is mounted, not the socket: a restarted agent makes a new
/// socket, and a mounted one would still be the old.
const SOCKET_FOLDER: &str = "/var/run/iotedge";

/// Where a container goes.
pub(super) struct Place<'a> {
    /// Whose it is.
    pub(super) owner: &'a Owner,
    /// Its name in the engine.
    pub(super) name: &'a str,
    /// Id of our network, when the author names none.
    pub(super) network: Option<&'a str>,
    /// What the engine wants in a hosts file for this host.
    pub(super) host: &'a str,
    /// Is the hub on this host? Any other one a container finds as this host does.
    pub(super) hub_is_here: bool,
    /// Would the engine write a log without end when nobody says otherwise?
    pub(super) unbounded_logs: bool,
}

/// How much log a container keeps when neither its author nor the engine says: as much as a process module.
const LOG_FILE: &str = "10m";
const LOG_FILES: &str = "3";

/// Makes the body.
pub(super) fn create_body(spec: &ModuleSpec, container: &ContainerSpec, place: &Place<'_>) -> Value {
    let mut body = container.create_options.clone();
    let line = gateway_line(container, place.host).filter(|_| place.hub_is_here);
    set(&mut body, "Image", Value::String(container.image.clone()));
    let env = merged_env(member(&body, "Env"), &spec.whole_env());
    set(&mut body, "Env", env);
    change(&mut body, "Labels", |labels| {
        for (label, value) in [
            (OWNER_LABEL, OWNER),
            (ORIGINAL_IMAGE_LABEL, container.image.as_str()),
            (SPEC_LABEL, spec.hash.as_str()),
            (DEVICE_LABEL, place.owner.device.as_str()),
            (HUB_LABEL, place.owner.hub.as_str()),
            (MODULE_LABEL, spec.key.name.as_str()),
        ] {
            labels.insert(label.to_owned(), Value::from(value));
        }
    });
    change(&mut body, "HostConfig", |host| {
        push(host, "Binds", format!("{}:{SOCKET_FOLDER}", container.socket_dir.display()));
        if let Some(line) = line.filter(|_| !knows_host(host, &container.gateway)) {
            push(host, "ExtraHosts", line);
        }
        if place.unbounded_logs && !says_how_to_log(host) {
            let config = json!({ "max-size": LOG_FILE, "max-file": LOG_FILES });
            set(host, "LogConfig", json!({ "Type": "json-file", "Config": config }));
        }
    });
    if let Some(network) = place.network {
        let endpoint =
            if place.name == spec.key.name { json!({}) } else { json!({ "Aliases": [spec.key.name] }) };
        change(&mut body, "NetworkingConfig", |networking| {
            set(networking, "EndpointsConfig", json!({ network: endpoint }));
        });
    }
    if network_mode(&container.create_options) == Some("host") {
        // Azure's examples for the host's network name it here once more. Docker reads nothing from that, and Podman refuses it.
        body.retain(|name, _| !name.eq_ignore_ascii_case("NetworkingConfig"));
    }
    Value::Object(body)
}

/// Does the author leave the network to us?
pub(super) fn needs_network(options: &Map<String, Value>) -> bool {
    let endpoints = member(options, "NetworkingConfig")
        .and_then(Value::as_object)
        .and_then(|networking| member(networking, "EndpointsConfig"))
        .and_then(Value::as_object);
    let free = network_mode(options).is_none_or(|mode| mode.is_empty() || mode == "default");
    free && endpoints.is_none_or(Map::is_empty)
}

/// A `LogConfig` without a type and without options says nothing.
fn says_how_to_log(host: &Map<String, Value>) -> bool {
    let Some(config) = member(host, "LogConfig").and_then(Value::as_object) else { return false };
    let kind = member(config, "Type").and_then(Value::as_str).is_some_and(|kind| !kind.is_empty());
    let options =
        member(config, "Config").and_then(Value::as_object).is_some_and(|options| !options.is_empty());
    kind || options
}

/// A text as a container name: other characters become `-`.
pub(super) fn container_name(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '-' }).collect()
}

/// What stands in a container's hosts file for its gateway. On the host's own network that is where the host itself dials it:
/// nobody listens on the address of a bridge when nothing else is on that. Without a network it could lead nowhere, and into
/// the hosts file of another container engines refuse to write.
fn gateway_line(container: &ContainerSpec, host: &str) -> Option<String> {
    let name = Some(&container.gateway).filter(|name| is_dns_name(name))?;
    match network_mode(&container.create_options) {
        Some("none") => None,
        Some(mode) if mode.starts_with("container:") => None,
        Some("host") => {
            let address: std::net::IpAddr = container.host_gateway.parse().ok()?;
            Some(format!("{name}:{address}"))
        }
        Some(_) | None => Some(format!("{name}:{host}")),
    }
}

/// A name that a container has to be told, because only the host's network knows it.
fn is_dns_name(gateway: &str) -> bool {
    gateway.parse::<std::net::IpAddr>().is_err() && !gateway.eq_ignore_ascii_case("localhost")
}

fn knows_host(host: &Map<String, Value>, name: &str) -> bool {
    let lines = member(host, "ExtraHosts").and_then(Value::as_array).into_iter().flatten();
    lines.filter_map(Value::as_str).any(|line| line.split([':', '=']).next() == Some(name))
}

/// Ours first, then the author's; where both name a variable, the author's stays.
fn merged_env(authors: Option<&Value>, ours: &[(String, String)]) -> Value {
    let authors: Vec<Value> = authors.and_then(Value::as_array).cloned().unwrap_or_default();
    let name = |line: &Value| line.as_str().and_then(|line| line.split('=').next()).map(str::to_owned);
    let taken: Vec<String> = authors.iter().filter_map(name).collect();
    let free = ours.iter().filter(|(name, _)| !taken.contains(name));
    let lines = free.map(|(name, value)| Value::String(format!("{name}={value}")));
    Value::Array(lines.chain(authors).collect())
}

// === Members without regard to case ===

fn spelled(map: &Map<String, Value>, name: &str) -> Option<String> {
    if map.contains_key(name) {
        return Some(name.to_owned());
    }
    map.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned()
}

fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    let key = spelled(map, name).unwrap_or_else(|| name.to_owned());
    map.insert(key, value);
}

/// Changes a member that is an object; one that is absent, `null` or of another type is made an empty one first.
fn change(map: &mut Map<String, Value>, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let key = spelled(map, name).unwrap_or_else(|| name.to_owned());
    let mut inner = match map.remove(&key) {
        Some(Value::Object(inner)) => inner,
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | None => {
            Map::new()
        }
    };
    change(&mut inner);
    map.insert(key, Value::Object(inner));
}

fn push(map: &mut Map<String, Value>, name: &str, line: String) {
    let mut lines = member(map, name).and_then(Value::as_array).cloned().unwrap_or_default();
    lines.push(Value::String(line));
    set(map, name, Value::Array(lines));
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::module::{ModuleKey, ModuleKind, PullPolicy, SpecBody};

    fn body(options: &Value, gateway: &str, name: &str) -> Value {
        body_for(options, gateway, name, true)
    }

    fn body_for(options: &Value, gateway: &str, name: &str, hub_is_here: bool) -> Value {
        let container = ContainerSpec {
            image: "registry.example/camera:1".to_owned(),
            create_options: options.as_object().cloned().unwrap(),
            pull: PullPolicy::OnCreate,
            credential: None,
            socket_dir: PathBuf::from("/run/hem/camera"),
            gateway: gateway.to_owned(),
            host_gateway: "127.0.0.1".to_owned(),
        };
        let env = [("A", "manifest"), ("IOTEDGE_MODULEID", "camera")];
        let spec = ModuleSpec {
            key: ModuleKey { kind: ModuleKind::Docker, name: "camera".to_owned() },
            hash: "abc".to_owned(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            traits: std::collections::BTreeMap::new(),
            secret_env: Vec::new(),
            health: None,
            body: SpecBody::Container(container.clone()),
        };
        let owner = Owner { device: "press-07".to_owned(), hub: "hub.local".to_owned() };
        let network = needs_network(&container.create_options).then_some("network-id");
        let host = "host-gateway";
        let place = Place { owner: &owner, name, network, host, hub_is_here, unbounded_logs: true };
        create_body(&spec, &container, &place)
    }

    fn pretty(body: &Value) -> String {
        serde_json::to_string_pretty(body).unwrap()
    }

    #[test]
    fn bare_options_get_everything() {
        insta::assert_snapshot!(pretty(&body(&json!({}), "hub.local", "camera")));
    }

    #[test]
    fn what_the_author_wrote_stays() {
        let options = json!({
            "env": ["A=author", "B=2"],
            "HostConfig": {"Binds": ["/data:/data"], "ExtraHosts": ["hub.local:10.0.0.1"], "Madeup": {"Deep": [1, null]}},
            "StopTimeout": 3, "Unknown": true, "Labels": {"site": "lyon"},
        });
        insta::assert_snapshot!(pretty(&body(&options, "hub.local", "camera.press-07")));
    }

    #[test]
    fn logs_are_bounded_unless_the_author_speaks_of_them() {
        let bounded = json!({"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}});
        let journal = json!({"Type": "journald"});
        let small = json!({"Config": {"max-size": "1m"}});
        for (said, expected) in [
            (json!({}), &bounded),
            (json!({"LogConfig": null}), &bounded),
            (json!({"logconfig": {"Type": "", "Config": {}}}), &bounded),
            (json!({"LogConfig": journal}), &journal),
            (json!({"LogConfig": small}), &small),
        ] {
            let made = body(&json!({"HostConfig": said}), "10.0.0.1", "camera");
            let host = made["HostConfig"].as_object().unwrap();
            assert_eq!(member(host, "LogConfig"), Some(expected), "{said}");
        }
    }

    #[test]
    fn the_gateway_has_a_name_wherever_the_container_is() {
        for (mode, expected) in [
            (json!(null), json!(["hub.local:host-gateway"])),
            (json!("bridge"), json!(["hub.local:host-gateway"])),
            (json!("press-net"), json!(["hub.local:host-gateway"])),
            (json!("host"), json!(["hub.local:127.0.0.1"])),
            (json!("none"), json!(null)),
            (json!("container:camera"), json!(null)),
        ] {
            let made = body(&json!({"hostconfig": {"networkMode": mode}}), "hub.local", "camera");
            assert_eq!(made["hostconfig"]["ExtraHosts"], expected, "{mode}");
        }
        let elsewhere = body_for(&json!({}), "hub.example", "camera", false);
        assert_eq!(elsewhere["HostConfig"]["ExtraHosts"], json!(null), "a hub elsewhere is not this host");
        let own = json!({"HostConfig": {"NetworkMode": "host", "ExtraHosts": ["hub.local:10.0.0.1"]}});
        assert_eq!(
            body(&own, "hub.local", "camera")["HostConfig"]["ExtraHosts"],
            json!(["hub.local:10.0.0.1"])
        );
    }

    #[test]
    fn own_network_is_left_alone() {
        for options in [
            json!({"HostConfig": {"NetworkMode": "host"}}),
            json!({"NetworkingConfig": {"EndpointsConfig": {"mine": {}}}}),
        ] {
            let made = body(&options, "10.0.0.1", "camera");
            assert_eq!(made.get("NetworkingConfig"), options.get("NetworkingConfig"));
            assert_eq!(made.pointer("/HostConfig/ExtraHosts"), None);
        }
        let named_twice = json!({
            "HostConfig": {"NetworkMode": "host"}, "networkingConfig": {"EndpointsConfig": {"host": {}}}
        });
        assert_eq!(body(&named_twice, "10.0.0.1", "camera").get("networkingConfig"), None);
    }
}
