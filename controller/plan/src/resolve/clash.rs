//! What containers of one device take from each other: ports, paths and names. Only layering shows it, because the two may
//! come from deployments that do not know of each other.

use std::collections::BTreeMap;

use hemline_model::{
    Severity,
    engine::{
        member,
        mount::{Mounted, mounted},
        port::{Published, published},
    },
    pointer::escape,
};
use serde_json::{Map, Value};

use super::{
    fault::{Fault, Place},
    tree::Tree,
};
use crate::desired::object;

/// Ports of the host on which the edge hub waits for the devices below it (reference edge-runtime §5.1).
const HUB_PORTS: [(u16, &str); 3] = [(443, "HTTPS and WebSocket"), (5671, "AMQP"), (8883, "MQTT")];

/// What a module takes of its host and its network.
#[derive(Debug)]
pub(super) struct Taken {
    stopped: bool,
    ports: Vec<Published>,
    mounts: Vec<Mounted>,
    /// Further names, each with its pointer inside createOptions.
    aliases: Vec<(String, String)>,
}

impl Taken {
    /// `None` for a module that is no container.
    pub(super) fn by(module: &Map<String, Value>) -> Option<Self> {
        if module.get("type").and_then(Value::as_str) == Some("process") {
            return None;
        }
        let options = object(module, "createOptions");
        Some(Self {
            stopped: module.get("status").and_then(Value::as_str) == Some("stopped"),
            ports: published(options),
            mounts: mounted(options),
            aliases: aliases(options),
        })
    }
}

/// A container of a merged config.
pub(super) struct Container<'a> {
    pub(super) name: &'a str,
    pub(super) taken: &'a Taken,
}

/// All clashes of a merged config.
pub(super) fn find(tree: &Tree<'_>, containers: &[Container<'_>]) -> Vec<Fault> {
    let mut found = Vec::new();
    ports(tree, containers, &mut found);
    mounts(tree, containers, &mut found);
    names(tree, containers, &mut found);
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
    let mut taken: BTreeMap<(u16, &str), Vec<(&Container<'_>, &Published)>> = BTreeMap::new();
    // A stopped module takes no port.
    for container in containers.iter().filter(|container| !container.taken.stopped) {
        for port in container.taken.ports.iter().filter(|port| port.ports.0 == port.ports.1) {
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
            let same = taken.entry((number, port.protocol.as_str())).or_default();
            if let Some((first, its)) = same.iter().find(|(_, its)| its.clashes(port)) {
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
    let mut shared: BTreeMap<&str, Vec<(&Container<'_>, &Mounted)>> = BTreeMap::new();
    for container in containers {
        let mut targets: BTreeMap<&str, &Mounted> = BTreeMap::new();
        for mount in &container.taken.mounts {
            if let Some(first) = targets.get(mount.target.as_str()) {
                let one = (container.name, place(tree, container.name, &first.pointer));
                let two = (container.name, place(tree, container.name, &mount.pointer));
                // Within one document it is reported before.
                if one.1.layer != two.1.layer {
                    let ((name, at), (_, its)) = ordered(one, two);
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
            } else {
                targets.insert(&mount.target, mount);
            }
            let Some(path) = mount.host_path().filter(|path| is_data(path)) else { continue };
            let same = shared.entry(path).or_default();
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
    let mut known: BTreeMap<String, (&str, Option<&str>)> = BTreeMap::new();
    // Without a pointer it is the name of the module.
    let place_of = |module: &str, alias: Option<&str>| match alias {
        Some(pointer) => place(tree, module, pointer),
        None => Place::first(tree, &vec!["modules".to_owned(), module.to_owned()]),
    };
    for container in containers {
        let aliases =
            container.taken.aliases.iter().map(|(name, pointer)| (name.as_str(), Some(pointer.as_str())));
        for (name, alias) in std::iter::once((container.name, None)).chain(aliases) {
            let key = name.to_ascii_lowercase();
            let Some((owner, first)) = known.get(&key) else {
                known.insert(key, (container.name, alias));
                continue;
            };
            if *owner == container.name {
                continue;
            }
            let one = (*owner, place_of(owner, *first));
            let ((who, at), (other, its)) = ordered(one, (container.name, place_of(container.name, alias)));
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
fn aliases(options: &Map<String, Value>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Some((networking, Value::Object(map))) = member(options, "NetworkingConfig") else {
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
            let network = escape(network);
            found.push((alias.to_owned(), format!("/{networking}/{endpoints}/{network}/{key}/{index}")));
        }
    }
    found
}
