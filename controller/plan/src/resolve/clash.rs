//! What containers of one device take from each other: ports, paths and names. Only layering shows it, because the two may
//! come from deployments that do not know of each other.

use std::{borrow::Cow, collections::BTreeMap};

use hemline_model::{
    Severity,
    engine::{
        member,
        mount::{Mounted, mounted},
        port::{Published, published},
    },
};
use serde_json::{Map, Value};

use super::{
    fault::{Fault, Place},
    tree::Tree,
};
use crate::desired::object;

/// Ports of the host on which the edge hub waits for the devices below it (reference edge-runtime §5.1).
const HUB_PORTS: [(u16, &str); 3] = [(443, "HTTPS and WebSocket"), (5671, "AMQP"), (8883, "MQTT")];

struct Container<'a> {
    name: &'a str,
    options: &'a Map<String, Value>,
    stopped: bool,
}

/// All clashes of a merged config and its modules.
pub(super) fn find(tree: &Tree<'_>, modules: &[(&str, Cow<'_, Map<String, Value>>)]) -> Vec<Fault> {
    let containers: Vec<Container<'_>> = modules
        .iter()
        .filter(|(_, module)| module.get("type").and_then(Value::as_str) != Some("process"))
        .map(|(name, module)| Container {
            name,
            options: object(module, "createOptions"),
            stopped: module.get("status").and_then(Value::as_str) == Some("stopped"),
        })
        .collect();
    let mut found = Vec::new();
    ports(tree, &containers, &mut found);
    mounts(tree, &containers, &mut found);
    names(tree, &containers, &mut found);
    found
}

/// The place of a member of a module's createOptions.
fn place(tree: &Tree<'_>, module: &str, inside: &str) -> Place {
    let steps = inside.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let head = ["modules", module, "createOptions"].map(str::to_owned);
    Place::of(tree, &head.into_iter().chain(steps).collect())
}

/// The two in the order in which a finding names them: the one of the higher layer causes it.
fn ordered<T>(one: (T, Place), other: (T, Place)) -> ((T, Place), (T, Place)) {
    if one.1.layer > other.1.layer { (one, other) } else { (other, one) }
}

fn ports(tree: &Tree<'_>, containers: &[Container<'_>], found: &mut Vec<Fault>) {
    let mut taken: BTreeMap<(u16, String), Vec<(&Container<'_>, Published)>> = BTreeMap::new();
    // A stopped module takes no port.
    for container in containers.iter().filter(|container| !container.stopped) {
        for port in published(container.options).into_iter().filter(|port| port.ports.0 == port.ports.1) {
            let number = port.ports.0;
            if let Some((_, head)) =
                HUB_PORTS.iter().find(|(hub, _)| *hub == number && port.protocol == "tcp")
            {
                found.push(Fault {
                    rule: "port-of-hub",
                    severity: Severity::Warning,
                    message: format!(
                        "module {} takes port {number}, on which the edge hub waits for {head}",
                        container.name
                    ),
                    hint: Some("publish it at another port of the host".to_owned()),
                    at: place(tree, container.name, &port.pointer),
                    other: None,
                    on_parents: true,
                });
            }
            let same = taken.entry((number, port.protocol.clone())).or_default();
            if let Some((first, its)) = same.iter().find(|(_, its)| its.clashes(&port)) {
                let one = (first.name, place(tree, first.name, &its.pointer));
                let two = (container.name, place(tree, container.name, &port.pointer));
                let ((name, at), (other, its)) = ordered(one, two);
                let protocol = &port.protocol;
                let message = if name == other {
                    format!("module {name} publishes port {number}/{protocol} of the host twice")
                } else {
                    format!("modules {other} and {name} both publish port {number}/{protocol} of the host")
                };
                found.push(Fault {
                    rule: "port-clash",
                    severity: Severity::Error,
                    message,
                    hint: Some("only one of them can start".to_owned()).filter(|_| name != other),
                    at,
                    other: Some((other.to_owned(), its)),
                    on_parents: false,
                });
            }
            same.push((container, port));
        }
    }
}

fn mounts(tree: &Tree<'_>, containers: &[Container<'_>], found: &mut Vec<Fault>) {
    let mut shared: BTreeMap<String, Vec<(&Container<'_>, Mounted)>> = BTreeMap::new();
    for container in containers {
        let mut targets: BTreeMap<String, Place> = BTreeMap::new();
        for mount in mounted(container.options) {
            let at = place(tree, container.name, &mount.pointer);
            match targets.get(&mount.target) {
                // Within one document it is reported before.
                Some(first) if first.layer != at.layer => {
                    let one = (container.name, first.clone());
                    let ((name, at), (_, its)) = ordered(one, (container.name, at));
                    found.push(Fault {
                        rule: "mount-clash",
                        severity: Severity::Error,
                        message: format!("{} is mounted twice in module {name}", mount.target),
                        hint: None,
                        at,
                        other: Some(("the other mount".to_owned(), its)),
                        on_parents: false,
                    });
                }
                Some(_) => {}
                None => drop(targets.insert(mount.target.clone(), at)),
            }
            let Some(path) = mount.host_path().filter(|path| is_data(path)).map(str::to_owned) else {
                continue;
            };
            let same = shared.entry(path.clone()).or_default();
            let others = same.iter().filter(|(first, _)| first.name != container.name);
            let mut clashing = others.filter(|(_, its)| its.writes || mount.writes);
            if let Some((first, its)) = clashing.next() {
                let one = (first.name, place(tree, first.name, &its.pointer));
                let two = (container.name, place(tree, container.name, &mount.pointer));
                let ((name, at), (other, place)) = ordered(one, two);
                let who = match (its.writes, mount.writes) {
                    (true, true) => "both can write".to_owned(),
                    (true, false) => format!("{} can write", first.name),
                    (false, true) | (false, false) => format!("{} can write", container.name),
                };
                found.push(Fault {
                    rule: "bind-clash",
                    severity: Severity::Warning,
                    message: format!("modules {other} and {name} mount {path} of the host, and {who}"),
                    hint: Some("mount it read-only, or give each a folder of its own".to_owned()),
                    at,
                    other: Some((other.to_owned(), place)),
                    on_parents: false,
                });
            }
            same.push((container, mount));
        }
    }
}

/// Sockets, devices and what the host keeps up to date are shared by nature.
fn is_data(path: &str) -> bool {
    let shared = ["/dev", "/proc", "/sys", "/run", "/var/run", "/etc/localtime", "/etc/timezone"];
    let within = |folder: &&str| {
        path.strip_prefix(*folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !shared.iter().any(within) && !path.ends_with(".sock")
}

/// Names by which containers find each other on their network; DNS takes capitals and small letters for the same.
fn names(tree: &Tree<'_>, containers: &[Container<'_>], found: &mut Vec<Fault>) {
    let mut known: BTreeMap<String, (&str, Place)> = BTreeMap::new();
    let module = |container: &Container<'_>| {
        Place::first(tree, &vec!["modules".to_owned(), container.name.to_owned()])
    };
    for container in containers {
        let own = (container.name.to_owned(), module(container));
        for (name, at) in std::iter::once(own).chain(aliases(tree, container)) {
            let key = name.to_ascii_lowercase();
            let Some((owner, its)) = known.get(&key) else {
                known.insert(key, (container.name, at));
                continue;
            };
            if *owner == container.name {
                continue;
            }
            let ((who, at), (other, its)) = ordered((*owner, its.clone()), (container.name, at));
            found.push(Fault {
                rule: "name-clash",
                severity: Severity::Warning,
                message: format!(
                    "modules {other} and {who} both answer to the name {name:?} on their network"
                ),
                hint: Some("rename one; which of them answers is left to chance".to_owned()),
                at,
                other: Some((other.to_owned(), its)),
                on_parents: false,
            });
        }
    }
}

/// Further names that createOptions give a container.
fn aliases(tree: &Tree<'_>, container: &Container<'_>) -> Vec<(String, Place)> {
    let mut found = Vec::new();
    let Some((networking, Value::Object(map))) = member(container.options, "NetworkingConfig") else {
        return found;
    };
    let Some((endpoints, Value::Object(networks))) = member(map, "EndpointsConfig") else { return found };
    for (network, endpoint) in networks {
        let Some((key, Value::Array(list))) = endpoint.as_object().and_then(|map| member(map, "Aliases"))
        else {
            continue;
        };
        for (index, alias) in list.iter().enumerate() {
            let Some(alias) = alias.as_str() else { continue };
            let network = network.replace('~', "~0").replace('/', "~1");
            let inside = format!("/{networking}/{endpoints}/{network}/{key}/{index}");
            found.push((alias.to_owned(), place(tree, container.name, &inside)));
        }
    }
    found
}
